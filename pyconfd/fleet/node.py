"""
This daemon as a node of its fleet: its record, its turns, and the threads that go with them.

Shell. Made only if a fleet is named.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from pyconfd.backends import registry
from pyconfd.backends.base import KeptAlive, LeaseRegistry, Source, SourceWithPast
from pyconfd.errors import RevisionCompacted, SourceError
from pyconfd.fleet.client import RECORD_S, FleetClient
from pyconfd.fleet.events import FleetEvent, FleetMessage, KeysFetched
from pyconfd.fleet.kept_views import KeptViews
from pyconfd.fleet.records import FleetPaths
from pyconfd.fleet.rollouts import RolloutActions, Rollouts, TurnKeeper
from pyconfd.model.resources import Command
from pyconfd.model.source import SourceOptions
from pyconfd.pipeline.gated import GatedKeys
from pyconfd.reconcile.rollout import VerifyEnded
from pyconfd.reconcile.turns import TurnRecords, Version
from pyconfd.system.proc import Runner

Put = Callable[[FleetMessage], None]

_FETCH_S = 30.0
_AGAIN_S = 2.0


class FleetNode:
    """
    fleet, name: of the fleet and of this node.
    options: how the store is reached.
    source: the store, for what was at earlier revisions.
    run: for verify_cmd.
    put: puts a message on the daemon's inbox.
    """

    def __init__(
        self,
        fleet: str,
        name: str,
        options: SourceOptions,
        source: Source,
        folder: str,
        run: Runner,
        put: Put,
    ) -> None:
        kept = KeptViews.read(folder)
        kept.write()

        def open_leases(kept_alive: KeptAlive, broken: Callable[[], None]) -> LeaseRegistry:
            return registry.open_leases("etcd", options, kept_alive, broken)

        self.fleet, self.name = fleet, name
        self._client = FleetClient(
            open_leases,
            lambda: registry.open_source("etcd", options),
            FleetPaths(fleet),
            name,
            kept.instance,
            put,
            wall_clock=time.time,
        )
        self.rollouts = Rollouts(fleet, name, kept, _actions(self._client, source, run, put))
        self._record: Mapping[str, Any] = {}
        self._next_s = 0.0
        self._waits = False

    def start(self, record: Mapping[str, Any]) -> None:
        """Start. record: what the node publishes about itself."""
        self._client.publish(record)
        self._client.start()

    def stop(self, timeout_s: float) -> None:
        """Leave the fleet."""
        self._client.stop(timeout_s)

    def publish(self, record: Callable[[], Mapping[str, Any]], now: float) -> None:
        """Make the record, at most once a second, and have it written if it has changed."""
        self._waits = now < self._next_s
        if self._waits:
            return
        self._next_s = now + RECORD_S
        found = record()
        if found != self._record:
            self._record = found
            self._client.publish(found)

    @property
    def due_s(self) -> float | None:
        """When the record is made again; None if nothing has happened since."""
        return self._next_s if self._waits else None


class _NoFleet:
    """Without a fleet there are no turns."""

    def join(self, service: str, proved: Version | None) -> None: ...
    def leave(self, service: str) -> None: ...
    def ask(self, service: str, version: Version) -> None: ...
    def withdraw(self, service: str) -> None: ...
    def begin(self, service: str, version: Version, records: TurnRecords) -> None: ...
    def fail(self, service: str, version: Version, why: str) -> None: ...
    def report(self, service: str, version: Version, proved: Version | None, bad: str) -> None: ...


def pins_alone(folder: str, source: Source, run: Runner, put: Put) -> Rollouts:
    """The rollouts of a daemon without a fleet that has a pin."""
    return Rollouts("", "", KeptViews.read(folder), _actions(_NoFleet(), source, run, put))


def _actions(keeper: TurnKeeper, source: Source, run: Runner, put: Put) -> RolloutActions:
    return RolloutActions(
        keeper=keeper,
        fetch=partial(_in_thread, "fetch", partial(_fetch, source, put)),
        verify=partial(_in_thread, "verify", partial(_verify, run, put)),
    )


def _in_thread(name: str, call: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=call, args=arguments, name=name, daemon=True).start()


def _fetch(
    source: Source, put: Put, service: str, paths: Sequence[str], version: Version, pin: bool
) -> None:
    """The keys of a service at an earlier revision. version: its digest is "" where not known."""
    keys: GatedKeys | None = None
    revision = version.revision
    problem, lasting = "", False
    try:
        if not isinstance(source, SourceWithPast):
            problem, lasting = f"{source.name} keeps no earlier revisions", True
        else:
            keys = _keys_of(source, paths, version)
    except RevisionCompacted as error:
        problem, lasting = f"revision {revision}: {error.what}", True
    except SourceError as error:
        problem = str(error)
        time.sleep(_AGAIN_S)
    put(KeysFetched(service, revision, pin, keys, problem, lasting))


def _keys_of(source: SourceWithPast, paths: Sequence[str], version: Version) -> GatedKeys:
    """
    The keys at a revision. If it was compacted, they are read at the oldest remaining revision, if
    they have not changed until then. Raises RevisionCompacted if they have.
    """
    try:
        found = source.list_at(paths, version.revision, timeout_s=_FETCH_S)
    except RevisionCompacted:
        if version.digest:
            oldest = source.list_oldest(paths, timeout_s=_FETCH_S)
            keys = GatedKeys.holding(version.revision, oldest.keys, paths)
            if keys.digest == version.digest:
                return keys
        raise
    return GatedKeys.holding(version.revision, found.keys, paths)


def _verify(run: Runner, put: Put, service: str, command: Command) -> None:
    report = run(command.text, timeout_s=command.timeout_s)
    words = " ".join(report.output.split())[:400]
    put(FleetEvent(service, VerifyEnded("" if report.ok else f"{report.reason} {words}".strip())))
