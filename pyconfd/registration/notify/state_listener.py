"""
One run of `pyconfd notify`: hears a daemon's states, publishes them, tells the hooks. Shell.

    start          what was heard before is published again, without hooks
    line heard     publish the newest state under the lease; hooks only for another state
    writer gone    for longer than a reload takes: LOST, unless its last word was a peaceful one
    stop           hear what is left, let the hooks end, withdraw

Publishing is the registrar's: while the store is away the newest state waits, and who writes to the
pipe never waits for anything here.
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
from pyconfd.system.fifo import Fifo
from pyconfd.system.sdnotify import Notifier
from pyconfd.system.signals import Signals

STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
TICK_S = 0.5
GONE_AFTER_S = 2.0  # keepalived closes its pipe for some milliseconds at each reload
WITHDRAW_S = 5.0  # the store away: the TTL does what is left
HOOKS_S = 5.0
TURN_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerPlan:
    """What a run was asked to do. node: id of every member. prefix: of the keys."""

    speech: Dialect
    node: str
    key_pattern: str
    prefix: str
    ttl_s: int


class StateListener:
    """Runs a Plan in the main thread. make_registrar: given whom to tell."""

    def __init__(
        self,
        plan: ListenerPlan,
        fifo: Fifo,
        memory: StateFile,
        hooks: Hooks,
        make_registrar: Callable[[NoticeHandler], Registrar],
        report: NoticeHandler,
        notifier: Notifier,
    ) -> None:
        self._plan = plan
        self._fifo = fifo
        self._memory = memory
        self._hooks = hooks
        self._make_registrar = make_registrar
        self._report = report
        self._notifier = notifier
        self._states = memory.recall()
        self._published: dict[str, Announcement] = {}
        self._gone_at: float | None = None
        self._stopping = False
        self._died = False
        self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._registrar = make_registrar(self._tell)

    def run(self) -> int:
        """Until it is stopped; returns the exit status."""
        handled = Signals(self._stop, STOP)
        handled.install()
        self._registrar.start()
        for known in self._states.values():
            self._publish(known)
        self._notifier.ready("listening")
        try:
            while not self._stopping:
                self._hear(TICK_S)
                self._look_for_writer(time.monotonic())
                self._signs_of_life()
            self._notifier.stopping("withdrawing")
            self._hear(0.0)
            if not self._hooks.finish(HOOKS_S):
                log.warn("hooks that still run are ended")
            return 0
        finally:
            self._registrar.stop(WITHDRAW_S)
            handled.restore()

    def _stop(self, _: int) -> None:
        self._stopping = True
        os.write(self._wake[1], b"\0")

    def _tell(self, notice: Notice) -> None:
        """From the registrar's thread."""
        self._report(notice)
        self._died = self._died or isinstance(notice, RegistrarDied)

    # Hearing

    def _hear(self, timeout_s: float) -> None:
        for line in self._fifo.lines(timeout_s, self._wake[0]):
            self._gone_at = None  # who has written was there a moment ago
            said = states.understood(line, self._plan.speech)
            if said is None:
                log.debug("not a state", line=line)
                continue
            known = self._states.get(said.service)
            new = states.after(known, said, self._plan.speech, _now())
            if new is None:
                self._forget(said.service, said.state, said.number)
            elif new != known:
                self._take(new, known)

    def _look_for_writer(self, now: float) -> None:
        if self._fifo.has_writer:
            self._gone_at = None
        elif self._gone_at is None:
            self._gone_at = now + GONE_AFTER_S
        elif now >= self._gone_at:
            for known in list(self._states.values()):
                new = states.lost(known, self._plan.speech, _now())
                if new != known:
                    self._take(new, known)

    def _take(self, new: PublishedState, known: PublishedState | None) -> None:
        self._states[new.service] = new
        self._memory.keep(self._states)
        if known is None or new.state != known.state:
            tell = log.warn if new.state == states.LOST else log.info
            tell(f"is {new.state}", service=new.service, was=new.was)
            self._call_hooks(new)
        self._publish(new)

    def _forget(self, service: str, word: str, number: int) -> None:
        known = self._states.pop(service, None)
        if known is None:
            return
        self._memory.keep(self._states)
        log.info(f"is {word}", service=service, was=known.state)
        ended = PublishedState(
            service=service, state=word, number=number, since=_now(), was=known.state
        )
        self._call_hooks(ended)
        if there := self._published.pop(service, None):
            self._registrar.remove(there.key)

    # Telling

    def _publish(self, state: PublishedState) -> None:
        try:
            announced = self._announcement(state)
        except RegistrationError as error:
            log.error(f"its state cannot be published: {error}", service=state.service)
            return
        self._published[state.service] = announced
        self._registrar.add(announced)

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
            fields=state.fields(plan.speech),
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
        said = {name[6:].lower(): text for name, text in environ.items()}
        said["number"] = state.number  # type: ignore[assignment]
        environ["EVENT_JSON"] = json.dumps(said, ensure_ascii=False)
        about = {"service": state.service, "state": state.state}
        self._hooks.tell(Event(states.call(state, self._plan.speech), environ, about))

    def _signs_of_life(self) -> None:
        if self._died:
            self._replace_registrar()
        if self._notifier.watchdog_s:
            if self._registrar.idle_s() < TURN_LIMIT_S:
                self._notifier.watchdog()
            self._registrar.turn()

    def _replace_registrar(self) -> None:
        """A fault of ours must not silence the daemon for good."""
        self._died = False
        time.sleep(1.0)
        self._registrar = self._make_registrar(self._tell)
        self._registrar.start()
        for announced in self._published.values():
            self._registrar.add(announced)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
