"""
The daemon: one inbox, one thread that decides, and lanes that do the work.

Everything that happens (a message of the source, a lane's report, a signal) is put on the inbox.
The loop takes all messages, lets the services decide what is due, hands the jobs to the lanes and
sleeps until the next message or the next deadline. Nothing else changes the state.
"""

from __future__ import annotations

import gc
import queue
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from pyconfd.apply.context import PassContext
from pyconfd.apply.orphaned_debts import OrphanedDebts
from pyconfd.backends.base import Put, Source, Watch
from pyconfd.daemon.configuration import ActiveConfig
from pyconfd.daemon.control_requests import Access, answer
from pyconfd.daemon.control_socket import ControlRequest
from pyconfd.daemon.lanes import Lanes
from pyconfd.daemon.outage import OutageTracker
from pyconfd.daemon.status_notifier import StatusNotifier
from pyconfd.daemon.supervised import PASSED_ON, ChildExited, Supervised
from pyconfd.daemon.version_log import VersionLog
from pyconfd.model.keys import (
    Changed,
    Listed,
    Lost,
    Progressed,
    SourceMessage,
    covering,
    is_under,
    join_paths,
    names_fleets,
)
from pyconfd.model.reads import Reads
from pyconfd.model.resources import Resource
from pyconfd.model.source import too_much
from pyconfd.model.steps import LaneReport, Outcome
from pyconfd.observe import log, report
from pyconfd.pipeline.store import Delta, Snapshot, Store
from pyconfd.reconcile.item_index import ItemIndex
from pyconfd.reconcile.read_index import ReadIndex
from pyconfd.reconcile.service import Job
from pyconfd.reconcile.services import ServiceSet
from pyconfd.status.counters import Counters
from pyconfd.status.history import History
from pyconfd.status.report import StatusFacts, node_record, summary
from pyconfd.status.versions import (
    RecentChanges,
    keys_since,
    version_entry,
    went_live,
    with_keys,
)
from pyconfd.system.proc import Commands
from pyconfd.system.sdnotify import Notifier

if TYPE_CHECKING:
    from pyconfd.fleet.events import FleetMessage
    from pyconfd.fleet.node import FleetNode
    from pyconfd.fleet.rollouts import Rollouts


#: How long leaving the fleet may take at the end.
FLEET_S = 3.0


@dataclass(frozen=True, slots=True)
class WatchMessage:
    """A source's message and the watch it came from: those of older watches are ignored."""

    watch: int
    message: SourceMessage


Message: TypeAlias = "WatchMessage | LaneReport | ControlRequest | ChildExited | FleetMessage | int"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopTimes:
    """
    The daemon's own times, in seconds.

    resync_s: from one comparison of all live files to the next, 0 for never.
    shutdown_s: how long a running reload may go on after SIGTERM.
    """

    resync_s: float = 60.0
    shutdown_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopDependencies:
    """
    What the loop works with.

    source: the store.
    follow: starts a watch of these prefixes.
    active_config: conf.d and the templates.
    tools: what a pass works with; its renderer is that of `active_config`.
    lanes: where jobs run.
    inbox: where everything that happens is put.
    commands: the running ones.
    notify: systemd.
    pace: the daemon's own times.
    pending: services with a pending reload of an earlier run.
    orphaned_debts: those of services that conf.d no longer has.
    versions: the log of versions that went live.
    about: what the status shows of this daemon beside its state.
    child: the command after `--`, None for none.
    counts: the counters; None without metrics.
    node: this daemon in its fleet; None without one.
    pins: makes the keeper of pinned services; None in a fleet, or when the store keeps no earlier
    revisions.
    pinned: whether an earlier run has left a pin.
    listing_limit: bytes of all keys and values that may be held; 0 for a source with a bound of
    its own.
    """

    source: Source
    follow: Callable[[Sequence[str], Put], Watch]
    active_config: ActiveConfig
    tools: PassContext
    lanes: Lanes
    inbox: queue.SimpleQueue[Message]
    commands: Commands
    notify: Notifier
    pace: LoopTimes
    pending: frozenset[str]
    orphaned_debts: OrphanedDebts
    versions: VersionLog
    about: Mapping[str, Any] = field(default_factory=dict)
    counts: Counters | None = None
    child: Supervised | None = None
    node: FleetNode | None = None
    pins: Callable[[], Rollouts] | None = None
    pinned: bool = False
    listing_limit: int = 0


