"""What a resource sees of the store, and what is recorded of its looking."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconfd.model.keys import KeyValue, Listed, is_under
from pyconfd.pipeline.render.key_glob import key_pattern
from pyconfd.pipeline.render.view import View
from pyconfd.pipeline.store import Snapshot, Store

KEYS = (
    "/app/a",
    "/app/b",
    "/app/sub/c",
    "/app/sub/d",
    "/app/sub",
    "/app-x/a",
    "/app.x",
    "/apple/x",
    "/other/z",
)


def snapshot(*keys: str) -> Snapshot:
    store = Store()
    items = tuple(KeyValue(key, key.encode(), 1) for key in keys)
    store.apply(Listed("fake", 1, 1, items))
    return store.snapshot()


def view(*keys: str, prefix: str = "/", held: tuple[str, ...] = KEYS) -> View:
    return View(snapshot(*held), prefix, keys)


def matching(seen: View, pattern: str) -> list[str]:
    return [seen.local(item) for item in seen.matching(pattern)]


def test_keys_are_path_boundaries() -> None:
    """/apple, /app-x and /app.x are not below /app."""
    seen = view("/app")
    assert matching(seen, "/*/*") == ["/app/a", "/app/b", "/app/sub"]
    assert seen.get("/apple/x") is None
    assert seen.names("/") == ["app"]


def test_single_key_shows_only_itself() -> None:
    """Its folder is listed with it alone."""
    seen = view("/app/a")
    assert seen.get("/app/a") is not None
    assert seen.get("/app/b") is None
    assert (seen.names("/"), seen.names("/app")) == (["app"], ["a"])
    assert matching(seen, "/app/*") == ["/app/a"]


def test_folder_of_an_absent_key_is_not_listed() -> None:
    """What may be read but is not there shows nothing, not even its folder."""
    seen = view("/app/nope", "/gone")
    assert (seen.names("/"), seen.names("/app"), matching(seen, "/*/*")) == ([], [], [])


def test_prefix_is_not_seen() -> None:
    """Templates name keys below the prefix."""
    seen = view("/sub", prefix="/app")
    assert matching(seen, "/sub/*") == ["/sub/c", "/sub/d"]
    assert seen.get("/sub/c") is not None
    assert seen.get("/app/sub/c") is None
    assert seen.names("/") == ["sub"]
    assert seen.names("/sub") == ["c", "d", "sub"]


def test_no_keys_shows_nothing() -> None:
    """A resource without keys reads no key."""
    seen = view()
    assert (seen.names("/"), matching(seen, "/*"), seen.get("/app/a")) == ([], [], None)
    assert seen.reads.keys == seen.reads.trees == frozenset()


def test_root_key_shows_everything() -> None:
    """keys = ["/"]."""
    assert view("/").names("/") == ["app", "app-x", "app.x", "apple", "other"]


def test_listing_of_folders_only() -> None:
    """Only what has something below it."""
    seen = view("/")
    assert seen.names("/", folders=True) == ["app", "app-x", "apple", "other"]
    assert seen.names("/app", folders=True) == ["sub"]
    assert view("/app/sub/c").names("/app", folders=True) == ["sub"]
    assert view("/app/a").names("/app", folders=True) == []


def test_listing_a_key_names_the_key() -> None:
    """As confd does; any spelling of the path will do."""
    seen = view("/")
    assert seen.names("/app/a") == seen.names("app/a/") == ["a"]
    assert seen.names("/app/nope") == []


def test_results_are_sorted_by_key() -> None:
    """Bytewise over the whole key, where "-" and "." come before the slash."""
    assert matching(view("/"), "/*/?") == ["/app-x/a", "/app/a", "/app/b", "/apple/x", "/other/z"]


@pytest.mark.parametrize("key", ["app/a", "/app//a", "/app/a/", "", "/"])
def test_only_the_exact_spelling_is_a_key(key: str) -> None:
    """As in confd."""
    assert view("/").get(key) is None


def test_class_may_match_a_slash() -> None:
    """Go's path.Match lets it."""
    assert matching(view("/app"), "/app/sub[^x]c") == ["/app/sub/c"]
    assert matching(view("/app/sub"), "/app[+-9]sub[^x]*") == ["/app/sub/c", "/app/sub/d"]


@pytest.mark.parametrize(
    ("pattern", "tree"),
    [
        ("/app/*", "/app"),
        ("/app/*/b", "/app"),
        ("/app/s*", "/app"),
        ("/app/sub/[cd]", "/app/sub"),
        ("/app/sub[^x]c", "/app"),
        ("/*", "/"),
    ],
)
def test_pattern_reads_the_tree_before_its_first_special_character(pattern: str, tree: str) -> None:
    """Absolute, however the resource's prefix is."""
    seen = view("/")
    seen.matching(pattern)
    assert (seen.reads.keys, seen.reads.trees) == (frozenset(), {tree})
    below = view("/", prefix="/app")
    below.matching(pattern)
    assert below.reads.trees == {"/app" + tree if tree != "/" else "/app"}


def test_single_keys_are_recorded_absent_or_not() -> None:
    """A key that appears later changes the output."""
    seen = view("/a", "/sub", prefix="/app")
    seen.get("/a")
    seen.get("/sub/nope")
    seen.matching("/sub/c")
    assert seen.reads.keys == {"/app/a", "/app/sub/nope", "/app/sub/c"}


def test_reads_never_leave_the_keys_of_the_resource() -> None:
    """What may not be read cannot change the output."""
    seen = view("/app/sub", "/other")
    seen.get("/app/a")
    seen.names("/")
    seen.names("/apple")
    seen.matching("/app/*")
    assert (seen.reads.keys, seen.reads.trees) == (frozenset(), {"/app/sub", "/other"})


NAMES = st.sampled_from(["a", "b", "ab", "a-b", "*"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(lambda names: "/" + "/".join(names))
LEVELS = st.sampled_from(["*", "a*", "?", "[ab]", "[^b]", "a", "b", "\\*", "*-?"])
PATTERNS = st.lists(LEVELS, min_size=1, max_size=3).map(lambda names: "/" + "/".join(names))


@settings(max_examples=300, deadline=None)
@given(st.sets(PATHS), st.lists(PATHS, max_size=3), PATTERNS)
def test_walking_finds_what_testing_every_key_finds(
    held: set[str], keys: list[str], pattern: str
) -> None:
    """The trie is only a shorter way."""
    seen = View(snapshot(*held), "/", keys)
    compiled = key_pattern(pattern)
    assert compiled is not None
    expected = [
        key
        for key in held
        if any(is_under(key, allowed) for allowed in keys) and compiled.whole.fullmatch(key)
    ]
    assert matching(seen, pattern) == sorted(expected)
    for key in expected:
        recorded = seen.reads.trees | seen.reads.keys
        assert any(is_under(key, path) for path in recorded)
