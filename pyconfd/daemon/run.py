"""
The two ways to run: once, for CI and at boot; and as a daemon that follows the store.

Exit status: 0 done; 1 at least one resource failed, the others were done; 2 wrong usage or
configuration, nothing was done (cli/main.py turns ConfigError into it); 3 `--noop
--detailed-exitcode` and something would change; 130 and 143 ended by Ctrl-C and SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from pyconfd.apply.context import PassContext
from pyconfd.apply.service_pass import apply_groups, surviving_pass
from pyconfd.backends.base import Source, SourceWithPast
from pyconfd.config.settings import Settings
from pyconfd.daemon import wiring
from pyconfd.daemon.one_shot_signals import Interrupt
from pyconfd.errors import (
    ConfigError,
    SettingsError,
    SourceCause,
    SourceError,
    SourceUnavailable,
    StateError,
)
from pyconfd.model.keys import Listed, covering, names_fleets
from pyconfd.model.reads import Reads
from pyconfd.model.resources import Resource, ResourceSet
from pyconfd.model.steps import LaneReport, Outcome, ReloadFailed, Result
from pyconfd.observe import log, report
from pyconfd.observe.exposure import warn_of_exposed
from pyconfd.pipeline.store import Snapshot, Store
from pyconfd.reconcile.services import ServiceSet
from pyconfd.system.child import CannotStart
from pyconfd.system.proc import Commands

if TYPE_CHECKING:
    from pyconfd.daemon.version_log import VersionLog

#: Between two tries to reach a store that is waited for.
_STORE_PAUSE_S = 0.5

#: With a dozen lanes busy, Python's usual 5 ms let an answer wait for a second.
_SWITCH_S = 0.001

DONE, FAILED, WRONG_USAGE, WOULD_CHANGE = 0, 1, 2, 3


def run(settings: Settings) -> int:
    """Do what the settings ask for. Returns the exit status; may raise ConfigError for status 2."""
    _check_command(settings)
    if not (settings.noop or settings.sync_only):
        settings.state_folder  # noqa: B018 - raises where there is none
    wiring.configure_log(settings)
    try:
        found = wiring.load(settings)
    except ConfigError as error:
        if settings.log_format != "json":
            raise  # the command line prints it for people
        for line in dict.fromkeys(str(each) for each in (*error.faults, error)):
            log.error(line)
        return WRONG_USAGE
    for note in (*settings.notes, *found.notes):
        log.warn(str(note))
    for fault in found.faults:
        log.error(str(fault))
    _warn_of_exposed(settings)
    if not settings.one_shot:
        _warn_of_clash()
    if settings.onetime or settings.noop:
        return once(settings, found)
    return follow(settings, found)


def _warn_of_exposed(settings: Settings) -> None:
    folders = (os.path.join(settings.confdir, name) for name in ("conf.d", "templates"))
    trusted = (settings.config_file, settings.confdir, *folders, settings.state_dir)
    warn_of_exposed(trusted, secret=(settings.password_file, settings.client_key))


def _warn_of_clash() -> None:
    from pyconfd.system.clash import clash

    if found := clash():
        log.warn(found)


def _check_command(settings: Settings) -> None:
    """Raises SettingsError for options that contradict a command after `--`, or require one."""
    if settings.revision and not settings.noop:
        hint = "pyconfd pin NAME --revision N keeps a service there"
        raise SettingsError("works with --noop only", where="--revision", hint=hint)
    name = settings.reload_signal
    if settings.command and settings.one_shot:
        what = "a command is run with --watch only; a one-shot run ends before it"
        raise SettingsError(what, where="--", hint="pyconfd --onetime && exec COMMAND ...")
    if name and not settings.command:
        raise SettingsError("is of use with a command after -- only", where="--reload-signal")
    if name and not hasattr(signal, f"SIG{name.upper().removeprefix('SIG')}"):
        what = f"unknown signal {name!r}"
        raise SettingsError(what, where="--reload-signal", hint="HUP, USR1, USR2 ...")


def once(settings: Settings, found: ResourceSet) -> int:
    """Read the store once and bring every destination up to date. Returns the exit status."""
    try:
        snapshot = read(settings, found)
        if settings.noop:
            return _preview(settings, found, snapshot)
        with wiring.state(settings, found) as state:
            return _apply(settings, found, snapshot, state)
    except SourceError as error:
        log.error(str(error) if error.kept else f"{error}; nothing was changed")
        return WRONG_USAGE if error.cause is SourceCause.TLS_FILES else FAILED
    except StateError as error:
        log.error(str(error))
    return FAILED


def read(settings: Settings, found: ResourceSet) -> Snapshot:
    """One snapshot of everything that the resources may read."""
    paths = [path for resource in found.resources for path in resource.watched]
    store, wanted = Store(fleets=names_fleets(paths)), covering(paths)
    if wanted:
        source = wiring.source(settings)
        try:
            store.apply(_listed(settings, source, wanted))
        finally:
            source.close()
    return store.snapshot()


def _listed(settings: Settings, source: Source, wanted: Sequence[str]) -> Listed:
    """A listing; if the store does not answer yet, it is tried again for the allowed time."""
    if settings.revision:
        if not isinstance(source, SourceWithPast):
            what = f"{source.name} keeps no earlier revisions"
            raise SettingsError(what, where="--revision", hint="--backend etcd")
        return source.list_at(wanted, int(settings.revision), timeout_s=settings.timeout_s)
    deadline = time.monotonic() + settings.wait_for_store_s
    reported = False
    while True:
        try:
            return source.list(wanted, timeout_s=settings.timeout_s)
        except SourceUnavailable as error:
            if time.monotonic() >= deadline:
                raise
            if not reported:
                log.warn(f"{error}; waiting up to {settings.wait_for_store_s:g} s for the store")
                reported = True
            time.sleep(min(_STORE_PAUSE_S, max(0.0, deadline - time.monotonic())))


def _apply(
    settings: Settings, found: ResourceSet, snapshot: Snapshot, state: wiring.StateFolder
) -> int:
    """One pass over every service, in declared order, with the pending reloads of earlier runs."""
    commands = Commands(variables=settings.command_env)
    with Interrupt(commands, settings.shutdown_timeout_s) as interrupt:
        tools = wiring.tools(settings, state, commands, interrupt.asked)
        status = _pass_over_all(found, snapshot, state, tools)
    return interrupt.status or status


def _pass_over_all(
    found: ResourceSet, snapshot: Snapshot, state: wiring.StateFolder, tools: PassContext
) -> int:
    outcomes: list[Outcome] = []
    reload_failed = False
    versions: VersionLog | None = None
    for done in passes(found, snapshot, state, tools):
        if any(one.result is not Result.UNCHANGED for one in done.outcomes):
            versions = versions or _version_log(state.folder)  # one: it reads the file once
            done = _with_keys(done, snapshot, versions)
        report.lane(done)
        if versions:
            _note_versions(done, versions)
        outcomes.extend(done.outcomes)
        reload_failed |= isinstance(done.reload, ReloadFailed)
    failed = _summary(outcomes, found)
    return FAILED if failed or reload_failed else DONE


def _version_log(folder: str) -> VersionLog:
    from pyconfd.daemon.version_log import VersionLog  # a run without a change needs none

    return VersionLog(folder)


def _with_keys(done: LaneReport, snapshot: Snapshot, versions: VersionLog) -> LaneReport:
    """
    The reports with the keys that made each version, if an earlier run noted the version before.
    """
    from pyconfd.status.versions import keys_since, with_keys

    def keys_of(outcome: Outcome, reads: Reads) -> Sequence[str]:
        since = versions.revision(outcome.resource.name)
        return keys_since(snapshot, reads, since) if since else ()

    return with_keys(done, keys_of)


def _note_versions(done: LaneReport, versions: VersionLog) -> None:
    if not any(one.result in (Result.UPDATED, Result.REMOVED) for one in done.outcomes):
        return
    from pyconfd.status.versions import version_entry, went_live

    versions.note(
        version_entry(done, one, gated=0, at=time.time()) for one in done.outcomes if went_live(one)
    )


def passes(
    found: ResourceSet, snapshot: Snapshot, state: wiring.StateFolder, tools: PassContext
) -> Iterator[LaneReport]:
    """One pass over every service; each is done when its report is taken from the iterator."""
    services = ServiceSet()
    services.adopt(found.resources)
    tools.ownership.adopt(found.resources)
    for service in state.pending:
        services.pending(service, 0.0)
    state.orphaned_debts.refresh(services.states)
    services.dirty((resource.name for resource in found.resources), 0.0)
    kept = wiring.kept_views(state.folder)
    for job in services.due(float("inf")):
        if tools.stopping():
            break
        members, spec = services.members(job.service), services.reload_spec(job.service)
        view = kept(members[0].service_name, snapshot) if kept else snapshot
        yield surviving_pass(tools, job, members, spec, view, services.due_members(job))


def _preview(settings: Settings, found: ResourceSet, snapshot: Snapshot) -> int:
    """What `_apply` would do; nothing is written."""
    context = wiring.dry_run(settings)
    context.ownership.adopt(found.resources)
    outcomes = list(_would_be(settings, found, snapshot, context))
    for outcome in outcomes:
        report.outcome_line(outcome)
        sys.stdout.write(outcome.diff)
    sys.stdout.flush()
    if _summary(outcomes, found):
        return FAILED
    pending = any(outcome.result is Result.WOULD_CHANGE for outcome in outcomes)
    return WOULD_CHANGE if pending and settings.detailed_exitcode else DONE


def _would_be(
    settings: Settings, found: ResourceSet, snapshot: Snapshot, context: PassContext
) -> Iterator[Outcome]:
    """The outcomes; separately for services that are kept at other keys than the present ones."""
    kept = wiring.kept_views(settings.state_folder) if settings.state_dir else None
    if settings.revision or not kept:
        yield from apply_groups(context, found.resources, snapshot)[0]
        return
    services: dict[str, list[Resource]] = {}
    for resource in found.resources:
        services.setdefault(resource.service_name, []).append(resource)
    for name, members in services.items():
        yield from apply_groups(context, members, kept(name, snapshot))[0]


def _summary(outcomes: Iterable[Outcome], found: ResourceSet) -> int:
    """Log the closing line. Returns the number of failures, faulty resource files included."""
    results = [outcome.result for outcome in outcomes]
    failed = sum(result.failed for result in results) + len(found.faults)
    log.info(
        "done",
        rendered=sum(result in (Result.UPDATED, Result.WOULD_CHANGE) for result in results),
        unchanged=results.count(Result.UNCHANGED),
        failed=failed,
    )
    return failed


def follow(settings: Settings, found: ResourceSet) -> int:
    """
    Follow the store until a signal to stop; with a command, until it ends: its exit status.
    """
    if os.getpid() == 1:
        from pyconfd.system.child import become_init

        become_init()  # reload commands leave orphans, which process 1 has to reap
    sys.setswitchinterval(_SWITCH_S)
    try:
        with wiring.state(settings, found) as state, wiring.daemon(settings, state, found) as loop:
            return loop.run()
    except CannotStart as error:
        log.error(str(error))
        return error.exit_status
    except StateError as error:
        log.error(str(error))
        return FAILED
