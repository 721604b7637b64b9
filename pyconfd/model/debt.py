"""A reload that is pending. Pure; what moves it on is in reconcile/debt.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from pyconfd.model.values import dataclass


@dataclass(frozen=True, slots=True)
class Debt:
    """
    One pending reload.

    since_s: monotonic time of the first swap.
    before: resource name -> digest that the service still runs with; None for no file.
    attempts: reloads of these very files that have failed.
    failed: whether any has failed since the first swap.
    not_before_s: monotonic time of the next attempt.
    certain: putting the old content back does not cancel it, because what the service runs with is
        not known: a reload was tried, or the debt comes from a run that was killed.
    """

    since_s: float
    before: Mapping[str, str | None] = field(default_factory=dict)
    attempts: int = 0
    failed: bool = False
    not_before_s: float = 0.0
    certain: bool = False
