"""
Turns exceptions of template code into pyconfd's errors, with template, line and hint. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

import jinja2

from pyconfd.errors import MissingKey, RenderError, RenderTimeout, TemplateFault
from pyconfd.model.keys import KeyValue
from pyconfd.model.resources import Resource
from pyconfd.pipeline.render.function_errors import (
    FunctionFault,
    NoSuchKey,
    NotCovered,
    NotText,
    Slashless,
)
from pyconfd.pipeline.render.function_table import FILTERS, PLAIN_FILTERS
from pyconfd.pipeline.render.functions.output_bound import OutputTooLong
from pyconfd.pipeline.render.template_files import BadTemplate

# What template code can raise. Not KeyboardInterrupt.
TEMPLATE_ERRORS = (
    jinja2.TemplateError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)

#: They say all there is to say: which key, which path, or that no value matters.
NAMES_ITSELF = (
    BadTemplate,
    MemoryError,
    NoSuchKey,
    NotCovered,
    NotText,
    OutputTooLong,
    RecursionError,
    Slashless,
    UnicodeEncodeError,
    jinja2.TemplateNotFound,
    jinja2.TemplateSyntaxError,
)


class SeveralFaults(jinja2.TemplateSyntaxError):
    """A fault of a template. more: the other faults found with it."""

    more: tuple[jinja2.TemplateSyntaxError, ...] = ()


def fault_of(error: BaseException, resource: Resource, known: Mapping[str, Any]) -> RenderError:
    """The error for an exception, at the innermost line of a template that it passed through."""
    template, line = _place(error.__traceback__) or (resource.src, 0)
    if isinstance(error, NoSuchKey):
        return MissingKey(
            key=error.key, resource=resource.name, template=template, line=line, hint=error.hint
        )
    if isinstance(error, jinja2.TemplateSyntaxError):
        template, line = error.name or template, error.lineno
    if isinstance(error, RenderTimeout):
        what, hint = _too_slow(error, resource)
    else:
        what, hint = _text(error, known)
    return TemplateFault(what, resource=resource.name, template=template, line=line, hint=hint)


# What Python and Jinja2 quote.
_QUOTED = re.compile(r"'[^'\\]*(?:\\.[^'\\]*)*'|\"[^\"\\]*(?:\\.[^\"\\]*)*\"", re.DOTALL)


def without_values(what: str, items: Iterable[KeyValue], source: str) -> str:
    """
    The text of a fault with names of keys instead of their values, because a message about a member
    or filter quotes its value. The template's own text stays.

    source: of the template.
    """
    quoted = {word for word in _QUOTED.findall(what) if word[1:-1] not in source}
    for item in items if quoted else ():
        value = repr(item.value.decode(errors="replace"))
        if value in quoted:
            what = what.replace(value, f"(the value of {item.key})")
    return what


def _place(traceback: TracebackType | None) -> tuple[str, int] | None:
    """Name and line of the innermost template in a traceback."""
    place = None
    while traceback is not None:
        template = traceback.tb_frame.f_globals.get("__jinja_template__")
        if isinstance(template, jinja2.Template):
            place = (template.name or "", template.get_corresponding_lineno(traceback.tb_lineno))
        traceback = traceback.tb_next
    return place


def _too_slow(error: RenderTimeout, resource: Resource) -> tuple[str, str]:
    if error.stopped:
        return "the render was ended, because pyconfd stops", ""
    what = f"the render took longer than render_timeout = {resource.render_timeout_s:g} s"
    return what, "see what this line does with the values of its keys, or raise render_timeout"


def _text(error: BaseException, known: Mapping[str, Any]) -> tuple[str, str]:
    """The message, and what to do."""
    text = str(error)
    if isinstance(error, (FunctionFault, BadTemplate, jinja2.TemplateNotFound)):
        return text, getattr(error, "hint", "")
    if isinstance(error, RecursionError):
        return "templates or macros call each other without end", ""
    if isinstance(error, MemoryError):
        return "it needs more memory than there is", ""
    if isinstance(error, UnicodeEncodeError):
        return "the output holds a key name that is not UTF-8", ""
    if isinstance(error, jinja2.TemplateError):
        text = (error.message or text).removesuffix(".").replace(_PAIR, "pair")
        return text, _near(text, known)
    hint = ""
    if isinstance(error, TypeError) and re.search(r"['\"]str['\"]|to str", text):
        hint = "values are text: atoi makes a whole number of one"
    return f"{type(error).__name__}: {text}", hint


_PAIR = "pyconfd.pipeline.render.functions.store.Pair object"


def _near(text: str, known: Mapping[str, Any]) -> str:
    """The known name that an unknown one probably means."""
    from jinja2 import filters

    from pyconfd.config.options import did_you_mean

    if match := re.search(r"'pair' has no attribute '(Key|Value)'", text):
        return f"did you mean .{match[1].lower()}?"
    if match := re.search(r"^'(\w+)' is undefined", text):
        return did_you_mean(match[1], known)
    if match := re.search(r"^No filter named '(\w+)'", text):
        return did_you_mean(match[1], {**FILTERS, **PLAIN_FILTERS, **filters.FILTERS})
    return ""
