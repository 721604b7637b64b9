"""A guard looks at what differs from the last good version, however many keys there are."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from pyconfd.apply.guard_state import GuardState
from pyconfd.errors import HeldBack
from pyconfd.model.keys import Changed, KeyChange, KeyValue, Listed
from pyconfd.model.resources import Guard, Origin, Resource
from pyconfd.pipeline.guard import Baseline, objection
from pyconfd.pipeline.render.renderer import Renderer
from pyconfd.pipeline.store import Store, gone_and_new
from tests.support.work import lines

RESOURCE = Resource(name="r", origin=Origin("r.toml"), src="r.j2", dest="/r", keys=("/a",))
GUARDS = [
    Guard(min_keys=10),
    Guard(max_shrink=0.5),
    Guard(max_shrink=0.5, shrink_in=("/a/*",)),
    Guard(max_shrink=0.5, shrink_in=("/a",)),
]


def filled(keys: list[str]) -> Store:
    """A store with these."""
    store = Store()
    store.apply(Listed("fake", 1, 1, tuple(KeyValue(key, b"x", 1) for key in sorted(keys))))
    return store


def changed(store: Store, key: str, value: bytes | None) -> None:
    """One key of it, None: deleted."""
    revision = store.revision + 1
    store.apply(Changed("fake", revision, (KeyChange(key, value, revision, 0),)))


def keys_of(size: int, shape: str) -> list[str]:
    """So many, in one flat folder or in folders of five."""
    return [f"/a/{n}" if shape == "flat" else f"/a/{n // 5}/{n % 5}" for n in range(size)]


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("shape", ["flat", "deep"])
def test_a_change_costs_what_it_changed(tmp_path: Path, guard: Guard, shape: str) -> None:
    """The lines run for a put and for a deletion, among 5,000 keys and among 40,000."""
    resource = replace(RESOURCE, guard=guard)
    small, large = (_cost(tmp_path, resource, size, shape) for size in (5_000, 40_000))
    assert large <= small * 1.3 + 100, (small, large)


def _cost(folder: Path, resource: Resource, size: int, shape: str) -> int:
    keys = keys_of(size, shape)
    store = filled(keys)
    state, renderer = GuardState(str(folder / f"{size}.json")), Renderer(str(folder), {})

    def change(key: str, value: bytes | None) -> None:
        changed(store, key, value)
        state.ask(resource, store.snapshot(), renderer)
        state.passed(resource, store.snapshot())

    state.passed(resource, store.snapshot())
    change(keys[7], b"first")  # counts what was there
    return lines(lambda: change(keys[7], b"y")) + lines(lambda: change(keys[9], None))


def test_the_number_by_what_differs_is_the_number() -> None:
    """After any changes, also where names are folders at one time and keys at another."""
    chance = random.Random(5)
    store = filled(keys_of(3000, "flat"))
    good = Baseline(store.snapshot()).counted(RESOURCE)
    for _ in range(100):
        for _ in range(chance.randrange(1, 8)):
            name = chance.choice([str(chance.randrange(4000)), f"{chance.randrange(40)}/x/y"])
            changed(store, f"/a/{name}", chance.choice([b"1", b"2", None]))
        now = store.snapshot()
        names = [{item.key for item in each.subtree("/a")} for each in (good.snapshot, now)]  # type: ignore[union-attr]
        expected = len(names[0] - names[1]), len(names[1] - names[0])
        assert gone_and_new(good.snapshot.find("/a"), now.find("/a")) == expected  # type: ignore[union-attr]
        if chance.random() < 0.7:
            good = good.followed_by(RESOURCE, now)
            assert good.number(RESOURCE) == len(names[1])


@pytest.mark.parametrize("guard", [GUARDS[0], GUARDS[1], GUARDS[3], Guard(min_keys=5990)])
def test_what_is_held_among_many_keys_is_held(guard: Guard) -> None:
    """Four fifths of the keys go at once; at a tenth only the least number of keys is missed."""
    store = filled(keys_of(6000, "deep"))
    good = Baseline(store.snapshot()).counted(RESOURCE)
    resource = replace(RESOURCE, guard=guard)
    for number in range(600):
        changed(store, f"/a/{number // 5}/{number % 5}", None)
    assert bool(objection(resource, good, store.snapshot())) is (guard.min_keys == 5990)
    for number in range(4800):
        changed(store, f"/a/{number // 5}/{number % 5}", None)
    found = objection(resource, good, store.snapshot())
    assert bool(found) is (guard.min_keys != 10)
    if found and not guard.min_keys:
        assert found.text.startswith("4800 of 6000 keys")


def test_a_number_that_was_written_down_while_a_pass_went_on_is_of_its_own_version(
    tmp_path: Path,
) -> None:
    """The number that is kept for a restart never becomes that of a later version."""
    store = filled(keys_of(10, "flat"))
    resource = replace(RESOURCE, guard=Guard(max_shrink=0.1))
    state = GuardState(str(tmp_path / "keys.json"))
    state.passed(resource, store.snapshot())
    state.keep()
    changed(store, "/a/new", b"1")
    state.passed(resource, store.snapshot())
    state.keep()
    assert '"r": 11' in (tmp_path / "keys.json").read_text()
    for number in range(2):
        changed(store, f"/a/{number}", None)
    with pytest.raises(HeldBack, match="2 of 11 keys"):
        state.ask(resource, store.snapshot(), Renderer(str(tmp_path), {}))
