"""
Changes HAProxy through its socket: the master's, or the admin socket of its worker. Shell.

A fault of the socket or the answer is returned as text; then a reload is done instead.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pyconfd.model.resources import Runtime
from pyconfd.model.values import dataclass
from pyconfd.pipeline.runtime import haproxy_commands as pure
from pyconfd.pipeline.runtime.haproxy_config import Config, Key, read, reload_reason
from pyconfd.system.connect import Address, connect, receive

#: Some ms on an idle machine.
_ANSWER_S = 2.0
#: A master that is restarting itself, after a reload, refuses connections for some ms.
_AWAY_S = 0.5
_MOST_BYTES = 16 * 1024 * 1024
#: So long a server may be busy that is to be deleted; it takes no new requests by then.
_BUSY_S, _BUSY_PAUSE_S = 0.5, 0.02
#: HAProxy takes a line of less than its buffer, 16 KiB by default.
_LINE_BYTES = 8 * 1024
#: The current worker, where it is the master's socket; a worker does not know the word.
_WORKER = "@1"
_SHOW = "show servers state"


@dataclass(frozen=True, slots=True)
class Survey:
    """
    What is to change, and what runs before.

    files: of each file its versions since the last reload, the oldest first, what is live last.
    reason: why a reload is needed whatever runs; "" when the commands may do.
    running: the servers; empty when it cannot be asked.
    problem: why it cannot be asked, "" when it can.
    """

    files: tuple[tuple[Config, ...], ...]
    reason: str
    running: Mapping[Key, pure.State]
    problem: str

    @property
    def hand(self) -> dict[Key, pure.State]:
        """What was changed by hand."""
        found: dict[Key, pure.State] = {}
        for versions in self.files:
            found.update(pure.by_hand(self.running, versions))
        return found

    def by_hand(self) -> list[str]:
        """The same in words, a line for each server."""
        live = {
            key: state
            for versions in self.files
            for key, state in pure.wanted(versions[-1]).items()
        }
        return [
            f"server {'/'.join(key)} runs with {state.differs(live[key])}"
            for key, state in sorted(self.hand.items())
        ]


def compare(texts: Sequence[Sequence[str]]) -> tuple[tuple[tuple[Config, ...], ...], str]:
    """The files taken apart, and why a reload is needed."""
    files = tuple(tuple(map(read, versions)) for versions in texts)
    pairs = ((old, versions[-1]) for versions in files for old in versions[:-1])
    return files, next(filter(None, (reload_reason(*pair) for pair in pairs)), "")


def survey(runtime: Runtime, files: tuple[tuple[Config, ...], ...], reason: str) -> Survey:
    """Ask what runs. files, reason: of `compare`."""
    try:
        return Survey(files, reason, pure.states(_ask(runtime.socket, [_SHOW])), "")
    except (OSError, ValueError) as error:
        return Survey(files, reason, {}, f"{runtime.socket}: {_words(error)}")


def change(runtime: Runtime, found: Survey) -> tuple[list[str], str]:
    """
    Send what makes it run as the files say, with `adopt` what was changed by hand apart. Returns
    the commands that were sent, and why it does not run so; "" when it does.
    """
    hand = found.hand if runtime.adopt else {}
    targets = [pure.adopted(_of(hand, versions), versions) for versions in found.files]
    lines = [
        line
        for target, versions in zip(targets, found.files, strict=True)
        for line in pure.commands(found.running, target, versions)
    ]
    running = found.running
    try:
        if lines:
            running = pure.states(_ask(runtime.socket, [*lines, _SHOW]))
        over_s = time.monotonic() + _BUSY_S
        while leaving := _leaving(running, targets, found.files):
            if time.monotonic() > over_s:
                break
            time.sleep(_BUSY_PAUSE_S)
            running = pure.states(_ask(runtime.socket, [*leaving, _SHOW]))
    except (OSError, ValueError) as error:
        return lines, f"{runtime.socket}: {_words(error)}"
    for target, versions in zip(targets, found.files, strict=True):
        backends = () if runtime.adopt else versions[-1].backends
        if problem := pure.unlike(running, target, backends):
            return lines, problem
    return lines, ""


def _leaving(
    running: Mapping[Key, pure.State],
    targets: Sequence[Mapping[Key, pure.State]],
    files: tuple[tuple[Config, ...], ...],
) -> list[str]:
    pairs = zip(targets, files, strict=True)
    return [line for pair in pairs for line in pure.removals(running, *pair)]


def restore(runtime: Runtime, before: Survey) -> str:
    """
    After a reload: send what was changed by hand before it. Returns why that failed, "" when not.
    """
    after = survey(runtime, tuple(versions[-1:] for versions in before.files), "")
    if after.problem:
        return after.problem
    targets = {}
    for versions in before.files:
        targets.update(pure.adopted(_of(before.hand, versions), versions))
    targets = {key: state for key, state in targets.items() if key in before.hand}
    lines = [
        line
        for key, state in targets.items()
        if key in after.running
        for line in pure.set_server("/".join(key), after.running[key], state)
    ]
    try:
        running = pure.states(_ask(runtime.socket, [*lines, _SHOW]))
    except (OSError, ValueError) as error:
        return f"{runtime.socket}: {_words(error)}"
    return pure.unlike(running, targets, ())


def _of(hand: Mapping[Key, pure.State], versions: Sequence[Config]) -> dict[Key, pure.State]:
    return {key: state for key, state in hand.items() if key in versions[-1].servers}


def _ask(path: str, lines: Sequence[str]) -> str:
    """The answer to these commands. Raises OSError, ValueError."""
    deadline = time.monotonic() + _AWAY_S
    answer = ""
    for batch in _batches(lines):
        while True:
            try:
                answer = _ask_once(path, batch)
            except ConnectionError:
                if time.monotonic() > deadline:
                    raise
            else:
                if answer or time.monotonic() > deadline:
                    break
            time.sleep(0.01)
    return answer


def _ask_once(path: str, line: str) -> str:
    import socket

    deadline = time.monotonic() + _ANSWER_S
    with connect(Address(unix=path), deadline) as stream:
        _of_root_or_own(stream)
        stream.sendall(f"{line}\n".encode())
        # else it keeps the connection open for the next line
        stream.shutdown(socket.SHUT_WR)
        answer = receive(stream, deadline, lambda read: len(read) >= _MOST_BYTES)
    return answer.decode(errors="replace")


def _of_root_or_own(stream: Any) -> None:
    """
    Raises PermissionError unless root or this user owns the socket, because its answers decide
    whether a reload is left out.
    """
    import socket

    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    if uid not in (0, os.geteuid()):
        raise PermissionError(f"belongs to another user (uid {uid})")


def _batches(lines: Sequence[str]) -> list[str]:
    """Commands on as few lines as possible; all commands of a line go to one worker."""
    batches = [_WORKER]
    for line in lines:
        if len(batches[-1]) + len(line) > _LINE_BYTES:
            batches.append(_WORKER)
        batches[-1] = f"{batches[-1]};{line}"
    return batches


def _words(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or str(error)
