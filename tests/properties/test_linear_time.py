"""No value and no name makes matching slow: the time grows with the length, not with its square."""

from __future__ import annotations

import time

import pytest

from pyconfd.pipeline.render.formats import format_names, load_format
from pyconfd.pipeline.render.function_errors import FunctionFault
from pyconfd.pipeline.render.functions.text import regex_find, regex_match, regex_replace_all
from pyconfd.pipeline.render.key_glob import key_pattern
from pyconfd.pipeline.render.structure import shape
from pyconfd.pipeline.render.value_checks import RefusedValue, ValueChecker

#: The quadratic versions took minutes; a busy machine needs less than this for the linear ones.
SECONDS = 5.0
PIECES = ["1", "a", "[", "a.", " ", "\t", "\\\n", " \\", '"', "'", "''", "{", "\n", 'a"', "$"]


@pytest.mark.parametrize("size", [200_000, 1_000_000, 10_000_000])
@pytest.mark.parametrize("piece", PIECES)
def test_a_value_is_checked_in_linear_time(piece: str, size: int) -> None:
    """Up to 10 MB; what is longer than 64 Ki characters is refused by its length."""
    value = piece * (size // len(piece)) + ";"
    begun = time.monotonic()
    for name in format_names():
        checker = ValueChecker(load_format(name))
        for check in (checker.text, checker.quoted):
            with pytest.raises(RefusedValue, match="longer than value_limit = 65536"):
                check(value)
    assert time.monotonic() - begun < SECONDS


@pytest.mark.parametrize("piece", PIECES)
def test_the_longest_value_is_checked_in_linear_time(piece: str) -> None:
    """As data and as a part of the output."""
    value = piece * (60_000 // len(piece)) + ";"
    begun = time.monotonic()
    for name in format_names():
        form = load_format(name)
        shape(f"word {value}", form)
        try:
            ValueChecker(form).text(value)
        except RefusedValue:
            continue
    assert time.monotonic() - begun < SECONDS


def test_patterns_with_many_stars_take_linear_time() -> None:
    """On a name of many letters that does not match."""
    begun = time.monotonic()
    pattern = key_pattern("/" + "*a" * 30 + "*b")
    assert pattern is not None
    assert pattern.whole.fullmatch("/" + "a" * 2000) is None
    assert pattern.whole.fullmatch("/" + "a" * 2000 + "b") is not None
    assert time.monotonic() - begun < SECONDS


@pytest.mark.parametrize(
    "match",
    [
        lambda text: regex_match(r"[0-9]*\Z", text),
        lambda text: regex_find(r"[0-9]*\Z", text),
        lambda text: regex_replace_all(r"[0-9]*\Z", text, ""),
    ],
)
def test_regular_expressions_of_templates_see_no_huge_text(match: object) -> None:
    """The render fails instead of holding up every thread."""
    with pytest.raises(FunctionFault, match="more than 65536 characters"):
        match("1" * 200_000 + ";")  # type: ignore[operator]
