"""`pyconfd register` as a child process on a real etcd: what an operator runs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.daemons.etcd import Certificates, PrivateEtcd, free_ports
from tests.support.http import ask
from tests.support.register import backend, registered
from tests.support.waiting import Stopwatch, wait_until

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEtcd]:
    with PrivateEtcd(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def service(request: pytest.FixtureRequest) -> str:
    """A service of the test's own, so that all can share one etcd."""
    return request.node.name.replace("[", "-").replace("]", "")


def keys(etcd: PrivateEtcd, service: str) -> dict[str, str]:
    """What is registered now: id to value."""
    found = etcd.all(f"/nginx/{service}/upstream")
    return {key.rsplit("/", 1)[1]: value.decode() for key, value in found.items()}


def child_of(pid: int) -> psutil.Process:
    """The command that a `pyconfd register` has started."""
    found = wait_until(lambda: psutil.Process(pid).children())
    return found[0]


def test_a_command_is_registered_once_it_listens_and_withdrawn_before_it_stops(
    etcd: PrivateEtcd, tmp_path: Path, port: int, service: str
) -> None:
    """The key goes first, the drain passes, the command ends, its exit status is ours."""
    words = [service, f"127.0.0.1:{port}", "--drain", "3"]
    with registered(tmp_path, etcd, words, backend(port)) as run:
        run.wait(lambda: keys(etcd, service), "key")
        assert keys(etcd, service) == {f"127.0.0.1:{port}": f"127.0.0.1:{port}"}
        stopped = Stopwatch()
        run.signal(signal.SIGTERM)
        run.wait(lambda: not keys(etcd, service), "withdrawal")
        socket.create_connection(("127.0.0.1", port)).close()
        assert run.process.wait(60) == 7
        assert stopped.wall_s > 3.0


def test_a_command_that_is_killed_is_withdrawn_at_once(
    etcd: PrivateEtcd, tmp_path: Path, port: int, service: str
) -> None:
    """Long before its TTL; the exit status says the signal."""
    words = [service, f":{port}", "--interface", "lo", "--ttl", "60"]
    with registered(tmp_path, etcd, words, backend(port)) as run:
        run.wait(lambda: keys(etcd, service), "key")
        assert list(keys(etcd, service)) == [f"127.0.0.1:{port}"]
        child_of(run.process.pid).kill()
        took = Stopwatch()
        assert run.process.wait(60) == 128 + signal.SIGKILL
        assert not keys(etcd, service)
        assert took.within(1.0), took


def test_a_registrar_that_is_killed_leaves_the_key_to_its_ttl(
    etcd: PrivateEtcd, tmp_path: Path, port: int, service: str
) -> None:
    """The key is gone after the TTL at the latest (etcd looks every half second)."""
    words = [service, f"127.0.0.1:{port}", "--no-check", "--ttl", "2"]
    with registered(tmp_path, etcd, words) as run:
        run.wait(lambda: keys(etcd, service), "key")
        run.process.kill()
        took = Stopwatch()
        run.process.wait()
        wait_until(lambda: not keys(etcd, service))
        assert took.within(3.5), took


def test_a_suspended_registrar_is_back_when_it_goes_on(
    etcd: PrivateEtcd, tmp_path: Path, service: str
) -> None:
    """SIGSTOP for longer than the TTL takes the key away, SIGCONT brings it back."""
    with registered(tmp_path, etcd, [service, "10.0.0.5:80", "--no-check", "--ttl", "1"]) as run:
        run.wait(lambda: keys(etcd, service), "key")
        run.signal(signal.SIGSTOP)
        wait_until(lambda: not keys(etcd, service))
        run.signal(signal.SIGCONT)
        wait_until(lambda: keys(etcd, service))


def test_signals_reach_the_command(etcd: PrivateEtcd, tmp_path: Path, service: str) -> None:
    """SIGHUP and SIGUSR1 are passed on, and a stop signal as it came."""
    said = tmp_path / "said"
    script = 'for s in HUP USR1 INT; do trap "echo $s >> $0; [ $s = INT ] && exit 3" $s; done; '
    script += "echo up >> $0; while :; do sleep 0.05; done"
    words = [service, "10.0.0.5:80", "--no-check", "--drain", "0"]
    with registered(tmp_path, etcd, words, ["sh", "-c", script, str(said)]) as run:
        run.wait(lambda: said.exists() and keys(etcd, service), "start")
        for name, number in (("HUP", signal.SIGHUP), ("USR1", signal.SIGUSR1)):
            run.signal(number)
            run.wait(lambda name=name: name in said.read_text(), name)
        run.signal(signal.SIGINT)
        assert run.process.wait(60) == 3


