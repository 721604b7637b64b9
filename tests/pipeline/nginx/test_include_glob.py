"""Patterns of includes are what glob(3) makes of them, because nginx asks it."""

from __future__ import annotations

import contextlib
import ctypes
import locale
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconfd.pipeline.nginx import include_glob as nginx_glob

NAMES = [
    "a.conf",
    "b.conf",
    "_x.conf",
    ".hidden.conf",
    "A1.conf",
    "a[1].conf",
    "a*b.conf",
    "x?y",
    "ä.conf",
    "1-2",
    "a\\b",
    "]",
    "!",
    "^a",
    "a-b",
]


class _Glob(ctypes.Structure):
    """glob_t as far as it is looked at, and room for the rest."""

    _fields_ = (
        ("count", ctypes.c_size_t),
        ("paths", ctypes.POINTER(ctypes.c_char_p)),
        ("rest", ctypes.c_char * 256),
    )


@contextlib.contextmanager
def c_locale() -> Iterator[None]:
    """The C library's, as nginx has it; Python sets that of the environment."""
    before = locale.setlocale(locale.LC_ALL)
    locale.setlocale(locale.LC_ALL, "C")
    yield
    locale.setlocale(locale.LC_ALL, before)


def from_libc(pattern: str) -> list[str]:
    """What the C library answers, in nginx's way of asking."""
    libc, found = ctypes.CDLL(None), _Glob()
    with c_locale():
        if libc.glob(os.fsencode(pattern), 0, None, ctypes.byref(found)) != 0:
            return []
    paths = [os.fsdecode(found.paths[at] or b"") for at in range(found.count)]
    libc.globfree(ctypes.byref(found))
    return paths


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders with names that patterns stumble over."""
    root = tmp_path_factory.mktemp("globs")
    for sub in ("one two", "b[1]"):
        (root / sub).mkdir()
        for name in NAMES:
            (root / sub / name).touch()
    (root / "file").touch()
    return root


@pytest.mark.parametrize(
    "pattern",
    [
        *("one two/*.conf", "*/*.conf", "one\\ two/*", "*/[^_]*.conf", "*/[!_]*", "*/[[:alpha:]]*"),
        *("*/[[:upper:][:digit:]]*", "*/a[[]1].conf", "*/a\\[1\\].conf", "*/?.conf", "*/??.conf"),
        *("*/[a-b].conf", "*/[b-a]*", "*/[]]", "*/[!]]", "*/[", "*/a[1].conf", "*/.*", "*/[.]*"),
        *("*/a\\*b.conf", "*/x[?]y", "*/[a", "b\\[1]/*", "b[[]1]/a.conf", "file/*", "no/*", "*"),
        *("*/[\\]]", "*/a\\\\b", "*/a.con\\f", "*/[a-]*", "*/[^a]*", "*/[\\^]a", "[ob]*/ä*"),
    ],
)
def test_a_pattern_means_what_it_means_to_glob_3(folder: Path, pattern: str) -> None:
    """The same paths in the same order."""
    whole = f"{folder}/{pattern}"
    assert nginx_glob.matching(whole) == from_libc(whole)


@settings(max_examples=200)
@given(st.text("ab*?[]!^-\\1_x", max_size=8))
def test_any_pattern_means_what_it_means_to_glob_3(folder: Path, pattern: str) -> None:
    """Also malformed ones; a backslash at the end is left to nginx."""
    whole = f"{folder}/*/{pattern.rstrip(chr(92))}*"
    assert nginx_glob.matching(whole) == from_libc(whole)


def test_a_file_is_named_whatever_its_path_holds(folder: Path) -> None:
    """nginx finds that very file."""
    for name in NAMES:
        path = str(folder / "b[1]" / name)
        pattern = nginx_glob.as_pattern(path)
        assert from_libc(pattern) == [path]
        assert nginx_glob.matching(pattern) == [path]
    assert nginx_glob.as_pattern("/a\\b") == "/a\\b"


def test_a_name_that_does_not_exist_yet_matches_as_it_will(folder: Path) -> None:
    """The last part of a pattern alone."""
    assert nginx_glob.matches("new.conf", "[^_]*.conf")
    assert not nginx_glob.matches("_new.conf", "[^_]*.conf")
    assert not nginx_glob.matches(".new.conf", "*.conf")
