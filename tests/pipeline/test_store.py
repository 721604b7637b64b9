"""The store: what a message changes, and that snapshots never do."""

from __future__ import annotations

import pytest

from pyconfd.model.keys import Changed, KeyChange, KeyValue, Listed
from pyconfd.model.source import KEY_BYTES
from pyconfd.pipeline.store import LARGE, Delta, Snapshot, Store


def listed(keys: dict[str, str], revision: int = 10, cluster_id: int = 7) -> Listed:
    items = tuple(KeyValue(key, value.encode(), 5) for key, value in keys.items())
    return Listed("fake", cluster_id, revision, items)


def changed(revision: int, **keys: str | None) -> Changed:
    """Keys are given as keyword names with `_` for the slash."""
    changes = tuple(
        KeyChange(key.replace("_", "/"), None if value is None else value.encode(), revision)
        for key, value in keys.items()
    )
    return Changed("fake", revision, changes)


def held(snapshot: Snapshot) -> dict[str, str]:
    return {item.key: item.value.decode() for item in snapshot.subtree()}


@pytest.fixture
def store() -> Store:
    store = Store()
    store.apply(listed({"/a/x": "1", "/a/y": "2", "/b": "3"}))
    return store


def test_first_listing_changes_every_key() -> None:
    """A new store has nothing, so all that is listed is new."""
    delta = Store().apply(listed({"/a/x": "1", "/b": "3"}))
    assert (delta.revision, sorted(delta.changed), delta.relisted) == (10, ["/a/x", "/b"], True)


def test_listing_replaces_and_tells_the_difference(store: Store) -> None:
    """Keys that are new, gone or have other bytes are told; the rest is not."""
    delta = store.apply(listed({"/a/x": "1", "/a/y": "changed", "/c/d/e": "new"}, 20, 8))
    assert sorted(delta.changed) == ["/a/y", "/b", "/c/d/e"]
    snapshot = store.snapshot()
    assert held(snapshot) == {"/a/x": "1", "/a/y": "changed", "/c/d/e": "new"}
    assert (snapshot.revision, snapshot.cluster_id, len(snapshot)) == (20, 8, 3)


def test_listing_may_go_back_in_time(store: Store) -> None:
    """Another cluster, or one from a backup, starts at a lower revision."""
    store.apply(listed({"/a/x": "1"}, 2))
    assert store.revision == 2


def test_change_of_value_is_told_once(store: Store) -> None:
    """Only the last of several writes in one message counts."""
    changes = tuple(KeyChange("/a/x", value, 11 + i) for i, value in enumerate((b"8", b"9")))
    assert store.apply(Changed("fake", 12, changes)) == Delta(12, ("/a/x",), False)
    assert held(store.snapshot())["/a/x"] == "9"


def test_write_of_the_same_value_is_no_change(store: Store) -> None:
    """A heartbeat moves the revision and nothing else."""
    assert store.apply(changed(11, _a_x="1")) == Delta(11, (), False)
    item = store.snapshot().get("/a/x")
    assert item is not None
    assert item.mod_revision == 11


def test_there_and_back_in_one_message_is_no_change(store: Store) -> None:
    """The value is what it was before the message."""
    changes = (KeyChange("/a/x", b"9", 11), KeyChange("/a/x", b"1", 12))
    assert store.apply(Changed("fake", 12, changes)).changed == ()


def test_replay_is_dropped(store: Store) -> None:
    """Changes at or below the held revision are ignored, also next to newer ones."""
    assert store.apply(changed(10, _a_x="old")).changed == ()
    mixed = (KeyChange("/a/x", b"old", 9), KeyChange("/b", b"new", 11))
    assert store.apply(Changed("fake", 11, mixed)).changed == ("/b",)


def test_deletion_prunes_empty_folders(store: Store) -> None:
    """A folder ends with its last key."""
    assert sorted(store.apply(changed(11, _a_x=None, _a_y=None)).changed) == ["/a/x", "/a/y"]
    snapshot = store.snapshot()
    assert snapshot.children("/") == ("b",)
    assert not snapshot.has_children("/a")


def test_deletion_of_an_absent_key_is_no_change(store: Store) -> None:
    """Neither a key that never was nor a folder can be deleted."""
    assert store.apply(changed(11, _a=None, _nope=None, _b_c=None)).changed == ()


def test_key_can_also_be_a_folder(store: Store) -> None:
    """A key and keys below it live together, and each goes without the other."""
    store.apply(changed(11, _b_c="4"))
    both = store.snapshot()
    assert held(both) == {"/a/x": "1", "/a/y": "2", "/b": "3", "/b/c": "4"}
    store.apply(changed(12, _b_c=None))
    assert store.snapshot().get("/b") is not None
    assert not store.snapshot().has_children("/b")
    store.apply(changed(13, _a="5", _b_c="6"))
    store.apply(changed(14, _a=None, _b=None))
    assert held(store.snapshot()) == {"/a/x": "1", "/a/y": "2", "/b/c": "6"}


