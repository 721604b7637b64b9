"""
One run of `pyconfd notify`: reads a daemon's states, publishes them, runs the hooks. Shell.

    start          publish the states of the last run again, without hooks
    line read      publish the newest state under the lease; hooks only for another state
    writer gone    for longer than a reload takes: LOST, unless it has reported a regular stop
    stop           read what is left, let the hooks end, withdraw

The registrar publishes. While the store is away it keeps the newest state, so the daemon that
writes to the pipe never waits.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from pyconfd.errors import RegistrationError
from pyconfd.observe import log
from pyconfd.registration.declaration import Announcement, Declaration, announce
from pyconfd.registration.notify import states
from pyconfd.registration.notify.hooks import Event, Hooks
from pyconfd.registration.notify.state_file import StateFile
from pyconfd.registration.notify.states import Dialect, PublishedState
from pyconfd.registration.registrar.notices import Notice, NoticeHandler, RegistrarDied
from pyconfd.registration.registrar.registrar import Registrar
from pyconfd.registration.registrar.supervisor import RegistrarSupervisor
from pyconfd.system.fifo import Fifo
from pyconfd.system.sdnotify import Notifier
from pyconfd.system.signals import Signals

STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
TICK_S = 0.5
WITHDRAW_S = 5.0  # the store away: the TTL does what is left
HOOKS_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerPlan:
    """
    What a run is to do.

    dialect: of the daemon
    node: id of every member
    key_pattern: of the keys, below `prefix`
    ttl_s: of the keys
    """

    dialect: Dialect
    node: str
    key_pattern: str
    prefix: str
    ttl_s: int


class StateListener:
    """
    Runs a plan in the main thread.

    make_registrar: as RegistrarSupervisor takes it
    report: called with every notice, from the registrar's thread
    """

    def __init__(
        self,
        plan: ListenerPlan,
        fifo: Fifo,
        state_file: StateFile,
        hooks: Hooks,
        make_registrar: Callable[[NoticeHandler], Registrar],
        report: NoticeHandler,
        notifier: Notifier,
    ) -> None:
        self._plan = plan
        self._fifo = fifo
        self._state_file = state_file
        self._hooks = hooks
        self._report = report
        self._notifier = notifier
        self._states = state_file.read()
        self._keys: dict[str, str] = {}
        self._gone_since: float | None = None
        self._unheard = False
        self._stopping = False
        self._died = False
        self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._supervisor = RegistrarSupervisor(make_registrar, self._notify)

    def run(self) -> int:
        """Run until a stop. Returns the exit status."""
        handled = Signals(self._stop, STOP)
        handled.install()
        self._supervisor.registrar.start()
        for known in self._states.values():
            self._publish(known)
        self._notifier.ready("listening")
        try:
            while not self._stopping:
                self._read(TICK_S)
                self._check_writer(time.monotonic())
                self._signs_of_life()
            self._notifier.stopping("withdrawing")
            self._read(0.0)
            if not self._hooks.finish(HOOKS_S):
                log.warn("hooks that still run are ended")
            return 0
        finally:
            self._supervisor.registrar.stop(WITHDRAW_S)
            handled.restore()

    def _stop(self, _: int) -> None:
        self._stopping = True
        os.write(self._wake[1], b"\0")

    def _notify(self, notice: Notice) -> None:
        """Handle a notice. Called from the registrar's thread."""
        self._report(notice)
        self._died = self._died or isinstance(notice, RegistrarDied)

    # Reading

    def _read(self, timeout_s: float) -> None:
        for line in self._fifo.lines(timeout_s, self._wake[0]):
            self._gone_since = None  # a writer was there a moment ago
            reported = states.parse_line(line, self._plan.dialect)
            if reported is None:
                log.debug("not a state", line=line)
                continue
            known = self._states.get(reported.service)
            new = states.after(known, reported, self._plan.dialect, _now())
            if new is None:
                self._forget(reported.service, reported.state, reported.number)
            elif new != known:
                self._take(new, known)

    def _check_writer(self, now: float) -> None:
        self._gone_since = states.gone_since(self._gone_since, self._fifo.has_writer, now)
        if states.is_gone(self._gone_since, now):
            for known in list(self._states.values()):
                new = states.lost(known, self._plan.dialect, _now())
                if new != known:
                    self._take(new, known)
        if not (self._states or self._unheard) and states.is_unheard(self._gone_since, now):
            self._unheard = True
            what = "no daemon has opened the pipe; one that runs already has to be reloaded for it"
            log.warn(what, pipe=self._fifo.path)

    def _take(self, new: PublishedState, known: PublishedState | None) -> None:
        self._states[new.service] = new
        self._state_file.write(self._states)
        if known is None or new.state != known.state:
            report = log.warn if new.state == states.LOST else log.info
            report(f"is {new.state}", service=new.service, was=new.was)
            self._call_hooks(new)
        self._publish(new)

    def _forget(self, service: str, state: str, number: int) -> None:
        known = self._states.pop(service, None)
        if known is None:
            return
        self._state_file.write(self._states)
        log.info(f"is {state}", service=service, was=known.state)
        ended = PublishedState(
            service=service, state=state, number=number, since=_now(), was=known.state
        )
        self._call_hooks(ended)
        if key := self._keys.pop(service, None):
            self._supervisor.remove(key)

    # Publishing

    def _publish(self, state: PublishedState) -> None:
        try:
            announced = self._announcement(state)
        except RegistrationError as error:
            log.error(f"the state cannot be published: {error}", service=state.service)
            return
        self._keys[state.service] = announced.key
        self._supervisor.add(announced)

    def _announcement(self, state: PublishedState) -> Announcement:
        plan = self._plan
        declared = Declaration(
            service=state.service,
            address=plan.node,
            member_id=plan.node,
            key_pattern=plan.key_pattern,
            prefix=plan.prefix,
            ttl_s=plan.ttl_s,
            as_json=True,
            fields=state.fields(plan.dialect),
        )
        return announce(declared, plan.node)

    def _call_hooks(self, state: PublishedState) -> None:
        environ = {
            "EVENT_SERVICE": state.service,
            "EVENT_STATE": state.state,
            "EVENT_WAS": state.was,
            "EVENT_NUMBER": str(state.number),
            "EVENT_NODE": self._plan.node,
            "EVENT_SINCE": state.since,
        }
        event: dict[str, object] = {name[6:].lower(): text for name, text in environ.items()}
        event["number"] = state.number
        environ["EVENT_JSON"] = json.dumps(event, ensure_ascii=False)
        about = {"service": state.service, "state": state.state}
        self._hooks.run(Event(states.hook_arguments(state, self._plan.dialect), environ, about))

    def _signs_of_life(self) -> None:
        if self._died:
            self._died = False
            self._supervisor.restart()
        self._supervisor.feed_watchdog(self._notifier)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
