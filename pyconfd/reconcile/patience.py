"""How long something has been in trouble without interruption. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field

from pyconfd.model.values import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """
    since_s: what is in trouble -> since when, monotonic.
    """

    since_s: Mapping[str, float] = field(default_factory=dict)

    def seen(self, names: Iterable[str], now: float) -> Patience:
        """
        Note what is in trouble now. Earlier trouble may still exist, since one can hide another.
        """
        return Patience({**dict.fromkeys(names, now), **self.since_s})

    def lasted_s(self, name: str, now: float) -> float:
        """How long this has been in trouble."""
        return now - self.since_s.get(name, now)
