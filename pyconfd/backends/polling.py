"""
Watching what can only be listed: looked at again and again, and compared with what was held.

A look is cheap (a fingerprint); only when it differs are the contents read. What cannot be read
is Lost, and the last good contents stay in force. Shell.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

from pyconfd.backends.base import Put
from pyconfd.errors import SourceError, SourceUnavailable
from pyconfd.model.keys import Changed, KeyChange, KeyValue, Listed, Lost, Progressed, is_under

# A file that is being written is left alone until two looks this far apart agree.
SETTLE_S = 0.05
SETTLE_TRIES = 20
JOIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Listable:
    """
    Something that can be read whole.

    read: every key path with its value; raises SourceError. fingerprint: changes when the
    contents may have; never raises. interval_s: pause between two looks, None for no looks at
    all but those that are asked for.
    """

    name: str
    read: Callable[[], Mapping[str, bytes]]
    fingerprint: Callable[[], Hashable]
    interval_s: float | None


class Ledger:
    """
    The contents last seen, with a revision counted by us: it grows with every difference.

    Safe from any thread. `keys` gives what is under the prefixes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, KeyValue] = {}
        self.revision = 0

    def take(self, contents: Mapping[str, bytes]) -> tuple[int, tuple[KeyChange, ...]]:
        """Replace what is held; the revision and what differs, in order of key."""
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

    def keys(self, prefixes: Sequence[str]) -> tuple[KeyValue, ...]:
        """What is held at and below the prefixes."""
        with self._lock:
            held = tuple(self._held.values())
        return tuple(each for each in held if _admitted(each.key, prefixes))


def _admitted(key: str, prefixes: Sequence[str]) -> bool:
    return any(is_under(key, prefix) for prefix in prefixes)


class PollingWatch:
    """A watch over a Listable. Its ledger is its own, so its revisions are too."""

    def __init__(self, listable: Listable, prefixes: Sequence[str], put: Put) -> None:
        self._listable = listable
        self._prefixes = tuple(prefixes)
        self._put = put
        self._ledger = Ledger()
        self._wake = threading.Condition()
        self._stopping = False
        self._reason = "start"  # why a whole list is due, "" when it is not
        self._lost = ""
        self._print: Hashable = None
        self._thread = threading.Thread(
            target=self._run, name=f"{listable.name}-watch", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        if self._thread is not threading.current_thread():
            self._thread.join(JOIN_S)

    def relist(self) -> None:
        with self._wake:
            self._reason = self._reason or "asked for"
            self._wake.notify_all()

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._look()
                self._rest()
        except Exception as error:
            # The top of the thread: its death must be heard.
            import logging

            name = self._listable.name
            logging.getLogger(__name__).exception("the watch of %s ended", name)
            self._put(Lost(name, SourceUnavailable(f"the watch ended: {error!r}")))

    def _rest(self) -> None:
        """Until the next look; without looks of its own until asked, or a while after a failure."""
        pause_s = self._listable.interval_s
        if pause_s is None and self._lost:
            pause_s = 1.0
        with self._wake:
            if not self._stopping and (self._lost or not self._reason):
                self._wake.wait(pause_s)

    def _look(self) -> None:
        """Once: see whether there may be something new, and tell."""
        seen = self._listable.fingerprint()
        if not self._reason and not self._lost and seen == self._print:
            self._say(Progressed(self._listable.name, self._ledger.revision))
            return
        try:
            settled, contents = self._read_settled(seen)
        except SourceError as error:
            if str(error) != self._lost:
                self._lost = str(error)
                self._say(Lost(self._listable.name, error))
            return
        self._print = settled
        self._tell(contents)

    def _read_settled(self, seen: Hashable) -> tuple[Hashable, Mapping[str, bytes]]:
        """Contents that did not change while they were read."""
        if self._print is not None:  # not at start: nothing is known to be in motion then
            seen = self._settle(seen)
        for _ in range(SETTLE_TRIES):
            contents = self._listable.read()
            again = self._listable.fingerprint()
            if again == seen:
                return seen, contents
            seen = again
        raise SourceUnavailable("it changes faster than it can be read")

    def _settle(self, seen: Hashable) -> Hashable:
        """The fingerprint, once two looks agree or the patience is over."""
        for _ in range(SETTLE_TRIES):
            with self._wake:
                if not self._stopping:
                    self._wake.wait(SETTLE_S)
            again = self._listable.fingerprint()
            if again == seen:
                break
            seen = again
        return seen

    def _tell(self, contents: Mapping[str, bytes]) -> None:
        name, was_lost = self._listable.name, bool(self._lost)
        self._lost = ""
        wanted = {k: v for k, v in contents.items() if _admitted(k, self._prefixes)}
        revision, changes = self._ledger.take(wanted)
        with self._wake:
            reason, self._reason = self._reason, ""
        if reason:
            self._say(Listed(name, 0, revision, self._ledger.keys(self._prefixes), reason))
        elif changes:
            self._say(Changed(name, revision, changes))
        elif was_lost:
            self._say(Progressed(name, revision))

    def _say(self, said: Listed | Changed | Progressed | Lost) -> None:
        if not self._stopping:
            self._put(said)


def list_once(listable: Listable, ledger: Ledger, prefixes: Sequence[str]) -> Listed:
    """A listing now, counted in the ledger. Raises what reading raises."""
    revision, _ = ledger.take(listable.read())
    return Listed(listable.name, 0, revision, ledger.keys(prefixes))
