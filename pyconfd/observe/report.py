"""The log lines for what happens: one for each outcome and each change of state."""

from __future__ import annotations

import time

from pyconfd.model.keys import Listed, ListOccasion, Lost
from pyconfd.model.reads import NO_KEYS, ChangedKeys
from pyconfd.model.steps import (
    CommandReport,
    LaneReport,
    NotRunning,
    Outcome,
    Reloaded,
    ReloadFailed,
    Result,
)
from pyconfd.observe import log

#: Of a long output this many lines of each end are logged.
_END_LINES = 50


def lane(report: LaneReport) -> None:
    """Log what happened in one pass over a service."""
    logged: set[int] = set()
    for outcome in report.outcomes:
        outcome_line(outcome)
        ran = outcome.report if outcome.result in (Result.UPDATED, Result.REVERTED) else None
        if ran and id(ran) not in logged:  # one command can be about many files
            logged.add(id(ran))
            _output(ran, failed=outcome.result is Result.REVERTED)
    match report.reload:
        case Reloaded(at_run_time=True):
            log.info(
                f"changed {report.reload.report.command}, without a reload",
                service=report.service,
                duration_s=report.reload.report.duration_s,
            )
        case Reloaded():
            log.info(
                "reloaded",
                command=report.reload.report.command,
                duration_s=report.reload.report.duration_s,
            )
            if report.reload.unconfirmed:
                log.warn(report.reload.unconfirmed, service=report.service)
            if report.reload.evidence:
                log.debug(report.reload.evidence, service=report.service)
            _output(report.reload.report)
        case NotRunning():
            log.info(
                f"{report.reload.text}: not reloaded, it reads the new files when it starts",
                service=report.service,
            )
        case ReloadFailed():
            reload_failed(report.reload)
        case None:
            pass


def outcome_line(outcome: Outcome) -> None:
    """One line for one resource. Unchanged is a debug line: most passes change nothing."""
    resource = outcome.resource
    where: dict[str, object] = {"resource": resource.name, "dest": resource.dest}
    made = {"revision": outcome.revision or None, "keys": outcome.changed.line()}
    match outcome.result:
        case Result.UNCHANGED:
            log.debug("unchanged", **where)
        case Result.UPDATED:
            log.info("updated", **where, differs=",".join(outcome.differs), **made)
        case Result.REMOVED:
            log.info("removed", **where, **made)
        case Result.WOULD_CHANGE:
            log.warn("would change (noop)", **where, differs=",".join(outcome.differs))
        case Result.REFUSED:
            report = outcome.report
            output = _output_lines(report) if report else ""
            log.error(
                f"the check refused the new version; the live file is unchanged{output}",
                **where,
                exit_status=report.exit_status if report else None,
                **made,
            )
        case _:
            log.error(f"{outcome.result}: {outcome.error}", **where, **made)


def released(name: str, by: str, revision: int = 0, changed: ChangedKeys = NO_KEYS) -> None:
    """An operator has let a held change of a resource through."""
    log.info(
        "released", resource=name, by=by, revision=revision or None, keys=changed.line() or None
    )


def released_before(name: str, by: str, at: float) -> None:
    """The same while no daemon ran; this run makes the change."""
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    log.info("released while no daemon ran", resource=name, by=by, at=when)


def reload_failed(failed: ReloadFailed) -> None:
    """The service did not take the new files."""
    report = failed.report
    why = str(failed.error) if failed.error else ""
    if report is None:
        log.error(f"reload failed and stays pending: {why}", service=failed.service)
        return
    output = _output_lines(report)
    why = why or report.reason
    log.error(f"reload failed and stays pending: {why}{output}", command=report.command)


def listed(message: Listed, *, changed: int) -> None:
    """The store was listed."""
    match message.occasion:
        case ListOccasion.START:
            level, text = log.info, "listed the store"
        case ListOccasion.INTERVAL:
            level, text = log.debug, "listed again: interval"
        case ListOccasion.RELIST:
            level, text = log.warn, f"listed again: {message.reason}"
    level(
        text,
        source=message.source,
        revision=message.revision,
        keys=len(message.keys),
        changed=changed,
    )


def lost(message: Lost) -> None:
    """The store does not answer."""
    log.error(
        f"{message.cause}; the live files are kept and it is tried again", source=message.source
    )


def _output(report: CommandReport, *, failed: bool = False) -> None:
    if output := _output_lines(report):
        if failed:
            log.error(f"output of the command that failed{output}", command=report.command)
        else:
            log.debug(f"output of the command{output}", command=report.command)


def _output_lines(report: CommandReport) -> str:
    """
    A command's output on lines of their own, or "". A long output is cut to its two ends: the cause
    is in one of them, and thousands of lines for one refusal would hide everything else.
    """
    lines = report.output.strip("\n").splitlines()
    if not any(line.strip() for line in lines):
        return ""
    left_out = len(lines) - 2 * _END_LINES
    if left_out > 0:
        lines[_END_LINES:-_END_LINES] = [f"... {left_out} lines are left out ..."]
    return "\n" + "\n".join(lines)
