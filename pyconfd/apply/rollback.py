"""
Rollback: a service has refused its new files, and its resources have on_reload_failure =
"revert".

The refusal may come several passes after the swap, when the reload was postponed, or after a kill.
So what was swapped is read from the journal, not from the pass that gets the refusal. If several
groups were refused together, they are put live again by halves until it is known which of them the
service refuses: one tenant's bad key must not delay the others.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pyconfd.apply.context import PassContext
from pyconfd.apply.expansion import made_from
from pyconfd.apply.group_search import ReapplyResult, by_halves
from pyconfd.errors import SwapError
from pyconfd.model.resources import Resource
from pyconfd.model.steps import LaneReport, Outcome, ReloadFailed, ReloadResult, Result
from pyconfd.observe import log
from pyconfd.pipeline import swap
from pyconfd.reconcile.rollback import may_search_on, wait_s
from pyconfd.system import files

_REFUSED = "the service did not take the new version: "
_CHANGED = (Result.UPDATED, Result.REMOVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackActions:
    """
    What a pass provides for a rollback.

    reload: reloads the service with what is live.
    reapply: puts the groups of these names live as far as they pass; None when nothing may be
    rendered now.
    interval_s: least time between two reloads.
    """

    reload: Callable[[], ReloadResult]
    reapply: Callable[[Sequence[str]], Sequence[Outcome]] | None
    interval_s: float = 0.0


@dataclass(slots=True)
class _Refused:
    """
    What was rolled back, and what has become of it since.

    answer: the service's last one.
    owners: destination -> its resource and the digest of the refused version; "" for a file that
    was to be removed.
    outcomes: by destination.
    reloaded_s: when a reload last succeeded, monotonic.
    refusals: how many reloads the service has refused.
    """

    context: PassContext
    service: str
    resources: Sequence[Resource]
    actions: RollbackActions
    answer: ReloadResult
    owners: dict[str, tuple[Resource, str]]
    outcomes: dict[str, Outcome]
    reloaded_s: float = 0.0
    refusals: int = 0

    def reapply(self, names: Sequence[str]) -> ReapplyResult:
        """Put these groups live once more, and roll them back if the service refuses them."""
        reapply = self.actions.reapply
        if reapply is None or not may_search_on(self.refusals) or not self._quiet():
            return ReapplyResult.UNKNOWN
        outcomes = reapply(names)
        self.outcomes.update((one.resource.dest, one) for one in outcomes)
        if not any(one.result in _CHANGED for one in outcomes):
            return ReapplyResult.PARTLY
        failed = self._reload()
        if failed is None:
            return (
                ReapplyResult.PARTLY
                if any(one.result.failed for one in outcomes)
                else ReapplyResult.TAKEN
            )
        if not failed.refused:
            return ReapplyResult.UNKNOWN  # it stays, and the reload is pending
        self.refusals += 1
        self.roll_back(failed)
        return ReapplyResult.UNKNOWN if self._reload() else ReapplyResult.REFUSED

    def _reload(self) -> ReloadFailed | None:
        self.answer = self.actions.reload()
        if isinstance(self.answer, ReloadFailed):
            return self.answer
        self.reloaded_s = time.monotonic()
        return None

    def _quiet(self) -> bool:
        """Wait for the least interval before the next reload; False when pyconfd has to stop."""
        while not self.context.stopping():
            left_s = wait_s(self.reloaded_s, self.actions.interval_s, time.monotonic())
            if not left_s:
                return True
            time.sleep(min(left_s, 0.05))
        return False

    def roll_back(self, failed: ReloadFailed) -> bool:
        """Put the old files live again, if they were kept. False when none was. Raises SwapTorn."""
        digests: dict[str, str] = {}
        judges = [one.nginx for one in self.resources if one.nginx]
        with self.context.nginx_locks.of(judges):  # no check with files that are about to go
            for entry in swap.revert(self.service, journal=self.context.journal):
                digests.setdefault(entry.dest, entry.digest)
        for one, digest in _owners(self.resources, digests):
            self.context.drift.forget(one)
            if not digest and one.item:
                # its file stands again, so it has to be known as one that can go
                self.context.made_files.will_make([one])
            self.owners[one.dest] = (one, digest)
            before = self.outcomes.get(one.dest)
            if before is None or not before.result.failed:
                base = before or Outcome(resource=one, result=Result.REVERTED, digest=digest)
                self.outcomes[one.dest] = replace(
                    base, result=Result.REVERTED, error=_error(failed), report=failed.report
                )
        return bool(digests)

    def groups(self) -> list[str]:
        """The names of the groups that were rolled back, in declared order."""
        places = {one.name: at for at, one in enumerate(self.resources)}
        ones = sorted((one for one, _ in self.owners.values()), key=lambda one: one.name)
        ones.sort(key=lambda one: places.get(one.declared, 0))
        return list(dict.fromkeys(one.group or one.name for one in ones))

    def quarantine(self, names: Iterable[str]) -> None:
        """Hold these versions, so that the next pass does not try them again."""
        owned: dict[str, list[tuple[Resource, str]]] = {}
        for each in self.owners.values():
            for key in {each[0].group, each[0].name}:
                owned.setdefault(key, []).append(each)
        for name in names:
            mine = owned.get(name, [])
            versions = {one.name: digest for one, digest in mine if digest}
            members = [one for one, _ in mine]
            if group := members[0].group:
                members = [one for one in self.resources if one.group == group]
            for one in members:
                if one.dest not in self.owners:
                    versions[one.name] = _live(one)
            fate = self.outcomes[mine[0][0].dest]
            self.context.quarantine.hold(
                name,
                versions,
                refused=(one.name for one, _ in mine),
                declared=dict.fromkeys(one.declared for one in members),
                why=fate.error.what.removeprefix(_REFUSED) if fate.error else "",
                revision=fate.revision,
            )


def roll_back(
    context: PassContext,
    done: LaneReport,
    failed: ReloadFailed,
    resources: Sequence[Resource],
    actions: RollbackActions,
) -> LaneReport:
    """
    Put the old files back, reload the service, and put live again what it accepts.

    done: the pass that ended with `failed`; it is returned unchanged when no old versions were
    kept.
    resources: all of the service, as declared. What stays rolled back counts as failed, even if an
    earlier pass swapped it. It is put in quarantine if the service refused it and accepted the
    version before. Raises SwapTorn.
    """
    outcomes = {outcome.resource.dest: outcome for outcome in done.outcomes}
    refused = _Refused(context, done.service, resources, actions, failed, {}, outcomes)
    if not refused.roll_back(failed):
        return done
    if refused._reload() is None:
        names = refused.groups()
        if len(names) > 1 and actions.reapply is not None:
            log.warn(
                "the service refused several groups together; they are brought back by halves",
                service=done.service,
                groups=len(names),
            )
            names = by_halves(names, refused.reapply)
        elif len(names) > 1:
            names = []
        refused.quarantine(names)
    looked_at = frozenset(one.declared for one, _ in refused.owners.values())
    return replace(
        done,
        outcomes=tuple(refused.outcomes.values()),
        names=done.names | looked_at,
        partly=done.partly | (looked_at - done.names),
        reload=refused.answer,
    )


def _owners(
    resources: Sequence[Resource], digests: Mapping[str, str]
) -> Iterator[tuple[Resource, str]]:
    """The resource of each destination, without those that are no longer declared."""
    for dest, digest in digests.items():
        found = (made_from(resource, dest) for resource in resources)
        if one := next(filter(None, found), None):
            yield one, digest


def _error(failed: ReloadFailed) -> SwapError:
    why = failed.error.what if failed.error else "its reload command failed"
    return SwapError(
        f"{_REFUSED}{why}",
        kept="the version before it is live again",
    )


def _live(resource: Resource) -> str:
    with contextlib.suppress(OSError):
        return files.live(resource.dest).digest or ""
    return ""
