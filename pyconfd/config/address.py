"""
Addresses as an operator writes them: of an etcd node, or to listen on. Pure.

They are parsed here, and not where the store is dialled, so that a malformed address is wrong
usage and not an outage of the store.
"""

from __future__ import annotations

import re

from pyconfd.config.options import BadValue

DEFAULT_PORT = 2379

_NAME = re.compile(r"[^\s\[\]:/@]+")
# Its colons tell it from a name; whether each group is valid is checked by the resolver.
_IPV6 = re.compile(r"(?=[^%]*::|(?:[^:]+:){6})[0-9A-Fa-f:.]+(?:%[^\s\[\]:/@]+)?")


def split_node(text: str, scheme: str = "http") -> tuple[str, bool]:
    """
    `host`, `host:port`, `[v6]:port` or a URL of these as `host:port` and whether TLS is spoken.

    scheme: for a text without one. The result has IPv6 hosts in brackets. Raises BadValue.
    """
    given, separator, rest = text.strip().partition("://")
    if not separator:
        given, rest = scheme, given
    address = _with_port(rest.removesuffix("/"))
    if given not in ("http", "https") or not address:
        raise BadValue(
            f"not the address of an etcd node: {text!r}; "
            "write host:port, http://host:port or https://host:port"
        )
    return address, given == "https"


def split_listen(text: str) -> tuple[str, int]:
    """
    `host:port` or `[v6]:port` to listen on, as host without brackets and port; 0 is any free port.
    Raises BadValue.
    """
    host, separator, port = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    named = _IPV6.fullmatch(host[1:-1]) if bracketed else _NAME.fullmatch(host)
    if not (separator and named and port.isascii() and port.isdigit() and int(port) < 65536):
        raise BadValue(f"no address to listen on: {text!r}; write 127.0.0.1:9414 or [::1]:9414")
    return host.strip("[]"), int(port)


def _with_port(rest: str) -> str:
    """`host:port`; "" for a text that is no address."""
    if _IPV6.fullmatch(rest):
        rest = f"[{rest}]"
    host, separator, port = rest, "", ""
    if ":" in rest and not rest.endswith("]"):
        host, separator, port = rest.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not (_IPV6.fullmatch(host[1:-1]) if bracketed else _NAME.fullmatch(host)):
        return ""
    if not separator:
        return f"{host}:{DEFAULT_PORT}"
    is_port = port.isascii() and port.isdigit() and 0 < int(port) < 65536
    return f"{host}:{port}" if is_port else ""
