"""
Watches a source that can only be listed: polls it and compares the contents.

A poll is cheap (a fingerprint); the contents are read only when it differs. If they cannot be read,
Lost is reported, and the last good contents stay in use. Shell.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

from pyconfd.backends.base import Put
from pyconfd.errors import SourceError, SourceUnavailable
from pyconfd.model.keys import (
    Changed,
    KeyChange,
    KeyValue,
    Listed,
    Lost,
    PrefixFilter,
    Progressed,
    SourceMessage,
)

# A file that is being written is left alone until two polls this far apart agree.
SETTLE_S = 0.05
SETTLE_TRIES = 20
# Contents that never change are read again after a failure all the same.
RETRY_S = 1.0
JOIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Listable:
    """
    A source that can be read as a whole.

    name: of the source, for messages.
    read: every key path with its value; raises SourceError.
    fingerprint: changes when the contents may have; never raises.
    interval_s: pause between two polls, None for contents that never change.
    """

    name: str
    read: Callable[[], Mapping[str, bytes]]
    fingerprint: Callable[[], Hashable]
    interval_s: float | None


class Ledger:
    """
    The contents last seen, with a revision of its own that grows with every difference.

    May be used from any thread. `keys` returns the keys under the prefixes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, KeyValue] = {}
        self.revision = 0

    def take(self, contents: Mapping[str, bytes]) -> tuple[int, tuple[KeyChange, ...]]:
        """Replace the contents. Returns the revision and the differences, in order of key."""
        with self._lock:
            changes = [
                KeyChange(key, contents.get(key), self.revision + 1)
                for key in sorted({*contents, *self._held})
                if key not in contents
                or key not in self._held
                or contents[key] != self._held[key].value
            ]
            if changes or not self.revision:
                self.revision += 1
            for change in changes:
                if change.value is None:
                    del self._held[change.key]
                else:
                    made = KeyValue(change.key, change.value, change.mod_revision)
                    self._held[change.key] = made
            return self.revision, tuple(changes)

    def keys(self, wanted: PrefixFilter) -> tuple[KeyValue, ...]:
        """The keys under these prefixes."""
        with self._lock:
            held = tuple(self._held.values())
        return tuple(each for each in held if wanted.admits(each.key))


class PollingWatch:
    """A watch over a Listable, with a ledger and revisions of its own."""

    def __init__(self, listable: Listable, prefixes: Sequence[str], put: Put) -> None:
        self._listable = listable
        self._wanted = PrefixFilter(prefixes)
        self._put = put
        self._ledger = Ledger()
        self._stopping = threading.Event()
        self._listed = False
        self._lost = ""  # the reported failure, empty while contents can be read
        self._fingerprint: Hashable = None
        self._thread = threading.Thread(
            target=self._run, name=f"{listable.name}-watch", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not threading.current_thread():
            self._thread.join(JOIN_S)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._poll()
                self._stopping.wait(self._pause_s())
        except Exception as error:
            # The top of the thread: its death must be reported.
            import logging

            name = self._listable.name
            logging.getLogger(__name__).exception("the watch of %s ended", name)
            self._put(Lost(name, SourceUnavailable(f"the watch ended: {error!r}")))

    def _pause_s(self) -> float | None:
        """Seconds until the next poll; None: for ever, because the contents never change."""
        if self._listable.interval_s is None and self._lost:
            return RETRY_S
        return self._listable.interval_s

    def _poll(self) -> None:
        """Poll once, and report changes."""
        found = self._listable.fingerprint()
        if self._listed and not self._lost and found == self._fingerprint:
            self._send(Progressed(self._listable.name, self._ledger.revision))
            return
        try:
            settled, contents = self._read_settled(found)
        except SourceError as error:
            if str(error) != self._lost:
                self._lost = str(error)
                self._send(Lost(self._listable.name, error))
            return
        self._fingerprint = settled
        self._report(contents)

    def _read_settled(self, found: Hashable) -> tuple[Hashable, Mapping[str, bytes]]:
        """Read contents that do not change meanwhile."""
        if self._fingerprint is not None:  # not at start: nothing is known to be in motion then
            found = self._settle(found)
        for _ in range(SETTLE_TRIES):
            contents = self._listable.read()
            again = self._listable.fingerprint()
            if again == found:
                return found, contents
            found = again
        raise SourceUnavailable("it changes faster than it can be read")

    def _settle(self, found: Hashable) -> Hashable:
        """The fingerprint, once two polls agree or all tries are used up."""
        for _ in range(SETTLE_TRIES):
            self._stopping.wait(SETTLE_S)
            again = self._listable.fingerprint()
            if again == found:
                break
            found = again
        return found

    def _report(self, contents: Mapping[str, bytes]) -> None:
        name, was_lost = self._listable.name, bool(self._lost)
        self._lost = ""
        wanted = {k: v for k, v in contents.items() if self._wanted.admits(k)}
        revision, changes = self._ledger.take(wanted)
        if not self._listed:
            self._listed = True
            self._send(Listed(name, 0, revision, self._ledger.keys(self._wanted)))
        elif changes:
            self._send(Changed(name, revision, changes))
        elif was_lost:
            self._send(Progressed(name, revision))

    def _send(self, message: SourceMessage) -> None:
        if not self._stopping.is_set():
            self._put(message)


def list_once(listable: Listable, ledger: Ledger, prefixes: Sequence[str]) -> Listed:
    """A listing now, noted in the ledger. Raises the errors of reading."""
    revision, _ = ledger.take(listable.read())
    return Listed(listable.name, 0, revision, ledger.keys(PrefixFilter(prefixes)))