def test_a_command_that_ignores_its_stop_is_killed(
    etcd: PrivateEtcd, tmp_path: Path, service: str
) -> None:
    """After --stop-timeout."""
    words = [service, "10.0.0.5:80", "--no-check", "--drain", "0", "--stop-timeout", "0.3"]
    script = "trap '' TERM; while :; do sleep 0.1; done"
    with registered(tmp_path, etcd, words, ["sh", "-c", script]) as run:
        run.wait(lambda: keys(etcd, service), "key")
        run.signal(signal.SIGTERM)
        assert run.process.wait(60) == 128 + signal.SIGKILL
        assert "did not stop within 0.3 s" in run.log


def test_a_check_decides_and_says_why(
    etcd: PrivateEtcd, tmp_path: Path, port: int, service: str
) -> None:
    """A failing check takes the key away within interval x fall and half a second."""
    sick = tmp_path / "sick"
    words = [service, f"127.0.0.1:{port}", "--check", "http:/health", "--interval", "0.2"]
    with registered(tmp_path, etcd, [*words, "--fall", "2"], backend(port, sick=sick)) as run:
        run.wait(lambda: keys(etcd, service), "key")
        sick.touch()
        took = Stopwatch()
        run.wait(lambda: not keys(etcd, service), "withdrawal")
        assert took.within(0.2 * 2 + 0.5), took
        run.wait_log(f"http://127.0.0.1:{port}/health: answered 503")
        sick.unlink()
        run.wait(lambda: keys(etcd, service), "return")


def test_an_address_where_nobody_listens(
    etcd: PrivateEtcd, tmp_path: Path, port: int, service: str
) -> None:
    """It is not registered, and the reason says what was asked."""
    with registered(tmp_path, etcd, [service, f"127.0.0.1:{port}"]) as run:
        run.wait_log(f"not registered: tcp:127.0.0.1:{port}: Connection refused")
        assert not keys(etcd, service)


def test_a_port_that_is_taken(etcd: PrivateEtcd, tmp_path: Path, port: int, service: str) -> None:
    """The other process would pass the check in place of the command, which is not started."""
    with socket.create_server(("", port)):
        with registered(tmp_path, etcd, [service, f":{port}"], ["sleep", "60"]) as run:
            assert run.process.wait(60) == 1
        said = f":{port}: process {os.getpid()} ("
        assert said in run.log and "listens there already" in run.log
        assert not keys(etcd, service)


def test_a_wrong_password(tmp_path: Path, service: str) -> None:
    """It is said with the user's name and without the password; the command waits."""
    with PrivateEtcd(tmp_path) as etcd:
        etcd.enable_auth()
        environ = {"PYCONFD_USERNAME": "root", "PYCONFD_PASSWORD": "hunter2"}
        words = [service, "10.0.0.5:80", "--no-check"]
        with registered(tmp_path, etcd, words, ["sleep", "60"], environ=environ) as run:
            run.wait_log("root")
            assert "hunter2" not in run.log
            assert not psutil.Process(run.process.pid).children()


def test_over_mutual_tls_with_a_user_of_few_rights(tmp_path: Path, service: str) -> None:
    """A registrar needs no more than its own service's keys; elsewhere it is refused by name."""
    tls = Certificates(tmp_path / "tls")
    with PrivateEtcd(tmp_path, tls=tls, client_auth=True) as etcd:
        etcd.enable_auth()
        etcd.add_user("web", "hunter2", prefixes=[f"/nginx/{service}/"])
        secret = tmp_path / "password"
        secret.write_text("hunter2\n")
        words = ["--client-ca-keys", str(tls.ca), "--client-cert", str(tls.client_cert)]
        words += ["--client-key", str(tls.client_key), "--username", "web", "--password-file"]
        words += [str(secret), "--no-check", "--drain", "0"]
        command = ["sleep", "60"]
        with registered(tmp_path, etcd.url, [service, "10.0.0.5:80", *words], command) as run:
            run.wait(lambda: keys(etcd, service), "key")
        assert not keys(etcd, service)
        with registered(tmp_path, etcd.url, ["other", "10.0.0.5:80", *words]) as run:
            run.wait_log("web")
            assert not keys(etcd, "other")
            assert "hunter2" not in run.log
        file = tmp_path / "services.toml"
        file.write_text("".join(
            f'[[service]]\nname = "{name}"\naddress = "10.0.0.5:80"\nttl = 4\n'
            for name in (service, "other")
        ))  # fmt: skip
        with registered(tmp_path, etcd.url, ["--file", str(file), *words]) as run:
            run.wait_log("no permission")
            run.wait(lambda: keys(etcd, service), "key")
            until = time.monotonic() + 8.0
            while time.monotonic() < until:  # a refusal of one is no trouble of the other's lease
                assert keys(etcd, service)
                time.sleep(0.1)


