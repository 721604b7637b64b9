"""Whether the store that answers after a break is the one that is known: what gives it away."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from pyconfd.backends.etcd.batches import LastEvent
from pyconfd.backends.etcd.continuity import SMALL_BYTES, SMALL_KEYS, Continuity
from pyconfd.backends.etcd.listing import Span
from pyconfd.model.keys import KeyChange, KeyValue, Listed
from tests.backends.etcd.test_faults import following, options_for
from tests.support.daemons.etcd import PrivateEtcd, free_ports


def asked(history: Continuity, *, full: bool = True) -> list[tuple[str, bool]]:
    """Start of each range that would be asked for, and whether it is everything below."""
    spans = [Span("/app")]
    return [
        (request.key.decode(), bool(request.range_end))
        for request, _ in history.questions(spans, 9, full=full)
    ]


def small(count: int, size: int = 1) -> Continuity:
    """What is known of so many keys."""
    history = Continuity()
    history.listed([KeyValue(f"/app/{n:04}", b"x" * size, n + 1) for n in range(count)])
    return history


def test_everything_is_compared_where_it_is_little() -> None:
    """And the last change alone where it is much, or after a mere rest."""
    assert asked(small(2)) == [("/app/0001", False), ("/app", True)]
    assert asked(small(2), full=False) == [("/app/0001", False)]
    assert asked(small(SMALL_KEYS + 1)) == [(f"/app/{SMALL_KEYS:04}", False)]
    assert asked(small(3, SMALL_BYTES // 2)) == [("/app/0002", False)]


def test_a_store_that_grows_is_not_compared_whole_any_more() -> None:
    """A key at a time, over the limit; and it is again after a list."""
    history = small(SMALL_KEYS)
    assert len(asked(history)) == 2
    last = LastEvent(b"/app/new", 900, b"n")
    history.changed(last, [KeyChange("/app/new", b"n", 900)])
    assert asked(history) == [("/app/new", False)]
    history.listed([])
    assert asked(history) == [("/app", True), ("/app", True)]


def test_two_spellings_of_one_path_prove_nothing() -> None:
    """Which of them is shown depends on the order in which they came."""
    history = Continuity()
    history.listed([KeyValue("/app/a", b"1", 1), KeyValue("/app/a", b"2", 2)])
    assert asked(history) == [("/app/a", False)]


def one_other_value(etcd: PrivateEtcd) -> None:
    etcd.put("/app/a", "new")
    etcd.put("/app/b", "same")


def without_the_deleted_key(etcd: PrivateEtcd) -> None:
    for number in range(8):
        etcd.put("/app/c", str(number))


@pytest.mark.integration
@pytest.mark.parametrize("refill", [one_other_value, without_the_deleted_key])
def test_a_store_that_was_wiped_and_filled_alike_is_found_out(
    each_etcd: PrivateEtcd, refill: Callable[[PrivateEtcd], None]
) -> None:
    """By the same script with another value; or so that a key is gone that we saw deleted."""
    etcd = each_etcd
    etcd.put("/app/a", "old")
    etcd.put("/app/b", "same")
    with following(options_for(etcd)) as (inbox, _):
        if refill is without_the_deleted_key:
            etcd.delete("/app/b")
            inbox.wait_mirror({"/app/a": b"old"})
        wipe_unseen(etcd, refill)
        inbox.wait_mirror(etcd.all("/app/"))
        assert "history" in inbox.of(Listed)[-1].reason  # type: ignore[union-attr]


@pytest.mark.integration
def test_an_empty_store_that_was_wiped_and_filled_is_found_out(etcd: PrivateEtcd) -> None:
    """Nothing is there at our revision below the first prefix, and something below the second."""
    etcd.put("/other", "1")
    etcd.put("/other", "2")

    def refill(etcd: PrivateEtcd) -> None:
        etcd.put("/zoo/a", "1")
        for number in range(8):
            etcd.put("/other", str(number))

    with following(options_for(etcd), ["/app", "/zoo"]) as (inbox, _):
        wipe_unseen(etcd, refill)
        inbox.wait_mirror({"/zoo/a": b"1"})


@pytest.mark.integration
def test_a_deletion_that_really_was_is_no_other_history(each_etcd: PrivateEtcd) -> None:
    """In a small and in a large store, a restart after a deletion leads to no new list."""
    each_etcd.put_many([(f"/app/{n}", "x") for n in range(SMALL_KEYS + 10)])
    each_etcd.put("/zoo/a", "x")
    each_etcd.put("/zoo/b", "x")
    with (
        following(options_for(each_etcd)) as (large, _),
        following(options_for(each_etcd), ["/zoo"]) as (few, _),
    ):
        each_etcd.delete("/zoo/b")
        each_etcd.delete("/app/1")
        large.wait(lambda box: "/app/1" not in box.mirror)
        few.wait_mirror({"/zoo/a": b"x"})
        each_etcd.restart()
        each_etcd.put("/zoo/a", "y")
        each_etcd.put("/app/2", "y")
        few.wait_mirror({"/zoo/a": b"y"})
        large.wait(lambda box: box.mirror["/app/2"] == b"y")
        assert [len(box.of(Listed)) for box in (large, few)] == [1, 1]


def wipe_unseen(etcd: PrivateEtcd, refill: Callable[[PrivateEtcd], None]) -> None:
    """Wiped and filled on another port, then moved back: nobody who waits sees it in between."""
    etcd.kill()
    shutil.rmtree(etcd.data)
    port, etcd.client_port = etcd.client_port, free_ports(1)[0]
    etcd.start()
    refill(etcd)
    etcd.kill()
    etcd.client_port = port
    etcd.start()
