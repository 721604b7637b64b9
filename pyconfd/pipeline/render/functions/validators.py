"""
Filters that refuse values of the wrong kind: host, hostport, integer, name, one_of, path, port,
seconds, weight. Pure.

They work in every format and without one. Faults name the kind and never the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pyconfd.pipeline.render.function_errors import FunctionFault

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?")
_NUMBERS = re.compile(r"[0-9.]+")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def host(value: Any) -> str:
    """A host name, an IPv4 address, or an IPv6 address in brackets or without."""
    text = _text(value, "host name or address")
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" in bare:
        if _is_address(bare, 6):
            return text
    # 10.0.0.300 is a host name by its characters, but none is meant.
    elif _NUMBERS.fullmatch(text):
        if _is_address(text, 4):
            return text
    elif text == bare and _NAME.fullmatch(text):
        return text
    raise _not_one(value, "host name or address")


def hostport(value: Any) -> str:
    """`host:port`; an IPv6 address stands in brackets."""
    text = _text(value, "host:port")
    server, colon, number = text.rpartition(":")
    bracketed = server.startswith("[") and server.endswith("]")
    try:
        if colon and (bracketed or ":" not in server):
            return f"{host(server)}:{port(number)}"
    except FunctionFault:
        pass
    raise _not_one(value, "host:port")


def integer(value: Any, least: int | None = None, most: int | None = None) -> int:
    """A whole number within these limits, both included."""
    kind = "whole number"
    if least is not None:
        kind += f" from {least}"
    if most is not None:
        kind += f" to {most}" if least is not None else f" up to {most}"
    text = _text(value, kind)
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise _not_one(value, kind)
    number = int(text)
    if (least is not None and number < least) or (most is not None and number > most):
        raise _not_one(value, kind)
    return number


def name(value: Any) -> str:
    """Letters, digits, `_`, `.` and `-`, at least one of them."""
    kind = "name of letters, digits, _ . and -"
    text = _text(value, kind)
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", text):
        raise _not_one(value, kind)
    return text


def one_of(value: Any, *allowed: Any) -> Any:
    """One of these values."""
    if value not in allowed:
        raise FunctionFault(f"{_origin(value)} is none of {', '.join(map(str, allowed))}")
    return value


def path(value: Any) -> str:
    """An absolute path that does not lead upwards and has no control characters."""
    kind = "absolute path without .."
    text = _text(value, kind)
    if not text.startswith("/") or ".." in text.split("/") or not text.isprintable():
        raise _not_one(value, kind)
    return text


def port(value: Any) -> int:
    """A port number, 1 to 65535."""
    return _number(value, 1, 65535, "port number")


def seconds(value: Any) -> int:
    """
    A duration in whole seconds: 30, "30", "30s", "5m", "1h", "1d", "1w".

    The unit is not printed: write `{{ value | seconds }}s`.
    """
    text = _text(value, "number of seconds")
    match = re.fullmatch(r"([0-9]{1,9})([smhdw]?)", text)
    if not match:
        raise _not_one(value, "number of seconds")
    return int(match[1]) * _SECONDS[match[2]]


def weight_between(limits: Mapping[str, int]) -> Callable[[Any], int]:
    """A filter for weights within a format's limits."""

    def weight(value: Any) -> int:
        least, most = limits["min"], limits["max"]
        return _number(value, least, most, f"weight from {least} to {most}")

    return weight


def _number(value: Any, least: int, most: int, kind: str) -> int:
    text = _text(value, kind)
    # Not isdigit, and int alone takes more than digits: "+1", "1_0".
    if not re.fullmatch(r"[0-9]{1,5}", text) or not least <= int(text) <= most:
        raise _not_one(value, kind)
    return int(text)


def _text(value: Any, kind: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise _not_one(value, kind)
    return str(value)


def _is_address(text: str, version: int) -> bool:
    import ipaddress

    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.version == version and "%" not in text


def _origin(value: Any) -> str:
    return str(getattr(value, "origin", "the value"))


def _not_one(value: Any, kind: str) -> FunctionFault:
    return FunctionFault(f"{_origin(value)} is not a valid {kind}")


KINDS: dict[str, Callable[..., Any]] = {
    **{check.__name__: check for check in (host, hostport, integer, name, path, port, seconds)},
    "one_of": one_of,
    "weight": weight_between({"min": 0, "max": 65535}),
}
