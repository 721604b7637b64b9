"""
One run of `pyconfd register`: beside a backend, or around the command that starts it. Shell.

    start       the command (once the store answers, or at once with --start-anyway)
    then        find addresses, add members, pass signals on
    stop        withdraw, wait for the drain, stop the command, leave with its exit status
    command     has ended: withdraw at once, leave with its exit status
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from pyconfd.errors import RegistrationError
from pyconfd.observe import log
from pyconfd.registration import address as addresses
from pyconfd.registration.agent import stop_sequence
from pyconfd.registration.agent.agent_health import AgentHealth
from pyconfd.registration.agent.stop_sequence import StopAction
from pyconfd.registration.declaration import Declaration, announce, make_key
from pyconfd.registration.reason import Reason
from pyconfd.registration.registrar.notices import (
    MemberChanged,
    MemberStatus,
    Notice,
    NoticeHandler,
    RegistrarDied,
    StoreState,
)
from pyconfd.registration.registrar.registrar import Registrar
from pyconfd.registration.registrar.supervisor import RegistrarSupervisor
from pyconfd.system.child import Child
from pyconfd.system.sdnotify import Notifier
from pyconfd.system.signals import Signals

STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
PASSED_ON = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)
WITHDRAW_S = 5.0  # etcd away: the TTL does what is left
RESOLVE_AGAIN_S = 0.25
TWICE_S = 0.5
STATUS_INTERVAL_S = 0.1  # for systemd; a thousand changes at once are reported together
# The kernel may give a signal to another thread of gRPC's, which does not wake the main thread.
LONGEST_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPlan:
    """
    What a run is to do. Times in seconds.

    declarations: the members
    nodes: of the store, for finding the route to it
    command: argument list, empty for none
    drain_s: from the withdrawal to the stop of the command
    stop_timeout_s: for the command to stop; then it is killed
    start_anyway: start the command before the store answers
    control_fd: orders come from it, one on a line, and its end is the end of the run
    status_fd: one JSON line goes to it for each change
    reload: reads the declarations again on SIGHUP, None when they cannot change
    """

    declarations: Sequence[Declaration]
    nodes: Sequence[str] = ()
    command: Sequence[str] = ()
    drain_s: float = 3.0
    stop_timeout_s: float = 30.0
    start_anyway: bool = False
    control_fd: int | None = None
    status_fd: int | None = None
    reload: Callable[[], Sequence[Declaration]] | None = None


@dataclass(frozen=True, slots=True)
class _Exited:
    """The command is over."""

    status: int


@dataclass(frozen=True, slots=True)
class _Ordered:
    """A line from the control file."""

    line: str


class Agent:
    """
    Carries out a plan in the main thread.

    make_registrar: as RegistrarSupervisor takes it
    report: called with every notice, from the registrar's thread
    host: the name of this machine
    started: UTC in ISO 8601
    """

    def __init__(
        self,
        plan: AgentPlan,
        make_registrar: Callable[[NoticeHandler], Registrar],
        report: NoticeHandler,
        notifier: Notifier,
        *,
        host: str,
        started: str,
    ) -> None:
        self._plan = plan
        self._report = report
        self._notifier = notifier
        self._host = host
        self._started = started
        self._inbox: SimpleQueue[_Message] = SimpleQueue()
        self._child = Child(plan.command, lambda status: self._inbox.put(_Exited(status)))
        self._pending: list[Declaration] = list(plan.declarations)
        self._reported_faults: set[str] = set()
        self._store_problem = ""
        self._ready = False
        self._status_at = float("-inf")
        self._status_due = True
        self._stop_signal: int | None = None
        self._stop_requested_at = float("-inf")
        self._held_at = float("-inf")
        self._exit_status: int | None = None
        self._supervisor = RegistrarSupervisor(make_registrar, self._notify)

    @property
    def _registrar(self) -> Registrar:
        return self._supervisor.registrar

    def run(self) -> int:
        """Run until a stop or the end of the command. Returns the exit status."""
        handled = Signals(self._inbox.put, STOP + PASSED_ON)
        handled.install()
        self._registrar.start()
        if self._plan.control_fd is not None:
            threading.Thread(target=self._listen, name="control", daemon=True).start()
        try:
            if self._plan.command and self._store_answered():
                self._refuse_taken_port()
                self._child.start()
            while self._stop_signal is None and self._exit_status is None:
                self._resolve()
                self._take(self._pause_s())
                self._signs_of_life()
            self._notifier.stopping("withdrawing")
            return self._leave()
        finally:
            self._registrar.stop(WITHDRAW_S)
            if self._exit_status is None:
                self._child.kill()  # a fault of ours must not leave an orphan behind
            handled.restore()

    def _notify(self, notice: Notice) -> None:
        self._report(notice)
        if isinstance(notice, MemberChanged) and any(
            each.lease for each in (notice.status, notice.before) if each is not None
        ):
            self._held_at = time.monotonic()
        if isinstance(notice, StoreState):
            self._store_problem = notice.problem
        self._inbox.put(notice)

    def health(self) -> AgentHealth:
        """The present health; may be called from any thread."""
        return AgentHealth(
            self._registrar.statuses() if self._registrar.alive else (),
            len(self._supervisor.members) + len(self._pending),
            self._store_problem,
        )

    # Running

    def _refuse_taken_port(self) -> None:
        """
        Refuse an address where something listens already: it would pass the checks in place of the
        command.
        """
        (declared,) = self._plan.declarations
        written = addresses.parse_address(declared.address)
        if written.kind not in ("host", "port") or not declared.checks:
            return
        try:
            address = addresses.resolve(
                written, nodes=self._plan.nodes, interface=declared.interface
            )
        except addresses.NotYet:
            return
        if other := addresses.taken_by(address):
            raise RegistrationError(
                f"{other} listens there already",
                where=address,
                kept="the command was not started",
                hint="stop it, or --no-check if that is intended",
            )

    def _store_answered(self) -> bool:
        """Wait for the store; False when a signal came first."""
        if self._plan.start_anyway:
            return True
        declared = self._plan.declarations[0]
        # Below the service's own key, because we may be allowed to see no more.
        name = declared.member_id or "?"
        key = make_key(declared.key_pattern, declared.service, name, declared.prefix)
        answered = self._registrar.await_store(key)
        while not answered.wait(0.05):
            self._take(0.0)
            if self._stop_signal is not None:
                return False
        return True

    def _take(self, wait_s: float) -> None:
        """All messages, after waiting for the first."""
        try:
            message = self._inbox.get(timeout=wait_s) if wait_s else self._inbox.get_nowait()
            while True:
                self._act(message)
                message = self._inbox.get_nowait()
        except Empty:
            return

    def _listen(self) -> None:
        """
        Read orders until their file ends, because the program that gives them has ended or closed
        it.
        """
        assert self._plan.control_fd is not None  # noqa: S101 - for the type checker
        with open(self._plan.control_fd, encoding="utf-8", errors="replace") as orders:
            for line in orders:
                self._inbox.put(_Ordered(line.strip()))
        self._inbox.put(int(signal.SIGTERM))

    def _order(self, line: str) -> None:
        """`exclude REASON` takes everything out of rotation, `include` ends that."""
        word, _, why = line.partition(" ")
        for key in self._supervisor.members:
            self._registrar.exclude(key, (why or "maintenance") if word == "exclude" else "")

    def _write_status(self, status: MemberStatus) -> None:
        if self._plan.status_fd is None:
            return
        import json

        fields = ("service", "member_id", "key", "phase", "why")
        line = json.dumps({name: getattr(status, name) for name in fields})
        try:
            os.write(self._plan.status_fd, f"{line}\n".encode())
        except OSError:  # the reader has gone
            return

    def _act(self, message: _Message) -> None:
        match message:
            case MemberChanged(status, _):
                self._status_due = True
                self._write_status(status)
            case _Ordered(line):
                self._order(line)
            case _Exited(status):
                self._exit_status = status
                log.info(f"the command ended with exit status {status}")
            case RegistrarDied():
                self._supervisor.restart()
            case int() if message in STOP:
                self._stop_requested(message)
            case signal.SIGHUP if not self._child.pid:
                self._reload()
            case int():
                self._child.send(message)

    def _pause_s(self) -> float:
        pauses = [RESOLVE_AGAIN_S if self._pending else LONGEST_PAUSE_S]
        if self._notifier.wanted and self._status_due:
            pauses.append(STATUS_INTERVAL_S)
        if self._notifier.watchdog_s:
            pauses.append(self._notifier.watchdog_s / 3)
        return min(pauses)

    def _resolve(self) -> set[str]:
        """Add the members whose address is known by now. Returns their keys."""
        added: set[str] = set()
        pending: list[Declaration] = []
        for declared in self._pending:
            written = addresses.parse_address(declared.address)
            try:
                address = addresses.resolve(
                    written,
                    nodes=self._plan.nodes,
                    interface=declared.interface,
                    child=self._child.pid,
                )
            except addresses.NotYet as error:
                pending.append(declared)
                self._warn_once(f"{error}; trying again", declared)
            else:
                self._warn_once(
                    addresses.note(written, address, self._plan.nodes, declared.interface), declared
                )
                started = self._started if declared.json_value else ""
                announced = announce(declared, address, host=self._host, started=started)
                added.add(announced.key)
                self._supervisor.add(announced)
        self._pending = pending
        return added

    def _warn_once(self, text: str, declared: Declaration) -> None:
        if text and text not in self._reported_faults:
            self._reported_faults.add(text)
            log.warn(text, service=declared.service)

    def _signs_of_life(self) -> None:
        """
        Notify systemd when all members are registered for the first time, and feed its watchdog.
        """
        now = time.monotonic()
        if not self._notifier.wanted or now < self._status_at + STATUS_INTERVAL_S:
            return
        self._status_at, self._status_due = now, False
        statuses = self._registrar.statuses()
        up = sum(1 for each in statuses if each.registered)
        if not self._ready and not self._pending and len(statuses) == len(self._supervisor.members):
            self._ready = all(
                each.registered or each.reason is Reason.MAINTENANCE for each in statuses
            )
            if self._ready:
                self._notifier.ready(f"{up} of {len(statuses)} registered")
        elif self._ready:
            self._notifier.status(f"{up} of {len(statuses)} registered")
        self._supervisor.feed_watchdog(self._notifier)

    def _reload(self) -> None:
        """Read the declarations again; faulty ones leave everything as it is."""
        if self._plan.reload is None:
            return
        from pyconfd.errors import PyconfdError

        self._notifier.reloading()
        try:
            self._pending = list(self._plan.reload())
        except PyconfdError as error:
            log.error(f"{error}; the members stay as they were")
        else:
            before = set(self._supervisor.members)
            for key in before - self._resolve():
                self._supervisor.remove(key)
            log.info("read again", members=len(self._supervisor.members))
        self._notifier.ready()

    # Leaving

    def _leave(self) -> int:
        """Withdraw, drain, stop the command. Returns the exit status of the run."""
        if not self._child.pid:
            return 0
        if self._exit_status is None:
            self._stop_child()
        return 128 + signal.SIGKILL if self._exit_status is None else self._exit_status

    def _stop_child(self) -> None:
        began = time.monotonic()
        if not self._registrar.withdraw_all("stopping", WITHDRAW_S):
            log.warn("the store did not answer: the keys stay until their TTL is over")
        # A key was there: nginx may not know yet that it has gone.
        drain_s = self._plan.drain_s if self._held_at >= began else 0.0
        number = self._take_stop_signal() or signal.SIGTERM
        timeout_s = self._plan.stop_timeout_s
        stop = stop_sequence.begin(number, time.monotonic(), drain_s=drain_s, timeout_s=timeout_s)
        while self._exit_status is None:
            stop, action = stop_sequence.step(stop, time.monotonic(), self._take_stop_signal())
            match action:
                case StopAction.WAIT:
                    self._await_exit(stop.until_s)
                case StopAction.SEND:
                    self._child.send(stop.signal)
                case StopAction.KILL:
                    log.warn(f"the command did not stop within {timeout_s:g} s: killed")
                    self._child.kill()
                case StopAction.GIVE_UP:
                    return

    def _stop_requested(self, number: int) -> None:
        """
        Request a stop. Two signals at once count as one: some programs signal the process and its
        group.
        """
        now = time.monotonic()
        if now - self._stop_requested_at >= TWICE_S:
            self._stop_requested_at, self._stop_signal = now, number

    def _take_stop_signal(self) -> int:
        """The signal of the last request to stop, 0 for none; it is returned only once."""
        number, self._stop_signal = self._stop_signal, None
        return number or 0

    def _await_exit(self, until_s: float) -> None:
        """Wait for the end of the command, or for a further request to stop."""
        while self._exit_status is None and self._stop_signal is None:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                break
            self._take(left_s)


_Message = int | _Exited | _Ordered | Notice