class Loop:
    """The state of the daemon and what changes it. All methods belong to the main thread."""

    def __init__(self, deps: LoopDependencies) -> None:
        self._deps = deps
        self._tools = deps.tools
        self._child = deps.child
        self._rollouts = deps.node.rollouts if deps.node else None
        if deps.pins and deps.pinned:
            self._rollouts = deps.pins()
        self._store = Store()
        self._index: ReadIndex[str] = ReadIndex()
        self._items = ItemIndex()
        self._services = ServiceSet()
        self._resources: dict[str, Resource] = {}
        self._watch: Watch | None = None
        self._watched: tuple[str, ...] = ()
        self._watches = 0
        self._listed = False
        self._adopted = 0
        self._outage = OutageTracker()
        self._history = History()
        self._recent = RecentChanges()
        self._notifier = StatusNotifier(deps.notify)
        self._unready: set[str] = set()
        self._ready = False
        self._stopping_s: float | None = None
        self._resync_s = time.monotonic() + deps.pace.resync_s

    @property
    def stopping(self) -> bool:
        """Whether a stop has been asked for."""
        return self._stopping_s is not None

    def run(self) -> int:
        """
        Follow the store until a signal to stop, or until the supervised command ends; then end what
        is running, within the time for it. Returns the exit status.
        """
        self._adopt(self._deps.active_config.resources)
        for service in self._deps.pending:
            if self._services.pending(service, time.monotonic()):
                log.warn("a reload is pending from an earlier run", service=service)
        try:
            while not (self.stopping and not self._services.running and not self._last_jobs()) or (
                self._child and self._child.runs
            ):
                for message in self._wait():
                    self._take(message)
                self._act()
        finally:
            self._end()
        return (self._child.status if self._child else None) or 0

    def _child_exited(self, message: ChildExited) -> None:
        """The daemon ends with its command."""
        assert self._child is not None  # noqa: S101 - for the type checker: it sent the message
        self._child.ended(message)
        if not self.stopping:
            self._stop()

    def _wait(self) -> list[Message]:
        """All messages of the inbox; waits for the first one until the next deadline."""
        inbox = self._deps.inbox
        found: list[Message] = []
        try:
            found.append(inbox.get(timeout=self._patience_s()))
            while True:
                found.append(inbox.get_nowait())
        except queue.Empty:
            return found

    def _patience_s(self) -> float:
        now = time.monotonic()
        pace = self._deps.pace
        times = [now + 60.0]
        deadline = (
            None if self.stopping else self._services.deadline_s(no_snapshot=not self._listed)
        )
        if deadline is not None:
            times.append(deadline)
        if pace.resync_s:
            times.append(self._resync_s)
        if self._deps.notify.watchdog_s:
            times.append(now + self._deps.notify.watchdog_s / 2)
        if self._stopping_s is not None:
            times.append(self._stopping_s)
        elif self._notifier.due_s is not None:
            times.append(self._notifier.due_s)
        if self._deps.node and self._deps.node.due_s is not None:
            times.append(self._deps.node.due_s)
        if self._rollouts and self._rollouts.due_s is not None:
            times.append(self._rollouts.due_s)
        return max(0.0, min(times) - now)

    def _take(self, message: Message) -> None:
        match message:
            case WatchMessage():
                if message.watch == self._watches:
                    self._hear(message.message)
            case LaneReport():
                self._finish(message)
            case ControlRequest():
                self._answer(message)
            case ChildExited():
                self._child_exited(message)
            case int():
                self._signalled(message)
            case _ if self._rollouts:
                self._redo(self._rollouts.take(message))

    def _hear(self, message: SourceMessage) -> None:
        if self._deps.counts:
            self._deps.counts.heard(message, time.monotonic())
        match message:
            case Listed() | Changed():
                self._apply(message)
            case Progressed():
                self._found()
            case Lost():
                self._lose(message)

    def _lose(self, message: Lost) -> None:
        if self._outage.heard(message.cause, time.monotonic()):
            report.lost(message)
        if self._child and not (self._listed or self.stopping or self._child.runs):
            self._start_unread(self._child)

    def _start_unread(self, child: Supervised) -> None:
        """The command does not wait for a store, where an earlier run has made all of its files."""
        resources = self._resources.values()
        if all(self._deps.versions.has(one) for one in resources):
            child.start(resources)
            if child.runs:
                log.warn("the command runs with the files of before until the store can be read")

    def _apply(self, message: Listed | Changed) -> None:
        """Apply a message to the mirror, and mark what reads the keys that really changed."""
        if isinstance(message, Changed) and self._outgrown(message):
            return
        self._found()
        now = time.monotonic()
        delta = self._store.apply(message)
        if self._deps.counts:
            self._deps.counts.changes += len(delta.changed)
        if isinstance(message, Listed):
            report.listed(message, changed=len(delta.changed))
        if not self._listed:
            self._listed = True
            # a full collection over 100,000 keys takes 29 ms, and they live as long as we do
            gc.collect()
            gc.freeze()
            self._services.dirty(self._resources, now)
        elif delta.changed:
            self._recent.note(delta.revision, delta.changed)
            names = self._index.affected(delta.changed)
            self._services.dirty(names, now, self._items.affected(delta.changed))
        if self._rollouts:
            self._gated_changes(delta)

    def _outgrown(self, message: Changed) -> bool:
        """
        Whether a change would make the mirror too large. Then it is not applied, and the store is
        listed again and again until it has fewer keys.
        """
        limit = self._deps.listing_limit
        key = self._store.outgrown_by(message, limit) if limit else ""
        if not key:
            return False
        prefix = next((one for one in self._watched if is_under(key, one)), key)
        self._lose(Lost(message.source, too_much(prefix, limit)))
        self._follow()
        return True

    def _gated_changes(self, delta: Delta) -> None:
        """Handle changes of services' gated keys."""
        if self._rollouts is None:
            return
        if delta.relisted:
            self._redo(self._rollouts.listed(self._store.snapshot()))
        elif delta.changed:
            self._redo(self._rollouts.changed(delta.changed, self._store.snapshot))

    def _redo(self, services: Iterable[str]) -> None:
        """Make the files of these services again: they now use other keys."""
        now = time.monotonic()
        for service in services:
            if self._rollouts:
                keys = self._rollouts.difference(service)
                self._recent.note(self._store.revision, keys, service)
            self._services.dirty((one.name for one in self._services.members(service)), now)

    def _found(self) -> None:
        if self._outage.ended():
            log.info("the store is back", source=self._deps.source.name)

    def _finish(self, message: LaneReport) -> None:
        now = time.monotonic()
        self._services.finished(message, now)
        if message.generation > self._adopted:
            self._unready -= message.names
            self._note_reads(message)
        else:
            self._overtaken(message, now)
        if self._rollouts:
            self._redo(self._rollouts.finished(message))
        message = with_keys(message, self._keys_of)
        self._note_versions(message)
        self._history.note(message, time.time())
        if self._deps.counts:
            self._deps.counts.ended(message, now, time.time())
        report.lane(message)
        if not self._unready and self._listed:
            self._ready = True
            self._deps.notify.ready()
            if self._child and not self.stopping:
                self._child.start(self._resources.values())
            if self._tools.guards.unwritten:
                self._keep()

    def _note_versions(self, message: LaneReport) -> None:
        """Record the versions that went live, and the keys that made them."""
        live = [one for one in message.outcomes if went_live(one)]
        if live:
            gated = self._rollouts.revision(message.service) if self._rollouts else 0
            now_at = time.time()
            self._deps.versions.note(
                version_entry(message, one, gated=gated, at=now_at) for one in live
            )

    def _keys_of(self, outcome: Outcome, reads: Reads) -> Sequence[str]:
        """
        The keys that made a version; for the first one since the start, those since the last run.
        """
        name, service = outcome.resource.name, outcome.resource.service_name
        gated = self._rollouts.gated(service) if self._rollouts else ()
        live = went_live(outcome)
        found = self._recent.made(outcome.resource, outcome.revision, reads, gated=gated, live=live)
        if not found and name not in self._history.states:
            since = self._deps.versions.revision(name)
            found = keys_since(self._store.snapshot(), reads, since) if since else []
        return found

    def _note_reads(self, message: LaneReport) -> None:
        """Note what each resource has read, which makes it dirty from now on."""
        for name, reads in message.reads.items():
            if name in self._resources:
                self._index.set(name, reads)
        for name, items in message.items.items():
            if name in self._resources and name in message.partly:
                self._items.note(name, items)
            elif name in self._resources:
                self._items.replace(name, items)
        for one in (outcome.resource for outcome in message.outcomes):
            if one.each and not one.item and one.name in self._resources:
                # held as a whole: which of its names have changed since is not remembered
                self._index.set(one.name, Reads(trees=frozenset(one.watched)))

    def _overtaken(self, message: LaneReport, now: float) -> None:
        """
        A job of the former set has ended. Another service may own its files by now, and may already
        have handled them. So that service compares them again, and reloads for what was swapped.
        """
        dests = {outcome.resource.dest for outcome in message.outcomes}
        same = (one.name for one in self._resources.values() if one.dest in dests)
        self._services.dirty(message.names.union(same), now)
        self._reassign()

    def _act(self) -> None:
        """Hand out what is due, and do the periodic work."""
        now = time.monotonic()
        pace = self._deps.pace
        if self._deps.notify.watchdog_s:
            self._deps.notify.watchdog()
        if pace.resync_s and now >= self._resync_s and not self.stopping:
            self._resync_s = now + pace.resync_s
            if edited := self._deps.active_config.newly_edited():
                what = "templates were edited since they were read; SIGHUP takes them"
                log.warn(what, templates=", ".join(edited))
            if self._listed:
                self._services.verify()
                self._keep()
        if self._stopping_s is not None and now >= self._stopping_s:
            log.warn("a command did not end in time and is ended now")
            self._deps.commands.stop(0.0)
            if self._child:
                self._child.stop(0.0)
            self._stopping_s = now + 1.0
        if self._rollouts and not self.stopping:
            self._redo(self._rollouts.tick(now))
        self._hand_out(now)
        if not self.stopping:
            self._notifier.show(summary(self._facts(now)), now)
            if self._deps.node:
                self._deps.node.publish(lambda: node_record(self._facts(now)), now)

    def _keep(self) -> None:
        """Store, from time to time, what the guards compare with after a restart."""
        try:
            self._tools.guards.keep()
        except OSError as error:
            log.warn(f"the state folder cannot be written: {error}")

    def _hand_out(self, now: float) -> None:
        jobs = self._services.due(now, stopping=self.stopping, no_snapshot=not self._listed)
        if not jobs:
            return
        if self._deps.counts:
            self._deps.counts.began(jobs, now)
        snapshot = self._store.snapshot()
        for job in jobs:
            members = self._services.members(job.service)
            due = self._services.due_members(job)
            for resource in due:
                # until its reads are known again, anything it may read makes it dirty
                watched = Reads(trees=frozenset(resource.watched))
                if resource.name in job.items:
                    self._items.note(
                        resource.name, dict.fromkeys(job.items[resource.name], watched)
                    )
                else:
                    self._index.set(resource.name, watched)
            spec = self._services.reload_spec(job.service)
            view = self._view(job, snapshot)
            if view is None:  # it is made once there is something to make it from
                nothing = LaneReport(service=job.service, generation=job.generation, debt=job.debt)
                self._deps.inbox.put(nothing)
                continue
            self._deps.lanes.submit(self._tools, job, members, spec, view, due)

    def _view(self, job: Job, snapshot: Snapshot) -> Snapshot | None:
        """
        The snapshot for a job: for a service with a rollout its own gated keys, and the rest live.
        """
        if self._rollouts is None:
            return snapshot
        self._rollouts.handed_out(job)
        return self._rollouts.view(job.service, snapshot)

    def _last_jobs(self) -> bool:
        """While stopping: whether a postponed reload has just been handed out."""
        self._hand_out(time.monotonic())
        return self._services.running > 0

    def _answer(self, request: ControlRequest) -> None:
        """Answer a request of the control socket, or carry it out."""
        now = time.monotonic()
        access = Access(
            self._reads,
            self._store.snapshot,
            self._release,
            self._deps.counts,
            self._deps.orphaned_debts.give_up,
            self._reload,
            _set_log_level,
            self._pin,
            self._unpin,
            self._rollouts.view if self._rollouts else lambda _, live: live,
        )
        reply = answer(request.question, self._facts(now), access)
        self._services.dirty(reply.dirty, now)
        request.reply(reply.answer)

    def _reads(self, resource: Resource) -> Reads:
        """
        What a resource, or one name of a pattern, has read; for a pattern, the folder of names.
        """
        if resource.item:
            found = self._items.reads(resource.declared).get(resource.item)
            return found or self._index.reads(resource.declared)
        if resource.each:
            return Reads(trees=frozenset((join_paths(resource.prefix, resource.each),)))
        return self._index.reads(resource.name)

    def _release(self, names: Sequence[str], by: str) -> Sequence[str]:
        """Let what a guard holds back, or what is in quarantine, go live. Returns the names."""
        tools = self._tools
        released = {*tools.guards.release(names), *tools.quarantine.release(names)}
        for name in released:
            known = self._history.release(name, by, time.time())
            for each, order in known:
                report.released(each, by, order.revision, order.changed)
            if not known:
                report.released(name, by)
        return [name for name in names if name in released]

    def _pin(self, service: str, revision: int, by: str) -> str:
        """Keep a service at an earlier revision. Returns why that is not possible, "" if it is."""
        if self._rollouts is None:
            if self._deps.pins is None:
                return f"{self._deps.source.name} keeps no earlier revisions"
            self._rollouts = self._deps.pins()
            self._rollouts.adopt(self._resources.values())
        return self._rollouts.pin(service, revision, by)

    def _unpin(self, service: str) -> bool:
        """Unpin a service. Returns whether it was pinned."""
        services = self._rollouts.unpin(service) if self._rollouts else set()
        self._redo(services)
        return bool(services)

    def _facts(self, now: float) -> StatusFacts:
        """Everything that can be reported, as references: nothing is copied or counted here."""
        return StatusFacts(
            now_s=now,
            now_at=time.time(),
            about=self._deps.about,
            source=self._deps.source.name,
            revision=self._store.revision,
            listed=self._listed,
            lost=self._outage.cause,
            lost_s=self._outage.since_s,
            watched=self._watched,
            resources=self._resources,
            unready=self._unready,
            services=self._services.states,
            failed=self._services.failed,
            history=self._history,
            quarantine=self._tools.quarantine.by_member(),
            orphaned=self._deps.orphaned_debts.services,
            stopping=self.stopping,
            faulty=self._deps.active_config.faulty,
            edited=self._deps.active_config.edited,
            rollouts=self._rollouts.statuses if self._rollouts else {},
            pins=self._rollouts.pins if self._rollouts else {},
        )

    def _signalled(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._reload()
            return
        if self._child:
            self._child.send(number)
        if number in PASSED_ON:
            log.debug("signal", signal=signal.Signals(number).name)
        elif self.stopping:
            log.warn("asked to stop again; running commands are ended now")
            self._deps.commands.stop(0.0)
        else:
            log.info("stopping", signal=signal.Signals(number).name)
            self._stop()

    def _stop(self) -> None:
        self._deps.notify.stopping()
        self._stopping_s = time.monotonic() + self._deps.pace.shutdown_s

    def _reload(self) -> Sequence[str]:
        """
        Use the new conf.d and templates if they have no fault, else keep the old ones. Returns the
        faults.
        """
        if self._ready:
            self._deps.notify.reloading()
        config = self._deps.active_config
        faults = config.reload(time.time())
        if faults:
            for fault in faults:
                log.error(str(fault))
            log.error("the new configuration is not used; the running one is kept")
        else:
            self._tools = replace(self._tools, renderer=config.renderer)
            self._tools.quarantine.clear()
            self._adopt(config.resources)
            if self._listed:
                self._services.dirty(self._resources, time.monotonic())
            log.info("configuration read again", resources=len(config.resources))
        if self._ready:
            self._deps.notify.ready()
        return [str(fault) for fault in faults]

    def _adopt(self, resources: Sequence[Resource]) -> None:
        for gone in self._resources.keys() - {resource.name for resource in resources}:
            self._index.drop(gone)
            self._items.drop(gone)
        self._resources = {resource.name: resource for resource in resources}
        for resource in resources:
            self._index.set(resource.name, Reads(trees=frozenset(resource.watched)))
            self._items.drop(resource.name)
            if resource.each:
                self._items.declare(resource.name, join_paths(resource.prefix, resource.each))
        self._unready = set(self._resources)
        self._history.keep(resources)
        self._services.adopt(resources)
        self._tools.ownership.adopt(resources)
        if self._rollouts:
            self._rollouts.adopt(resources)
        self._adopted = self._services.generation
        self._reassign()
        paths = [path for resource in resources for path in resource.watched]
        wanted, fleets = covering(paths), names_fleets(paths)
        if not self._watches or (wanted, fleets) != (self._watched, self._store.fleets):
            self._store.fleets = fleets
            self._rewatch(wanted)
        elif self._rollouts and self._listed:
            self._redo(self._rollouts.listed(self._store.snapshot()))

    def _reassign(self) -> None:
        """Move pending reloads to the services that their files belong to now."""
        journal = self._tools.journal
        reassigned: frozenset[str] = frozenset()
        if journal.services:
            reassigned = journal.reassign(self._tools.made_files.services(self._resources.values()))
        for service in reassigned | self._deps.orphaned_debts.refresh(self._services.states):
            self._services.pending(service, time.monotonic())

    def _rewatch(self, wanted: tuple[str, ...]) -> None:
        """Watch other prefixes; the mirror is incomplete and not used until they are listed."""
        self._watched = wanted
        self._listed = False
        self._follow()

    def _follow(self) -> None:
        """Start a new watch instead of the old one; its first message is a listing."""
        if self._watch:
            self._watch.stop()
        self._watches += 1
        number, wanted = self._watches, self._watched

        def put(message: SourceMessage) -> None:
            self._deps.inbox.put(WatchMessage(number, message))

        if wanted:
            self._watch = self._deps.follow(wanted, put)
        else:  # templates that read no keys: an empty store is the whole truth
            self._watch = None
            put(Listed(self._deps.source.name, 0, 0, ()))

    def _end(self) -> None:
        """Stop what was started, in reverse order."""
        if self._watch:
            self._watch.stop()
        if self._child:
            self._child.stop(self._deps.pace.shutdown_s)
        self._deps.commands.stop(0.0)
        self._deps.lanes.stop()
        if self._deps.node:
            self._deps.node.stop(FLEET_S)
        self._deps.source.close()


def _set_log_level(level: str) -> str:
    before = log.set_level(level)
    if level and level != before:
        log.warn("log level", was=before, now=level)
    return before
