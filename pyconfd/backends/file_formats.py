"""
Files as keys: a JSON, TOML or YAML tree becomes paths, a plain file becomes one key.

The rules are those of confd's file backend (backends/file/client.go, nodeWalk): maps become path
parts, lists are numbered from 0, strings stay, whole numbers and true/false are written out, other
numbers have no exponent, null is left out. Pure over bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from functools import cache
from typing import Any

from pyconfd.errors import SourceRefused
from pyconfd.model.keys import key_path

#: Bytes of a file, values in it with those of aliases counted each time, levels of YAML.
LARGEST_FILE, MOST_NODES, DEEPEST = 64 << 20, 1_000_000, 100
#: Bytes of its keys and values.
LARGEST_TREE = 4 * LARGEST_FILE
_BROKEN_HINT = "the last good contents stay in force until it can be read again"


def read_tree(path: str, raw: bytes) -> dict[str, bytes]:
    """
    The keys of a tree file, by its suffix: neither .json nor .toml means YAML, as in confd.

    Raises SourceRefused with file and line for a file that does not parse or is not a tree.
    """
    suffix = path.rpartition(".")[2].lower()
    parse: Callable[[str, str], Any] = {"json": _json, "toml": _toml}.get(suffix, _yaml)
    try:
        text = raw.decode("utf-8-sig")  # with or without a byte order mark
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise broken(path, line, "not UTF-8") from None
    try:
        tree = parse(path, text)
        if tree is None:
            return {}
        if not isinstance(tree, dict | list):
            raise broken(path, 1, "neither a map nor a list")
        return _bounded(path, tree_keys(tree))
    except RecursionError:
        raise broken(path, 0, "nested too deeply, or within itself") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # What the parsers let through of their own, such as a number of 5,000 digits. Their texts
        # quote the value, and values are never shown.
        what = f"a value cannot be read ({type(error).__name__})"
        raise broken(path, 0, what) from None


def is_tree(path: str) -> bool:
    """Whether a file in a folder is a tree, by its suffix; others are plain values."""
    return path.rpartition(".")[2].lower() in ("json", "toml", "yaml", "yml")


def plain_value(raw: bytes) -> bytes:
    """The value in a plain file: its bytes, without the final newline of editors."""
    return raw.removesuffix(b"\n")


def broken(path: str, line: int, what: str) -> SourceRefused:
    return SourceRefused(what, where=f"{path}:{line}" if line else path, hint=_BROKEN_HINT)


def _bounded(path: str, pairs: Iterable[tuple[str, bytes]]) -> dict[str, bytes]:
    """The keys, within limits: a long name is part of every path below it."""
    keys: dict[str, bytes] = {}
    size = 0
    for key, value in pairs:
        size += len(key) + len(value)
        if size > LARGEST_TREE:
            raise broken(path, 0, f"more than {LARGEST_TREE} bytes of keys and values")
        if key in keys:
            raise broken(path, 0, f"{key} is given twice")
        keys[key] = value
    return keys


def tree_keys(node: Any, path: str = "") -> Iterator[tuple[str, bytes]]:
    """
    The keys of a tree of Python values, with their bytes. path: the common path above them.

    Raises TypeError naming the type of an unsuitable value, ValueError for one that is not text.
    """
    if isinstance(node, dict):
        for name, child in node.items():
            yield from tree_keys(child, f"{path}/{scalar(name)}")
    elif isinstance(node, list):
        for number, child in enumerate(node):
            yield from tree_keys(child, f"{path}/{number}")
    elif node is not None:
        key = key_path(path)
        key.encode()  # half a surrogate pair, which JSON can spell, is no text
        yield key, scalar(node).encode()


def scalar(value: Any) -> str:
    """
    A value as confd prints it. Raises TypeError for containers such as a set: as a text they would
    not be data, and would grow with each level of nesting.
    """
    if isinstance(value, dict | list | tuple | set):
        raise TypeError(type(value).__name__)
    if isinstance(value, bytes):  # what YAML writes in base64
        return value.decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, float):
        if value in (float("inf"), float("-inf")) or value != value:
            return {"inf": "+Inf", "-inf": "-Inf"}.get(str(value), "NaN")
        text = format(Decimal(repr(value)), "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    return str(value)


def _json(path: str, text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise broken(path, error.lineno, f"not JSON: {error.msg.lower()}") from None


def _toml(path: str, text: str) -> Any:
    import re

    import tomli

    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        at = re.search(r"line (\d+)", str(error))
        reason = str(error).partition(" (at ")[0].lower()
        line = int(at[1]) if at else text.count("\n") + 1
        raise broken(path, line, f"not TOML: {reason}") from None


def _yaml(path: str, text: str) -> Any:
    import yaml

    try:
        _bound_yaml(path, yaml.parse(text, _yaml_loader()))
        # A safe loader: _yaml_loader is made from SafeLoader.
        return yaml.load(text, _yaml_loader())  # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        raise broken(path, line, f"not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise broken(path, 0, f"not YAML: {error}") from None


def _bound_yaml(path: str, events: Iterable[Any]) -> None:
    """
    Refuse nesting so deep that parsing would end the process, and aliases that expand to too much.
    It scans the text once more, and builds nothing.
    """
    import yaml

    sizes: dict[str, int] = {}
    counts, anchors = [0], [""]
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            counts.append(1)
            anchors.append(event.anchor or "")
        elif isinstance(event, yaml.CollectionEndEvent):
            size = counts.pop()
            sizes[anchors.pop()] = size
            counts[-1] += size
        elif isinstance(event, yaml.AliasEvent):
            counts[-1] += sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.ScalarEvent):
            counts[-1] += 1
            sizes[event.anchor or ""] = 1
        if len(counts) > DEEPEST:
            raise broken(path, event.start_mark.line + 1, f"nested deeper than {DEEPEST} levels")
        if counts[-1] > MOST_NODES:
            what = f"more than {MOST_NODES} values, with those of aliases"
            raise broken(path, event.start_mark.line + 1, what)


@cache
def _yaml_loader() -> Any:
    """
    YAML as Go's reader reads it: dates stay text, 22:22 is not a number of base 60, and the keys 1
    and true are different, although they are equal in Python.
    """
    import re

    import yaml

    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class FormatLoader(base):  # type: ignore[misc, valid-type]
        """Resolvers of its own; PyYAML copies them on the first change."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:
            self.flatten_mapping(node)
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    what = "a name is a list or a map"
                    raise yaml.constructor.ConstructorError(None, None, what, key.start_mark)
            pairs = ((self.construct_object(key, deep=True), value) for key, value in node.value)
            return {scalar(key): self.construct_object(value, deep=deep) for key, value in pairs}

        def flatten_mapping(self, node: Any) -> None:
            """Takes in what is merged (<<), which may be given again; nothing else may."""
            if not hasattr(node, "flat"):  # an anchor is flattened for each of its aliases
                node.flat = True
                _refuse_twins(self, node)
            super().flatten_mapping(node)

    unwanted = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int")
    FormatLoader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in unwanted]
        for first, resolvers in base.yaml_implicit_resolvers.items()
    }
    whole = r"[-+]?(?:0b[0-1_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)"
    FormatLoader.add_implicit_resolver(
        "tag:yaml.org,2002:int", re.compile(f"^{whole}$"), list("-+0123456789")
    )
    floats = [
        each
        for each in FormatLoader.yaml_implicit_resolvers.get("1", [])
        if each[0] == "tag:yaml.org,2002:float"
    ]
    for resolvers in FormatLoader.yaml_implicit_resolvers.values():
        for each in floats:
            if each in resolvers:
                resolvers.remove(each)
    FormatLoader.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(
            r"^(?:[-+]?(?:[0-9][0-9_]*)?\.[0-9_]+(?:[eE][-+]?[0-9]+)?"
            r"|[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+"
            r"|[-+]?[0-9][0-9_]*\."
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
        ),
        list("-+.0123456789"),
    )
    return FormatLoader


def _refuse_twins(loader: Any, node: Any) -> None:
    """Raises ConstructorError for a name that a map gives twice: one would be lost."""
    import yaml

    names = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
            name = scalar(loader.construct_object(key, deep=True))
            if name in names:
                what = f"{name} is given twice"
                raise yaml.constructor.ConstructorError(None, None, what, key.start_mark)
            names.add(name)
