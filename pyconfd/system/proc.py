"""
Commands: run with a deadline, in a process group of their own, with bounded output. Shell.

The caller interprets the exit status. Children are started through `subprocess` in the way that
uses vfork (no preexec_fn, no user=), because a real fork beside gRPC's threads sometimes fails.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from pyconfd.model.steps import CommandReport, Ending
from pyconfd.system.child_env import child_environment

if TYPE_CHECKING:
    from subprocess import Popen

#: Between SIGTERM and SIGKILL to a command that has run out of time, in seconds.
KILL_GRACE_S = 2.0
#: How long a wait may go on without noticing `stop`, in seconds.
_TICK_S = 0.1
#: Of a long output the first and the last bytes are kept, this many each.
_HEAD_BYTES = 32 * 1024
_TAIL_BYTES = 32 * 1024

_NO_VARIABLES: Mapping[str, str] = MappingProxyType({})


class Runner(Protocol):
    """Runs a command for the steps: `Commands.run` in the program, a fake in tests."""

    def __call__(
        self,
        command: str | Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] = _NO_VARIABLES,
    ) -> CommandReport:
        """
        Run a command to its end. A str is a shell command line, a sequence an argument list.
        env: further variables of its environment.
        """


class Commands:
    """
    Runs commands, from any thread, until `stop`.

    Standard input is empty; both outputs go into the report. A command is over when its own process
    ends: what it leaves in the background on purpose (an init script that starts a daemon) is
    neither waited for nor ended, even if it keeps the output open. At the deadline the whole
    process group gets SIGTERM, and SIGKILL `kill_grace_s` later.
    """

    def __init__(
        self,
        *,
        kill_grace_s: float = KILL_GRACE_S,
        pidfd: bool = True,
        variables: Collection[str] = (),
    ) -> None:
        """
        pidfd: whether to use one; without, exits are polled for every 10 ms.
        variables: names of this process's environment that commands get beside the harmless ones.
        """
        self._variables = frozenset(variables)
        self._kill_grace_s = kill_grace_s
        self._pidfd = pidfd
        self._changed = threading.Condition()
        self._running = 0
        self._stop_at: float | None = None

    def run(
        self,
        command: str | Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] = _NO_VARIABLES,
    ) -> CommandReport:
        """
        Run it to its end. A str is a shell command line for /bin/sh, a sequence an argument list.
        env: further variables of its environment, beside those of `child_environment`.

        Does not raise: a command that could not be started, ran out of time or was ended by `stop`
        gives a report too, whose `ending` says so.
        """
        text = command if isinstance(command, str) else " ".join(command)
        argv = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
        with self._changed:
            if self._stop_at is not None:
                return _unrun(text, 0.0, Ending.STOPPED, "not started: pyconfd is stopping")
            self._running += 1
        try:
            return self._run(text, argv, timeout_s, env)
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    @property
    def running(self) -> int:
        """How many commands run now."""
        return self._running

    def stop(self, grace_s: float) -> None:
        """
        Let running commands finish within `grace_s`, then end them; start no new ones.

        Returns when none is running. A second call may shorten the grace.
        """
        at = time.monotonic() + grace_s
        with self._changed:
            self._stop_at = at if self._stop_at is None else min(at, self._stop_at)
            while self._running:
                self._changed.wait(1.0)

    def _run(
        self, text: str, argv: list[str], timeout_s: float, env: Mapping[str, str]
    ) -> CommandReport:
        begun = time.monotonic()
        try:
            child = _start(argv, {**child_environment(os.environ, self._variables), **env})
        except (OSError, ValueError) as error:  # ValueError: a NUL byte among the arguments
            why = error.strerror if isinstance(error, OSError) else str(error)
            spent_s = time.monotonic() - begun
            return _unrun(text, spent_s, Ending.NOT_STARTED, f"could not be started: {why}")
        output = _Output()
        ending, problem = self._watch(child, output, begun, timeout_s)
        status = child.returncode
        if ending is Ending.EXITED and (status or 0) < 0:
            ending = Ending.SIGNALLED
            problem = f"killed by signal {-status} ({_signal_name(-status)})"
        return CommandReport(
            command=text,
            exit_status=status if ending is Ending.EXITED else None,
            duration_s=time.monotonic() - begun,
            output=output.text(),
            truncated=output.truncated,
            ending=ending,
            problem=problem,
        )

    def _watch(
        self, child: Popen[bytes], output: _Output, begun: float, timeout_s: float
    ) -> tuple[Ending, str]:
        """
        Collect output until the child ends or its time is over. Returns how it ended, in words.
        """
        assert child.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
        pipe = child.stdout.fileno()
        os.set_blocking(pipe, False)
        with _Exit(child, self._pidfd) as over:
            ending, problem = Ending.EXITED, ""
            while not over.wait(pipe, output, self._left_s(begun + timeout_s)):
                ending, problem = self._overdue(begun, timeout_s)
                if ending is not Ending.EXITED:
                    _end(child, over, pipe, output, self._kill_grace_s)
                    break
            ended = output.drain(pipe)
        if not _reap(child):
            problem += f"; process {child.pid} could not be ended"
        if ended or ending is not Ending.EXITED:
            child.stdout.close()
        else:
            _leave(child)
        return ending, problem

    def _left_s(self, deadline: float) -> float:
        return max(0.0, min(_TICK_S, deadline - time.monotonic()))

    def _overdue(self, begun: float, timeout_s: float) -> tuple[Ending, str]:
        """How it has to be ended now, in words; EXITED while it may continue."""
        now = time.monotonic()
        if now >= begun + timeout_s:
            return Ending.TIMED_OUT, f"timed out after {timeout_s:g} s"
        if self._stop_at is not None and now >= self._stop_at:
            return Ending.STOPPED, "stopped"
        return Ending.EXITED, ""


class _Output:
    """The first and the last part of what a command wrote."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._left_out = 0

    @property
    def truncated(self) -> bool:
        return self._left_out > 0

    def drain(self, pipe: int) -> bool:
        """Read what is there without waiting. True when the other end is closed."""
        # Bounded, so that a child that floods cannot keep us from looking at the clock.
        for _ in range(64):
            try:
                part = os.read(pipe, 65536)
            except BlockingIOError:
                return False
            if not part:
                return True
            self._add(part)
        return False

    def _add(self, part: bytes) -> None:
        room = _HEAD_BYTES - len(self._head)
        if room > 0:
            self._head += part[:room]
            part = part[room:]
        self._tail += part
        excess = len(self._tail) - _TAIL_BYTES
        if excess > 0:
            self._left_out += excess
            del self._tail[:excess]

    def text(self) -> str:
        head, tail = (bytes(part).decode(errors="replace") for part in (self._head, self._tail))
        if self._left_out:
            return f"{head}\n[... {self._left_out} bytes left out ...]\n{tail}"
        return head + tail


