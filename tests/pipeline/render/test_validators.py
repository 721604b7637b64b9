"""Filters that refuse what is not of a kind."""

from __future__ import annotations

from typing import Any

import pytest

from pyconfd.pipeline.render.function_errors import FunctionFault
from pyconfd.pipeline.render.functions.validators import KINDS, weight_between
from pyconfd.pipeline.render.value_checks import key_text

HOSTS = ["a", "www.example.com", "a-b.c_d.", "10.0.0.1", "::1", "[2001:db8::1]", "xn--bcher-kva"]
NO_HOSTS = ["", "a b", "a;b", "-a", "a-", "a..b", "10.0.0.300", "1.2", "[::1", "::1%lo", "[a]", "é"]
NO_HOSTS += ["a" * 64, ("a" * 63 + ".") * 4, "a\n", "$host", ":", "[10.0.0.1]", None, True, ["a"]]


@pytest.mark.parametrize("value", HOSTS)
def test_hosts(value: str) -> None:
    """Names and addresses, as they are."""
    assert KINDS["host"](value) == value


@pytest.mark.parametrize("value", NO_HOSTS)
def test_no_hosts(value: Any) -> None:
    """The value is not in the message."""
    with pytest.raises(FunctionFault, match=r"^the value is not a valid host name or address$"):
        KINDS["host"](value)


@pytest.mark.parametrize("value", ["a:1", "10.0.0.1:65535", "[::1]:80", "a.b.:443"])
def test_hostports(value: str) -> None:
    """With a port, IPv6 in brackets."""
    assert KINDS["hostport"](value) == value


@pytest.mark.parametrize(
    "value", ["a", ":80", "a:", "a:0", "a:65536", "a:8x", "::1:80", "a:80:80", "a:80;", "a:+1", 80]
)
def test_no_hostports(value: Any) -> None:
    """Nothing before, after or missing."""
    with pytest.raises(FunctionFault, match="is not a valid host:port"):
        KINDS["hostport"](value)


@pytest.mark.parametrize(("value", "number"), [("1", 1), ("65535", 65535), (80, 80), ("0080", 80)])
def test_ports(value: Any, number: int) -> None:
    """As numbers."""
    assert KINDS["port"](value) == number


@pytest.mark.parametrize("value", ["0", "65536", "-1", "+1", " 1", "1_0", "\u0661", "", 1.5, True])
def test_no_ports(value: Any) -> None:
    """Digits only, and ASCII ones."""
    with pytest.raises(FunctionFault, match="is not a valid port number"):
        KINDS["port"](value)


@pytest.mark.parametrize(
    ("value", "number"), [("30", 30), ("30s", 30), ("5m", 300), ("1h", 3600), ("1d", 86400), (7, 7)]
)
def test_seconds(value: Any, number: int) -> None:
    """With a unit or without."""
    assert KINDS["seconds"](value) == number


@pytest.mark.parametrize("value", ["", "s", "1.5", "-1", "1ms", "1 s", "1s;", None])
def test_no_seconds(value: Any) -> None:
    """Nothing that rounds."""
    with pytest.raises(FunctionFault, match="is not a valid number of seconds"):
        KINDS["seconds"](value)


def test_weights_have_the_format_s_limits() -> None:
    """And say them, and the key."""
    weight = weight_between({"min": 1, "max": 256})
    assert (weight("1"), weight(256)) == (1, 256)
    for value in ("0", "257", "x"):
        with pytest.raises(FunctionFault, match="value of /w is not a valid weight from 1 to 256"):
            weight(key_text(value, "/w"))


@pytest.mark.parametrize(
    ("value", "limits", "number"),
    [("1", (1, 255), 1), (255, (1, 255), 255), ("-5", (), -5), ("7", (7,), 7), ("0", (None, 9), 0)],
)
def test_integers(value: Any, limits: tuple[Any, ...], number: int) -> None:
    """As numbers, the limits included."""
    assert KINDS["integer"](value, *limits) == number


@pytest.mark.parametrize(
    "value", ["", "x", "1.5", "+1", "1_0", " 1", "\u0661", 1.5, True, None, [1]]
)
def test_no_integers(value: Any) -> None:
    """Digits only, and ASCII ones."""
    with pytest.raises(FunctionFault, match=r"^the value is not a valid whole number$"):
        KINDS["integer"](value)


@pytest.mark.parametrize(
    ("limits", "kind"),
    [((1, 3), "from 1 to 3"), ((None, 3), "up to 3"), ((5,), "from 5")],
)
def test_integers_beyond_a_limit(limits: tuple[Any, ...], kind: str) -> None:
    """The refusal says the limits and the key."""
    says = rf"^the value of /k is not a valid whole number {kind}$"
    with pytest.raises(FunctionFault, match=says):
        KINDS["integer"](key_text("4", "/k"), *limits)


def test_names() -> None:
    """Letters, digits and three marks."""
    assert KINDS["name"]("VI_1.a-b") == "VI_1.a-b"
    for value in ("", "a b", "a/b", "a\n", "é", None, True):
        with pytest.raises(FunctionFault, match="is not a valid name of letters"):
            KINDS["name"](value)


def test_one_of() -> None:
    """The refusal lists what is allowed, and not the value."""
    assert KINDS["one_of"]("up", "up", "down") == "up"
    with pytest.raises(FunctionFault, match=r"^the value of /s is none of up, down$"):
        KINDS["one_of"](key_text("secret", "/s"), "up", "down")


def test_paths() -> None:
    """Absolute, and never upwards."""
    assert KINDS["path"]("/srv/www..old/a") == "/srv/www..old/a"
    for value in ("", "a", "../a", "/a/../b", "/..", "/a\n", "/a\0", None, 1):
        with pytest.raises(FunctionFault, match=r"is not a valid absolute path without \.\.$"):
            KINDS["path"](value)
