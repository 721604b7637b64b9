"""Functions of templates at the edges. Their plain use is in docs/templates.md."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from pyconfd.model.keys import KeyValue, Listed
from pyconfd.pipeline.render.function_errors import FunctionFault, NoSuchKey, NotText
from pyconfd.pipeline.render.function_table import functions
from pyconfd.pipeline.render.functions import json as json_functions
from pyconfd.pipeline.render.functions import lists as list_functions
from pyconfd.pipeline.render.functions import numbers as number_functions
from pyconfd.pipeline.render.functions import text as text_functions
from pyconfd.pipeline.render.functions.text import as_text
from pyconfd.pipeline.render.view import View
from pyconfd.pipeline.store import Store


def bound(
    keys: dict[str, bytes], *, watched: tuple[str, ...] = ("/",), prefix: str = "/"
) -> dict[str, Any]:
    store = Store()
    items = tuple(KeyValue(key, value, 1) for key, value in keys.items())
    store.apply(Listed("fake", 1, 1, items))
    return functions(View(store.snapshot(), prefix, watched), {"SET": "x", "EMPTY": ""})


def test_missing_key_is_named_as_the_store_has_it() -> None:
    """So that it can be put as it is printed."""
    template = bound({}, prefix="/prod")
    with pytest.raises(NoSuchKey) as caught:
        template["getv"]("/app/x")
    assert (caught.value.key, caught.value.hint) == ("/prod/app/x", "")
    with pytest.raises(NoSuchKey, match="/prod/app/x"):
        template["get"]("/app/x")


def test_key_outside_the_resource_says_so() -> None:
    """It may well exist, which is why "does not exist" alone would puzzle."""
    with pytest.raises(NoSuchKey) as caught:
        bound({"/other": b"1"}, watched=("/app",))["getv"]("/other")
    assert "keys do not cover it" in caught.value.hint
    with pytest.raises(NoSuchKey) as caught:
        bound({"/app": b"1"})["getv"]("app")
    assert 'start with "/"' in caught.value.hint


def test_default_may_be_anything() -> None:
    """Also nothing, and it does not stand for an empty value."""
    template = bound({"/empty": b""})
    assert template["getv"]("/x", None) is None
    assert template["getv"]("/x", 7) == 7
    assert template["getv"]("/empty", "default") == ""


def test_binary_value_is_named_only_when_it_is_read() -> None:
    """Other keys can be read beside it."""
    template = bound({"/app/a": b"fine", "/app/b": b"\xff"})
    assert template["getv"]("/app/a") == "fine"
    assert template["ls"]("/app") == ["a", "b"]
    calls = (("get", "/app/b"), ("getv", "/app/b"), ("gets", "/app/*"), ("getvs", "/app/*"))
    for name, argument in calls:
        with pytest.raises(NotText) as caught:
            template[name](argument)
        assert caught.value.key == "/app/b"


def test_malformed_pattern_is_a_fault() -> None:
    """It names the pattern."""
    for name in ("gets", "getvs"):
        with pytest.raises(FunctionFault, match=r"/app/\["):
            bound({})[name]("/app/[")


def test_pairs_unpack_and_have_names() -> None:
    """Below a prefix the key is the template's."""
    template = bound({"/prod/a": b"1", "/prod/b": b"2"}, prefix="/prod")
    assert template["gets"]("/*") == [("/a", "1"), ("/b", "2")]
    assert [(pair.key, pair.value) for pair in template["gets"]("/?")] == [("/a", "1"), ("/b", "2")]


