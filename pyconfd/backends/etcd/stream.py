"""
One watch stream to one member, read by a thread. It does not know the position of the watch.

Every response is put as a StreamResponse, and at the end one StreamEnded, all in that thread.
Shell.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from pyconfd.backends.etcd.channel import EtcdChannel
from pyconfd.backends.etcd.link import Link
from pyconfd.backends.etcd.protobuf import load_grpc, message

JOIN_S = 2.0


@dataclass(frozen=True, slots=True)
class StreamResponse:
    """One response of the server."""

    stream: Stream
    response: Any


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """
    The stream ended.

    error: grpc's, None when the server ended it without one, or what `put` raised.
    """

    stream: Stream
    error: Any


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """
    A request made beside the stream has ended.

    answer: the response, None after an error.
    error: grpc's, or None.
    """

    stream: Stream
    answer: Any
    error: Any


class Stream:
    """A bidirectional Watch call with one watch per range, all starting at one revision."""

    def __init__(
        self, channel: EtcdChannel, link: Link, put: Callable[[StreamResponse | StreamEnded], None]
    ) -> None:
        self.link = link
        self._channel = channel
        self._put = put
        self._requests: SimpleQueue[Any] = SimpleQueue()
        self._call: Any = None
        self._thread = threading.Thread(target=self._read, name="etcd-stream", daemon=True)

    def open(self, ranges: Sequence[tuple[bytes, bytes]], start: int) -> None:
        """
        Ask for every range from revision `start` on. Watches are numbered from 1.

        Fragments are not requested: cutting up a message of many small events takes etcd time that
        grows with the square of their number (30 s for 100,000 deletions; v3rpc/watch.go,
        sendFragments). Changes that are too large for one message end the stream with
        ResponseTooLarge.

        Raises grpc.RpcError, or one of pyconfd's errors when there is no token.
        """
        request, create = message("WatchRequest"), message("WatchCreateRequest")
        for number, (key, end) in enumerate(ranges, 1):
            created = create(
                key=key,
                range_end=end,
                start_revision=start,
                watch_id=number,
                progress_notify=True,
            )
            self._requests.put(request(create_request=created))
        self._call = self._channel.open_stream(self.link, "Watch/Watch", self._next_requests())
        self._thread.start()

    def ask_progress(self) -> None:
        """
        Ask the server for its revision; it answers once all watches of the stream have reached it.
        """
        self._requests.put(message("WatchRequest")(progress_request={}))

    def close(self) -> None:
        """End it and its thread; harmless when it has ended."""
        self._requests.put(None)
        if self._call is not None:
            self._call.cancel()
            self._thread.join(JOIN_S)

    def _next_requests(self) -> Iterator[Any]:
        while True:
            request = self._requests.get()
            if request is None:
                return
            yield request

    def _read(self) -> None:
        grpc = load_grpc()
        error: Exception | None = None
        try:
            for response in self._call:
                self._put(StreamResponse(self, response))
        except grpc.RpcError as failure:
            error = failure
        except Exception as failure:  # noqa: BLE001  (top of the thread; the follower raises it)
            error = failure
        # The feeder of the requests would wait for ever for the next one.
        self._requests.put(None)
        self._put(StreamEnded(self, error))
