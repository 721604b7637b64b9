"""What each member of an etcd cluster reports about itself. Shell over the channel."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from pyconfd.backends.base import SourceOptions, StoreStatus
from pyconfd.backends.etcd.channel import EtcdChannel
from pyconfd.backends.etcd.endpoints import Endpoint, find_endpoints
from pyconfd.backends.etcd.protobuf import message
from pyconfd.errors import SourceError

CALL_S = 3.0
_ALARMS = {1: "NOSPACE", 2: "CORRUPT"}
_GET_ALARMS = 0  # the action of an AlarmRequest that changes nothing


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

    def ask(name: str, request: str, **fields: int) -> Any:
        return channel.unary(name, message(request)(**fields), timeout_s=timeout_s)

    try:
        answer = ask("Maintenance/Status", "StatusRequest")
        members = ask("Cluster/MemberList", "MemberListRequest").members
        alarms = ask("Maintenance/Alarm", "AlarmRequest", action=_GET_ALARMS).alarms
    except SourceError as error:
        return StoreStatus(str(endpoint), error=error.what)
    finally:
        channel.close()
    return StoreStatus(
        endpoint=str(endpoint),
        version=str(answer.version),
        member=next((str(m.name) for m in members if answer.header.member_id == m.ID), ""),
        leader=answer.leader == answer.header.member_id,
        revision=int(answer.header.revision),
        db_size=int(answer.dbSize),
        alarms=tuple(_ALARMS.get(each.alarm, str(each.alarm)) for each in alarms),
    )
