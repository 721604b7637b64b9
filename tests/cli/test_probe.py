"""`pyconfd probe` against real sockets and processes: what is good and what is bad."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyconfd.cli import main as cli
from pyconfd.cli import nagios
from pyconfd.cli.commands.probe import PROBE_OPTIONS
from pyconfd.system.probing import Target, parse_target
from tests.support.daemons.etcd import free_ports
from tests.support.waiting import Stopwatch

Probe = Callable[..., tuple[int, str]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n"


class Server:
    """
    Says the same to everyone who connects: at once, or once a request came. asked: what came.
    """

    def __init__(self, says: bytes | dict[str, bytes], *, first: bool = False) -> None:
        self.says = says
        self.first = first
        self.asked: list[bytes] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError):  # it may have heard enough
                request = b"" if self.first else client.recv(65536)
                self.asked.append(request)
                says = self.says
                if isinstance(says, dict):
                    says = says[request.split()[1].decode()]
                client.sendall(says)

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def server() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def make(says: bytes | dict[str, bytes], *, first: bool = False) -> Server:
        servers.append(Server(says, first=first))
        return servers[-1]

    yield make
    for each in servers:
        each.close()


@pytest.fixture
def probe(capsys: pytest.CaptureFixture[str]) -> Probe:
    def probe(*argv: str) -> tuple[int, str]:
        """Exit status, and what was said on standard output without the times."""
        status = cli.main(["probe", *argv])
        return status, re.sub(r" \(\d+ ms\)", "", capsys.readouterr().out)

    return probe


@pytest.mark.parametrize(
    ("says", "words", "status", "seen"),
    [
        (OK, (), 0, "answered 200"),
        (b"HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n", (), 0, "answered 302"),
        (b"HTTP/1.1 500 Internal Server Error\r\n\r\n", (), 1, "answered 500"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", (), 1, "answered 404"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", ("--status", "404"), 0, "answered 404"),
        (OK, ("--status", "201-299", "--status", "404"), 1, "answered 200"),
        (OK, ("--expect", "hello"), 0, "answered 200 with 'hello'"),
        (OK, ("--expect", "goodbye"), 1, "answered 200 without 'goodbye'"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
         ("--expect", "hello"), 0, "answered 200 with 'hello'"),
        (b"SSH-2.0-OpenSSH\r\n", (), 1, "did not answer in HTTP"),
        (b"", (), 1, "did not answer in HTTP"),
    ],
    ids=["200", "redirect", "500", "404", "404-wanted", "200-not-wanted", "text", "no-text",
         "chunked", "no-http", "nothing"],
)  # fmt: skip
def test_an_http_answer_is_judged(
    says: bytes, words: tuple[str, ...], status: int, seen: str,
    server: Callable[..., Server], probe: Probe,
) -> None:  # fmt: skip
    """By its status, which `curl` without -f does not look at, and by a text where one is given."""
    url = f"http://{server(says).address}/health"
    word = "bad " if status else "good"
    assert probe(url, *words) == (status, f"{word}  {url}: {seen}\n")


def test_the_host_header_names_the_site(server: Callable[..., Server], probe: Probe) -> None:
    """One address serves many sites."""
    it = server(OK)
    assert probe(f"http://{it.address}?a=1")[0] == 0
    assert probe(f"http://{it.address}/x", "--host", "www.example.com")[0] == 0
    assert it.asked[0].startswith(b"GET /?a=1 HTTP/1.1\r\nHost: " + it.address.encode() + b"\r\n")
    assert b"\r\nHost: www.example.com\r\n" in it.asked[1]


def test_redirects_are_followed_when_asked_for(server: Callable[..., Server], probe: Probe) -> None:
    """A few of them; a circle is bad."""
    moved = b"HTTP/1.1 301 Moved\r\nLocation: "
    says = {
        "/": moved + b"/new\r\n\r\n",
        "/new": b"HTTP/1.1 503 Sorry\r\n\r\n",
        "/circle": moved + b"/circle\r\n\r\n",
        "/away": moved + b"ftp://x/\r\n\r\n",
    }
    it = server(says)
    base = f"http://{it.address}"
    assert probe(f"{base}/")[0] == 0
    assert probe(f"{base}/", "--follow") == (1, f"bad   {base}/: answered 503\n")
    assert "redirects more than 5 times" in probe(f"{base}/circle", "--follow")[1]
    assert "does not begin with http:" in probe(f"{base}/away", "--follow")[1]


def test_a_server_that_says_nothing_is_bad_in_time(probe: Probe) -> None:
    """One that accepts and then hangs, which keeps a `curl` without -m for ever."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        took = Stopwatch()
        assert probe(url, "--timeout", "200ms") == (1, f"bad   {url}: no answer within 0.2 s\n")
        assert took.within(1.0), took


def test_an_endless_answer_is_cut_off(server: Callable[..., Server], probe: Probe) -> None:
    """What is looked at is bounded."""
    it = server(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 3_000_000 + b"hello")
    assert probe(f"http://{it.address}/", "--expect", "hello")[0] == 1
    assert probe(f"http://{it.address}/")[0] == 0


