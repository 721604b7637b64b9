"""confd's functions that read keys, after memkv's store.go. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyconfd.model.keys import KeyValue, join_paths
from pyconfd.pipeline.render.functions.store import CachedPairs, Pair, StoreFunctions
from pyconfd.pipeline.render.gotemplate.functions.text import clean
from pyconfd.pipeline.render.gotemplate.values import Pairs, Strings, to_bytes
from pyconfd.pipeline.render.value_checks import key_text, name_text
from pyconfd.pipeline.render.view import View


class GoStore:
    """
    The functions, bound to what one resource sees.

    traced: whether values and names remember which key they come from, for value checks.
    nil_when_empty: whether `gets` gives a nil slice when no key matches, as the fork does.
    """

    def __init__(
        self, view: View, cached: CachedPairs | None, traced: bool, nil_when_empty: bool
    ) -> None:
        self._view = view
        self._cached = cached
        self._traced = traced
        self._nil_when_empty = nil_when_empty
        self._plain = StoreFunctions(view, cached, lenient=True)

    def table(self) -> dict[str, Callable[..., Any]]:
        """Name -> function."""
        return {
            "exists": self._plain.exists,
            "get": self.get,
            "gets": self.gets,
            "getv": self.getv,
            "getvs": self.getvs,
            "ls": self.ls,
            "lsdir": self.lsdir,
        }

    def get(self, key: str) -> Pair:
        """The pair of this key. Raises NoSuchKey."""
        item = self._view.get(key)
        if item is None:
            raise self._plain.missing(key)
        return self._pairs([item])[0]

    def getv(self, key: str, *default: Any) -> Any:
        """The value; the default when the key does not exist. Raises NoSuchKey."""
        item = self._view.get(key)
        if item is not None:
            value = _decoded(item.value)
            return key_text(value, item.key) if self._traced else value
        if not default:
            raise self._plain.missing(key)
        return default[0]

    def gets(self, pattern: str) -> Pairs:
        """The pairs whose key matches, sorted by key."""
        items = self._plain.matching(pattern)
        pairs = self._cached(pattern, items, self._pairs) if self._cached else self._pairs(items)
        return Pairs(pairs, is_nil=self._nil_when_empty and not pairs)

    def _pairs(self, items: list[KeyValue]) -> list[Pair]:
        cut, make = self._view.cut, tuple.__new__
        pairs = [make(Pair, (item.key[cut:] or "/", _decoded(item.value))) for item in items]
        if not self._traced:
            return pairs
        return [
            make(Pair, (name_text(name, item.key), key_text(value, item.key)))
            for (name, value), item in zip(pairs, items, strict=True)
        ]

    def getvs(self, pattern: str) -> Strings:
        """The values of the keys that match, sorted by value."""
        values = [pair[1] for pair in self._pairs(self._plain.matching(pattern))]
        plain = all(map(str.isascii, values))
        return Strings(sorted(values) if plain else sorted(values, key=to_bytes))

    def ls(self, path: str) -> Strings:
        """
        Names directly below a path: at the top only those of keys, and no names for a path that
        does not begin with a slash, both as in confd.
        """
        place = clean(path) if path else "."
        if not place.startswith("/"):
            return Strings()
        if place == "/":
            names = [name for name in self._view.names("/") if self._view.get(f"/{name}")]
            return self._named(place, names)
        names = self._view.names(place)
        if path.rstrip("/") != place:  # confd cuts the path as it was written off the keys
            return Strings([place.split("/")[1]] if names else [])
        own = place.rpartition("/")[2]
        if path != place and own in names and not self._is_there(f"{place}/{own}"):
            names.remove(own)
        return self._named(place, names)

    def _is_there(self, path: str) -> bool:
        return self._view.get(path) is not None or bool(self._view.names(path))

    def lsdir(self, path: str) -> Strings:
        """Names directly below a path that have something below them; none at the top."""
        place = clean(path) if path else "."
        if (
            place in ("/", ".")
            or path[:1] != "/"
            or path.rstrip("/") != place
            or path.endswith("//")
        ):
            return Strings()
        return self._named(place, self._view.names(place, folders=True))

    def _named(self, place: str, names: list[str]) -> Strings:
        if not self._traced:
            return Strings(names)
        folder = self._view.absolute(place)
        return Strings([name_text(name, join_paths(folder, name)) for name in names])


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("utf-8", "surrogateescape")
