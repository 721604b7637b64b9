"""Large and many prefixes: read in few calls, whole, and at one revision."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyconfd.backends.base import SourceOptions
from pyconfd.backends.etcd.source import EtcdSource
from pyconfd.backends.registry import open_source
from pyconfd.errors import RevisionCompacted
from tests.support.daemons.etcd import PrivateEtcd

pytestmark = pytest.mark.integration


def test_prefixes_of_every_size_are_whole(each_etcd: PrivateEtcd) -> None:
    """More prefixes than a transaction takes, with none, one, a page and many pages of keys."""
    sizes = {f"/{number:03d}": number % 40 for number in range(120)}
    sizes["/050"] = 9_000
    wanted = {
        f"{prefix}/{number:05d}": (b"x" * 2_000 if prefix == "/050" else b"v")
        for prefix, count in sizes.items()
        for number in range(count)
    }
    each_etcd.put_many([(key, value.decode()) for key, value in wanted.items()])
    each_etcd.put("/050x", "a sibling, which no prefix covers")
    source = open_source("etcd", SourceOptions(nodes=(each_etcd.endpoint,)))
    listed = source.list(list(sizes), timeout_s=20)
    source.close()
    assert {each.key: each.value for each in listed.keys} == wanted
    assert len(listed.keys) == len(wanted)
    assert listed.revision == each_etcd.revision


def test_an_earlier_revision_is_read_whole(tmp_path: Path) -> None:
    """With what was deleted since; one that was compacted, or is not there yet, is said so."""
    with PrivateEtcd(tmp_path) as etcd:
        for number in range(100):
            etcd.put(f"/app/{number:03}", "old")
        source = EtcdSource(SourceOptions(nodes=(etcd.endpoint,)))
        before = source.list(["/app"], timeout_s=5)
        etcd.put("/app/000", "new")
        etcd.delete("/app/001")
        then = source.list_at(["/app"], before.revision, timeout_s=5)
        assert (then.revision, then.keys) == (before.revision, before.keys)
        with pytest.raises(RevisionCompacted, match="is not there"):
            source.list_at(["/app"], before.revision + 100, timeout_s=5)
        etcd.compact(before.revision + 1)
        with pytest.raises(RevisionCompacted, match="was compacted"):
            source.list_at(["/app"], before.revision, timeout_s=5)
        etcd.delete("/app/002")
        oldest = source.list_oldest(["/app"], timeout_s=5)
        assert (oldest.revision, len(oldest.keys)) == (before.revision + 1, 100)
        source.close()
