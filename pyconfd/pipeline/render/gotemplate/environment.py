"""
The entry to Go templates: Jinja2's environment for them, instead of environment.Environment.

The renderer uses both in the same way: binds functions, streams, checks values, traces. Only the
way from a text to Jinja2's nodes, and the called functions, differ.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import jinja2
from jinja2 import nodes

from pyconfd.model.resources import Resource
from pyconfd.pipeline.render.codegen import SOURCES as JINJA_SOURCES
from pyconfd.pipeline.render.environment import Environment
from pyconfd.pipeline.render.functions.store import Pair
from pyconfd.pipeline.render.gotemplate import arguments, codegen, values
from pyconfd.pipeline.render.gotemplate.errors import GoFault, GoSyntaxError, Position
from pyconfd.pipeline.render.gotemplate.functions.printf import part
from pyconfd.pipeline.render.gotemplate.functions.signatures import FORK_ONLY, SIGNATURES
from pyconfd.pipeline.render.gotemplate.functions.table import go_functions
from pyconfd.pipeline.render.gotemplate.language.parser import parse
from pyconfd.pipeline.render.gotemplate.printing import printed
from pyconfd.pipeline.render.gotemplate.translate import DATA, translate
from pyconfd.pipeline.render.template_errors import SeveralFaults
from pyconfd.pipeline.render.template_files import TemplateFiles

if TYPE_CHECKING:
    from pyconfd.pipeline.render.functions.store import CachedPairs
    from pyconfd.pipeline.render.value_checks import ValueChecker
    from pyconfd.pipeline.render.view import View

#: Compiled templates are of no use any more when one of these has changed.
SOURCES = JINJA_SOURCES + tuple(
    f"{posixpath.dirname(__file__)}/{name}.py"
    for name in (
        "codegen",
        "functions/patterns",
        "functions/printf",
        "functions/signatures",
        "language/constants",
        "language/lexer",
        "language/parser",
        "language/syntax",
        "translate",
    )
)
_MOST_INCLUDES = 10


def _fail(what: str) -> NoReturn:
    raise GoFault(str(what))


class GoEnvironment(Environment):
    """
    Go's text/template with the functions of one of the confds.

    compat: "confd" or "confd-fork".
    """

    code_generator_class = codegen.GoCodeGenerator
    joined = staticmethod("".join)
    helpers = tuple(name for name in codegen.HELPERS if name not in ("go_nothing", "go_pair"))
    go_anys = staticmethod(arguments.anys)
    go_boolean = staticmethod(arguments.boolean)
    go_elements = staticmethod(values.elements)
    go_fail = staticmethod(_fail)
    go_indexed = staticmethod(values.indexed)
    go_integer = staticmethod(arguments.integer)
    go_invoked = staticmethod(values.invoked)
    go_mapping = staticmethod(arguments.mapping)
    go_member = staticmethod(values.member)
    go_nothing = values.NOTHING
    go_pair = Pair
    go_pairs = staticmethod(arguments.pairs)
    go_part = staticmethod(part)
    go_settled = staticmethod(values.settled)
    go_string = staticmethod(arguments.string)
    go_strings = staticmethod(arguments.strings)

    def __init__(self, files: TemplateFiles, compat: str) -> None:
        super().__init__(files)
        self.compat = compat
        self.finalize = printed
        self.globals = {DATA: values.NOTHING}

    def functions(
        self,
        view: View,
        environ: Mapping[str, str],
        checker: ValueChecker | None,
        cached: CachedPairs | None,
        *,
        traced: bool = False,
    ) -> dict[str, Callable[..., Any]]:
        """Go's and those of the confd that it is compatible with."""
        return go_functions(view, environ, self.compat, checker, cached, traced=traced)

    def encoded(self, text: str) -> bytes:
        """The bytes of an output, in which values may not be UTF-8."""
        return values.to_bytes(text)

    def checked(self, checker: ValueChecker) -> Environment:
        """The same environment for resources with a format."""
        checked = super().checked(checker)
        checked.finalize = _checking(checker)
        return checked

    def bound(self, names: Mapping[str, Any]) -> Environment:
        """The same environment with these functions, and `include` if the fork has it."""
        bound = super().bound(names)
        if "include" in SIGNATURES[self.compat]:
            bound.globals["include"] = Include(bound)
        return bound

    def stream(self, resource: Resource) -> Iterator[str]:
        """The output in pieces, made while they are consumed; the dot is the name of an item."""
        template = self.get_template(resource.src)
        data = {DATA: {"name": self.item(resource)}} if resource.item else None
        return template.root_render_func(template.new_context(data))

    def rendered(self, name: str, data: Any) -> str:
        """The whole text of a template with this data."""
        template = self.get_template(name)
        text: str = self.concat(template.root_render_func(template.new_context({DATA: data})))
        return text

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        signatures = SIGNATURES[self.compat]
        try:
            parsed = parse(source, signatures, FORK_ONLY)
            tree = translate(parsed, name or "", source, signatures)
        except GoSyntaxError as error:
            first, *more = (
                GoTemplateError(one.what, one.at, name, filename) for one in (error, *error.more)
            )
            first.more = tuple(more)
            raise first from error
        except RecursionError as error:
            raise GoTemplateError(_TOO_DEEP, Position(1, 1), name, filename) from error
        tree.set_environment(self)
        return tree

    def _compile(self, source: str, filename: str) -> Any:
        try:
            return super()._compile(source, filename)
        except (SyntaxError, RecursionError, MemoryError) as error:
            raise GoTemplateError(_TOO_DEEP, Position(1, 1), None, filename) from error


_TOO_DEEP = "the template is nested too deeply"


class GoTemplateError(SeveralFaults):
    """A text that is not a Go template. at: where; what: the message without the place."""

    def __init__(self, what: str, at: Position, name: str | None, filename: str | None) -> None:
        super().__init__(f"{what} (column {at.column})", at.line, name, filename)
        self.what = what
        self.at = at


def _checking(checker: ValueChecker) -> Callable[[Any], str]:
    """The functions that print values which are checked."""

    def text(value: Any) -> str:
        if isinstance(value, str):
            return checker.text(value)
        shown = printed(value)
        return shown if isinstance(value, (bool, int, float)) else checker.text(shown)

    return text


class Include:
    """The fork's `include`: another template's text, for one render."""

    __name__ = "include"

    def __init__(self, environment: Environment) -> None:
        assert isinstance(environment, GoEnvironment)  # noqa: S101 - says so to the type checker
        self._environment = environment
        self._open: list[str] = []

    def __call__(self, name: str, *data: Any) -> str:
        """The text of the template file `name` below the templates folder."""
        path = posixpath.normpath(posixpath.join("templates", name.lstrip("/")))
        if not path.startswith("templates/"):
            raise GoFault(f"include path {str(name)!r} is outside the templates folder")
        if path in self._open:
            raise GoFault(f"include cycle: {name!s} is already being processed")
        if len(self._open) >= _MOST_INCLUDES:
            raise GoFault(f"include: deeper than {_MOST_INCLUDES}")
        self._open.append(path)
        try:
            given = data[0] if data else values.NOTHING
            return self._environment.rendered(path.removeprefix("templates/"), given)
        except jinja2.TemplateNotFound as error:
            raise GoFault(f"include: {error}") from error
        finally:
            self._open.pop()
