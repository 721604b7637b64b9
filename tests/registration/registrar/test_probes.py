"""Probes against real sockets, commands and processes: what passes, what fails, and why."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pyconfd.backends.etcd.protobuf import load_grpc
from pyconfd.errors import RegistrationError
from pyconfd.registration.declaration import Check
from pyconfd.registration.registrar.probes import ADDRESS, Machine, Prober, parse_check
from pyconfd.system.proc import Commands
from tests.support.waiting import Stopwatch

PROBER = Prober(Commands().run, Machine())


OPENSSL = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
           "-nodes", "-subj", "/CN=x")  # fmt: skip


class Answering:
    """A server on 127.0.0.1 or a UNIX socket that sends fixed bytes to every connection."""

    def __init__(self, server: socket.socket, wrap: Callable[[socket.socket], socket.socket]):
        self.server, self.wrap = server, wrap
        self.answer = b"HTTP/1.1 200 OK\r\n\r\n"
        self.requests: list[bytes] = []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    @property
    def address(self) -> str:
        name = self.server.getsockname()
        return f"unix:{name}" if isinstance(name, str) else f"127.0.0.1:{name[1]}"

    def serve(self) -> None:
        while True:
            try:
                stream, _ = self.server.accept()
            except OSError:
                return
            try:
                with self.wrap(stream) as wrapped:
                    self.requests.append(wrapped.recv(4096))
                    wrapped.sendall(self.answer)
            except OSError:
                continue

    def close(self) -> None:
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join(5)


@pytest.fixture
def server() -> Iterator[Answering]:
    answering = Answering(socket.create_server(("127.0.0.1", 0)), lambda stream: stream)
    yield answering
    answering.close()


def ask(check: str, address: str, timeout_s: float = 2.0) -> tuple[bool, str]:
    return PROBER.ask(parse_check(check), address, timeout_s)


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("http:/health", Check("http", "http://{addr}/health")),
        ("http:", Check("http", "http://{addr}/")),
        ("http://1.2.3.4:80/x?y=1", Check("http", "http://1.2.3.4:80/x?y=1")),
        ("http:/health host=a.b", Check("http", "http://{addr}/health host=a.b")),
        ("https://{addr}/x", Check("https", "https://{addr}/x")),
        ("tcp", Check("tcp", "{addr}")),
        ("tcp://1.2.3.4:80", Check("tcp", "1.2.3.4:80")),
        ("exec:test -e /x", Check("exec", "test -e /x")),
        ("load:1.5", Check("load", "1.5")),
    ],
)
def test_a_check_is_taken_apart(text: str, check: Check) -> None:
    """Without a host it is the member's own address."""
    assert parse_check(text) == check


@pytest.mark.parametrize(
    "text", ["", "htp:/", "exec:", "pid:", "load:x", "memory:0", "http:/a b", "http:/ host="]
)
def test_a_wrong_check_is_refused(text: str) -> None:
    """At the start, not at the first probe."""
    with pytest.raises(RegistrationError):
        parse_check(text)


@pytest.mark.parametrize(
    ("answer", "passes", "why"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True, "answered 200"),
        (b"HTTP/1.0 302 Found\r\n\r\n", True, "answered 302"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", False, "answered 404"),
        (b"HTTP/1.1 503\r\n\r\n", False, "answered 503"),
        (b"SSH-2.0-OpenSSH\r\n", False, "did not answer in HTTP"),
        (b"", False, "did not answer in HTTP"),
    ],
)
def test_http(server: Answering, answer: bytes, passes: bool, why: str) -> None:
    """2xx and 3xx pass."""
    server.answer = answer
    passed, reason = ask("http:/health?a=1", server.address)
    assert (passed, reason) == (passes, f"http://{server.address}/health?a=1: {why}")
    assert server.requests[0].startswith(b"GET /health?a=1 HTTP/1.1\r\n")


def test_http_of_a_site_that_is_not_the_only_one_there(server: Answering) -> None:
    """The request goes to the member and asks for the site by its name."""
    passed, why = ask("http:/health host=www.example.com", server.address)
    assert (passed, why) == (
        True,
        f"http://{server.address}/health host=www.example.com: answered 200",
    )
    assert b"GET /health HTTP/1.1\r\nHost: www.example.com\r\n" in server.requests[0]


def test_a_check_that_hangs_takes_its_timeout_and_fails() -> None:
    """A listener that never accepts; the reason names the time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        took = Stopwatch()
        passed, why = ask("http:/", address, 0.2)
        assert not passed and "no answer within 0.2 s" in why
        assert took.within(1.0), took


def test_tcp(server: Answering) -> None:
    """Accepting a connection is enough."""
    assert ask("tcp", server.address)[0]
    assert ask("tcp", "127.0.0.1:1") == (False, "tcp:127.0.0.1:1: Connection refused")


def test_a_unix_socket(tmp_path: Path) -> None:
    """tcp and http ask it too."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()
    answering = Answering(listener, lambda stream: stream)
    assert ask("tcp", answering.address)[0]
    assert ask("http:/", answering.address)[0]
    answering.close()
    assert not ask("tcp", f"unix:{tmp_path}/other")[0]


