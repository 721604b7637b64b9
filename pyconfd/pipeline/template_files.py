"""
Template files and their compiled code, free of any template language.

Shell: reads below one folder; with a cache it also keeps code there between runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import CodeType

from pyconfd.pipeline.template_cache import TemplateCache


class MissingTemplate(LookupError):
    """No such template; the text says which and why."""


class BadTemplate(ValueError):
    """The file is no text; the text says which."""


class TemplateFiles:
    """
    The templates below one folder by their path in it, such as "nginx/site.conf.j2".

    Any thread may call it; two that miss at once compile twice and keep either.
    """

    def __init__(self, folder: str, cache: TemplateCache | None = None) -> None:
        self._folder = folder
        self._cache = cache
        # Beside each code the stamp of its file: another one means that it was edited.
        self._compiled: dict[str, tuple[tuple[int, int, int], CodeType]] = {}

    def code(self, name: str, compiled: Callable[[str, str], CodeType]) -> CodeType:
        """
        The code of a template, made by `compiled(source, path)` unless the file is as it was.

        Raises MissingTemplate, BadTemplate and whatever `compiled` raises.
        """
        path = self._path(name)
        try:
            stat = os.stat(path)
        except OSError as error:
            raise self._missing(name, error) from error
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        known = self._compiled.get(name)
        if known is not None and known[0] == stamp:
            return known[1]
        source = self.source(name)
        code = self._cache.load(path, source) if self._cache else None
        if code is None:
            code = compiled(source, path)
            if self._cache:
                self._cache.save(path, source, code)
        self._compiled[name] = (stamp, code)
        return code

    def source(self, name: str) -> str:
        """The text of a template. Raises MissingTemplate and BadTemplate."""
        try:
            with open(self._path(name), encoding="utf-8", newline="") as file:
                return file.read()
        except OSError as error:
            raise self._missing(name, error) from error
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise BadTemplate(f"template {name!r} is not UTF-8 text in line {line}") from error

    def _path(self, name: str) -> str:
        """Where a template lies. A path that leaves the folder names none."""
        if name.startswith("/") or ".." in name.split("/") or "\0" in name:
            raise MissingTemplate(f"template {name!r} is outside the templates folder")
        return os.path.join(self._folder, name)

    def _missing(self, name: str, error: OSError) -> MissingTemplate:
        if isinstance(error, FileNotFoundError):
            return MissingTemplate(f"template does not exist: {os.path.join(self._folder, name)}")
        return MissingTemplate(f"template {name!r} cannot be read: {error.strerror}")
