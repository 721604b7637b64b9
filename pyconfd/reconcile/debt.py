"""
A reload is a debt: it is owed from the swap until a reload is known to have worked. Pure.

Throttling postpones it, failure keeps it, a restart does not forget it (pipeline/journal.py).
It ends in two ways only: a reload succeeded after the last swap, or every file is back at what
the service was last seen to run with and nobody has told the service otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pyconfd.model.steps import Outcome, Result
from pyconfd.reconcile.retry import backoff_s


@dataclass(frozen=True, slots=True)
class Debt:
    """
    One owed reload.

    since_s: of the first swap. before: resource name -> digest that the service still runs with
    (None: no file). attempts: reloads that failed since. not_before_s: when the next one is tried.
    certain: it cannot be called off by putting the old content back, because what the service
    runs with is not known (a reload was tried, or the debt comes from a run that was killed).
    """

    since_s: float
    before: Mapping[str, str | None] = field(default_factory=dict)
    attempts: int = 0
    not_before_s: float = 0.0
    certain: bool = False


def after_swaps(debt: Debt | None, outcomes: Iterable[Outcome], now: float) -> Debt | None:
    """The debt after a pass: widened by each updated file, gone when all are back as they were."""
    updated = [
        outcome for outcome in outcomes if outcome.result in (Result.UPDATED, Result.REMOVED)
    ]
    if not updated:
        return debt
    before = dict(debt.before) if debt else {}
    certain = debt.certain if debt else False
    for outcome in updated:
        name = outcome.resource.name
        if (
            outcome.was == outcome.digest
        ):  # mode or owner alone: there is no old content to return to
            certain = True
        elif name in before and before[name] == outcome.digest:
            del before[name]
        else:
            before.setdefault(name, outcome.was)
    if not before and not certain:
        return None
    base = debt or Debt(since_s=now)
    return replace(base, before=before, certain=certain)


def after_failure(debt: Debt | None, now: float) -> Debt:
    """The debt after a reload that did not succeed: tried again later and later, never dropped."""
    base = debt or Debt(since_s=now)
    attempts = base.attempts + 1
    return replace(base, attempts=attempts, certain=True, not_before_s=now + backoff_s(attempts))
