"""
Journal: the swaps that were begun, and the reloads that are pending for them. Shell.

A swap writes its intent here before the first rename, and the intent stays until the service has
confirmed the reload. So a pending reload survives a kill of pyconfd at any instant. swap.py does
the swap, journal_entries.py has the form of a line, and recovery.py is what the next start does.

A line is one `write` to a file opened for appending, which a kill does not tear; a power cut may
lose lines that were not synced. For a single file that is harmless (after a power cut the service
starts with whatever file is there), so its line is not synced. The line of a set is, because only
the journal knows how to complete it. When no intent is open, the file is emptied.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress

from pyconfd.errors import StateError
from pyconfd.pipeline.journal_entries import (
    Intent,
    JournalEntry,
    Progress,
    line,
    lines_of,
    swap_line,
)
from pyconfd.pipeline.journal_index import OpenIntents, parse
from pyconfd.pipeline.recovery import (
    Recovery,
    clean,
    drop_originals,
    finish,
    kept_for,
    pending_for,
    roll_back,
    sort,
)
from pyconfd.system import files

#: Rewritten without its closed entries when it has grown to this and at least half of it is theirs:
#: a byte is written twice at most, however many swaps are open.
_COMPACT_BYTES = 256 * 1024


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
        self._open = OpenIntents()
        self._next = 1
        self._bytes = 0
        self._sizes: dict[int, int] = {}
        self._open_bytes = 0

    def intend(
        self,
        service: str,
        reload: str,
        entries: Iterable[JournalEntry],
        *,
        keep: bool = False,
    ) -> int:
        """
        Record that these files are about to be swapped. Returns the intent's number. keep: the old
        versions stay until the service has confirmed.
        """
        with self._lock:
            intent = Intent(self._next, service, reload, tuple(entries), keep)
            self._next += 1
            text = swap_line(intent)
            self._append(text, sync=len(intent.files) > 1)
            self._forget_before(intent)
            self._open.add(intent)
            self._opened(intent.id, len(text))
            self._compact()
            return intent.id

    def swapped(self, number: int) -> None:
        """
        Record that a set is live as a whole. Its staged files and originals may be removed now.
        """
        with self._lock:
            self._append(line(do="swapped", id=number))
            self._open.progress(number, Progress.WHOLE)
            if not self._open[number].reload:
                self._close([number])

    def reverting(self, number: int) -> None:
        """Record that a swap is about to be rolled back; a recovery would continue that."""
        self._goes_back(number, Progress.REVERTING)

    def reverted(self, number: int) -> None:
        """Record that all old versions are live again; the reload is still pending."""
        self._goes_back(number, Progress.REVERTED)

    def _goes_back(self, number: int, progress: Progress) -> None:
        with self._lock:
            self._append(line(do=progress, id=number), sync=True)
            self._open.progress(number, progress)

    def undone(self, number: int) -> None:
        """Record that a swap did not happen. Its staged files may be removed now."""
        with self._lock:
            self._append(line(do="undone", id=number))
            self._close([number])

    def settle(self, service: str) -> None:
        """
        Record that the service runs with the live files: no reload is pending. Its kept old
        versions are removed.
        """
        with self._lock:
            intents = self._open.of(service)
            if not intents:
                return
            if len(intents) < len(self._open):
                self._append(line(do="settled", service=service))
            self._close(each.id for each in intents)
        drop_originals(intents)

    def reassign(self, service_of: Mapping[str, str]) -> frozenset[str]:
        """
        Move pending reloads to the services that their files belong to now: a service without a
        name is another one when its command is corrected, and a resource may change its service.

        service_of: destination -> its present service, of those with a reload command. Returns the
        services that took over a pending reload.
        """
        reassigned: dict[int, str] = {}
        with self._lock:
            for intent in self._open:
                today = (service_of.get(each.dest, "") for each in intent.files)
                service = next(filter(None, today), intent.service)
                if intent.reload and service != intent.service:
                    reassigned[intent.id] = service
            if reassigned:
                self._open.reassign(reassigned)
                # where it cannot be written the old names stay, until the next start
                with suppress(StateError):
                    self._rewrite(self._open)
        return frozenset(reassigned.values())

    @property
    def services(self) -> frozenset[str]:
        """Those with a pending reload."""
        with self._lock:
            return self._open.services

    def unsettled(self, service: str) -> tuple[Intent, ...]:
        """Swaps that the service has not confirmed, oldest first."""
        with self._lock:
            return self._open.of(service)

    @property
    def kept(self) -> frozenset[str]:
        """Paths of old versions that stay beside the live files, so that they can be put back."""
        with self._lock:
            return kept_for(self._open)

    def recover(self) -> Recovery:
        """Read what a former run left, put half-done sets in order, remove its staged files."""
        with self._lock:
            found, damaged = parse(self._read())
            intents = list(found)
            happened, torn, unfinished = sort(intents)
            finished = tuple(map(finish, unfinished))
            rolled_back = tuple(dest for intent in torn for dest in roll_back(intent))
            pending = pending_for(happened)
            self._rewrite(happened)  # first: only the staged files tell which swaps have happened
            removed = tuple(clean(intents, kept_for(happened)))
            self._open = OpenIntents(happened)
            self._next = max((intent.id for intent in intents), default=0) + 1
        return Recovery(pending, rolled_back, finished, removed, damaged)

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        with self._lock:
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None

    def _forget_before(self, new: Intent) -> None:
        """
        Drop older swaps that `new` makes unnecessary even if it does not happen: a reload that
        fails for days must not fill the journal. One thread at a time swaps for a service.
        """
        for each in self._open.needless(new.service):
            with suppress(StateError):  # then it stays
                self._append(line(do="undone", id=each.id))
                self._drop(each.id)
                drop_originals([each])

    def _close(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._drop(number)
        if not self._open:
            self._empty()
        else:
            self._compact()

    def _opened(self, number: int, size_bytes: int) -> None:
        self._sizes[number] = size_bytes
        self._open_bytes += size_bytes

    def _drop(self, number: int) -> None:
        self._open.drop(number)
        self._open_bytes -= self._sizes.pop(number, 0)

    def _compact(self) -> None:
        if self._bytes > max(_COMPACT_BYTES, 2 * self._open_bytes):
            self._rewrite(self._open)

    def _append(self, text: bytes, *, sync: bool = False) -> None:
        try:
            fd = self._file()
            files.append(fd, text)
            if sync:
                os.fsync(fd)
        except OSError as error:
            raise self._unusable("written", error) from error
        self._bytes += len(text)

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
        """Replace the file, atomically, by one with only these intents."""
        lines = {intent.id: b"".join(lines_of(intent)) for intent in intents}
        content = b"".join(lines.values())
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
        self._bytes = self._open_bytes = len(content)
        self._sizes = {number: len(text) for number, text in lines.items()}

    def _unusable(self, verb: str, error: OSError) -> StateError:
        return StateError(
            f"the journal cannot be {verb}: {error.strerror or error}",
            where=self._path,
            kept="nothing live was changed",
            hint="make the state folder writable, or set state_dir",
        )


def _open(path: str) -> int:
    files.make_folders(os.path.dirname(path), 0o700)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(path, flags, 0o600)