def test_port_auto_finds_where_the_command_listens(
    etcd: PrivateEtcd, tmp_path: Path, port: int, service: str
) -> None:
    """Also for a child of the command."""
    script = ["sh", "-c", '"$@"; exit', "sh", *backend(port)]
    with registered(tmp_path, etcd, [service, "port:auto", "--drain", "0"], script) as run:
        run.wait(lambda: keys(etcd, service), "key")
        assert keys(etcd, service) == {f"127.0.0.1:{port}": f"127.0.0.1:{port}"}
        child_of(run.process.pid).children()[0].kill()


def test_json_values_carry_what_was_said(etcd: PrivateEtcd, tmp_path: Path, service: str) -> None:
    """Weight, labels, version, further fields and the time of the start."""
    words = [service, "10.0.0.5:80", "--no-check", "--id", "web1", "--weight", "5"]
    words += ["--label", "zone=a", "--app-version", "1.2", "--field", "max_fails=2"]
    with registered(tmp_path, etcd, words) as run:
        run.wait(lambda: keys(etcd, service), "key")
        value = json.loads(keys(etcd, service)["web1"])
    assert value.pop("started").endswith("Z")
    assert value == {
        "addr": "10.0.0.5:80",
        "weight": 5,
        "labels": {"zone": "a"},
        "version": "1.2",
        "max_fails": 2,
    }


def test_a_duplicate_id_is_left_alone(etcd: PrivateEtcd, tmp_path: Path, service: str) -> None:
    """The second member with one id says so; with --takeover it wins."""
    first = [service, "10.0.0.5:80", "--no-check", "--id", "web1"]
    second = [service, "10.0.0.6:80", "--no-check", "--id", "web1"]
    with registered(tmp_path, etcd, first) as one:
        one.wait(lambda: keys(etcd, service), "key")
        with registered(tmp_path, etcd, second) as two:
            two.wait_log("belongs to another registration")
            assert keys(etcd, service) == {"web1": "10.0.0.5:80"}
        with registered(tmp_path, etcd, [*second, "--takeover"]) as three:
            three.wait(lambda: keys(etcd, service) == {"web1": "10.0.0.6:80"}, "takeover")


def test_a_restart_replaces_its_own_entry(etcd: PrivateEtcd, tmp_path: Path, service: str) -> None:
    """Killed and started again before the TTL is over: one entry, under the new lease."""
    words = [service, "10.0.0.5:80", "--no-check", "--ttl", "30"]
    with registered(tmp_path, etcd, words) as run:
        run.wait(lambda: keys(etcd, service), "key")
        run.process.kill()
        run.process.wait()
    with registered(tmp_path, etcd, words) as run:
        run.wait_log("registered")
        assert len(keys(etcd, service)) == 1
    assert not keys(etcd, service)


def test_before_runs_first_and_must_succeed(
    etcd: PrivateEtcd, tmp_path: Path, service: str
) -> None:
    """A recovered server pulls its content before it comes back; --after-withdraw runs last."""
    mark, ok = tmp_path / "mark", tmp_path / "ok"
    before = f"echo before >> {mark}; test -e {ok} || {{ echo no content; exit 4; }}"
    words = [service, "10.0.0.5:80", "--no-check", "--before", before]
    with registered(tmp_path, etcd, [*words, "--after-withdraw", f"echo after >> {mark}"]) as run:
        run.wait_log("no content")
        assert not keys(etcd, service)
        ok.touch()
        run.wait(lambda: keys(etcd, service), "key")
        assert run.end() == 0
    assert mark.read_text().splitlines()[-1] == "after"


