"""The bare watch client: `python -m bench.floor HOST:PORT` prints perf_counter for each event."""

from __future__ import annotations

import queue
import sys
import time

from pyconfd.backends.etcd.protobuf import load_grpc, message, method


def main() -> None:
    """Watch /bench until ended. perf_counter is the same clock in every process on Linux."""
    watch = method("Watch/Watch")
    channel = load_grpc().insecure_channel(sys.argv[1])
    stream = channel.stream_stream(
        watch.path,
        request_serializer=watch.request.SerializeToString,
        response_deserializer=watch.response.FromString,
    )
    create = message("WatchCreateRequest")(key=b"/bench", range_end=b"/bench0")
    requests: queue.SimpleQueue[object] = queue.SimpleQueue()
    requests.put(message("WatchRequest")(create_request=create))
    for response in stream(iter(requests.get, None)):
        at_s = time.perf_counter()
        print("watching" if response.created else at_s, flush=True)


if __name__ == "__main__":
    main()
