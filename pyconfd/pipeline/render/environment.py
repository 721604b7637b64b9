"""
Jinja2 for pyconfd's templates: strict, for text files, with confd's functions.

The environment of one render is copied from the shared one by its fields, so several threads can
render at once; the compiled code of the templates is shared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from types import BuiltinMethodType, CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, NoReturn

import jinja2
import jinja2.runtime
import jinja2.utils
from jinja2 import nodes

from pyconfd.model.resources import Resource
from pyconfd.pipeline.render.codegen import CodeGenerator
from pyconfd.pipeline.render.function_table import FILTERS, PLAIN_FILTERS, functions
from pyconfd.pipeline.render.functions import bounds
from pyconfd.pipeline.render.functions.text import as_text
from pyconfd.pipeline.render.node_facts import unknown_fact
from pyconfd.pipeline.render.template_files import AS_WRITTEN, MissingTemplate, TemplateFiles

if TYPE_CHECKING:  # only resources with a format, and refusals, need them
    from pyconfd.pipeline.render.functions.store import CachedPairs
    from pyconfd.pipeline.render.provenance import Tracer
    from pyconfd.pipeline.render.value_checks import ValueChecker
    from pyconfd.pipeline.render.view import View

_AS_WRITTEN = re.compile(re.escape(AS_WRITTEN) + r"(\r?\n|\Z)")

# Filters that only lay out a text: what was safe in the format before them still is.
_LAYOUT = ("indent", "lower", "nindent", "toLower", "toUpper", "trim", "upper")


# Filters of Jinja2 that are one long step for Python.
_SLOW = ("dictsort", "groupby", "sort", "title", "urlize", "wordwrap")
# Those that make as much as a number says.
_FILLING = ("batch", "center", "round", "slice")


def _as_written(text: str) -> str:
    """A constant, without a format."""
    return text


def _item(resource: Resource) -> str:
    """The name that a resource was made for, without a format."""
    return resource.item


def _joined(parts: Iterable[Any]) -> str:
    """The `~` operator, without a format."""
    return "".join(map(as_text, parts))


def _indent_of(filter_: Callable[..., str]) -> Callable[..., str]:
    """Jinja2's `indent`, bounded."""

    @wraps(filter_)
    def indent(text: str, width: int | str = 4, *args: Any, **kwargs: Any) -> str:
        spaces = len(width) if isinstance(width, str) else width
        bounds.indented("indent", spaces, str(text))
        return filter_(text, width, *args, **kwargs)

    return indent


def _join_of(filter_: Callable[..., str]) -> Callable[..., str]:
    """Jinja2's `join`, bounded."""

    @wraps(filter_)
    def join(context: Any, items: Iterable[Any], d: Any = "", attribute: Any = None) -> str:
        if d:
            items = list(items)
            bounds.separators(str(d), items)
        return filter_(context, items, d, attribute)

    return join


def _replace_of(filter_: Callable[..., str]) -> Callable[..., str]:
    """Jinja2's `replace`, bounded."""

    @wraps(filter_)
    def replace(context: Any, text: Any, old: str, new: str, count: int | None = None) -> str:
        bounds.replacement(str(text), old, new, -1 if count is None else count)
        return filter_(context, text, old, new, count)

    return replace


def _called_as_jinjas(join: Callable[..., Any]) -> Callable[..., Any]:
    """
    pyconfd's `join` with the first argument of Jinja2's, so that a file imported with and without a
    format is compiled once.
    """

    @jinja2.pass_eval_context
    def called(_: Any, *args: Any, **kwargs: Any) -> Any:
        return join(*args, **kwargs)

    return called


class Context(jinja2.runtime.Context):
    """Jinja2's, but a plain function is called directly, without inspection."""

    def call(self, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call something for an expression of a template."""
        kind = type(obj)
        if kind is MethodType or (kind is FunctionType and not obj.__dict__):
            kwargs.pop("_loop_vars", None)
            kwargs.pop("_block_vars", None)
            return obj(*args, **kwargs)
        if kind is BuiltinMethodType:
            bounds.method(obj, args, kwargs)
        if kind is jinja2.runtime.BlockReference:  # Jinja2 3.1.4 joins it without the environment
            return self.environment.concat(obj._stack[obj._depth](obj._context))
        return super().call(obj, *args, **kwargs)


class Undefined(jinja2.StrictUndefined):
    """Jinja2's, with a message of its own for missing facts of the node."""

    __slots__ = ()

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = jinja2.utils.missing,
        name: str | None = None,
        exc: type[jinja2.TemplateRuntimeError] = jinja2.UndefinedError,
    ) -> None:
        super().__init__(hint or unknown_fact(obj, name), obj, name, exc)


