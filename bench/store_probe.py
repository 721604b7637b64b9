"""One measurement in a process of its own: `python -m bench.store_probe KIND HOST:PORT`."""

from __future__ import annotations

import gc
import json
import queue
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

from bench.subjects import PREFIX
from pyconfd.backends.base import SourceOptions
from pyconfd.backends.etcd.protobuf import load_grpc, message, method
from pyconfd.backends.registry import open_source
from pyconfd.model.keys import Changed, Listed, SourceMessage
from pyconfd.model.reads import Reads
from pyconfd.pipeline.store import Store
from pyconfd.reconcile.read_index import ReadIndex

_PAGE = 50_000
_START, _END = PREFIX.encode(), PREFIX.encode() + b"0"


def list_bare(endpoint: str, *, read: bool) -> None:
    """The stub alone, in pages; read: each key, value, revision and lease is looked at."""
    call = _unary(endpoint)
    begun = time.process_time()
    kept, start, more = [], _START, True
    while more:
        answer = call(message("RangeRequest")(key=start, range_end=_END, limit=_PAGE))
        more, start = answer.more, answer.kvs[-1].key + b"\0"
        if read:
            kept += [(kv.key.decode(), kv.value, kv.mod_revision, kv.lease) for kv in answer.kvs]
    _say(cpu_ms=(time.process_time() - begun) * 1e3)


def list_ours(endpoint: str) -> None:
    """As pyconfd does it: clean key paths, values of the model."""
    source = open_source("etcd", SourceOptions(nodes=(endpoint,)))
    source.list(["/warm"], timeout_s=60)  # the connection is no part of it, as with the stub
    begun = time.process_time()
    source.list([PREFIX], timeout_s=60)
    _say(cpu_ms=(time.process_time() - begun) * 1e3)


def memory(endpoint: str) -> None:
    """What the mirror holds after a listing, as Python counts it."""
    source = open_source("etcd", SourceOptions(nodes=(endpoint,)))
    source.list(["/warm"], timeout_s=60)
    store = Store()
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    store.apply(source.list([PREFIX], timeout_s=120))
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    _say(bytes_per_key=(after - before) / len(store.snapshot()))


def watch_bare(endpoint: str) -> Iterator[Any]:
    """Each response of a bare watch."""
    watch = method("Watch/Watch")
    stream = (
        load_grpc()
        .insecure_channel(endpoint)
        .stream_stream(
            watch.path,
            request_serializer=watch.request.SerializeToString,
            response_deserializer=watch.response.FromString,
        )
    )
    requests: queue.SimpleQueue[object] = queue.SimpleQueue()
    create = message("WatchCreateRequest")(key=_START, range_end=_END)
    requests.put(message("WatchRequest")(create_request=create))
    yield from stream(iter(requests.get, None))


def deliveries_bare(endpoint: str) -> None:
    """perf_counter at each response; the same clock in every process on Linux."""
    for response in watch_bare(endpoint):
        at_s = time.perf_counter()
        print("watching" if response.created else at_s, flush=True)


def deliveries(endpoint: str) -> None:
    """perf_counter at each message of the source, in the thread that takes it from the queue."""
    for heard in _follow(endpoint):
        at_s = time.perf_counter()
        if isinstance(heard, Listed):
            print("watching", flush=True)
        elif isinstance(heard, Changed):
            print(at_s, flush=True)


def events_bare(endpoint: str, number: int) -> None:
    """CPU until so many events were there, key and value looked at."""
    begun, count, kept = 0.0, 0, {}
    for response in watch_bare(endpoint):
        if response.created:
            begun = time.process_time()
            print("watching", flush=True)
        for event in response.events:
            kept[event.kv.key.decode()] = event.kv.value
            count += 1
        if count >= number:
            _say(cpu_ms=(time.process_time() - begun) * 1e3)
            return


def events(endpoint: str, number: int) -> None:
    """CPU until so many were applied to the mirror, and the resources that read them found."""
    store = Store()
    index: ReadIndex[str] = ReadIndex()
    for resource in range(1000):
        index.set(str(resource), Reads(trees=frozenset({f"{PREFIX}/{resource}"})))
    begun, count = 0.0, 0
    for heard in _follow(endpoint):
        if not isinstance(heard, Listed | Changed):
            continue
        delta = store.apply(heard)
        if isinstance(heard, Listed):
            begun = time.process_time()
            print("watching", flush=True)
            continue
        index.affected(delta.changed)
        count += len(heard.changes)
        if count >= number:
            _say(cpu_ms=(time.process_time() - begun) * 1e3)
            return


def _follow(endpoint: str) -> Iterator[SourceMessage]:
    inbox: queue.SimpleQueue[SourceMessage] = queue.SimpleQueue()
    source = open_source("etcd", SourceOptions(nodes=(endpoint,)))
    watch = source.watch([PREFIX], inbox.put)
    try:
        while True:
            yield inbox.get()
    finally:
        watch.stop()
        source.close()


def _unary(endpoint: str) -> Callable[[Any], Any]:
    made = method("KV/Range")
    channel = load_grpc().insecure_channel(endpoint, [("grpc.max_receive_message_length", -1)])
    call: Callable[[Any], Any] = channel.unary_unary(
        made.path,
        request_serializer=made.request.SerializeToString,
        response_deserializer=made.response.FromString,
    )
    call(message("RangeRequest")(key=b"/warm"))
    return call


def _say(**found: float) -> None:
    print(json.dumps(found), flush=True)


def main() -> None:
    """KIND HOST:PORT [EVENTS]"""
    kind, endpoint = sys.argv[1:3]
    number = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    {
        "list-idle": lambda: list_bare(endpoint, read=False),
        "list-bare": lambda: list_bare(endpoint, read=True),
        "list": lambda: list_ours(endpoint),
        "memory": lambda: memory(endpoint),
        "watch-bare": lambda: deliveries_bare(endpoint),
        "watch": lambda: deliveries(endpoint),
        "events-bare": lambda: events_bare(endpoint, number),
        "events": lambda: events(endpoint, number),
    }[kind]()


if __name__ == "__main__":
    main()
