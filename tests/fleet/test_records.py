"""The fleet's records from its keys, and what is kept of a service's gated keys."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pyconfd.fleet.kept_views import KeptViews
from pyconfd.fleet.orders import FleetOrder, Verb, writes
from pyconfd.fleet.records import FleetPaths, RecordBook, version_value
from pyconfd.model.keys import Changed, KeyChange, KeyValue, Listed
from pyconfd.pipeline.gated import GatedKeys
from pyconfd.reconcile.turns import Turn, TurnRecords, Version

PATHS = FleetPaths("edges")
KINDS = ("nodes", "asked", "begun", "halts", "skipped", "promoted", "stopped", "pinned", "fence")
KEYS = [
    PATHS.of(service, kind, "" if kind in ("stopped", "pinned", "fence") else name)
    for service in ("web", "mail")
    for kind in KINDS
    for name in ("a", "b")
]
VALUES = st.sampled_from(
    (version_value(Version("v1", 7)), b'{"digest":"v2","revision":8}', b"{}", b"[]", b"\xff", b"")
)
CHANGES = st.lists(st.tuples(st.sampled_from(KEYS), st.one_of(st.none(), VALUES)), max_size=25)


@given(CHANGES)
def test_a_book_that_follows_changes_is_as_one_that_is_read_whole(
    changes: list[tuple[str, bytes | None]],
) -> None:
    """Whatever the keys hold; a value that cannot be read counts as absent."""
    follower, held = RecordBook(PATHS), dict[str, KeyValue]()
    for number, (key, value) in enumerate(changes, 10):
        follower.apply(Changed("", number, (KeyChange(key, value, number),)))
        held.pop(key, None)
        if value is not None:
            held[key] = KeyValue(key, value, number)
    whole = RecordBook(PATHS)
    whole.apply(Listed("", 0, 99, tuple(held.values())))
    for service in ("web", "mail"):
        assert follower.records(service) == whole.records(service)
        assert follower.pin(service) == whole.pin(service)


def test_keys_of_other_fleets_and_other_things_are_no_records() -> None:
    """Nor are those with names too many or too few."""
    book = RecordBook(PATHS)
    keys = (
        "/pyconfd/fleets/other/rollouts/web/nodes/a",
        "/pyconfd/fleets/edges/rollouts/web",
        "/pyconfd/fleets/edges/rollouts/web/nodes",
        "/pyconfd/fleets/edges/rollouts/web/fence/a",
        "/pyconfd/fleets/edges/nodes/a",
    )
    book.apply(Listed("", 0, 9, tuple(KeyValue(key, b"{}", 1) for key in keys)))
    assert book.services == []


def test_what_a_service_uses_is_kept_with_keys_of_any_bytes(tmp_path: Path) -> None:
    """And a file that cannot be read is as none."""
    items = (KeyValue("/a/\udcff", b"\x00\xff", 3), KeyValue("/a", b"", 2))
    gated = GatedKeys.holding(5, items, ["/a"])
    views = KeptViews.read(str(tmp_path))
    views.change("web", used=gated, former=None)
    again = KeptViews.read(str(tmp_path))
    assert again.instance == views.instance
    used = again.get("web").used
    assert used
    assert (used.digest, used.items()) == (gated.digest, gated.items())
    (tmp_path / "rollouts.json").write_text('{"instance": "x", "services": {"web": {}}}')
    assert KeptViews.read(str(tmp_path)).get("web").used is None


def test_an_order_moves_the_fence() -> None:
    """So that what was decided before it begins nothing."""
    asks = {"a": Turn("a", Version("v1", 7), 9)}
    records = TurnRecords(nodes={"a": None}, asked=asks, fence=4)
    for verb in (Verb.HALT, Verb.PROMOTE, Verb.SKIP, Verb.PIN):
        order = FleetOrder(verb=verb, by="me", where="here", at=1.0, node="a", revision=3)
        found = writes(order, PATHS, "web", records)
        assert found
        assert PATHS.of("web", "fence") in found.puts
    order = FleetOrder(verb=Verb.RESUME, by="me", where="here", at=1.0)
    assert writes(order, PATHS, "web", records) is None, "nothing is halted"


def test_promotions_of_versions_that_are_over_are_removed_by_the_next_one() -> None:
    """So they do not grow in number; of a version that is under way it stays."""
    records = TurnRecords(
        asked={"a": Turn("a", Version("v4"))},
        begun={"b": Turn("b", Version("v3"))},
        promoted=frozenset(("v1", "v2", "v3")),
    )
    order = FleetOrder(verb=Verb.PROMOTE, by="me", where="here", at=1.0)
    found = writes(order, PATHS, "web", records)
    assert found
    assert PATHS.of("web", "promoted", "v4") in found.puts
    assert found.deletes == tuple(PATHS.of("web", "promoted", name) for name in ("v1", "v2"))
