"""
Generated templates give what a small evaluator of the language gives, which knows nothing of
tokens, nodes or Python's locals: statements are run as they were generated.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pipeline.render.gotemplate.rendering import render_folder

Printable = str | int
KEYS = st.dictionaries(
    st.sampled_from(["/d/a", "/d/b", "/d/c", "/e"]), st.sampled_from(["", "v", "w x", "é", "{{"])
)
NAMES = ["$x", "$y"]


class Jump(Exception):
    """break or continue."""


@dataclass
class Scope:
    """What statements see. dot: the dot. variables: name -> a cell that `=` writes to."""

    keys: dict[str, str]
    dot: Printable | None
    variables: dict[str, list[Printable]] = field(default_factory=dict)

    def inner(self) -> Scope:
        """The same variables, and room for new ones."""
        return Scope(self.keys, self.dot, dict(self.variables))


Expression = tuple[str, Callable[[Scope], Printable]]
Part = tuple[str, Callable[[Scope], str]]


class EmptyList(str):
    """As Go prints it, and as untrue as there."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False


def _shown(value: Printable | None) -> str:
    return "<no value>" if value is None else str(value)


@st.composite
def expressions(draw: st.DrawFn, names: tuple[str, ...], depth: int = 0) -> Expression:
    """An expression that gives a text or a number."""
    kind = draw(st.sampled_from(["text", "number", "getv", "printf", "print", "len", "name", "or"]))
    if kind == "name" and names:
        name = draw(st.sampled_from(names))
        return name, lambda scope: scope.variables[name][0]
    if kind == "number":
        number = draw(st.integers(-3, 3))
        return str(number), lambda scope: number
    if kind == "getv":
        key = draw(st.sampled_from(["/d/a", "/e"]))
        return f'(getv "{key}" "none")', lambda scope: scope.keys.get(key, "none")
    if depth < 2 and kind in ("printf", "print", "len", "or"):
        first, one = draw(expressions(names, depth + 1))
        second, two = draw(expressions(names, depth + 1))
        if kind == "printf":
            return f'(printf "%v-%v" {first} {second})', lambda scope: f"{one(scope)}-{two(scope)}"
        if kind == "print":
            return f"(print {first})", lambda scope: str(one(scope))
        if kind == "or":
            return f"(or {first} {second})", lambda scope: one(scope) or two(scope)
        return f"(print {first} | len)", lambda scope: len(str(one(scope)).encode())
    text = draw(st.sampled_from(["", "a", "b c", "é"]))
    return f'"{text}"', lambda scope: text


@st.composite
def bodies(
    draw: st.DrawFn, names: tuple[str, ...] = (), depth: int = 0, loop: bool = False
) -> Part:
    """Statements one after the other."""
    parts: list[Part] = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["text", "print", "let", "set", "if", "range", "with", "jump"]))
        if kind == "let":
            name = draw(st.sampled_from(NAMES))
            text, value = draw(expressions(names))
            parts.append((f"{{{{{name} := {text}}}}}", _declare(name, value)))
            names = (*names, name)
        elif kind == "set" and names:
            name = draw(st.sampled_from(names))
            text, value = draw(expressions(names))
            parts.append((f"{{{{{name} = {text}}}}}", _assign(name, value)))
        elif kind == "jump" and loop:
            word = draw(st.sampled_from(["break", "continue"]))
            parts.append((f"{{{{{word}}}}}", _jump(word)))
        elif kind in ("if", "with") and depth < 3:
            parts.append(draw(branches(kind, names, depth, loop)))
        elif kind == "range" and depth < 3:
            parts.append(draw(ranges(names, depth)))
        elif kind == "print":
            text, value = draw(expressions(names))
            parts.append((f"{{{{{text}}}}}", _printing(value)))
        else:
            parts.append(draw(st.sampled_from([("t\n", lambda _: "t\n"), ("{{.}}", _dot)])))
    return "".join(text for text, _ in parts), _all([run for _, run in parts])


