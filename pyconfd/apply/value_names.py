"""
Replaces values of keys in the output of a checker by the keys' names: the output goes to the log,
the status and `/health`, and values may be secret. Pure.

Checkers quote what they refuse, so a value between quotes is always replaced. Outside of quotes
only longer whole words are, so that a value that is a common word ("nginx") or part of a path does
not make the output unreadable. The address of a member is not secret, and operators look for it: it
stays.

Template errors have a matching of their own (pipeline/render/template_errors.py): Python quotes the
repr of a whole value, even a short one, and the text of the template is not secret.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from pyconfd.errors import LiveRefused, PyconfdError
from pyconfd.model.keys import KeyValue, covering
from pyconfd.model.resources import Resource
from pyconfd.pipeline.store import Snapshot

# Shorter ones say nothing, and stand everywhere.
_SHORTEST = 4
_SHORTEST_BARE = 6
_LONGEST_OUTPUT = 64 * 1024
_ADDRESS = re.compile(r"(\d{1,3}(\.\d{1,3}){3}|\[[0-9A-Fa-f:.]+\])(:\d+)?")
_QUOTED = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'")
#: What ends a word outside of quotes, and what it may end with beside that.
_SEPARATORS = r"\s\"'`;,()<>{}=\[\]|"
_WORD = re.compile(rf"[^{_SEPARATORS}]+")
_SEPARATOR = re.compile(rf"[{_SEPARATORS}]")
_ENDS = ".:!?"
#: Stands in no text of ours.
_BETWEEN = "\n\0\n"


def without_values(output: str, items: Iterable[KeyValue]) -> str:
    """The output with the values of these keys replaced by the keys' names."""
    begin = output[:_LONGEST_OUTPUT]
    quoted = "\n".join(
        word[1:-1] for word in set(_QUOTED.findall(begin)) if len(word) - 2 >= _SHORTEST
    )
    bare = _bare_words(begin)
    in_quotes: dict[str, str] = {}
    outside: dict[str, str] = {}
    for item in items if output else ():
        for value in _with_hosts(_texts(item.value)):
            if len(value) < _SHORTEST or _ADDRESS.fullmatch(value):
                continue
            if value in quoted:
                in_quotes.setdefault(value, f"(the value of {item.key})")
            if _stands_bare(value, bare, begin):
                outside.setdefault(value, f"(the value of {item.key})")
    return _renamed(output, in_quotes, outside) if in_quotes or outside else output


def keys_of(resources: Iterable[Resource], snapshot: Snapshot) -> Iterator[KeyValue]:
    """The keys that these resources may read, each once."""
    paths = covering(path for resource in resources for path in resource.watched)
    return (item for path in paths for item in snapshot.subtree(path))


def rename_in(error: PyconfdError, items: Iterable[KeyValue]) -> None:
    """The same for an error that repeats the output of a command."""
    parts = [error.what, error.hint]
    if isinstance(error, LiveRefused):
        parts.append(error.reason)
    error.what, error.hint, *more = without_values(_BETWEEN.join(parts), items).split(_BETWEEN)
    if isinstance(error, LiveRefused):
        (error.reason,) = more


def _renamed(output: str, in_quotes: Mapping[str, str], outside: Mapping[str, str]) -> str:
    """Replace quoted texts as a whole, and words between them."""
    quoted = _any_of(in_quotes)
    bare = re.compile(rf"(?<![\w./-])(?:{_any_of(outside).pattern})(?![\w/-]|\.\w)")
    parts: list[str] = []
    end = 0
    for found in _QUOTED.finditer(output):
        text = found[0]
        parts.append(bare.sub(lambda value: outside[value[0]], output[end : found.start()]))
        inner = quoted.sub(lambda value: in_quotes[value[0]], text[1:-1])
        parts.append(text[0] + inner + text[-1])
        end = found.end()
    parts.append(bare.sub(lambda value: outside[value[0]], output[end:]))
    return "".join(parts)


def _any_of(values: Mapping[str, str]) -> re.Pattern[str]:
    """A pattern for any of these, the longest first; for none of them it matches nothing."""
    return re.compile("|".join(map(re.escape, sorted(values, key=len, reverse=True))) or r"(?!)")


def _bare_words(output: str) -> set[str]:
    """The words, without what ends a sentence, and the host of each host:port."""
    words = {word.strip(_ENDS) for word in _WORD.findall(_QUOTED.sub(" ", output))}
    return {each for each in _with_hosts(words) if len(each) >= _SHORTEST_BARE}


def _stands_bare(value: str, bare: Collection[str], output: str) -> bool:
    if len(value) < _SHORTEST_BARE:
        return False
    if value.strip(_ENDS) in bare:
        return True
    return _SEPARATOR.search(value) is not None and value in output


def _with_hosts(texts: Iterable[str]) -> Iterator[str]:
    """The texts, and the host of each host:port, which some checkers print alone."""
    for text in texts:
        yield text
        host, colon, port = text.rpartition(":")
        if colon and port.isdigit():
            yield host


def _texts(raw: bytes) -> Iterator[str]:
    """The value, and when it is JSON, the strings in it."""
    text = raw.decode(errors="surrogateescape").strip()
    yield text
    if "\n" in text:
        yield from map(str.strip, text.splitlines())
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
