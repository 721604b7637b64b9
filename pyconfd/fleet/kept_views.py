"""
The gated keys that this node uses, stored over restarts. Shell.

Values of keys are stored in a file of the state folder, which only its owner may enter.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any

from pyconfd.model.keys import KeyValue
from pyconfd.model.values import dataclass
from pyconfd.observe import log
from pyconfd.pipeline.gated import GatedKeys
from pyconfd.system.json_file import read_json, write_json

FILE = "rollouts.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptView:
    """
    What one service's files are made from.

    used: its gated keys; None for nothing yet.
    former: those before, while a turn is under way.
    pin: the revision that an operator keeps the node at, 0 for none.
    pinned: the gated keys of that revision, used instead of all others.
    pinned_by: who gave the order. by_fleet: it holds for the whole fleet.
    """

    used: GatedKeys | None = None
    former: GatedKeys | None = None
    pin: int = 0
    pinned: GatedKeys | None = None
    pinned_by: str = ""
    by_fleet: bool = False

    @property
    def effective(self) -> GatedKeys | None:
        """What the files are made from now."""
        return self.pinned or self.used


NOTHING_KEPT = KeptView()


@dataclass(frozen=True, slots=True)
class KeptViews:
    """
    By service. For one thread.

    folder: the state folder.
    instance: distinguishes this node from another of its name; lives as long as the state folder.
    """

    folder: str
    instance: str
    views: dict[str, KeptView] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: str) -> KeptViews:
        """The stored views; empty if they cannot be read."""
        found = read_json(os.path.join(folder, FILE))
        try:
            views = {str(name): _view(fields) for name, fields in found["services"].items()}
            return cls(folder, str(found["instance"]), views)
        except (AttributeError, KeyError, TypeError, ValueError):
            return cls(folder, os.urandom(8).hex())

    def get(self, service: str) -> KeptView:
        """Of one service."""
        return self.views.get(service, NOTHING_KEPT)

    def change(self, service: str, **changed: Any) -> None:
        """Note what a service uses; if it cannot be stored, it holds for this run only."""
        self.views[service] = replace(self.get(service), **changed)
        self.write()

    def forget(self, services: frozenset[str]) -> None:
        """Forget services that no longer have a rollout or a pin."""
        if not services.isdisjoint(self.views):
            for name in services:
                self.views.pop(name, None)
            self.write()

    def write(self) -> None:
        """Keep them."""
        services = {name: _fields(view) for name, view in self.views.items()}
        value = {"instance": self.instance, "services": services}
        try:
            write_json(os.path.join(self.folder, FILE), value)
        except OSError as error:
            log.warn(f"the keys in use cannot be written down: {error}")


def _fields(view: KeptView) -> Mapping[str, Any]:
    return {
        "used": _keys_fields(view.used),
        "former": _keys_fields(view.former),
        "pin": view.pin,
        "pinned": _keys_fields(view.pinned),
        "pinned_by": view.pinned_by,
        "by_fleet": view.by_fleet,
    }


def _keys_fields(gated: GatedKeys | None) -> Mapping[str, Any] | None:
    if gated is None:
        return None
    return {
        "paths": list(gated.paths),
        "revision": gated.snapshot.revision,
        "keys": [
            [item.key, base64.b64encode(item.value).decode(), item.mod_revision]
            for item in gated.items()
        ],
    }


def _view(fields: Mapping[str, Any]) -> KeptView:
    return KeptView(
        used=_keys(fields["used"]),
        former=_keys(fields["former"]),
        pin=int(fields["pin"]),
        pinned=_keys(fields["pinned"]),
        pinned_by=str(fields["pinned_by"]),
        by_fleet=bool(fields["by_fleet"]),
    )


def _keys(fields: Mapping[str, Any] | None) -> GatedKeys | None:
    if fields is None:
        return None
    items = [
        KeyValue(str(key), base64.b64decode(value), int(revision))
        for key, value, revision in fields["keys"]
    ]
    return GatedKeys.holding(int(fields["revision"]), items, map(str, fields["paths"]))
