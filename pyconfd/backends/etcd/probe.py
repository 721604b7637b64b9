"""
Asking a member for the store's revision beside its stream: silence there is not health. And who
the other members are. Shell.

When to ask, and what the answer means, is in etcd_follow.py and cursor.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pyconfd.backends.etcd.channel import EtcdChannel, Link
from pyconfd.backends.etcd.protobuf import load_grpc, message
from pyconfd.backends.etcd.stream import Stream
from pyconfd.errors import PyconfdError


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """A probe's answer, or grpc's error."""

    stream: Stream
    answer: Any
    error: Any


def look(
    channel: EtcdChannel,
    stream: Stream,
    key: bytes,
    timeout_s: float,
    tell: Callable[[ProbeResult], None],
) -> bool:
    """
    Read a key over the stream's connection; the answer is told from a thread of grpc's.

    False when not even the question can be put.
    """
    grpc = load_grpc()

    def seen(future: Any) -> None:
        error = future if future.cancelled() else future.exception()
        tell(ProbeResult(stream, None if error else future.result(), error))

    try:
        future = stream.link.unary("KV/Range").future(
            message("RangeRequest")(key=key, keys_only=True),
            timeout=timeout_s,
            metadata=channel.metadata(stream.link),
        )
    except (grpc.RpcError, ValueError, PyconfdError):
        return False
    future.add_done_callback(seen)
    return True


def ask_members(channel: EtcdChannel, link: Link, timeout_s: float) -> None:
    """Ask a member who the others are; the channel learns it. A failure costs that knowledge."""

    def told(future: Any) -> None:
        if not future.cancelled() and not future.exception():
            members = future.result().members
            channel.learn_members(url for member in members for url in member.clientURLs)

    with contextlib.suppress(load_grpc().RpcError, ValueError, PyconfdError):
        future = link.unary("Cluster/MemberList").future(
            message("MemberListRequest")(), timeout=timeout_s, metadata=channel.metadata(link)
        )
        future.add_done_callback(told)
