"""When something that failed is tried again. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from pyconfd.errors import HeldBack
from pyconfd.model.steps import Outcome, Result
from pyconfd.model.values import dataclass

FIRST_S = 1.0
LONGEST_S = 60.0
_SLOW = frozenset(
    (
        Result.REFUSED,
        Result.RENDER_FAILED,
        Result.HELD,
        Result.LEFT_OUT,
        Result.SET_ASIDE,
        Result.REVERTED,
    )
)


def backoff_s(attempts: int) -> float:
    """Seconds to wait after the n-th failure in a row: 1, 2, 4, ... up to a minute."""
    return min(FIRST_S * 2.0 ** (min(attempts, 16) - 1), LONGEST_S)


@dataclass(frozen=True, slots=True)
class Retry:
    """
    A resource that failed.

    attempts: how many times in a row.
    at_s: when it is tried again.
    items: the names of a pattern that failed; empty for a resource as a whole.
    """

    attempts: int
    at_s: float
    items: frozenset[str] = frozenset()


class Retries(dict[str, Retry]):
    """
    Name of a resource -> its retry; immutable once it is part of a state. It knows when the first
    retry is due without looking at all of them again.
    """

    __slots__ = ("_first_s",)

    def __init__(self, retries: Mapping[str, Retry]) -> None:
        super().__init__(retries)
        self._first_s: float | None = None

    def first_after(self, before: Mapping[str, Retry], changed: Collection[str]) -> None:
        """Find the first retry, starting from another state that differs only in these names."""
        if not before or not self:
            return
        was_s = first_s(before)
        if all(before[name].at_s > was_s for name in changed if name in before):
            self._first_s = min(
                (self[name].at_s for name in changed if name in self), default=was_s
            )
            self._first_s = min(self._first_s, was_s)

    @property
    def first_s(self) -> float:
        """The time of the first one."""
        if self._first_s is None:
            self._first_s = min(retry.at_s for retry in self.values())
        return self._first_s


def first_s(retries: Mapping[str, Retry]) -> float:
    """When the first of them is due; there is at least one."""
    if isinstance(retries, Retries):
        return retries.first_s
    return min(retry.at_s for retry in retries.values())


def after_pass(
    before: Retry | None,
    outcomes: Sequence[Outcome],
    now: float,
    *,
    partly: bool = False,
    of: Collection[str] | None = None,
) -> Retry | None:
    """
    The retry of a resource after a pass; None when all went well.

    outcomes: all of the resource in this pass. partly: the pass covered only some of its names,
    namely those with an outcome and `of`; a name of `of` without an outcome is gone.
    """
    failed = [outcome for outcome in outcomes if outcome.result.failed]
    retry = after_failure(before, failed[0], now) if failed else None
    items = frozenset(outcome.resource.item for outcome in failed)
    if "" in items or not (items or partly):
        return retry
    if not partly or before is None:
        return replace(retry, items=items) if retry else None
    if not before.items and (of is not None or items):
        return before  # it failed as a whole, and is tried as a whole
    others = before.items.difference(of or (), (outcome.resource.item for outcome in outcomes))
    if retry is None:
        return replace(before, items=others) if others else None
    return replace(
        retry, at_s=min(retry.at_s, before.at_s) if others else retry.at_s, items=items | others
    )


def after_failure(retry: Retry | None, outcome: Outcome, now: float) -> Retry:
    """
    The retry that follows a failure.

    The cause of a refusal, a held change or a failed render is in keys or templates, and a change
    of those makes the resource due anyway. It is also tried once a minute, because a checker
    depends on things that pyconfd cannot see (a certificate, a name in DNS). A folder that is full
    or read-only sends no event, so it is tried with back-off. A guard with a timeout is asked
    again when that is over.
    """
    attempts = (retry.attempts if retry else 0) + 1
    at_s = now + (LONGEST_S if outcome.result in _SLOW else backoff_s(attempts))
    if isinstance(outcome.error, HeldBack) and outcome.error.until_s is not None:
        at_s = min(at_s, outcome.error.until_s)
    return Retry(attempts, at_s)
