"""A view of two revisions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pyconfd.model.keys import KeyValue, Listed, is_under
from pyconfd.pipeline.gated import GatedKeys
from pyconfd.pipeline.store import Snapshot, Store

NAMES = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(lambda s: "/" + "/".join(s))
KEYS = st.dictionaries(NAMES, st.sampled_from((b"1", b"2")), max_size=8)
PATHS = st.lists(st.one_of(NAMES, st.just("/")), min_size=1, max_size=3)


def snapshot(keys: dict[str, bytes], revision: int = 1) -> Snapshot:
    store = Store()
    items = tuple(KeyValue(key, value, 1) for key, value in keys.items())
    store.apply(Listed("etcd", 7, revision, items))
    return store.snapshot()


def values(found: Snapshot) -> dict[str, bytes]:
    return {item.key: item.value for item in found.subtree()}


@given(KEYS, KEYS, PATHS)
def test_gated_paths_are_as_they_were_and_all_else_is_live(
    old: dict[str, bytes], new: dict[str, bytes], paths: list[str]
) -> None:
    """Key by key, in the order of a plain snapshot, and neither snapshot is changed."""
    before, live = snapshot(old, 3), snapshot(new, 9)
    view = GatedKeys.of(before, paths).over(live)
    gated = {key for key in old | new if any(is_under(key, path) for path in paths)}
    wanted = {key: value for key, value in old.items() if key in gated}
    wanted |= {key: value for key, value in new.items() if key not in gated}
    assert values(view) == wanted
    assert [item.key for item in view.subtree()] == [
        item.key for item in snapshot(wanted).subtree()
    ]
    assert (values(before), values(live)) == (old, new)
    assert view.revision == 9
    for key in wanted:
        parent = key.rpartition("/")[0] or "/"
        assert list(view.children(parent)) == list(snapshot(wanted).children(parent))


@given(KEYS, KEYS, PATHS)
def test_the_digest_is_of_what_is_gated_alone(
    one: dict[str, bytes], other: dict[str, bytes], paths: list[str]
) -> None:
    """The same on every node with the same gated keys, and another for others."""

    def gated(keys: dict[str, bytes]) -> dict[str, bytes]:
        return {k: v for k, v in keys.items() if any(is_under(k, path) for path in paths)}

    same = gated(one) == gated(other)
    digests = [GatedKeys.of(snapshot(keys), paths).digest for keys in (one, other)]
    assert (digests[0] == digests[1]) == same


@given(KEYS, PATHS)
def test_kept_keys_make_the_same_view(keys: dict[str, bytes], paths: list[str]) -> None:
    """What is written down and read again."""
    gated = GatedKeys.of(snapshot(keys, 5), paths)
    again = GatedKeys.holding(5, gated.items(), paths)
    assert again.digest == gated.digest
    assert values(again.over(snapshot({"/c/c/c/d": b"x"}))) == values(
        gated.over(snapshot({"/c/c/c/d": b"x"}))
    )


def test_a_path_that_is_gated_from_now_on_begins_with_what_is_live() -> None:
    """And one that was gated keeps what it had."""
    gated = GatedKeys.of(snapshot({"/a": b"old", "/b": b"old"}), ["/a"])
    moved = gated.moved(["/a", "/b"], snapshot({"/a": b"new", "/b": b"new"}))
    assert {item.key: item.value for item in moved.items()} == {"/a": b"old", "/b": b"new"}
    whole = gated.moved(["/"], snapshot({"/a": b"new", "/b": b"new"}))
    assert {item.key: item.value for item in whole.items()} == {"/a": b"old", "/b": b"new"}


def test_the_records_of_fleets_are_never_of_the_past() -> None:
    """Where a service that reads them, and all other keys, is pinned."""
    live = Store(fleets=True)
    items = [KeyValue("/a", b"new", 9), KeyValue("/pyconfd/fleets/edges/nodes/n", b"now", 9)]
    live.apply(Listed("etcd", 7, 9, tuple(items)))
    then = [KeyValue("/a", b"old", 3), KeyValue("/pyconfd/fleets/edges/nodes/n", b"then", 3)]
    view = GatedKeys.holding(3, then, ["/"]).over(live.snapshot())
    assert values(view) == {"/a": b"old", "/pyconfd/fleets/edges/nodes/n": b"now"}
