"""
Registration from within a Python program: `with pyconfd.register("www", ":8080"): serve()`.

`pyconfd register` does the work in a process of its own, connected to this one by a pipe. This
program gets no thread, no gRPC and no signal handler, and may fork at any time. However it ends,
the pipe closes and the member is withdrawn. A forked child holds no part of the registration.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from pyconfd.errors import RegistrationError

if TYPE_CHECKING:
    from subprocess import Popen

CLOSE_TIMEOUT_S = 10.0


class Registration:
    """
    A member that is kept registered. Made by `register`; may be used from any thread.

    After a fork the child's copy has no effect: only the process that registered can close it.
    """

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        import subprocess

        order_read, self._orders = os.pipe()
        self._statuses, status_write = os.pipe()
        os.set_blocking(self._statuses, False)
        self._pid = os.getpid()
        self._reading = threading.Lock()
        self._unread = b""
        self._last: dict[str, str] = {"phase": "waiting", "why": "", "key": "", "member_id": ""}
        try:
            self._process: Popen[bytes] = subprocess.Popen(
                [*argv, "--control-fd", str(order_read), "--status-fd", str(status_write)],
                stdin=subprocess.DEVNULL,
                env=dict(environ),
                pass_fds=(order_read, status_write),
                start_new_session=True,  # Ctrl-C is for the program: it decides when to close
            )
        finally:
            os.close(order_read)
            os.close(status_write)
        _open.add(self)

    @property
    def state(self) -> str:
        """
        `registered`, or why not yet or no longer: `waiting` (starting, unhealthy, in maintenance,
        store away), `taken` (by another registration), a step on the way (`preparing`, `claiming`,
        `withdrawing`, `cleaning`), or `closed`. `reason` says more.
        """
        self._read()
        return self._last["phase"]

    @property
    def reason(self) -> str:
        """Why the member is not registered, for people; empty when it is."""
        self._read()
        return self._last["why"]

    @property
    def key(self) -> str:
        """The key path; empty before it is known."""
        self._read()
        return self._last["key"]

    def wait(self, timeout: float | None = None) -> bool:
        """
        Wait until the member is registered; False when that takes more than `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.state not in ("registered", "closed"):
            left_s = None if deadline is None else deadline - time.monotonic()
            if left_s is not None and left_s <= 0:
                return False
            with contextlib.suppress(ValueError):
                select.select([self._statuses], [], [], left_s)
        return self.state == "registered"

    def withdraw(self, reason: str = "maintenance") -> None:
        """Take the member out of rotation until `restore`, whatever its health."""
        self._order(f"exclude {' '.join(reason.split()) or 'maintenance'}\n")

    def restore(self) -> None:
        """End a `withdraw`."""
        self._order("include\n")

    def close(self, timeout: float = CLOSE_TIMEOUT_S) -> None:
        """
        Withdraw for good, and wait for that. May be called twice; does nothing in a forked child.
        """
        if self._pid != os.getpid() or self._orders < 0:
            return
        import subprocess

        self._read()
        orders, self._orders = self._orders, -1
        os.close(orders)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()  # the key goes with its TTL
            self._process.wait()
        statuses, self._statuses = self._statuses, -1
        os.close(statuses)
        self._last.update(phase="closed", why="")

    def __enter__(self) -> Registration:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Registration {self._last['key']} {self._last['phase']}>"

    def _order(self, line: str) -> None:
        if self._pid != os.getpid() or self._orders < 0:
            raise RegistrationError("this registration is closed, or belongs to another process")
        with contextlib.suppress(BrokenPipeError):  # it has ended; `state` says so
            os.write(self._orders, line.encode())

    def _read(self) -> None:
        """Read the statuses that have arrived since the last call."""
        with self._reading:
            self._take_in()

    def _take_in(self) -> None:
        while self._statuses >= 0:
            try:
                part = os.read(self._statuses, 65536)
            except BlockingIOError:
                return
            if not part:
                self._ended()
                return
            *lines, self._unread = (self._unread + part).split(b"\n")
            for line in lines:
                self._last.update(json.loads(line))

    def _ended(self) -> None:
        """The other process is gone without having been asked to."""
        if self._last["phase"] != "closed":
            code = self._process.wait()
            self._last.update(phase="closed", why=f"pyconfd register ended with status {code}")

    def _forsake(self) -> None:
        """In a forked child: close the pipes, so that only the parent's end counts."""
        for descriptor in (self._orders, self._statuses):
            if descriptor >= 0:
                os.close(descriptor)
        self._orders = self._statuses = -1
        self._reading = threading.Lock()  # another thread of the parent may have held it
        self._process.returncode = 0  # not ours: subprocess must not wait for it
        self._last.update(phase="closed", why="it belongs to the parent process")


_open: weakref.WeakSet[Registration] = weakref.WeakSet()


def _after_fork() -> None:
    for each in list(_open):
        each._forsake()
    _open.clear()


os.register_at_fork(after_in_child=_after_fork)


def register(
    service: str,
    address: str,
    *,
    id: str = "",  # noqa: A002 - as on the command line and in the key pattern
    ttl: int = 10,
    check: str | Sequence[str] | None = None,
    interval: float = 2.0,
    timeout: float = 1.0,
    rise: int = 2,
    fall: int = 3,
    start_period: float = 0.0,
    weight: int | str | None = None,
    labels: Mapping[str, str] | None = None,
    version: str = "",
    fields: Mapping[str, object] | None = None,
    key: str = "",
    takeover: bool = False,
    node: str | Sequence[str] = (),
    options: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    log_level: str = "warning",
) -> Registration:
    """
    Publish this program, or another one, as a member of a service until `close`.

    address: `host:port`, `:port`, `unix:/path`; `port:auto` finds the port this program listens
    on. check: one or several, as for `--check`; None checks whether the address accepts
    connections, an empty sequence checks nothing. Times in seconds. weight: a number or "auto".
    key: a pattern instead of the default. node: of the store; this and all other connection options
    also come from PYCONFD_... variables. options: further ones for `pyconfd register`. environ:
    used instead of os.environ.

    Returns at once; `wait` waits. Raises RegistrationError for faults that can be found at once.
    """
    from pyconfd.registration.address import parse_address

    parse_address(address)
    if address == "port:auto":
        address = f"pid:{os.getpid()}"
    words: list[str] = []
    for name, value in {
        "id": id,
        "ttl": ttl,
        "interval": interval,
        "timeout": timeout,
        "rise": rise,
        "fall": fall,
        "start-period": start_period,
        "weight": weight,
        "app-version": version,
        "key-pattern": key,
        "log-level": log_level,
    }.items():
        if value not in ("", None):
            words.append(f"--{name}={value}")
    words += [f"--check={each}" for each in _several(check or ())]
    words += ["--no-check"] if check is not None and not check else []
    words += [f"--label={name}={text}" for name, text in (labels or {}).items()]
    words += [f"--field={name}={json.dumps(value)}" for name, value in (fields or {}).items()]
    words += [f"--node={each}" for each in _several(node)]
    words += ["--takeover"] if takeover else []
    argv = [service, address, *words, *options]
    whole = dict(os.environ if environ is None else environ)
    _check_words(argv, whole)
    return Registration([_python(), "-m", "pyconfd", "register", *argv], whole)


def _several(one_or_more: str | Sequence[str]) -> Sequence[str]:
    return (one_or_more,) if isinstance(one_or_more, str) else one_or_more


def _check_words(argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """Raise faults of the arguments here, in the caller's thread."""
    from pyconfd.errors import SettingsError
    from pyconfd.registration.agent.arguments import read_declarations, read_register_arguments

    try:
        arguments, values = read_register_arguments(argv, environ)
        read_declarations(values, arguments)
    except SettingsError as error:
        raise RegistrationError(error.what, where=error.where, hint=error.hint) from error


def _python() -> str:
    """The interpreter. In a server that embeds Python, sys.executable is that server."""
    if os.path.basename(sys.executable).startswith(("python", "pypy")):
        return sys.executable
    return os.path.join(sys.prefix, "bin", "python3")
