"""Compiles translated Go templates to Python: pyconfd's generator, simplified. Pure."""

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
    "go_part",
    "go_settled",
    "go_string",
    "go_strings",
)
_PAIR_FIELDS = {"Key": 0, "Value": 1}


class GoCodeGenerator(CodeGenerator):
    """
    Variables of Go templates are locals named by the translator, so Jinja2's scopes are not needed:
    loops are plain loops, and defined templates are plain functions. Called functions are looked up
    once, at the beginning, where constants are made too.
    """

    def visit_Template(self, node: nodes.Template, frame: Any = None) -> None:  # noqa: N802
        """The module of a template."""
        texts = (one.value for one in node.find_all(nodes.Const) if isinstance(one.value, str))
        self._constants = {text: f"go_k{at}" for at, text in enumerate(dict.fromkeys(texts))}
        self._macros = {macro.name for macro in node.find_all(nodes.Macro)}
        names = {name.name for name in node.find_all(nodes.Name) if name.ctx == "load"}
        self._called = sorted(names - self._macros)
        super().visit_Template(node, frame)

    def write_commons(self) -> None:
        """Names that every generated function uses."""
        super().write_commons()
        for name in HELPERS:
            self.writeline(f"{name} = environment.{name}")
        for name in self._called:
            self.writeline(f"go_f_{name} = resolve({name!r})")
        for text, name in self._constants.items():
            self.writeline(f"{name} = safe_text({text!r})")

    def visit_Const(self, node: nodes.Const, frame: Any) -> None:  # noqa: N802
        """A constant; texts were made at the beginning."""
        if isinstance(node.value, str):
            self.write(self._constants[node.value])
        else:
            super().visit_Const(node, frame)

    def visit_Name(self, node: nodes.Name, frame: Any) -> None:  # noqa: N802, ARG002
        """A function, or a template that is defined."""
        self.write(node.name if node.name in self._macros else f"go_f_{node.name}")

    def visit_Macro(self, node: nodes.Macro, frame: Any) -> None:  # noqa: N802
        """A function of its data that returns its text."""
        inner = frame.inner()
        self.writeline(f"def {node.name}({node.args[0].name}):", node)
        self.indent()
        self.buffer(inner)
        self.blockvisit(node.body, inner)
        self.return_buffer_contents(inner)
        self.outdent()

    def visit_For(self, node: nodes.For, frame: Any) -> None:  # noqa: N802
        """A loop; the translator handles what follows its end."""
        self.writeline("for ", node)
        self.visit(node.target, frame)
        self.write(" in ")
        self.visit(node.iter, frame)
        self.write(":")
        self.indent()
        self.blockvisit(node.body, frame)
        self.outdent()

    def visit_Call(self, node: nodes.Call, frame: Any, forward_caller: bool = False) -> None:  # noqa: N802, ARG002
        """
        A call of a function or a helper, which always exist; go_let sets a local inside a call.
        """
        if isinstance(node.node, nodes.InternalName) and node.node.name == "go_let":
            self._let(node, frame)
            return
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
        """A member; those of pairs are tried first, because loops over pairs are common."""
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
