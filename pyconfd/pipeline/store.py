"""
Holds the keys of the source, and makes snapshots that never change. Pure.

A path trie with transient ownership: until a snapshot is taken, the store owns a node and changes
it in place; afterwards the next change copies the nodes on its way, once. So a snapshot costs
nothing, and ten thousand changes between two snapshots copy a folder of ten thousand members only
once. A large folder is copied by chunks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pyconfd.model.keys import FLEETS, Changed, KeyChange, KeyValue, Listed, too_deep
from pyconfd.model.source import KEY_BYTES
from pyconfd.model.values import dataclass
from pyconfd.pipeline.chunked import CHUNK, ChunkedMap


class Folder:
    """
    A place in the trie with at least one child; only the root may be empty.

    owner: whose edits may change it in place.
    item: the key of this path itself, None when there is none.
    children: name -> Folder, or, mostly, the KeyValue itself if nothing is below it. Read through
    `ordered` if order matters.
    """

    __slots__ = ("_sorted", "children", "item", "owner")

    def __init__(
        self, owner: object, item: KeyValue | None, children: Children, *, ordered: bool
    ) -> None:
        self.owner = owner
        self.item = item
        self.children = children
        self._sorted = ordered

    def ordered(self) -> Children:
        """
        The children sorted by name, bytewise (code points sort as their UTF-8 does).

        Any thread may call it: if two sort at once, both store the same dictionary.
        """
        if not self._sorted:
            children = self.children
            names = sorted(children)
            if names != list(children):
                self.children = {name: children[name] for name in names}
            self._sorted = True
        return self.children

    def copy(self, owner: object) -> Folder:
        """The same folder for another owner. A large one is cut into chunks the first time."""
        if len(self.children) > LARGE and type(self.children) is dict:
            self.children = ChunkedMap(self.ordered())
        return Folder(owner, self.item, self.children.copy(), ordered=self._sorted)

    def put(self, name: str, child: Child) -> None:
        """Add or replace a child; order is only lost by a new name that is not the last."""
        children = self.children
        if (
            self._sorted
            and type(children) is dict
            and children
            and name not in children
            and name < next(reversed(children))
        ):
            self._sorted = False
        children[name] = child

    def add(self, name: str, item: KeyValue) -> None:
        """Put a new child without keeping the order: the next call of `ordered` sorts."""
        self._sorted = type(self.children) is not dict
        self.children[name] = item


Child = Folder | KeyValue
Children = dict[str, Child] | ChunkedMap[Child]
#: Children of a folder that is copied by chunks; below, one dictionary is as fast to copy.
LARGE = 4 * CHUNK

_IN_FLEETS = f"{FLEETS}/"


@dataclass(frozen=True, slots=True)
class Delta:
    """
    What a message changed.

    revision: of the store after it.
    changed: keys that are new, gone or have other bytes, in no particular order; not keys that were
    written with the same value.
    relisted: whether the message was a listing.
    """

    revision: int
    changed: tuple[str, ...]
    relisted: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    All keys of the source at one revision. Never changes; any thread may read it.

    Paths are key paths.

    cluster_id: 0 where the source has none.
    size: how many keys there are.
    slashless: as in Listed.
    """

    source: str
    cluster_id: int
    revision: int
    root: Folder
    size: int
    slashless: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.size

    def find(self, path: str) -> Child | None:
        """The place at `path`: a Folder, a KeyValue with nothing below it, or None."""
        place: Child = self.root
        for name in _names(path):
            if type(place) is not Folder:
                return None
            child = place.children.get(name)
            if child is None:
                return None
            place = child
        return place

    def get(self, key: str) -> KeyValue | None:
        """The key, None when it does not exist (a folder alone is not a key)."""
        return item_of(self.find(key))

    def children(self, path: str) -> Sequence[str]:
        """Names directly below `path`, sorted bytewise; empty when there are none."""
        place = self.find(path)
        return tuple(place.ordered()) if type(place) is Folder else ()

    def has_children(self, path: str) -> bool:
        """Whether any key lies below `path`."""
        place = self.find(path)
        return type(place) is Folder and bool(place.children)

    def subtree(self, path: str = "/") -> Iterator[KeyValue]:
        """Every key at and below `path`, a folder's own key first, names in order."""
        return keys_below(self.find(path))


