"""SRV records as members of an etcd cluster: system/dns.py in the words of sources. Shell."""

from __future__ import annotations

from dataclasses import dataclass

from pyconfd.errors import SourceUnavailable
from pyconfd.system import dns


@dataclass(frozen=True, slots=True)
class SrvRecord:
    """One server of a service; the lowest priority is to be used first."""

    host: str
    port: int
    priority: int
    weight: int


def lookup_srv(name: str, servers: tuple[str, ...] = ()) -> list[SrvRecord]:
    """
    The records of `name` by priority, then by falling weight; empty when there are none.

    servers: as in dns.srv. Raises SourceUnavailable when none answers.
    """
    try:
        records = dns.srv(name, servers)
    except OSError as error:
        raise SourceUnavailable(str(error)) from error
    return [
        SrvRecord(record.target.rstrip("."), record.port, record.priority, record.weight)
        for record in records
    ]