def test_many_services_from_one_file(etcd: PrivateEtcd, tmp_path: Path, service: str) -> None:
    """One process, read again on SIGHUP; a broken file keeps what was."""
    file = tmp_path / "services.toml"
    one = f'[[service]]\nname = "{service}"\naddress = "10.0.0.5:80"\n'
    file.write_text(f"check = []\nno_check = true\n{one}{one.replace('5:80', '6:80')}weight = 3\n")
    with registered(tmp_path, etcd, ["--file", str(file)]) as run:
        run.wait(lambda: len(keys(etcd, service)) == 2, "keys")
        assert json.loads(keys(etcd, service)["10.0.0.6:80"])["weight"] == 3
        file.write_text("oops\n")
        run.signal(signal.SIGHUP)
        run.wait_log("stay as they were")
        assert len(keys(etcd, service)) == 2
        file.write_text(f"no_check = true\n{one.replace('5:80', '7:80')}")
        run.signal(signal.SIGHUP)
        run.wait(lambda: list(keys(etcd, service)) == ["10.0.0.7:80"], "the new set")


def test_maintenance_keeps_it_out(etcd: PrivateEtcd, tmp_path: Path, service: str) -> None:
    """While the file is there."""
    file = tmp_path / "maintenance"
    file.touch()
    words = [service, "10.0.0.5:80", "--no-check", "--maintenance-file", str(file)]
    with registered(tmp_path, etcd, words) as run:
        run.wait_log("not registered")
        file.unlink()
        run.wait(lambda: keys(etcd, service), "key")
        file.touch()
        run.wait(lambda: not keys(etcd, service), "withdrawal")


@pytest.mark.parametrize("anyway", [False, True])
def test_etcd_absent_at_start(tmp_path: Path, service: str, anyway: bool) -> None:
    """It keeps trying; the command waits for etcd unless told --start-anyway."""
    etcd, mark = PrivateEtcd(tmp_path), tmp_path / "mark"
    words = [service, "10.0.0.5:80", "--no-check", "--drain", "0", "--ttl", "2"]
    words += ["--start-anyway"] if anyway else []
    command = ["sh", "-c", f"touch {mark}; exec sleep 60"]
    with registered(tmp_path, etcd, words, command) as run:
        run.wait_log("the store does not answer")
        if anyway:
            run.wait(mark.exists, "start")
        else:
            assert not mark.exists()
        with etcd:
            run.wait(lambda: keys(etcd, service), "key")
            run.wait(mark.exists, "start")
            run.end()


def test_systemd_is_told_when_it_is_registered(
    etcd: PrivateEtcd, tmp_path: Path, port: int, service: str
) -> None:
    """READY only then, WATCHDOG while it turns, STOPPING at the end."""
    notify = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(notify))
        heard.settimeout(60)
        environ = {"NOTIFY_SOCKET": str(notify), "WATCHDOG_USEC": "300000"}
        words = [service, f"127.0.0.1:{port}", "--drain", "0"]
        with registered(tmp_path, etcd, words, environ=environ) as run:
            run.wait_log("Connection refused")
            assert "READY=1" not in _said(heard)
            with subprocess.Popen(backend(port)) as server:
                seen = ""
                while "READY=1" not in seen:
                    seen += heard.recv(4096).decode()
                assert keys(etcd, service)
                while "WATCHDOG=1" not in seen:
                    seen += heard.recv(4096).decode()
                run.end()
                server.kill()
        assert "STOPPING=1" in _said(heard)


def _said(heard: socket.socket) -> str:
    """Everything that has come by now."""
    text = ""
    heard.setblocking(False)
    try:
        while True:
            text += heard.recv(4096).decode() + "\n"
    except BlockingIOError:
        return text
    finally:
        heard.settimeout(60)


