"""
Marks every decision of a template: what is in an `if` or a `for`, and which keys decided it. Pure.

Only for the render after a refusal (pipeline/render/provenance.py). The tree of a template is
changed
before it is compiled: the tracer is called around the body of each decision, and each test passes
through it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import jinja2
from jinja2 import nodes
from jinja2.visitor import NodeTransformer

_VARIABLES = (nodes.Name, nodes.InternalName)


def marked(tree: nodes.Template, environment: jinja2.Environment) -> nodes.Template:
    """The same template; environment: has the methods of a Tracer as attributes."""
    _Marker().visit(tree)
    tree.set_environment(environment)
    return tree


class _Marker(NodeTransformer):
    """
    Changes the tree in Jinja2's own way. An `elif` is inside its `if`, so its test is added to what
    decided the branch.
    """

    def __init__(self) -> None:
        # How many have begun in the loop that is visited, the last one's in the loop around it.
        self._open = [0]

    def visit_If(self, node: nodes.If) -> Sequence[nodes.Node]:  # noqa: N802 - Jinja2's name
        """Put all branches between a beginning and an end."""
        self._test(node)
        for other in node.elif_:
            self._test(other)
        self._open[-1] += 1
        for branch in (node.body, node.else_, *(other.body for other in node.elif_)):
            branch[:] = self._all(branch)
        self._open[-1] -= 1
        return [_statement("begin", node), node, _statement("end", node)]

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802
        """The items of a turn decide what is in it."""
        node.iter = self.visit(node.iter)
        turn = nodes.List(_names(node.target), lineno=node.lineno)
        self._open.append(1)
        body = self._all(node.body)
        self._open.pop()
        node.body = [_statement("begin", node, turn), *body, _statement("end", node)]
        node.else_ = self._all(node.else_)
        return node

    def visit_Break(self, node: nodes.Break) -> Sequence[nodes.Node]:  # noqa: N802
        """A break ends what has begun in the loop; only Go templates have this."""
        return [*(_statement("end", node) for _ in range(self._open[-1])), node]

    visit_Continue = visit_Break  # noqa: N815

    def visit_CondExpr(self, node: nodes.CondExpr) -> nodes.Expr:  # noqa: N802
        """`a if b else c`: the result is made of b, too."""
        self.generic_visit(node)
        node.test = _tested(node.test)
        return _call("chosen", node, _call("begin", node), node)

    def _test(self, node: nodes.If) -> None:
        node.test = _tested(self.visit(node.test))

    def _all(self, branch: Sequence[nodes.Node]) -> list[nodes.Node]:
        made: list[nodes.Node] = []
        for node in branch:
            new = self.visit(node)
            made.extend(new if isinstance(new, list) else [new])
        return made


def _tested(test: nodes.Expr) -> nodes.Expr:
    """The test, whose value and variables the tracer is shown."""
    used = nodes.List(_names(test), lineno=test.lineno)
    return _call("decided", test, _call("testing", test), test, used)


def _names(node: nodes.Node) -> list[nodes.Expr]:
    found: Iterable[nodes.Node] = (node, *node.find_all(_VARIABLES))
    names = {one.name: one for one in found if isinstance(one, _VARIABLES) and _is_variable(one)}
    return [
        one if isinstance(one, nodes.InternalName) else nodes.Name(name, "load", lineno=node.lineno)
        for name, one in names.items()
    ]


def _is_variable(node: nodes.Name | nodes.InternalName) -> bool:
    """Whether the name is a variable, and not a helper of Go templates."""
    return isinstance(node, nodes.Name) or node.name.startswith("fi")


def _call(name: str, at: nodes.Node, *args: nodes.Expr) -> nodes.Call:
    function = nodes.EnvironmentAttribute(name, lineno=at.lineno)
    return nodes.Call(function, list(args), [], None, None, lineno=at.lineno)


def _statement(name: str, at: nodes.Node, *args: nodes.Expr) -> nodes.ExprStmt:
    return nodes.ExprStmt(_call(name, at, *args), lineno=at.lineno)