class Environment(jinja2.Environment):
    """
    Jinja2 with confd's functions, strict and for text files: nothing is escaped, a line that
    holds only a block leaves no line behind, the last line break stays.
    """

    code_generator_class = CodeGenerator
    # What the code of templates calls, beside finalize and concat; a format has its own.
    safe_text: Callable[[str], str] = staticmethod(_as_written)
    joined: Callable[[Iterable[Any]], str] = staticmethod(_joined)
    item: Callable[[Resource], str] = staticmethod(_item)
    product = staticmethod(bounds.product)
    power = staticmethod(bounds.power)
    context_class = Context
    #: Attributes that the code of templates calls, beside those above.
    helpers: tuple[str, ...] = ()
    context: jinja2.runtime.Context | None = None

    def __init__(self, files: TemplateFiles) -> None:
        super().__init__(
            undefined=Undefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            autoescape=False,
            optimized=False,
            finalize=as_text,
            loader=TemplateLoader(files),
        )
        self.filters.update({**FILTERS, **PLAIN_FILTERS})
        self.filters.update({one: bounds.few(one, self.filters[one]) for one in _SLOW})
        self.filters.update({one: bounds.filled(one, self.filters[one]) for one in _FILLING})
        self.filters.update(
            indent=_indent_of(self.filters["indent"]),
            join=_join_of(self.filters["join"]),
            replace=_replace_of(self.filters["replace"]),
        )
        self.globals["range"] = bounds.bounded_range

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """Jinja2's, but the first line of a template can say that white space stays as written."""
        found = _AS_WRITTEN.match(source) if source.startswith("{#") else None
        if found is None:
            return super()._parse(source, name, filename)
        as_written = self.overlay(
            trim_blocks=False,
            lstrip_blocks=False,
            newline_sequence="\r\n" if found[1] == "\r\n" else "\n",
        )
        # the comment takes the line break with it, so that the lines keep their numbers
        tree = jinja2.Environment._parse(
            as_written, "{#\n#}" + source[found.end() :], name, filename
        )
        tree.set_environment(self)
        return tree

    def functions(
        self,
        view: View,
        environ: Mapping[str, str],
        checker: ValueChecker | None,
        cached: CachedPairs | None,
        *,
        traced: bool = False,
    ) -> dict[str, Callable[..., Any]]:
        """What templates in this language call in one render, see function_table.py."""
        return functions(view, environ, checker, cached, traced=traced)

    def encoded(self, text: str) -> bytes:
        """The bytes of an output. Raises UnicodeEncodeError for a key name that is not UTF-8."""
        return text.encode()

    def checked(self, checker: ValueChecker) -> Environment:
        """The same environment for resources with a format."""
        from pyconfd.pipeline.render.value_checks import item_text, safe_text

        checked = object.__new__(type(self))
        layout = {name: checker.keeping(self.filters[name]) for name in _LAYOUT}
        filters = checker.filters()
        filters["join"] = _called_as_jinjas(filters["join"])
        checked.__dict__.update(
            self.__dict__,
            finalize=checker.text,
            concat=checker.concat,
            safe_text=safe_text,
            joined=checker.joined,
            item=item_text,
            filters={**self.filters, **layout, **filters},
        )
        return checked

    def bound(self, names: Mapping[str, Any]) -> Environment:
        """The same environment with these functions and facts, and templates of its own."""
        bound = object.__new__(type(self))
        bound.__dict__.update(self.__dict__)
        bound.globals = {**self.globals, **names}
        bound.cache = {}
        return bound

    def release(self) -> None:
        """
        Release what one render was bound to. Functions, contexts and templates refer to each other,
        and to the snapshot, and would stay until the garbage collector runs, which is rare.
        """
        self.globals.clear()
        if self.context is not None:
            self.context.vars.clear()
            self.context = None

    def traced(self, tracer: Tracer) -> Environment:
        """The same bound environment, in which the tracer follows values and decisions."""
        traced = self.bound({})
        traced.globals = tracer.following_all(self.globals)
        traced.__dict__.update(
            finalize=tracer.following(self.finalize or as_text),
            concat=tracer.joining(self.concat),
            joined=tracer.joining(self.joined),
            filters=tracer.following_all(self.filters),
            loader=MarkedLoader(self.files),
        )
        for name in ("begin", "end", "testing", "decided", "chosen"):
            setattr(traced, name, getattr(tracer, name))
        return traced

    def stream(self, resource: Resource) -> Iterator[str]:
        """The output in pieces, made while they are consumed."""
        template = self.get_template(resource.src)
        names = {"name": self.item(resource)} if resource.item else None
        self.context = template.new_context(names)
        return template.root_render_func(self.context)

    def make_globals(self, d: Any) -> Any:
        """
        A plain copy of the globals: no others are passed, and a chain of maps is slow to copy.
        """
        return self.globals if not d else super().make_globals(d)

    def handle_exception(self, source: str | None = None) -> NoReturn:  # noqa: ARG002 - its name
        """
        Called while a syntax error is handled, which carries its own line. Jinja2 would draw the
        line as a frame of a traceback as well, and that keeps all frames below it.
        """
        raise

    @property
    def files(self) -> TemplateFiles:
        """Where its templates are read."""
        assert isinstance(self.loader, TemplateLoader)  # noqa: S101 - says so to the type checker
        return self.loader.files


