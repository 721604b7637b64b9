"""A fleet of which some nodes have a newer pyconfd: those that cannot read it all hold still."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator

import pytest

from pyconfd.backends.base import KeptAlive
from pyconfd.errors import StateError
from pyconfd.fleet.client import FleetClient
from pyconfd.fleet.events import FleetEvent, FleetMessage, RecordsRead
from pyconfd.fleet.overview import book_of
from pyconfd.fleet.records import FORMAT, FleetPaths, RecordBook, decoded, encoded, version_value
from pyconfd.model.keys import Changed, KeyChange, KeyValue
from pyconfd.reconcile.rollout import Away, Back
from pyconfd.reconcile.turns import Version
from pyconfd.testing.fake_leases import FakeLeases, FakeStore
from pyconfd.testing.fake_source import FakeSource
from tests.support.waiting import PATIENCE_S

PATHS = FleetPaths("edges")
BEGUN = PATHS.of("web", "begun", "b")
NEWER = encoded({"format": FORMAT + 1, "version": {"of": "another form"}})


def test_every_record_has_the_number_of_its_format() -> None:
    """And one without it, as of before there were numbers, is read as it was."""
    assert decoded(version_value(Version("v1", 7))) == {
        "format": FORMAT, "digest": "v1", "revision": 7
    }  # fmt: skip
    book = RecordBook(PATHS)
    value = b'{"digest":"v1","revision":7}'
    book.apply(Changed("", 9, (KeyChange(BEGUN, value, 9),)))
    assert book.records("web").begun["b"].version == Version("v1", 7)
    assert not book.objection


@pytest.mark.parametrize(
    "key",
    [BEGUN, PATHS.of("web", "halts", "v1"), PATHS.of("web", "stopped"), PATHS.node("b"),
     PATHS.order("20260301T120000Z")],
)  # fmt: skip
def test_a_newer_record_is_objected_to_until_it_is_gone(key: str) -> None:
    """Also by what shows the fleet and gives orders, which has all of its keys."""
    book = RecordBook(PATHS)
    book.apply(Changed("", 9, (KeyChange(key, NEWER, 9),)))
    assert key in book.objection
    with pytest.raises(StateError, match="install the newer one"):
        book_of(PATHS, [KeyValue(key, NEWER, 9)])
    book.apply(Changed("", 10, (KeyChange(key, None, 10),)))
    assert not book.objection


@pytest.fixture
def source() -> Iterator[FakeSource]:
    """Where the records are read."""
    made = FakeSource()
    yield made
    made.close()


def test_a_node_takes_no_part_while_it_cannot_read_all(source: FakeSource) -> None:
    """It writes nothing, says why, and is back once it can, with what has changed meanwhile."""
    source.put(BEGUN, NEWER)
    source.put(PATHS.of("mail", "nodes", "b"), version_value(Version("v1", 7)))
    store, heard = FakeStore(), queue.SimpleQueue[FleetMessage]()

    def open_leases(kept_alive: KeptAlive, _: object) -> FakeLeases:
        return FakeLeases(store, kept_alive)

    client = FleetClient(
        open_leases, lambda: source, PATHS, "a", "one", heard.put, wall_clock=time.time
    )
    client.publish({"host": "a"})
    client.start()
    try:
        match heard.get(timeout=PATIENCE_S):
            case FleetEvent("", Away(why, False)):
                assert BEGUN in why
            case other:
                raise AssertionError(other)
        client.ask("web", Version("v1", 7))
        source.put(PATHS.of("mail", "halts", "v2"), encoded({"why": "no"}))
        source.delete(BEGUN)
        found = heard.get(timeout=PATIENCE_S)
        assert isinstance(found, RecordsRead)
        assert found.records["mail"].halts.keys() == {"v2"}
        assert store.history == []
        back = heard.get(timeout=PATIENCE_S)
        while not (isinstance(back, FleetEvent) and isinstance(back.message, Back)):
            back = heard.get(timeout=PATIENCE_S)
    finally:
        client.stop(PATIENCE_S)
    assert ("put", PATHS.node("a")) in store.history
    assert not any("asked" in key for _, key in store.history)
