"""
The functions of templates that read keys: get, gets, getv, getvs, exists, ls, lsdir. Pure.

They work as in confd (memkv's store.go), except that ls and lsdir also answer for "/".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pyconfd.model.keys import KeyValue
from pyconfd.pipeline.render.function_errors import (
    SLASH_HINT,
    FunctionFault,
    NoSuchKey,
    NotCovered,
    NotText,
    Slashless,
)
from pyconfd.pipeline.render.key_glob import BadPattern, literal_part
from pyconfd.pipeline.render.view import View


class Pair(NamedTuple):
    """A key as the template sees it, and its value; unpacks as `key, value`."""

    key: str
    value: str


#: The functions whose first argument is a path or a pattern of keys.
READERS = frozenset(("exists", "get", "gets", "getv", "getvs", "ls", "lsdir"))

Make = Callable[[list[KeyValue]], list[Pair]]
#: Pairs for the items that a pattern matches, made by the last argument where they are new.
CachedPairs = Callable[[str, list[KeyValue], Make], list[Pair]]


class StoreFunctions:
    """
    The functions, bound to what one resource sees.

    lenient: keys that the resource does not declare do not exist, as in confd; otherwise asking for
    them is a fault.
    """

    __slots__ = ("_cached", "_lenient", "_view")

    def __init__(
        self, view: View, cached: CachedPairs | None = None, *, lenient: bool = False
    ) -> None:
        self._view = view
        self._cached = cached
        self._lenient = lenient

    def table(self) -> dict[str, Callable[..., Any]]:
        """Name -> function."""
        return {
            "exists": self.exists,
            "get": self.get,
            "gets": self.gets,
            "getv": self.getv,
            "getvs": self.getvs,
            "ls": self.ls,
            "lsdir": self.lsdir,
        }

    def exists(self, key: str) -> bool:
        """Whether a key of exactly this name exists; false for a folder."""
        if self._view.get(key) is not None:
            return True
        self._check_covered(key, self._view.allows(key))
        return False

    def get(self, key: str) -> Pair:
        """The pair of this key. Raises NoSuchKey."""
        item = self._view.get(key)
        if item is None:
            raise self.missing(key)
        return Pair(self._view.local(item), _text(item))

    def getv(self, key: str, *default: Any) -> Any:
        """The value; `default` when the key does not exist, not when its value is empty."""
        item = self._view.get(key)
        if item is not None:
            return _text(item)
        if not default:
            raise self.missing(key)
        self._check_covered(key, self._view.allows(key))
        return default[0]

    def gets(self, pattern: str) -> list[Pair]:
        """The pairs whose key matches, sorted by key."""
        items = self.matching(pattern)
        try:
            return self._cached(pattern, items, self._pairs) if self._cached else self._pairs(items)
        except UnicodeDecodeError:
            raise _not_text(items) from None

    def _pairs(self, items: list[KeyValue]) -> list[Pair]:
        """Raises UnicodeDecodeError."""
        cut, make = self._view.cut, tuple.__new__
        if not cut:
            return [make(Pair, (item.key, item.value.decode())) for item in items]
        return [make(Pair, (item.key[cut:] or "/", item.value.decode())) for item in items]

    def getvs(self, pattern: str) -> list[str]:
        """The values of the keys that match, sorted by value."""
        return sorted(texts(self.matching(pattern)))

    def ls(self, path: str = "/") -> list[str]:
        """Names directly below `path`, keys and folders, sorted."""
        return self._names_below(path, folders=False)

    def lsdir(self, path: str = "/") -> list[str]:
        """Names directly below `path` that have something below them, sorted."""
        return self._names_below(path, folders=True)

    def _names_below(self, path: str, *, folders: bool) -> list[str]:
        found = self._view.names(path, folders=folders)
        if not found:
            self._check_covered(path, self._view.covers("/" + path.lstrip("/")))
        return found

    def matching(self, pattern: str) -> list[KeyValue]:
        """The keys that match. Raises FunctionFault."""
        try:
            found = self._view.matching(pattern)
        except BadPattern as error:
            raise FunctionFault(str(error)) from error
        if not found:
            self._check_covered(pattern, self._view.covers(literal_part(pattern)))
        return found

    def _check_covered(self, path: str, covered: bool) -> None:
        """
        Raises a fault for paths that the resource does not cover. Called only if nothing was found:
        keys that were found are covered.
        """
        if not covered and not self._lenient:
            raise NotCovered(path)
        if self._view.snapshot.slashless and self._view.slashless(literal_part(path)):
            raise Slashless(self._view.absolute(literal_part(path)))

    def missing(self, key: str) -> NoSuchKey:
        """
        The error for a missing key, which names it as in the store, and says if the resource does
        not cover it.
        """
        if not key.startswith("/"):
            return NoSuchKey(key, SLASH_HINT)
        if not self._view.allows(key):
            return NoSuchKey(self._view.absolute(key), "the resource's keys do not cover it")
        if self._view.slashless(key):
            return NoSuchKey(self._view.absolute(key), Slashless(self._view.absolute(key)).hint)
        return NoSuchKey(self._view.absolute(key))


def texts(items: list[KeyValue]) -> list[str]:
    """The values of keys. Raises NotText for the first that is not UTF-8."""
    try:
        return [item.value.decode() for item in items]
    except UnicodeDecodeError:
        raise _not_text(items) from None


def _text(item: KeyValue) -> str:
    try:
        return item.value.decode()
    except UnicodeDecodeError:
        raise NotText(item.key) from None


def _not_text(items: list[KeyValue]) -> NotText:
    """The first of the items that is not UTF-8, as an error."""
    for item in items:
        try:
            _text(item)
        except NotText as error:
            return error
    raise AssertionError("one of them was not text")
