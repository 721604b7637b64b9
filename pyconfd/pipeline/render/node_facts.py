"""
The facts about the node for templates: `node` and `vars`.

Shell: the kernel is asked for the addresses when a template uses them. Independent of the template
language, which uses `unknown_fact` for its message about a missing fact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from pyconfd.model.values import dataclass


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """
    What is known of this node.

    name: of the node.
    vars: as the operator wrote them.
    declared: the file in which they are.
    """

    name: str = ""
    vars: Mapping[str, object] = field(default_factory=dict)
    declared: str = "the config file"

    def names(self) -> dict[str, Any]:
        """
        The facts by name; made for each render, so that no render can change those of another.
        """
        known = Vars("vars", self.declared)
        known.update({name: _known(raw, f"vars.{name}", self) for name, raw in self.vars.items()})
        return {"node": Node(self.name), "vars": known}


class Node:
    """This node. name: from the settings."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def addresses(self) -> list[str]:
        """IPv4 addresses, then IPv6 ones, each in order; without loopback and link-local ones."""
        import ipaddress

        import psutil

        found = set()
        for interface in psutil.net_if_addrs().values():
            for one in interface:
                try:
                    found.add(ipaddress.ip_address(one.address.partition("%")[0]))
                except ValueError:
                    continue  # the address of a network card
        usable = [one for one in found if not (one.is_loopback or one.is_link_local)]
        return [str(one) for one in sorted(usable, key=lambda one: (one.version, int(one)))]


class Vars(dict[str, Any]):
    """A table of the operator, in which a missing name is an error."""

    __slots__ = ("_declared", "_path")

    def __init__(self, path: str, declared: str) -> None:
        super().__init__()
        self._path = path
        self._declared = declared

    def missing(self, name: object) -> str:
        """The message for a name that is not there."""
        from pyconfd.config.options import nearest

        near = nearest(str(name), self)
        meant = f"; did you mean {self._path}.{near}?" if near else ""
        return (
            f"{self._path}.{name} is not declared: there is none below [{self._path}] in "
            f"{self._declared}{meant}"
        )


class VarText(str):
    """A text that the operator wrote. origin: its name in messages."""

    __slots__ = ("origin",)
    origin: str


class VarList(list[Any]):
    """A list that the operator wrote. origin: its name in messages."""

    __slots__ = ("origin",)
    origin: str


def unknown_fact(of: object, name: object) -> str | None:
    """The message for a missing attribute of a fact; None if `of` is not a fact."""
    if isinstance(of, Vars):
        return of.missing(name)
    if isinstance(of, Node):
        return f"node has no {name}: there are node.name and node.addresses"
    return None


def _known(raw: object, path: str, facts: NodeFacts) -> object:
    """A value as templates see it, with its place."""
    if isinstance(raw, Mapping):
        table = Vars(path, facts.declared)
        table.update({name: _known(one, f"{path}.{name}", facts) for name, one in raw.items()})
        return table
    if isinstance(raw, list):
        items = VarList(_known(one, f"{path}[{place}]", facts) for place, one in enumerate(raw))
        items.origin = path
        return items
    if isinstance(raw, str):
        text = VarText(raw)
        text.origin = path
        return text
    return raw
