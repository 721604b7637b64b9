"""
The environment as a source, with confd's mapping: DATABASE_HOST is /database/host.

confd's rule (backends/env/client.go): a variable is taken when its name starts with the wanted
prefix in upper case with "/" as "_"; its key is the name in lower case with "_" as "/". Here a
prefix ends on a boundary: /app takes APP and APP_..., not APPLE, which confd takes too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyconfd.backends.base import Put, SourceOptions
from pyconfd.backends.polling import Ledger, Listable, PollingWatch, list_once
from pyconfd.model.keys import Listed, key_path


class EnvSource:
    """Listed once: the variables of a running program do not change."""

    def __init__(self, options: SourceOptions, name: str = "env") -> None:
        self.name = name
        self._listable = Listable(name, lambda: keys_of(options.environ), lambda: None, None)
        self._ledger = Ledger()

    def list(self, prefixes: Sequence[str], *, timeout_s: float) -> Listed:  # noqa: ARG002
        return list_once(self._listable, self._ledger, prefixes)

    def watch(self, prefixes: Sequence[str], put: Put) -> PollingWatch:
        watch = PollingWatch(self._listable, prefixes, put)
        watch.start()
        return watch

    def close(self) -> None:
        """There is nothing to close."""


def keys_of(environ: Mapping[str, str]) -> dict[str, bytes]:
    """Every variable as a key path with its value; of two names for one key the later wins."""
    return {
        key_path(name.lower().replace("_", "/")): value.encode("utf-8", "surrogateescape")
        for name, value in sorted(environ.items())
    }
