"""What one call of a template may make at most, of values that anyone may put: render/functions."""

from __future__ import annotations

import pytest

import pyconfd

LONG = 20_000
KEYS = {"/lines": "\n" * LONG, "/names": ",".join("n" * LONG), "/long": "x" * 2_000, "/wide": "x"}
#: Go's functions and Jinja2's functions, filters and methods, each of two values that multiply.
TOO_MUCH = {
    "go replace": ("go", r'{{ replace (getv "/lines") "\n" (getv "/long") -1 }}'),
    "go join": ("go", '{{ join (split (getv "/names") ",") (getv "/long") }}'),
    "go indent": ("go", '{{ indent 2000 (getv "/lines") }}'),
    "go regexReplaceAll": ("go", r'{{ regexReplaceAll "\n" (getv "/lines") (getv "/long") }}'),
    "replace": ("", r'{{ replace(getv("/lines"), "\n", getv("/long")) }}'),
    "replace filter": ("", r'{{ getv("/lines") | replace("\n", getv("/long")) }}'),
    "replace method": ("", r'{{ getv("/lines").replace("\n", getv("/long")) }}'),
    "join": ("", '{{ join(split(getv("/names"), ","), getv("/long")) }}'),
    "join filter": ("", '{{ getv("/names") | split(",") | join(getv("/long")) }}'),
    "join method": ("", '{{ getv("/long").join(getv("/names").split(",")) }}'),
    "indent": ("", '{{ indent(2000, getv("/lines")) }}'),
    "indent filter": ("", '{{ getv("/lines") | indent(2000) }}'),
    "nindent filter": ("", '{{ getv("/lines") | nindent(2000) }}'),
    "regexReplaceAll": ("", r'{{ regexReplaceAll("\n", getv("/lines"), getv("/long")) }}'),
    "center filter": ("", '{{ getv("/wide") | center(99999999) }}'),
    "batch filter": ("", '{{ getv("/wide") | batch(99999999, "x") | list | length }}'),
    "round filter": ("", "{{ 5 | round(-99999999) }}"),
    "format method": ("", '{{ "{:>99999999}".format(getv("/wide")) }}'),
    "format method, a width of its own": ("", '{{ "{:>{w}}".format("x", w=99999999) }}'),
}


@pytest.mark.parametrize(("engine", "template"), TOO_MUCH.values(), ids=TOO_MUCH)
def test_a_call_that_would_make_too_much_is_a_fault_of_its_line(engine: str, template: str) -> None:
    """And takes no memory: two values of a megabyte could be a terabyte."""
    options = ["--compat=confd-fork", "--template-engine=go"] if engine else []
    with pytest.raises(pyconfd.RenderFailed, match=r":1: .*more than [0-9]+ characters"):
        pyconfd.render(template + "\n", KEYS, options=options)


def test_so_is_one_of_a_format() -> None:
    """Which has a join of its own."""
    with pytest.raises(pyconfd.RenderFailed, match="join: more than"):
        pyconfd.render(TOO_MUCH["join filter"][1], KEYS, format="nginx")


@pytest.mark.parametrize(
    ("template", "made"),
    [
        ('{{ "{} bytes".format(2097152) }}', "2097152 bytes"),
        ('{{ "{0:>{1}}".format("x", 3) }}', "  x"),
        ('{{ "2097152".find("x", 2097152) }}', "-1"),
        ('{{ "a,b" | replace(",", getv("/long"), 0) }}', "a,b"),
        ('{{ [1, 2] | join("-") }}', "1-2"),
        ('{{ "a\nb" | indent(2, true) }}', "  a\n  b"),
    ],
)
def test_what_is_no_more_than_it_was_is_made(template: str, made: str) -> None:
    """A large number that is only printed is no length."""
    assert pyconfd.render(template, KEYS) == made