def _dot(scope: Scope) -> str:
    return _shown(scope.dot)


def _printing(value: Callable[[Scope], Printable]) -> Callable[[Scope], str]:
    return lambda scope: _shown(value(scope))


def _declare(name: str, value: Callable[[Scope], Printable]) -> Callable[[Scope], str]:
    def run(scope: Scope) -> str:
        scope.variables[name] = [value(scope)]
        return ""

    return run


def _assign(name: str, value: Callable[[Scope], Printable]) -> Callable[[Scope], str]:
    def run(scope: Scope) -> str:
        scope.variables[name][0] = value(scope)
        return ""

    return run


def _jump(word: str) -> Callable[[Scope], str]:
    def run(scope: Scope) -> str:
        raise Jump(word, "")

    return run


def _all(runs: list[Callable[[Scope], str]]) -> Callable[[Scope], str]:
    def run(scope: Scope) -> str:
        made = ""
        for one in runs:
            try:
                made += one(scope)
            except Jump as jump:  # what was printed before it stays
                raise Jump(jump.args[0], made + jump.args[1]) from None
        return made

    return run


@st.composite
def branches(draw: st.DrawFn, kind: str, names: tuple[str, ...], depth: int, loop: bool) -> Part:
    """if or with, and else."""
    test, value = draw(expressions(names))
    then, run_then = draw(bodies(names, depth + 1, loop))
    other, run_other = draw(bodies(names, depth + 1, loop))

    def run(scope: Scope) -> str:
        found, inner = value(scope), scope.inner()
        if not found:
            return run_other(inner)
        if kind == "with":
            inner.dot = found
        return run_then(inner)

    return f"{{{{{kind} {test}}}}}{then}{{{{else}}}}{other}{{{{end}}}}", run


@st.composite
def ranges(draw: st.DrawFn, names: tuple[str, ...], depth: int) -> Part:
    """A loop over names, values or numbers, with a variable or without."""
    source, items = draw(st.sampled_from(SOURCES))
    name = draw(st.sampled_from(["", "$x", "$z"]))
    inside = (*names, name) if name else names
    body, run_body = draw(bodies(inside, depth + 1, True))
    other, run_other = draw(bodies(names, depth + 1, False))

    def run(scope: Scope) -> str:
        made = ""
        found = items(scope.keys)
        for item in found:
            inner = scope.inner()
            inner.dot = item
            if name:
                inner.variables[name] = [item]
            try:
                made += run_body(inner)
            except Jump as jump:
                made += jump.args[1]
                if jump.args[0] == "break":
                    break
        if found:
            return made
        inner = scope.inner()
        if name:  # Go has declared it with the whole list by then
            inner.variables[name] = [EmptyList("[]")]
        return run_other(inner)

    head = f"{name} := {source}" if name else source
    return f"{{{{range {head}}}}}{body}{{{{else}}}}{other}{{{{end}}}}", run


def _names(keys: dict[str, str]) -> list[Printable]:
    return [*sorted(key[3:] for key in keys if key.startswith("/d/"))]


def _values(keys: dict[str, str]) -> list[Printable]:
    return [*sorted(value for key, value in keys.items() if key.startswith("/d/"))]


SOURCES: list[tuple[str, Callable[[dict[str, str]], list[Printable]]]] = [
    ('ls "/d"', _names),
    ('getvs "/d/*"', _values),
    ("seq 1 3", lambda _: [1, 2, 3]),
    ("seq 1 0", lambda _: []),
    ("2", lambda _: [0, 1]),
]


@settings(max_examples=60, deadline=None)
@given(part=bodies(), keys=KEYS)
def test_gives_what_the_evaluator_gives(part: Part, keys: dict[str, str]) -> None:
    """The same text, for all statements of the language and their scopes."""
    text, run = part
    expected = run(Scope(keys, None))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "case.tmpl").write_bytes(text.encode())
        assert render_folder(Path(folder), keys, "confd", check=False).decode() == expected
