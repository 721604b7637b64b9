"""When a change of the keys is too suspicious to act on by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pyconfd.model.keys import KeyValue, Listed
from pyconfd.model.resources import Guard, Origin, Resource
from pyconfd.pipeline.guard import Baseline, GuardKind, objection
from pyconfd.pipeline.store import Snapshot, Store

BEFORE = ("/p/a/1", "/p/a/2", "/p/a/3", "/p/a/4")
RESOURCE = Resource(
    name="r", origin=Origin("r.toml"), src="r.j2", dest="/r", prefix="/p", keys=("/a", "/b")
)


def snapshot(*keys: str) -> Snapshot:
    """A store with these keys."""
    store = Store()
    store.apply(Listed("fake", 1, 1, tuple(KeyValue(key, b"x", 1) for key in keys)))
    return store.snapshot()


def why(guard: Guard, *keys: str, before: tuple[str, ...] | None = BEFORE) -> str:
    """What speaks against these keys after those."""
    good = Baseline(snapshot(*before)) if before is not None else None
    found = objection(replace(RESOURCE, guard=guard), good, snapshot(*keys))
    return found.text if found else ""


@pytest.mark.parametrize(
    ("guard", "keys", "kind"),
    [
        (Guard(require=("/min_keys",)), (), GuardKind.REQUIRE),
        (Guard(min_keys=3), BEFORE[:2], GuardKind.MIN_KEYS),
        (Guard(), (), GuardKind.ALLOW_EMPTY),
        (Guard(max_shrink=0.5), BEFORE[:1], GuardKind.MAX_SHRINK),
    ],
)
def test_an_objection_names_its_guard(guard: Guard, keys: tuple[str, ...], kind: GuardKind) -> None:
    """Whatever its text says."""
    found = objection(replace(RESOURCE, guard=guard), Baseline(snapshot(*BEFORE)), snapshot(*keys))
    assert found
    assert found.guard is kind


@pytest.mark.parametrize(
    ("guard", "keys", "expected"),
    [
        (Guard(), BEFORE[:1], ""),
        (Guard(), (), "all 4 keys are gone"),
        (Guard(), ("/p/other", "/q/a/1"), "all 4 keys are gone"),
        (Guard(allow_empty=True), (), ""),
        (Guard(min_keys=2), BEFORE[:1], "1 key, fewer than min_keys = 2"),
        (Guard(min_keys=2), BEFORE[:2], ""),
        (Guard(min_keys=2, allow_empty=True), (), "0 keys, fewer than min_keys = 2"),
        (Guard(max_shrink=0.5), BEFORE[:2], ""),
        (Guard(max_shrink=0.5), BEFORE[:1], "3 of 4 keys are gone at once"),
        (Guard(max_shrink=0.5), ("/p/a/1", "/p/b/7", "/p/b/8", "/p/b/9"), "3 of 4 keys are gone"),
        (Guard(max_shrink=0.5), (*BEFORE, "/p/b/9"), ""),
        (Guard(require=("/a/1",)), BEFORE, ""),
        (Guard(require=("/a/1",)), BEFORE[1:], "/a/1 is required and does not exist"),
        (Guard(require=("/a",)), BEFORE[1:], ""),
        (Guard(require=("/b",)), BEFORE, "/b is required and does not exist"),
    ],
)
def test_what_is_held_back_and_what_is_not(
    guard: Guard, keys: tuple[str, ...], expected: str
) -> None:
    """Four keys before; those that remain or came."""
    found = why(guard, *keys)
    assert found.startswith(expected) if expected else found == ""


def test_at_the_first_start_there_is_nothing_to_compare_with() -> None:
    """Only what must be there counts."""
    assert why(Guard(max_shrink=0.1), before=None) == ""
    assert why(Guard(min_keys=1), before=None).startswith("0 keys")
    assert why(Guard(require=("/b",)), *BEFORE, before=None).startswith("/b is required")


def test_after_a_restart_the_number_of_keys_is_compared() -> None:
    """Their names are not known any more; an emptied store is held back all the same."""
    resource = replace(RESOURCE, guard=Guard(max_shrink=0.5))

    def text(good: Baseline, *keys: str) -> str:
        found = objection(resource, good, snapshot(*keys))
        return found.text if found else ""

    assert text(Baseline(count=4)).startswith("all 4 keys are gone")
    assert text(Baseline(count=4), *BEFORE[:1]).startswith("3 of 4 keys")
    assert text(Baseline(count=4), *BEFORE[:2]) == ""


MEMBERS = Guard(max_shrink=0.5, shrink_in=("/a/*/servers", "/b/*/upstream"))
BACKENDS = (
    *(f"/p/a/web/servers/{number}" for number in range(4)),
    "/p/a/web/settings",
    *(f"/p/a/static/servers/{number}" for number in range(2)),
    "/p/a/static/settings",
    *(f"/p/b/api/upstream/{number}" for number in range(3)),
    "/p/b/lone/upstream/0",
)


@pytest.mark.parametrize(
    ("gone", "expected"),
    [
        (("/p/a/web/servers/0", "/p/a/web/servers/1"), ""),
        (("/p/a/web/servers/",), "4 of 4 keys below /p/a/web/servers are gone"),
        (("/p/a/web/servers/0", "/p/a/web/servers/1", "/p/a/web/servers/2"), "3 of 4 keys below"),
        (("/p/a/static/servers/",), "2 of 2 keys below /p/a/static/servers"),
        (("/p/a/static/servers/1",), ""),
        (("/p/a/static/",), ""),
        (("/p/b/api/",), "3 of 3 keys below /p/b/api/upstream"),
        (("/p/a/web/settings",), ""),
        (("/p/b/lone/",), ""),
    ],
)
def test_a_backend_is_not_emptied_among_many(gone: tuple[str, ...], expected: str) -> None:
    """
    Each folder counts by itself: leases that end empty one backend while most keys stay. One that
    is removed with its settings was meant.
    """
    left = [key for key in BACKENDS if not key.startswith(gone)]
    found = why(MEMBERS, *left, before=BACKENDS)
    assert expected in found
    assert bool(found) == bool(expected)
