"""A change at run time in the place of a reload: when it is one, and when it is not."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.pyconfd import Confdir

HEAD = "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight"
TEMPLATE = """\
global
    maxconn {{ getv("/max") }}
backend web
    server a 127.0.0.1:81 weight {{ getv("/a") }}
    server b 127.0.0.1:82 weight {{ getv("/b", "1") }}
{% if exists("/c") %}
    server c 127.0.0.1:83 weight 1
{% endif %}
"""
NOBODY = 65534


class Listener:
    """A unix socket, and what is answered to each line; `took` are the lines."""

    def __init__(self, path: Path, answer: Callable[[str], bytes | None]) -> None:
        self.took: list[str] = []
        self._answer = answer
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._socket.settimeout(60)
        self._held: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                stream = self._socket.accept()[0]
                stream.settimeout(10)
                line = b"".join(iter(lambda s=stream: s.recv(65536), b"")).decode()  # type: ignore[misc]
                answer = self._answer(line)
                self.took.append(line)
                if answer is None:
                    self._held.append(stream)
                    continue
                with stream, contextlib.suppress(OSError):
                    stream.sendall(answer)

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for stream in self._held:
            stream.close()
        self._thread.join(10)


class Balancer:
    """
    Answers as HAProxy does; obeys `set server web/NAME weight N`, and `del server web/NAME` after
    as many as are busy. A request that ends leaves an idle connection, until the address changes.
    """

    def __init__(self, **weights: int) -> None:
        self.weights = weights
        self.addresses: dict[str, str] = {}
        self.idle = False
        self.deaf = False
        self.busy = 0

    def __call__(self, line: str) -> bytes:
        for command in line.split(";"):
            words = command.split()
            if words[:2] == ["set", "server"] and words[3] == "weight" and not self.deaf:
                self.weights[words[2].split("/")[1]] = int(words[4])
            if words[:2] == ["set", "server"] and words[3] == "addr":
                self._move(words[2].split("/")[1], f"{words[4]} {words[6]}")
            if words[:2] == ["del", "server"]:
                self._delete(words[2].split("/")[1])
        rows = [
            f"3 web 1 {name} {ip} 2 0 {weight} 1 0 1 0 2 0 0 0 0 - {port} - 0 0 - - 0"
            for number, (name, weight) in enumerate(self.weights.items(), 1)
            for ip, port in [self.addresses.get(name, f"127.0.0.1 8{number}").split()]
        ]
        return "\n".join(["1", HEAD, *rows, "", ""]).encode()

    def _move(self, name: str, address: str) -> None:
        if self.addresses.get(name) != address:
            self.addresses[name], self.idle = address, False

    def _delete(self, name: str) -> None:
        if self.busy:
            self.busy, self.idle = self.busy - 1, True
        elif not self.idle:
            del self.weights[name]


@pytest.fixture
def short(tmp_path: Path) -> Iterator[Path]:
    """The path of a socket: short by law of the kernel."""
    folder = Path("/tmp") / f"rt-{os.getpid()}-{tmp_path.name[-12:]}"
    folder.mkdir()
    yield folder / "s"
    (folder / "s").unlink(missing_ok=True)
    folder.rmdir()


@pytest.fixture
def confdir(tmp_path: Path, short: Path) -> Confdir:
    """A service that notes its reloads, on keys in a file, live with weights of 1."""
    made = Confdir(tmp_path, "--backend", "file", "--file", str(tmp_path / "keys.json"))
    made.template("h.j2", TEMPLATE)
    made.resource(
        "h",
        f"""
        [template]
        src = "h.j2"
        dest = "@OUT@/h.cfg"
        keys = ["/"]
        reload_cmd = "echo reload >> {tmp_path}/reloads"
        runtime = {{ by = "haproxy", socket = "{short}" }}
        """,
    )
    put(made, max=100, a=1)
    assert made.once().returncode == 0
    (tmp_path / "reloads").unlink()
    return made


def put(confdir: Confdir, **keys: int) -> None:
    """All keys there are."""
    pairs = ", ".join(f'"{name}": "{value}"' for name, value in keys.items())
    (confdir.folder / "keys.json").write_text(f"{{{pairs}}}")


def applied(confdir: Confdir) -> tuple[int, str]:
    """How many reloads a run does, and what it says."""
    done = confdir.once()
    assert done.returncode == 0, done.stderr
    reloads = confdir.folder / "reloads"
    count = reloads.read_text().count("reload") if reloads.exists() else 0
    reloads.unlink(missing_ok=True)
    return count, done.stderr


@pytest.mark.parametrize(("busy", "reloads"), [(3, 0), (10_000, 1)])
def test_a_server_that_is_busy_is_deleted_when_its_last_request_is_over(
    confdir: Confdir, short: Path, busy: int, reloads: int
) -> None:
    """HAProxy refuses to delete it before; a request that lasts ends in a reload."""
    put(confdir, max=100, a=1, c=1)
    assert confdir.once().returncode == 0
    (confdir.folder / "reloads").unlink()
    balancer = Balancer(a=1, b=1, c=1)
    balancer.busy = busy
    with Listener(short, balancer):
        put(confdir, max=100, a=1)
        assert applied(confdir)[0] == reloads
    assert ("c" in balancer.weights) is bool(reloads)


def test_a_weight_is_changed_without_a_reload(confdir: Confdir, short: Path) -> None:
    """The file has it as well, nothing is pending, and no old version is left over."""
    balancer = Balancer(a=1, b=1)
    with Listener(short, balancer) as listener:
        put(confdir, max=100, a=7)
        assert applied(confdir)[0] == 0
        assert balancer.weights == {"a": 7, "b": 1}
        assert any("@1;set server web/a weight 7;show servers state" in x for x in listener.took)
        assert "weight 7" in (confdir.out / "h.cfg").read_text()
        assert sorted(path.name for path in confdir.out.iterdir()) == ["h.cfg"]
        assert applied(confdir)[0] == 0


def test_anything_else_is_a_reload(confdir: Confdir, short: Path) -> None:
    """Together with a weight, too; nothing is sent then."""
    with Listener(short, Balancer(a=1, b=1)) as listener:
        put(confdir, max=200, a=7)
        assert applied(confdir)[0] == 1
        assert not any("set server" in line for line in listener.took)


def deaf() -> Balancer:
    balancer = Balancer(a=1, b=1)
    balancer.deaf = True
    return balancer


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "No such file or directory"),
        (lambda _: None, "timed out"),
        (lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n", "the answer is no list of servers"),
        (lambda _: b"", "the answer is no list of servers"),
        (Balancer(a=1), "there is no server web/b"),
        (deaf(), "server web/a runs with weight 1"),
    ],
    ids=["absent", "hangs", "rubbish", "silent", "unknown-server", "does-not-obey"],
)
def test_where_it_cannot_be_changed_it_is_reloaded(
    confdir: Confdir, short: Path, answer: Callable[[str], bytes | None] | None, says: str
) -> None:
    """Said once, with the reason."""
    with Listener(short, answer) if answer else contextlib.nullcontext():
        put(confdir, max=100, a=7)
        reloads, log = applied(confdir)
    assert reloads == 1
    assert log.count("not changed at run time, so it is reloaded: ") == 1
    assert says in log


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user as well")
def test_a_socket_of_another_user_is_not_believed(confdir: Confdir, short: Path) -> None:
    """Who listens there would decide that no reload is needed."""
    code = (
        f"import os, socket, time; os.setuid({NOBODY}); s = socket.socket(socket.AF_UNIX);"
        f"s.bind({str(short)!r}); s.listen(); print(flush=True); time.sleep(60)"
    )
    short.parent.chmod(0o777)
    with subprocess.Popen(["python3", "-c", code], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        put(confdir, max=100, a=7)
        reloads, log = applied(confdir)
        other.kill()
    assert reloads == 1
    assert f"belongs to another user (uid {NOBODY})" in log


def test_killed_between_swap_and_commands_the_reload_is_done_by_the_next_run(
    confdir: Confdir, short: Path
) -> None:
    """The file is live and HAProxy was sent nothing, or some of it: nothing is believed."""
    asked = threading.Event()

    def hangs(_: str) -> None:
        asked.set()

    with Listener(short, hangs):
        put(confdir, max=100, a=7)
        run = subprocess.Popen(confdir.argv("--onetime"), stderr=subprocess.DEVNULL)
        assert asked.wait(60)
        run.kill()
        run.wait(60)
    short.unlink()
    assert "weight 7" in (confdir.out / "h.cfg").read_text()
    with Listener(short, Balancer(a=1, b=1)):
        assert applied(confdir)[0] == 1
        assert applied(confdir)[0] == 0


def test_what_is_adopted_stays_over_the_reload_for_another_file(
    confdir: Confdir, short: Path
) -> None:
    """A reload starts with all files of the service, not only with those that have changed."""
    path = confdir.folder / "conf.d" / "h.toml"
    path.write_text(path.read_text() + "adopt_runtime = true\n")
    other = path.read_text().replace("h.j2", "x.j2").replace("h.cfg", "x.cfg")
    (path.parent / "x.toml").write_text(other)
    confdir.template("x.j2", "global\n    maxconn {{ getv('/x') }}\n")
    put(confdir, max=100, a=1, x=1)
    assert applied(confdir)[0] == 1
    with Listener(short, Balancer(a=1, b=9)):
        put(confdir, max=100, a=1, x=2)
        reloads, log = applied(confdir)
    assert reloads == 1
    assert "changed by hand at run time: web/b; it stays, as adopt_runtime has it" in log


@pytest.mark.parametrize("adopt", [False, True])
def test_what_was_changed_by_hand_is_overwritten_or_adopted(
    confdir: Confdir, short: Path, adopt: bool
) -> None:
    """And named in the log; after a reload, too. The file wins where it says something new."""
    path = confdir.folder / "conf.d" / "h.toml"
    path.write_text(path.read_text() + f"adopt_runtime = {str(adopt).lower()}\n")
    balancer = Balancer(a=1, b=9)
    with Listener(short, balancer):
        put(confdir, max=100, a=7)
        reloads, log = applied(confdir)
        assert (reloads, balancer.weights) == (0, {"a": 7, "b": 9 if adopt else 1})
        what = "it stays, as adopt_runtime has it" if adopt else "it is overwritten"
        assert f"changed by hand at run time: web/b; {what}" in log
        balancer.weights["b"] = 9
        put(confdir, max=300, a=7)
        reloads, log = applied(confdir)
        assert (reloads, balancer.weights["b"]) == (1, 9)  # a reload of this one changes nothing
        assert f"changed by hand at run time: web/b; {what}" in log
        put(confdir, max=300, a=7, b=5)
        assert applied(confdir)[0] == 0
        assert balancer.weights == {"a": 7, "b": 5}
