"""Reload: makes a service read its new files. Shell; when to do so is decided elsewhere."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from pyconfd.errors import ReloadError
from pyconfd.model.command_line import CannotExpand
from pyconfd.model.resources import Command, Confirm, Nginx
from pyconfd.model.steps import (
    CommandReport,
    Ending,
    NotRunning,
    Reloaded,
    ReloadFailed,
    ReloadResult,
)
from pyconfd.pipeline.operator_command import run_on
from pyconfd.system.proc import Runner

if TYPE_CHECKING:
    from pyconfd.pipeline.confirm.base import BeforeReload

#: How long confirm_cmd may take to succeed by default, and the pauses between two tries.
CONFIRM_CMD_S = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 0.5

_KEPT = "the new file is live, and the reload is pending"


def reload(service: str, command: Command, *, dest: str, run: Runner) -> Reloaded | ReloadFailed:
    """
    Run the reload command. `{{ src }}` means `dest` here as well: the staged file is gone.

    A ReloadFailed always has the report, and an error when the command could not be started or was
    not allowed to finish.
    """
    try:
        report = run_on(run, command, src=dest, dest=dest)
    except CannotExpand as error:
        what = f"reload_cmd was not run: {error}"
        return ReloadFailed(service, None, ReloadError(what, where=dest, kept=_KEPT))
    if report.ok:
        return Reloaded(service, report)
    if report.ending is Ending.EXITED:
        return ReloadFailed(service, report)
    hint = ""
    if report.ending is Ending.TIMED_OUT:
        hint = f"see reload_cmd, or raise reload_cmd_timeout above {command.timeout_s:g} s"
    return ReloadFailed(service, report, _unfinished(report.problem, dest, hint))


def reload_confirmed(
    service: str,
    command: Command,
    *,
    dest: str,
    run: Runner,
    confirm: Confirm,
    nginx: Nginx | None = None,
) -> ReloadResult:
    """
    Run the reload command, then confirm that it worked: by the daemon itself, by confirm_cmd, or by
    both.

    nginx: its configuration names the pid file and the log if `confirm` does not.

    A daemon that cannot be asked is not reloaded: NotRunning, or a ReloadFailed without a report.
    With
    one exception: if the operator wrote the command but not `confirm`, the command may reach a
    daemon in another container. So it is run, and its exit status counts.
    """
    try:
        before = _inspect(confirm, nginx, run) if confirm.by else None
    except ReloadError as error:
        if confirm.implied and not command.usual:
            return _unconfirmed(error, service, command, dest, run)
        return (
            NotRunning(service, error.what) if error.absent else ReloadFailed(service, None, error)
        )
    try:
        outcome = reload(service, command, dest=dest, run=run)
        if isinstance(outcome, Reloaded) and before:
            outcome = _by_daemon(outcome, before, confirm, dest)
    finally:
        if before:
            before.close()
    if isinstance(outcome, Reloaded) and confirm.command:
        outcome = _by_command(outcome, confirm, dest, run)
    return outcome


def _unconfirmed(
    unasked: ReloadError, service: str, command: Command, dest: str, run: Runner
) -> ReloadResult:
    """
    The result by the exit status of the command alone. unasked: why its daemon cannot be asked.
    """
    outcome = reload(service, command, dest=dest, run=run)
    if isinstance(outcome, ReloadFailed):
        return NotRunning(service, unasked.what) if unasked.absent else _explained(outcome, unasked)
    note = f"not confirmed: {unasked.what}; confirm = false believes the command without asking"
    return replace(outcome, unconfirmed=note)


def _explained(failed: ReloadFailed, unasked: ReloadError) -> ReloadFailed:
    """
    The result with what was found when the daemon could not be asked: the command's own message may
    say less.
    """
    if failed.error or failed.report is None:
        return failed
    what = f"{failed.report.reason}; {unasked.what}"
    error = ReloadError(what, where=unasked.where, kept=_KEPT, hint=unasked.hint)
    return replace(failed, error=error)


def _inspect(confirm: Confirm, nginx: Nginx | None, run: Runner) -> BeforeReload:
    from pyconfd.pipeline.confirm.confirm import inspect  # most reloads are not confirmed

    conf = nginx.conf if nginx else ""
    if confirm.at or nginx is None:
        return inspect(confirm.by, confirm.at, confirm.log, confirm.pid, conf)
    from pyconfd.pipeline.nginx import paths as nginx_live

    where = nginx_live.paths(nginx, run)
    return inspect(confirm.by, where.pidfile, where.log, conf=conf)


def _by_daemon(
    outcome: Reloaded, before: BeforeReload, confirm: Confirm, dest: str
) -> Reloaded | ReloadFailed:
    """Wait until the daemon has answered."""
    from pyconfd.config.daemons import load_daemon
    from pyconfd.pipeline.confirm.base import ReloadVerdict
    from pyconfd.pipeline.confirm.confirm import wait

    answer = wait(before, confirm.timeout_s or load_daemon(confirm.by).timeout_s)
    found = f"{answer.verdict.value}: {answer.text}"
    report = replace(outcome.report, duration_s=outcome.report.duration_s + answer.duration_s)
    if answer.verdict is ReloadVerdict.CONFIRMED:
        return replace(outcome, report=report, evidence=found, master=before.running())
    report = replace(report, output=f"{report.output}{found}\n")
    what = f"{confirm.by} did not take the new configuration: {answer.text}"
    return ReloadFailed(outcome.service, report, ReloadError(what, where=dest, kept=_KEPT))


def _by_command(
    outcome: Reloaded, confirm: Confirm, dest: str, run: Runner
) -> Reloaded | ReloadFailed:
    """Repeat confirm_cmd until it succeeds or its time is over."""
    timeout_s = confirm.timeout_s or CONFIRM_CMD_S
    begun = time.monotonic()
    last = _repeat(confirm.command, dest, begun + timeout_s, run)
    report = replace(
        outcome.report,
        output=f"{outcome.report.output}{last.output}",
        truncated=outcome.report.truncated or last.truncated,
        duration_s=outcome.report.duration_s + time.monotonic() - begun,
    )
    if last.ok:
        return replace(outcome, report=report)
    what = f"confirm_cmd did not succeed within {timeout_s:g} s: {last.reason}"
    return ReloadFailed(outcome.service, report, ReloadError(what, where=dest, kept=_KEPT))


def _repeat(text: str, dest: str, deadline: float, run: Runner) -> CommandReport:
    """
    The report of the try that succeeded, or of the last complete one: a try that the deadline has
    cut short is less informative.
    """
    pause = _FIRST_PAUSE_S
    before: CommandReport | None = None
    while True:
        left_s = max(deadline - time.monotonic(), _FIRST_PAUSE_S)
        report = run_on(run, Command(text, left_s), src=dest, dest=dest)
        left_s = deadline - time.monotonic()
        if report.ok or report.ending is Ending.STOPPED:
            return report
        if left_s <= pause:
            return before if before and report.ending is not Ending.EXITED else report
        before = report
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE_S)


def _unfinished(problem: str, dest: str, hint: str) -> ReloadError:
    return ReloadError(f"the reload did not finish: {problem}", where=dest, kept=_KEPT, hint=hint)