def test_https_does_not_verify(tmp_path: Path) -> None:
    """A certificate of its own making is good enough for a question about health."""
    subprocess.run(
        [*OPENSSL, "-keyout", tmp_path / "k", "-out", tmp_path / "c"],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "c", tmp_path / "k")
    wrap = lambda stream: context.wrap_socket(stream, server_side=True)  # noqa: E731
    answering = Answering(socket.create_server(("127.0.0.1", 0)), wrap)
    assert ask("https:/", answering.address)[0]
    answering.close()


@pytest.mark.parametrize(
    ("answer", "passes", "why"),
    [
        (b"\x08\x01", True, "serving"),
        (b"\x08\x02", False, "not serving"),
        (None, False, "not_found: unknown service"),
    ],
)
def test_grpc(answer: bytes | None, passes: bool, why: str) -> None:
    """The standard health service, for the service named after the address."""
    grpc = load_grpc()
    asked: list[bytes] = []

    def check(request: bytes, context: Any) -> bytes:
        asked.append(request)
        if answer is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return answer or b""

    server = grpc.server(ThreadPoolExecutor(1))
    methods = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("grpc.health.v1.Health", methods),)
    )
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        assert ask("grpc://{addr}/my.Service", address) == (
            passes,
            f"grpc:{address}/my.Service: {why}",
        )
    finally:
        server.stop(None).wait()
    assert asked == [b"\x0a\x0amy.Service"]


def test_exec() -> None:
    """The exit status decides; a command that hangs is ended, one that is absent says so."""
    assert ask("exec:true", "a:1")[0]
    assert ask("exec:exit 3", "a:1") == (False, "exec:exit 3: exit status 3")
    assert not ask("exec:/does/not/exist", "a:1")[0]
    passed, why = ask("exec:sleep 30", "a:1", 0.1)
    assert not passed and "timed out after 0.1 s" in why


def test_pid(tmp_path: Path) -> None:
    """A process id, or a file that holds one."""
    file = tmp_path / "pid"
    file.write_text(f"{os.getpid()}\n")
    assert ask(f"pid:{file}", "a:1")[0]
    file.write_text("4194303")
    assert ask(f"pid:{file}", "a:1") == (False, f"pid:{file}: process 4194303 does not run")
    assert not ask(f"pid:{tmp_path}/none", "a:1")[0]


def test_load_and_memory_have_limits() -> None:
    """The reason says how much it is."""
    assert ask("load:100000", "a:1")[0]
    passed, why = ask("memory:0.0001", "a:1")
    assert not passed and "the limit is 0.0001" in why


@pytest.mark.parametrize(
    ("check", "name"),
    [
        (None, "unix:/none/api.sock: No such file or directory"),
        (
            "http:/health",
            "http://localhost/health (unix:/none/api.sock): No such file or directory",
        ),
    ],
)
def test_a_socket_that_is_not_there_is_named(check: str | None, name: str) -> None:
    """Not localhost, which was never asked; None is the check of a member that names none."""
    asked_for = parse_check(check) if check else Check("tcp", ADDRESS)
    asked = PROBER.ask(asked_for, "unix:/none/api.sock", 1.0)
    assert asked == (False, name)


HOSTILE = [
    "$(touch PWNED):1",
    "`touch PWNED`:1",
    "a:1; touch PWNED",
    'a" ; touch PWNED ; ":1',
    "a b:1",
]


@pytest.mark.parametrize("address", HOSTILE)
def test_a_command_gets_the_address_as_one_word(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it holds: as a variable of the environment, also inside quotes and substitutions."""
    monkeypatch.chdir(tmp_path)
    for text in ('printf "%s|" {addr} >seen', 'printf "%s|" "$(echo "x{addr}")" >seen'):
        assert ask(f"exec:{text}", address)[0]
        seen = (tmp_path / "seen").read_text()
        assert seen in (f"{address}|", f"x{address}|")
    assert ask('exec:test "$PYCONFD_ADDR" = {addr}', address)[0]
    assert [path.name for path in tmp_path.iterdir()] == ["seen"]


@pytest.mark.parametrize("text", ["sh -c 'nc -z {addr}'", "eval echo {addr}", "echo `echo {addr}`"])
def test_an_address_in_the_code_of_another_shell_is_refused(text: str) -> None:
    """When the check is read, with what to write."""
    with pytest.raises(RegistrationError, match="PYCONFD_ADDR"):
        parse_check(f"exec:{text}")
