"""
Counts passes and failures of probes, and decides whether a member is healthy. Pure.

    verdict   probe    streak reached   next
    starting  passed   rise             healthy
    starting  failed   any, in period   starting (failures do not count yet)
    starting  failed   fall, later      failing
    healthy   failed   fall             failing
    failing   passed   rise             healthy
    any       other    -                unchanged, the streak grows or starts again
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from pyconfd.registration.reason import Reason

# Until the first verdict it is probed more often than the interval: a start should not cost
# `rise` whole intervals.
STARTING_INTERVAL_S = 0.25

UNCHECKED = "not checked yet"
PASSING = "passes, but not often enough yet"


class HealthVerdict(enum.StrEnum):
    """The verdict so far."""

    STARTING = "starting"
    HEALTHY = "healthy"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class HealthRule:
    """
    How often to probe, and how many equal results give a verdict. Times in seconds.

    interval_s: from one probe to the next
    timeout_s: for one probe
    rise: passes in a row that make it healthy
    fall: failures in a row that make it unhealthy
    start_period_s: failures this soon after the start do not count
    """

    interval_s: float = 2.0
    timeout_s: float = 1.0
    rise: int = 2
    fall: int = 3
    start_period_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Health:
    """
    The history of one check.

    started_at: seconds of the same clock as `now`
    verdict: so far
    streak: equal results in a row
    last_passed: None before the first result
    reason: what the last probe saw, for people
    """

    started_at: float
    verdict: HealthVerdict = HealthVerdict.STARTING
    streak: int = 0
    last_passed: bool | None = None
    reason: str = UNCHECKED


def probed(health: Health, rule: HealthRule, passed: bool, reason: str, now: float) -> Health:
    """The history with one more result. reason: what the probe saw, for people."""
    excused = (
        not passed
        and health.verdict is HealthVerdict.STARTING
        and now - health.started_at < rule.start_period_s
    )
    same = passed == health.last_passed
    streak = 0 if excused else (health.streak + 1 if same else 1)
    verdict = health.verdict
    if passed and streak >= rule.rise:
        verdict = HealthVerdict.HEALTHY
    elif not passed and not excused and streak >= rule.fall:
        verdict = HealthVerdict.FAILING
    return replace(health, verdict=verdict, streak=streak, last_passed=passed, reason=reason)


def next_probe_in(health: Health, rule: HealthRule) -> float:
    """Seconds from the start of one probe to the start of the next."""
    if health.verdict is HealthVerdict.STARTING:
        return min(rule.interval_s, STARTING_INTERVAL_S)
    return rule.interval_s


class RotationVerdict(NamedTuple):
    """Whether a member should be in rotation, and if not, why. why: for people."""

    wanted: bool
    reason: Reason = Reason.NONE
    why: str = ""


def all_healthy(checks: Iterable[Health]) -> RotationVerdict:
    """Whether every check is healthy, and if not, the reason of the first that is not."""
    for health in checks:
        if health.verdict is HealthVerdict.HEALTHY:
            continue
        if health.last_passed is False:
            return RotationVerdict(False, Reason.UNHEALTHY, health.reason)
        return RotationVerdict(False, Reason.CHECKING, PASSING if health.last_passed else UNCHECKED)
    return RotationVerdict(True)
