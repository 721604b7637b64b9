"""Warns at the start about files of pyconfd that other users of the machine can change or read."""

from __future__ import annotations

from collections.abc import Iterable

from pyconfd.observe import log
from pyconfd.system import files


def warn_of_exposed(trusted: Iterable[str], secret: Iterable[str] = ()) -> None:
    """
    A warning for each path that others may change, or read if it is a secret; only one for a folder
    above several of them. Empty paths are ignored.

    trusted: files that name commands to run, or that are trusted later. secret: passwords, private
    keys.
    """
    known = set()
    for paths, is_secret, mode in ((trusted, False, "go-w"), (secret, True, "go-w,o-r")):
        for path in filter(None, paths):
            found = files.exposed(path, secret=is_secret)
            if found and found.path not in known:
                known.add(found.path)
                fix = mode if found.path == path else "go-w"
                log.warn(f"{found.why} (chown root, or chmod {fix})", path=found.path)
