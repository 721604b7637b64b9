"""
From the name of a backend to an open source.

The table has import strings, so that a backend costs nothing until it is used. Packages add theirs
through the entry-point group `pyconfd.backends`: a callable taking SourceOptions.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import cast

from pyconfd.backends.base import KeptAlive, LeaseRegistry, Source, SourceOptions
from pyconfd.errors import SettingsError

ENTRY_POINTS = "pyconfd.backends"

_BUILT_IN = {
    "etcd": "pyconfd.backends.etcd.source:EtcdSource",
    "etcdv3": "pyconfd.backends.etcd.source:EtcdSource",
    "file": "pyconfd.backends.file:FileSource",
    "env": "pyconfd.backends.env:EnvSource",
}


def known_backends() -> tuple[str, ...]:
    """Every name that `open_source` takes, sorted."""
    return tuple(sorted({*_BUILT_IN, *_added()}))


def open_source(name: str, options: SourceOptions) -> Source:
    """
    Open the source of this name; nothing is connected or read yet.

    Raises SettingsError with the nearest known name when there is no such backend.
    """
    place = _BUILT_IN.get(name) or _added().get(name)
    if place is None:
        from pyconfd.config.options import did_you_mean

        known = known_backends()
        hint = did_you_mean(name, known) or f"known: {', '.join(known)}"
        raise SettingsError(f"unknown backend {name!r}", hint=hint)
    module, _, attribute = place.partition(":")
    opener = cast("Callable[[SourceOptions], Source]", getattr(import_module(module), attribute))
    return opener(options)


def open_leases(
    name: str,
    options: SourceOptions,
    kept_alive: KeptAlive,
    broken: Callable[[], None] = lambda: None,
) -> LeaseRegistry:
    """
    Open the registry of this backend; nothing is connected yet.

    kept_alive: called with every answer to a heartbeat, from a thread of the registry.
    broken: called at every loss of the connection, from the same thread.

    Raises SettingsError for backends without leases.
    """
    if name not in ("etcd", "etcdv3"):
        raise SettingsError(
            f"the backend {name!r} keeps no leases", hint="registration needs --backend etcd"
        )
    from pyconfd.backends.etcd.leases import EtcdLeases

    return EtcdLeases(options, kept_alive, broken)


def _added() -> dict[str, str]:
    """The backends of installed packages: name to `module:attribute`."""
    from importlib.metadata import entry_points

    return {each.name: each.value for each in entry_points(group=ENTRY_POINTS)}
