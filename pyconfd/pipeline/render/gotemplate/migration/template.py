"""
Converts a whole Go template to Jinja2. Pure.

Each action of the source becomes one block or output, or several beside each other, so that the
layout stays. Raises ByHand for an action without a counterpart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from pyconfd.pipeline.render.gotemplate.errors import GoSyntaxError
from pyconfd.pipeline.render.gotemplate.functions.signatures import FORK_ONLY, Signature
from pyconfd.pipeline.render.gotemplate.language.constants import unquoted
from pyconfd.pipeline.render.gotemplate.language.lexer import LineIndex
from pyconfd.pipeline.render.gotemplate.language.parser import parse
from pyconfd.pipeline.render.gotemplate.language.syntax import (
    Action,
    Body,
    Branch,
    Call,
    Chain,
    Dot,
    Identifier,
    Jump,
    Literal,
    Operand,
    Pipeline,
    Stage,
    Statement,
    Text,
    Tree,
    Variable,
)
from pyconfd.pipeline.render.gotemplate.migration.actions import SourceAction, actions, trimmed
from pyconfd.pipeline.render.gotemplate.migration.expressions import (
    CALLABLE,
    ByHand,
    Expression,
    Expressions,
    quoted,
)
from pyconfd.pipeline.render.gotemplate.migration.naming import Names
from pyconfd.pipeline.render.gotemplate.migration.whitespace import (
    Code,
    Gap,
    Unkeepable,
    laid_out,
)

#: What the elements of a list are called, by the function that gives it.
_ELEMENT_NAMES = {
    "gets": "pair", "getvs": "value", "ls": "name", "lsdir": "name", "split": "part",
    "seq": "number", "lookupSRV": "record", "lookupIP": "address", "lookupIPV4": "address",
    "lookupIPV6": "address",
}  # fmt: skip
_INDEX_NAMES = frozenset(("i", "idx", "index", "n", "j", "_"))


class Untranslatable(Exception):
    """A template that must be converted by hand. what: why. line: where, 1-based."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(what)
        self.what = what
        self.line = line


def jinja2_of(
    source: str, signatures: Mapping[str, Signature], renamed: Callable[[str], str]
) -> str:
    """
    The template in Jinja2. Raises Untranslatable.

    signatures: of the functions of that confd. renamed: what another template file is called then.
    """
    lines = LineIndex(source)
    try:
        return _Template(source, parse(source, signatures, FORK_ONLY), signatures, renamed).text()
    except GoSyntaxError as error:
        raise Untranslatable(error.what, error.at.line) from error
    except ByHand as error:
        raise Untranslatable(error.what, lines.line(error.at)) from error


@dataclass(slots=True)
class _Open:
    """
    A block that is open.

    ends: what its end is, as codes.
    dot: that is restored.
    kind: of the action. branch: of if, with and range.
    loops: 1 while it is a loop.
    """

    ends: list[Code]
    dot: Expression
    kind: str
    branch: Branch | None = None
    loops: int = 0


class _Template:
    def __init__(
        self,
        source: str,
        tree: Tree,
        signatures: Mapping[str, Signature],
        renamed: Callable[[str], str],
    ) -> None:
        self._source = source
        self._tree = tree
        self._renamed = renamed
        self._actions = actions(source)
        self._statements = {one.at: one for one in _all(tree)}
        self._macros = _macro_names(tree)
        self._names = Names({*CALLABLE, *self._macros.values()})
        self._variables: dict[int, Expression] = {}
        self._index_of: dict[int, int] = {}
        self._namespaces = _assigned_elsewhere(tree)
        self._open: list[_Open] = []
        self._loops = 0
        self._expressions = Expressions(signatures, self._variable)

    def text(self) -> str:
        """All of it."""
        self._check_order()
        codes: list[Code] = []
        texts: list[Gap] = []
        begins: list[int] = []
        before: SourceAction | None = None
        for action in self._actions:
            texts.append(self._between(before, action))
            begins.append(before.end if before else 0)
            made = self._action(action)
            codes += made
            texts += [Gap("", "")] * (len(made) - 1)
            begins += [action.begin] * (len(made) - 1)
            before = action
        texts.append(self._between(before, None))
        try:
            return laid_out(texts, codes)
        except Unkeepable as error:
            begin = [*begins, before.end if before else 0][error.at]
            raise ByHand("white space or line ends that Jinja2 does not keep", begin) from error

    def _between(self, before: SourceAction | None, after: SourceAction | None) -> Gap:
        begin = before.end if before else 0
        raw = self._source[begin : after.begin if after else len(self._source)]
        trims = (before is not None and before.right, after is not None and after.left)
        return Gap(raw, trimmed(raw, before, after), trims)

    def _check_order(self) -> None:
        """A macro exists from its definition on; Go's templates exist everywhere."""
        defined: set[str] = set()
        depth = 0  # in a define, which is called later
        for action in self._actions:
            word = action.word
            if word in ("define", "block"):
                defined.add(self._name_in(action))
            elif word == "template" and not depth:
                name = self._name_in(action)
                if name in self._macros and name not in defined:
                    what = f'template "{name}" is called before it is defined: move its define up'
                    raise ByHand(what, action.begin)
            if word == "define" or (depth and word in ("if", "with", "range", "block")):
                depth += 1
            elif word == "end" and depth:
                depth -= 1

    def _name_in(self, action: SourceAction) -> str:
        found = re.search(r'"(?:\\.|[^"\\])*"|`[^`]*`', action.inside)
        return unquoted(found[0]) if found else ""

    def _statement(self, action: SourceAction) -> Statement | None:
        return next(
            (
                self._statements[at]
                for at in range(action.begin, action.end)
                if at in self._statements
            ),
            None,
        )

    # Actions

    def _action(self, action: SourceAction) -> list[Code]:
        if action.comment is not None:
            text = action.comment.strip().replace("#}", "# }")
            return [Code("comment", text)]
        statement = self._statement(action)
        match action.word:
            case "end":
                return self._end()
            case "else":
                return self._else(statement)
            case "define":
                return self._define(self._name_in(action))
        match statement:
            case Branch(kind="range"):
                return self._range(statement)
            case Branch():
                return self._if(statement)
            case Call():
                return self._call(statement, action.word)
            case Jump():
                raise ByHand(f"{statement.kind} has no counterpart in Jinja2 here", action.begin)
            case Action():
                return self._printed(statement)
        raise ByHand("an action that is not known", action.begin)

    def _printed(self, action: Action) -> list[Code]:
        pipe = action.pipe
        if pipe.declared:
            return [self._set(pipe, self._expressions.pipeline(pipe))]
        if file := _included(pipe):
            return [Code("block", f"include {quoted(self._renamed(file))}")]
        return [Code("output", self._expressions.printed(pipe))]

    def _set(self, pipe: Pipeline, value: Expression) -> Code:
        """`{{$x := ...}}` and `{{$x = ...}}`."""
        (variable,) = pipe.declared
        slot = variable.slot
        if slot is None:
            raise ByHand(f"{variable.name} is out of scope", variable.at)
        if pipe.assigns:
            target = self._variables[slot].text
            return Code("block", f"set {target} = {value.text}")
        name = self._names.new(variable.name)
        if slot in self._namespaces:
            self._declare(slot, Expression(f"{name}.value"))
            return Code("block", f"set {name} = namespace(value={value.text})")
        kind = "any" if slot in self._tree.assigned else value.type
        self._declare(slot, Expression(name, kind))
        return Code("block", f"set {name} = {value.text}")

    def _declare(self, slot: int, value: Expression) -> None:
        self._variables[slot] = value

    def _variable(self, variable: Variable) -> Expression:
        slot = variable.slot
        if slot is None:
            raise ByHand(f"{variable.name} is out of scope", variable.at)
        if slot not in self._variables:
            what = "$ is nothing" if not slot else f"{variable.name} is a whole list in an else"
            raise ByHand(what, variable.at)
        if self._index_of.get(slot, self._loops) != self._loops:
            raise ByHand(f"{variable.name}, the index of an outer loop, is used in it", variable.at)
        return self._variables[slot]

    # Blocks

    def _enter(
        self, kind: str, ends: list[Code], branch: Branch | None = None, loop: bool = False
    ) -> None:
        self._open.append(_Open(ends, self._expressions.dot, kind, branch, int(loop)))
        self._names.enter()
        self._loops += loop

    def _end(self) -> list[Code]:
        block = self._open.pop()
        self._names.leave()
        self._loops -= block.loops
        self._expressions.dot = block.dot
        return block.ends

    def _else(self, following: Statement | None) -> list[Code]:
        block = self._open[-1]
        self._names.leave()
        self._names.enter()
        self._expressions.dot = block.dot
        if block.kind == "range":
            self._loops -= block.loops
            block.loops = 0
        if not isinstance(following, Branch):
            return [Code("block", "else")]
        pipe = following.pipe
        if following.kind == "if" and not pipe.declared and block.kind == "if":
            return [Code("block", f"elif {self._expressions.pipeline(pipe).test.text}")]
        # a branch of its own, which ends with the one around it
        made = [Code("block", "else"), *self._tested(following)]
        block.ends = [Code("block", "endif"), *block.ends]
        block.kind = following.kind
        return made

    def _if(self, branch: Branch) -> list[Code]:
        self._enter(branch.kind, [Code("block", "endif")], branch)
        return self._tested(branch)

    def _tested(self, branch: Branch) -> list[Code]:
        """if and with, after their declarations."""
        pipe = branch.pipe
        value = self._expressions.pipeline(pipe).test
        made: list[Code] = []
        if pipe.declared:
            made.append(self._set(pipe, value))
            slot = pipe.declared[0].slot
            value = self._variables[slot] if slot is not None else value
        if branch.kind == "with" and not (_is_name(value.text) and self._stays(pipe)):
            name = self._names.new(_named_after(pipe) or "value", stays=True)
            made.append(Code("block", f"set {name} = {value.text}"))
            value = Expression(name, value.type)
        if branch.kind == "with":
            self._names.keep(value.text)
            self._expressions.dot = value
        return [*made, Code("block", f"if {value.text}")]

    def _stays(self, pipe: Pipeline) -> bool:
        """Whether what `with` declares keeps its value: the dot does."""
        return not any(variable.slot in self._tree.assigned for variable in pipe.declared)

    def _range(self, branch: Branch) -> list[Code]:
        pipe = branch.pipe
        if pipe.assigns:
            raise ByHand("range assigns to variables that exist", branch.at)
        value = self._expressions.pipeline(pipe)
        self._enter("range", [Code("block", "endfor")], branch, loop=True)
        if len(pipe.declared) == 2:
            return self._range_with_two(branch, value)
        if value.may_miss:
            value = Expression(f"{value.tight} | default([])", value.type, False)
        if value.type == "int":
            value = Expression(f"range({value.text})", "ints")
        if value.type == "map":
            value = Expression(f"{value.tight} | values", "list", False)
        if value.type in ("string", "bool", "float", "pair", "nothing"):
            raise ByHand(f"range over a {_kind(value.type)}", branch.at)
        target, dot = self._target(branch, value)
        self._expressions.dot = dot
        made = [Code("block", f"for {target} in {_ordered(value)}")]
        return made + [code for one in pipe.declared for code in self._loop_variable(one, dot)]

    def _loop_variable(self, variable: Variable, value: Expression) -> list[Code]:
        """What the loop sets: a separate variable if the body assigns another value to it."""
        slot = variable.slot
        if slot is None:
            return []
        if slot not in self._tree.assigned:
            self._declare(slot, value)
            return []
        name = self._names.new(variable.name)
        if slot in self._namespaces:
            self._declare(slot, Expression(f"{name}.value"))
            return [Code("block", f"set {name} = namespace(value={value.text})")]
        self._declare(slot, Expression(name))
        return [Code("block", f"set {name} = {value.text}")]

    def _range_with_two(self, branch: Branch, value: Expression) -> list[Code]:
        """With an index or a key beside the element."""
        first, second = branch.pipe.declared
        is_map = value.type == "map" or (
            value.type == "any" and first.name.lstrip("$").lower() not in _INDEX_NAMES
        )
        if first.slot is None or second.slot is None:
            raise ByHand("range with a variable that is out of scope", branch.at)
        if is_map:
            key = self._names.new(first.name, stays=True)
            item = self._names.new(second.name, stays=True)
            self._expressions.dot = Expression(item)
            return [
                Code("block", f"for {key}, {item} in {value.tight} | dictsort(true)"),
                *self._loop_variable(first, Expression(key, "string")),
                *self._loop_variable(second, Expression(item)),
            ]
        target, dot = self._target(branch, value, second.name)
        self._expressions.dot = dot
        made = [Code("block", f"for {target} in {_ordered(value)}")]
        made += self._loop_variable(second, dot)
        if first.slot in self._tree.assigned:
            return made + self._loop_variable(first, Expression("loop.index0", "int"))
        if _used_in_loops(branch.body, first.slot):
            name = self._names.new(first.name)
            self._declare(first.slot, Expression(name, "int"))
            return [*made, Code("block", f"set {name} = loop.index0")]
        self._declare(first.slot, Expression("loop.index0", "int"))
        self._index_of[first.slot] = self._loops
        return made

    def _target(self, branch: Branch, value: Expression, name: str = "") -> tuple[str, Expression]:
        """What a loop sets each time, and how it is called inside."""
        declared = branch.pipe.declared
        if value.type == "pairs" and not declared and _takes_both(branch.body):
            key, item = (self._names.new(name, stays=True) for name in ("key", "value"))
            return f"{key}, {item}", Expression(f"{key}\0{item}", "two")
        wanted = name or (declared[0].name if declared else _named_after(branch.pipe) or "item")
        target = self._names.new(wanted, stays=True)
        return target, Expression(target, value.element)

    # Templates

    def _define(self, name: str) -> list[Code]:
        self._enter("define", [Code("block", "endmacro")])
        data = self._names.new("data", stays=True)
        self._expressions.dot = Expression(data, "data")
        return [Code("block", f"macro {self._macros[name]}({data})")]

    def _call(self, call: Call, word: str) -> list[Code]:
        if call.name not in self._macros:
            raise ByHand(f'template "{call.name}" is not defined in this file', call.at)
        pipe = call.pipe
        if pipe is not None and pipe.declared:
            raise ByHand(f"{word} declares a variable", call.at)
        dot = self._expressions.dot
        given = "none"
        if pipe is not None and not (_is_dot(pipe) and dot.type == "nothing"):
            given = self._expressions.pipeline(pipe).text
        called = Code("output", f"{self._macros[call.name]}({given})")
        if word == "template":
            return [called]
        made = self._define(call.name)
        self._open[-1].ends = [*self._open[-1].ends, called]
        return made


def _kind(name: str) -> str:
    return {"string": "text", "nothing": "nil"}.get(name, name)


def _is_name(text: str) -> bool:
    return text.isidentifier()


def _ordered(value: Expression) -> str:
    return value.text if value.atom or " if " not in value.text else value.tight


def _included(pipe: Pipeline) -> str:
    """The file of an action that only includes one, without data."""
    match pipe.commands:
        case (Stage(args=(Identifier(name="include"), Text(value=name))),):
            return name.lstrip("/")
    return ""


def _named_after(pipe: Pipeline) -> str:
    """A name for an element, by the function that gives the list."""
    if not pipe.commands:
        return ""
    first = pipe.commands[-1].args[0]
    if isinstance(first, Pipeline):
        return _named_after(first)
    if isinstance(first, Identifier):
        args = pipe.commands[-1].args
        if first.name in ("sortByLength", "sortKVByLength", "reverse") and len(args) == 2:
            inner = args[1]
            return _named_after(inner) if isinstance(inner, Pipeline) else ""
        return _ELEMENT_NAMES.get(first.name, "")
    if isinstance(first, Chain):
        name = first.fields[-1]
        return name[:-1] if name.endswith("s") and len(name) > 3 and name.islower() else ""
    return ""


def _is_dot(pipe: Pipeline) -> bool:
    return len(pipe.commands) == 1 and isinstance(pipe.commands[0].args[0], Dot)


def _macro_names(tree: Tree) -> dict[str, str]:
    names = Names(CALLABLE)
    return {name: names.new(re.sub(r"\.\w+$", "", name), stays=True) for name in tree.defined}


# Walks over the tree


def _all(tree: Tree) -> Iterator[Statement]:
    """Every statement but texts."""
    todo: list[Statement] = [*tree.body, *(one for body in tree.defined.values() for one in body)]
    while todo:
        statement = todo.pop()
        if not isinstance(statement, Literal):
            yield statement
        if isinstance(statement, Branch):
            todo += [*statement.body, *(statement.other or ())]


def _pipe(statement: Statement) -> Pipeline | None:
    return getattr(statement, "pipe", None)


def _operands(pipe: Pipeline) -> Iterator[Operand]:
    """Every operand, including chains and their bases."""
    for stage in pipe.commands:
        for operand in stage.args:
            yield from _inside(operand)


def _inside(operand: Operand) -> Iterator[Operand]:
    yield operand
    if isinstance(operand, Pipeline):
        yield from _operands(operand)
    elif isinstance(operand, Chain) and isinstance(operand.of, Pipeline):
        yield from _operands(operand.of)


def _takes_both(body: Body) -> bool:
    """Whether a body uses both the dot's Key and its Value, and the dot in no other way."""
    fields: set[str] = set()
    for operand in _of_the_dot(body):
        if isinstance(operand, Dot) or operand.fields[0] not in ("Key", "Value"):
            return False
        fields.add(operand.fields[0])
    return fields == {"Key", "Value"}


