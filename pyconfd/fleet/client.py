"""
Keeps this node in the fleet's records: one thread with a lease and a watch. Shell.

The lease's state machine is the registrar's. The daemon's loop (fleet/rollouts.py) decides what is
written and when a turn begins; this carries it out and reports. Nothing is written without the
lease and the node's own record, so a second node of the same name writes nothing but its refusal.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pyconfd.backends.base import LeaseRegistry, Source, Watch
from pyconfd.errors import KeyTaken, LeaseLost, SourceError, SourceRefused
from pyconfd.fleet.events import FleetEvent, FleetMessage, NameContested, RecordsRead
from pyconfd.fleet.records import (
    FleetPaths,
    RecordBook,
    decoded,
    encoded,
    halt_value,
    version_value,
)
from pyconfd.model.keys import Changed, KeyValue, Listed, Lost, SourceMessage
from pyconfd.observe import log
from pyconfd.reconcile.rollout import Away, Back, Began, VerdictKept
from pyconfd.reconcile.turns import Halt, TurnRecords, Version, forgotten_halts
from pyconfd.registration.registrar import lease_session as session
from pyconfd.registration.registrar.inbox import Inbox
from pyconfd.registration.registrar.registrar import awake_clock
from pyconfd.registration.registrar.store_client import LeaseClient

TTL_S = 15
#: Between two tries of what the store did not answer, and of what it refused.
RETRY_S, REFUSED_S = 0.5, 5.0
#: A node's record is written at most this often, and up to a quarter later.
RECORD_S = 1.0

Operation = Callable[[], None]
OpenLeases = Callable[[Callable[[int, int], None], Callable[[], None]], LeaseRegistry]


class FleetClient:
    """
    open_leases, open_source: the store, opened by the thread.
    node, instance: the name of this node, and what distinguishes it from another of that name.
    put: takes the events; called from the thread, must not block.
    """

    def __init__(
        self,
        open_leases: OpenLeases,
        open_source: Callable[[], Source],
        paths: FleetPaths,
        node: str,
        instance: str,
        put: Callable[[FleetMessage], None],
        *,
        wall_clock: Callable[[], float],
    ) -> None:
        self._paths, self._node, self._instance, self._put = paths, node, instance, put
        self._wall_clock = wall_clock
        inbox = self._inbox = Inbox(awake_clock, 1.0)

        def kept_alive(lease: int, left_s: int) -> None:
            inbox.post(partial(self._lease, session.KeptAlive(lease, float(left_s))))

        def broken() -> None:
            inbox.post(partial(self._lease, session.StreamBroken()))

        self._client = LeaseClient(lambda: open_leases(kept_alive, broken), awake_clock)
        self._open_source = open_source
        self._state = session.Lease(asked_ttl_s=TTL_S)
        self._book = RecordBook(paths)
        self._listed = False
        #: Services whose records have changed since there is one of a newer pyconfd.
        self._withheld: set[str] | None = None
        self._claimed = False
        self._ready = False
        self._reported = ""
        self._problem = "the fleet's records are not read yet"
        self._operations: deque[Operation] = deque()
        self._proved: dict[str, Version | None] = {}
        self._record: Mapping[str, Any] = {}
        self._written: Mapping[str, Any] | None = None
        self._record_due = False
        self._given_up = False
        self._contested = ""
        self._stopping = False
        self._jitter = random.Random()  # noqa: S311 - spreads writes, guards nothing
        self._thread: threading.Thread | None = None

    # From any thread

    def start(self) -> None:
        """Start the thread; may be called once."""
        self._thread = threading.Thread(target=self._live, name="fleet", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Take the node out of the fleet, and end the thread."""
        self._inbox.post(self._stop)
        if self._thread:
            self._thread.join(timeout_s)

    def publish(self, record: Mapping[str, Any]) -> None:
        """Replace the record that the node publishes."""
        self._inbox.post(partial(self._publish, record))

    def join(self, service: str, proved: Version | None) -> None:
        """Take turns for a service."""
        self._inbox.post(partial(self._join, service, proved))

    def leave(self, service: str) -> None:
        """Take no more turns for a service."""
        self._inbox.post(partial(self._leave, service))

    def ask(self, service: str, version: Version) -> None:
        """Ask for a turn."""
        key = self._paths.of(service, "asked", self._node)
        write = partial(self._write, {}, lambda lease: [(key, version_value(version), lease)])
        self._inbox.post(partial(self._do, write))

    def withdraw(self, service: str) -> None:
        """Withdraw the request for a turn."""
        key = self._paths.of(service, "asked", self._node)
        self._inbox.post(partial(self._do, partial(self._write, {}, lambda _: [], [key])))

    def begin(self, service: str, version: Version, records: TurnRecords) -> None:
        """Record a begin that was decided on these records. Answers with Began."""
        self._inbox.post(partial(self._do, partial(self._begin, service, version, records)))

    def fail(self, service: str, version: Version, why: str) -> None:
        """Halt a version for all."""
        self._inbox.post(partial(self._do, partial(self._fail, service, version, why)))

    def report(self, service: str, version: Version, proved: Version | None, bad: str) -> None:
        """End the turn. Answers with VerdictKept."""
        call = partial(self._report_verdict, service, version, proved, bad)
        self._inbox.post(partial(self._do, call))

    # The thread

    def _live(self) -> None:
        watch: Watch | None = None
        source = self._open_source()
        try:
            followed = [self._paths.rollouts, self._paths.refusals]
            watch = source.watch(followed, lambda it: self._inbox.post(partial(self._heard, it)))
            self._lease(session.Acquire())
            while not (self._stopping and not self._state.lease):
                self._inbox.take()
                self._inbox.run_steps()
                for timer in self._inbox.take_due():
                    timer.call()
                    self._inbox.run_steps()
        except Exception as error:  # noqa: BLE001 - the top of the thread
            log.LOG.exception("the fleet's thread ended because of a fault in pyconfd")
            self._put(FleetEvent("", Away(f"its thread ended: {error!r}")))
        finally:
            if watch:
                watch.stop()
            source.close()
            self._client.close()

    def _stop(self) -> None:
        self._stopping = True
        self._operations.clear()
        self._lease(session.Release())
        self._inbox.plan(self._inbox.now() + RETRY_S, "stop", lambda: None)

    def _heard(self, message: SourceMessage) -> None:
        match message:
            case Lost():
                self._listed = False
                self._away(str(message.cause), refused=isinstance(message.cause, SourceRefused))
                return
            case Listed() | Changed():
                touched = self._book.apply(message)
                if objection := self._book.objection:
                    self._withhold(touched, objection)
                    return
                if self._withheld is not None:
                    touched |= self._withheld
                if touched or isinstance(message, Listed) or self._withheld is not None:
                    self._put_records(touched)  # also none: they are read now
                self._put_contested()
        if not self._listed:
            self._listed = True
            self._advance()

    def _withhold(self, services: set[str], why: str) -> None:
        """Records that cannot be read may be a halt: decide nothing, and let no other node wait."""
        first = self._withheld is None
        self._withheld = services | (self._withheld or set())
        self._listed = False
        self._away(why)
        if first:
            self._claimed = False
            self._give_up()

    def _put_records(self, services: set[str]) -> None:
        self._withheld = None
        records = {name: self._book.records(name) for name in services}
        pins = {name: self._book.pin(name) for name in services}
        self._put(RecordsRead(records, pins))

    def _put_contested(self) -> None:
        other = self._book.refused.get(self._node, {})
        by = str(other.get("host", "?")) if other.get("instance", "") != self._instance else ""
        by = by if other else ""
        if by != self._contested:
            self._contested = by
            self._put(NameContested(by))

    # The lease

    def _lease(self, message: session.Message) -> None:
        now = self._inbox.now()
        self._state, commands = session.step(self._state, message, now, self._jitter.random())
        for command in commands:
            self._carry_out(command)
        self._inbox.plan(
            session.next_due(self._state), "lease", partial(self._lease, session.Tick())
        )
        if not self._state.usable and self._state.problem:
            self._away(self._state.problem)

    def _carry_out(self, command: session.Command) -> None:
        match command:
            case session.Grant():
                self._inbox.later(lambda: self._lease(self._client.grant(TTL_S)))
            case session.Revoke(lease):
                self._inbox.later(lambda: self._lease(self._client.revoke(lease)))
            case session.KeepAlive(lease):
                self._client.keep_alive(lease)
            case session.LeaseUp():
                self._given_up = False
                self._inbox.later(self._advance)
            case session.LeaseDown(_, why):
                self._claimed = False
                if not self._given_up:
                    self._away(f"the lease is lost: {why}")

    def _away(self, why: str, *, refused: bool = False) -> None:
        """Begin nothing until the store is back; pending writes are then decided again."""
        self._ready = False
        self._operations.clear()
        if why != self._reported and not self._stopping:
            self._reported = why
            self._put(FleetEvent("", Away(why, refused)))

    # What is written

    def _advance(self) -> None:
        """Become ready, and do the pending work; called again whenever something has changed."""
        if self._stopping or not (self._state.usable and self._listed):
            return
        try:
            if not self._claimed:
                self._claim()
            if not self._ready:
                self._come_back()
            while self._operations:
                self._operations[0]()
                self._operations.popleft()
            if self._record_due:
                self._write_record()
        except KeyTaken:
            self._contest()
        except LeaseLost:
            self._lease(session.Gone(self._state.lease))
        except SourceRefused as error:
            self._claimed = False
            self._away(str(error), refused=True)
            self._give_up()
        except SourceError as error:
            log.debug("the fleet's records cannot be written", reason=str(error))
            self._again(RETRY_S)

    def _give_up(self) -> None:
        """Withdraw the request together with the lease, and try again later."""
        self._given_up = True
        self._lease(session.Release())
        again = partial(self._lease, session.Acquire())
        self._inbox.plan(self._inbox.now() + REFUSED_S, "acquire", again)

    def _again(self, in_s: float) -> None:
        self._inbox.plan(self._inbox.now() + in_s, "advance", self._advance)

    def _do(self, operation: Operation) -> None:
        """Do the pending work once, in order; none while the store is away."""
        if self._ready:
            self._operations.append(operation)
            self._advance()

    def _claim(self) -> None:
        """Put this node's own record, unless another node has it. Raises KeyTaken."""
        there = self._client.get(self._paths.node(self._node))
        if there is not None and decoded(there.value).get("instance") != self._instance:
            raise KeyTaken("the name is taken", where=self._node)
        self._write_own(there)
        self._claimed = True

    def _write_own(self, there: KeyValue | None) -> None:
        key = self._paths.node(self._node)
        value = encoded({**self._record, "instance": self._instance})
        refusal = self._paths.refused(self._node)
        other = self._book.refused.get(self._node, {}).get("instance") == self._instance
        expected = {key: there.mod_revision if there else 0}
        puts = [(key, value, self._state.lease)]
        if not self._client.commit(expected, puts, [refusal] if other else []):
            raise KeyTaken("the name was taken just now", where=self._node)
        self._written = self._record

    def _contest(self) -> None:
        """Another node has the same name: report it on both, and try again."""
        self._claimed = False
        own = {"host": self._record.get("host", "?"), "instance": self._instance}
        value = encoded({**own, "at": self._wall_clock()})
        put = [(self._paths.refused(self._node), value, self._state.lease)]
        host: object = "?"
        try:
            there = self._client.get(self._paths.node(self._node))
            host = decoded(there.value).get("host", "?") if there else "?"
            self._client.commit({}, put)
        except (SourceError, LeaseLost) as error:
            log.debug("the refusal cannot be written", reason=str(error))
        self._away(f"another node of this fleet is called {self._node}, on {host}")
        self._again(REFUSED_S)

    def _come_back(self) -> None:
        """Put the services' records under this lease; requests of a former run are removed."""
        for service, proved in self._proved.items():
            self._write_presence(service, proved)
        self._ready = True
        self._reported = ""
        self._put(FleetEvent("", Back()))

    def _write_presence(self, service: str, proved: Version | None) -> None:
        key = self._paths.of(service, "nodes", self._node)
        asked = self._paths.of(service, "asked", self._node)
        self._client.commit({}, [(key, version_value(proved), self._state.lease)], [asked])

    def _join(self, service: str, proved: Version | None) -> None:
        self._proved[service] = proved
        self._do(partial(self._joined, service, proved))

    def _joined(self, service: str, proved: Version | None) -> None:
        self._write_presence(service, proved)
        self._put(FleetEvent(service, Back()))

    def _leave(self, service: str) -> None:
        if service in self._proved:
            del self._proved[service]
            keys = [self._paths.of(service, kind, self._node) for kind in ("nodes", "asked")]
            self._do(partial(self._write, {}, lambda _: [], keys))

    def _publish(self, record: Mapping[str, Any]) -> None:
        self._record = record
        if self._ready and record != self._written:
            wait_s = (
                RECORD_S * (1 + self._jitter.random() / 4) if self._written is not None else 0.0
            )
            self._inbox.plan(self._inbox.now() + wait_s, "record", self._record_is_due)

    def _record_is_due(self) -> None:
        self._record_due = True
        self._advance()

    def _write_record(self) -> None:
        self._record_due = False
        if self._record == self._written:
            return
        there = self._client.get(self._paths.node(self._node))
        if there is not None and decoded(there.value).get("instance") != self._instance:
            raise KeyTaken("the name is taken", where=self._node)
        self._write_own(there)

    def _write(
        self,
        expected: Mapping[str, int],
        puts: Callable[[int], list[tuple[str, bytes, int]]],
        deletes: list[str] | None = None,
    ) -> None:
        self._client.commit(expected, puts(self._state.lease), deletes or [])

    def _fence(self, service: str) -> tuple[str, bytes, int]:
        return (self._paths.of(service, "fence"), encoded({"by": self._node}), 0)

    def _begin(self, service: str, version: Version, records: TurnRecords) -> None:
        asked, begun = (self._paths.of(service, kind, self._node) for kind in ("asked", "begun"))
        fence = self._fence(service)
        turn = records.asked.get(self._node)
        done = False
        if turn is not None:
            expected = {fence[0]: records.fence, asked: turn.order}
            puts = [(begun, version_value(version), 0), fence]
            done = self._client.commit(expected, puts, [asked])
        if not done:  # an answer that was lost may hide a success
            there = self._client.get(begun)
            done = bool(there and decoded(there.value).get("digest") == version.digest)
        self._put(FleetEvent(service, Began(done)))

    def _halted(self, service: str, version: Version, why: str) -> list[tuple[str, bytes, int]]:
        halt = Halt(why=why, by=self._node, at=self._wall_clock(), revision=version.revision)
        key = self._paths.of(service, "halts", version.digest)
        return [(key, halt_value(halt), 0), self._fence(service)]

    def _fail(self, service: str, version: Version, why: str) -> None:
        self._client.commit({}, self._halted(service, version, why))

    def _report_verdict(
        self, service: str, version: Version, proved: Version | None, bad: str
    ) -> None:
        presence = self._paths.of(service, "nodes", self._node)
        puts = [(presence, version_value(proved), self._state.lease)]
        deletes = [self._paths.of(service, "begun", self._node)]
        if bad:
            puts += self._halted(service, version, bad)
            over = set(forgotten_halts(self._book.records(service))) - {version.digest}
            deletes += [self._paths.of(service, "halts", digest) for digest in sorted(over)]
        self._client.commit({}, puts, deletes)
        self._proved[service] = proved
        self._put(FleetEvent(service, VerdictKept()))
