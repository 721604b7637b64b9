"""
The connection to an etcd cluster: one endpoint at a time; when it fails, the next one is used.

A connection (link) that failed is dropped and opened again, because grpc's own reconnecting is
slow and on some versions gets stuck. Retries and deadlines of single calls are here; the caller
decides what to do about a store that does not answer.

Shell. May be called from any thread; has no thread of its own besides grpc's.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable
from typing import Any

from pyconfd.backends.backoff import Backoff
from pyconfd.backends.base import SourceOptions
from pyconfd.backends.etcd.endpoints import (
    EndpointRing,
    find_endpoints,
    parse_endpoint,
    proxy_to,
)
from pyconfd.backends.etcd.errors import FailedCall, Remedy, summary
from pyconfd.backends.etcd.link import Link
from pyconfd.backends.etcd.login import Login
from pyconfd.backends.etcd.protobuf import load_grpc
from pyconfd.errors import (
    PyconfdError,
    SourceCause,
    SourceError,
    SourceRefused,
    SourceUnavailable,
)


class EtcdChannel:
    """
    Calls to a cluster. Nothing is opened before the first call.

    login: whose token the calls carry.
    """

    def __init__(self, options: SourceOptions) -> None:
        self.login = Login(options)
        self._options = options
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._ring: EndpointRing | None = None
        self._link: Link | None = None

    # Calls

    def unary(self, name: str, request: Any, *, timeout_s: float, what: str = "") -> Any:
        """
        Call `name`, such as "KV/Range", on whichever endpoint answers within `timeout_s`.

        what: key path for messages. A call that failed without an answer is repeated, so a write
        must be harmless when done twice. Raises SourceUnavailable naming every endpoint that was
        tried, SourceRefused, RevisionCompacted, LeaseLost.
        """
        deadline = time.monotonic() + timeout_s
        failures: dict[str, SourceError] = {}
        no_endpoint: SourceUnavailable | None = None
        backoff = Backoff()
        while not self._closed.is_set() and (left_s := deadline - time.monotonic()) > 0:
            try:
                link = self.link()
            except SourceUnavailable as error:  # no endpoint is known: DNS may come later
                no_endpoint = error
                self._closed.wait(min(backoff.next_s(), left_s))
                continue
            if not link.proven:  # leave time for the endpoints that were not tried yet
                left_s /= max(1, self.size - len(failures))
            answer = self._try(link, name, request, left_s, what)
            if not isinstance(answer, FailedCall):
                return answer
            failures[str(link.endpoint)] = self._leave(link, answer)
            self._after_failure(failures, backoff, deadline)
        raise no_endpoint if no_endpoint and not failures else summary(failures)

    def open_stream(self, link: Link, name: str, requests: Iterable[Any]) -> Any:
        """
        A stream over this link: iterate for answers (raises grpc.RpcError), `cancel()` to end.

        It carries the token, and asks the member to end it if it loses its leader.
        """
        metadata = (*self.login.metadata(link), ("hasleader", "true"))
        return link.stream(name)(iter(requests), metadata=metadata)

    def _try(self, link: Link, name: str, request: Any, left_s: float, what: str) -> Any:
        """The answer, or a FailedCall. A refused token is renewed once."""
        grpc = load_grpc()
        limit_s = self._options.request_timeout_s
        if not link.proven:
            limit_s = min(limit_s, self._options.dial_timeout_s)
        until = time.monotonic() + min(left_s, limit_s)
        for renewed in (False, True):
            used = self.login.token
            try:
                metadata = self.login.metadata(link, until - time.monotonic())
                left_s = until - time.monotonic()
                answer = link.unary(name)(request, timeout=left_s, metadata=metadata)
            except grpc.RpcError as error:
                failed = link.translate(error, what)
            except ValueError:  # what grpc raises for a channel that another thread has closed
                dropped = SourceUnavailable("the connection was dropped")
                failed = FailedCall(Remedy.ELSEWHERE, dropped)
            except PyconfdError as error:
                remedy = Remedy.NONE if isinstance(error, SourceRefused) else Remedy.ELSEWHERE
                failed = FailedCall(remedy, error)
            else:
                link.proven = True
                return answer
            if failed.remedy is not Remedy.LOG_IN or renewed or not self._options.username:
                return failed
            self.login.forget(used)
        return failed

    def _leave(self, link: Link, failed: FailedCall) -> SourceError:
        """Drop the link. Returns the reason, or raises it when no other endpoint can help."""
        error = failed.error
        if failed.remedy is not Remedy.ELSEWHERE or not isinstance(error, SourceError):
            raise error
        explained = self._explain(link, error)
        if error.cause is SourceCause.NO_ANSWER:
            # A store that was wiped lets calls with a token of its former life wait for an
            # index that it has not reached (auth/simple_token.go, isValidSimpleToken).
            self.login.forget()
        self.drop(link)
        return explained

    def _explain(self, link: Link, error: SourceError) -> SourceError:
        """A better reason for a connection that could not be made."""
        if link.proven or self._closed.is_set():
            return error
        if proxy := proxy_to(link.endpoint):
            return SourceUnavailable(f"{error.what} (by way of the proxy in {proxy})")
        if error.cause is not SourceCause.OTHER:
            return error
        from pyconfd.backends.etcd.diagnose import diagnose

        return diagnose(link.endpoint, self._options, error.what)

    def _after_failure(
        self, failures: dict[str, SourceError], backoff: Backoff, deadline: float
    ) -> None:
        """Pause when all endpoints were tried; raise when a retry cannot help."""
        ring = self._ring
        if ring is None or len(failures) < len(ring):
            return
        error = summary(failures)
        if isinstance(error, SourceRefused):
            raise error
        left_s = deadline - time.monotonic()
        if left_s > 0:
            self._closed.wait(min(backoff.next_s(), left_s))
        self._refresh_endpoints()

    def _refresh_endpoints(self) -> None:
        """
        Look up the domain's records again: when no member answers, they may name others by now.
        """
        if not self._options.srv_domain or self._closed.is_set():
            return
        try:
            ring = EndpointRing(find_endpoints(self._options))
        except SourceError:
            return  # what was known is still the best guess
        with self._lock:
            if self._ring is not None and not all(each in self._ring for each in ring):
                self._ring = ring

    # Links

    @property
    def size(self) -> int:
        """How many endpoints there are; 1 before they are known."""
        return len(self._ring) if self._ring else 1

    def link(self) -> Link:
        """The connection in use, opened if there is none."""
        ring = self._ring
        if ring is None:
            # Not under the lock: DNS may take its time, and closing must not wait for it.
            found = EndpointRing(find_endpoints(self._options))
            with self._lock:
                self._ring = ring = self._ring or found
        with self._lock:
            if self._closed.is_set():
                raise SourceUnavailable("the connection was closed")
            if self._link is None:
                self._link = Link(ring.current, self._options)
            return self._link

    def drop(self, link: Link) -> None:
        """Give up a connection, with all its calls, and turn to the next endpoint."""
        with self._lock:
            if self._link is link:
                self._link = None
                if self._ring is not None:
                    self._ring.turn(link.endpoint)
        link.close()

    def learn_members(self, urls: Iterable[str]) -> None:
        """Use the client URLs of the cluster's members too, except invalid ones."""
        endpoints = []
        for url in urls:
            with contextlib.suppress(SourceRefused):
                endpoints.append(parse_endpoint(url, self._options.scheme))
        with self._lock:
            if self._ring is not None:
                self._ring.learn(endpoints)

    def close(self) -> None:
        """End all calls at once; may be called from any thread."""
        self._closed.set()
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.close()
