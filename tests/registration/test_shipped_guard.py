"""The shipped resource holds back what a wiped store shows while its members come back."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from pyconfd.config.resources import load_resources
from pyconfd.config.settings import load_settings
from pyconfd.model.keys import KeyValue, Listed
from pyconfd.pipeline.guard import Baseline, objection
from pyconfd.pipeline.store import Snapshot, Store
from tests.support.repository import ROOT

ALL = frozenset(range(6))


def seen(members: Collection[int]) -> Snapshot:
    """The store when these members are registered."""
    store = Store()
    keys = [f"/nginx/www/upstream/10.0.0.{number}:80" for number in sorted(members)]
    store.apply(Listed("test", 1, 1, tuple(KeyValue(key, b"10.0.0.1:80", 1) for key in keys)))
    return store.snapshot()


@pytest.mark.parametrize(
    ("left", "held"),
    [
        (frozenset[int](), True),
        ({3}, True),
        ({1, 3}, True),
        ({1, 3, 5}, False),
        (ALL - {2}, False),
        (ALL, False),
    ],
)
def test_few_of_many_are_no_order_to_drop_the_rest(left: Collection[int], held: bool) -> None:
    """After a wipe the members return one by one; until half of them are back nothing changes."""
    settings = load_settings(["--confdir", str(ROOT)], {})
    (resource,) = load_resources(str(ROOT), settings).resources
    assert bool(objection(resource, Baseline(seen(ALL)), seen(left))) is held
