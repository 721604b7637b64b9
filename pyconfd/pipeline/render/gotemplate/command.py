"""
Command lines that are Go templates, like confd's check_cmd. They can only call Go's own functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from pyconfd.model.command_line import CannotExpand
from pyconfd.pipeline.render.gotemplate.environment import GoEnvironment
from pyconfd.pipeline.render.gotemplate.functions.table import go_functions
from pyconfd.pipeline.render.template_errors import TEMPLATE_ERRORS
from pyconfd.pipeline.render.template_files import TemplateFiles
from pyconfd.pipeline.render.view import View
from pyconfd.pipeline.store import Store

_NAME = "command"


class _OneText(TemplateFiles):
    """A template that is not in a file."""

    def __init__(self, text: str) -> None:
        super().__init__("")
        self._text = text

    def _read(self, name: str) -> tuple[tuple[int, int, int], str]:  # noqa: ARG002
        return (0, 0, 0), self._text  # the only one: it has no name


def rendered(text: str, data: Mapping[str, str]) -> str:
    """The command line with this data for its dot. Raises CannotExpand."""
    try:
        return _environment(text).rendered(_NAME, dict(data))
    except TEMPLATE_ERRORS as error:
        raise CannotExpand(f"it cannot be expanded: {error}") from error


def check(text: str) -> None:
    """Raises CannotExpand for a text that is not a Go template."""
    try:
        _environment(text).get_template(_NAME)
    except TEMPLATE_ERRORS as error:
        raise CannotExpand(f"it is not a Go template: {error}") from error


@lru_cache(maxsize=128)
def _environment(text: str) -> GoEnvironment:
    nothing = View(Store().snapshot(), "/", ())
    environment = GoEnvironment(_OneText(text), "go").bound(go_functions(nothing, {}, "go"))
    assert isinstance(environment, GoEnvironment)  # noqa: S101 - says so to the type checker
    return environment
