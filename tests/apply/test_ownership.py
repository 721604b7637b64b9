"""Which resource a destination belongs to, when patterns meet others."""

from __future__ import annotations

from pathlib import Path

from pyconfd.apply.expansion import expand
from pyconfd.apply.ownership import Ownership
from pyconfd.model.keys import KeyValue, Listed
from pyconfd.model.resources import Origin, Resource
from pyconfd.pipeline.store import Snapshot, Store


def snapshot(*keys: str) -> Snapshot:
    store = Store()
    store.apply(Listed("fake", 1, 1, tuple(KeyValue(key, b"1", 1) for key in keys)))
    return store.snapshot()


def declared(name: str, dest: str, each: str = "") -> Resource:
    return Resource(name=name, origin=Origin(f"{name}.toml", 1), src="t", dest=dest, each=each)


def refused(claims: Ownership, pattern: Resource, *keys: str) -> dict[str, str]:
    """Name -> why it makes no file."""
    found = expand(pattern, snapshot(*keys), claims.other)
    return {one.item: str(fault) for one, fault in found.faults}


def test_a_name_does_not_take_a_fixed_destination() -> None:
    """Both are named; the other names are done."""
    pattern, fixed = declared("s", "/x/{name}.conf", "/s"), declared("main", "/x/a.conf")
    said = refused(Ownership((pattern, fixed)), pattern, "/s/a", "/s/b")
    assert list(said) == ["a"]
    assert "/x/a.conf is also the file of main (main.toml:1)" in said["a"]


def test_of_two_patterns_neither_takes_a_destination_of_the_other() -> None:
    """Only while both names exist."""
    one, two = declared("one", "/x/{name}.conf", "/s"), declared("two", "/x/a-{name}.conf", "/t")
    claims = Ownership((one, two))
    keys = "/s/a-b", "/s/b", "/t/b", "/t/c"
    assert "two[b]" in refused(claims, one, *keys)["a-b"]
    assert "one[a-b]" in refused(claims, two, *keys)["b"]
    assert refused(claims, one, "/s/a-b", "/t/c") == {}


def test_links_are_followed(tmp_path: Path) -> None:
    """The folder of the pattern, and the fixed destination itself."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "a").symlink_to("real/a")
    pattern = declared("s", f"{tmp_path}/link/{{name}}", "/s")
    for dest in ("real/a", "a"):
        claims = Ownership((pattern, declared("main", f"{tmp_path}/{dest}")))
        assert list(refused(claims, pattern, "/s/a", "/s/b")) == ["a"]


def test_what_is_declared_may_change() -> None:
    """As on SIGHUP."""
    pattern, fixed = declared("s", "/x/{name}.conf", "/s"), declared("main", "/x/a.conf")
    claims = Ownership((pattern, fixed))
    claims.adopt((pattern,))
    assert refused(claims, pattern, "/s/a") == {}
