"""
Finds the keys that a fault of a template comes from. Pure.

Only used after a fault: the same render is repeated with a FaultTracer. Beside functions and
filters, it follows members, operators, comparisons, calls and loops.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import BuiltinMethodType, CodeType, FrameType, MethodType
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.visitor import NodeTransformer

from pyconfd.pipeline.render.environment import Environment, MarkedLoader
from pyconfd.pipeline.render.functions import bounds
from pyconfd.pipeline.render.provenance import Tracer, made_of, marked_like, some
from pyconfd.pipeline.render.template_errors import TEMPLATE_ERRORS
from pyconfd.pipeline.render.template_files import TemplateFiles
from pyconfd.pipeline.render.value_checks import RefusedValue, TaintedText

_NONE: frozenset[str] = frozenset()
_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}
_UNARY: dict[str, Callable[[Any], Any]] = {"-": operator.neg, "+": operator.pos}
_COMPARING: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gteq": operator.ge,
    "lt": operator.lt,
    "lteq": operator.le,
    "in": lambda item, container: item in container,
    "notin": lambda item, container: item not in container,
}
# Python has one object for each of these, so its maker cannot be found.
_SHARED_INTS, _SHARED_LENGTH = range(-5, 257), 1

Place = tuple[object, int]


class FaultTracer(Tracer):
    """
    Follows values until a render fails.

    better: the error of an undefined value that was passed to a function.
    """

    def __init__(self) -> None:
        super().__init__()
        self.better: jinja2.UndefinedError | None = None
        self._failed: tuple[BaseException | None, frozenset[str]] = (None, _NONE)
        self._latest: tuple[Place | None, frozenset[str]] = (None, _NONE)

    def keys_of(self, error: BaseException) -> frozenset[str]:
        """The keys that the error comes from, as far as known."""
        failed, keys = self._failed
        if failed is error and keys:
            return keys
        place, keys = self._latest
        return keys if place == _place_of(error) else _NONE

    def origin_of(self, error: BaseException, text: str) -> str:
        """The keys that the error comes from, in words; "" when none is known or `text` has it."""
        if isinstance(error, RefusedValue):
            return made_of(error) if error.made else ""
        keys = self.keys_of(error)
        how = "it comes from" if keys else "reached with"
        keys = keys or self.decisions
        return f" ({how} {some(keys)})" if any(key not in text for key in keys) else ""

    def keys(self, value: object) -> frozenset[str]:
        """Those of a text, number or object, or of all that is in it."""
        if isinstance(value, TaintedText):
            return frozenset((value.key,))
        if known := self._keys.get(id(value)):
            return known
        if isinstance(value, (MethodType, BuiltinMethodType)):
            return self.keys(value.__self__)
        if isinstance(value, dict):
            return _NONE.union(*map(self.keys, value), *map(self.keys, value.values()))
        if isinstance(value, (list, tuple)):
            return _NONE.union(*map(self.keys, value))
        return _NONE

    def following(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, which notes the keys of its arguments when it fails."""
        followed = super().following(function)

        def watched(*args: Any, **kwargs: Any) -> Any:
            given = (*args, *kwargs.values())
            try:
                made = followed(*args, **kwargs)
            except TEMPLATE_ERRORS as error:
                self._note_failure(error, given)
                raise
            self._note_use(given, made)
            return made

        return marked_like(function, watched)

    def printing(self, function: Callable[[Any], str]) -> Callable[[Any], str]:
        """
        The function that makes text of an expression; after it no value of the expression can fail.
        """
        followed = self.following(function)

        def printed(value: Any) -> str:
            text: str = followed(value)
            self._latest = (None, _NONE)
            return text

        return printed

    def looped(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items of a loop, which are unpacked next."""
        try:
            for item in items:
                self._note_use(item, items)
                yield item
        except TEMPLATE_ERRORS as error:
            self._note_failure(error, (items,))
            raise

    def compared(self, how: str, left: Any, right: Any) -> Any:
        """The outcome of a comparison."""
        return self.following(_COMPARING[how])(left, right)

    def call_binop(self, _: Any, how: str, left: Any, right: Any) -> Any:
        """Apply an operator to two values."""
        return self.following(_BINARY[how])(left, right)

    def call_unop(self, _: Any, how: str, value: Any) -> Any:
        """Apply an operator to one value."""
        return self.following(_UNARY[how])(value)

    def _note_use(self, *values: object) -> None:
        """These are what the template's code has at hand now."""
        if keys := self.keys(values):
            self._latest = (_place(sys._getframe(2)), keys)

    def _note_failure(self, error: Exception, given: Sequence[object]) -> None:
        if self._failed[0] is error and self._failed[1]:
            return
        self._failed = (error, self.keys(given))
        undefined = next((one for one in given if isinstance(one, jinja2.Undefined)), None)
        if undefined is not None and not isinstance(error, jinja2.UndefinedError):
            try:
                str(undefined)
            except jinja2.UndefinedError as better:
                self.better = better

    def _note(self, made: Any, of: Sequence[object]) -> Any:
        if keys := _NONE.union(*map(self.keys, of)):
            self._note_all(made, keys)
        return made

    def _note_all(self, value: Any, keys: frozenset[str]) -> None:
        parts: Iterable[object] = ()
        if isinstance(value, dict):
            parts = (*value, *value.values())
        elif isinstance(value, (list, tuple)):
            parts = value
        for part in parts:
            self._note_all(part, keys)
        if not (isinstance(value, TaintedText) or _is_shared(value)):
            self._keys[id(value)] = self._keys.get(id(value), _NONE) | keys
            self._held.append(value)


def watched(
    environment: Environment, tracer: FaultTracer, codes: dict[tuple[type, str], CodeType]
) -> Environment:
    """
    The same bound environment, in which the tracer follows everything that can fail.

    codes: of templates that were watched before, by the class of the environment and by name.
    """
    made = environment.traced(tracer)
    made.__dict__.update(
        sandboxed=True,  # so that operators and calls go through the environment
        intercepted_binops=frozenset(_BINARY),
        intercepted_unops=frozenset(_UNARY),
        call_binop=tracer.call_binop,
        call_unop=tracer.call_unop,
        call=tracer.following(_call),
        compared=tracer.compared,
        finalize=tracer.printing(environment.finalize or str),
        getattr=tracer.following(environment.getattr),
        getitem=tracer.following(environment.getitem),
        looped=tracer.looped,
        product=tracer.following(bounds.product),
        power=tracer.following(bounds.power),
        loader=_WatchedLoader(environment.files, codes),
        tests=tracer.following_all(environment.tests),
    )
    for name in environment.helpers:
        setattr(made, name, tracer.following(getattr(environment, name)))
    return made


def _call(context: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
    return context.call(function, *args, **kwargs)


class _WatchedLoader(MarkedLoader):
    """Templates whose comparisons and loops pass through a FaultTracer as well, compiled once."""

    def __init__(self, files: TemplateFiles, codes: dict[tuple[type, str], CodeType]) -> None:
        super().__init__(files)
        self._codes = codes

    def code(self, environment: jinja2.Environment, name: str) -> CodeType:
        """As in MarkedLoader."""
        key = type(environment), name
        if key not in self._codes:
            self._codes[key] = super().code(environment, name)
        return self._codes[key]

    def tree(self, environment: jinja2.Environment, name: str) -> nodes.Template:
        """As in MarkedLoader."""
        tree: nodes.Template = _Watcher().visit(super().tree(environment, name))
        tree.set_environment(environment)
        return tree


class _Watcher(NodeTransformer):
    """Jinja2's own way to change a tree."""

    def visit_Compare(self, node: nodes.Compare) -> nodes.Expr:  # noqa: N802 - Jinja2's name
        """A comparison of two values; a chain of several stays as it is."""
        self.generic_visit(node)
        if len(node.ops) != 1:
            return node
        how = nodes.Const(node.ops[0].op, lineno=node.lineno)
        return _environment("compared", node, how, node.expr, node.ops[0].expr)

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802
        """The items of a loop."""
        self.generic_visit(node)
        assert isinstance(node.iter, nodes.Expr)  # noqa: S101 - says so to the type checker
        node.iter = _environment("looped", node, node.iter)
        return node


def _environment(name: str, at: nodes.Node, *args: nodes.Expr) -> nodes.Call:
    function = nodes.EnvironmentAttribute(name, lineno=at.lineno)
    return nodes.Call(function, list(args), [], None, None, lineno=at.lineno)


def _is_shared(value: object) -> bool:
    if isinstance(value, jinja2.Undefined):
        return False
    if value is None or isinstance(value, bool) or callable(value):
        return True
    if type(value) is str:
        return len(value) <= _SHARED_LENGTH
    return type(value) is int and value in _SHARED_INTS


def _place(frame: FrameType | None) -> Place | None:
    """The line of a template's code that is executed."""
    while frame is not None:
        if "__jinja_template__" in frame.f_globals:
            return frame.f_code, frame.f_lineno
        frame = frame.f_back
    return None


def _place_of(error: BaseException) -> Place | None:
    place: Place | None = None
    traceback = error.__traceback__
    while traceback is not None:
        if "__jinja_template__" in traceback.tb_frame.f_globals:
            place = traceback.tb_frame.f_code, traceback.tb_lineno
        traceback = traceback.tb_next
    return place
