"""The store against a plain dictionary, under random schedules of messages and snapshots."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pyconfd.model.keys import Changed, KeyChange, KeyValue, Listed
from pyconfd.model.source import KEY_BYTES
from pyconfd.pipeline.store import Snapshot, Store

NAMES = st.sampled_from(["a", "b", "a-b", "é"])
KEYS = st.lists(NAMES, min_size=1, max_size=3).map(lambda names: "/" + "/".join(names))
VALUES = st.sampled_from([b"", b"1", b"2"])
WRITES = st.lists(st.tuples(KEYS, st.none() | VALUES), max_size=6)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("changed"), WRITES),
        st.tuples(st.just("listed"), WRITES),
        st.just(("snapshot", [])),
    ),
    max_size=12,
)


def contents(snapshot: Snapshot) -> dict[str, bytes]:
    return {item.key: item.value for item in snapshot.subtree()}


def size(key: str, value: bytes) -> int:
    return KEY_BYTES + len(key) + len(value)


def differing(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    return {key for key in before | after if before.get(key) != after.get(key)}


def folders(keys: dict[str, bytes]) -> dict[str, set[str]]:
    """Folder -> names directly below it."""
    found: dict[str, set[str]] = {}
    for key in keys:
        path = key
        while path:
            path, _, name = path.rpartition("/")
            found.setdefault(path or "/", set()).add(name)
    return found


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_store_is_a_dictionary_with_snapshots(steps: list[tuple[str, list]]) -> None:
    """Every delta is the difference of the model, and no snapshot ever changes."""
    store, model, revision = Store(), dict[str, bytes](), 1
    taken: list[tuple[Snapshot, dict[str, bytes]]] = []
    for kind, writes in steps:
        revision += 1
        before = dict(model)
        if kind == "snapshot":
            taken.append((store.snapshot(), before))
            continue
        if kind == "listed":
            model = {key: value for key, value in writes if value is not None}
            items = tuple(KeyValue(key, value, revision) for key, value in model.items())
            delta = store.apply(Listed("fake", 1, revision, items))
        else:
            for key, value in writes:
                model.pop(key, None) if value is None else model.update({key: value})
            changes = tuple(KeyChange(key, value, revision) for key, value in writes)
            delta = store.apply(Changed("fake", revision, changes))
        assert sorted(delta.changed) == sorted(differing(before, model))
        assert store.size_bytes == sum(size(key, value) for key, value in model.items())
    taken.append((store.snapshot(), model))
    for snapshot, expected in taken:
        assert contents(snapshot) == expected
        assert len(snapshot) == len(expected)
        for folder, names in folders(expected).items():
            assert list(snapshot.children(folder)) == sorted(names)
        for key in expected:
            assert snapshot.get(key) is not None
