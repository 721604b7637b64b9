"""
The connection to an etcd cluster: one endpoint at a time, left for the next when it fails.

A connection (link) that failed is dropped and built anew, because grpc's own reconnecting is slow
and on some versions gets stuck. Retries, login and deadlines of single calls are here; what to
do about a store that does not answer is the caller's.

Shell. Safe for calls from any thread; no thread of its own besides grpc's.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Iterable
from typing import Any

from pyconfd.backends.backoff import Backoff
from pyconfd.backends.base import SourceOptions
from pyconfd.backends.etcd.endpoints import (
    Endpoint,
    EndpointRing,
    find_endpoints,
    parse_endpoint,
    proxy_to,
)
from pyconfd.backends.etcd.errors import (
    NO_ANSWER,
    CallContext,
    FailedCall,
    Remedy,
    summary,
    translate,
)
from pyconfd.backends.etcd.protobuf import load_grpc, message, method
from pyconfd.errors import PyconfdError, SourceError, SourceRefused, SourceUnavailable

Metadata = tuple[tuple[str, str], ...]

# Measured on grpcio 1.66 to 1.85: keepalive_timeout_ms alone is not obeyed (65 s instead of 12),
# a connect deadline (min_reconnect) below some seconds never reaches an etcd that is starting.
GRPC_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
)


class Link:
    """One open connection to one endpoint, with its calls made once."""

    def __init__(self, endpoint: Endpoint, channel: Any) -> None:
        self.endpoint = endpoint
        self.channel = channel
        self.proven = False  # an answer has come over it
        self._calls: dict[str, Any] = {}

    def unary(self, name: str) -> Any:
        call = self._calls.get(name)
        if call is None:
            made = method(name)
            call = self._calls[name] = self.channel.unary_unary(
                made.path,
                request_serializer=made.request.SerializeToString,
                response_deserializer=made.response.FromString,
            )
        return call

    def stream(self, name: str) -> Any:
        made = method(name)
        return self.channel.stream_stream(
            made.path,
            request_serializer=made.request.SerializeToString,
            response_deserializer=made.response.FromString,
        )


class EtcdChannel:
    """The cluster as one thing to call. Nothing is opened before the first call."""

    def __init__(self, options: SourceOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._login_lock = threading.Lock()
        self._closed = threading.Event()
        self._ring: EndpointRing | None = None
        self._link: Link | None = None
        self._token = ""

    # Calls

    def unary(self, name: str, request: Any, *, timeout_s: float, what: str = "") -> Any:
        """
        Call `name`, such as "KV/Range", on whichever endpoint answers within `timeout_s`.

        what: key path for messages. A call that failed without an answer is made again, so a
        write must be harmless when done twice. Raises SourceUnavailable naming every endpoint
        that was tried, SourceRefused, RevisionCompacted, LeaseLost.
        """
        deadline = time.monotonic() + timeout_s
        failures: dict[str, SourceError] = {}
        unknown: SourceUnavailable | None = None
        backoff = Backoff()
        while not self._closed.is_set():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                break
            try:
                link = self.link()
            except SourceUnavailable as error:  # no endpoint is known: DNS may come later
                unknown = error
                self._closed.wait(min(backoff.next_s(), left_s))
                continue
            if not link.proven:  # leave time for the endpoints that were not tried yet
                left_s /= max(1, self.size - len(failures))
            fault = self._try(link, name, request, left_s, what)
            if not isinstance(fault, FailedCall):
                return fault
            if fault.remedy is not Remedy.ELSEWHERE or not isinstance(fault.error, SourceError):
                raise fault.error
            failures[str(link.endpoint)] = self._explain(link, fault.error)
            if fault.error.what == NO_ANSWER:
                # A store that was wiped lets calls with a token of its former life wait for an
                # index that it has not reached (auth/simple_token.go, isValidSimpleToken).
                self.forget_token()
            self.drop(link)
            self._after_failure(failures, backoff, deadline)
        raise unknown if unknown and not failures else summary(failures)

    def open_stream(self, link: Link, name: str, requests: Iterable[Any]) -> Any:
        """
        A stream over this link: iterate for answers (raises grpc.RpcError), `cancel()` to end.

        Carries the token and asks the member to end it when it has lost its leader.
        """
        metadata = (*self.metadata(link), ("hasleader", "true"))
        return link.stream(name)(iter(requests), metadata=metadata)

    def _try(self, link: Link, name: str, request: Any, left_s: float, what: str) -> Any:
        """The answer, or a Fault. A token that was refused is renewed once on the way."""
        grpc = load_grpc()
        limit_s = self._options.request_timeout_s
        if not link.proven:
            limit_s = min(limit_s, self._options.dial_timeout_s)
        until = time.monotonic() + min(left_s, limit_s)
        for renewed in (False, True):
            used = self._token
            try:
                metadata = self.metadata(link, until - time.monotonic())
                left_s = until - time.monotonic()
                answer = link.unary(name)(request, timeout=left_s, metadata=metadata)
            except grpc.RpcError as error:
                fault = self.translate(link, error, what)
            except ValueError:  # grpc's word for a channel that another thread has closed
                fault = FailedCall(
                    Remedy.ELSEWHERE, SourceUnavailable("the connection was dropped")
                )
            except PyconfdError as error:
                remedy = Remedy.NONE if isinstance(error, SourceRefused) else Remedy.ELSEWHERE
                fault = FailedCall(remedy, error)
            else:
                link.proven = True
                return answer
            if fault.remedy is not Remedy.LOG_IN or renewed or not self._options.username:
                return fault
            self.forget_token(used)
        return fault

    def _after_failure(
        self, failures: dict[str, SourceError], backoff: Backoff, deadline: float
    ) -> None:
        """Nothing while endpoints are untried, then a pause; raise when no retry can help."""
        ring = self._ring
        if ring is None or len(failures) < len(ring):
            return
        error = summary(failures)
        if isinstance(error, SourceRefused):
            raise error
        left_s = deadline - time.monotonic()
        if left_s > 0:
            self._closed.wait(min(backoff.next_s(), left_s))
        self._look_up_again()

    def _look_up_again(self) -> None:
        """When no member answers, the domain's records may name others by now."""
        if not self._options.srv_domain or self._closed.is_set():
            return
        try:
            ring = EndpointRing(find_endpoints(self._options))
        except SourceError:
            return  # what was known is still the best guess
        with self._lock:
            if self._ring is not None and not all(each in self._ring for each in ring):
                self._ring = ring

    def translate(self, link: Link, error: Any, what: str = "") -> FailedCall:
        """A grpc error that came over `link` in our words."""
        asked = CallContext(str(link.endpoint), self._options.username, what)
        return translate(error.code().name, error.details() or "", asked)

    def _explain(self, link: Link, error: SourceError) -> SourceError:
        """A better reason for a connection that was never made."""
        if link.proven or self._closed.is_set():
            return error
        if proxy := proxy_to(link.endpoint):
            return SourceUnavailable(f"{error.what} (by way of the proxy in {proxy})")
        if error.what in _KNOWN:
            return error
        from pyconfd.backends.etcd.diagnose import diagnose

        return diagnose(link.endpoint, self._options, error.what)

    # Links

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    @property
    def size(self) -> int:
        """How many endpoints there are; 1 before they are known."""
        return len(self._ring) if self._ring else 1

    def link(self) -> Link:
        """The connection in use, opened if there is none."""
        ring = self._ring
        if ring is None:
            # Not under the lock: DNS may take its time, and nobody who closes waits for it.
            found = EndpointRing(find_endpoints(self._options))
            with self._lock:
                self._ring = ring = self._ring or found
        with self._lock:
            if self._closed.is_set():
                raise SourceUnavailable("the connection was closed")
            if self._link is None:
                endpoint = ring.current
                self._link = Link(endpoint, self._open(endpoint))
            return self._link

    def drop(self, link: Link) -> None:
        """Give up a connection, with all its calls, and turn to the next endpoint."""
        with self._lock:
            if self._link is link:
                self._link = None
                if self._ring is not None:
                    self._ring.turn(link.endpoint)
        link.channel.close()

    def learn_members(self, urls: Iterable[str]) -> None:
        """Take the client URLs that the cluster tells of itself; those that are none are not."""
        endpoints = []
        for url in urls:
            with contextlib.suppress(SourceRefused):
                endpoints.append(parse_endpoint(url, self._options.scheme))
        with self._lock:
            if self._ring is not None:
                self._ring.learn(endpoints)

    def close(self) -> None:
        """End all calls. Prompt, from any thread."""
        self._closed.set()
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.channel.close()

    def _open(self, endpoint: Endpoint) -> Any:
        grpc = load_grpc()
        settings: list[tuple[str, int | str]] = list(GRPC_OPTIONS)
        if endpoint.loopback:  # no proxy leads there; Go's clients know that, grpc does not
            settings.append(("grpc.enable_http_proxy", 0))
        if not endpoint.tls:
            return grpc.insecure_channel(endpoint.address, settings)
        options = self._options
        if options.tls_server_name:
            settings.append(("grpc.ssl_target_name_override", options.tls_server_name))
        credentials = grpc.ssl_channel_credentials(
            self._read(options.client_ca_keys),
            self._read(options.client_key),
            self._read(options.client_cert),
        )
        return grpc.secure_channel(endpoint.address, credentials, settings)

    def _read(self, path: str) -> bytes | None:
        """A TLS file, read at every connection so that renewed ones are taken up."""
        if not path:
            return None
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError as error:
            from pyconfd.backends.etcd.diagnose import unreadable

            raise unreadable(error, self._options) from error

    # Login

    def metadata(self, link: Link, timeout_s: float = math.inf) -> Metadata:
        """
        The token for a call, from a login if there is none, which has at most `timeout_s`.

        In plain metadata and not in grpc's call credentials, which it refuses without TLS.
        """
        if not self._options.username:
            return ()
        if not self._token:
            with self._login_lock:
                if not self._token:
                    self._token = self._log_in(link, timeout_s)
        return (("token", self._token),) if self._token != _NO_AUTH else ()

    def forget_token(self, used: str = "") -> None:
        """Log in again at the next call, unless another thread has done so since `used`."""
        with self._login_lock:
            if used in ("", self._token):
                self._token = ""

    def _log_in(self, link: Link, timeout_s: float) -> str:
        grpc = load_grpc()
        options = self._options
        limit_s = max(0.0, min(timeout_s, options.dial_timeout_s))
        request = message("AuthenticateRequest")(name=options.username, password=options.password)
        try:
            answer = link.unary("Auth/Authenticate")(request, timeout=limit_s)
        except grpc.RpcError as error:
            if "authentication is not enabled" in (error.details() or ""):
                return _NO_AUTH
            raise self.translate(link, error).error from None
        return str(answer.token)


# Reasons that a second look would not make clearer.
_KNOWN = ("Connection refused", NO_ANSWER, "the host name is not known")

# In the place of a token while the store has authentication switched off.
_NO_AUTH = "-"
