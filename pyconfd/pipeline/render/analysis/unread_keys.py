"""
Keys that a resource declares but that none of its templates reads. Pure except for reading
templates.

That is only certain if all paths are literal: a computed path could be any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from jinja2 import nodes

from pyconfd.model.keys import is_under, key_path
from pyconfd.model.resources import Guard, Resource
from pyconfd.pipeline.render.analysis.template_faults import parsed
from pyconfd.pipeline.render.functions.store import READERS
from pyconfd.pipeline.render.key_glob import BadPattern, literal_part

if TYPE_CHECKING:
    from pyconfd.pipeline.render.environment import Environment

#: Functions that render another template, which is not known here.
_INCLUDING = "include"
_NAMING = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)


class _AnyPath(Exception):
    """A template may read any path."""


def unread(environment: Environment, resource: Resource) -> list[str]:
    """The unread keys as declared, in their order; none if that is not certain."""
    if not resource.keys or _counts(resource.guard):
        return []
    trees, faults = parsed(environment, resource.src)
    if faults:
        return []
    try:
        read = [path for tree in trees.values() for path in _paths(tree, trees)]
    except _AnyPath:
        return []
    read += [*resource.guard.require, *([resource.each] if resource.each else ())]
    paths = [key_path(path) for path in read]
    return [key for key in resource.keys if not _is_read(key_path(key), paths)]


def _counts(guard: Guard) -> bool:
    """Whether it matters that keys exist."""
    return bool(guard.min_keys or guard.max_shrink < 1 or guard.shrink_in)


def _is_read(key: str, paths: Sequence[str]) -> bool:
    return any(is_under(key, path) or is_under(path, key) for path in paths)


def _paths(tree: nodes.Template, trees: Iterable[str]) -> Iterator[str]:
    """The paths at or below which a template reads. Raises _AnyPath."""
    for node in tree.find_all(_NAMING):
        target = getattr(node, "template", None)
        if not isinstance(target, nodes.Const) or target.value not in trees:
            raise _AnyPath
    calls = 0
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name in READERS:
            calls += 1
            yield _path(call)
    named = [one for one in tree.find_all(nodes.Name) if one.name in READERS]
    if len(named) != calls or any(one.name == _INCLUDING for one in tree.find_all(nodes.Name)):
        raise _AnyPath  # it is called by another name


def _path(call: nodes.Call) -> str:
    """The literal part of what a call reads."""
    if call.kwargs or call.dyn_args or call.dyn_kwargs:
        raise _AnyPath
    if not call.args:
        return "/"
    path, is_whole = call.args[0], True
    while isinstance(path, (nodes.Concat, nodes.Add)):
        path, is_whole = path.nodes[0] if isinstance(path, nodes.Concat) else path.left, False
    if not isinstance(path, nodes.Const) or not isinstance(path.value, str):
        raise _AnyPath
    try:
        literal = literal_part(path.value)
    except BadPattern:
        raise _AnyPath from None
    return literal if is_whole or literal != path.value else literal[: literal.rfind("/") + 1]
