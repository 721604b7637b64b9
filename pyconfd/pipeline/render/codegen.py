"""
Compiles templates to Python: Jinja2's code generator, extended for the checks of values. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jinja2.compiler
from jinja2 import nodes

from pyconfd.pipeline.render.functions.text import as_text

#: Compiled templates are of no use any more when one of these has changed.
SOURCES = (jinja2.compiler.__file__, __file__)


class _Written(str):
    """
    Text that is in a template.

    line: where it begins.
    """

    __slots__ = ("line",)
    line: int

    @classmethod
    def at(cls, line: int, text: str) -> _Written:
        """The text at this line."""
        made = cls(text)
        made.line = line
        return made


class CodeGenerator(jinja2.compiler.CodeGenerator):
    """
    Jinja2's, with four differences: one call instead of three makes the text of an expression, also
    for filter and call blocks; texts that the author wrote are marked; `~` joins part by part; and
    `*` and `**` are bounded. The environment supplies the called functions, so the same code works
    with and without a format.
    """

    def write_commons(self) -> None:
        """Names that every generated function uses."""
        super().write_commons()
        for name in ("safe_text", "joined", "product", "power"):
            self.writeline(f"{name} = environment.{name}")
        self.writeline("as_text = environment.finalize")

    def visit_Const(self, node: nodes.Const, frame: Any) -> None:  # noqa: N802 - Jinja2's name
        """A constant, marked as the author's when it is a text."""
        value = node.as_const(frame.eval_ctx)
        self.write(f"safe_text({value!r})" if isinstance(value, str) else repr(value))

    def visit_Concat(self, node: nodes.Concat, frame: Any) -> None:  # noqa: N802
        """The `~` operator."""
        self.write("joined((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_Mul(self, node: nodes.BinExpr, frame: Any) -> None:  # noqa: N802
        """The `*` operator, bounded."""
        self._call("product", node, frame)

    def visit_Pow(self, node: nodes.BinExpr, frame: Any) -> None:  # noqa: N802
        """The `**` operator, bounded."""
        self._call("power", node, frame)

    def _call(self, function: str, node: nodes.BinExpr, frame: Any) -> None:
        self.write(f"{function}(")
        self.visit(node.left, frame)
        self.write(", ")
        self.visit(node.right, frame)
        self.write(")")

    def visit_FilterBlock(self, node: nodes.FilterBlock, frame: Any) -> None:  # noqa: N802
        """As in Jinja2, but the result of the filter is text of an expression."""
        inner = frame.inner()
        inner.symbols.analyze_node(node)
        self.enter_frame(inner)
        self.buffer(inner)
        self.blockvisit(node.body, inner)
        self.start_write(frame, node)
        self.write("as_text(")
        self.visit_Filter(node.filter, inner)
        self.write(")")
        self.end_write(frame)
        self.leave_frame(inner)

    def visit_CallBlock(self, node: nodes.CallBlock, frame: Any) -> None:  # noqa: N802
        """As in Jinja2, but the result of the call is text of an expression."""
        inner, macro = self.macro_body(node, frame)
        self.writeline("caller = ")
        self.macro_def(macro, inner)
        self.start_write(frame, node)
        self.write("as_text(")
        self.visit_Call(node.call, frame, forward_caller=True)
        self.write(")")
        self.end_write(frame)

    def _output_child_to_const(self, node: nodes.Expr, *_: Any) -> str:
        # Nothing is worked out at compile time: what it gives can depend on the format.
        if isinstance(node, nodes.TemplateData):
            return _Written.at(node.lineno, node.data)
        if isinstance(node, nodes.Const):
            return _Written.at(node.lineno, as_text(node.value))
        raise nodes.Impossible

    def _output_const_repr(self, group: Iterable[Any]) -> str:
        # Jinja2 leaves text of the template without a line, as it cannot fail; but it can be
        # refused. Nodes are not at hand here, so the line comes with the text.
        texts = list(group)
        if isinstance(texts[0], _Written) and texts[0].line != self._last_line:
            self._write_debug_info = self._last_line = texts[0].line
        return repr("".join(texts))

    def _output_child_pre(self, *_: Any) -> None:
        self.write("as_text(")

    def _output_child_post(self, *_: Any) -> None:
        self.write(")")
