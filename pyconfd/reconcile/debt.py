"""
How a pending reload (a debt) changes: swaps open and widen it, failures postpone it. Pure.

Throttling postpones it, failure keeps it, a restart does not forget it (pipeline/journal.py).
It ends in two ways only: a reload succeeded after the last swap, or every file is again as the
service was last seen to run with it, and no reload was tried since.

`service.pending_after` computes it, once in each pass; `ServiceState.debt` keeps it in memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pyconfd.model.debt import Debt
from pyconfd.model.steps import Outcome, Result
from pyconfd.reconcile.retry import backoff_s


def after_swaps(debt: Debt | None, outcomes: Iterable[Outcome], now: float) -> Debt | None:
    """The debt after a pass: each updated file adds to it; it is gone when all are as they were."""
    updated = [
        outcome for outcome in outcomes if outcome.result in (Result.UPDATED, Result.REMOVED)
    ]
    if not updated:
        return debt
    before = dict(debt.before) if debt else {}
    certain = debt.certain if debt else False
    for outcome in updated:
        name = outcome.resource.name
        if outcome.was == outcome.digest:
            certain = True  # mode or owner alone: there is no old content to return to
        elif name in before and before[name] == outcome.digest:
            del before[name]
        else:
            before.setdefault(name, outcome.was)
    if not before and not certain:
        return None
    # New files have not failed yet: they do not wait for the back-off of those before them.
    base = after_correction(debt) if debt else Debt(since_s=now)
    return replace(base, before=before, certain=certain)


def after_failure(debt: Debt | None, now: float) -> Debt:
    """The debt after a failed reload: it is tried again after growing pauses, and never dropped."""
    base = debt or Debt(since_s=now)
    attempts = base.attempts + 1
    at_s = now + backoff_s(attempts)
    return replace(base, attempts=attempts, failed=True, certain=True, not_before_s=at_s)


def after_correction(debt: Debt) -> Debt:
    """The same debt when its cause may be gone: earlier failures no longer delay it."""
    return replace(debt, attempts=0, not_before_s=0.0)
