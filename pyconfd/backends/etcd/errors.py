"""
Translates the status codes and texts of etcd and grpc into pyconfd's errors.

The one place where their texts are matched. Those of etcd are in its api/v3rpc/rpctypes/error.go
(3.4 to 3.6). Pure over text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum, auto

from pyconfd.errors import (
    LeaseLost,
    PyconfdError,
    ResponseTooLarge,
    RevisionCompacted,
    SourceCause,
    SourceError,
    SourceRefused,
    SourceUnavailable,
    StoreFull,
)
from pyconfd.model.values import dataclass

KEPT = "files and services stay as they are"
_TEXTS = {
    SourceCause.NO_ANSWER: "no answer in time",
    SourceCause.UNKNOWN_HOST: "the host name is not known",
}


class Remedy(Enum):
    """What the channel has to do about a failed call."""

    ELSEWHERE = auto()  # another endpoint, after a pause when all have failed
    LOG_IN = auto()  # a new token, then the same call
    NONE = auto()  # raise it


@dataclass(frozen=True, slots=True)
class FailedCall:
    """A failed call: what to do about it and the error to raise if that does not help."""

    remedy: Remedy
    error: PyconfdError


@dataclass(frozen=True, slots=True)
class CallContext:
    """For the message: which user asked which member for which key paths."""

    endpoint: str
    user: str = ""
    what: str = ""


# The server wants a new token.
_TOKEN = ("invalid auth token", "revision of auth store is old", "user name is empty")


def translate(code: str, details: str, asked: CallContext) -> FailedCall:
    """
    code: name of the grpc status code. details: its text, which etcd always fills in.

    An unknown code counts as a fault of that one endpoint.
    """
    if answered := _HTTP_STATUS.search(details):
        return FailedCall(Remedy.ELSEWHERE, _by_http(answered[1], asked))
    return _by_etcd(code, details, asked)


def _by_etcd(code: str, details: str, asked: CallContext) -> FailedCall:
    text = details.removeprefix("etcdserver: ")
    if code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"):
        return _elsewhere(code, details, asked)
    if code == "RESOURCE_EXHAUSTED" and "Received message larger than max" in details:
        what = "the answer is larger than one message may be"
        return FailedCall(Remedy.NONE, ResponseTooLarge(what, where=asked.endpoint))
    if any(sign in text for sign in _TOKEN):
        return FailedCall(Remedy.LOG_IN, no_login(asked))
    if code == "PERMISSION_DENIED" or permission_denied(text):
        return FailedCall(Remedy.NONE, no_permission(asked))
    if "authentication failed" in text:
        return FailedCall(Remedy.NONE, wrong_password(asked))
    if "compacted" in text or "future revision" in text:
        return FailedCall(Remedy.NONE, _no_such_revision(text))
    if "space exceeded" in text:
        return FailedCall(Remedy.NONE, _full(text, asked))
    if "lease not found" in text:
        return FailedCall(Remedy.NONE, LeaseLost("the lease is gone", where=asked.endpoint))
    if code in ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE", "UNIMPLEMENTED"):
        return FailedCall(Remedy.NONE, _refused(code, text, asked))
    return _elsewhere(code, details, asked)


_HTTP_STATUS = re.compile(r"Received http2 header with status: (\d{3})")
_NO_GRPC = re.compile(r"HTTP/2|http1|END_STREAM|content-type|SETTINGS frame")


def _refused(code: str, text: str, asked: CallContext) -> SourceRefused:
    if code == "UNIMPLEMENTED":
        return not_etcd(f"it does not know etcd's v3 API ({text})", where=asked.endpoint)
    return SourceRefused(f"etcd refused: {text}", where=asked.endpoint)


def _by_http(status: str, asked: CallContext) -> SourceError:
    """The error when a web server or a proxy answered instead."""
    what = f"a web server or a proxy answers with HTTP status {status}"
    return SourceUnavailable(what, where=asked.endpoint) if status >= "500" else not_etcd(what)


def not_etcd(what: str, *, where: str = "") -> SourceRefused:
    """The error when another program listens where etcd was expected."""
    return SourceRefused(
        f"the server there is not etcd: {what}",
        where=where,
        cause=SourceCause.NOT_ETCD,
        hint="--node names etcd's client port, 2379 by default",
    )


def speaks_no_grpc(reason: str) -> bool:
    """Whether grpc's text means that the server speaks another protocol."""
    return bool(_NO_GRPC.search(reason))


