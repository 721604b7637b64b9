"""What a real etcd does now and then, done on purpose by a server that follows a script."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from pyconfd.backends.base import SourceOptions
from pyconfd.backends.etcd.link import LARGEST_MESSAGE
from pyconfd.backends.etcd.protobuf import load_grpc, message, method
from pyconfd.backends.registry import open_source
from pyconfd.model.keys import Changed, KeyChange, Listed, Progressed
from tests.support.source import Inbox

pytestmark = pytest.mark.integration

CLUSTER, REVISION = 7, 10

# Takes a call's requests, gives its answers.
Script = Callable[[Iterator[Any]], Iterator[Any]]


def said(**fields: Any) -> Any:
    """A response of the watch."""
    revision = fields.pop("revision", REVISION)
    return message("WatchResponse")(header={"cluster_id": CLUSTER, "revision": revision}, **fields)


def event(watch: int, key: str, revision: int) -> Any:
    """One put, told by one of the watches."""
    kv = {"key": key.encode(), "value": b"new", "mod_revision": revision}
    return said(revision=revision, watch_id=watch, events=[{"type": 0, "kv": kv}])


def empty(_request: Any, _context: Any) -> Any:
    """Nothing in any range, at revision 10."""
    return message("RangeResponse")(header={"cluster_id": CLUSTER, "revision": REVISION})


def silent(_requests: Iterator[Any]) -> Iterator[Any]:
    """A watch that nobody asks for."""
    yield from ()


@contextmanager
def scripted(watch: Script = silent, ranged: Callable[[Any, Any], Any] = empty) -> Iterator[str]:
    """A server whose watch and ranges follow scripts, and that takes no transaction: it is full."""
    grpc = load_grpc()

    def full(_request: Any, context: Any) -> Any:
        said = "etcdserver: mvcc: database space exceeded"
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, said)

    def watched(requests: Iterator[Any], _context: Any) -> Iterator[Any]:
        yield from watch(requests)

    reads, several, streams = method("KV/Range"), method("KV/Txn"), method("Watch/Watch")
    handlers = {
        several.path: grpc.unary_unary_rpc_method_handler(
            full, several.request.FromString, several.response.SerializeToString
        ),
        reads.path: grpc.unary_unary_rpc_method_handler(
            ranged, reads.request.FromString, reads.response.SerializeToString
        ),
        streams.path: grpc.stream_stream_rpc_method_handler(
            watched, streams.request.FromString, streams.response.SerializeToString
        ),
    }

    class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, details: Any) -> Any:
            return handlers.get(details.method)

    server = grpc.server(ThreadPoolExecutor(8), [Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait(60)


def test_a_pair_is_whole_though_one_watch_is_behind() -> None:
    """Progress is answered for all while one of two new watches has yet to get its history."""
    questions: list[Any] = []

    def watch(requests: Iterator[Any]) -> Iterator[Any]:
        first = next(requests).create_request
        if (first.key, first.range_end) == (b"/app", b"/zoo0"):
            yield said(watch_id=1, canceled=True, cancel_reason="permission denied")
            return
        second = next(requests).create_request
        assert (second.key, second.range_end) == (b"/zoo", b"/zoo0")
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        answers.put(said(watch_id=1, created=True))
        answers.put(event(1, "/app/a", 11))
        answers.put(said(revision=11, watch_id=2, created=True))
        threading.Timer(0.15, answers.put, [event(2, "/zoo/a", 11)]).start()

        def listen() -> None:
            with contextlib.suppress(Exception):  # grpc's word for a call that has ended
                for request in requests:
                    questions.append(request)
                    answers.put(said(revision=11, watch_id=-1))
            answers.put(None)

        threading.Thread(target=listen, daemon=True).start()
        yield from iter(answers.get, None)

    with scripted(watch) as endpoint:
        source, inbox = open_source("etcd", SourceOptions(nodes=(endpoint,))), Inbox()
        following = source.watch(["/app", "/zoo"], inbox.put)
        try:
            inbox.wait_mirror({"/app/a": b"new", "/zoo/a": b"new"})
        finally:
            following.stop()
            source.close()
    changes = (KeyChange("/app/a", b"new", 11), KeyChange("/zoo/a", b"new", 11))
    assert inbox.of(Changed) == [Changed("etcd", 11, changes)]
    assert len(questions) >= 2


def test_a_full_store_is_read_at_one_revision_too() -> None:
    """Its prefixes are asked for one by one, and somebody is deleting keys to make room."""
    asked: list[int] = []

    def ranged(request: Any, _context: Any) -> Any:
        asked.append(request.revision)
        header = {"cluster_id": CLUSTER, "revision": REVISION + len(asked)}
        return message("RangeResponse")(header=header)

    with scripted(ranged=ranged) as endpoint:
        source = open_source("etcd", SourceOptions(nodes=(endpoint,)))
        listed = source.list(["/app", "/web", "/zoo"], timeout_s=10)
        source.close()
    assert listed.revision == REVISION + 1
    assert asked == [0, REVISION + 1, REVISION + 1]


def test_a_probe_that_a_change_overtakes_does_not_look_like_a_wiped_store() -> None:
    """Asked and answered at 10, read after 11 was delivered: nothing is listed again."""
    opened, inbox = threading.Event(), Inbox()
    responses: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def watch(requests: Iterator[Any]) -> Iterator[Any]:
        next(requests)
        opened.set()
        yield said(watch_id=1, created=True)
        yield from iter(responses.get, None)

    def ranged(request: Any, context: Any) -> Any:
        if opened.is_set() and not inbox.of(Changed):
            responses.put(event(1, "/app/a", 11))
            inbox.wait(lambda box: box.of(Changed))
            return empty(request, context)
        header = {"cluster_id": CLUSTER, "revision": 11 if opened.is_set() else REVISION}
        return message("RangeResponse")(header=header)

    with scripted(watch, ranged) as endpoint:
        options = SourceOptions(nodes=(endpoint,), probe_interval_s=0.1)
        source = open_source("etcd", options)
        following = source.watch(["/app"], inbox.put)
        try:
            inbox.wait(lambda box: box.of(Changed) and isinstance(box.messages[-1], Progressed))
        finally:
            for _ in range(9):  # for as many streams
                responses.put(None)
            following.stop()
            source.close()
    assert len(inbox.of(Listed)) == 1


def test_changes_too_large_for_one_message_are_listed() -> None:
    """They are refused by their length alone, and what they led to is read in pages."""
    opened: list[int] = []

    def watch(requests: Iterator[Any]) -> Iterator[Any]:
        opened.append(next(requests).create_request.start_revision)
        yield said(watch_id=1, created=True)
        if len(opened) == 1:
            kv = {"key": b"/app/a", "value": bytes(LARGEST_MESSAGE), "mod_revision": 11}
            yield said(revision=11, watch_id=1, events=[{"type": 0, "kv": kv}])
        else:
            yield event(1, "/app/b", 13)
        yield from (said(revision=13, watch_id=-1) for _ in requests)

    def ranged(request: Any, context: Any) -> Any:
        answer = empty(request, context)
        if opened:
            answer.header.revision = 12
            answer.kvs.add(key=b"/app/a", value=b"last", mod_revision=12)
        return answer

    with scripted(watch, ranged) as endpoint:
        source, inbox = open_source("etcd", SourceOptions(nodes=(endpoint,))), Inbox()
        following = source.watch(["/app"], inbox.put)
        try:
            inbox.wait_mirror({"/app/a": b"last", "/app/b": b"new"})
        finally:
            following.stop()
            source.close()
    assert opened == [11, 13]
    assert "too large" in inbox.of(Listed)[1].reason  # type: ignore[union-attr]


def test_a_page_too_large_for_one_message_is_read_in_smaller_ones() -> None:
    """As often as it takes; where values are small again, pages grow again."""
    keys = [f"/app/{number:02d}" for number in range(40)]
    asked: list[int] = []

    def ranged(request: Any, context: Any) -> Any:
        answer = empty(request, context)
        there = [key for key in keys if key.encode() >= request.key][: request.limit]
        asked.append(request.limit)
        answer.more = there[-1] != keys[-1]
        for key in there:
            answer.kvs.add(key=key.encode(), value=b"v", mod_revision=5)
        if len(there) > 2 and there[-1] < keys[-1]:
            answer.kvs[0].value = bytes(LARGEST_MESSAGE)
        return answer

    with scripted(ranged=ranged) as endpoint:
        source = open_source("etcd", SourceOptions(nodes=(endpoint,)))
        listed = source.list(["/app"], timeout_s=60)
        source.close()
    assert [each.key for each in listed.keys] == keys
    assert asked[0] > 2 == asked[1]
    assert asked[2] > len(keys)
