"""Who let changes through while no daemon ran, for the log of the next run. Shell."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

from pyconfd.model.values import dataclass
from pyconfd.system.json_file import read_json, write_json


@dataclass(frozen=True, slots=True)
class ReleaseNote:
    """
    name: of the resource. by: the user. at: when, in seconds since 1970.
    """

    name: str
    by: str
    at: float


class ReleaseNotes:
    """In a state folder that is locked."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, "released.json")

    def add(self, notes: Iterable[ReleaseNote]) -> None:
        """Raises OSError."""
        kept = [*self._read(), *notes]
        write_json(self._path, [[note.name, note.by, note.at] for note in kept])

    def take(self) -> tuple[ReleaseNote, ...]:
        """Return all notes and remove them."""
        found = self._read()
        if found:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
        return found

    def _read(self) -> tuple[ReleaseNote, ...]:
        """The stored notes; an unreadable file counts as empty."""
        try:
            return tuple(
                ReleaseNote(str(name), str(by), float(at))
                for name, by, at in read_json(self._path) or ()
            )
        except (TypeError, ValueError):
            return ()
