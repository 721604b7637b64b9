"""
Finds server names that two servers of nginx claim. Shell: reads the live versions of staged files.

nginx only warns: the first server, in the order of files, gets the requests. So a new file could
take another site's requests just by its file name. Here the site that had the name before keeps it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pyconfd.model.steps import Staged

_CONFLICT = re.compile(r'conflicting server name "([^"\n]*)" on ([^\s,]+), ignored')
_NAMES = re.compile(rb"(?<![\w$-])server_name\s([^;{}]*);")


def claimed(staged: Sequence[Staged], output: str) -> tuple[Staged, int, str] | None:
    """
    The staged file that newly claims another one's server name, with the line and the name.

    output: of nginx's check. None when there is no such file; conflicts among live files are
    ignored.
    """
    for found in _CONFLICT.finditer(output):
        for each in reversed(staged):
            lines = dict(_names(each.rendered.content))
            name = _plain(found[1].encode())
            if name in lines and name not in dict(_names(_live(each))):
                return each, lines[name], found[1]
    return None


def _names(content: bytes) -> Iterator[tuple[bytes, int]]:
    """Each name and its line."""
    for found in _NAMES.finditer(content):
        for name in found[1].split():
            yield _plain(name.strip(b"\"'")), content.count(b"\n", 0, found.start()) + 1


def _plain(name: bytes) -> bytes:
    """A name as nginx compares it; the exact one and those with a wildcard before are one here."""
    return name.lower().removeprefix(b"*").removeprefix(b".")


def _live(staged: Staged) -> bytes:
    try:
        with open(staged.live.path, "rb") as stream:
            return stream.read()
    except OSError:
        return b""
