"""Load: requests without a pause while something else happens, and what became of them."""

from __future__ import annotations

import contextlib
import http.client
import random
import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.support.http import ask


@dataclass(frozen=True, slots=True)
class Seen:
    """A request under load: when it was sent (monotonic), status (0: none), body, how long."""

    at: float
    status: int
    body: str
    took_s: float


class SteadyLoad:
    """Requests from a few threads, a connection for each, without a pause, until it is ended."""

    def __init__(
        self,
        port: int,
        host: str,
        path: str = "/",
        threads: int = 3,
        place: str = "127.0.0.1",
    ) -> None:
        self._where = (port, path, host)
        self._place = place
        self.seen: list[Seen] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(threads)]

    def __enter__(self) -> SteadyLoad:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for each in self._threads:
            each.join(15)

    def _send(self) -> None:
        while not self._over.is_set():
            at = time.monotonic()
            answer = ask(*self._where, place=self._place)
            took_s = time.monotonic() - at
            self.seen.append(Seen(at, answer.status, answer.body.strip(), took_s))
            time.sleep(0.006)  # leaves room for what is tested

    def answers(self) -> bool:
        """Whether one request is answered now."""
        return ask(*self._where, place=self._place).status == 200

    @property
    def failed(self) -> list[Seen]:
        """Everything but a good answer."""
        return [each for each in list(self.seen) if each.status != 200]

    def bodies_since(self, at: float) -> set[str]:
        """What requests got that were sent since then."""
        return {each.body for each in list(self.seen) if each.at >= at}


@dataclass
class KeepAliveLoad:
    """
    Requests on kept connections until it is ended. A request is never repeated: one on a
    connection that the balancer has closed meanwhile is a failure.
    """

    port: int
    clients: int = 4
    answers: int = 0
    failures: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: Sequence[threading.Thread] = ()

    def __enter__(self) -> KeepAliveLoad:
        self._threads = [threading.Thread(target=self._send) for _ in range(self.clients)]
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        for each in self._threads:
            each.join(15)

    def _send(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._over.is_set():
            connection = connection or http.client.HTTPConnection(
                "127.0.0.1", self.port, timeout=60
            )
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                answer.read()
                said, ends = f"status {answer.status}", answer.will_close
            except (OSError, http.client.HTTPException) as error:
                said, ends = f"{type(error).__name__}: {error}", True
            with self._lock:
                self.answers += 1
                if said != "status 200":
                    self.failures.append(said)
            if ends:
                connection.close()
                connection = None
            self._over.wait(0.01)
        if connection:
            connection.close()


@dataclass
class MixedLoad:
    """Steady requests for hosts that always have a member. failures: what was said instead."""

    port: int
    hosts: tuple[str, ...]
    answers: int = 0
    repeated: int = 0
    slowest_s: float = 0.0
    failures: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def running(self) -> Iterator[MixedLoad]:
        """Two clients with a connection for each request, two that keep theirs."""
        kinds = (False, False, True, True)
        threads = [
            threading.Thread(target=self._send, args=(n, keep), daemon=True)
            for n, keep in enumerate(kinds)
        ]
        for each in threads:
            each.start()
        try:
            yield self
        finally:
            self._over.set()
            for each in threads:
                each.join(15)

    def _send(self, number: int, keep: bool) -> None:
        rng = random.Random(number)
        connection: http.client.HTTPConnection | None = None
        while not self._over.is_set():
            begun = time.monotonic()
            host = rng.choice(self.hosts)
            said, connection = self._ask(host, keep, connection)
            with self._lock:
                self.answers += 1
                self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
                if not re.fullmatch(r"b\d", said):
                    self.failures.append(f"{host}: {said}")
            self._over.wait(0.006)
        if connection:
            connection.close()

    def _ask(
        self, host: str, keep: bool, old: http.client.HTTPConnection | None
    ) -> tuple[str, http.client.HTTPConnection | None]:
        """One request; on a kept connection that nginx has closed, repeated on a new one."""
        if old is not None:
            with contextlib.suppress(ConnectionError, http.client.RemoteDisconnected):
                return self._once(old, host, keep)
            old.close()
            with self._lock:
                self.repeated += 1
        new = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            return self._once(new, host, keep)
        except (OSError, http.client.HTTPException) as error:
            new.close()
            return f"{type(error).__name__}: {error}", None

    def _once(
        self, connection: http.client.HTTPConnection, host: str, keep: bool
    ) -> tuple[str, http.client.HTTPConnection | None]:
        words = {"Host": host, "Connection": "keep-alive" if keep else "close"}
        connection.request("GET", "/", headers=words)
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
        said = body if answer.status == 200 else f"status {answer.status}"
        if keep and not answer.will_close:
            return said, connection
        connection.close()
        return said, None
