"""Reload: tell a service that its files are new. Shell; when to do it is decided elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pyconfd.errors import ReloadError
from pyconfd.model.resources import Command
from pyconfd.model.steps import Reloaded, ReloadFailed
from pyconfd.pipeline.command import fill
from pyconfd.system.proc import Runner

if TYPE_CHECKING:
    from pyconfd.pipeline.confirm import Daemon

#: nginx tries a busy port five times, half a second apart, before it gives up.
CONFIRM_S = 10.0

_KEPT = "the new file is live, and the reload is still owed"


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
    return ReloadFailed(service, report, _unfinished(report.problem, dest, hint))


def reload_confirmed(
    service: str,
    command: Command,
    *,
    dest: str,
    run: Runner,
    daemon: Daemon,
    pidfile: str,
    log: str = "",
    timeout_s: float = CONFIRM_S,
) -> Reloaded | ReloadFailed:
    """
    Run the reload command and believe it only when the daemon has new workers.

    pidfile: of the master, which is verified before the command is run. log: its error log, "" if
    it cannot be read. timeout_s: how long to wait for an answer after the command.
    The report's output ends with what the confirmation rests on.
    """
    from pyconfd.pipeline import confirm  # only daemons with workers are confirmed this way

    try:
        before = confirm.look(daemon, pidfile, log)
    except ReloadError as error:
        return ReloadFailed(service, error=error)
    outcome = reload(service, command, dest=dest, run=run)
    if isinstance(outcome, ReloadFailed):
        return outcome
    answer = confirm.wait(before, timeout_s)
    report = replace(
        outcome.report,
        output=f"{outcome.report.output}{answer.verdict.value}: {answer.text}\n",
        duration_s=outcome.report.duration_s + answer.duration_s,
    )
    if answer.verdict is confirm.Verdict.CONFIRMED:
        return Reloaded(service, report)
    what = f"{daemon.name} did not take the new configuration: {answer.text}"
    return ReloadFailed(service, report, ReloadError(what, where=dest, kept=_KEPT))


def _unfinished(problem: str, dest: str, hint: str) -> ReloadError:
    return ReloadError(f"the reload did not finish: {problem}", where=dest, kept=_KEPT, hint=hint)
