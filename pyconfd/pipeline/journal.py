"""
Journal: what was about to be swapped, and which reloads are owed for it. Shell.

A swap writes its intent here before the first rename, and the intent stays until the service has
confirmed the reload; so a reload that is owed survives the death of pyconfd at any instant. The
swap itself is in swap.py.

The file `journal` in the state folder has one JSON object on each line:

    {"do": "swap", "id": 7, "service": ..., "reload": ..., "timeout_s": ..., "files": [...]}
    {"do": "swapped", "id": 7}      a set of several files is live, whole
    {"do": "undone", "id": 7}       the swap did not happen, or was taken back
    {"do": "settled", "service": ...}    the service runs with what is live

Whether a rename happened needs no record: the staged file is there before it and gone after it.
A line is one `write` to a file opened for appending, which a kill does not tear; a power cut may
lose lines that were not synced. For one file that is harmless (after a power cut the service
starts afresh with whatever file is there), so its line is not synced; for a set it is, because
only the journal tells how to make it whole again. When nothing is open the file is emptied.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pyconfd.errors import StateError
from pyconfd.system import files

#: Rewritten without its closed entries when it has grown to this.
_COMPACT_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One file of a swap. dest: as declared; path: with symlinks followed; staged: the new version.

    original: a hard link to the old version, "" when there is none (a single file, or a new one).
    was: digest of the old version, None when the file is new. digest: of the new version.
    """

    dest: str
    path: str
    staged: str
    original: str
    was: str | None
    digest: str


@dataclass(frozen=True, slots=True)
class Intent:
    """A swap. reload: the command's text, "" when there is nobody to tell; whole: see Journal."""

    id: int
    service: str
    reload: str
    timeout_s: float
    files: tuple[Entry, ...]
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Owed:
    """A reload that must still happen. dest: of the newest swap; digests: dest -> what is live."""

    service: str
    reload: str
    timeout_s: float
    dest: str
    digests: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Recovery:
    """
    What a killed run left behind, after it was put in order.

    owed: one for each service. rolled_back: destinations of which the old version was put back,
    because their set was half swapped. removed: staged files and links taken away. damaged: lines
    that could not be read; then any service may be owed a reload.
    """

    owed: tuple[Owed, ...] = ()
    rolled_back: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    damaged: int = 0


