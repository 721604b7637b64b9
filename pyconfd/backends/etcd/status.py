"""
What each member of an etcd cluster says of itself, through the etcd3 package's own client.

The client is etcd3's class over our channel, so that login, TLS and fail-over are ours and the
calls are theirs. Not on the way of rendering: importing etcd3 costs more than a small run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pyconfd.backends.base import SourceOptions, StoreStatus
from pyconfd.backends.etcd.channel import EtcdChannel
from pyconfd.backends.etcd.endpoints import Endpoint, find_endpoints
from pyconfd.backends.etcd.protobuf import etcd3_module, message
from pyconfd.errors import SourceError

CALL_S = 3.0


def etcd3_client(channel: EtcdChannel, timeout_s: float = CALL_S) -> Any:
    """
    An etcd3.Etcd3Client over our channel: put, get, transaction, lease, members, status.

    Its watches and locks are not to be used (they lose events and spin); `watcher` is None.
    Errors are those of our tree.
    """
    etcd3 = etcd3_module()
    stubs: Any = sys.modules["etcd3.etcdrpc"]
    client = etcd3.Etcd3Client.__new__(etcd3.Etcd3Client)
    client.metadata = None
    client.uses_secure_channel = False
    client.channel = _Calls(channel, timeout_s)
    client.timeout = timeout_s
    client.call_credentials = None
    client.kvstub = stubs.KVStub(client.channel)
    client.watcher = None
    client.clusterstub = stubs.ClusterStub(client.channel)
    client.leasestub = stubs.LeaseStub(client.channel)
    client.maintenancestub = stubs.MaintenanceStub(client.channel)
    client.transactions = etcd3.Transactions()
    return client


class _Calls:
    """What a generated stub wants of a grpc channel, carried out by ours."""

    def __init__(self, channel: EtcdChannel, timeout_s: float) -> None:
        self._channel = channel
        self._timeout_s = timeout_s

    def unary_unary(self, path: str, **_: Any) -> Callable[..., Any]:
        name = path.removeprefix("/etcdserverpb.")

        def call(request: Any, timeout: float | None = None, **_: Any) -> Any:
            return self._channel.unary(name, request, timeout_s=timeout or self._timeout_s)

        return call

    def unary_stream(self, path: str, **_: Any) -> Callable[..., Any]:
        return self._not_here(path)

    def stream_stream(self, path: str, **_: Any) -> Callable[..., Any]:
        return self._not_here(path)

    def close(self) -> None:
        self._channel.close()

    @staticmethod
    def _not_here(path: str) -> Callable[..., Any]:
        def call(*_: Any, **__: Any) -> Any:
            raise NotImplementedError(f"{path}: streams are in etcd_watch and etcd_lease")

        return call


def etcd_status(options: SourceOptions, timeout_s: float = CALL_S) -> tuple[StoreStatus, ...]:
    """One entry for each endpoint of the options, in their order; `error` says why one is empty."""
    deadline = time.monotonic() + timeout_s * 2
    return tuple(
        _status_of(endpoint, options, max(0.5, min(timeout_s, deadline - time.monotonic())))
        for endpoint in find_endpoints(options)
    )


def _status_of(endpoint: Endpoint, options: SourceOptions, timeout_s: float) -> StoreStatus:
    address = f"{'https' if endpoint.tls else 'http'}://{endpoint}"
    channel = EtcdChannel(replace(options, nodes=(address,), srv_domain=""))
    client = etcd3_client(channel, timeout_s)
    try:
        # The raw answer: the client's status() looks the leader up in the member list first.
        answer = client.maintenancestub.Status(message("StatusRequest")(), timeout_s)
        names = {member.id: member.name for member in client.members}
        alarms = tuple(_alarm_name(alarm.alarm_type) for alarm in client.list_alarms())
    except SourceError as error:
        return StoreStatus(str(endpoint), error=error.what)
    finally:
        channel.close()
    return StoreStatus(
        endpoint=str(endpoint),
        version=str(answer.version),
        member=str(names.get(answer.header.member_id, "")),
        leader=answer.leader == answer.header.member_id,
        revision=int(answer.header.revision),
        db_size=int(answer.dbSize),
        alarms=alarms,
    )


def _alarm_name(number: int) -> str:
    return {1: "NOSPACE", 2: "CORRUPT"}.get(number, str(number))
