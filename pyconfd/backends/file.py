"""
Files and folders as a source: trees of JSON, TOML and YAML, or a folder of plain files.

They are polled: size, time and inode of every file, then the contents. This finds the atomic saves
of editors and the symlink swaps of mounted config maps, which watches on inodes miss.
"""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Hashable, Iterator, Sequence

from pyconfd.backends.base import Put, SourceOptions
from pyconfd.backends.file_formats import (
    LARGEST_FILE,
    broken,
    is_tree,
    plain_value,
    read_tree,
)
from pyconfd.backends.polling import Ledger, Listable, PollingWatch, list_once
from pyconfd.errors import SourceRefused, SourceUnavailable
from pyconfd.model.keys import Listed, key_path

DEEPEST = 40


class FileSource:
    """
    The files of the options; a later file's key wins over an earlier one's.

    In a folder, names must match `filter` (a glob) and must not start with a dot. A file whose
    suffix is not that of a tree is one key, named by its path below the folder.
    """

    def __init__(self, options: SourceOptions, name: str = "file") -> None:
        if not options.files:
            raise SourceRefused("the file backend needs a file", hint="--file PATH")
        self.name = name
        self._paths = options.files
        self._filter = options.filter or "*"
        self._listable = Listable(name, self._read, self._fingerprint, options.interval_s)
        self._ledger = Ledger()

    def list(self, prefixes: Sequence[str], *, timeout_s: float) -> Listed:  # noqa: ARG002
        """List the files; nothing is waited for."""
        return list_once(self._listable, self._ledger, prefixes)

    def watch(self, prefixes: Sequence[str], put: Put) -> PollingWatch:
        watch = PollingWatch(self._listable, prefixes, put)
        watch.start()
        return watch

    def close(self) -> None:
        """There is nothing to close."""

    def _read(self) -> dict[str, bytes]:
        keys: dict[str, bytes] = {}
        for path in self._paths:
            if os.path.isdir(path):
                for each in _files_below(path, self._filter):
                    keys.update(_keys_of(each, below=path))
            else:
                keys.update(_keys_of(path, below=""))
        return keys

    def _fingerprint(self) -> Hashable:
        """A value that changes when a file may have changed; a missing file has one too."""
        found: list[Hashable] = []
        for path in self._paths:
            each_of = _files_below(path, self._filter) if os.path.isdir(path) else [path]
            try:
                found += [(each, *_facts(each)) for each in each_of]
            except SourceUnavailable as error:
                found.append(str(error))
        return tuple(found)


def _facts(path: str) -> tuple[int, ...]:
    try:
        status = os.stat(path)
    except OSError as error:
        return (-(error.errno or 1),)
    return (status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)


def _keys_of(path: str, *, below: str) -> dict[str, bytes]:
    """The keys in one file. `below`: the folder that it was found in, "" for a file of its own."""
    if _is_special(path) and not path.startswith("/dev/"):  # the shell's <(...) is /dev/fd/63
        raise SourceRefused("a pipe, socket or device holds no keys", where=path)
    try:
        with open(path, "rb") as file:
            raw = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise SourceUnavailable(
            f"the file cannot be read: {(error.strerror or str(error)).lower()}", where=path
        ) from error
    if len(raw) > LARGEST_FILE:
        raise broken(path, 0, f"larger than {LARGEST_FILE} bytes")
    if below and not is_tree(path):
        return {key_path(os.path.relpath(path, below)): plain_value(raw)}
    return read_tree(path, raw)


def _files_below(folder: str, pattern: str, depth: int = 0) -> Iterator[str]:
    """
    Files of a folder and its folders, sorted, links followed.

    Names with a leading dot are left out: editors' files, and the folders behind the links of a
    mounted config map, whose files come through the links. So are pipes, sockets and devices.
    Raises SourceUnavailable.
    """
    if depth > DEEPEST:
        raise SourceUnavailable(
            "folders are nested too deeply, or linked in a circle", where=folder
        )
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise SourceUnavailable(
            f"the folder cannot be read: {(error.strerror or str(error)).lower()}", where=folder
        ) from error
    for name in names:
        path = os.path.join(folder, name)
        if os.path.isdir(path):
            yield from _files_below(path, pattern, depth + 1)
        elif fnmatch.fnmatchcase(name, pattern) and not _is_special(path):
            yield path


def _is_special(path: str) -> bool:
    """Whether it is a pipe, socket or device, which has no keys and may block for ever."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False  # reported when it is read
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
