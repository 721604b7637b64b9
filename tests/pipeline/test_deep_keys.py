"""A key of hundreds of thousands of levels, which a writer of keys can put, does no harm."""

from __future__ import annotations

import time

import pytest

from pyconfd.model.keys import DEEPEST, Changed, KeyChange, KeyValue, Listed, PrefixFilter
from pyconfd.pipeline.store import Store

DEEP = "/app" + "/b" * 700_000


def test_a_key_that_is_too_deep_is_not_taken() -> None:
    """Listed or changed; its neighbours are."""
    begun = time.monotonic()
    store = Store()
    store.apply(Listed("x", 1, 5, (KeyValue(DEEP, b"v", 5), KeyValue("/app/a", b"v", 5))))
    store.apply(Changed("x", 6, (KeyChange(DEEP, b"w", 6), KeyChange("/app/b", b"v", 6))))
    store.apply(Changed("x", 7, (KeyChange(DEEP, None, 7),)))
    assert [one.key for one in store.snapshot().subtree()] == ["/app/a", "/app/b"]
    assert time.monotonic() - begun < 5.0


def test_the_deepest_key_is_taken_and_read() -> None:
    """With every function that walks."""
    key = "/b" * DEEPEST
    store = Store()
    store.apply(Listed("x", 1, 5, (KeyValue(key, b"v", 5),)))
    assert [one.key for one in store.snapshot().subtree()] == [key]
    assert len(store.snapshot()) == 1


@pytest.mark.parametrize("key", ["/zz" + "/b" * 700_000, "/zz" + "b" * 1_400_000, "b" * 1_400_000])
def test_a_long_name_is_compared_with_prefixes_in_linear_time(key: str) -> None:
    """A watch sees the keys between its prefixes too."""
    begun = time.monotonic()
    wanted = PrefixFilter(["/app", "/zzz/c"])
    assert not wanted.admits(key)
    assert wanted.admits(f"/zzz/c/{key}")
    assert time.monotonic() - begun < 2.0


@pytest.mark.parametrize(
    ("key", "admitted"),
    [
        ("/app", True), ("/app/x", True), ("/apple", False), ("/ap", False), ("/", False),
        ("/web/a/b", True), ("/web/ab", False), ("/web", False), ("", False), ("app", False),
    ],
)  # fmt: skip
def test_prefixes_end_at_slashes(key: str, admitted: bool) -> None:
    """Whatever is longer than the longest."""
    assert PrefixFilter(["/app", "/web/a"]).admits(key) is admitted