def test_process_1_reaps_and_leaves_with_the_status_of_the_command(
    etcd: PrivateEtcd, tmp_path: Path, service: str
) -> None:
    """In a PID namespace of its own, an orphan does not stay as a zombie."""
    probe = subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip(f"no PID namespace can be made here: {probe.stderr.decode().strip()}")
    script = "sh -c 'sleep 0.2 & exec sh -c true'; sleep 0.6; "
    script += "grep -l '^State:.Z' /proc/[0-9]*/status | wc -l; exit 9"
    argv = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-m", "pyconfd"]
    argv += ["register", service, "10.0.0.5:80", "--no-check", "--node", etcd.endpoint]
    done = subprocess.run(
        [*argv, "--", "sh", "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 9, done.stderr
    assert done.stdout.strip() == "0"
    assert not keys(etcd, service)


@pytest.mark.parametrize(
    ("words", "said", "status"),
    [
        (["www"], "SERVICE and ADDRESS are needed", 2),
        (["www", "1.2.3.4:80", "--ttl", "0"], "must be above 0", 2),
        (["www", "1.2.3.4:80", "--ttl", "200000"], "is not between 1 and 86400", 2),
        (["www", "1.2.3.4:80", "--key-pattern", "/a/../{id}"], "would escape its prefix", 2),
        (["www", "1.2.3.4:80", "--key-pattern", "/a/b"], "all members would share one key", 2),
        (["../etc", "1.2.3.4:80"], "would escape its prefix", 2),
        (["www", "1.2.3.4:80", "--id", "a/b"], "would escape its prefix", 2),
        (["www", "1.2.3.4"], "is not an address", 2),
        (["www", "0.0.0.0:80"], "write :80, which publishes this machine's own address", 2),
        (["www", "[::]:80"], "is where a program listens, not where others reach it", 2),
        (
            ["www", "localhost:80", "--node", "10.0.0.1:2379"],
            "write :80, or :80 --interface lo if that is intended",
            2,
        ),
        (["www", "1.2.3.4:80", "--check", "htp:/"], "did you mean http?", 2),
        (["www", "1.2.3.4:80", "--weight", "x"], "is not a weight", 2),
        (["www", "1.2.3.4:80", "--riise", "2"], "did you mean --rise?", 2),
        (["www", "port:auto"], "port:auto needs a command", 2),
        (["--file", "/does/not/exist.toml"], "does not exist", 2),
        (["www", "1.2.3.4:80", "--", "/does/not/exist"], "No such file or directory", 127),
        (["www", "1.2.3.4:80", "--", "/etc/passwd"], "Permission denied", 126),
    ],
)
def test_bad_input_is_reported(etcd: PrivateEtcd, words: list[str], said: str, status: int) -> None:
    """One clear line, nothing registered."""
    argv = [sys.executable, "-m", "pyconfd", "register", *words]
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYCONFD_NODE": etcd.endpoint},
    )
    assert (done.returncode, said in done.stderr) == (status, True), done.stderr
    assert "Traceback" not in done.stderr


def test_metrics_and_health_are_served_when_asked_for(
    etcd: PrivateEtcd, tmp_path: Path, port: int, service: str
) -> None:
    """Before it is healthy, while it is registered, in maintenance, and while the store is away."""
    (page,) = free_ports(1)
    sick, away = tmp_path / "sick", tmp_path / "maintenance"
    sick.touch()
    words = [service, f"127.0.0.1:{port}", "--check", "http:/health", "--interval", "0.1"]
    words += ["--rise", "1", "--fall", "1", "--maintenance-file", str(away), "--drain", "0"]
    words += ["--metrics-listen", f"127.0.0.1:{page}"]
    with registered(tmp_path, etcd, words, backend(port, "b", sick)) as run:
        run.wait_log("metrics and health are served")

        def shows(status: int, line: str, value: str) -> None:
            def same() -> bool:
                found = ask(page, "/health")
                return found.status == status and line in found.body

            run.wait(same, line)
            assert value in ask(page, "/metrics").text

        one = f'pyconfd_member_registered{{member="127.0.0.1:{port}",service="{service}"}}'
        shows(503, f"1 not registered ({service}, 127.0.0.1:{port}: ", f"{one} 0.0")
        sick.unlink()
        shows(200, "ok: 1 of 1 registered", f"{one} 1.0")
        assert "pyconfd_store_connected 1.0" in ask(page, "/metrics").text
        assert "pyconfd_members 1.0" in ask(page, "/metrics").text
        assert "process_cpu_seconds_total" in ask(page, "/metrics").text
        away.touch()
        shows(200, "ok: 0 of 1 registered", f"{one} 0.0")


def test_the_daemons_listener_in_the_config_file_is_not_that_of_register(
    etcd: PrivateEtcd, tmp_path: Path, port: int, service: str
) -> None:
    """Both read the same file; a port serves one of them."""
    (page,) = free_ports(1)
    (tmp_path / "pyconfd.toml").write_text(f'metrics_listen = "127.0.0.1:{page}"\n')
    words = [service, f"127.0.0.1:{port}", "--config-file", str(tmp_path / "pyconfd.toml")]
    with registered(tmp_path, etcd, words, backend(port)) as run:
        run.wait(lambda: keys(etcd, service), "key")
        with socket.socket() as sock:
            assert sock.connect_ex(("127.0.0.1", page)) != 0
