"""An operator's command line, run with its paths in the environment. Shell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pyconfd.model.command_line import (
    CannotExpand,
    bare,
    environment,
    expand_as_confd,
    fill,
    reference,
)
from pyconfd.model.resources import Command, Expansion
from pyconfd.model.steps import CommandReport
from pyconfd.system.proc import Runner


def run_on(run: Runner, command: Command, *, src: str, dest: str) -> CommandReport:
    """
    Run the command line with `src` and `dest` for its placeholders. The command in the report shows
    the paths.

    Raises CannotExpand for a Go template that cannot be run with these paths, and ValueError for a
    text that `refusal` refuses.
    """
    env = environment(src=src, dest=dest)
    report = run(_line(command, src, dest), timeout_s=command.timeout_s, env=env)
    if command.expansion is Expansion.NONE:
        return report
    shown = fill if command.expansion is Expansion.PLACEHOLDERS else bare
    return replace(report, command=shown(command.text, src=src, dest=dest))


def problem(command: Command, dest: str) -> str:
    """Why a command line that is a Go template cannot be run for this file; "" when it can."""
    if command.expansion is not Expansion.GO:
        return ""
    folder, _, name = dest.rpartition("/")
    try:
        _line(command, f"{folder}/.{name}~", dest)
    except CannotExpand as error:
        return str(error)
    return ""


def _line(command: Command, src: str, dest: str) -> str:
    """The command line for the shell."""
    match command.expansion:
        case Expansion.NONE:
            return command.text
        case Expansion.PLACEHOLDERS:
            return reference(command.text)
        case Expansion.GO:
            return expand_as_confd(command.text, _rendered, src=src, dest=dest)


def _rendered(text: str, data: Mapping[str, str]) -> str:
    from pyconfd.pipeline.render.gotemplate.command import rendered  # for confd's templates only

    return rendered(text, data)
