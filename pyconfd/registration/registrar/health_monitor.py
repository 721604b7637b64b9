"""
Everything that decides whether one member should be in rotation, and with what weight.

It keeps the counts and the times; asking is in probes.py, acting in the registrar. No thread of
its own: the registrar's alone calls it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyconfd.registration.declaration import Check, Declaration
from pyconfd.registration.health import Health, all_healthy, next_probe_in, probed
from pyconfd.registration.registrar.probes import Machine, Prober
from pyconfd.registration.registrar.weight import TOP_WEIGHT, next_weight

MAINTENANCE_INTERVAL_S = 0.5

Probe = Callable[[], tuple[bool, str]]


@dataclass(slots=True)
class _Line:
    """One check, its history, and when it is due; due_at is None while it is being asked."""

    check: Check
    health: Health
    due_at: float | None
    asked_at: float = 0.0


class HealthMonitor:
    """
    One member's health, maintenance and weight.

    excluded: why it is out of rotation whatever its health, "" when it is not. weight: to publish
    in place of the declared one, None for the declared one.
    """

    def __init__(
        self, declared: Declaration, address: str, prober: Prober, machine: Machine, now: float
    ) -> None:
        self.excluded = ""
        self.weight: int | None = None
        self._declared = declared
        self._address = address
        self._prober = prober
        self._machine = machine
        self._lines = [_Line(check, Health(started_at=now), now) for check in declared.checks]
        self._maintenance = declared.maintenance or self._file_there()
        self._file_due_at = now if declared.maintenance_file else None
        self._weight_due_at = now if declared.auto_weight else None
        self._weigh(now)

    def due_probes(self, now: float) -> list[tuple[int, Probe]]:
        """The probes to start now, with their numbers; each is out until `probed` is called."""
        found: list[tuple[int, Probe]] = []
        for number, line in enumerate(self._lines):
            if line.due_at is not None and line.due_at <= now:
                line.due_at, line.asked_at = None, now
                found.append((number, self._probe(line.check)))
        return found

    def probed(self, number: int, passed: bool, why: str, now: float) -> None:
        """Take in the answer to a probe."""
        line, rule = self._lines[number], self._declared.rule
        line.health = probed(line.health, rule, passed, why, now)
        line.due_at = max(now, line.asked_at + next_probe_in(line.health, rule))

    def look(self, now: float) -> bool:
        """Look at the maintenance file and the load when that is due. True if something changed."""
        before = (self._maintenance, self.weight)
        if self._file_due_at is not None and self._file_due_at <= now:
            self._maintenance = self._declared.maintenance or self._file_there()
            self._file_due_at = now + MAINTENANCE_INTERVAL_S
        if self._weight_due_at is not None and self._weight_due_at <= now:
            self._weigh(now)
        return before != (self._maintenance, self.weight)

    def next_due(self) -> float | None:
        """When something is due again; None when only an answer can change anything."""
        times = [line.due_at for line in self._lines]
        times += [self._file_due_at, self._weight_due_at]
        return min((each for each in times if each is not None), default=None)

    def verdict(self) -> tuple[bool, str]:
        """Whether it should be in rotation, and if not why."""
        if self.excluded:
            return False, self.excluded
        if self._maintenance:
            return False, "maintenance"
        return all_healthy(line.health for line in self._lines)

    def _probe(self, check: Check) -> Probe:
        timeout_s = self._declared.rule.timeout_s
        return lambda: self._prober.ask(check, self._address, timeout_s)

    def _file_there(self) -> bool:
        path = self._declared.maintenance_file
        return bool(path) and self._machine.exists(path)

    def _weigh(self, now: float) -> None:
        if not self._declared.auto_weight:
            return
        top = self._declared.weight or TOP_WEIGHT
        self.weight = next_weight(self.weight, self._machine.load(), top)
        self._weight_due_at = now + self._declared.weight_interval_s