def test_the_records_of_fleets_are_held_for_those_who_name_them() -> None:
    """Whoever reads all keys does not see them, nor their changes."""
    keys = {"/pyconfd/fleets/edges/nodes/a": "1", "/pyconfd/other": "2", "/pyconfd/fleetsmen": "3"}
    store, whole = Store(), Store(fleets=True)
    assert len(store.apply(listed(keys)).changed) == 2
    assert len(whole.apply(listed(keys)).changed) == 3
    change = changed(11, _pyconfd_fleets_edges_nodes_a="9", _pyconfd_fleets_edges_nodes_b=None)
    assert store.apply(change).changed == ()
    assert whole.apply(change).changed == ("/pyconfd/fleets/edges/nodes/a",)
    assert held(store.snapshot()) == {"/pyconfd/other": "2", "/pyconfd/fleetsmen": "3"}
    assert len(store.snapshot()) == 2


def test_root_can_be_a_key() -> None:
    """A source may hold the key "/"."""
    store = Store()
    assert store.apply(listed({"/": "top", "/a": "1"})).changed == ("/", "/a")
    assert store.apply(Changed("fake", 11, (KeyChange("/", None, 11),))).changed == ("/",)
    assert held(store.snapshot()) == {"/a": "1"}


def test_snapshot_is_not_moved_by_later_changes(store: Store) -> None:
    """A snapshot shows its own moment for ever."""
    before = store.snapshot()
    store.apply(changed(11, _a_x="9", _a_z="new", _b=None))
    assert held(before) == {"/a/x": "1", "/a/y": "2", "/b": "3"}
    assert (before.revision, len(before)) == (10, 3)


def test_untouched_folders_are_shared_between_snapshots(store: Store) -> None:
    """One change copies the way to it and nothing beside it."""
    store.apply(changed(11, _c_d="1"))
    before = store.snapshot()
    store.apply(changed(12, _c_d="2"))
    after = store.snapshot()
    assert before.find("/a") is after.find("/a")
    assert before.find("/c") is not after.find("/c")


def test_folder_is_copied_once_between_snapshots(store: Store) -> None:
    """After the first change the folder is the store's own and changed in place."""
    store.snapshot()
    store.apply(changed(11, _a_x="2"))
    owned = store._root.children["a"]
    store.apply(changed(12, _a_x="3"))
    assert store._root.children["a"] is owned


def test_children_are_sorted_bytewise() -> None:
    """Also when they came in another order, and again after an insert between them."""
    store = Store()
    store.apply(listed({"/n/b": "", "/n/a": "", "/n/é": "", "/n/Z": "", "/n/a-b": ""}))
    assert store.snapshot().children("/n") == ("Z", "a", "a-b", "b", "é")
    store.apply(changed(11, _n_aa=""))
    assert store.snapshot().children("/n") == ("Z", "a", "a-b", "aa", "b", "é")
    assert store.snapshot().children("/n/a") == store.snapshot().children("/nope") == ()


def test_a_large_flat_folder_keeps_its_snapshots_through_any_change() -> None:
    """It is copied by chunks: earlier snapshots stay, order and contents are those of the keys."""
    keys = {f"/f/{number:05}": "0" for number in range(3 * LARGE)}
    store = Store()
    store.apply(listed(keys))
    seen = [(store.snapshot(), dict(keys))]
    for revision in range(11, 60):
        number = revision * 7919 % (4 * LARGE)
        gone, new = f"/f/{number:05}", f"/f/{number:05}x"
        keys.pop(gone, None)
        keys[new] = str(revision)
        changes = (KeyChange(gone, None, revision), KeyChange(new, b"%d" % revision, revision))
        store.apply(Changed("fake", revision, changes))
        seen.append((store.snapshot(), dict(keys)))
    for snapshot, expected in seen:
        assert list(held(snapshot).items()) == sorted(expected.items())
        assert len(snapshot) == len(expected)


SMALL = KEY_BYTES + len("/a/x") + 1


@pytest.mark.parametrize(
    ("room", "keys", "says"),
    [
        (0, {"_a_x": "2"}, ""),
        (0, {"_a_x": "22"}, "/a/x"),
        (1, {"_a_x": "22"}, ""),
        (SMALL, {"_a_z": "1"}, ""),
        (SMALL - 1, {"_a_z": "1"}, "/a/z"),
        (SMALL - 1, {"_a_z": "1", "_a_y": "1"}, "/a/z"),
        (0, {"_a_z": "1", "_a_y": None}, ""),
        (0, {"_a_z": "1", "_a_y": "", "_b": ""}, "/a/z"),
        (-1000, {"_a_y": None}, ""),
        (-1000, {"_a_y": "22"}, "/a/y"),
    ],
)
def test_a_change_that_needs_more_room_than_there_is_names_its_key(
    store: Store, room: int, keys: dict[str, str | None], says: str
) -> None:
    """What a message frees counts, and a store that is too large already may shrink."""
    message = changed(11, **keys)
    assert store.outgrown_by(message, store.size_bytes + room) == says


def test_of_several_writes_of_a_key_the_last_one_needs_room(store: Store) -> None:
    """The others are never held."""
    changes = tuple(KeyChange("/a/x", value, 11 + i) for i, value in enumerate((b"8" * 99, b"9")))
    assert store.outgrown_by(Changed("fake", 12, changes), store.size_bytes) == ""
