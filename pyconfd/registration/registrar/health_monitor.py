"""
Whether one member should be in rotation, and with what weight.

Keeps the counts and the times; the probes themselves are in probes.py. Only the registrar's thread
calls it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyconfd.registration.declaration import Check, Declaration
from pyconfd.registration.health import (
    Health,
    RotationVerdict,
    all_healthy,
    next_probe_in,
    probed,
)
from pyconfd.registration.reason import Reason
from pyconfd.registration.registrar.probes import Machine, Prober

MAINTENANCE_INTERVAL_S = 0.5
# A change of less than this share of the full weight is not worth a key event and a reload.
HYSTERESIS = 0.1
TOP_WEIGHT = 100

Probe = Callable[[], tuple[bool, str]]


def next_weight(current: int | None, load: float, top: int = TOP_WEIGHT) -> int:
    """
    The weight for a load: `top` when idle, falling evenly to 1 at one process per processor.

    load: runnable processes per processor. current: the published weight, None for none; it stays
    unless the new one differs by a tenth of `top`, or is an end of the range.
    """
    wanted = max(1, min(top, round(top * (1.0 - load))))
    if current is None or wanted == current:
        return wanted
    at_an_end = wanted in (1, top)
    return wanted if at_an_end or abs(wanted - current) >= top * HYSTERESIS else current


@dataclass(slots=True)
class _CheckState:
    """
    One check and its history.

    due_at: of the next probe, None while one runs
    asked_at: when the last probe began
    """

    check: Check
    health: Health
    due_at: float | None
    asked_at: float = 0.0


class HealthMonitor:
    """
    One member's health, maintenance and weight.

    excluded: why it is out of rotation whatever its health, None if it is not.
    weight: to publish instead of the declared one, None for the declared one.
    """

    def __init__(
        self, declared: Declaration, address: str, prober: Prober, machine: Machine, now: float
    ) -> None:
        self.excluded: RotationVerdict | None = None
        self.weight: int | None = None
        self._declared = declared
        self._address = address
        self._prober = prober
        self._machine = machine
        self._checks = [
            _CheckState(check, Health(started_at=now), now) for check in declared.checks
        ]
        self._maintenance = self._in_maintenance()
        self._file_due_at = now if declared.maintenance_file else None
        self._weight_due_at = now if declared.auto_weight else None
        self._weigh(now)

    def due_probes(self, now: float) -> list[tuple[int, Probe]]:
        """The probes to start now, with their numbers; each runs until `probed` is called."""
        found: list[tuple[int, Probe]] = []
        for number, state in enumerate(self._checks):
            if state.due_at is not None and state.due_at <= now:
                state.due_at, state.asked_at = None, now
                found.append((number, self._probe(state.check)))
        return found

    def probed(self, number: int, passed: bool, why: str, now: float) -> None:
        """Count the answer to a probe."""
        state, rule = self._checks[number], self._declared.rule
        state.health = probed(state.health, rule, passed, why, now)
        state.due_at = max(now, state.asked_at + next_probe_in(state.health, rule))

    def refresh(self, now: float) -> bool:
        """Check the maintenance file and the load if that is due. True if something changed."""
        before = (self._maintenance, self.weight)
        if self._file_due_at is not None and self._file_due_at <= now:
            self._maintenance = self._in_maintenance()
            self._file_due_at = now + MAINTENANCE_INTERVAL_S
        if self._weight_due_at is not None and self._weight_due_at <= now:
            self._weigh(now)
        return before != (self._maintenance, self.weight)

    def next_due(self) -> float | None:
        """When something is due again; None when only an answer can change anything."""
        times = [state.due_at for state in self._checks]
        times += [self._file_due_at, self._weight_due_at]
        return min((each for each in times if each is not None), default=None)

    def verdict(self) -> RotationVerdict:
        """Whether it should be in rotation, and if not, why."""
        if self.excluded:
            return self.excluded
        if self._maintenance:
            return RotationVerdict(False, Reason.MAINTENANCE, "maintenance")
        return all_healthy(state.health for state in self._checks)

    def _probe(self, check: Check) -> Probe:
        timeout_s = self._declared.rule.timeout_s
        return lambda: self._prober.ask(check, self._address, timeout_s)

    def _in_maintenance(self) -> bool:
        path = self._declared.maintenance_file
        return self._declared.maintenance or (bool(path) and self._machine.exists(path))

    def _weigh(self, now: float) -> None:
        if not self._declared.auto_weight:
            return
        top = self._declared.weight or TOP_WEIGHT
        self.weight = next_weight(self.weight, self._machine.load(), top)
        self._weight_due_at = now + self._declared.weight_interval_s
