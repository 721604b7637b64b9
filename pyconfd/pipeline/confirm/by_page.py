"""
For a daemon with a number on an HTTP page: the reload is confirmed when it has grown. Shell.

The request goes directly to the daemon, without proxies of the environment or redirects.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from pyconfd.config.daemons import Daemon
from pyconfd.pipeline.confirm import presence
from pyconfd.pipeline.confirm.base import Answer, BeforeReload, ReloadVerdict, absent, unreachable
from pyconfd.pipeline.confirm.daemon_log import DaemonLog
from pyconfd.system.connect import Address, connect, http_get

#: For one request; a daemon that is about to reload may let one wait for a second.
_REQUEST_S = 2.0
_MOST_BYTES = 64 * 1024


class _NoNumber(Exception):
    """
    The page has no number.

    hint: what to do about it, "" when the daemon simply does not answer.
    closed: nothing listens there.
    """

    def __init__(self, what: str, hint: str = "", *, closed: bool = False) -> None:
        super().__init__(what)
        self.hint = hint
        self.closed = closed


@dataclass(slots=True)
class PageBefore(BeforeReload):
    """
    The daemon and its number before the reload.

    trouble: what went wrong with the last request; "" if it was answered.
    """

    daemon: Daemon
    url: str
    number: int
    log: DaemonLog
    trouble: str = ""

    def poll(self) -> Answer | None:
        """A number that has grown, or a refusal in the log."""
        try:
            number, self.trouble = _number(self.daemon, self.url), ""
        except _NoNumber as error:
            number, self.trouble = self.number, str(error)
        if number > self.number:
            return ReloadVerdict.CONFIRMED, f"{self.daemon.facts['called']} {number}"
        refusal = self.log.refusal()
        return (ReloadVerdict.REFUTED, refusal) if refusal else None

    def missing(self) -> str:
        """What has not been seen."""
        why = f" ({self.trouble})" if self.trouble else ""
        return f"no new {self.daemon.facts['called']} at {self.url}{why}"


def inspect(daemon: Daemon, url: str, log: DaemonLog) -> PageBefore:
    """Read the number at this URL. Raises ReloadError when there is none."""
    try:
        return PageBefore(daemon, url, _number(daemon, url), log)
    except _NoNumber as error:
        if error.closed:
            if presence.gone(daemon, url, lambda: _answers(daemon, url)):
                raise absent(f"{daemon.name} does not run", url) from error
            if _answers(daemon, url):  # it was starting
                return PageBefore(daemon, url, _number(daemon, url), log)
        what = f"{daemon.name} cannot be asked: {error}"
        raise unreachable(what, url, error.hint) from error


def _answers(daemon: Daemon, url: str) -> bool:
    try:
        _number(daemon, url)
    except _NoNumber:
        return False
    return True


def _number(daemon: Daemon, url: str) -> int:
    text = _fetch(url)
    found = re.search(daemon.facts["number"], text)
    if not found:
        called = daemon.facts["called"]
        raise _NoNumber(f"the page shows no {called}", f"name in `at` {daemon.at}")
    return int(found[1])


def _fetch(url: str) -> str:
    from urllib.parse import urlsplit

    deadline = time.monotonic() + _REQUEST_S
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host = parts.netloc.rpartition("@")[2]
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        name, port = parts.hostname or "", parts.port or (443 if secure else 80)
        address = Address(name, port, tls=name if secure else "")
        with connect(address, deadline) as stream:
            response = http_get(stream, path, host, deadline, most_body=_MOST_BYTES)
    except (OSError, ValueError) as error:
        closed = isinstance(error, ConnectionRefusedError)
        reason = getattr(error, "strerror", None) or str(error)
        raise _NoNumber(reason, closed=closed) from error
    if response.status != 200:
        what = f"the answer is {response.status} {response.reason}"
        raise _NoNumber(what, "let this host see it")
    return response.body.decode(errors="replace")
