"""Keys without a leading slash, which pyconfd does not read: named as what they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyconfd.backends.base import SourceOptions
from pyconfd.backends.registry import open_source
from pyconfd.model.keys import Listed
from tests.support.daemons.etcd import PrivateEtcd
from tests.support.pyconfd import Confdir
from tests.support.source import Inbox

pytestmark = pytest.mark.integration


def listed(etcd: PrivateEtcd, *prefixes: str) -> Listed:
    source = open_source("etcd", SourceOptions(nodes=(etcd.endpoint,)))
    try:
        return source.list(prefixes, timeout_s=10)
    finally:
        source.close()


def test_a_listing_names_the_paths_that_exist_without_a_slash(etcd: PrivateEtcd) -> None:
    """Only where nothing is found with one, and on path boundaries."""
    for key in ("stolon/cluster/a", "both/a", "/both/b", "apple/x", "own"):
        etcd.put(key, "1")
    found = listed(etcd, "/stolon/cluster", "/both", "/app", "/own", "/none")
    assert [item.key for item in found.keys] == ["/both/b"]
    assert found.slashless == ("/stolon/cluster", "/own")
    assert listed(etcd, "/").slashless == ()


def test_a_store_without_any_slash_is_named_too(etcd: PrivateEtcd) -> None:
    """For the root as well; and nothing is said of an empty store."""
    assert listed(etcd, "/").slashless == ()
    etcd.put("a", "1")
    assert listed(etcd, "/").slashless == ("/",)


def test_a_watch_knows_as_well(etcd: PrivateEtcd) -> None:
    """The daemon lists by its watch."""
    etcd.put("app/a", "1")
    source = open_source("etcd", SourceOptions(nodes=(etcd.endpoint,)))
    inbox = Inbox()
    watch = source.watch(["/app"], inbox.put)
    try:
        inbox.wait(lambda box: box.of(Listed))
        assert inbox.of(Listed)[0].slashless == ("/app",)  # type: ignore[union-attr]
    finally:
        watch.stop()
        source.close()


@pytest.mark.parametrize(
    "ask",
    [
        "getv('/stolon/cluster/a')",
        "getv('/stolon/cluster/a', 'x')",
        "get('/stolon/cluster/a')",
        "gets('/stolon/cluster/*')",
        "getvs('/stolon/*/a') | join",
        "ls('/stolon/cluster')",
        "lsdir('/stolon')",
        "exists('/stolon/cluster/a')",
    ],
)
def test_asking_for_them_is_a_fault_that_says_so(
    etcd: PrivateEtcd, tmp_path: Path, ask: str
) -> None:
    """Neither an empty file nor the advice to put a key that seems to be there."""
    etcd.put("stolon/cluster/a", "1")
    confdir = Confdir(tmp_path / "c", "--node", etcd.endpoint)
    confdir.template("a.j2", "{% set x = " + ask + " %}x")
    confdir.resource("a", '[template]\nsrc="a.j2"\ndest="@OUT@/a"\nkeys=["stolon"]\n')
    done = confdir.once()
    assert done.returncode == 1
    assert "/stolon" in done.stderr
    assert "pyconfd reads keys that start with /, as confd does" in done.stderr
    assert "put the key" not in done.stderr
    assert not (confdir.out / "a").exists()
