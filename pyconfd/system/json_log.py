"""
A JSON object that outlives a run and changes in small parts. Shell.

Each line of the file is a merge patch (RFC 7396) for the lines before it, so the cost follows the
change. When the patches are longer than the object, it is rewritten as one line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from pyconfd.system import files
from pyconfd.system.json_file import write_json

#: Smaller files are not rewritten.
_COMPACT_BYTES = 64 * 1024


class JsonLog:
    """
    Only one caller at a time. Lines are not synced: a kill does not tear them, but a power cut may.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        #: The size that the file has; None where it has to be written as a whole.
        self._bytes: int | None = None
        self._object_bytes = 0

    def read(self) -> Any:
        """
        The value of the file; None when there is no file, or it is not JSON. Unreadable lines are
        left out. Call it before `change`.
        """
        try:
            with open(self._path, "rb") as stream:
                raw = stream.read()
        except OSError:
            return None
        text = raw.decode(errors="surrogateescape")
        whole, value = _patched(text)
        self._bytes = len(raw) if whole and raw.endswith(b"\n") else None
        return value

    def rewrite(self) -> None:
        """Make the next change write the whole object, because the file has another form."""
        self._bytes = None

    def change(self, patches: Iterable[Any], now: Callable[[], Any]) -> None:
        """
        Store these changes. now: makes the whole object, including them. Raises OSError; the next
        change then writes the whole object.
        """
        text = b"".join(json.dumps(patch).encode() + b"\n" for patch in patches)
        try:
            if not self._append(text):
                write_json(self._path, now())
                self._bytes = self._object_bytes = os.path.getsize(self._path)
        except OSError:
            self._bytes = None
            raise

    def _append(self, text: bytes) -> bool:
        """Append a line. False when the file is too long, or another process has changed it."""
        if self._bytes is None:
            return False
        size_bytes = self._bytes + len(text)
        if size_bytes > max(_COMPACT_BYTES, 2 * self._object_bytes):
            return False
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        try:
            if os.fstat(fd).st_size != self._bytes:
                return False
            files.append(fd, text)
        finally:
            os.close(fd)
        self._bytes = size_bytes
        return True


def _patched(text: str) -> tuple[bool, Any]:
    """Whether all lines could be read, and the value."""
    try:
        return True, json.loads(text)
    except ValueError:
        pass
    value, whole = None, True
    for line in filter(None, text.split("\n")):
        try:
            value = _merged(value, json.loads(line))
        except ValueError:
            whole = False
    return whole, value


def _merged(value: Any, patch: Any) -> Any:
    """The value with the patch, in place where both are objects; null removes a member."""
    if not isinstance(patch, dict):
        return patch
    merged = value if isinstance(value, dict) else {}
    for name, each in patch.items():
        if each is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), each)
    return merged
