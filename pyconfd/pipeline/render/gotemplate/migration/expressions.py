"""
Converts expressions of Go templates to Jinja2. Pure.

If types are not known, those usual for confd are assumed: texts, and objects from JSON. Rendering
both templates shows whether that is right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from pyconfd.pipeline.render import function_table  # noqa: F401 - fills the table of names
from pyconfd.pipeline.render.functions.names import FUNCTIONS
from pyconfd.pipeline.render.functions.store import READERS
from pyconfd.pipeline.render.gotemplate.functions.signatures import Signature
from pyconfd.pipeline.render.gotemplate.language.syntax import (
    Bool,
    Chain,
    Dot,
    Identifier,
    Nil,
    Number,
    Operand,
    Pipeline,
    Stage,
    Text,
    Variable,
)

_ELEMENTS = {
    "pairs": "pair",
    "strings": "string",
    "ints": "int",
    "services": "service",
    "map": "any",
    "list": "any",
}
_WORDS_ARE_METHODS = frozenset({*dir(dict), *dir(str), *dir(list)})
_COMPARES = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_ARITHMETIC = {"add": "+", "sub": "-", "mul": "*"}
#: What Jinja2 templates can call.
CALLABLE = READERS | FUNCTIONS.keys() | {"getenv"}
_VERB = re.compile(r"%(?:%|([-+0 #]*\d*(?:\.\d+)?)([a-zA-Z])|)")


class ByHand(Exception):
    """
    Something that must be converted by hand.

    what: the reason.
    at: where, in characters of the template.
    """

    def __init__(self, what: str, at: int) -> None:
        super().__init__(what)
        self.what = what
        self.at = at


@dataclass(frozen=True, slots=True)
class Expression:
    """
    text: in Jinja2.
    type: of its value, as signatures call it; "data" is what a macro was given, "two" a pair that a
        loop gives as two names, with a NUL between them in the text.
    atom: whether it needs no parentheses inside of another one.
    may_miss: whether it is a member of an object that may not have it.
    """

    text: str
    type: str = "any"
    atom: bool = True
    may_miss: bool = False

    @property
    def tight(self) -> str:
        """The expression for use inside another one."""
        return self.text if self.atom else f"({self.text})"

    @property
    def test(self) -> Expression:
        """The expression for a test: a missing member is false in Go, but a fault in Jinja2."""
        if not self.may_miss:
            return self
        return Expression(f"{self.tight} | default", self.type, False)

    @property
    def element(self) -> str:
        """The type of the elements of a loop over it."""
        return _ELEMENTS.get(self.type, "any")


class Expressions:
    """
    Pipelines as expressions.

    signatures: of the functions of that confd.
    lookup: the expression of a variable.
    dot: that of the dot; set by the statements around.
    """

    def __init__(
        self, signatures: Mapping[str, Signature], lookup: Callable[[Variable], Expression]
    ) -> None:
        self._signatures = signatures
        self._lookup = lookup
        self.dot = Expression("none", "nothing")

    def pipeline(self, pipe: Pipeline) -> Expression:
        """The value of a whole pipeline."""
        value: Expression | None = None
        for stage in pipe.commands:
            value = self._stage(stage, value)
        assert value is not None  # noqa: S101 - the parser allows no empty one here
        return value

    def printed(self, pipe: Pipeline) -> str:
        """What an action prints."""
        value, at = self.pipeline(pipe), pipe.at
        match value.type:
            case "strings" | "ints":
                joined = f'{value.tight} | join(" ")'
                return f'"[" ~ {joined} ~ "]"'
            case "pair":
                return f'"{{" ~ {value.tight}.key ~ " " ~ {value.tight}.value ~ "}}"'
            case "pairs" | "map" | "list" | "services" | "time" | "nothing":
                self._fail(f"prints a whole {_called(value.type)}, as Go writes it", at)
        return value.text

    def _fail(self, what: str, at: int) -> NoReturn:
        raise ByHand(what, at)

    def _stage(self, stage: Stage, final: Expression | None) -> Expression:
        first, *rest = stage.args
        if isinstance(first, Identifier):
            args = [self.operand(one) for one in rest] + ([final] if final else [])
            return self._call(first, args, rest)
        if rest or final:
            self._fail("calls a method, or what is no function", stage.at)
        return self.operand(first)

    def operand(self, operand: Operand) -> Expression:
        """One operand."""
        match operand:
            case Dot():
                if self.dot.type == "nothing":
                    self._fail("the dot is nothing here", operand.at)
                return self.dot
            case Variable():
                return self._lookup(operand)
            case Chain():
                return self._members(operand)
            case Identifier():
                return self._call(operand, [], [])
            case Pipeline():
                return self.pipeline(operand)
            case Nil():
                return Expression("none", "nothing")
            case Bool():
                return Expression("true" if operand.value else "false", "bool")
            case Text():
                return Expression(quoted(operand.value), "string")
        return self._number(operand)

    def _number(self, number: Number) -> Expression:
        value = number.value
        if value is None or isinstance(value, complex):
            self._fail(f"a number that Jinja2 does not have: {number.text}", number.at)
        if isinstance(value, float) and "e" in repr(value):
            self._fail(f"a number that Jinja2 prints otherwise: {number.text}", number.at)
        return Expression(repr(value), "int" if isinstance(value, int) else "float", value >= 0)

    def _members(self, chain: Chain) -> Expression:
        if isinstance(chain.of, Dot) and self.dot.type == "nothing":
            self._fail(f".{chain.fields[0]} of a dot that is nothing", chain.at)
        value = self.operand(chain.of)
        for name in chain.fields:
            value = _member(value, name)
        return value

    def _call(
        self, function: Identifier, args: Sequence[Expression], operands: Sequence[Operand]
    ) -> Expression:
        name, at = function.name, function.at
        signature = self._signatures[name]
        fixed = len(signature.takes)
        if len(args) < fixed or (len(args) > fixed and not signature.more):
            self._fail(f"{name} has the wrong number of arguments", at)
        special: Callable[..., Expression] | None = getattr(self, f"_call_{name}", None)
        if special is not None:
            return special(args, operands, at)
        if name in _COMPARES:
            return self._compare(name, args)
        if name in _ARITHMETIC and all(arg.type == "int" for arg in args):
            left, right = args
            return Expression(f"{left.tight} {_ARITHMETIC[name]} {right.tight}", "int", False)
        if name not in CALLABLE:
            self._fail(f"there is no function {name} for Jinja2 templates", at)
        return Expression(f"{name}({', '.join(arg.text for arg in args)})", signature.gives)

    def _compare(self, name: str, args: Sequence[Expression]) -> Expression:
        first, *others = args
        if len(others) == 1:
            return Expression(f"{first.tight} {_COMPARES[name]} {others[0].tight}", "bool", False)
        listed = ", ".join(other.text for other in others)
        return Expression(f"{first.tight} in [{listed}]", "bool", False)

    def _call_and(
        self, args: Sequence[Expression], _: Sequence[Operand], at: int, word: str = "and"
    ) -> Expression:
        del at
        types = {arg.type for arg in args}
        text = f" {word} ".join(arg.test.tight for arg in args)
        return Expression(text, types.pop() if len(types) == 1 else "any", len(args) == 1)

    def _call_or(
        self, args: Sequence[Expression], operands: Sequence[Operand], at: int
    ) -> Expression:
        return self._call_and(args, operands, at, "or")

    def _call_not(self, args: Sequence[Expression], _: Sequence[Operand], at: int) -> Expression:
        del at
        return Expression(f"not {args[0].test.tight}", "bool", False)

    def _call_len(self, args: Sequence[Expression], _: Sequence[Operand], at: int) -> Expression:
        del at
        return Expression(f"{args[0].tight} | length", "int", False)

    def _call_index(self, args: Sequence[Expression], _: Sequence[Operand], at: int) -> Expression:
        del at
        value, *keys = args
        for key in keys:
            missing = value.type in ("any", "map")
            value = Expression(f"{value.tight}[{key.text}]", value.element, may_miss=missing)
        return value

    def _call_slice(self, args: Sequence[Expression], _: Sequence[Operand], at: int) -> Expression:
        value, *ends = args
        if len(ends) > 2:
            self._fail("slice with a capacity", at)
        texts = [end.text for end in ends] + [""] * (2 - len(ends))
        return Expression(f"{value.tight}[{texts[0]}:{texts[1]}]", value.type)

    def _call_printf(
        self, args: Sequence[Expression], operands: Sequence[Operand], at: int
    ) -> Expression:
        if not operands or not isinstance(operands[0], Text):
            self._fail("printf with a format that is not a constant", at)
        written, values = operands[0].value, list(args[1:])
        parts: list[str] = []
        end = 0
        for found in _VERB.finditer(written):
            parts.append(written[end : found.start()])
            end = found.end()
            parts.append("%%" if found[0] == "%%" else self._verb(found, values, len(parts), at))
        parts.append(written[end:])
        used = [part for part in parts if part.startswith("%") and part != "%%"]
        if len(used) != len(values):
            self._fail("printf with another number of values than verbs", at)
        text = quoted("".join(parts))
        if not values:
            return Expression(quoted("".join(parts).replace("%%", "%")), "string")
        listed = ", ".join(value.text for value in values)
        right = values[0].tight if len(values) == 1 else f"({listed})"
        return Expression(f"{text} % {right}", "string", False)

    def _verb(self, found: re.Match[str], values: list[Expression], place: int, at: int) -> str:
        """One verb of printf as Python has it. place: how many parts there were before."""
        index = place // 2
        flags, verb = found[1] or "", found[2] or ""
        if index >= len(values):
            self._fail("printf with another number of values than verbs", at)
        value = values[index]
        kind = value.type
        if verb == "q" and kind in ("string", "any") and not flags:
            values[index] = Expression(f"quote({value.text})", "string")
            return "%s"
        if (verb in ("s", "v") and kind in ("string", "any")) or (verb, kind) == ("v", "int"):
            return (
                f"%{flags}s" if "0" not in flags[:1] else self._fail(f"printf with {found[0]}", at)
            )
        if verb in ("d", "x", "X", "o") and kind in ("int", "any") and "#" not in flags:
            return f"%{flags}{verb}"
        raise ByHand(f"printf with {found[0]}, which Python prints otherwise", at)

    def _call_print(self, args: Sequence[Expression], _: Sequence[Operand], at: int) -> Expression:
        if any(arg.type not in ("string", "int") for arg in args):
            self._fail("print of other values than texts and whole numbers", at)
        if len(args) == 1 and args[0].type == "int":
            return Expression(f"{args[0].tight} | string", "string", False)
        parts: list[str] = []
        for at_arg, arg in enumerate(args):
            if at_arg and "string" not in (arg.type, args[at_arg - 1].type):
                parts.append('" "')
            parts.append(arg.tight)
        return Expression(" ~ ".join(parts) or '""', "string", len(parts) < 2)

    def _call_join(self, args: Sequence[Expression], _: Sequence[Operand], at: int) -> Expression:
        del at
        return Expression(f"{args[0].tight} | join({args[1].text})", "string", False)

    def _call_replace(
        self, args: Sequence[Expression], _: Sequence[Operand], at: int
    ) -> Expression:
        del at
        text, old, new, count = args
        if count.text == "-1":
            return Expression(f"{text.tight} | replace({old.text}, {new.text})", "string", False)
        return Expression(f"replace({', '.join(arg.text for arg in args)})", "string")

    def _call_toUpper(  # noqa: N802 - confd's name
        self, args: Sequence[Expression], _: Sequence[Operand], at: int
    ) -> Expression:
        del at
        return Expression(f"{args[0].tight} | upper", "string", False)

    def _call_toLower(  # noqa: N802 - confd's name
        self, args: Sequence[Expression], _: Sequence[Operand], at: int
    ) -> Expression:
        del at
        return Expression(f"{args[0].tight} | lower", "string", False)

    def _call_contains(
        self, args: Sequence[Expression], _: Sequence[Operand], at: int
    ) -> Expression:
        del at
        return Expression(f"{args[1].tight} in {args[0].tight}", "bool", False)

    def _call_ls(
        self, args: Sequence[Expression], operands: Sequence[Operand], at: int
    ) -> Expression:
        if operands and isinstance(operands[0], Text) and not operands[0].value.strip("/"):
            self._fail('ls "/" has no folders in confd, and has them here', at)
        return Expression(f"ls({args[0].text})", "strings")

    def _call_lsdir(
        self, args: Sequence[Expression], operands: Sequence[Operand], at: int
    ) -> Expression:
        if operands and isinstance(operands[0], Text) and not operands[0].value.strip("/"):
            self._fail('lsdir "/" is always empty in confd, and not here', at)
        return Expression(f"lsdir({args[0].text})", "strings")

    def _call_reverse(
        self, args: Sequence[Expression], _: Sequence[Operand], at: int
    ) -> Expression:
        del at
        if args[0].type == "pairs":
            return args[0]  # confd does nothing to them
        return Expression(f"reverse({args[0].text})", args[0].type)

    def _call_map(
        self, args: Sequence[Expression], operands: Sequence[Operand], at: int
    ) -> Expression:
        if len(args) % 2 or not all(isinstance(key, Text) for key in operands[::2]):
            return Expression(f"map({', '.join(arg.text for arg in args)})", "map")
        del at
        items = zip(args[::2], args[1::2], strict=True)
        listed = ", ".join(f"{key.text}: {value.text}" for key, value in items)
        return Expression(f"{{{listed}}}", "map")

    _call_dict = _call_map

    def _call_list(self, args: Sequence[Expression], _: Sequence[Operand], at: int) -> Expression:
        del at
        return Expression(f"[{', '.join(arg.text for arg in args)}]", "list")

    def _call_ternary(
        self, args: Sequence[Expression], _: Sequence[Operand], at: int
    ) -> Expression:
        del at
        yes, no, test = args
        kind = yes.type if yes.type == no.type else "any"
        return Expression(f"{yes.tight} if {test.test.tight} else {no.tight}", kind, False)

    def _call_default(
        self, args: Sequence[Expression], _: Sequence[Operand], at: int
    ) -> Expression:
        del at
        fallback, value = args
        return Expression(f"{value.tight} | default({fallback.text}, true)", value.type, False)

    def _call_datetime(self, _: Sequence[Expression], __: Sequence[Operand], at: int) -> Expression:
        self._fail("datetime is printed otherwise: write datetime().strftime(...)", at)


def _member(value: Expression, name: str) -> Expression:
    """`value.name`."""
    if value.type == "two":
        key, _, item = value.text.partition("\0")
        return Expression(key if name == "Key" else item, "string")
    if value.type in ("pair", "data") and name in ("Key", "Value"):
        return Expression(f"{value.tight}.{name.lower()}", "string")
    if value.type == "service":
        kind = "string" if name == "Target" else "int"
        return Expression(f"{value.tight}.{name.lower()}", kind)
    if name in _WORDS_ARE_METHODS or not name.isascii():
        return Expression(f"{value.tight}[{quoted(name)}]", may_miss=True)
    return Expression(f"{value.tight}.{name}", may_miss=True)


def _called(kind: str) -> str:
    return {"pairs": "list of pairs", "services": "list of records", "any": "value"}.get(kind, kind)


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def quoted(text: str) -> str:
    """A constant of Jinja2."""
    made = [
        _ESCAPES.get(char) or (char if char.isprintable() else _escaped(ord(char))) for char in text
    ]
    return f'"{"".join(made)}"'


def _escaped(code: int) -> str:
    return (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )
