"""
Translates the tree of a Go template to Jinja2's nodes. Pure.

An action that Go refuses only when it is reached becomes a call that fails there. Go's variables
are Python's locals: each declaration has a name of its own, so scopes need no code. Each defined
template becomes a macro with its data as the argument.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import nodes

from pyconfd.pipeline.render.gotemplate.arguments import GO_NAMES
from pyconfd.pipeline.render.gotemplate.errors import GoFault, GoSyntaxError
from pyconfd.pipeline.render.gotemplate.functions.patterns import NoPattern, compiled
from pyconfd.pipeline.render.gotemplate.functions.printf import simple_format
from pyconfd.pipeline.render.gotemplate.functions.signatures import Signature
from pyconfd.pipeline.render.gotemplate.language.lexer import LineIndex
from pyconfd.pipeline.render.gotemplate.language.syntax import (
    Action,
    Body,
    Bool,
    Branch,
    Call,
    Chain,
    Dot,
    Identifier,
    Jump,
    Literal,
    Nil,
    Number,
    Operand,
    Pipeline,
    Stage,
    Statement,
    Text,
    Tree,
    Variable,
)

#: The name by which a template finds the data that it is rendered with.
DATA = "go_data"
_ANYTHING = frozenset({"any", "value"})
_NILLABLE = frozenset({"list", "map", "pairs", "strings"})
_LISTS = frozenset({"ints", "list", "pairs", "services", "strings"})
_NAMES_OF_CHECKS = {
    "string": "go_string",
    "int": "go_integer",
    "bool": "go_boolean",
    "strings": "go_strings",
    "pairs": "go_pairs",
    "list": "go_anys",
    "map": "go_mapping",
}
_TYPES = {int: "int", float: "float", complex: "complex", str: "string", bool: "bool"}
_VERBS = re.compile(r"%(?:%|[#0+\- 0-9*.\[\]]*(.))", re.DOTALL)
_CONSTANTS = {"string": "string", "int": "integer", "bool": "bool"}


def translate(
    tree: Tree, name: str, source: str, signatures: Mapping[str, Signature]
) -> nodes.Template:
    """
    The template as Jinja2's nodes.

    name: of the file, by which the whole template can be called too.
    signatures: of the functions that it calls.
    """
    return _Translator(tree, name, LineIndex(source), signatures).template()


@dataclass(frozen=True, slots=True)
class _Value:
    """An expression and the type of its value, in the terms of signatures; "any" if unknown."""

    node: nodes.Expr
    type: str = "any"


@dataclass(slots=True)
class _Loop:
    """
    The meaning of break and continue.

    is_else: whether this is the else of a range: break ends it, continue is that of the range
    around it.
    flag: a local that says, after such an else, that a continue was reached in it.
    """

    is_else: bool = False
    flag: str = ""


class _Translator:
    def __init__(
        self, tree: Tree, name: str, places: LineIndex, signatures: Mapping[str, Signature]
    ) -> None:
        self._tree = tree
        self._places = places
        self._signatures = signatures
        self._count = 0
        self._line = 1
        self._dot = _local("fi_v0")
        self._loops: list[_Loop] = []
        self._defined = dict(tree.defined)
        if _calls(tree, base := name.rpartition("/")[2]):
            self._defined.setdefault(base, tree.body)
        self._macros = {name: f"go_template_{at}" for at, name in enumerate(self._defined)}

    def template(self) -> nodes.Template:
        """All of it: the macros, then the body."""
        made: list[nodes.Node] = []
        for name, body in self._defined.items():
            parameter = nodes.Name("fi_v0", "param", lineno=1)
            macro = self._macros[name]
            made.append(nodes.Macro(macro, [parameter], [], self._with_data(body), lineno=1))
        made.append(self._assign(_local("fi_v0"), nodes.Name(DATA, "load", lineno=1)))
        made += self._with_data(self._tree.body)
        return nodes.Template(made, lineno=1)

    def _with_data(self, body: Body) -> list[nodes.Node]:
        self._line = 1
        self._dot = _local("fi_v0")
        self._loops = []
        return self._body(body)

    # Small parts

    def _at(self, at: int) -> None:
        self._line = self._places.line(at)

    def _fresh(self, kind: str = "fi") -> nodes.InternalName:
        self._count += 1
        return _local(f"{kind}_t{self._count}")

    def _assign(self, target: nodes.InternalName, value: nodes.Expr) -> nodes.Assign:
        return nodes.Assign(target, value, lineno=self._line)

    def _const(self, value: Any) -> nodes.Const:
        return nodes.Const(value, lineno=self._line)

    def _helper(self, name: str, *args: nodes.Expr) -> nodes.Call:
        return nodes.Call(_local(name), list(args), [], None, None, lineno=self._line)

    def _fails(self, what: str) -> _Value:
        """An expression that fails when it is reached."""
        return _Value(self._helper("go_fail", self._const(what)))

    def _nothing(self) -> _Value:
        return _Value(_local("go_nothing"), "any")

    def _settled(self, value: _Value) -> nodes.Expr:
        """A value after its pipeline, where a nil in an interface becomes no value."""
        if value.type not in _ANYTHING:
            return value.node
        return self._helper("go_settled", value.node)

    # Statements

    def _body(self, body: Body) -> list[nodes.Node]:
        made: list[nodes.Node] = []
        for statement in body:
            for node in self._statement(statement):
                last = made[-1] if made else None
                if isinstance(node, nodes.Output) and isinstance(last, nodes.Output):
                    last.nodes += node.nodes
                else:
                    made.append(node)
        return made

    def _statement(self, statement: Statement) -> list[nodes.Node]:
        self._at(statement.at)
        match statement:
            case Literal():
                return [self._output(nodes.TemplateData(statement.text, lineno=self._line))]
            case Action():
                return self._action(statement)
            case Branch(kind="range"):
                return self._range(statement)
            case Branch():
                return self._if(statement)
            case Call():
                return self._call(statement)
            case Jump():
                return self._jump(statement.kind, self._loops)

    def _output(self, node: nodes.Expr) -> nodes.Output:
        return nodes.Output([node], lineno=self._line)

    def _action(self, action: Action) -> list[nodes.Node]:
        if not action.pipe.declared:
            return [self._output(self._pipeline(action.pipe).node)]
        return self._declared(action.pipe)

    def _declared(self, pipe: Pipeline) -> list[nodes.Node]:
        """The variables of a pipeline set to its value."""
        value = self._settled(self._pipeline(pipe))
        if len(pipe.declared) == 1:
            return [self._set(pipe.declared[0], value)]
        held = self._fresh()
        return [self._assign(held, value), *(self._set(one, held) for one in pipe.declared)]

    def _set(self, variable: Variable, value: nodes.Expr) -> nodes.Node:
        if variable.slot is None:
            return self._output(self._fails(f"undefined variable: {variable.name}").node)
        return self._assign(_local(f"fi_v{variable.slot}"), value)

    def _call(self, call: Call) -> list[nodes.Node]:
        """template and block."""
        if call.name not in self._macros:
            return [self._output(self._fails(f'template "{call.name}" not defined').node)]
        made: list[nodes.Node] = []
        data = self._nothing().node
        if call.pipe is not None and call.pipe.declared:
            made = self._declared(call.pipe)
            data = self._variable(call.pipe.declared[0]).node
        elif call.pipe is not None:
            data = self._settled(self._pipeline(call.pipe))
        macro = nodes.Name(self._macros[call.name], "load", lineno=self._line)
        made.append(self._output(nodes.Call(macro, [data], [], None, None, lineno=self._line)))
        return made

    def _jump(self, kind: str, loops: list[_Loop]) -> list[nodes.Node]:
        if not loops:
            return [self._output(self._fails(f"{kind} outside of a range").node)]
        loop = loops[-1]
        if not loop.is_else:
            jump = nodes.Break if kind == "break" else nodes.Continue
            return [jump(lineno=self._line)]
        if kind == "continue":
            return [
                self._assign(_local(loop.flag), self._const(True)),
                nodes.Break(lineno=self._line),
            ]
        return [nodes.Break(lineno=self._line)]

    def _if(self, branch: Branch) -> list[nodes.Node]:
        """if and with, and the chain of else branches behind it."""
        made: list[nodes.Node] = []
        line, dot = self._line, self._dot
        test = self._test(branch, made)
        node = nodes.If(test, self._body(branch.body), [], [], lineno=line)
        self._dot = dot
        made.append(node)
        other = branch.other
        while branch.kind == "if" and (following := _only_if(other)):
            self._at(following.at)
            line = self._line
            test = self._pipeline(following.pipe).node
            node.elif_.append(nodes.If(test, self._body(following.body), [], [], lineno=line))
            other = following.other
        node.else_ = self._body(other or ())
        return made

    def _test(self, branch: Branch, made: list[nodes.Node]) -> nodes.Expr:
        """The test of a branch; what it declares and the dot of `with` are set before."""
        pipe = branch.pipe
        if pipe.declared:
            made += self._declared(pipe)
            value = self._variable(pipe.declared[0]).node
        else:
            value = self._pipeline(pipe).node
        if branch.kind == "if":
            return value
        self._dot = self._fresh()
        made.append(self._assign(self._dot, self._settled(_Value(value))))
        return self._dot

    def _range(self, branch: Branch) -> list[nodes.Node]:
        pipe, line = branch.pipe, self._line
        value = self._pipeline(pipe)
        made: list[nodes.Node] = []
        if branch.other is not None or pipe.assigns:
            held = self._fresh()
            made.append(self._assign(held, value.node))
            value = _Value(held, value.type)
            if pipe.declared:
                made += [self._set(one, self._settled(value)) for one in pipe.declared]
        items: nodes.Expr = value.node
        if len(pipe.declared) == 2:
            items = self._helper("go_indexed", items)
        elif value.type not in _LISTS:
            items = self._helper("go_elements", items)
        target, body = self._turn(branch)
        loop = nodes.For(target, items, body, [], None, False, lineno=line)
        if branch.other is None:
            return [*made, loop]
        several = self._const(len(pipe.declared) == 2)
        test = self._helper("go_elements", value.node, several)
        before, other, after = self._else(branch.other)
        return [*made, *before, nodes.If(test, [loop], [], other, lineno=line), *after]

    def _turn(self, branch: Branch) -> tuple[nodes.Expr, list[nodes.Node]]:
        """What a loop sets in each turn, and its body."""
        declared = branch.pipe.declared
        outer, line = self._dot, self._line
        first: list[nodes.Node] = []
        targets: list[nodes.InternalName] = []
        for place, variable in enumerate(declared):
            taken = variable.slot is None or variable.slot in self._tree.assigned
            target = self._fresh() if taken else _local(f"fi_v{variable.slot}")
            if taken:
                first.append(self._set(variable, target))
            targets.append(target)
            if place == len(declared) - 1:
                self._dot = target
        if not declared:
            self._dot = self._fresh()
            targets = [self._dot]
        self._loops.append(_Loop())
        body = [*first, *self._body(branch.body)]
        self._loops.pop()
        self._dot, self._line = outer, line
        if len(targets) == 1:
            return targets[0], body
        return nodes.Tuple(list(targets), "store", lineno=line), body

    def _else(self, body: Body) -> tuple[list[nodes.Node], list[nodes.Node], list[nodes.Node]]:
        """
        The else of a range, and what stands before and after the whole range for it: a break in
        it ends it, a continue is that of the range around.
        """
        if not any(map(_has_jump, body)):
            return [], self._body(body), []
        line, flag = self._line, self._fresh()
        self._loops.append(_Loop(True, flag.name))
        once = nodes.Tuple([self._const(0)], "load", lineno=line)
        loop = nodes.For(self._fresh(), once, self._body(body), [], None, False, lineno=line)
        self._loops.pop()
        after = nodes.If(flag, self._jump("continue", self._loops), [], [], lineno=line)
        return [self._assign(flag, self._const(False))], [loop], [after]

    # Expressions

    def _pipeline(self, pipe: Pipeline) -> _Value:
        value: _Value | None = None
        for command in pipe.commands:
            value = self._command(command, value)
        return value or self._nothing()

    def _command(self, command: Stage, final: _Value | None) -> _Value:
        first, *args = command.args
        if isinstance(first, Identifier):
            return self._function(first.name, args, final)
        if not args and final is None:
            return (
                self._fails("nil is not a command")
                if isinstance(first, Nil)
                else self._operand(first)
            )
        if isinstance(first, Chain):
            return self._method(first, args, final)
        return self._fails(f"can't give argument to non-function {_shown(first)}")

    def _operand(self, operand: Operand) -> _Value:
        """A value whose type is not determined by its place."""
        match operand:
            case Dot():
                return _Value(self._dot)
            case Variable():
                return self._variable(operand)
            case Chain():
                return _Value(self._members(operand, operand.fields))
            case Identifier():
                return self._function(operand.name, [], None)
            case Pipeline():
                return self._pipeline(operand)
            case Nil():
                return self._nothing()
            case Number(value=None):
                return self._fails(f"{operand.text} overflows int")
        return _Value(self._const(operand.value), _TYPES[type(operand.value)])

    def _variable(self, variable: Variable) -> _Value:
        if variable.slot is None:
            return self._fails(f"undefined variable: {variable.name}")
        return _Value(_local(f"fi_v{variable.slot}"))

    def _members(self, chain: Chain, fields: tuple[str, ...]) -> nodes.Expr:
        value = self._operand(chain.of)
        node = self._settled(value) if isinstance(chain.of, Pipeline) else value.node
        if isinstance(node, nodes.Const):  # whose members Jinja2 would look up by itself
            node = self._helper("go_settled", node)
        for name in fields:
            node = nodes.Getattr(node, name, "load", lineno=self._line)
        return node

    def _method(self, chain: Chain, args: list[Operand], final: _Value | None) -> _Value:
        receiver = self._members(chain, chain.fields[:-1])
        given = [self._operand(arg).node for arg in args]
        given += [final.node] if final else []
        return _Value(self._helper("go_invoked", receiver, self._const(chain.fields[-1]), *given))

    def _function(self, name: str, args: list[Operand], final: _Value | None) -> _Value:
        signature = self._signatures[name]
        count = len(args) + (final is not None)
        fixed = len(signature.takes)
        if count < fixed or (count > fixed and not signature.more):
            least = "at least " if signature.more else ""
            return self._fails(f"wrong number of args for {name}: want {least}{fixed} got {count}")
        if name == "printf" and final is None and isinstance(args[0], Text):
            parts = simple_format(args[0].value)
            if parts is not None and sum(verb != "" for _, verb in parts) == len(args) - 1:
                return self._printf(parts, args[1:])
        types = [*signature.takes, *[signature.more] * (count - fixed)]
        given = [self._argument(arg, kind) for arg, kind in zip(args, types, strict=False)]
        if final is not None:
            given.append(self._checked(_Value(self._settled(final), final.type), types[-1]))
        if name in ("and", "or"):
            if final is not None:
                return self._joined_after(name, given)
            return _Value(self._joined(name, given), "value")
        self._carry_over(name, args)
        if name == "not":
            return _Value(nodes.Not(given[0], lineno=self._line), "bool")
        function = nodes.Name(name, "load", lineno=self._line)
        call = nodes.Call(function, given, [], None, None, lineno=self._line)
        return _Value(call, signature.gives)

    def _printf(self, parts: tuple[tuple[str, str], ...], args: list[Operand]) -> _Value:
        """A constant format with bare %s, %v and %d: its parts joined, without a call of printf."""
        values = iter([self._argument(arg, "any") for arg in args])
        made = [
            self._helper("go_part", next(values), self._const(verb)) if verb else self._const(text)
            for text, verb in parts
        ]
        return _Value(nodes.Concat(made, lineno=self._line), "string")

    def _carry_over(self, name: str, args: list[Operand]) -> None:
        """Refuse a feature that Go has and Python has not, at its place in the template."""
        if not args or not isinstance(args[0], Text):
            return
        if name == "printf" and "p" in _VERBS.findall(args[0].value):
            what = "printf with %p cannot be carried over: there are no addresses of memory here"
            raise GoSyntaxError(what, self._places.position(args[0].at))
        if name in ("regexMatch", "regexFind", "regexReplaceAll"):
            try:
                compiled(args[0].value)
            except NoPattern as error:
                raise GoSyntaxError(str(error), self._places.position(args[0].at)) from error
            except GoFault:
                return  # as in Go, only when it is reached

    def _joined(self, name: str, given: list[nodes.Expr]) -> nodes.Expr:
        """Python's operators give the same one of their operands as Go's functions."""
        if len(given) == 1:
            return given[0]
        join = nodes.And if name == "and" else nodes.Or
        half = len(given) // 2  # not deeper than needed: Python nests no more than 200 parentheses
        left, right = self._joined(name, given[:half]), self._joined(name, given[half:])
        return join(left, right, lineno=self._line)

    def _joined_after(self, name: str, given: list[nodes.Expr]) -> _Value:
        """The last operand comes from a pipeline, so it is evaluated before the others."""
        held = self._fresh("let")  # which need not be reached
        node = self._joined(name, [*given[:-1], held])
        return _Value(self._helper("go_let", held, given[-1], node), "value")

    def _argument(self, operand: Operand, kind: str) -> nodes.Expr:
        """A value where one of this type is expected; constants are converted as in Go."""
        if isinstance(operand, Number) and kind == "int":
            if operand.integer is None:
                return self._fails(f"expected integer; found {operand.text}").node
            return self._const(operand.integer)
        if isinstance(operand, (Number, Text, Bool)) and kind not in _ANYTHING:
            value = self._operand(operand)
            if value.type == kind:
                return value.node
            if kind in _CONSTANTS:
                return self._fails(f"expected {_CONSTANTS[kind]}; found {_shown(operand)}").node
            return self._fails(f"can't handle {_shown(operand)} for {GO_NAMES[kind]}").node
        if isinstance(operand, Nil) and kind in _CONSTANTS:
            return self._fails(f"cannot assign nil to {kind}").node
        value = self._operand(operand)
        if isinstance(operand, Pipeline) and kind in _NILLABLE:
            value = _Value(self._settled(value), value.type)
        return self._checked(value, kind)

    def _checked(self, value: _Value, kind: str) -> nodes.Expr:
        if kind in _ANYTHING or value.type == kind:
            return value.node
        return self._helper(_NAMES_OF_CHECKS[kind], value.node)


def _local(name: str) -> nodes.InternalName:
    """A name of a local of the generated code, made as Jinja2's parser makes them."""
    made: nodes.InternalName = object.__new__(nodes.InternalName)
    nodes.Node.__init__(made, name, lineno=1)
    return made


def _shown(operand: Operand) -> str:
    """A constant or variable as written in the template."""
    match operand:
        case Number():
            return operand.text
        case Text():
            return operand.written
        case Bool():
            return "true" if operand.value else "false"
        case Variable():
            return operand.name
        case Dot():
            return "."
        case Nil():
            return "nil"
    return "(...)"


def _only_if(body: Body | None) -> Branch | None:
    """
    The `if` that is the only statement of an else; None if there is more, or it declares variables.
    """
    if body is None or len(body) != 1 or not isinstance(body[0], Branch):
        return None
    return body[0] if body[0].kind == "if" and not body[0].pipe.declared else None


def _calls(tree: Tree, name: str) -> bool:
    """Whether a template of this name is called anywhere in the file."""
    todo: list[Statement] = [*tree.body, *(one for body in tree.defined.values() for one in body)]
    while todo:
        statement = todo.pop()
        if isinstance(statement, Call) and statement.name == name:
            return True
        if isinstance(statement, Branch):
            todo += [*statement.body, *(statement.other or ())]
    return False


def _has_jump(statement: Statement) -> bool:
    """Whether it has a break or continue of the loop around it."""
    if isinstance(statement, Jump):
        return True
    if not isinstance(statement, Branch):
        return False
    inside = statement.other or ()
    if statement.kind != "range":
        return any(map(_has_jump, (*statement.body, *inside)))
    return any(map(_has_jump, inside))