class Store:
    """
    The newest state of one source, without keys that are too deep. One thread owns it; any thread
    may use its snapshots.

    fleets: whether the records of fleets are held too. Otherwise they are hidden from templates
    that read all keys: each node would render again whenever a node writes its state.

    size_bytes: of all held keys and values, with KEY_BYTES for each key.
    """

    def __init__(self, *, fleets: bool = False) -> None:
        self.fleets = fleets
        self.size_bytes = 0
        self.source = ""
        self.cluster_id = 0
        self.revision = 0
        self._slashless: tuple[str, ...] = ()
        self._owner = object()
        self._root = Folder(self._owner, None, {}, ordered=True)
        self._size = 0

    def snapshot(self) -> Snapshot:
        """The present state. The cost does not depend on its size."""
        self._owner = object()
        return Snapshot(
            self.source, self.cluster_id, self.revision, self._root, self._size, self._slashless
        )

    def apply(self, message: Listed | Changed) -> Delta:
        """
        Apply a message: a listing replaces everything, changes are added.

        Changes at or below the held revision are replays and are dropped.
        """
        return self._replace(message) if isinstance(message, Listed) else self._change(message)

    def outgrown_by(self, message: Changed, limit: int) -> str:
        """
        The key whose change would exceed `limit` bytes, the last one of several; "" if there is
        room. The cost follows the size of the message.
        """
        puts = [change for change in message.changes if change.value is not None]
        if self.size_bytes + sum(map(_size, puts)) <= limit:
            return ""
        changes = (one for one in message.changes if not self._passes_over(one.key))
        last = {change.key: change for change in changes}
        size, grown = self.size_bytes, ""
        for key, change in last.items():
            more = _size(change) - _size(self._find(key))
            size += more
            if more > 0:
                grown = key
        return grown if size > max(limit, self.size_bytes) else ""

    def _replace(self, message: Listed) -> Delta:
        before, had = self._root, self._size
        self._root = Folder(self._owner, None, {}, ordered=True)
        self._size = self.size_bytes = 0
        self.source = message.source
        self.cluster_id = message.cluster_id
        self.revision = message.revision
        self._slashless = message.slashless
        self._put_all(message.keys)
        if not had and self._size == len(message.keys):
            changed = tuple([item.key for item in message.keys])
        else:
            changed = tuple(_differing(before, self._root))
        return Delta(message.revision, changed, relisted=True)

    def _put_all(self, items: Iterable[KeyValue]) -> None:
        """
        Set many keys: the path to a folder is walked once for all consecutive keys in it, which
        takes a seventh of the time of setting them one by one.
        """
        parent, folder, size_bytes = "", self._root, 0
        for item in items:
            way, _, name = item.key.rpartition("/")
            if way != parent:
                if self._passes_over(item.key):
                    continue
                parent, folder = way, self._own_folder(way)
            if not name or name in folder.children:
                self._put(item)
            else:
                folder.add(name, item)
                self._size += 1
                size_bytes += KEY_BYTES + len(item.key) + len(item.value)
        self.size_bytes += size_bytes

    def _change(self, message: Changed) -> Delta:
        held = self.revision
        # Only the last change of each key counts: a burst costs one update for each key.
        last = {change.key: change for change in message.changes if change.mod_revision > held}
        changed = tuple(key for key, change in last.items() if self._take(change))
        self.revision = max(held, message.revision)
        return Delta(self.revision, changed, relisted=False)

    def _take(self, change: KeyChange) -> bool:
        """Apply one change. Returns whether the value differs from the held one."""
        if self._passes_over(change.key):
            return False
        if change.value is None:
            return self._delete(change.key)
        item = KeyValue(change.key, change.value, change.mod_revision, change.lease)
        before = self._put(item)
        return before is None or before.value != change.value

    def _passes_over(self, key: str) -> bool:
        return too_deep(key) or (not self.fleets and key.startswith(_IN_FLEETS))

    def _put(self, item: KeyValue) -> KeyValue | None:
        """Set a key. Returns what was there before."""
        way, _, name = item.key.rpartition("/")
        if not name:
            return self._put_root(item)
        folder = self._own_folder(way)
        place = folder.children.get(name)
        before = item_of(place)
        if type(place) is Folder:
            self._own_child(folder, name).item = item
        else:
            folder.put(name, item)
        self._count(before, item)
        return before

    def _count(self, before: KeyValue | None, after: KeyValue | None) -> None:
        self._size += (after is not None) - (before is not None)
        self.size_bytes += _size(after) - _size(before)

    def _own_folder(self, path: str) -> Folder:
        """The folder at a path without its last slash, owned by the store."""
        folder = self._own_root()
        for name in path.split("/")[1:]:
            folder = self._own_child(folder, name)
        return folder

    def _put_root(self, item: KeyValue) -> KeyValue | None:
        root = self._own_root()
        before, root.item = root.item, item
        self._count(before, item)
        return before

    def _delete(self, key: str) -> bool:
        """Remove a key and the folders that become empty; False when it did not exist."""
        before = self._find(key)
        if before is None:
            return False
        self._count(before, None)
        names = _names(key)
        trail = [self._own_root()]
        for name in names:
            if type(trail[-1].children[name]) is not Folder:
                break
            trail.append(self._own_child(trail[-1], name))
        if len(trail) > len(names):
            trail[-1].item = None
        else:
            del trail[-1].children[names[-1]]
        _prune(trail, names)
        return True

    def _find(self, key: str) -> KeyValue | None:
        return Snapshot("", 0, 0, self._root, 0).get(key)

    def _own_root(self) -> Folder:
        if self._root.owner is not self._owner:
            self._root = self._root.copy(self._owner)
        return self._root

    def _own_child(self, folder: Folder, name: str) -> Folder:
        """
        The folder `name` in `folder`, owned by the store; created if there is nothing, or only a
        key.
        """
        place = folder.children.get(name)
        if type(place) is Folder and place.owner is self._owner:
            return place
        if type(place) is Folder:
            made = place.copy(self._owner)
        else:
            made = Folder(self._owner, item_of(place), {}, ordered=True)
        folder.put(name, made)
        return made


