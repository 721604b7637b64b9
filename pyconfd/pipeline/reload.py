"""Reload: tell a service that its files are new. Shell; when to do it is decided elsewhere."""

from __future__ import annotations

from pyconfd.errors import ReloadError
from pyconfd.model.resources import Command
from pyconfd.model.steps import Reloaded, ReloadFailed
from pyconfd.pipeline.command import fill
from pyconfd.system.proc import Runner


def reload(service: str, command: Command, *, dest: str, run: Runner) -> Reloaded | ReloadFailed:
    """
    Run the reload command. `{{ src }}` means `dest` here as well: the staged file is gone.

    A ReloadFailed has an error when the command could not be started or was not let finish, and
    the report in any case.
    """
    report = run(fill(command.text, src=dest, dest=dest), timeout_s=command.timeout_s)
    if report.ok:
        return Reloaded(service, report)
    if not report.problem:
        return ReloadFailed(service, report)
    hint = ""
    if report.problem.startswith("timed out"):
        hint = f"see reload_cmd, or raise reload_cmd_timeout above {command.timeout_s:g} s"
    error = ReloadError(
        f"the reload did not finish: {report.problem}",
        where=dest,
        kept="the new file is live, and the reload is still owed",
        hint=hint,
    )
    return ReloadFailed(service, report, error)