@pytest.mark.parametrize(
    ("value", "text"),
    [("x", "x"), (True, "true"), (False, "false"), (1, "1"), (1.5, "1.5"), (10**20, str(10**20))],
)
def test_printable_values(value: Any, text: str) -> None:
    """Booleans as confd prints them."""
    assert as_text(value) == text


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        (),
        {},
        set(),
        b"x",
        len,
        (x for x in "a"),
        list_functions.default,
        range(0).__iter__(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_python_notation_is_not_printed(value: Any) -> None:
    """It would be no configuration."""
    with pytest.raises(FunctionFault, match="cannot be printed"):
        as_text(value)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("json", ("[]",)),
        ("json", ("secret",)),
        ("json", ("",)),
        ("json", ("NaN",)),
        ("json", ("[" * 100000,)),
        ("jsonArray", ("{}",)),
        ("toJson", ({1, 2},)),
        ("toJson", (float("inf"),)),
        ("base64Decode", ("secret!",)),
        ("base64Decode", ("/w==",)),
        ("atoi", ("secret",)),
        ("atoi", ("1_0",)),
        ("atoi", (" 1",)),
        ("atoi", ("",)),
        ("parseBool", ("secret",)),
        ("add", ("secret", 1)),
        ("mul", ("secret", 3)),
        ("seq", ("1", 3)),
        ("sub", (1.5, 1)),
        ("div", (1, 0)),
        ("mod", (1, 0)),
        ("map", ("a",)),
        ("dict", (1, 2)),
        ("regexMatch", ("(", "secret")),
    ],
)
def test_fault_says_why_and_no_value(name: str, arguments: tuple[Any, ...]) -> None:
    """Values of keys are in no message."""
    with pytest.raises(FunctionFault) as caught:
        bound({})[name](*arguments)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "base", "folder"),
    [
        ("/a/b", "b", "/a"),
        ("/a/b/", "b", "/a/b"),
        ("a", "a", "."),
        ("", ".", "."),
        ("/", "/", "/"),
        ("//", "/", "/"),
        ("/a", "a", "/"),
        ("a/b/../c", "c", "a"),
        ("a//b", "b", "a"),
    ],
)
def test_paths_as_in_go(path: str, base: str, folder: str) -> None:
    """path.Base and path.Dir."""
    assert (text_functions.base(path), text_functions.directory(path)) == (base, folder)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("HTTPServer", ["http", "server"]),
        ("myHTTPServer2x", ["my", "http", "server2x"]),
        ("a_b-c d", ["a", "b", "c", "d"]),
        ("__", []),
        ("", []),
        ("ABC", ["abc"]),
    ],
)
def test_words_as_in_the_fork(text: str, parts: list[str]) -> None:
    """Boundaries are case, underscore, hyphen and space."""
    assert text_functions.words(text) == parts


def test_nothing_is_changed_in_place() -> None:
    """The classic confd reverses and sorts its argument."""
    items = ["bbb", "a"]
    assert list_functions.reverse(items) == list_functions.sort_by_length(items) == ["a", "bbb"]
    assert list_functions.append(items, "c") == ["bbb", "a", "c"]
    assert items == ["bbb", "a"]


@pytest.mark.parametrize(("a", "b"), [(7, 2), (-7, 2), (7, -2), (-7, -2), (0, 3), (6, 3)])
def test_division_as_in_go(a: int, b: int) -> None:
    """Towards zero, and the rest has the sign of the dividend."""
    assert number_functions.div(a, b) == int(a / b)
    assert number_functions.div(a, b) * b + number_functions.mod(a, b) == a


def test_sequence_counts_up_only() -> None:
    """As in the classic confd: from 1 to 0 is nothing, not two."""
    assert number_functions.seq(1, 0) == []
    assert number_functions.seq(2, 2) == [2]


def test_quote_escapes_as_go_does() -> None:
    """Printable characters stay."""
    assert text_functions.quote('é"\\\n\x01\u200b') == '"é\\"\\\\\\n\\x01\\u200b"'


def test_groups_in_replacements_as_in_go() -> None:
    """Also by name; an unknown one is empty."""
    replace = text_functions.regex_replace_all
    assert replace("(?P<a>.)b", "xb", "${a}$1$$$9\\1") == "xx$\\1"


def test_environment_is_the_given_one() -> None:
    """The default also stands for an empty variable."""
    getenv = bound({})["getenv"]
    assert (getenv("SET"), getenv("EMPTY", "d"), getenv("NO"), getenv("NO", "d")) == (
        "x",
        "d",
        "",
        "d",
    )


def test_names_that_cannot_be_resolved_are_empty() -> None:
    """As in confd, without an error."""
    template = bound({})
    assert template["lookupIP"]("no such name..") == []
    assert template["lookupSRV"]("", "", "no..name") == []
    assert template["lookupIfaceIPV4"]("none0") == ""
    assert template["hostname"]() == socket.gethostname()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (-1000.0, "-1000"),
        (0.5, "0.5"),
        ({"a": [1.0, {"b": 2.5}], "c": True}, '{"a":[1,{"b":2.5}],"c":true}'),
        (1e21, "1e+21"),
    ],
)
def test_json_has_whole_numbers_without_a_fraction(value: object, text: str) -> None:
    """As Go's encoding/json writes them."""
    assert json_functions.to_json(value) == text


def test_a_list_within_itself_is_no_json() -> None:
    """One line, no traceback."""
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(FunctionFault, match="cannot be JSON"):
        json_functions.to_json(endless)
