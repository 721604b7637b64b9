"""Which names from the store become files."""

from __future__ import annotations

import pytest

from pyconfd.apply.expansion import expand, too_many
from pyconfd.model.keys import KeyValue, Listed
from pyconfd.model.resources import Origin, Resource
from pyconfd.pipeline.store import Snapshot, Store

SITES = Origin("sites.toml", 1)


def snapshot(*names: str) -> Snapshot:
    store = Store()
    keys = tuple(KeyValue(f"/s/{name}", b"1", 1) for name in names)
    store.apply(Listed("fake", 1, 1, keys))
    return store.snapshot()


def sites(each_names: str = "safe", each_limit: int = 3) -> Resource:
    return Resource(
        name="s", origin=SITES, src="t", dest="/x/{name}", each="/s",
        each_names=each_names, each_limit=each_limit,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["www.example.com", "web_1", "a+b", "user@host", "0"])
def test_a_harmless_name_makes_a_file(name: str) -> None:
    """Letters, digits and what no shell, unit or crontab reads as more."""
    assert [one.item for one in expand(sites(), snapshot(name)).resources] == [name]


@pytest.mark.parametrize(
    "name",
    ['"; touch PWN; "', "$(id)", "`id`", "a b", "-rf", "a;b", "a%b", "a=b", "~", "*", "é", "a:b"],
)
def test_other_names_need_each_names_any(name: str) -> None:
    """Refused with the setting that admits them."""
    found = expand(sites(), snapshot(name))
    assert found.resources == ()
    assert 'each_names = "any"' in str(found.faults[0][1])
    assert [one.item for one in expand(sites("any"), snapshot(name)).resources] == [name]


@pytest.mark.parametrize("name", [".hidden", "a\nb", "\x1b[2J", "a\udc80", "x" * 201, "\u202e"])
def test_what_is_no_file_name_is_never_admitted(name: str) -> None:
    """Hidden, control characters, not UTF-8, too long, right-to-left."""
    assert expand(sites("any"), snapshot(name)).resources == ()


def test_a_pattern_has_a_limit() -> None:
    """With one more nothing of it is done."""
    assert too_many(sites(), snapshot("a", "b", "c")) is None
    assert "each_limit = 3" in str(too_many(sites(), snapshot("a", "b", "c", "d")))