class TemplateLoader(jinja2.BaseLoader):
    """Templates out of TemplateFiles, whose code is compiled once for all environments."""

    def __init__(self, files: TemplateFiles) -> None:
        self.files = files

    def load(
        self,
        environment: jinja2.Environment,
        name: str,
        globals: Any = None,  # noqa: A002 - Jinja2's
    ) -> jinja2.Template:
        """Called by get_template, include, import and extends, once a render for each name."""

        def compiled(source: str, path: str) -> CodeType:
            code = environment.compile(source, name, path)
            assert isinstance(code, CodeType)  # noqa: S101 - str only when raw
            return code

        try:
            code = self.files.code(name, compiled)
        except MissingTemplate as error:
            raise jinja2.TemplateNotFound(name, str(error)) from error
        return environment.template_class.from_code(environment, code, globals)


class MarkedLoader(TemplateLoader):
    """The same templates with their decisions marked, compiled for one render."""

    def load(
        self,
        environment: jinja2.Environment,
        name: str,
        globals: Any = None,  # noqa: A002 - Jinja2's
    ) -> jinja2.Template:
        """As in TemplateLoader."""
        try:
            code = self.code(environment, name)
        except MissingTemplate as error:
            raise jinja2.TemplateNotFound(name, str(error)) from error
        return environment.template_class.from_code(environment, code, globals)

    def code(self, environment: jinja2.Environment, name: str) -> CodeType:
        """The code of a template, marked. Raises MissingTemplate."""
        return environment.compile(self.tree(environment, name), name, name)

    def tree(self, environment: jinja2.Environment, name: str) -> nodes.Template:
        """Its tree, marked."""
        from pyconfd.pipeline.render.branch_marks import marked

        return marked(environment.parse(self.files.source(name), name), environment)


def origin(stream: Any, text: str) -> tuple[str, int, bool]:
    """
    The origin of the piece that a stream of output has just yielded: template, line, and whether
    the template has this text. Found by following Jinja2's generated code: `yield from` into
    parents and blocks, a loop over `gen` for includes.
    """
    while inner := stream.gi_yieldfrom or stream.gi_frame.f_locals.get("gen"):
        if not getattr(inner, "gi_frame", None):
            break
        stream = inner
    frame = stream.gi_frame
    template = frame.f_globals["__jinja_template__"]
    written = any(text is constant for constant in frame.f_code.co_consts)
    return template.name, template.get_corresponding_lineno(frame.f_lineno), written
