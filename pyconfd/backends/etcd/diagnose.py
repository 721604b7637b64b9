"""
Finds out why a connection to an etcd node fails, by connecting once with the standard library.

grpc's texts change with its version and often hide the reason ("Socket closed"). This runs only
after a failure, is bounded in time, and gives a message that an operator can act upon.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from typing import Any

from pyconfd.backends.base import SourceOptions
from pyconfd.backends.etcd.endpoints import Endpoint
from pyconfd.backends.etcd.errors import (
    is_etcd2,
    not_etcd,
    speaks_no_grpc,
    unavailable,
    wants_tls,
)
from pyconfd.errors import SourceCause, SourceError, SourceRefused, SourceUnavailable
from pyconfd.system.connect import Address, connect, receive
from pyconfd.system.tls import verifying

TIMEOUT_S = 1.0

# X509_V_ERR_* of openssl/x509_vfy.h
_EXPIRED, _NOT_YET_VALID, _NAME, _ADDRESS = 10, 9, 62, 64
_GET_VERSION = b"GET /version HTTP/1.0\r\n\r\n"


def diagnose(endpoint: Endpoint, options: SourceOptions, reason: str) -> SourceError:
    """
    The error to report: SourceRefused when a retry cannot help, else SourceUnavailable.

    reason: grpc's, kept when nothing better is found.
    """
    try:
        with _connected(endpoint) as plain:
            found = (
                _inspect_tls(plain, endpoint, options)
                if endpoint.tls
                else _inspect_plain(plain, reason)
            )
    except socket.gaierror:
        return unavailable(SourceCause.UNKNOWN_HOST)
    except TimeoutError:
        return unavailable(SourceCause.NO_ANSWER)
    except OSError as error:
        return SourceUnavailable((error.strerror or reason).lower())
    if not endpoint.tls and found is None and _speaks_tls(endpoint):
        return _tls_wanted()
    if found is None and speaks_no_grpc(reason):
        return not_etcd("it does not speak etcd's protocol (gRPC)")
    return found or SourceUnavailable(reason)


def _inspect_plain(plain: socket.socket, reason: str) -> SourceError | None:
    plain.sendall(_GET_VERSION)
    answer = _read(plain)
    if wants_tls(answer):
        return _tls_wanted()
    if is_etcd2(answer):
        return SourceRefused(
            "an etcd 2 server, which has no v3 API", hint="etcd 3.4 or newer is needed"
        )
    if answer and b"etcdserver" not in answer and speaks_no_grpc(reason):
        return not_etcd(_server_of(answer))
    return None


def _server_of(answer: bytes) -> str:
    """What a server says about itself, if it is plain text."""
    status = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
    if status is None:
        return "it does not speak etcd's protocol (gRPC)"
    name = re.search(rb"(?im)^server: *([\w./ -]{1,40})", answer)
    who = name[1].decode().strip() if name else "it"
    return f"{who} answers with HTTP status {status[1].decode()}"


def _inspect_tls(
    plain: socket.socket, endpoint: Endpoint, options: SourceOptions
) -> SourceError | None:
    try:
        context = client_context(options)
    except (OSError, ssl.SSLError) as error:
        return unreadable(error, options)
    name = options.tls_server_name or endpoint.host
    try:
        with context.wrap_socket(plain, server_hostname=name) as secured:
            # A refused client certificate shows at the first read (TLS 1.3).
            secured.sendall(_GET_VERSION)
            _read(secured)
    except ssl.SSLCertVerificationError as error:
        return _distrusted(error, name, options)
    except ssl.SSLError as error:
        return _speaks_plain(endpoint) or _tls_failed(error, options)
    except ConnectionError:
        closed = SourceUnavailable("the connection was closed during the TLS handshake")
        return _speaks_plain(endpoint) or closed
    return None


def client_context(options: SourceOptions) -> ssl.SSLContext:
    """The TLS settings that the options ask for. Raises OSError for unreadable files."""
    context = verifying(options.client_ca_keys)  # as grpc does, whose failure is explained
    if options.client_cert:
        context.load_cert_chain(options.client_cert, options.client_key or None)
    return context


def unreadable(error: OSError, options: SourceOptions) -> SourceRefused:
    """The error for certificate files that cannot be read or used."""
    named = getattr(error, "filename", None)
    given = [options.client_ca_keys, options.client_cert, options.client_key]
    files = str(named or ", ".join(each for each in given if each))
    return SourceRefused(
        f"the TLS files cannot be used: {error.strerror or error} ({files})",
        cause=SourceCause.TLS_FILES,
        hint="--client-ca-keys, --client-cert and --client-key are PEM files",
    )


def _distrusted(
    error: ssl.SSLCertVerificationError, name: str, options: SourceOptions
) -> SourceRefused:
    if error.verify_code in (_EXPIRED, _NOT_YET_VALID):
        return SourceRefused(
            f"the server's {error.verify_message}", hint="renew it, or check the clock"
        )
    if error.verify_code in (_NAME, _ADDRESS):
        return SourceRefused(
            f"the server's certificate is not for the name {name}",
            hint="use the name in it for the node, or --tls-server-name",
        )
    against = options.client_ca_keys or "the system's authorities"
    return SourceRefused(
        f"the server's certificate comes from an unknown authority ({error.verify_message}; "
        f"trusted: {against})",
        hint="--client-ca-keys",
    )


def _tls_failed(error: ssl.SSLError, options: SourceOptions) -> SourceError:
    reason = (error.reason or str(error)).upper()
    if "ALERT" in reason or "CERTIFICATE" in reason:
        given = f"refused {options.client_cert}" if options.client_cert else "demands one"
        return SourceRefused(
            f"the server checks client certificates and {given} ({reason.lower()})",
            hint="--client-cert and --client-key",
        )
    return SourceUnavailable(f"TLS failed: {reason.lower()}")


def _speaks_plain(endpoint: Endpoint) -> SourceRefused | None:
    """The refusal if a request in plain HTTP gets a plain answer."""
    try:
        with _connected(endpoint) as plain:
            plain.sendall(_GET_VERSION)
            answer = _read(plain)
    except OSError:
        return None
    if not answer.startswith(b"HTTP/") or wants_tls(answer):
        return None
    return SourceRefused(
        "TLS was spoken to a port that speaks plain HTTP",
        hint="http:// without --client-ca-keys, or give the server a certificate",
    )


def _tls_wanted() -> SourceRefused:
    return SourceRefused(
        "plain HTTP was spoken to a port that speaks TLS", hint="https:// or --client-ca-keys"
    )


def _speaks_tls(endpoint: Endpoint) -> bool:
    """Whether a TLS handshake succeeds, whatever the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            _connected(endpoint) as plain,
            context.wrap_socket(plain),
        ):
            return True
    except OSError:
        return False


def _connected(endpoint: Endpoint) -> Any:
    stream = connect(Address(endpoint.host, endpoint.port), time.monotonic() + TIMEOUT_S)
    stream.settimeout(TIMEOUT_S)
    return stream


def _read(stream: socket.socket) -> bytes:
    """Read until the end, for a limited time, and at most 4 kB."""
    found = bytearray()

    def enough(read: bytearray) -> bool:
        found[:] = read
        return len(read) >= 4096

    try:
        receive(stream, time.monotonic() + TIMEOUT_S, enough)
    except ssl.SSLError:
        raise
    except OSError:
        pass
    return bytes(found[:4096])
