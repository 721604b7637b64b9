"""
How a store is reached, and how much of it may be held. Pure; `config` reads the options, and
`backends` uses them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from pyconfd.errors import SourceCause, SourceRefused
from pyconfd.model.values import dataclass

#: Bytes of all keys and values that are held, with KEY_BYTES for each key.
LISTING_LIMIT = 1 << 30
#: What a key takes here beside its bytes.
KEY_BYTES = 400


def too_much(prefix: str, limit: int) -> SourceRefused:
    """The error for a prefix with more keys than may be held."""
    return SourceRefused(
        f"the store has more than listing_limit = {limit} bytes of keys and values",
        where=prefix,
        hint="delete keys, watch fewer, or raise --listing-limit",
        cause=SourceCause.TOO_MUCH,
    )


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """
    How a store is reached; every field has a default and each source reads only its own.

    nodes: `host:port` or URLs, empty means 127.0.0.1:2379.
    scheme: for nodes without one, `http` or `https`.
    client_ca_keys, client_cert, client_key: PEM files, empty means not given; they are read again
        at every connection.
    tls_server_name: the name the certificate must carry, when it is not the host's.
    username, password: of the store, empty for none.
    srv_domain: find the nodes by DNS SRV records of this domain.
    serializable: reads need no quorum and may be old.
    refresh_members: ask the cluster for its members and use them too.
    dial_timeout_s, request_timeout_s: for one attempt on one node.
    listing_limit: bytes of all keys and values that are held, with KEY_BYTES for each key.
    probe_interval_s: how long a watch may be silent before it is probed.
    files: files and folders of the file source.
    filter: the names taken from a folder.
    environ: the variables of the env source.
    interval_s: pause between two readings of files.
    """

    nodes: tuple[str, ...] = ()
    scheme: str = "http"
    client_ca_keys: str = ""
    client_cert: str = ""
    client_key: str = ""
    tls_server_name: str = ""
    username: str = ""
    password: str = ""
    srv_domain: str = ""
    serializable: bool = False
    refresh_members: bool = False
    dial_timeout_s: float = 5.0
    request_timeout_s: float = 10.0
    listing_limit: int = LISTING_LIMIT
    probe_interval_s: float = 5.0
    files: tuple[str, ...] = ()
    filter: str = "*"
    environ: Mapping[str, str] = field(default_factory=dict)
    interval_s: float = 1.0

    def __repr__(self) -> str:
        """Without the password and without the environment's values: options end up in logs."""
        return f"SourceOptions(nodes={self.nodes!r}, files={self.files!r}, ...)"
