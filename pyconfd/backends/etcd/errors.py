"""
What etcd and grpc say, in our words: from a status code and its text to an error of our tree.

Pure over text. The texts are those of etcd's api/v3rpc/rpctypes/error.go (3.4 to 3.6).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from pyconfd.errors import (
    LeaseLost,
    PyconfdError,
    RevisionCompacted,
    SourceError,
    SourceRefused,
    SourceUnavailable,
    StoreFull,
)

KEPT = "what runs is unchanged"
NO_ANSWER = "no answer in time"


class Remedy(Enum):
    """What the channel does about a failed call."""

    ELSEWHERE = auto()  # another endpoint, after a pause when all have failed
    LOG_IN = auto()  # a new token, then the same call
    NONE = auto()  # tell the caller


@dataclass(frozen=True, slots=True)
class FailedCall:
    """A failed call: what to do about it and the error to raise if that does not help."""

    remedy: Remedy
    error: PyconfdError


@dataclass(frozen=True, slots=True)
class CallContext:
    """Who asked what of whom, for the message. what: a key path or a range of them."""

    endpoint: str
    user: str = ""
    what: str = ""


# Text of the server -> it wants a new token.
_TOKEN = ("invalid auth token", "revision of auth store is old", "user name is empty")


def translate(code: str, details: str, asked: CallContext) -> FailedCall:
    """
    code: name of the grpc status code. details: its text, never empty of meaning for etcd.

    An unknown code is treated as trouble of that one endpoint.
    """
    text = details.removeprefix("etcdserver: ")
    if code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"):
        return _elsewhere(code, details, asked)
    if any(sign in text for sign in _TOKEN):
        return FailedCall(Remedy.LOG_IN, no_login(asked))
    if code == "PERMISSION_DENIED" or "permission denied" in text:
        return FailedCall(Remedy.NONE, no_permission(asked))
    if "authentication failed" in text:
        return FailedCall(Remedy.NONE, wrong_password(asked))
    if "compacted" in text:
        error = RevisionCompacted("the history was compacted", revision=0)
        return FailedCall(Remedy.NONE, error)
    if "future revision" in text:
        went_back = "the store's revision went back (wiped or restored)"
        return FailedCall(Remedy.NONE, RevisionCompacted(went_back, revision=0))
    if "space exceeded" in text:
        return FailedCall(Remedy.NONE, _full(text, asked))
    if "lease not found" in text:
        return FailedCall(Remedy.NONE, LeaseLost("the lease is gone", where=asked.endpoint))
    if code in ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE", "UNIMPLEMENTED"):
        return FailedCall(Remedy.NONE, SourceRefused(f"etcd refused: {text}", where=asked.endpoint))
    return _elsewhere(code, details, asked)


def _elsewhere(code: str, details: str, asked: CallContext) -> FailedCall:
    silent = code == "DEADLINE_EXCEEDED" or "timed out before receiving SETTINGS" in details
    said = NO_ANSWER if silent else shorten(details)
    return FailedCall(Remedy.ELSEWHERE, SourceUnavailable(said, where=asked.endpoint))


def _full(text: str, asked: CallContext) -> StoreFull:
    """The alarm is the whole cluster's, so another member says the same."""
    return StoreFull(
        f"etcd takes no writes: {text}",
        where=f"etcd {asked.endpoint}",
        hint="compact, defragment, then etcdctl alarm disarm",
    )


def no_permission(asked: CallContext) -> SourceRefused:
    who = f"user {asked.user}" if asked.user else "the given certificate's user"
    return SourceRefused(
        f"{who} has no permission on {asked.what or 'this'}",
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
    if "address lookup failed" in text or "DNS resolution failed" in text:
        return "the host name is not known"
    return text.strip() or "no answer"


def summary(failures: Mapping[str, SourceError]) -> SourceError:
    """
    One error for a round in which every endpoint failed, naming each; in order of address.

    SourceRefused when all refused, otherwise SourceUnavailable: a retry may help.
    """
    told = [f"{address}: {failures[address].what}" for address in sorted(failures)]
    refused = bool(failures) and all(isinstance(each, SourceRefused) for each in failures.values())
    if refused:
        hints = {each.hint: None for each in failures.values() if each.hint}
        return SourceRefused(
            f"etcd refused the connection: {', '.join(told)}", kept=KEPT, hint="; ".join(hints)
        )
    return SourceUnavailable(
        f"no etcd node answers: {', '.join(told) or 'none was tried in time'}", kept=KEPT
    )
