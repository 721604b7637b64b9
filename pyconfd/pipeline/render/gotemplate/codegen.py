"""How translated Go templates become Python: pyconfd's generator, with direct calls. Pure."""

from __future__ import annotations

from typing import Any

from jinja2 import nodes

from pyconfd.pipeline.render.codegen import CodeGenerator

#: Attributes of the environment that generated code calls by these names.
HELPERS = (
    "go_anys",
    "go_boolean",
    "go_elements",
    "go_fail",
    "go_indexed",
    "go_integer",
    "go_invoked",
    "go_mapping",
    "go_member",
    "go_nothing",
    "go_pair",
    "go_pairs",
    "go_settled",
    "go_string",
    "go_strings",
)
_PAIR_FIELDS = {"Key": 0, "Value": 1}


class GoCodeGenerator(CodeGenerator):
    """
    As for Jinja2's templates, but functions are called at once, without asking the context what
    they are, and a member is Go's and not an attribute.
    """

    def write_commons(self) -> None:
        """Names that every generated function uses."""
        super().write_commons()
        for name in HELPERS:
            self.writeline(f"{name} = environment.{name}")

    def visit_Call(self, node: nodes.Call, frame: Any, forward_caller: bool = False) -> None:  # noqa: N802, ARG002
        """A function or a helper, which are always there; go_let sets a local inside of one."""
        if isinstance(node.node, nodes.InternalName) and node.node.name == "go_let":
            self._let(node, frame)
            return
        if isinstance(node.node, nodes.Name):
            self.write(frame.symbols.ref(node.node.name))
        else:
            self.visit(node.node, frame)
        self.write("(")
        for arg in node.args:
            self.visit(arg, frame)
            self.write(", ")
        self.write(")")

    def _let(self, node: nodes.Call, frame: Any) -> None:
        local, value, then = node.args
        self.write("((")
        self.visit(local, frame)
        self.write(" := ")
        self.visit(value, frame)
        self.write("), ")
        self.visit(then, frame)
        self.write(")[1]")

    def visit_Getattr(self, node: nodes.Getattr, frame: Any) -> None:  # noqa: N802
        """A member; those of pairs are looked at first, because loops over them are common."""
        place = _PAIR_FIELDS.get(node.attr)
        if place is not None and isinstance(node.node, nodes.InternalName):
            name = node.node.name
            self.write(f"({name}[{place}] if {name}.__class__ is go_pair else ")
            self.write(f"go_member({name}, {node.attr!r}))")
            return
        self.write("go_member(")
        self.visit(node.node, frame)
        self.write(f", {node.attr!r})")

    def _output_child_to_const(self, node: nodes.Expr, *args: Any) -> str:
        if isinstance(node, nodes.Const) and not isinstance(node.value, str):
            raise nodes.Impossible  # numbers print in Go's way
        return super()._output_child_to_const(node, *args)