def _of_the_dot(body: Iterable[Statement]) -> Iterator[Dot | Chain]:
    """The uses of this dot in a body, without places where the dot is another one."""
    for statement in body:
        pipe = _pipe(statement)
        for operand in _operands(pipe) if pipe else ():
            if isinstance(operand, Dot) or (
                isinstance(operand, Chain) and isinstance(operand.of, Dot)
            ):
                yield operand
        if isinstance(statement, Branch):
            if statement.kind == "if":
                yield from _of_the_dot(statement.body)
            yield from _of_the_dot(statement.other or ())


def _used_in_loops(body: Iterable[Statement], slot: int, inside: bool = False) -> bool:
    """Whether a variable is used in a loop within a body."""
    for statement in body:
        pipe = _pipe(statement)
        if inside and pipe and any(_is_slot(one, slot) for one in _operands(pipe)):
            return True
        if isinstance(statement, Branch):
            deeper = inside or statement.kind == "range"
            if _used_in_loops(statement.body, slot, deeper):
                return True
            if _used_in_loops(statement.other or (), slot, inside):
                return True
    return False


def _is_slot(operand: Operand, slot: int) -> bool:
    variable = operand.of if isinstance(operand, Chain) else operand
    return isinstance(variable, Variable) and variable.slot == slot


def _assigned_elsewhere(tree: Tree) -> frozenset[int]:
    """The slots that get a value in another loop than that of their declaration."""
    declared: dict[int, tuple[int, ...]] = {}
    found: set[int] = set()

    def walk(body: Iterable[Statement], loops: tuple[int, ...]) -> None:
        for statement in body:
            pipe = _pipe(statement)
            inner = loops
            if isinstance(statement, Branch) and statement.kind == "range":
                inner = (*loops, statement.at)
            for variable in pipe.declared if pipe else ():
                if variable.slot is None:
                    continue
                where = declared.setdefault(variable.slot, inner)
                if pipe is not None and pipe.assigns and where != loops:
                    found.add(variable.slot)
            if isinstance(statement, Branch):
                walk(statement.body, inner)
                walk(statement.other or (), loops)

    for body in (tree.body, *tree.defined.values()):
        walk(body, ())
    return frozenset(found)
