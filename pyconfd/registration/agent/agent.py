"""
One run of `pyconfd register`: beside a backend, or around the command that is one. Shell.

    start       the command (once the store answers, unless told not to wait)
    then        addresses are found, members added, signals passed on
    stop        withdraw, wait for the drain, stop the command, leave with its exit status
    command     ended by itself: withdraw at once, leave with its exit status
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
from pyconfd.registration.declaration import Announcement, Declaration, announce, make_key
from pyconfd.registration.reason import Reason
from pyconfd.registration.registrar.notices import (
    MemberChanged,
    MemberStatus,
    Notice,
    NoticeHandler,
    RegistrarDied,
)
from pyconfd.registration.registrar.registrar import Registrar
from pyconfd.system.child import Child
from pyconfd.system.sdnotify import Notifier
from pyconfd.system.signals import Signals

STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
PASSED_ON = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)
WITHDRAW_S = 5.0  # etcd away: the TTL does what is left
RESOLVE_AGAIN_S = 0.25
TWICE_S = 0.5
TELL_EVERY_S = 0.1  # systemd; a thousand changes at once are not told one by one
# The kernel may give a signal to another thread of gRPC's, which does not wake the main thread.
LONGEST_PAUSE_S = 1.0
TURN_LIMIT_S = 30.0  # a call on a hung store takes seconds; a stuck thread takes for ever


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPlan:
    """
    What a run was asked to do. Times in seconds.

    nodes: of the store, for finding the route to it. command: argument list, empty for none.
    control_fd: orders come from it, one on a line, and its end is the end of the run.
    status_fd: one JSON line goes to it for each change. read_again: gives the declarations anew
    on SIGHUP, None when they cannot change.
    """

    declarations: Sequence[Declaration]
    nodes: Sequence[str] = ()
    command: Sequence[str] = ()
    drain_s: float = 3.0
    stop_timeout_s: float = 30.0
    start_anyway: bool = False
    control_fd: int | None = None
    status_fd: int | None = None
    read_again: Callable[[], Sequence[Declaration]] | None = None


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
    Runs a Plan in the main thread.

    make_registrar: given whom to tell. host: name of this machine. started: UTC in ISO 8601.
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
        self._make_registrar = make_registrar
        self._report = report
        self._notifier = notifier
        self._host = host
        self._started = started
        self._inbox: SimpleQueue[_Message] = SimpleQueue()
        self._child = Child(plan.command, lambda status: self._inbox.put(_Exited(status)))
        self._pending: list[Declaration] = list(plan.declarations)
        self._known: dict[str, Announcement] = {}
        self._complaints: set[str] = set()
        self._ready = False
        self._told_at = float("-inf")
        self._untold = True
        self._stop_signal: int | None = None
        self._asked_at = float("-inf")
        self._held_at = float("-inf")
        self._exit_status: int | None = None
        self._registrar = make_registrar(self._tell)

    def run(self) -> int:
        """Until it is stopped or the command ends; returns the exit status."""
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

    def _tell(self, notice: Notice) -> None:
        self._report(notice)
        if isinstance(notice, MemberChanged) and any(
            each.lease for each in (notice.status, notice.before) if each is not None
        ):
            self._held_at = time.monotonic()
        self._inbox.put(notice)

    # Running

    def _refuse_taken_port(self) -> None:
        """Whoever listens there already would pass the checks in place of the command."""
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
                hint="stop it, or --no-check if that is meant",
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
        """Everything that came, after waiting for the first."""
        try:
            message = self._inbox.get(timeout=wait_s) if wait_s else self._inbox.get_nowait()
            while True:
                self._act(message)
                message = self._inbox.get_nowait()
        except Empty:
            return

    def _listen(self) -> None:
        """Orders until their file ends; who gave them has ended then, or closed it."""
        assert self._plan.control_fd is not None  # noqa: S101 - for the type checker
        with open(self._plan.control_fd, encoding="utf-8", errors="replace") as orders:
            for line in orders:
                self._inbox.put(_Ordered(line.strip()))
        self._inbox.put(int(signal.SIGTERM))

    def _order(self, line: str) -> None:
        """`exclude REASON` takes everything out of rotation, `include` ends that."""
        word, _, why = line.partition(" ")
        for key in self._known:
            self._registrar.exclude(key, (why or "maintenance") if word == "exclude" else "")

    def _write_status(self, status: MemberStatus) -> None:
        if self._plan.status_fd is None:
            return
        import json

        fields = ("service", "member_id", "key", "phase", "why")
        line = json.dumps({name: getattr(status, name) for name in fields})
        try:
            os.write(self._plan.status_fd, f"{line}\n".encode())
        except OSError:  # nobody listens any more
            return

    def _act(self, message: _Message) -> None:
        match message:
            case MemberChanged(status, _):
                self._untold = True
                self._write_status(status)
            case _Ordered(line):
                self._order(line)
            case _Exited(status):
                self._exit_status = status
                log.info(f"the command ended with exit status {status}")
            case RegistrarDied():
                self._replace_registrar()
            case int() if message in STOP:
                self._asked(message)
            case signal.SIGHUP if not self._child.pid:
                self._read_again()
            case int():
                self._child.send(message)

    def _pause_s(self) -> float:
        pauses = [RESOLVE_AGAIN_S if self._pending else LONGEST_PAUSE_S]
        if self._notifier.wanted and self._untold:
            pauses.append(TELL_EVERY_S)
        if self._notifier.watchdog_s:
            pauses.append(self._notifier.watchdog_s / 3)
        return min(pauses)

    def _resolve(self) -> None:
        """Add the members whose address is known by now."""
        still: list[Declaration] = []
        for declared in self._pending:
            try:
                address = addresses.resolve(
                    addresses.parse_address(declared.address),
                    nodes=self._plan.nodes,
                    interface=declared.interface,
                    child=self._child.pid,
                )
            except addresses.NotYet as error:
                still.append(declared)
                if str(error) not in self._complaints:
                    self._complaints.add(str(error))
                    log.warn(f"{error}; it is asked again", service=declared.service)
            else:
                started = self._started if declared.json_value else ""
                announced = announce(declared, address, host=self._host, started=started)
                self._known[announced.key] = announced
                self._registrar.add(announced)
        self._pending = still

    def _signs_of_life(self) -> None:
        """NoticeHandler systemd when all are registered for the first time, and that we turn."""
        now = time.monotonic()
        if not self._notifier.wanted or now < self._told_at + TELL_EVERY_S:
            return
        self._told_at, self._untold = now, False
        statuses = self._registrar.statuses()
        up = sum(1 for each in statuses if each.registered)
        if not self._ready and not self._pending and len(statuses) == len(self._known):
            self._ready = all(
                each.registered or each.reason is Reason.MAINTENANCE for each in statuses
            )
            if self._ready:
                self._notifier.ready(f"{up} of {len(statuses)} registered")
        elif self._ready:
            self._notifier.status(f"{up} of {len(statuses)} registered")
        if self._notifier.watchdog_s:
            if self._registrar.alive and self._registrar.idle_s() < TURN_LIMIT_S:
                self._notifier.watchdog()
            self._registrar.turn()

    def _replace_registrar(self) -> None:
        """A fault of ours must not take the backend out for good."""
        time.sleep(1.0)
        self._registrar = self._make_registrar(self._tell)
        self._registrar.start()
        for announced in self._known.values():
            self._registrar.add(announced)

    def _read_again(self) -> None:
        """The declarations anew; faulty ones leave everything as it is."""
        if self._plan.read_again is None:
            return
        from pyconfd.errors import PyconfdError

        self._notifier.reloading()
        try:
            wanted = list(self._plan.read_again())
        except PyconfdError as error:
            log.error(f"{error}; the members of before are kept")
        else:
            before, self._known, self._pending = self._known, {}, wanted
            self._resolve()
            for key in before.keys() - self._known.keys():
                self._registrar.remove(key)
            log.info("read again", members=len(self._known))
        self._notifier.ready()

    # Leaving

    def _leave(self) -> int:
        """Withdraw, drain, stop the command; the exit status of everything."""
        if not self._child.pid:
            return 0
        if self._exit_status is None:
            self._stop_child()
        return 128 + signal.SIGKILL if self._exit_status is None else self._exit_status

    def _stop_child(self) -> None:
        began = time.monotonic()
        if not self._registrar.withdraw_all("stopping", WITHDRAW_S):
            log.warn("the store did not answer: the keys stay until their TTL is over")
        number = self._asked_to_stop() or signal.SIGTERM
        if self._held_at >= began:  # a key was there: nginx may not know yet that it has gone
            self._await_exit(self._plan.drain_s)
            number = self._asked_to_stop() or number  # asked twice: no more draining
        while number and not self._over:
            self._child.send(number)
            self._await_exit(self._plan.stop_timeout_s)
            number = self._asked_to_stop()  # asked again: passed on again
        if not self._over:
            log.warn(f"the command did not stop within {self._plan.stop_timeout_s:g} s: killed")
            self._child.kill()
            self._await_exit(WITHDRAW_S)

    def _asked(self, number: int) -> None:
        """Asked to stop. Twice at once is once: some send to the process and to its group."""
        now = time.monotonic()
        if now - self._asked_at >= TWICE_S:
            self._asked_at, self._stop_signal = now, number

    @property
    def _over(self) -> bool:
        return self._exit_status is not None

    def _asked_to_stop(self) -> int:
        """The signal that asked, 0 for none; it counts once."""
        number, self._stop_signal = self._stop_signal, None
        return number or 0

    def _await_exit(self, timeout_s: float) -> bool:
        """Wait for the end of the command, or for a further request to stop."""
        deadline = time.monotonic() + timeout_s
        while self._exit_status is None and self._stop_signal is None:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                break
            self._take(left_s)
        return self._exit_status is not None


_Message = int | _Exited | _Ordered | Notice
