"""Which resources have to render after a change."""

from __future__ import annotations

import random

from pyconfd.model.keys import is_under
from pyconfd.model.reads import Reads
from pyconfd.reconcile.read_index import ReadIndex


def reads(*trees: str, keys: tuple[str, ...] = ()) -> Reads:
    return Reads(keys=frozenset(keys), trees=frozenset(trees))


def test_single_keys_and_trees() -> None:
    """A key concerns those that read it and those that looked above or at it."""
    index = ReadIndex()
    index.set("key", reads(keys=("/app/a",)))
    index.set("tree", reads("/app"))
    index.set("all", reads("/"))
    assert index.affected(["/app/a"]) == {"key", "tree", "all"}
    assert index.affected(["/app/b", "/app/c"]) == {"tree", "all"}
    assert index.affected(["/app"]) == {"tree", "all"}
    assert index.affected(["/apple/a", "/"]) == {"all"}
    assert index.affected([]) == set()


def test_new_reads_replace_the_old_ones() -> None:
    """What a resource no longer asks for does not concern it."""
    index = ReadIndex()
    index.set("r", reads("/a", keys=("/k",)))
    index.set("r", reads("/b"))
    assert index.affected(["/a/x", "/k"]) == set()
    assert index.affected(["/b/x"]) == {"r"}
    assert index.reads("r") == reads("/b")


def test_dropped_resource_is_forgotten() -> None:
    """And dropping it again does nothing."""
    index = ReadIndex()
    index.set("r", reads("/a"))
    index.drop("r")
    index.drop("r")
    assert index.affected(["/a/x"]) == set()
    assert index.reads("r") == Reads()
    assert not index._by_tree


def test_index_agrees_with_asking_everybody() -> None:
    """Over random reads and changes."""
    dice = random.Random(5)
    paths = [f"/{a}/{b}/{c}" for a in "xyz" for b in "xyz" for c in "xyz"]
    paths += [f"/{a}/{b}" for a in "xyz" for b in "xyz"] + ["/x", "/y", "/"]
    index, everybody = ReadIndex(), dict[str, Reads]()
    for _ in range(300):
        name = f"r{dice.randrange(20)}"
        everybody[name] = Reads(
            keys=frozenset(dice.sample(paths, 3)), trees=frozenset(dice.sample(paths, 2))
        )
        index.set(name, everybody[name])
        changed = dice.sample(paths, 3)
        expected = {
            name
            for name, read in everybody.items()
            for key in changed
            if key in read.keys or any(is_under(key, tree) for tree in read.trees)
        }
        assert index.affected(changed) == expected