class _Exit:
    """
    Waits for the end of a child without reaping it, so that the id of its group is not reused.
    """

    def __init__(self, child: Popen[bytes], pidfd: bool) -> None:
        self._child = child
        self._fd: int | None = None
        if pidfd:
            with contextlib.suppress(OSError):  # Linux before 5.3, or forbidden in a sandbox
                self._fd = os.pidfd_open(child.pid)

    def __enter__(self) -> _Exit:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._fd is not None:
            os.close(self._fd)

    def wait(self, pipe: int, output: _Output, timeout_s: float) -> bool:
        """Read output for up to `timeout_s`, or until the child ends. True when it has ended."""
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        if self._fd is not None:
            poll.register(self._fd, select.POLLIN)
        else:
            timeout_s = min(timeout_s, 0.01)
        ready = {fd for fd, _ in poll.poll(timeout_s * 1000)}
        if pipe in ready and output.drain(pipe):
            # Closed early: there is nothing left to read, so only the exit can be waited for.
            poll.unregister(pipe)
            ready |= {fd for fd, _ in poll.poll(timeout_s * 1000)}
        return self._over(ready)

    def _over(self, ready: set[int]) -> bool:
        if self._fd is not None:
            return self._fd in ready
        return (
            os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        )


def _unrun(text: str, spent_s: float, ending: Ending, problem: str) -> CommandReport:
    return CommandReport(text, None, spent_s, ending=ending, problem=problem)


def _start(argv: list[str], env: Mapping[str, str]) -> Popen[bytes]:
    import subprocess  # 5 ms: only runs that have something to run pay for it

    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        env=env,
        start_new_session=True,
    )


def _end(child: Popen[bytes], over: _Exit, pipe: int, output: _Output, grace_s: float) -> None:
    """SIGTERM, then SIGKILL, to the group and to descendants that left it."""
    strayed = _descendants_elsewhere(child.pid)
    _signal_all(child.pid, strayed, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while (left := deadline - time.monotonic()) > 0:
        if over.wait(pipe, output, min(left, _TICK_S)):
            break
    # The shell is over, but members of its group may not be: give them what is left of the grace
    # for as long as a process holds the output.
    while time.monotonic() < deadline and not output.drain(pipe):
        time.sleep(0.01)
    _signal_all(child.pid, strayed, signal.SIGKILL)


def _reap(child: Popen[bytes]) -> bool:
    """
    Reap the child. False when even SIGKILL has not ended it: it runs as another user, or hangs in
    the kernel.
    """
    import subprocess

    try:
        child.wait(KILL_GRACE_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def _descendants_elsewhere(pid: int) -> list[int]:
    """Descendants of the command that have a process group of their own."""
    import psutil  # only a command that has run out of time needs it

    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []
    found = []
    for each in children:
        try:
            if os.getpgid(each.pid) != pid:
                found.append(each.pid)
        except ProcessLookupError:
            continue
    return found


def _signal_all(group: int, others: list[int], number: signal.Signals) -> None:
    for send, target in [(os.killpg, group), *((os.kill, pid) for pid in others)]:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # gone, or another user's
            send(target, number)


def _leave(child: Popen[bytes]) -> None:
    """
    Leave the pipe to a background process of the command, for as long as that lives.

    If it were closed, SIGPIPE would kill that process at its next write; unread, it would block. So
    it gets a reader that outlives this process, since a one-shot run is about to end.
    """
    import subprocess

    stream = child.stdout
    assert stream is not None  # noqa: S101 - for the type checker
    os.set_blocking(stream.fileno(), True)

    def read_on() -> None:
        with stream:
            while stream.read(65536):
                pass

    try:
        reader = subprocess.Popen(
            ["cat"],
            stdin=stream,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:  # an image without cat
        threading.Thread(target=read_on, name="left-behind", daemon=True).start()
        return
    stream.close()
    threading.Thread(target=reader.wait, name="left-behind", daemon=True).start()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
