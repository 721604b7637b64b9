"""One connection to one member of etcd; each call is made once. Shell over grpc."""

from __future__ import annotations

from typing import Any

from pyconfd.backends.base import SourceOptions
from pyconfd.backends.etcd.endpoints import Endpoint
from pyconfd.backends.etcd.errors import CallContext, FailedCall, translate
from pyconfd.backends.etcd.protobuf import load_grpc, method

# A larger message is refused as soon as its length is known, before it takes memory (grpc needs
# three to four times its size), and is read page by page instead.
LARGEST_MESSAGE = 64 << 20
# Measured on grpcio 1.66 to 1.85: keepalive_timeout_ms alone is not obeyed (65 s instead of 12),
# a connect deadline (min_reconnect) below some seconds never reaches an etcd that is starting.
GRPC_OPTIONS = (
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
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
    """
    An open connection.

    proven: whether an answer has come over it.
    """

    def __init__(self, endpoint: Endpoint, options: SourceOptions) -> None:
        """Raises SourceRefused when the TLS files cannot be read."""
        self.endpoint = endpoint
        self.proven = False
        self._user = options.username
        self._channel = _open(endpoint, options)
        self._calls: dict[str, Any] = {}

    def unary(self, name: str) -> Any:
        """grpc's callable for a method such as "KV/Range"."""
        call = self._calls.get(name)
        if call is None:
            made = method(name)
            call = self._calls[name] = self._channel.unary_unary(
                made.path,
                request_serializer=made.request.SerializeToString,
                response_deserializer=made.response.FromString,
            )
        return call

    def stream(self, name: str) -> Any:
        """grpc's callable for a method such as "Watch/Watch"."""
        made = method(name)
        return self._channel.stream_stream(
            made.path,
            request_serializer=made.request.SerializeToString,
            response_deserializer=made.response.FromString,
        )

    def translate(self, error: Any, what: str = "") -> FailedCall:
        """The meaning of a grpc.RpcError of this connection. what: the requested key path."""
        context = CallContext(str(self.endpoint), self._user, what)
        return translate(error.code().name, error.details() or "", context)

    def close(self) -> None:
        """End it with all its calls."""
        self._channel.close()


def _open(endpoint: Endpoint, options: SourceOptions) -> Any:
    grpc = load_grpc()
    settings: list[tuple[str, int | str]] = list(GRPC_OPTIONS)
    if endpoint.loopback:  # no proxy leads there; Go's clients know that, grpc does not
        settings.append(("grpc.enable_http_proxy", 0))
    if not endpoint.tls:
        return grpc.insecure_channel(endpoint.address, settings)
    if options.tls_server_name:
        settings.append(("grpc.ssl_target_name_override", options.tls_server_name))
    files = (options.client_ca_keys, options.client_key, options.client_cert)
    credentials = grpc.ssl_channel_credentials(*(_read(path, options) for path in files))
    return grpc.secure_channel(endpoint.address, credentials, settings)


def _read(path: str, options: SourceOptions) -> bytes | None:
    """A TLS file, read at every connection so that renewed ones are used."""
    if not path:
        return None
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        from pyconfd.backends.etcd.diagnose import unreadable

        raise unreadable(error, options) from error
