"""
Output of commands, which may repeat values of keys: what is shown has the names of keys instead.
The output of a successful command is shown only at log level debug, so that otherwise a change
does not cost a look at all keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pyconfd.errors import PyconfdError
from pyconfd.model.resources import Resource
from pyconfd.model.steps import (
    CommandReport,
    NotRunning,
    Outcome,
    Reloaded,
    ReloadResult,
    Result,
)
from pyconfd.observe import log
from pyconfd.pipeline.store import Snapshot


def of_failure(
    report: CommandReport, resources: Sequence[Resource], snapshot: Snapshot
) -> CommandReport:
    """The output of a failed command, with names of these resources' keys instead of values."""
    if not report.output:
        return report
    from pyconfd.apply.value_names import keys_of, without_values  # most runs need it for nothing

    output = without_values(report.output, keys_of(resources, snapshot))
    return replace(report, output=output)


def of_success(
    report: CommandReport, resources: Sequence[Resource], snapshot: Snapshot
) -> CommandReport:
    """The same for a successful command at level debug; at other levels without its output."""
    if log.shows("debug"):
        return of_failure(report, resources, snapshot)
    return replace(report, output="") if report.output else report


def name_keys(error: PyconfdError, resources: Sequence[Resource], snapshot: Snapshot) -> None:
    """Replace values by names of keys in an error that repeats a command's output."""
    from pyconfd.apply.value_names import keys_of, rename_in

    rename_in(error, keys_of(resources, snapshot))


def of_checks(
    outcomes: Sequence[Outcome], resources: Sequence[Resource], snapshot: Snapshot
) -> tuple[Outcome, ...]:
    """The output of the checks of the files that are live now, as it may be shown."""
    shown: dict[int, CommandReport] = {}  # one check can be about many files
    found = []
    for outcome in outcomes:
        report = outcome.report
        if outcome.result is Result.UPDATED and report and report.output:
            if id(report) not in shown:
                shown[id(report)] = of_success(report, resources, snapshot)
            outcome = replace(outcome, report=shown[id(report)])
        found.append(outcome)
    return tuple(found)


def of_reload(
    answer: ReloadResult, resources: Sequence[Resource], snapshot: Snapshot
) -> ReloadResult:
    """A reload's result as it may be shown."""
    if isinstance(answer, NotRunning):
        return answer
    if isinstance(answer, Reloaded):
        return replace(answer, report=of_success(answer.report, resources, snapshot))
    if answer.error:
        name_keys(answer.error, resources, snapshot)
    if answer.report is None:
        return answer
    return replace(answer, report=of_failure(answer.report, resources, snapshot))
