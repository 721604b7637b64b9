"""
The addresses of an etcd cluster's members, from what the operator wrote, in the order of use.

Pure, except for the shuffle, the look-up of SRV records when a domain was given, and the variables
that name proxies.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import field
from typing import TYPE_CHECKING

from pyconfd.backends.base import SourceOptions
from pyconfd.config.address import DEFAULT_PORT, split_node
from pyconfd.config.options import BadValue
from pyconfd.errors import SourceRefused, SourceUnavailable
from pyconfd.model.values import dataclass

if TYPE_CHECKING:
    from pyconfd.system.dns import SrvRecord


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    One member's client address.

    address: host:port, IPv6 hosts in brackets.
    tls: whether TLS is spoken there.
    priority: the lowest is used first. It is not part of a member's identity.
    """

    address: str
    tls: bool
    priority: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return self.address

    @property
    def host(self) -> str:
        """Without brackets."""
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def loopback(self) -> bool:
        """Whether it is this machine."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])


def parse_endpoint(text: str, scheme: str = "http") -> Endpoint:
    """
    `host`, `host:port`, `[v6]:port` or a URL of these as an endpoint.

    scheme: for nodes without one. Raises SourceRefused for a text that is not an address.
    """
    try:
        return Endpoint(*split_node(text, scheme))
    except BadValue as error:
        raise SourceRefused(str(error)) from None


def proxy_to(endpoint: Endpoint) -> str:
    """The variable that names grpc's proxy for this endpoint, or ""."""
    names = [name for name in ("grpc_proxy", "https_proxy", "http_proxy") if os.environ.get(name)]
    if not names or endpoint.loopback:
        return ""
    from urllib.request import proxy_bypass

    return "" if proxy_bypass(endpoint.host) else names[0]


def find_endpoints(options: SourceOptions) -> list[Endpoint]:
    """
    The endpoints that the options name, in the order given, without duplicates.

    Raises SourceUnavailable when the SRV domain has no answer, SourceRefused for bad nodes.
    """
    tls_given = bool(options.client_ca_keys or options.client_cert)
    scheme = "https" if tls_given else options.scheme
    if options.srv_domain:
        return _from_srv(options.srv_domain, scheme, options.dial_timeout_s)
    nodes = options.nodes or (f"127.0.0.1:{DEFAULT_PORT}",)
    return list(dict.fromkeys(parse_endpoint(node, scheme) for node in nodes))


def _from_srv(domain: str, scheme: str, timeout_s: float) -> list[Endpoint]:
    """
    etcd's own names: _etcd-client-ssl._tcp and _etcd-client._tcp below the domain.

    With scheme https only the first is looked up, so that TLS cannot be dropped.
    """
    kinds = [("_etcd-client-ssl._tcp", True), ("_etcd-client._tcp", False)]
    found: list[Endpoint] = []
    for service, tls in kinds[:1] if scheme == "https" else kinds:
        records = lookup_srv(f"{service}.{domain}", timeout_s=timeout_s / 2)
        found += [
            Endpoint(f"{each.target.rstrip('.')}:{each.port}", tls, each.priority)
            for each in records
        ]
        if found:
            return found
    raise SourceUnavailable(
        f"no etcd nodes in DNS for the domain {domain}",
        hint="SRV records of _etcd-client._tcp or _etcd-client-ssl._tcp",
    )


def lookup_srv(name: str, servers: tuple[str, ...] = (), timeout_s: float = 5.0) -> list[SrvRecord]:
    """Like system.dns.srv, but raises SourceUnavailable when no name server answers."""
    from pyconfd.system import dns

    try:
        return dns.srv(name, servers, timeout_s)
    except OSError as error:
        raise SourceUnavailable(str(error)) from error


class EndpointRing:
    """
    The endpoints in the order of use, shuffled so that many programs spread over the members.

    Those of one priority are shuffled; the next priority is used when all of them have failed.
    """

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._all = list(endpoints)
        self._named = tuple(self._all)
        random.shuffle(self._all)
        self._all.sort(key=lambda each: each.priority)

    @property
    def current(self) -> Endpoint:
        return self._all[0]

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self._all)

    def __contains__(self, endpoint: object) -> bool:
        return endpoint in self._all

    def turn(self, failed: Endpoint) -> None:
        """Use the next endpoint, unless another thread has already left `failed`."""
        if self._all[0] == failed:
            self._all.append(self._all.pop(0))

    def learn(self, members: Iterable[Endpoint]) -> None:
        """
        Replace the members that the cluster named before; new ones come last, shuffled.

        Those that the operator named stay. If they all use https, a member that advertises http is
        not used: passwords and keys would be sent unencrypted.
        """
        secure = all(each.tls for each in self._named)
        members = [each for each in members if each.tls or not secure]
        if not members:
            return
        fresh = [each for each in members if each not in self._all]
        random.shuffle(fresh)
        kept = [each for each in self._all if each in self._named or each in members]
        self._all = kept + fresh
