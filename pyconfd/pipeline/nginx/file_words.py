"""
The words of nginx's files, cached as long as a file is unchanged. Shell: reads files.

A check of one changed file among thousands looks at all of them, because each may include or name
it; without the cache it would read them all.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection
from dataclasses import dataclass

from pyconfd.system import files

#: A file that holds none of these, nor the name of a destination, needs no parsing.
_FOLLOWED = (b"include", b"pid")
#: The same for a new version, which could make logs.
_LOG = b"_log"
#: What may stand before and after the last part of a path.
_BETWEEN = re.compile(rb"""[\s;{}"'/\\]+""")
#: So many names of destinations are looked for one by one.
_FEW = 8


@dataclass(frozen=True, slots=True)
class FileWords:
    """
    identity: of the file that was read.
    followed: whether it has a statement that the shadow has to follow.
    logs: whether it may name a log.
    words: each once, between line breaks: a third of the memory of a set.
    """

    identity: tuple[int, ...]
    followed: bool
    logs: bool
    words: bytes

    def any_of(self, names: FileNames) -> bool:
        """Whether one of these file names may be the last part of a path in the file."""
        if names.many and not names.many.isdisjoint(self.words.split(b"\n")):
            return True
        for word in names.words:  # noqa: SIM110 - a generator costs more than the search
            if word in self.words:
                return True
        return False


class FileNames:
    """
    Names of files to search for among the words. A name that consists of several words may be
    present when its first word is.
    """

    __slots__ = ("many", "words")

    def __init__(self, names: Collection[bytes]) -> None:
        #: To be compared with all words at once; none where they are few.
        self.many = frozenset(names if len(names) > _FEW else ())
        alone = [name for name in names if not self.many or _BETWEEN.search(name)]
        firsts = {next(filter(None, _BETWEEN.split(name)), b"") for name in alone}
        #: To be searched one by one.
        self.words = [b"\n%b\n" % first for first in firsts]


class WordsOfFiles:
    """A cache with one entry for each requested path. Any thread may call it."""

    def __init__(self) -> None:
        self._known: dict[str, FileWords] = {}

    def __call__(self, path: str, facts: os.stat_result | None = None) -> FileWords:
        """
        Of a regular file that is no link. facts: of it, where they are known already. Raises
        OSError as `files.read`.
        """
        known = self._known.get(path)
        if known and known.identity == _identity(facts or os.lstat(path)):
            return known
        raw, facts = files.read(path)
        unique = set(_BETWEEN.split(raw))
        found = FileWords(
            _identity(facts),
            any(word in raw for word in _FOLLOWED),
            _LOG in raw,
            b"\n".join((b"", *unique, b"")),
        )
        self._known[path] = found
        return found

    def keep(self, paths: Collection[str]) -> None:
        """Forget files that are not among these, once there are many."""
        if len(self._known) > 2 * len(paths) + 1000:
            self._known = {path: self._known[path] for path in paths if path in self._known}


def _identity(facts: os.stat_result) -> tuple[int, ...]:
    return (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)


class RealPaths:
    """
    Like os.path.realpath, but each folder is looked up only once.

    facts: of each path that was given as a real path.
    """

    def __init__(self) -> None:
        self.facts: dict[str, os.stat_result] = {}
        self._folders: dict[str, str] = {}
        self._known: dict[str, str] = {}

    def __call__(self, path: str) -> str:
        """The path without links, as it was when it was asked first."""
        known = self._known.get(path)
        if known is None:
            known = self._known[path] = self._followed(path)
        return known

    def _followed(self, path: str) -> str:
        folder, _, name = path.rpartition("/")
        if name in ("", ".", "..") or not path.startswith("/"):
            return os.path.realpath(path)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder or "/").rstrip("/")
        whole = f"{self._folders[folder]}/{name}"
        try:
            facts = os.lstat(whole)
        except OSError:
            return whole
        if stat.S_ISLNK(facts.st_mode):
            return os.path.realpath(whole)
        self.facts[whole] = facts
        return whole