class Journal:
    """
    The record of one state folder, which must be locked (system/locks.py). Any thread may write.

    Call `recover` once before anything else. Raises StateError from every method when the file
    cannot be read or written.
    """

    def __init__(self, state_dir: str) -> None:
        self._path = os.path.join(state_dir, "journal")
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._open: dict[int, Intent] = {}
        self._next = 1
        self._bytes = 0

    def intend(self, service: str, reload: str, timeout_s: float, entries: Iterable[Entry]) -> int:
        """Record that these files are about to be swapped. Returns the number to refer to it."""
        with self._lock:
            intent = Intent(self._next, service, reload, timeout_s, tuple(entries))
            self._next += 1
            self._append(_swap_line(intent), sync=len(intent.files) > 1)
            self._open[intent.id] = intent
            return intent.id

    def swapped(self, number: int) -> None:
        """Record that a set is live, whole. Its staged files and originals may go now."""
        with self._lock:
            intent = self._open[number]
            self._append(_line(do="swapped", id=number))
            self._open[number] = _made_whole(intent)
            if not intent.reload:
                self._close([number])

    def undone(self, number: int) -> None:
        """Record that a swap did not happen. Its staged files may go now."""
        with self._lock:
            self._append(_line(do="undone", id=number))
            self._close([number])

    def settle(self, service: str) -> None:
        """Record that the service runs with what is live: nothing is owed to it any more."""
        with self._lock:
            numbers = [each.id for each in self._open.values() if each.service == service]
            if not numbers:
                return
            if len(numbers) < len(self._open):
                self._append(_line(do="settled", service=service))
            self._close(numbers)

    def recover(self) -> Recovery:
        """Read what a former run left, put half-done sets in order, remove its staged files."""
        with self._lock:
            intents, damaged = _parse(self._read())
            happened, torn = _judge(intents)
            rolled_back = tuple(dest for intent in torn for dest in _roll_back(intent))
            self._rewrite(happened)  # first: the staged files are what tells them apart
            removed = tuple(_clean(intents))
            self._open = {intent.id: intent for intent in happened}
            self._next = max((intent.id for intent in intents), default=0) + 1
        return Recovery(_owed(happened), rolled_back, removed, damaged)

    def close(self) -> None:
        """Let go of the file; a later call opens it again."""
        with self._lock:
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None

    def _close(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._open.pop(number, None)
        if not self._open:
            self._empty()
        elif self._bytes > _COMPACT_BYTES:
            self._rewrite(self._open.values())

    def _append(self, line: bytes, *, sync: bool = False) -> None:
        try:
            fd = self._file()
            _write_whole(fd, line)
            if sync:
                os.fsync(fd)
        except OSError as error:
            raise self._unusable("written", error) from error
        self._bytes += len(line)

    def _empty(self) -> None:
        try:
            os.ftruncate(self._file(), 0)
        except OSError as error:
            raise self._unusable("written", error) from error
        self._bytes = 0

    def _file(self) -> int:
        if self._fd is None:
            self._fd = _open(self._path)
        return self._fd

    def _read(self) -> bytes:
        try:
            return files.read(self._path)[0]
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise self._unusable("read", error) from error

    def _rewrite(self, intents: Iterable[Intent]) -> None:
        """Replace the file by one that holds only these, atomically."""
        content = b"".join(_lines(intents))
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        new = f"{self._path}.new"
        try:
            if content:
                files.remove(new)
                files.write_new(new, content, mode=0o600, uid=None, gid=None)
                os.rename(new, self._path)
            elif os.path.exists(self._path):
                os.truncate(self._path, 0)
        except OSError as error:
            raise self._unusable("written", error) from error
        self._bytes = len(content)

    def _unusable(self, verb: str, error: OSError) -> StateError:
        return StateError(
            f"the journal cannot be {verb}: {error.strerror or error}",
            where=self._path,
            kept="nothing live was changed",
            hint="make the state folder writable, or set state_dir",
        )


def _open(path: str) -> int:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(path, flags, 0o600)


def _write_whole(fd: int, line: bytes) -> None:
    """A line that fits only in part, because the disk is full, is taken back. Raises OSError."""
    written = os.write(fd, line)
    if written < len(line):
        os.ftruncate(fd, os.fstat(fd).st_size - written)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _line(**fields: object) -> bytes:
    import json  # a run that swaps nothing does not need it

    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def _swap_line(intent: Intent) -> bytes:
    return _line(
        do="swap",
        id=intent.id,
        service=intent.service,
        reload=intent.reload,
        timeout_s=intent.timeout_s,
        files=[
            (each.dest, each.path, each.staged, each.original, each.was, each.digest)
            for each in intent.files
        ],
    )


def _lines(intents: Iterable[Intent]) -> Iterator[bytes]:
    for intent in intents:
        yield _swap_line(intent)
        if intent.whole:
            yield _line(do="swapped", id=intent.id)


def _parse(content: bytes) -> tuple[list[Intent], int]:
    """Intents that are neither undone nor settled, oldest first, and the number of bad lines."""
    import json

    intents: dict[int, Intent] = {}
    damaged = 0
    lines = content.split(b"\n")
    lines.pop()  # what follows the last end of line was torn by a power cut before its swap
    for line in lines:
        try:
            _take(json.loads(line), intents)
        except (ValueError, KeyError, TypeError, AttributeError):
            damaged += 1
    return list(intents.values()), damaged


def _take(fields: dict[str, Any], intents: dict[int, Intent]) -> None:
    """Apply one line. Raises for a line that this version does not understand."""
    match fields["do"]:
        case "swap":
            intents[fields["id"]] = Intent(
                fields["id"],
                fields["service"],
                fields["reload"],
                fields["timeout_s"],
                tuple(Entry(*entry) for entry in fields["files"]),
            )
        case "swapped":
            intents[fields["id"]] = _made_whole(intents[fields["id"]])
        case "undone":
            intents.pop(fields["id"], None)
        case "settled":
            for number in [n for n, each in intents.items() if each.service == fields["service"]]:
                del intents[number]
        case other:
            raise ValueError(other)


def _made_whole(intent: Intent) -> Intent:
    return Intent(
        intent.id, intent.service, intent.reload, intent.timeout_s, intent.files, whole=True
    )


def _judge(intents: list[Intent]) -> tuple[list[Intent], list[Intent]]:
    """
    Which swaps happened, and which stopped half-way; the rest did not begin.

    A half-done set whose files a later swap replaced is not to be taken back any more; it counts
    as happened.
    """
    happened: list[Intent] = []
    torn: list[Intent] = []
    replaced: set[str] = set()
    for intent in reversed(intents):
        waiting = [each for each in intent.files if os.path.lexists(each.staged)]
        if intent.whole or not waiting:
            happened.append(intent)
            replaced.update(each.path for each in intent.files)
        elif len(waiting) == len(intent.files):
            continue
        elif replaced.issuperset(each.path for each in intent.files):
            happened.append(intent)
        else:
            torn.append(intent)
    return happened[::-1], torn


def _roll_back(intent: Intent) -> Iterator[str]:
    """
    Put the old versions back where the new ones are live already, last first.

    May itself be cut short and done again: a file that is back has neither a staged version nor
    an original any more. Raises StateError when a file cannot be put back.
    """
    for each in reversed(intent.files):
        if os.path.lexists(each.staged):
            continue
        try:
            restore(each)
        except OSError as error:
            raise StateError(
                f"a half-done swap cannot be taken back: {error.strerror or error}",
                where=each.path,
                kept=f"the old version is {each.original}" if each.original else "",
                hint="put it back by hand, then start again",
            ) from error
        yield each.dest


def restore(entry: Entry) -> None:
    """Make the old version live again; harmless when it is already. Raises OSError."""
    if entry.was is None:
        files.remove(entry.path)
    elif entry.original and os.path.lexists(entry.original):
        os.rename(entry.original, entry.path)
    files.sync_folder(entry.path)


def _clean(intents: Iterable[Intent]) -> Iterator[str]:
    for intent in intents:
        for each in intent.files:
            for path in (each.staged, each.original):
                if path and files.remove(path):
                    yield path


def _owed(happened: Iterable[Intent]) -> tuple[Owed, ...]:
    owed: dict[str, Owed] = {}
    for intent in happened:
        if not intent.reload:
            continue
        before = owed.get(intent.service)
        digests = dict(before.digests) if before else {}
        digests.update((each.dest, each.digest) for each in intent.files)
        dest = intent.files[-1].dest
        owed[intent.service] = Owed(
            intent.service, intent.reload, intent.timeout_s, dest, tuple(digests.items())
        )
    return tuple(owed.values())
