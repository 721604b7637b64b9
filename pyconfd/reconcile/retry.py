"""When something that failed is tried again. Pure."""

from __future__ import annotations

from pyconfd.errors import HeldBack
from pyconfd.model.steps import Outcome, Result
from pyconfd.model.values import dataclass

FIRST_S = 1.0
LONGEST_S = 60.0
_SLOW = frozenset(
    (Result.REFUSED, Result.RENDER_FAILED, Result.HELD, Result.LEFT_OUT, Result.REVERTED)
)


def backoff_s(attempts: int) -> float:
    """Seconds to wait after the n-th failure in a row: 1, 2, 4, ... up to a minute."""
    return min(FIRST_S * 2.0 ** (min(attempts, 16) - 1), LONGEST_S)


@dataclass(frozen=True, slots=True)
class Retry:
    """A resource that failed `attempts` times in a row and is tried again at `at_s`."""

    attempts: int
    at_s: float


def after_failure(retry: Retry | None, outcome: Outcome, now: float) -> Retry:
    """
    The retry that follows a failure.

    A refusal, a held change or a failed render has its cause in keys or templates, and a change
    of those brings the resource back by itself; it is tried once a minute all the same, because a
    checker also depends on things we cannot see (a certificate, a name in DNS). A folder
    that is full or read-only sends no event, so it is tried with back-off.
    A guard with a timeout is asked again when that is over.
    """
    attempts = (retry.attempts if retry else 0) + 1
    at_s = now + (LONGEST_S if outcome.result in _SLOW else backoff_s(attempts))
    if isinstance(outcome.error, HeldBack) and outcome.error.until_s is not None:
        at_s = min(at_s, outcome.error.until_s)
    return Retry(attempts, at_s)
