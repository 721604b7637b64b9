"""The one place where the parts are made from the settings and connected."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from pyconfd.apply.context import PassContext
from pyconfd.apply.drift import Drift
from pyconfd.apply.guard_state import GuardState
from pyconfd.apply.made_files import MadeFiles
from pyconfd.apply.orphaned_debts import OrphanedDebts
from pyconfd.apply.quarantine import Quarantine
from pyconfd.apply.release_notes import ReleaseNotes
from pyconfd.apply.set_aside import GRACE_S, SetAside
from pyconfd.backends import registry
from pyconfd.backends.base import Put, Source, SourceWithPast, Watch
from pyconfd.config.resources import load_resources
from pyconfd.config.settings import Settings
from pyconfd.errors import ResourceError, StateError
from pyconfd.model.resources import Command, ResourceSet, Service
from pyconfd.model.values import dataclass
from pyconfd.observe import log, report
from pyconfd.pipeline.journal import Journal
from pyconfd.pipeline.render.node_facts import NodeFacts
from pyconfd.pipeline.render.renderer import Renderer
from pyconfd.pipeline.store import Snapshot
from pyconfd.system import files, state_format
from pyconfd.system.locks import InstanceLock
from pyconfd.system.proc import Commands
from pyconfd.system.time_limit import TimeLimit

if TYPE_CHECKING:
    from pyconfd.daemon.control_socket import ControlRequest
    from pyconfd.daemon.loop import Loop
    from pyconfd.fleet.events import FleetMessage
    from pyconfd.fleet.node import FleetNode
    from pyconfd.fleet.rollouts import Rollouts


#: In the place of a state folder that a dry run does not have.
_NOWHERE = "/dev/null/pyconfd"
#: Shadow trees, where they cannot stand beside the live configuration.
WORK_DIR = "check"


@dataclass(frozen=True, slots=True)
class StateFolder:
    """
    The state folder of this confdir, locked by this process.

    folder: its path.
    journal: swaps whose reload is not settled.
    guards: what the guards compare with.
    made: the files of each pattern.
    quarantine: versions that their service has refused.
    pending: services with a pending reload.
    orphaned_debts: those of services that conf.d no longer has.
    """

    folder: str
    journal: Journal
    guards: GuardState
    made: MadeFiles
    quarantine: Quarantine
    pending: frozenset[str]
    orphaned_debts: OrphanedDebts


def configure_log(settings: Settings) -> None:
    """
    Log lines of a daemon have the time; those of a one-shot run do not, so that runs can be
    compared.
    """
    log.configure(
        level=settings.log_level,
        style=settings.log_format,
        stamped=not settings.one_shot,
        colour=sys.stderr.isatty() and not os.environ.get("NO_COLOR"),
    )


def load(settings: Settings) -> ResourceSet:
    """conf.d as it is now; raises ConfigError when there is nothing to do at all."""
    found = load_resources(settings.confdir, settings)
    if settings.reload_signal:
        found = _signalling(found, settings)
    if not settings.one_shot:
        found = _without_ungated(found, settings)
    if not settings.sync_only:
        return found
    return replace(
        found,
        resources=tuple(
            replace(resource, check=None, nginx=None, service=Service())
            for resource in found.resources
        ),
    )


def _without_ungated(found: ResourceSet, settings: Settings) -> ResourceSet:
    """
    The set without resources whose rollout is not possible here: all nodes would change at once.
    """
    gated = [one for one in found.resources if one.service.rollout]
    if not gated or (settings.fleet and settings.backend in ("etcd", "etcdv3")):
        return found
    if not settings.fleet:
        what, hint = "has a rollout, and no fleet is named", "--fleet NAME, or fleet in the config"
    else:
        what, hint = "has a rollout, which needs etcd", "--backend etcd"
    places = {str(one.service.rollout.origin): one.service_name for one in gated
              if one.service.rollout}  # fmt: skip
    faults = (
        *found.faults,
        *(ResourceError(f"service {name} {what}", where=at, hint=hint)
          for at, name in places.items()),
    )  # fmt: skip
    left = tuple(one for one in found.resources if not one.service.rollout)
    if not left:
        raise ResourceError("no usable resource", where=settings.confdir, faults=faults)
    return replace(found, resources=left, faults=faults)


def renderer(
    settings: Settings,
    cache_dir: str | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> Renderer:
    """
    The templates of this confdir. cache_dir: stores them compiled between runs. stopping: once it
    returns True, renders are ended soon.
    """
    return Renderer(
        os.path.join(settings.confdir, "templates"),
        os.environ,
        cache_dir=cache_dir,
        facts=facts(settings),
        often=not settings.one_shot,
        engine=settings.template_engine,
        compat=settings.compat,
        value_limit=settings.value_limit,
        output_limit=settings.output_limit,
        time_limit=TimeLimit(stopping),
    )


def _signalling(found: ResourceSet, settings: Settings) -> ResourceSet:
    """The set, in which resources without a reload command signal the command after `--`."""
    from pyconfd.daemon.supervised import signal_command

    text = signal_command(settings.reload_signal)
    service = Service(reload=Command(text, settings.reload_cmd_timeout_s))
    return replace(
        found,
        resources=tuple(
            one if one.reload else replace(one, service=service) for one in found.resources
        ),
    )


def facts(settings: Settings) -> NodeFacts:
    """The facts about this node for templates."""
    return NodeFacts(settings.node_name, settings.vars, settings.config_file)


def kept_file(folder: str) -> str:
    """
    The file in which the daemon stores which gated keys it uses; absent when nothing is gated.
    """
    return os.path.join(folder, "rollouts.json")


def kept_views(folder: str) -> Callable[[str, Snapshot], Snapshot] | None:
    """
    What a one-shot run makes a service's files from. With a rollout or a pin these are the keys at
    which the daemon keeps the service, because only the daemon takes turns; otherwise the store as
    it is. Called with a service's name and the snapshot of the store; None when nothing is kept.
    """
    if not os.path.exists(kept_file(folder)):
        return None
    from pyconfd.fleet.kept_views import KeptViews

    kept = KeptViews.read(folder)

    def view(service: str, live: Snapshot) -> Snapshot:
        keys = kept.get(service).effective
        if keys is None:
            return live
        log.info(
            "gated keys stay where the daemon keeps them",
            service=service,
            revision=keys.snapshot.revision,
        )
        return keys.over(live)

    return view


def source(settings: Settings) -> Source:
    """The store named by --backend."""
    return registry.open_source(settings.backend, settings.source_options(os.environ))


def tools(
    settings: Settings,
    state: StateFolder,
    commands: Commands,
    stopping: Callable[[], bool] = lambda: False,
) -> PassContext:
    """What a pass works with."""
    return PassContext(
        renderer=renderer(settings, os.path.join(state.folder, "templates"), stopping),
        journal=state.journal,
        run=commands.run,
        drift=Drift(),
        guards=state.guards,
        made_files=state.made,
        quarantine=state.quarantine,
        work_dir=os.path.join(state.folder, WORK_DIR),
        check_timeout_s=settings.check_cmd_timeout_s,
        keep_stage=settings.keep_stage_file,
        set_aside=SetAside(0.0 if settings.onetime else GRACE_S),
        stopping=stopping,
    )


def dry_run(settings: Settings) -> PassContext:
    """
    What a dry run's pass works with: it writes nothing, and has the state of the last real run.
    Raises StateError if a newer pyconfd has written that.
    """
    folder = settings.state_folder if settings.state_dir else _NOWHERE
    state_format.check_folder(folder)
    return PassContext(
        renderer=renderer(settings),
        journal=Journal(folder),
        run=Commands(variables=settings.command_env).run,
        drift=Drift(),
        guards=GuardState(os.path.join(folder, "keys.json")),
        made_files=MadeFiles(os.path.join(folder, "made.json")),
        quarantine=Quarantine(os.path.join(folder, "quarantine.json")),
        work_dir=os.path.join(folder, WORK_DIR),
        dry_run=True,
        diff=settings.diff,
    )


@contextmanager
def state(settings: Settings, found: ResourceSet) -> Iterator[StateFolder]:
    """
    The state folder, locked: one pyconfd for each confdir at a time. What a killed run left behind
    is cleaned up here, before anything new is staged.
    """
    with _usable_folder(settings) as folder, InstanceLock(folder):
        _claim(folder)
        journal = Journal(folder)
        recovery = journal.recover()
        for dest in recovery.rolled_back:
            log.warn("a swap that was cut short was undone", dest=dest)
        for dest in recovery.finished:
            log.warn("a file that was being written in place was written again", dest=dest)
        for note in ReleaseNotes(folder).take():
            report.released_before(note.name, note.by, note.at)
        made = MadeFiles(os.path.join(folder, "made.json"))
        _sweep(found, made, folder, journal.kept)
        pending = set(recovery.pending)
        if pending:
            pending |= journal.reassign(made.services(found.resources))
        if recovery.damaged:
            log.warn(
                "the journal is damaged; every service is reloaded once", lines=recovery.damaged
            )
            pending = {resource.service_name for resource in found.resources}
        guards = GuardState(os.path.join(folder, "keys.json"))
        quarantine = Quarantine(os.path.join(folder, "quarantine.json"))
        partial = bool(settings.resource or settings.sync_only)  # not all services are known
        if not (partial or found.faults):
            quarantine.keep({one.name for one in found.resources})
        orphaned_debts = OrphanedDebts(journal, partial=partial)
        yield StateFolder(
            folder, journal, guards, made, quarantine, frozenset(pending), orphaned_debts
        )
        guards.keep()
        journal.close()


def _claim(folder: str) -> None:
    """
    Note the state format in the folder. Raises StateError if a newer pyconfd has written there.
    """
    try:
        state_format.claim_folder(folder)
    except OSError as error:  # a full disk, which the files that matter more will meet too
        log.warn(f"the format of the state folder cannot be noted: {error}")


@contextmanager
def _usable_folder(settings: Settings) -> Iterator[str]:
    """The state folder; --sync-only, which reloads nothing, works without one."""
    if not settings.sync_only or _is_usable(settings):
        yield settings.state_folder
        return
    import tempfile

    try:
        folder = tempfile.TemporaryDirectory(prefix="pyconfd-")
    except OSError as error:
        raise StateError(
            f"neither the state folder nor a temporary one can be used: {error.strerror}",
            where=settings.state_dir,
            hint="--state-dir FOLDER",
        ) from error
    with folder as path:
        yield path


def _is_usable(settings: Settings) -> bool:
    if not settings.state_dir:
        return False
    try:
        files.own_folder(settings.state_folder)
    except OSError:
        return False
    return os.access(settings.state_folder, os.W_OK)


def _sweep(found: ResourceSet, made: MadeFiles, folder: str, kept: Collection[str]) -> None:
    """Remove the staged files and shadow trees of killed runs, except these paths."""
    dests = [one.dest for resource in found.resources for one in made.known(resource)]
    work_dir = os.path.join(folder, WORK_DIR)
    elsewhere = [os.path.join(work_dir, os.path.basename(dest)) for dest in dests]
    for path in files.strays([*dests, *elsewhere]):
        if path not in kept:
            files.remove(path)
    checkers = {resource.nginx for resource in found.resources if resource.nginx}
    if checkers:
        from pyconfd.pipeline.nginx import shadow  # brings crossplane, which other runs do not need

        for nginx in checkers:
            shadow.sweep(nginx, work_dir=work_dir)


@contextmanager
def daemon(settings: Settings, state: StateFolder, found: ResourceSet) -> Iterator[Loop]:
    """
    The loop with all its parts; signals and requests go to its inbox while it exists.

    Parts of a daemon only are imported here, so that a one-shot run starts quickly.
    """
    import queue
    import time

    from pyconfd.backends.interval import Poll
    from pyconfd.daemon.configuration import ActiveConfig
    from pyconfd.daemon.control_socket import ControlServer
    from pyconfd.daemon.lanes import Lanes
    from pyconfd.daemon.loop import Loop, LoopDependencies, LoopTimes, Message
    from pyconfd.daemon.supervised import HARMLESS, PASSED_ON, Supervised
    from pyconfd.daemon.version_log import VersionLog
    from pyconfd.status.counters import Counters
    from pyconfd.system.sdnotify import Notifier
    from pyconfd.system.signals import HANDLED, Signals

    inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
    commands = Commands(variables=settings.command_env)
    store = source(settings)

    def follow(prefixes: Sequence[str], put: Put) -> Watch:
        if settings.watch:
            return store.watch(prefixes, put)
        poll = Poll(
            store, prefixes, put, interval_s=settings.interval_s, timeout_s=settings.timeout_s
        )
        return poll.start()

    context = tools(settings, state, commands, lambda: loop.stopping)
    about = _about(settings)
    node = _fleet_node(settings, state, store, commands, inbox.put)
    loop = Loop(
        LoopDependencies(
            source=store,
            follow=follow,
            active_config=ActiveConfig(
                lambda: load(settings), found, context.renderer, time.time()
            ),
            tools=context,
            lanes=Lanes(inbox.put),
            inbox=inbox,
            commands=commands,
            notify=Notifier(os.environ),
            pace=LoopTimes(resync_s=settings.resync_s, shutdown_s=settings.shutdown_timeout_s),
            pending=state.pending,
            orphaned_debts=state.orphaned_debts,
            versions=VersionLog(state.folder),
            about=about,
            counts=Counters() if settings.metrics_listen else None,
            child=Supervised(settings.command, inbox.put) if settings.command else None,
            node=node,
            pins=_pins(state, store, commands, inbox.put) if node is None else None,
            pinned=os.path.exists(kept_file(state.folder)),
            listing_limit=settings.listing_limit if settings.backend not in ("file", "env") else 0,
        )
    )
    numbers = (*HANDLED, *PASSED_ON) if settings.command else (*HANDLED, *HARMLESS)
    with (
        Signals(inbox.put, numbers),
        ControlServer(state.folder, inbox.put),
        _pages(settings, inbox.put, state.folder),
    ):
        if node:
            node.start(about)
        yield loop


def _fleet_node(
    settings: Settings,
    state: StateFolder,
    store: Source,
    commands: Commands,
    put: Callable[[FleetMessage], None],
) -> FleetNode | None:
    """This daemon in its fleet, if one is named."""
    if not settings.fleet:
        return None
    from pyconfd.fleet.node import FleetNode

    options = settings.source_options(os.environ)
    return FleetNode(
        settings.fleet, settings.node_name, options, store, state.folder, commands.run, put
    )


def _pins(
    state: StateFolder, store: Source, commands: Commands, put: Callable[[FleetMessage], None]
) -> Callable[[], Rollouts] | None:
    """Makes the keeper of pinned services, unless a fleet is named."""
    if not isinstance(store, SourceWithPast):
        return None

    def make() -> Rollouts:
        from pyconfd.fleet.node import pins_alone

        return pins_alone(state.folder, store, commands.run, put)

    return make


def _pages(
    settings: Settings, put: Callable[[ControlRequest], None], folder: str
) -> AbstractContextManager[object]:
    """Metrics and health over HTTP, if requested."""
    if not settings.metrics_listen:
        return nullcontext()
    from pyconfd.config.address import split_listen
    from pyconfd.daemon.http_endpoints import listener

    host, port = split_listen(settings.metrics_listen)
    return listener(host, port, put, folder=folder)


def _fleet_facts(settings: Settings) -> dict[str, object]:
    if not settings.fleet:
        return {}
    return {
        "fleet": settings.fleet,
        "node": settings.node_name,
        "host": os.uname().nodename,
        "page": settings.metrics_listen,
    }


def _about(settings: Settings) -> dict[str, object]:
    """What the status shows of this daemon beside its state; contains no secrets."""
    import time

    from pyconfd import __version__
    from pyconfd.status.summary import utc

    return {
        "version": __version__,
        "pid": os.getpid(),
        "started_at": utc(time.time()),
        "confdir": os.path.abspath(settings.confdir),
        "backend": settings.backend,
        "nodes": list(settings.node),
        **_fleet_facts(settings),
        "mode": "watch" if settings.watch else f"reads every {settings.interval_s:g} s",
    }
