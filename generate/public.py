"""
What is public, one line each: a change of it shows in the difference of a commit.

Commands and options come from the tables that read them, keys from the schemas, functions, metrics
and the Python API from the code itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pyconfd
from generate.manpages import EXIT_STATUS, REGISTER_EXIT_STATUS
from generate.schemas import SCHEMAS, Schema
from pyconfd.cli.command_pages import page_of
from pyconfd.cli.help import default_of
from pyconfd.cli.main import COMMANDS
from pyconfd.config.option_table import OPTIONS
from pyconfd.config.options import Option
from pyconfd.observe.metrics import DaemonMetrics, MemberMetrics
from pyconfd.pipeline.render.environment import Environment
from pyconfd.pipeline.render.function_table import FILTERS, PLAIN_FILTERS
from pyconfd.pipeline.render.gotemplate.functions.signatures import CONFD, FORK, GO, Signature
from pyconfd.pipeline.render.node_facts import NodeFacts
from pyconfd.pipeline.render.template_files import TemplateFiles
from pyconfd.pipeline.render.view import View
from pyconfd.pipeline.store import Store
from pyconfd.template_testing import plugin

_HEAD = """\
# Made by python -m generate: what of pyconfd is public (CONTRIBUTING.md). A line that goes or
# differs breaks installations, a new one is a promise.
"""


def files() -> dict[str, str]:
    """Path below the repository -> what is in it."""
    sections: Mapping[str, Iterable[str]] = {
        "Commands": _commands(),
        "Options": _options(),
        "Exit statuses": _exit_statuses(),
        "Keys of TOML files": _keys(),
        "Functions of Jinja2 templates": _functions(),
        "Functions of Go templates": _go_functions(),
        "Metrics": _metrics(),
        "Python": _python(),
    }
    parts = (
        f"\n[{title}]\n" + "".join(map("{}\n".format, lines)) for title, lines in sections.items()
    )
    return {"generate/public.txt": _HEAD + "".join(parts)}


def _commands() -> Iterator[str]:
    """As their help shows them."""
    for name in ("", *COMMANDS):
        head = page_of(name).usage.partition("\n\n")[0].removeprefix("usage: ")
        yield from (line.strip() for line in head.splitlines())


def _options() -> Iterator[str]:
    """Those of pyconfd in full; of commands only the names of those that are the same."""
    for option in OPTIONS:
        key = f" key {option.name.replace('-', '_')}" if option.in_file else ""
        yield f"pyconfd {_option(option)} {option.variable}{key}"
    for name in COMMANDS:
        options = page_of(name).options
        same = [one for one in options if one in OPTIONS]
        yield from (f"pyconfd {name} {_option(one)}" for one in options if one not in OPTIONS)
        if set(OPTIONS) <= set(same):
            yield f"pyconfd {name} takes all options of pyconfd"
        elif same:
            yield f"pyconfd {name} takes {' '.join(f'--{one.name}' for one in same)} of pyconfd"


def _option(option: Option) -> str:
    """`--name, --alias KIND... = default`."""
    names = ", ".join(f"--{name}" for name in (option.name, *option.aliases))
    kind = "|".join(option.choices) or option.kind
    default = default_of(option)
    return f"{names} {kind}{'...' * option.repeatable}{f' = {default}' if default else ''}"


def _exit_statuses() -> Iterator[str]:
    yield from (f"pyconfd {status}: {meaning}" for status, meaning in EXIT_STATUS.items())
    for status, meaning in REGISTER_EXIT_STATUS.items():
        yield f"pyconfd register {status}: {meaning}"


def _keys() -> Iterator[str]:
    for name, make in SCHEMAS.items():
        whole = make()
        yield from _below(whole, f"{name}:", whole.get("$defs", {}))


def _below(schema: Schema, path: str, known: Mapping[str, Schema]) -> Iterator[str]:
    """`resource: template.src text` for every key at and below a place of a schema."""
    for each in schema.get("oneOf", ()):
        yield from _below(each, path, known)
    if "$ref" in schema:
        yield from _below(known[schema["$ref"].rpartition("/")[2]], path, known)
    if "items" in schema:
        yield from _below(schema["items"], f"{path}[]", known)
    if isinstance(more := schema.get("additionalProperties"), dict):
        yield from _below(more, f"{path} NAME" if path.endswith(":") else f"{path}.NAME", known)
    required = schema.get("required", ())
    for key, value in schema.get("properties", {}).items():
        below = f"{path} {key}" if path.endswith(":") else f"{path}.{key}"
        if "x-taplo" not in value:  # another spelling
            yield f"{below} {_kind(value)}{' required' * (key in required)}"
            yield from _below(value, below, known)


def _kind(schema: Schema) -> str:
    """What a key takes, in short."""
    if "oneOf" in schema:
        return " or ".join(dict.fromkeys(map(_kind, schema["oneOf"])))
    if "$ref" in schema:
        return "table"
    if "enum" in schema:
        return "|".join(each or '""' for each in schema["enum"])
    if "items" in schema:
        return f"list of {_kind(schema['items'])}"
    kinds = schema["type"]
    names = {"object": "table", "string": "text"}
    words = (names.get(kind, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds))
    return " or ".join(words)


def _functions() -> Iterator[str]:
    environment = Environment(TemplateFiles(""))
    table = environment.functions(View(Store().snapshot(), "/", ("/",)), {}, None, None)
    yield from (f"{name}{_arguments(made)}" for name, made in sorted(table.items()))
    yield from (f"{name}: a fact" for name in sorted(NodeFacts().names()))
    yield from (f"value | {name}" for name in sorted({**FILTERS, **PLAIN_FILTERS}))


def _go_functions() -> Iterator[str]:
    for who, table in {"Go": GO, "both": CONFD, "confd-fork": FORK}.items():
        yield from (f"{name} {_go(table[name])} ({who})" for name in sorted(table))


def _go(signature: Signature) -> str:
    more = (f"{signature.more}...",) if signature.more else ()
    return " ".join((*signature.takes, *more, "->", signature.gives))


def _metrics() -> Iterator[str]:
    empty: dict[str, Any] = dict.fromkeys(
        ("ready", "connected", "revision", "keys", "message_age_s", "changes", "faults"), 0
    )
    empty |= {"version": "", "messages": {}, "resources": (), "services": (), "bounds_s": ()}
    for who, families in {
        "pyconfd": DaemonMetrics(empty).collect(),
        "pyconfd register": MemberMetrics((), 0, connected=True).collect(),
    }.items():
        for family in families:
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = ", ".join(family._labelnames)  # type: ignore[attr-defined]
            yield f"{who}: {name}{{{labels}}} {family.type}"


def _python() -> Iterator[str]:
    for name in sorted(pyconfd.__all__):
        found = getattr(pyconfd, name)
        if not inspect.isclass(found):
            yield f"pyconfd.{name}{_arguments(found) if callable(found) else ''}"
            continue
        yield f"pyconfd.{name}({', '.join(base.__name__ for base in found.__bases__)})"
        members = {**(found(" ").__dict__ if issubclass(found, Exception) else {}), **vars(found)}
        for member, made in sorted(members.items()):
            if not member.startswith("_"):
                arguments = _arguments(made, method=True) if inspect.isfunction(made) else ""
                yield f"pyconfd.{name}.{member}{arguments}"
    fixtures = (name for name in sorted(vars(plugin)) if name.startswith("pyconfd_"))
    yield from (f"pytest: fixture {name}" for name in fixtures)
    yield f"pytest: ini option {plugin.CONFDIR}"


def _arguments(function: Callable[..., object], *, method: bool = False) -> str:
    """
    The parameters of a function, and what it returns; the same on every Python. method: the first
    one is not given.
    """
    signature = inspect.signature(function)
    words: list[str] = []
    keyword_only = False
    for name, parameter in signature.parameters.items():
        if name.startswith("_") or (method and name == "self"):
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            words.append(f"*{name}")
            keyword_only = True
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            words.append("*")
            keyword_only = True
        star = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        given = parameter.default
        default = "" if given is parameter.empty else f" = {given!r}"
        words.append(f"{star}{name}{_annotation(parameter.annotation)}{default}")
    gives = _annotation(signature.return_annotation).replace(": ", " -> ")
    return f"({', '.join(words)}){gives}"


def _annotation(found: object) -> str:
    """`: str`; nothing for what says nothing."""
    return f": {found}" if isinstance(found, str) and found != "Any" else ""
