"""The HTTP client of the tests, one request on a connection of its own, and the plainest server."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; status 0 and the fault as body when there was none. Names of headers in lower."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The body of a good answer, or what went wrong."""
        return self.body if self.status in (0, 200) else f"status {self.status}"


def ask(
    port: int,
    path: str = "/",
    host: str = "127.0.0.1",
    *,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
    body: str = "",
    place: str = "127.0.0.1",
    source: str = "",
    timeout_s: float = 60.0,
) -> Answer:
    """Ask `place`, by the name `host`, from the address `source`. It does not raise."""
    origin = (source, 0) if source else None
    connection = http.client.HTTPConnection(place, port, timeout=timeout_s, source_address=origin)
    try:
        sent = {"Host": host, "Connection": "close", **(headers or {})}
        connection.request(method, path, body=body or None, headers=sent)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        named = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, text, named)
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, f"{type(error).__name__}: {error}")
    finally:
        connection.close()


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that sends these bytes to whoever connects and writes; gives host:port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    client.settimeout(2)
                    try:
                        client.recv(4096)
                        client.sendall(answer)
                        client.recv(4096)
                    except OSError:
                        continue

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
