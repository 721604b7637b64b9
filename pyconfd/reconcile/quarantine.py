"""
Quarantine: versions that were put live but that the service did not accept. Pure.

A version covers all members of a group, because they are put live and rolled back together. It is
in quarantine until a changed key or template gives one of them another content, or until an
operator releases it. The cause may also have been elsewhere, and have passed: a port that another
process held, a service that was busy. So a version gets a trial from time to time, less and less
often, because each trial is a reload with files that may be wrong.

    held, no trial due    ->  stays out of the live files
    held, trial due       ->  on trial: it is swapped in once more
    on trial, refused     ->  held, refused once more; the next trial is later
    on trial, taken       ->  forgotten
    another version       ->  forgotten
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace

from pyconfd.errors import SwapError
from pyconfd.model.values import dataclass

#: How long a version waits for its trial after the first refusal, how many times as long after
#: each further one, and at most: five trials in the first six hours, then one a day.
FIRST_WAIT_S, WAIT_FACTOR, LONGEST_WAIT_S = 60.0, 4.0, 86400.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    A version that was refused.

    versions: member -> digest of its content; no entry for a file that was to be removed.
    refused: the members that were rolled back.
    declared: the names of the resources.
    since_at: of the first refusal, seconds since 1970, UTC.
    why: one line, of the last refusal.
    revision: the store's, 0 where not known.
    times: how often it was refused.
    trial_s: when it may be tried again, monotonic seconds of this run.
    """

    versions: Mapping[str, str]
    refused: tuple[str, ...]
    declared: tuple[str, ...]
    since_at: float
    why: str
    revision: int = 0
    times: int = 1
    trial_s: float = 0.0

    def error(self, name: str) -> SwapError:
        """Why the version is not put live again. name: as for `pyconfd release`."""
        return SwapError(
            f"this very version was put live before, and the service did not take it: {self.why}",
            where=name,
            kept="the version before it is live",
            hint=f"change the key or the template, or: pyconfd release {name}",
        )

    @property
    def names(self) -> frozenset[str]:
        """The names that can stand for it, beside that of its group."""
        return frozenset((*self.refused, *self.declared))


@dataclass(frozen=True, slots=True)
class Held:
    """
    All versions in quarantine.

    refusals: name of the group, or of the resource that stands alone -> its refused version.
    on_trial: those that are being tried once more.
    """

    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    on_trial: Mapping[str, Refusal] = field(default_factory=dict)


def wait_s(times: int) -> float:
    """Seconds from the last of this many refusals to the next trial."""
    return float(min(FIRST_WAIT_S * WAIT_FACTOR ** (min(times, 16) - 1), LONGEST_WAIT_S))


def refuse(held: Held, name: str, refusal: Refusal, now_s: float) -> Held:
    """Hold a version: instead of an older one, or again after its trial."""
    tried = held.on_trial.get(name)
    if tried and tried.versions == refusal.versions:
        refusal = replace(refusal, times=tried.times + 1, since_at=tried.since_at)
    refusal = replace(refusal, trial_s=now_s + wait_s(refusal.times))
    return Held({**held.refusals, name: refusal}, _without(held.on_trial, name))


def is_due(held: Held, name: str, now_s: float) -> bool:
    """Whether it is time to try the version of this group once more."""
    refusal = held.refusals.get(name)
    return refusal is not None and now_s >= refusal.trial_s


def begin_trial(held: Held, name: str) -> Held:
    """
    Stop holding the version for its trial. A failed trial calls `refuse`; a success calls nothing.
    """
    on_trial = {**held.on_trial, name: held.refusals[name]}
    return Held(_without(held.refusals, name), on_trial)


def forget(held: Held, name: str) -> Held:
    """There is another version now, so the refused one may be tried if it comes again."""
    return replace(held, refusals=_without(held.refusals, name))


def release(held: Held, declared: frozenset[str]) -> Held:
    """Forget the versions of which one of these resources is a part."""
    free = {name: it for name, it in held.refusals.items() if declared.isdisjoint(it.declared)}
    return replace(held, refusals=free)


def restarted(refusal: Refusal, now_s: float) -> Refusal:
    """The state for a new run: monotonic time does not continue, so the wait begins again."""
    return replace(refusal, trial_s=now_s + wait_s(refusal.times))


def _without(refusals: Mapping[str, Refusal], name: str) -> Mapping[str, Refusal]:
    left = dict(refusals)
    left.pop(name, None)
    return left
