"""Pairs of the last render are used again, and nobody can tell but by the clock."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyconfd.errors import TemplateFault
from pyconfd.model.keys import Changed, KeyChange, KeyValue, Listed
from pyconfd.model.resources import Origin, Resource
from pyconfd.pipeline.render.functions.store import Pair
from pyconfd.pipeline.render.pair_cache import LEAST, PairCache
from pyconfd.pipeline.render.renderer import Renderer
from pyconfd.pipeline.store import Store

TEMPLATE = "{% for key, value in gets('/*') %}{{ key }}={{ value }};{% endfor %}"


def item(key: str, value: str = "1") -> KeyValue:
    return KeyValue(key, value.encode(), 1)


def made(items: Iterable[KeyValue]) -> list[Pair]:
    return [Pair(each.key, each.value.decode()) for each in items]


class Made:
    """Makes pairs, and counts."""

    count = 0

    def __call__(self, items: list[KeyValue]) -> list[Pair]:
        self.count += len(items)
        return made(items)


MANY = [item(f"/k{number:04}") for number in range(LEAST)]


def test_only_what_is_new_is_made() -> None:
    """One of many has changed."""
    remembered, make = PairCache(), Made()
    assert remembered.pairs("a", "/*", MANY, make) == made(MANY)
    changed = [*MANY[:3], item("/k0003", "2"), *MANY[4:]]
    assert remembered.pairs("a", "/*", changed, make) == made(changed)
    assert make.count == len(MANY) + 1
    assert remembered.pairs("a", "/other/*", MANY, make) == made(MANY)
    assert remembered.pairs("b", "/*", MANY, make) == made(MANY)
    assert make.count == 3 * len(MANY) + 1


def test_a_list_that_a_template_has_changed_is_not_remembered_so() -> None:
    """Its order is its own affair."""
    remembered = PairCache()
    remembered.pairs("a", "/*", MANY, made).reverse()
    assert remembered.pairs("a", "/*", MANY, made) == made(MANY)
    remembered.pairs("a", "/*", MANY, made).clear()
    assert remembered.pairs("a", "/*", MANY, made) == made(MANY)


def test_what_is_remembered_has_a_bound() -> None:
    """For all resources together; what is over it starts anew."""
    remembered, make = PairCache(most=2 * len(MANY)), Made()
    for name in "abc":
        remembered.pairs(name, "/*", MANY, make)
    assert make.count == 3 * len(MANY)
    remembered.pairs("c", "/*", MANY, make)
    assert make.count == 3 * len(MANY)
    remembered.pairs("a", "/*", MANY, make)
    assert make.count == 4 * len(MANY)


WRITES = st.lists(
    st.tuples(
        st.sampled_from([f"/a/k{n:03}" for n in range(110)]), st.sampled_from([None, "1", "2"])
    ),
    max_size=4,
)


@pytest.mark.parametrize("kind", ["", "nginx"])
def test_renders_are_the_same_with_and_without(tmp_path: Path, kind: str) -> None:
    """Whatever is put and deleted between two renders, and after a new listing."""
    (tmp_path / "t.j2").write_text(TEMPLATE)
    resource = Resource(
        name="a",
        origin=Origin("a"),
        src="t.j2",
        dest="/none",
        keys=("/",),
        prefix="/a",
        format=kind,
    )
    often, once = Renderer(str(tmp_path), {}, often=True), Renderer(str(tmp_path), {})
    keys = tuple(KeyValue(f"/a/k{number:03}", b"0", 1) for number in range(105))

    @given(st.lists(WRITES, max_size=5), st.booleans())
    def same(steps: list[list[tuple[str, str | None]]], again: bool) -> None:
        store = Store()
        store.apply(Listed("fake", 1, 1, keys))
        revision = 1
        for writes in [[], *steps]:
            revision += 1
            changes = tuple(
                KeyChange(key, None if value is None else value.encode(), revision)
                for key, value in writes
            )
            store.apply(Changed("fake", revision, changes))
            if again:
                listed = tuple(store.snapshot().subtree())
                store.apply(Listed("fake", 1, revision, listed))
            snapshot = store.snapshot()
            assert often.render(resource, snapshot) == once.render(resource, snapshot)

    same()


def test_a_value_that_is_no_text_any_more_is_named(tmp_path: Path) -> None:
    """As at the first render; and what was remembered is still right after it."""
    (tmp_path / "t.j2").write_text(TEMPLATE)
    resource = Resource(name="a", origin=Origin("a"), src="t.j2", dest="/none", keys=("/",))
    renderer, store = Renderer(str(tmp_path), {}, often=True), Store()
    store.apply(Listed("fake", 1, 1, tuple(MANY)))
    first = renderer.render(resource, store.snapshot()).content
    store.apply(Changed("fake", 2, (KeyChange("/k0007", b"\xff", 2),)))
    with pytest.raises(TemplateFault, match="/k0007"):
        renderer.render(resource, store.snapshot())
    store.apply(Changed("fake", 3, (KeyChange("/k0007", b"1", 3),)))
    assert renderer.render(resource, store.snapshot()).content == first