def _size(item: KeyValue | KeyChange | None) -> int:
    """What it takes, in bytes; nothing where there is no value."""
    if item is None or item.value is None:
        return 0
    return KEY_BYTES + len(item.key) + len(item.value)


def item_of(place: Child | None) -> KeyValue | None:
    """The key at a place, whether or not something is below it."""
    return place.item if type(place) is Folder else place  # type: ignore[return-value]


def keys_below(place: Child | None) -> Iterator[KeyValue]:
    """Every key at and below a place, a folder's own key first, names in order."""
    if type(place) is Folder:
        if place.item is not None:
            yield place.item
        for child in place.ordered().values():
            if type(child) is Folder:
                yield from keys_below(child)
            else:
                yield child  # type: ignore[misc]
    elif place is not None:
        yield place  # type: ignore[misc]


def different_children(
    before: Child | None, after: Child | None
) -> Iterator[tuple[str, Child | None, Child | None]]:
    """
    The names directly below two places whose objects differ, with these objects. For large folders
    of two snapshots, only chunks that they do not share are looked at.
    """
    below: Mapping[str, Child] = before.children if type(before) is Folder else {}
    above: Mapping[str, Child] = after.children if type(after) is Folder else {}
    if type(below) is ChunkedMap and type(above) is ChunkedMap:
        below, above = below.apart(above)
    for name, child in below.items():
        other = above.get(name)
        if child is not other:
            yield name, child, other
    for name, child in above.items():
        if name not in below:
            yield name, None, child


def gone_and_new(before: Child | None, after: Child | None) -> tuple[int, int]:
    """How many keys at and below a place are gone, and how many are new; values do not count."""
    if before is after:
        return 0, 0
    if before is None or after is None:
        count = sum(1 for _ in keys_below(before or after))
        return (0, count) if before is None else (count, 0)
    old, new = item_of(before), item_of(after)
    gone, more = int(old is not None and new is None), int(old is None and new is not None)
    for _, was, is_now in different_children(before, after):
        if type(was) is not Folder and type(is_now) is not Folder:
            gone, more = gone + (is_now is None), more + (was is None)
        else:
            one_gone, one_new = gone_and_new(was, is_now)
            gone, more = gone + one_gone, more + one_new
    return gone, more


def _names(path: str) -> list[str]:
    """The names along a key path; none for the root."""
    return path[1:].split("/") if path != "/" else []


def _prune(trail: list[Folder], names: list[str]) -> None:
    """Replace folders without children by their own key, or remove them, from below."""
    for depth in range(len(trail) - 1, 0, -1):
        folder = trail[depth]
        if folder.children:
            return
        parent = trail[depth - 1]
        if folder.item is not None:
            parent.children[names[depth - 1]] = folder.item
            return
        del parent.children[names[depth - 1]]


def _differing(before: Child | None, after: Child | None) -> Iterator[str]:
    """Keys whose values differ at and below two places."""
    if before is after:
        return
    old, new = item_of(before), item_of(after)
    if (old and old.value) != (new and new.value):
        yield (old or new).key  # type: ignore[union-attr]
    below = before.children if type(before) is Folder else {}
    above = after.children if type(after) is Folder else {}
    for name, child in above.items():
        was = below.get(name)
        if type(was) is KeyValue and type(child) is KeyValue:  # nearly all of them
            if was.value != child.value:
                yield child.key
        else:
            yield from _differing(was, child)
    for name, child in below.items():
        if name not in above:
            yield from _differing(child, None)
