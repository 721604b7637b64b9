"""Warns at the start about files of pyconfd that others on the machine can change or read."""

from __future__ import annotations

from collections.abc import Iterable

from pyconfd.observe import log
from pyconfd.system import files


def warn_of_exposed(trusted: Iterable[str], secret: Iterable[str] = ()) -> None:
    """
    A warning for each that others may change, or read of a secret. Empty paths are none.

    trusted: what names commands that are run. secret: passwords, private keys.
    """
    for paths, is_secret, mode in ((trusted, False, "go-w"), (secret, True, "go-w,o-r")):
        for path in filter(None, paths):
            if why := files.exposed(path, secret=is_secret):
                log.warn(f"{why} (chown root, or chmod {mode})", path=path)
