"""
One watch stream to one member: opened, read by a thread, ended. It knows no position.

Everything that comes is told as Said, and at last one Over, all in that thread. Shell.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from pyconfd.backends.etcd.channel import EtcdChannel, Link
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
    The stream ended; error is grpc's, or None when the server ended it without one.

    Or it is what went wrong in the thread while something was told.
    """

    stream: Stream
    error: Any


class Stream:
    """A bidirectional Watch call with one watch per range, all starting at one revision."""

    def __init__(
        self, channel: EtcdChannel, link: Link, tell: Callable[[StreamResponse | StreamEnded], None]
    ) -> None:
        self.link = link
        self._channel = channel
        self._tell = tell
        self._requests: SimpleQueue[Any] = SimpleQueue()
        self._call: Any = None
        self._thread = threading.Thread(target=self._read, name="etcd-stream", daemon=True)

    def open(self, ranges: Sequence[tuple[bytes, bytes]], start: int) -> None:
        """
        Ask for every range from revision `start` on. Watches are numbered from 1.

        Raises grpc.RpcError or an error of our tree when not even a token can be had.
        """
        request, create = message("WatchRequest"), message("WatchCreateRequest")
        for number, (key, end) in enumerate(ranges, 1):
            created = create(
                key=key,
                range_end=end,
                start_revision=start,
                watch_id=number,
                progress_notify=True,
                fragment=True,
            )
            self._requests.put(request(create_request=created))
        self._call = self._channel.open_stream(self.link, "Watch/Watch", self._next_requests())
        self._thread.start()

    def ask_progress(self) -> None:
        """The server answers with its revision, once all watches of the stream are that far."""
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
                self._tell(StreamResponse(self, response))
        except grpc.RpcError as failure:
            error = failure
        except Exception as failure:  # noqa: BLE001  (top of the thread; raised by who follows)
            error = failure
        # The feeder of the requests would wait for ever for the next one.
        self._requests.put(None)
        self._tell(StreamEnded(self, error))
