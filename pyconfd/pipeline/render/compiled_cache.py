"""
Compiled templates kept between runs. Shell.

It saves about 1.5 ms per template (a hundred templates of ten lines: 0.15 s of a start), and 2 ms
once for the lexer. Each template has one file, overwritten after an edit. Loading code means
running it, so the folder must belong to this user and be closed to others; else nothing is stored.
"""

from __future__ import annotations

import contextlib
import hashlib
import marshal
import os
import sys
from types import CodeType

from pyconfd.system import files

_DIGEST = 32


class TemplateCache:
    """
    A folder of compiled code. With any fault of it, templates are compiled as without a cache.

    made_by: files of the compiler; code made by another version of them is not used.
    """

    def __init__(self, folder: str, made_by: tuple[str, ...]) -> None:
        self._folder = folder
        self._made_by = made_by
        self._maker = ""
        self._usable: bool | None = None

    def load(self, path: str, source: str) -> CodeType | None:
        """The code of the template at `path`, None if it is not stored for exactly this source."""
        if not self._open():
            return None
        try:
            with open(self._place(path), "rb") as file:
                data = file.read()
            key, seal, body = data[:_DIGEST], data[_DIGEST : 2 * _DIGEST], data[2 * _DIGEST :]
            if key != self._key(path, source) or seal != hashlib.sha256(body).digest():
                return None
            code = marshal.loads(body)  # noqa: S302 - from a folder that only we can write
        except (OSError, ValueError, EOFError, TypeError):
            return None
        return code if isinstance(code, CodeType) else None

    def save(self, path: str, source: str, code: CodeType) -> None:
        """Keep the code, if it can be."""
        if not self._open():
            return
        body = marshal.dumps(code)
        place = self._place(path)
        staged = f"{place}.{os.getpid()}~"
        with contextlib.suppress(OSError):
            with open(staged, "wb") as file:
                file.write(self._key(path, source) + hashlib.sha256(body).digest() + body)
            os.replace(staged, place)

    def _open(self) -> bool:
        """Make the folder, once. Returns whether only this user may use it."""
        if self._usable is None:
            try:
                files.make_folders(self._folder, 0o700)
                self._usable = not files.exposed(self._folder)
                self._maker = _versions(self._made_by)
            except OSError:
                self._usable = False
        return self._usable

    def _place(self, path: str) -> str:
        name = hashlib.sha256(os.fsencode(path)).hexdigest()[:_DIGEST]
        return os.path.join(self._folder, name + ".template")

    def _key(self, path: str, source: str) -> bytes:
        return hashlib.sha256("\0".join((self._maker, path, source)).encode()).digest()


def _versions(files: tuple[str, ...]) -> str:
    """
    A value that changes with the version of Python and with these files, which are not opened.
    """
    stats = [os.stat(file) for file in files]
    marks = [f"{stat.st_size}:{stat.st_mtime_ns}" for stat in stats]
    return " ".join([str(sys.implementation.cache_tag), *marks])
