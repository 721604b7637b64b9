"""
Check: let the operator's checker judge a staged file before anything live changes. Shell.

The only place that makes a `Checked`, which is the permit to swap.
"""

from __future__ import annotations

from pyconfd.errors import CheckBroken
from pyconfd.model.resources import Command
from pyconfd.model.steps import Checked, CommandReport, Refused, Staged
from pyconfd.pipeline import stage
from pyconfd.pipeline.command import fill
from pyconfd.system.proc import Runner

#: What a POSIX shell exits with when it could not execute the command (XCU 2.8.2).
_NOT_EXECUTABLE, _NOT_FOUND = 126, 127
#: A shell exits with this plus the number of the signal that ended its command.
_SIGNALLED = 128
_LAST_SIGNAL = 64

_KEPT = "the live file is unchanged"


def unchecked(staged: Staged) -> Checked:
    """The permit for a file that nobody asked to check: no check_cmd, or --sync-only."""
    return Checked(staged, None)


def check(staged: Staged, run: Runner) -> Checked | Refused:
    """
    Run the resource's check command on the staged file; exit status 0 is a yes.

    When it is refused the staged file is removed, unless it was staged to be kept.
    Raises CheckBroken when there was no verdict: the checker is absent, timed out, was killed or
    stopped. The staged file is gone then too.
    """
    resource = staged.rendered.resource
    command = resource.check
    if command is None:
        return unchecked(staged)
    text = fill(command.text, src=staged.path, dest=resource.dest)
    report = run(text, timeout_s=command.timeout_s)
    if report.ok:
        return Checked(staged, report)
    stage.discard(staged)
    what = _no_verdict(report)
    if what:
        raise CheckBroken(
            f"the check gave no verdict: {what}",
            where=resource.dest,
            kept=_KEPT,
            hint=_hint(command, report),
        )
    return Refused(staged, report)


def _no_verdict(report: CommandReport) -> str:
    """Why the report is no verdict; "" when it is one."""
    if report.problem:
        return report.problem
    status = report.exit_status or 0
    if status == _NOT_FOUND:
        return f"command not found (exit status {status})"
    if status == _NOT_EXECUTABLE:
        return f"command cannot be executed (exit status {status})"
    if _SIGNALLED < status <= _SIGNALLED + _LAST_SIGNAL:
        return f"killed by signal {status - _SIGNALLED} (exit status {status})"
    return ""


def _hint(command: Command, report: CommandReport) -> str:
    if report.problem.startswith("timed out"):
        return f"see check_cmd, or raise check_cmd_timeout above {command.timeout_s:g} s"
    lines = report.output.strip().splitlines()
    return f"check_cmd {command.text!r}" + (f" said: {lines[-1]}" if lines else "")