def test_https_is_asked_whoever_it_is(tmp_path: Path, probe: Probe) -> None:
    """Unless the certificate is to be good for the name."""
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    words = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj"]
    subprocess.run(
        ["openssl", "req", *words, "/CN=x", "-keyout", key, "-out", certificate],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"

        def serve() -> None:
            for _ in range(2):
                client, _ = listener.accept()
                with contextlib.suppress(OSError), context.wrap_socket(client, True) as stream:
                    stream.recv(4096)
                    stream.sendall(OK)

        thread = threading.Thread(target=serve)
        thread.start()
        assert probe(f"https://{address}/", "--expect", "hello")[0] == 0
        status, said = probe(f"https://{address}/", "--verify")
        assert status == 1
        assert "verify failed" in said
        thread.join(5)


def test_tcp_is_a_connection(server: Callable[..., Server], probe: Probe) -> None:
    """Or what the other side says first."""
    it = server(b"220 mail.example.com ESMTP\r\n", first=True)
    assert probe(f"tcp://{it.address}") == (0, f"good  tcp://{it.address}: accepts connections\n")
    assert probe(f"tcp://{it.address}", "--expect", "ESMTP")[0] == 0
    assert "did not say 'SSH'" in probe(f"tcp://{it.address}", "--expect", "SSH")[1]
    (port,) = free_ports(1)
    assert "connection refused" in probe(f"tcp://127.0.0.1:{port}")[1]


def test_unix_sockets_are_asked(tmp_path: Path, probe: Probe) -> None:
    """One that listens, one that nobody serves any more, none."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        assert probe(f"unix:{path}")[0] == 0
    assert "connection refused" in probe(f"unix:{path}")[1]
    path.unlink()
    assert "no such file" in probe(f"unix:{path}")[1]


def test_a_pid_file_names_a_process_that_runs(tmp_path: Path, probe: Probe) -> None:
    """Under its own name: a stale pid file may name anybody."""
    file = tmp_path / "pid"
    child = subprocess.Popen(["sleep", "60"])
    try:
        file.write_text(f"{child.pid}\n")
        assert probe(f"pid:{file}")[0] == 0
        assert probe(f"pid:{file}?name=sleep")[0] == 0
        assert f"process {child.pid} is sleep, not nginx" in probe(f"pid:{file}?name=nginx")[1]
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert "has ended" in probe(f"pid:{file}")[1], "a zombie is no daemon"
    finally:
        child.kill()
        child.wait()
    assert "does not run" in probe(f"pid:{file}")[1]


@pytest.mark.parametrize(("text", "seen"), [("", "is empty"), ("x\n", "holds no process id")])
def test_a_pid_file_without_a_pid_is_bad(
    text: str, seen: str, tmp_path: Path, probe: Probe
) -> None:
    """`kill -0 $(cat FILE)` of an empty file succeeds in some shells."""
    file = tmp_path / "pid"
    file.write_text(text)
    assert probe(f"pid:{file}") == (1, f"bad   pid:{file}: {seen}\n")
    assert "no such file" in probe(f"pid:{tmp_path}/none")[1]


def test_all_or_any_must_be_good(server: Callable[..., Server], probe: Probe) -> None:
    """All unless said otherwise; they are asked at the same time and told in order."""
    good, bad = f"http://{server(OK).address}/", f"tcp://127.0.0.1:{free_ports(1)[0]}"
    assert probe(good, bad)[0] == 1
    assert probe(good, bad, "--all")[0] == 1
    status, said = probe(bad, good, "--any")
    assert status == 0
    assert [line.split()[1] for line in said.splitlines()] == [f"{bad}:", f"{good}:"]
    assert probe(good, "--quiet") == (0, "")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        slow = [f"http://127.0.0.1:{silent.getsockname()[1]}/{n}" for n in range(4)]
        took = Stopwatch()
        assert probe(*slow, good, "--any", "--timeout", "1")[0] == 0
        assert took.within(2.0), took


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("GOOD",), 0, r"PYCONFD OK - GOOD answered 200 \| time=0\.\d{3}s\n"),
        (("GOOD", "--warning", "5", "--critical", "9"), 0, r".* OK .*\| time=0\.\d{3}s;5;9;0\n"),
        (("GOOD", "--warning", "0.000001"), 1, r"PYCONFD WARNING - GOOD answered 200 \| .*\n"),
        (("GOOD", "--critical", "0.000001"), 2, r"PYCONFD CRITICAL - GOOD answered 200 \| .*\n"),
        (("GOOD", "BAD"), 2, r"PYCONFD CRITICAL - BAD connection refused, GOOD answered 200 \| "
         r"time=0\.\d{3}s good=1;;;0;2\n"),
        (("GOOD", "BAD", "--any"), 0, r"PYCONFD OK - BAD .*\n"),
        (("gopher://x",), 3, r"PYCONFD UNKNOWN - gopher://x: does not begin with http:, .*\n"),
        (("GOOD", "--timeout", "x"), 3, r"PYCONFD UNKNOWN - --timeout: 'x' is not a duration.*\n"),
        ((), 3, r"PYCONFD UNKNOWN - pyconfd probe: names no target .*\n"),
    ],
    ids=["ok", "limits", "slow", "too-slow", "bad", "any", "kind", "option", "nothing"],
)  # fmt: skip
def test_monitoring_reads_one_line_and_four_statuses(
    words: tuple[str, ...], status: int, said: str, server: Callable[..., Server], probe: Probe
) -> None:
    """OK, WARNING, CRITICAL and UNKNOWN; wrong usage is no alarm about the daemon."""
    places = {"GOOD": f"http://{server(OK).address}/", "BAD": f"tcp://127.0.0.1:{free_ports(1)[0]}"}
    found = probe("--nagios", *(places.get(word, word) for word in words))
    for word, place in places.items():
        said = said.replace(word, re.escape(place))
    assert found[0] == status
    assert re.fullmatch(said, found[1]), found[1]


def test_a_plugin_line_is_one_line() -> None:
    """What others say must not look like figures."""
    assert nagios.plugin_line(nagios.OK, "a|b\nc") == "PYCONFD OK - a/b c\n"


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("http://h", ("http", "h", 80, "/", "")),
        ("https://h/a/b?c=d", ("https", "h", 443, "/a/b?c=d", "")),
        ("http://[::1]:8080/", ("http", "::1", 8080, "/", "")),
        ("tcp://10.0.0.1:6379", ("tcp", "10.0.0.1", 6379, "/", "")),
        ("unix:///run/x.sock", ("unix", "", 0, "/run/x.sock", "")),
        ("pid:/run/nginx.pid?name=nginx", ("pid", "", 0, "/run/nginx.pid", "nginx")),
    ],
)
def test_targets_are_read(text: str, target: tuple[str, str, int, str, str]) -> None:
    """Kind, host, port, path, name."""
    kind, host, port, path, name = target
    assert parse_target(text) == Target(kind, text, host, port, path, name)


@pytest.mark.parametrize(
    "text",
    ["nginx", "http:/x", "http://", "http://:80/", "tcp://h", "tcp://h:0", "tcp://h:99999",
     "tcp://::1:80", "tcp://h:80/x", "unix:run/x", "pid:nginx", "pid:/p?user=x", "pid:/p?name=",
     "http://user:word@h/", "http://h/a b", "http://h/\r\nX: y", "http://h/\xfc"],
)  # fmt: skip
def test_what_is_no_target_is_wrong_usage(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With a reason; nothing is asked."""
    assert cli.main(["probe", text]) == 2
    assert capsys.readouterr().err.startswith(f"pyconfd: error: {text}: ")


@pytest.mark.parametrize(
    "words",
    [("--all", "--any"), ("--warning", "1"), ("--status", "abc"), ("--status", "500-200"),
     ("--host", "a\r\nb"), ("--timeot", "3")],
)  # fmt: skip
def test_options_that_make_no_sense_are_wrong_usage(words: tuple[str, ...], probe: Probe) -> None:
    """And the target is not asked."""
    assert probe("tcp://127.0.0.1:1", *words) == (2, "")


def test_help_tells_every_option(probe: Probe) -> None:
    """The page is written by hand, because these options have no variables."""
    status, page = probe("--help")
    assert status == 0
    for option in PROBE_OPTIONS:
        assert f"  --{option.name} " in page


def test_a_probe_imports_little() -> None:
    """It is started every second or two by keepalived: no store, no templates, no settings."""
    code = (
        "import sys; from pyconfd.cli import main; main.main(['probe', 'pid:/none', 'tcp://127.0.0.1:1']);"
        "print(*sys.modules)"
    )  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    loaded = set(done.stdout.splitlines()[-1].split())
    heavy = ("dataclasses", "logging", "ssl", "tomli", "psutil", "jinja2", "grpc", "subprocess",
             "urllib.parse", "http", "asyncio", "pyconfd.config.settings",
             "encodings.idna")  # fmt: skip
    assert loaded.isdisjoint(heavy)
    assert "pyconfd.system.probing" in loaded


def test_the_command_ends_with_the_status(server: Callable[..., Server]) -> None:
    """As a child, as keepalived starts it; a name that nobody knows does not hold it up."""
    base = [sys.executable, "-m", "pyconfd", "probe"]
    good = subprocess.run(
        [*base, f"http://{server(OK).address}/"], capture_output=True, timeout=120
    )
    assert (good.returncode, good.stderr) == (0, b"")
    took = Stopwatch()
    bad = subprocess.run([*base, "--timeout", "0.3", "http://name.invalid/"], capture_output=True)
    assert (bad.returncode, bad.stderr) == (1, b"")
    assert took.within(5.0), took
