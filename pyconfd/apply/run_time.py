"""
A change at run time instead of a reload.

The new files are live by now, so a restart of the service would find them. If they differ from
those that the service runs with only in what it can change while it runs, these changes are sent to
it. Its own state must then match the files; if it does, no reload is pending. Any other difference
needs a reload.

What it runs with is read from the versions that the swaps since the last reload have kept. After a
kill or a failed reload that is not known, and the service is reloaded.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import replace

from pyconfd.apply.context import PassContext
from pyconfd.model.debt import Debt
from pyconfd.model.first_few import first_few
from pyconfd.model.resources import Runtime
from pyconfd.model.steps import CommandReport, NotRunning, Reloaded, ReloadResult
from pyconfd.observe import log
from pyconfd.pipeline.journal_entries import Intent, Progress
from pyconfd.pipeline.runtime.base import Surveyed, runtime_daemon

_MOST_NAMED = 5


def change_or_reload(
    context: PassContext,
    service: str,
    runtime: Runtime,
    debt: Debt,
    *,
    may_change: bool,
    reload: Callable[[], ReloadResult] | None,
    live: Callable[[], Iterable[str]],
) -> tuple[ReloadResult | None, Debt]:
    """
    Change the service at run time, or else reload it. Returns the result, and the debt before it.

    may_change: whether what it runs with is known. reload: None when no reload may happen now.
    live: the paths of all files of the service.
    """
    texts = _texts(context.journal.unsettled(service))
    daemon = runtime_daemon(runtime.by)
    files, reason = daemon.compare(list(texts.values()) if texts else ())
    if not may_change or texts is None:
        reason = "what it runs with is not known"
    if reason and reload is None:
        return None, debt
    found = daemon.survey(runtime, files, reason)
    problem = found.problem
    if not reason and not problem:
        began_s = time.monotonic()
        lines, problem = daemon.change(runtime, found)
        if not problem:
            context.runtime_problems.pop(service, None)
            _say_by_hand(service, runtime, found, "")
            context.journal.settle(service)
            return _changed(service, lines, time.monotonic() - began_s), debt
        if lines:
            debt = replace(debt, certain=True)
    if reload and texts is not None and runtime.adopt:
        # The other files start with it as well.
        files, _ = daemon.compare([*texts.values(), *_others(live(), texts)])
        found = daemon.survey(runtime, files, reason)
        problem = problem or found.problem
    answer = reload() if reload else None
    if not isinstance(answer, NotRunning):
        _say_problem(context, service, problem)
    if isinstance(answer, Reloaded):
        failed = daemon.restore(runtime, found) if runtime.adopt and found.hand else ""
        _say_by_hand(service, runtime, found, failed)
    return answer, debt


def _others(paths: Iterable[str], known: Container[str]) -> Iterator[list[str]]:
    """The files that have not changed since the last reload, those that can be read."""
    for path in paths:
        if path not in known:
            with contextlib.suppress(OSError, UnicodeDecodeError):
                yield [_text(path)]


def _texts(intents: Iterable[Intent]) -> dict[str, list[str]] | None:
    """
    For each file, its versions since the last reload, ending with the live one; None when a version
    is not known.
    """
    found: dict[str, list[str]] = {}
    try:
        for intent in intents:
            if intent.progress in (Progress.REVERTING, Progress.REVERTED):
                return None
            for entry in intent.files:
                if not entry.original or not entry.digest:
                    return None
                found.setdefault(entry.path, []).append(_text(entry.original))
        return {path: [*before, _text(path)] for path, before in found.items()}
    except (OSError, UnicodeDecodeError):
        return None


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as stream:
        return stream.read()


def _changed(service: str, lines: list[str], took_s: float) -> Reloaded:
    """The report of a change at run time; it names servers but no values."""
    names = list(dict.fromkeys(line.split()[2] for line in lines))
    named = first_few(names, _MOST_NAMED) or "nothing to change"
    return Reloaded(service, CommandReport(f"at run time: {named}", 0, took_s), at_run_time=True)


def _say_problem(context: PassContext, service: str, problem: str) -> None:
    """Log a problem once, until it is another one."""
    if problem and context.runtime_problems.get(service) != problem:
        context.runtime_problems[service] = problem
        log.warn(f"not changed at run time, so it is reloaded: {problem}", service=service)


def _say_by_hand(service: str, runtime: Runtime, found: Surveyed, failed: str) -> None:
    if not found.hand:
        return
    names = ", ".join(sorted("/".join(key) for key in found.hand))
    what = "it stays, as adopt_runtime has it" if runtime.adopt else "it is overwritten"
    what = f"it is lost: {failed}" if failed else what
    log.warn(f"changed by hand at run time: {names}; {what}", service=service)
