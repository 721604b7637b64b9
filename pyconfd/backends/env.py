"""
The environment as a source, with confd's mapping: DATABASE_HOST is /database/host.

confd's rule (backends/env/client.go): a variable is taken when its name starts with the wanted
prefix in upper case with "_" for "/"; its key is the name in lower case with "/" for "_". Here a
prefix ends on a boundary: /app takes APP and APP_..., not APPLE, which confd takes too. A prefix
with "_" is also available under that name: XMPP_DOMAIN is /xmpp/domain, and for the prefix
/xmpp_domain also /xmpp_domain, which confd finds but cannot give to a template.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyconfd.backends.base import Put, SourceOptions
from pyconfd.backends.polling import Ledger, Listable, PollingWatch, list_once
from pyconfd.model.keys import Listed, key_path


class EnvSource:
    """The environment is listed once: the variables of a running program do not change."""

    def __init__(self, options: SourceOptions, name: str = "env") -> None:
        self.name = name
        self._environ = options.environ
        self._ledger = Ledger()

    def list(self, prefixes: Sequence[str], *, timeout_s: float) -> Listed:  # noqa: ARG002
        return list_once(self._listable(prefixes), self._ledger, prefixes)

    def watch(self, prefixes: Sequence[str], put: Put) -> PollingWatch:
        watch = PollingWatch(self._listable(prefixes), prefixes, put)
        watch.start()
        return watch

    def close(self) -> None:
        """There is nothing to close."""

    def _listable(self, prefixes: Sequence[str]) -> Listable:
        return Listable(self.name, lambda: keys_of(self._environ, prefixes), lambda: None, None)


def keys_of(environ: Mapping[str, str], prefixes: Sequence[str] = ()) -> dict[str, bytes]:
    """
    Every variable as a key path with its value; of two names for one key the later one wins.

    prefixes: those with "_" are also available under that name.
    """
    found: dict[str, bytes] = {}
    for name, value in sorted(environ.items()):
        raw = value.encode("utf-8", "surrogateescape")
        found[_path(name)] = raw
        for prefix in prefixes:
            variable = prefix.strip("/").replace("/", "_").upper()
            if "_" in prefix and f"{name.upper()}_".startswith(f"{variable}_"):
                found[key_path(prefix + "/" + _path(name[len(variable) :]))] = raw
    return found


def _path(name: str) -> str:
    return key_path(name.lower().replace("_", "/"))