def _no_such_revision(text: str) -> RevisionCompacted:
    if "compacted" in text:
        return RevisionCompacted("the history was compacted", revision=0)
    what = "the store's revision went back (wiped or restored)"
    return RevisionCompacted(what, revision=0, future=True)


def _elsewhere(code: str, details: str, asked: CallContext) -> FailedCall:
    error = unavailable(_cause(code, details), shorten(details), where=asked.endpoint)
    return FailedCall(Remedy.ELSEWHERE, error)


def _cause(code: str, details: str) -> SourceCause:
    if code == "DEADLINE_EXCEEDED" or "timed out before receiving SETTINGS" in details:
        return SourceCause.NO_ANSWER
    if "address lookup failed" in details or "DNS resolution failed" in details:
        return SourceCause.UNKNOWN_HOST
    if shorten(details) == "Connection refused":
        return SourceCause.CONNECTION_REFUSED
    return SourceCause.OTHER


def unavailable(cause: SourceCause, what: str = "", *, where: str = "") -> SourceUnavailable:
    """The error for a member that cannot be reached. what: for causes without a text here."""
    return SourceUnavailable(_TEXTS.get(cause, what), where=where, cause=cause)


def permission_denied(text: str) -> bool:
    """Whether etcd refuses a call, or ends a watch, because of the user's rights."""
    return "permission denied" in text


def authentication_disabled(text: str) -> bool:
    """Whether etcd refuses a login because it has no users."""
    return "authentication is not enabled" in text


def wants_tls(answer: bytes) -> bool:
    """Whether the answer to a plain HTTP request is that of Go's server on a TLS port."""
    return b"HTTP request to an HTTPS server" in answer


def is_etcd2(answer: bytes) -> bool:
    """Whether the answer to GET /version is that of a server without the v3 API."""
    return b'"etcdserver":"2.' in answer.replace(b" ", b"") or b"etcd 2." in answer


def _full(text: str, asked: CallContext) -> StoreFull:
    """
    The error of a full store. The alarm holds for the whole cluster, so no other member is asked.
    """
    return StoreFull(
        f"etcd takes no writes: {text}",
        where=f"etcd {asked.endpoint}",
        hint="compact, defragment, then etcdctl alarm disarm",
    )


def no_permission(asked: CallContext) -> SourceRefused:
    who = f"user {asked.user}" if asked.user else "the given certificate's user"
    return SourceRefused(
        f"{who} has no permission on {asked.what or 'this'}",
        cause=SourceCause.NO_PERMISSION,
        where=f"etcd {asked.endpoint}",
        kept=KEPT,
        hint=f"etcdctl role grant-permission ROLE read --prefix {asked.what or 'KEY'}",
    )


def wrong_password(asked: CallContext) -> SourceRefused:
    return SourceRefused(
        f"wrong password for user {asked.user}, or there is no such user",
        where=f"etcd {asked.endpoint}",
        kept=KEPT,
        hint="--username and --password",
    )


def no_login(asked: CallContext) -> SourceRefused:
    if asked.user:
        what = f"the token of user {asked.user} was refused again after a fresh login"
    else:
        what = "authentication is enabled and no user was given"
    return SourceRefused(
        what, where=f"etcd {asked.endpoint}", kept=KEPT, hint="--username and --password"
    )


def shorten(details: str) -> str:
    """grpc's text without its layers: the innermost reason."""
    text = details.removeprefix("etcdserver: ")
    text = text.rpartition("last error: ")[2]
    text = re.sub(r"^[A-Z_]+: ", "", text)
    text = re.sub(r"^ipv[46]:\S+?: ", "", text)
    text = text.removeprefix("Failed to connect to remote host: ")
    return text.strip() or "no answer"


def summary(failures: Mapping[str, SourceError]) -> SourceError:
    """
    One error for a round in which every endpoint failed; names each, in order of address.

    SourceRefused when all refused, otherwise SourceUnavailable: a retry may help.
    """
    reasons = [f"{address}: {failures[address].what}" for address in sorted(failures)]
    refused = bool(failures) and all(isinstance(each, SourceRefused) for each in failures.values())
    if refused:
        hints = {each.hint: None for each in failures.values() if each.hint}
        strange = all(each.cause is SourceCause.NOT_ETCD for each in failures.values())
        what = "no etcd found" if strange else "etcd refused the connection"
        return SourceRefused(f"{what}: {', '.join(reasons)}", kept=KEPT, hint="; ".join(hints))
    return SourceUnavailable(
        f"no etcd node answers: {', '.join(reasons) or 'none was tried in time'}", kept=KEPT
    )
