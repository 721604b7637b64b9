"""Key patterns: the table of Go's own tests for path.Match, and what it says of bad ones."""

from __future__ import annotations

import pytest

from pyconfd.pipeline.render.key_glob import BadPattern, key_pattern

# From Go's path/match_test.go; each name and pattern is put behind a slash, as keys have it.
MATCHES = [
    ("abc", "abc", True),
    ("*", "abc", True),
    ("*c", "abc", True),
    ("a*", "a", True),
    ("a*", "abc", True),
    ("a*", "ab/c", False),
    ("a*/b", "abc/b", True),
    ("a*/b", "a/c/b", False),
    ("a*b*c*d*e*/f", "axbxcxdxe/f", True),
    ("a*b*c*d*e*/f", "axbxcxdxexxx/f", True),
    ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", False),
    ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", False),
    ("a*b?c*x", "abxbbxdbxebxczzx", True),
    ("a*b?c*x", "abxbbxdbxebxczzy", False),
    ("ab[c]", "abc", True),
    ("ab[b-d]", "abc", True),
    ("ab[e-g]", "abc", False),
    ("ab[^c]", "abc", False),
    ("ab[^b-d]", "abc", False),
    ("ab[^e-g]", "abc", True),
    ("a\\*b", "a*b", True),
    ("a\\*b", "ab", False),
    ("a?b", "a☺b", True),
    ("a[^a]b", "a☺b", True),
    ("a???b", "a☺b", False),
    ("a[^a][^a][^a]b", "a☺b", False),
    ("[a-ζ]*", "α", True),  # noqa: RUF001 - a Greek letter is meant
    ("*[a-ζ]", "A", False),
    ("a?b", "a/b", False),
    ("a*b", "a/b", False),
    ("[\\]a]", "]", True),
    ("[\\-]", "-", True),
    ("[x\\-]", "x", True),
    ("[x\\-]", "-", True),
    ("[x\\-]", "z", False),
    ("[\\-x]", "x", True),
    ("[\\-x]", "-", True),
    ("[\\-x]", "a", False),
    ("[z-a]", "m", False),
    ("[^z-a]", "m", True),
    ("*x", "xxx", True),
    ("a[^b]c", "a/c", True),
    ("[!a]", "a", True),
    ("[!a]", "b", False),
    (".*", ".hidden", True),
    ("*", ".hidden", True),
    ("a.c", "abc", False),
    ("*", "line\nbreak", True),
]

MALFORMED = ["[]a]", "[-]", "[x-]", "[-x]", "\\", "[a-b-c]", "[", "[^", "[^bc", "a[", "a/b[", "[\\"]


@pytest.mark.parametrize(("pattern", "name", "matches"), MATCHES)
def test_matches_as_go_does(pattern: str, name: str, matches: bool) -> None:
    """The whole key has to match, and a star stops at a slash."""
    compiled = key_pattern("/" + pattern)
    assert compiled is not None
    assert (compiled.whole.fullmatch("/" + name) is not None) == matches


@pytest.mark.parametrize("pattern", MALFORMED)
def test_malformed_pattern_is_named(pattern: str) -> None:
    """Whatever the store holds, unlike in Go, where only a tested key shows it."""
    with pytest.raises(BadPattern) as caught:
        key_pattern("/" + pattern)
    assert repr("/" + pattern) in str(caught.value)


@pytest.mark.parametrize("pattern", ["", "a/*", "/a/", "/a//*", "//*"])
def test_pattern_that_no_key_path_can_match(pattern: str) -> None:
    """Key paths start with a slash and have no empty name."""
    assert key_pattern(pattern) is None


def test_pattern_without_special_characters_is_one_key() -> None:
    """Escapes may be in it."""
    compiled = key_pattern("/a/b\\*")
    assert compiled is not None
    assert (compiled.exact, compiled.literal) == (True, ("a", "b*"))
