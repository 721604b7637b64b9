"""
The control socket of a running daemon: a Unix socket in its state folder, one request, one answer.

A request is a line of JSON such as {"do": "status"}, and so is the answer. Only the user of the
daemon may use the socket (mode 0600). The server does not know any answer: it puts each request on
the daemon's inbox and sends back the reply. Shell.
"""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyconfd.config.settings import SYSTEM_STATE
from pyconfd.errors import StateError
from pyconfd.observe import log

if TYPE_CHECKING:
    import socket

NAME = "control.sock"
ANSWER_S = 5.0
#: For a question whose answer is work: thousands of resources and templates to read.
RELOAD_S = 120.0
#: A request is a few words; whatever sends more is no client of ours.
LONGEST_REQUEST = 16 * 1024
#: So many clients at once; further ones get an error.
MOST_CLIENTS = 8
#: sockaddr_un.sun_path with its final NUL, unix(7).
_SUN_PATH = 108

Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """
    A request from outside the process.

    question: what was sent.
    reply: takes the answer, plain data; may be called from any thread, never blocks.
    """

    question: Mapping[str, Any]
    reply: Callable[[Answer], None]


class ControlServer:
    """
    The server, on threads of its own. put: takes the requests. answer_s: most seconds for which a
    client is served.
    """

    def __init__(
        self, folder: str, put: Callable[[ControlRequest], None], *, answer_s: float = ANSWER_S
    ) -> None:
        self._folder = folder
        self._put = put
        self._answer_s = answer_s
        self._socket: socket.socket | None = None
        self._stopped = threading.Event()
        self._slots = threading.BoundedSemaphore(MOST_CLIENTS)
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)

    def start(self) -> None:
        """
        Listen. A failure is only logged, because the daemon can do its work without the socket.

        The caller has the lock of the state folder, so an existing socket was left by a dead
        daemon.
        """
        import socket

        path = os.path.join(self._folder, NAME)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            with suppress(FileNotFoundError):
                os.unlink(path)
            # Linux gives the file the mode of the socket, so that it is never open to others.
            os.fchmod(listening.fileno(), 0o600)
            with _address(path) as address:
                listening.bind(address)
            listening.listen(MOST_CLIENTS)
        except OSError as error:
            listening.close()
            log.warn(
                f"no control socket: {error.strerror}; status, explain and release do not work",
                path=path,
            )
            return
        self._socket = listening
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and remove the socket. Clients that wait are disconnected."""
        self._stopped.set()
        if self._socket is None:
            return
        import socket

        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes accept
        self._thread.join(1.0)
        self._socket.close()
        with suppress(OSError):
            os.unlink(os.path.join(self._folder, NAME))

    def __enter__(self) -> ControlServer:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _serve(self) -> None:
        assert self._socket is not None  # noqa: S101 - the thread is started after it is made
        while not self._stopped.is_set():
            try:
                client, _ = self._socket.accept()
            except OSError:
                self._stopped.wait(0.1)  # out of descriptors: others need the time more
                continue
            if self._slots.acquire(blocking=False):
                threading.Thread(
                    target=self._client, args=(client,), name="control-client", daemon=True
                ).start()
            else:
                _send(client, {"error": "too many clients at once"}, 0.0)
                client.close()

    def _client(self, client: socket.socket) -> None:
        """One request and its answer, within `answer_s`; the top of a thread."""
        try:
            deadline = time.monotonic() + self._answer_s
            answer = self._answer(_read_line(client, LONGEST_REQUEST, deadline), deadline)
            _send(client, answer, max(0.5, deadline - time.monotonic()))
        except OSError:
            return  # it went away, or sent nothing in time
        except Exception:  # noqa: BLE001 - the top of the thread
            log.LOG.exception("an answer on the control socket died of a fault in pyconfd")
        finally:
            client.close()
            self._slots.release()

    def _answer(self, line: bytes, deadline: float) -> Answer:
        try:
            question = json.loads(line)
        except (ValueError, RecursionError):
            question = None
        if not isinstance(question, dict) or not line.endswith(b"\n"):
            return {"error": "the request is not one line of JSON"}
        answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._put(ControlRequest(question, answers.put))
        allowed_s = RELOAD_S if question.get("do") == "reload" else self._answer_s
        deadline += allowed_s - self._answer_s
        try:
            return answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return {"error": f"busy, no answer within {allowed_s:g} s"}


def ask(folder: str, question: Mapping[str, Any], timeout_s: float = ANSWER_S + 1) -> Answer:
    """
    The answer of the daemon of this state folder.

    Raises StateError when no daemon runs there, it cannot be reached, or it answers with an error.
    """
    import socket

    path = os.path.join(folder, NAME)
    deadline = time.monotonic() + timeout_s
    try:
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as client,
            _address(path) as address,
        ):
            client.settimeout(timeout_s)
            client.connect(address)
            client.sendall(json.dumps(question).encode() + b"\n")
            line = _read_line(client, None, deadline)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
        raise _absent(path) from error
    except PermissionError as error:
        raise StateError(
            "permission denied", where=path, hint="ask as the user that pyconfd runs as, or as root"
        ) from error
    except TimeoutError as error:
        raise StateError(f"pyconfd gave no answer within {timeout_s:g} s", where=path) from error
    except OSError as error:
        raise StateError(f"pyconfd cannot be asked: {error.strerror}", where=path) from error
    return _understood(line, path)


def _absent(path: str) -> StateError:
    """
    The error when no daemon answers; for a user other than root the cause may be a missing
    permission.
    """
    if os.geteuid() and os.path.isdir(SYSTEM_STATE) and not path.startswith(f"{SYSTEM_STATE}/"):
        return StateError(
            "no pyconfd of this user runs here, and there is no permission to ask one of root",
            where=path,
            hint=f"that one has its state in {SYSTEM_STATE}: ask as root (sudo), or as its user",
        )
    hint = "give the daemon's --confdir and --state-dir"
    return StateError("no pyconfd runs here", where=path, hint=hint)


def _understood(line: bytes, path: str) -> Answer:
    if not line.endswith(b"\n"):
        raise StateError("pyconfd ended before it answered", where=path)
    try:
        answer = json.loads(line)
    except ValueError as error:
        raise StateError("the answer is not JSON", where=path) from error
    if not isinstance(answer, dict):
        raise StateError("the answer is not a JSON object", where=path)
    if "error" in answer:
        raise StateError(
            str(answer["error"]), where=str(answer.get("where", path)), hint=answer.get("hint", "")
        )
    return answer


@contextmanager
def _address(path: str) -> Iterator[str]:
    """
    A name for the socket at `path` that fits into an address; a long path is reached through an
    open descriptor of its folder.
    """
    if len(os.fsencode(path)) < _SUN_PATH:
        yield path
        return
    fd = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{os.path.basename(path)}"
    finally:
        os.close(fd)


def _read_line(client: socket.socket, limit: int | None, deadline: float) -> bytes:
    """A line with its newline; without newline when the other side ended or sent too much."""
    chunks: list[bytes] = []
    size = 0
    while not (chunks and chunks[-1].endswith(b"\n")) and (limit is None or size <= limit):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        client.settimeout(left)
        chunk = client.recv(65536)
        if not chunk:
            break
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks) if limit is None or size <= limit else b""


def _send(client: socket.socket, answer: Answer, timeout_s: float) -> None:
    with suppress(OSError):  # it went away without its answer
        client.settimeout(timeout_s)
        client.sendall(json.dumps(answer, ensure_ascii=True).encode() + b"\n")
