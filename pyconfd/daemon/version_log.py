"""The log of versions that went live: one line of JSON for each, stored over restarts. Shell."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from pyconfd.model.resources import Resource
from pyconfd.observe import log
from pyconfd.status.versions import VersionEntry

FILE = "versions.jsonl"
#: Of one line, usually far less.
_LONGEST_BYTES = 8 << 10
#: The file is cut to its newer half above this.
MOST_BYTES = 2 << 20
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW

_NAMES = tuple(each.name for each in fields(VersionEntry))
_ENCODE = json.JSONEncoder(separators=(",", ":")).encode


def _fields(entry: VersionEntry) -> Mapping[str, Any]:
    """Like `asdict`, which takes four times as long: a start may write ten thousand entries."""
    return {name: getattr(entry, name) for name in _NAMES}


class VersionLog:
    """folder: the state folder. For one thread."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, FILE)
        self._revisions: dict[str, int] | None = None

    def note(self, entries: Iterable[VersionEntry]) -> None:
        """Add entries; those that cannot be written are missing from the history."""
        text = "".join(f"{_ENCODE(_fields(entry))}\n" for entry in entries)
        if not text:
            return
        try:
            # Once for each change, where the layers of `open` take longer than the writing.
            fd = os.open(self._path, _APPEND, 0o600)
            try:
                os.write(fd, text.encode())
                size = os.fstat(fd).st_size
            finally:
                os.close(fd)
            if size > MOST_BYTES:
                self._cut()
        except OSError as error:
            log.warn(f"the history cannot be written: {error}")

    def last(self, count: int) -> list[Mapping[str, Any]]:
        """This many of the newest entries, newest first, read from the end of the file."""
        with contextlib.suppress(OSError), open(self._path, "rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - count * _LONGEST_BYTES))
            lines = stream.read().decode(errors="replace").splitlines()
            found = [entry for line in lines if (entry := _entry(line))]
            return found[: -count - 1 : -1]
        return []

    def revision(self, name: str) -> int:
        """The revision of a resource's newest version when this run began; 0 if there was none."""
        if self._revisions is None:
            self._revisions = {
                str(one.get("name")): revision
                for one in self.read()
                if isinstance(revision := one.get("revision"), int)
            }
        return self._revisions.get(name, 0)

    def has(self, resource: Resource) -> bool:
        """Whether an earlier run has put a version live, of a pattern one of any name."""
        if self.revision(resource.name):
            return True
        begin = f"{resource.name}["
        known = self._revisions or {}
        return bool(resource.each) and any(name.startswith(begin) for name in known)

    def read(self) -> Iterator[Mapping[str, Any]]:
        """All entries, oldest first, without lines that cannot be read."""
        with contextlib.suppress(OSError), open(self._path, "rb") as stream:
            for line in stream:
                if found := _entry(line.decode(errors="replace")):
                    yield found

    def _cut(self) -> None:
        with open(self._path, "rb") as stream:
            lines = stream.readlines()
        new = f"{self._path}.new"
        with open(new, "wb") as stream:
            stream.writelines(lines[len(lines) // 2 :])
        os.replace(new, self._path)


def _entry(line: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
