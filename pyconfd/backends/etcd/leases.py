"""
Keys kept alive under etcd leases: granted, refreshed over one stream, claimed, revoked.

Shell over the channel; `registration` decides when to grant, put and give up. Every call is
bounded by CALL_S, or the options' request timeout if that is less, however many endpoints there
are. A call without an answer is repeated, which is safe here: granting twice leaves a lease that
runs out; the other writes are guarded by a compare, or have the same effect twice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from queue import SimpleQueue
from typing import Any

from pyconfd.backends.base import KeptAlive, LeaseLife, Mine, SourceOptions
from pyconfd.backends.etcd.channel import EtcdChannel
from pyconfd.backends.etcd.errors import Remedy
from pyconfd.backends.etcd.link import Link
from pyconfd.backends.etcd.listing import Span, decode, encode, list_spans
from pyconfd.backends.etcd.protobuf import load_grpc, message
from pyconfd.errors import KeyTaken, LeaseLost, SourceUnavailable
from pyconfd.model.keys import KeyValue

CALL_S = 3.0
JOIN_S = 2.0
CLAIM_TRIES = 5
_EQUAL, _CREATE, _MOD = 0, 1, 2


class EtcdLeases:
    """
    A LeaseRegistry over etcd. Both callbacks come from the stream's thread and must not block.

    kept_alive: an answer to a heartbeat.
    broken: called when the heartbeat stream ends by itself: the store may come back without leases.
    """

    def __init__(
        self,
        options: SourceOptions,
        kept_alive: KeptAlive,
        broken: Callable[[], None] = lambda: None,
    ) -> None:
        self._channel = EtcdChannel(options)
        self._call_s = min(CALL_S, options.request_timeout_s)
        self._kept_alive = kept_alive
        self._broken = broken
        self._lock = threading.Lock()
        self._heartbeats: _Heartbeats | None = None

    def grant(self, ttl_s: int) -> int:
        """A new lease; etcd may raise a TTL that is too short for it."""
        answer = self._call("Lease/LeaseGrant", message("LeaseGrantRequest")(TTL=ttl_s))
        return int(answer.ID)

    def keep_alive(self, leases: Sequence[int]) -> None:
        """
        Send one heartbeat for each lease. A broken stream, or one without answers, is first given
        up, and another member is used.
        """
        with self._lock:
            heartbeats = self._heartbeats
            if heartbeats is not None and not heartbeats.healthy:
                heartbeats.close()
                self._channel.login.forget()  # it may be the reason for the silence
                self._channel.drop(heartbeats.link)
                heartbeats = self._heartbeats = None
            if heartbeats is None:
                heartbeats = self._heartbeats = _Heartbeats(
                    self._channel, self._kept_alive, self._broken
                )
            heartbeats.send(leases)

    def claim(self, key: str, value: bytes, lease: int, mine: Mine) -> None:
        put = message("PutRequest")(key=encode(key), value=value, lease=lease)
        there: KeyValue | None = None
        for _ in range(CLAIM_TRIES):
            if there is not None:
                if there.lease == lease and there.value == value:
                    return  # an earlier try, whose answer was lost, has done it
                if not mine(there):
                    raise KeyTaken(
                        "the key belongs to another registration",
                        where=key,
                        hint="another id, or --takeover",
                    )
            won, there = self._put_if(put, there)
            if won:
                return
        raise SourceUnavailable("the key changes faster than it can be claimed", where=key)

    def claim_absent(self, pairs: Sequence[tuple[str, bytes]], lease: int) -> bool:
        compare, operation, put = message("Compare"), message("RequestOp"), message("PutRequest")
        keys = [(encode(key), value) for key, value in pairs]
        transaction = message("TxnRequest")(
            compare=[
                compare(key=key, result=_EQUAL, target=_CREATE, create_revision=0)
                for key, _ in keys
            ],
            success=[
                operation(request_put=put(key=key, value=value, lease=lease)) for key, value in keys
            ],
        )
        return bool(self._call("KV/Txn", transaction, pairs[0][0]).succeeded)

    def commit(
        self,
        expected: Mapping[str, int],
        puts: Sequence[tuple[str, bytes, int]],
        deletes: Sequence[str] = (),
    ) -> bool:
        compare, operation = message("Compare"), message("RequestOp")
        put, delete = message("PutRequest"), message("DeleteRangeRequest")
        transaction = message("TxnRequest")(
            compare=[
                compare(key=encode(key), result=_EQUAL, target=_MOD, mod_revision=revision)
                for key, revision in expected.items()
            ],
            success=[
                *(
                    operation(request_put=put(key=encode(key), value=value, lease=lease))
                    for key, value, lease in puts
                ),
                *(operation(request_delete_range=delete(key=encode(key))) for key in deletes),
            ],
        )
        what = next(iter(expected), puts[0][0] if puts else "")
        return bool(self._call("KV/Txn", transaction, what).succeeded)

    def put(self, key: str, value: bytes, lease: int = 0) -> None:
        request = message("PutRequest")(key=encode(key), value=value, lease=lease)
        self._call("KV/Put", request, key)

    def delete(self, key: str) -> bool:
        request = message("DeleteRangeRequest")(key=encode(key))
        return bool(self._call("KV/DeleteRange", request, key).deleted)

    def revoke(self, lease: int) -> None:
        try:
            self._call("Lease/LeaseRevoke", message("LeaseRevokeRequest")(ID=lease))
        except LeaseLost:
            return

    def get(self, key: str) -> KeyValue | None:
        answer = self._call("KV/Range", message("RangeRequest")(key=encode(key)), key)
        return _key_value(answer.kvs[0]) if answer.kvs else None

    def life(self, lease: int) -> LeaseLife:
        request = message("LeaseTimeToLiveRequest")(ID=lease, keys=True)
        try:
            answer = self._call("Lease/LeaseTimeToLive", request)
        except LeaseLost:
            return LeaseLife(lease, 0, 0)
        keys = tuple(decode(raw) for raw in answer.keys)
        # etcd says -1 for a lease that is gone.
        return LeaseLife(lease, max(0, int(answer.TTL)), int(answer.grantedTTL), keys)

    def list(self, prefix: str) -> tuple[KeyValue, ...]:
        return list_spans(self._channel, [Span(prefix)], timeout_s=self._call_s).keys

    def close(self) -> None:
        self._channel.close()
        with self._lock:
            heartbeats, self._heartbeats = self._heartbeats, None
        if heartbeats is not None:
            heartbeats.close()

    def _put_if(self, put: Any, there: KeyValue | None) -> tuple[bool, KeyValue | None]:
        """
        Put the key if it is still as in `there`. Returns whether it was, and if not, what is there.
        """
        compare, operation = message("Compare"), message("RequestOp")
        if there is None:
            guard = compare(key=put.key, result=_EQUAL, target=_CREATE, create_revision=0)
        else:
            guard = compare(
                key=put.key, result=_EQUAL, target=_MOD, mod_revision=there.mod_revision
            )
        read = message("RangeRequest")(key=put.key)
        transaction = message("TxnRequest")(
            compare=[guard],
            success=[operation(request_put=put)],
            failure=[operation(request_range=read)],
        )
        answer = self._call("KV/Txn", transaction, decode(put.key))
        if answer.succeeded:
            return True, None
        found = answer.responses[0].response_range.kvs
        return False, _key_value(found[0]) if found else None

    def _call(self, name: str, request: Any, what: str = "") -> Any:
        return self._channel.unary(name, request, timeout_s=self._call_s, what=what)


def _key_value(kv: Any) -> KeyValue:
    return KeyValue(decode(kv.key), kv.value, kv.mod_revision, kv.lease)


class _Heartbeats:
    """One keep-alive stream for all leases, with a thread that reads the answers."""

    def __init__(
        self, channel: EtcdChannel, kept_alive: KeptAlive, broken: Callable[[], None]
    ) -> None:
        self._broken = broken
        self.link: Link = channel.link()
        self._channel = channel
        self._kept_alive = kept_alive
        self._requests: SimpleQueue[Any] = SimpleQueue()
        self._waiting_since = 0.0  # the first heartbeat that has no answer yet, 0 when all have
        self._ended = False
        self._closing = False
        self._call = channel.open_stream(self.link, "Lease/LeaseKeepAlive", self._next())
        self._thread = threading.Thread(target=self._read, name="etcd-leases", daemon=True)
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """Whether the stream has not ended and answers in time."""
        since = self._waiting_since
        return not self._ended and not (since and time.monotonic() - since > CALL_S)

    def send(self, leases: Sequence[int]) -> None:
        if leases and not self._waiting_since:
            self._waiting_since = time.monotonic()
        request = message("LeaseKeepAliveRequest")
        for lease in leases:
            self._requests.put(request(ID=lease))

    def close(self) -> None:
        self._closing = True
        self._requests.put(None)
        self._call.cancel()
        if self._thread is not threading.current_thread():
            self._thread.join(JOIN_S)

    def _next(self) -> Iterator[Any]:
        while (request := self._requests.get()) is not None:
            yield request

    def _read(self) -> None:
        grpc = load_grpc()
        try:
            for answer in self._call:
                self._waiting_since = 0.0
                self.link.proven = True
                if not self._closing:
                    self._kept_alive(int(answer.ID), int(answer.TTL))
        except grpc.RpcError as error:
            if self.link.translate(error).remedy is Remedy.LOG_IN:
                self._channel.login.forget()
        self._ended = True
        self._requests.put(None)
        if not self._closing:
            self._broken()
