"""
Template files and their compiled code, independent of the template language.

Shell: reads below one folder; with a cache it also stores code between runs.
"""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Callable, Mapping
from types import CodeType

from pyconfd.model.values import dataclass
from pyconfd.pipeline.render.compiled_cache import TemplateCache

#: The first line of a Jinja2 template whose blocks leave the white space around them as it is.
AS_WRITTEN = "{# whitespace as written #}"
#: No template has as many; the compiler would need a hundred times the memory.
_MOST_BYTES = 16 * 1024 * 1024


class MissingTemplate(LookupError):
    """There is no such template; the text names it and the reason."""


class BadTemplate(ValueError):
    """The file is not text, or no file of that kind; the message names it."""


@dataclass(frozen=True, slots=True)
class _Held:
    """
    A template as it was read.

    stamp: changes when its file is edited.
    """

    stamp: tuple[int, int, int]
    source: str
    code: CodeType


class TemplateFiles:
    """
    The templates below one folder by their path in it, such as "nginx/site.conf.j2".

    Each is read once, when it is first used, and kept: so no file is made from half of an edit. One
    that could not be read or compiled is read again the next time.

    texts: templates that are in no file, by name.

    Any thread may call it; if two miss at once, both compile, and either result is kept.
    """

    def __init__(
        self,
        folder: str,
        cache: TemplateCache | None = None,
        texts: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder
        self._cache = cache
        self._texts = texts or {}
        self._held: dict[str, _Held] = {}

    def code(self, name: str, compiled: Callable[[str, str], CodeType]) -> CodeType:
        """
        The code of a template, made by `compiled(source, path)` unless it is cached.

        Raises MissingTemplate, BadTemplate and whatever `compiled` raises.
        """
        held = self._held.get(name)
        if held is not None:
            return held.code
        path = self._path(name)
        stamp, source = self._read(name)
        code = self._cache.load(path, source) if self._cache else None
        if code is None:
            code = compiled(source, path)
            if self._cache:
                self._cache.save(path, source, code)
        self._held[name] = _Held(stamp, source, code)
        return code

    def source(self, name: str) -> str:
        """The text of a template. Raises MissingTemplate and BadTemplate."""
        held = self._held.get(name)
        return held.source if held is not None else self._read(name)[1]

    def edited(self) -> tuple[str, ...]:
        """The templates whose files have changed since they were read, sorted by name."""
        return tuple(
            name for name, held in sorted(self._held.items()) if self._stamp(name) != held.stamp
        )

    def _stamp(self, name: str) -> tuple[int, int, int] | None:
        try:
            return _stamp(os.stat(self._path(name)))
        except OSError:
            return None

    def _read(self, name: str) -> tuple[tuple[int, int, int], str]:
        """Stamp and text of the file."""
        if name in self._texts:
            return (0, 0, 0), self._texts[name]
        path = self._path(name)
        try:
            self._refuse(
                name, os.stat(path)
            )  # before it is opened, which waits for ever for a pipe
            with open(path, encoding="utf-8", newline="") as file:
                return _stamp(os.fstat(file.fileno())), file.read()
        except OSError as error:
            raise self._missing(name, error) from error
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise BadTemplate(f"template {name!r} is not UTF-8 text in line {line}") from error

    @staticmethod
    def _refuse(name: str, found: os.stat_result) -> None:
        if not (modes.S_ISREG(found.st_mode) or modes.S_ISDIR(found.st_mode)):
            raise BadTemplate(f"template {name!r} is a pipe, a socket or a device")
        if found.st_size > _MOST_BYTES:
            raise BadTemplate(f"template {name!r} has more than {_MOST_BYTES} bytes")

    def _path(self, name: str) -> str:
        """The path of a template. A path that leaves the folder is not a template."""
        if name.startswith("/") or ".." in name.split("/") or "\0" in name:
            raise MissingTemplate(f"template {name!r} is outside the templates folder")
        return os.path.join(self._folder, name)

    def _missing(self, name: str, error: OSError) -> MissingTemplate:
        if isinstance(error, FileNotFoundError):
            return MissingTemplate(f"template does not exist: {os.path.join(self._folder, name)}")
        return MissingTemplate(f"template {name!r} cannot be read: {error.strerror}")


def _stamp(stat: os.stat_result) -> tuple[int, int, int]:
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino)
