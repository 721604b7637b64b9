"""
The functions that read keys, with answers that remember their keys. Pure.

For resources with a format, whose refusals name the key.
"""

from __future__ import annotations

from typing import Any

from pyconfd.model.keys import KeyValue, join_paths
from pyconfd.pipeline.render.functions.store import Pair, StoreFunctions, texts
from pyconfd.pipeline.render.value_checks import NameText, TaintedText, key_text, name_text


class TracedFunctions(StoreFunctions):
    """Like StoreFunctions, but every value is a TaintedText and every name a NameText."""

    __slots__ = ()

    def get(self, key: str) -> Pair:
        """The pair of this key."""
        return self._pair(super().get(key))

    def getv(self, key: str, *default: Any) -> Any:
        """The value, or the default as it was given."""
        value = super().getv(key, *default)
        if default and value is default[0]:
            return value
        return key_text(value, self._view.absolute(key))

    def _pairs(self, items: list[KeyValue]) -> list[Pair]:
        cut, make = self._view.cut, tuple.__new__
        pairs = []
        for item in items:
            # As key_text and name_text, written out: ten thousand of them are made at once.
            name, value = NameText(item.key[cut:] or "/"), TaintedText(item.value.decode())
            name.key = value.key = item.key
            pairs.append(make(Pair, (name, value)))
        return pairs

    def getvs(self, pattern: str) -> list[str]:
        """The values of the keys that match, sorted by value."""
        items = self.matching(pattern)
        values = [key_text(text, item.key) for item, text in zip(items, texts(items), strict=True)]
        return sorted(values)

    def ls(self, path: str = "/") -> list[str]:
        """Names directly below `path`."""
        return self._names(path, super().ls(path))

    def lsdir(self, path: str = "/") -> list[str]:
        """Names directly below `path` that have something below them."""
        return self._names(path, super().lsdir(path))

    def _pair(self, pair: Pair) -> Pair:
        key = self._view.absolute(pair.key)
        return Pair(name_text(pair.key, key), key_text(pair.value, key))

    def _names(self, path: str, names: list[str]) -> list[str]:
        folder = self._view.absolute(join_paths(path))
        return [name_text(name, join_paths(folder, name)) for name in names]
