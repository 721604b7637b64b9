"""Sends requests to nginx all the time, and notes which backend answered when."""

from __future__ import annotations

import http.client
import threading
import time

# A little more than nginx takes for an answer, so that one core is left for the rest.
PAUSE_S = 0.004


class Traffic(threading.Thread):
    """
    Requests through nginx, each on a connection of its own, until stopped.

    first: backend -> when it answered first, monotonic.
    asked: number of requests since `reset_counts`.
    failures: what went wrong since then, one text for each failed request.
    """

    def __init__(self, port: int, host: str) -> None:
        super().__init__(name="traffic", daemon=True)
        self._port, self._host = port, host
        self._stop_asked = threading.Event()
        self.first: dict[str, float] = {}
        self._failed_s = 0.0
        self.asked = 0
        self.failures: list[str] = []

    def run(self) -> None:
        """Send requests until `stop`."""
        while not self._stop_asked.wait(PAUSE_S):
            status, body = ask(self._port, self._host)
            now = time.monotonic()
            self.asked += 1
            if status == 200:
                self.first.setdefault(body, now)
            else:
                self._failed_s = now
                self.failures.append(f"{status} {body.splitlines()[0] if body else ''}")

    def well_for_s(self) -> float:
        """Seconds since the last failure."""
        return time.monotonic() - self._failed_s

    def reset_counts(self) -> None:
        """Forget the requests and failures so far."""
        self.asked = 0
        self.failures = []

    def stop(self) -> None:
        """End it."""
        self._stop_asked.set()
        self.join()


def ask(port: int, host: str) -> tuple[int, str]:
    """Status and body of one request; status 0 and the error when there was no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/", headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return 0, f"{type(error).__name__}: {error}"
    finally:
        connection.close()
