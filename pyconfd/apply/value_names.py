"""
The output of a checker with the names of keys in place of their values: it goes to the log, the
status and `/health`, and what keys hold may be secret. Pure.

Checkers quote what they refuse: only what stands in quotes is changed, so that a value that is a
usual word ("nginx", "server") makes nothing unreadable. The address of a member is no secret, and
is what an operator looks for: it stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from pyconfd.model.keys import KeyValue

# Shorter ones say nothing, and stand everywhere.
_SHORTEST = 4
_LONGEST_OUTPUT = 64 * 1024
_ADDRESS = re.compile(r"(\d{1,3}(\.\d{1,3}){3}|\[[0-9A-Fa-f:.]+\])(:\d+)?")
_QUOTED = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'")


def without_values(output: str, items: Iterable[KeyValue]) -> str:
    """The output, in which no quoted text is or holds the value of one of these keys."""
    quoted = {found[1:-1] for found in _QUOTED.findall(output[:_LONGEST_OUTPUT])}
    words = {word for word in quoted if len(word) >= _SHORTEST}
    if not words:
        return output
    everything = "\n".join(words)
    named: dict[str, str] = {}
    for item in items:
        for value in _with_hosts(_texts(item.value)):
            if len(value) < _SHORTEST or _ADDRESS.fullmatch(value):
                continue
            if value in everything:
                named.setdefault(value, f"(the value of {item.key})")
    if not named:
        return output
    values = re.compile("|".join(map(re.escape, sorted(named, key=len, reverse=True))))

    def renamed(found: re.Match[str]) -> str:
        text = found[0]
        return text[0] + values.sub(lambda value: named[value[0]], text[1:-1]) + text[-1]

    return _QUOTED.sub(renamed, output)


def _with_hosts(texts: Iterable[str]) -> Iterator[str]:
    """And the host of each host:port: some checkers look it up by itself."""
    for text in texts:
        yield text
        host, colon, port = text.rpartition(":")
        if colon and port.isdigit():
            yield host


def _texts(raw: bytes) -> Iterator[str]:
    """The value, and the texts in it when it is JSON."""
    text = raw.decode(errors="surrogateescape").strip()
    yield text
    if text[:1] not in ("{", "["):
        return
    import json

    try:
        yield from _leaves(json.loads(text))
    except (ValueError, RecursionError):
        return


def _leaves(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for child in node.values():
            yield from _leaves(child)
    elif isinstance(node, list):
        for child in node:
            yield from _leaves(child)
