"""Looking into a running daemon and speaking to it, as an operator does."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemons.etcd import PrivateEtcd
from tests.support.pyconfd import Confdir, save

FULL = '{"app": {"a": "topsecret", "b": "topsecret"}}'


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    path.write_text(FULL)
    return path


@pytest.fixture
def confdir(tmp_path: Path, keys: Path) -> Confdir:
    return Confdir(tmp_path / "confdir", "--backend", "file", "--file", str(keys))


def pyconfd(
    confdir: Confdir, *words: str, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command beside the daemon, which is found by confdir and state folder alone."""
    places = ["--confdir", str(confdir.folder), "--state-dir", str(confdir.folder / "state")]
    return subprocess.run(
        [sys.executable, "-m", "pyconfd", *words, *places],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **(environ or {})},
    )


def status(confdir: Confdir) -> dict[str, Any]:
    done = pyconfd(confdir, "status", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_held_change_is_explained_and_released(confdir: Confdir, keys: Path) -> None:
    """An emptied store: the file stays until somebody says that it is meant; once."""
    dest = confdir.simple()
    with confdir.daemon() as daemon:
        daemon.wait_log("status: ok: 1 resource")
        assert status(confdir)["ready"]
        save(keys, "{}")
        daemon.wait_log("status: 1 held (app: all 2 keys are gone")
        said = pyconfd(confdir, "explain", str(dest))
        assert said.returncode == 0, said.stderr
        assert "state     held since" in said.stdout
        assert "let it through: pyconfd release app" in said.stdout
        assert "topsecret" not in said.stdout
        assert dest.read_text() == "/app/a=topsecret\n/app/b=topsecret\n"
        released = pyconfd(confdir, "release", "app")
        assert released.stdout == "released: app\n"
        daemon.wait_file(dest, "")
        daemon.wait_log("status: ok", count=2)
        again = pyconfd(confdir, "release", "app")
        assert again.returncode == 1
        assert "app: nothing is held back" in again.stderr
        save(keys, FULL)
        daemon.wait_file(dest, "/app/a=topsecret\n/app/b=topsecret\n")
        save(keys, "{}")
        daemon.wait_log("status: 1 held", count=2)
        assert daemon.end() == 0
        assert "topsecret" not in daemon.log


def test_a_group_is_released_as_one(confdir: Confdir, keys: Path) -> None:
    """Each member alone would be held; one word lets the set through."""
    for name in ("one", "two"):
        confdir.simple(name)
    confdir.resource("zz", '[group.edge]\nresources = ["one", "two"]\n')
    with confdir.daemon() as daemon:
        daemon.wait_log("status: ok: 2 resources")
        save(keys, "{}")
        daemon.wait_log("status: 2 held")
        assert pyconfd(confdir, "release", "edge").returncode == 0
        for name in ("one", "two"):
            daemon.wait_file(confdir.out / f"{name}.conf", "")


def test_the_status_shows_a_refusal_and_a_pending_reload(confdir: Confdir, keys: Path) -> None:
    """With the checker's words, and without the values."""
    dest = confdir.simple(
        check_cmd='\'grep -q bad {{ src }} && { echo "syntax error in {{ src }}:2"; exit 3; }'
        " || true'",
        reload_cmd='"echo no pid; exit 7"',
    )
    with confdir.daemon() as daemon:
        daemon.wait_log("status: reload pending")
        save(keys, '{"app": {"a": "bad"}}')
        daemon.wait_log(f"status: 1 refused (app: syntax error in {dest}:2)")
        done = pyconfd(confdir, "status")
        assert done.returncode == 0, done.stderr
        first, *rest = done.stdout.splitlines()
        assert first.startswith(f"1 refused (app: syntax error in {dest}:2); reload pending for ")
        assert first.endswith("(echo no pid; exit 7: exit status 7); see pyconfd explain app")
        assert any(line.startswith("app       refused") for line in rest)
        assert "\x1b[" not in done.stdout


def test_the_socket_is_private_and_goes_with_the_daemon(confdir: Confdir) -> None:
    """Also after SIGKILL the next daemon can be asked."""
    confdir.simple()
    with confdir.daemon() as daemon:
        daemon.wait_log("status: ok")
        (path,) = confdir.folder.glob("state/*/control.sock")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        daemon.process.kill()
        daemon.process.wait()
    assert pyconfd(confdir, "status").returncode == 1
    with confdir.daemon() as daemon:
        daemon.wait_log("status: ok")
        assert status(confdir)["pid"] == daemon.process.pid
        assert daemon.end() == 0
    assert not path.exists()
    done = pyconfd(confdir, "status")
    assert done.returncode == 1
    assert f"{path}: no pyconfd runs here" in done.stderr


@contextmanager
def systemd(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        listening.settimeout(60)
        yield listening


def test_systemd_shows_the_line(confdir: Confdir, keys: Path, tmp_path: Path) -> None:
    """STATUS= changes with the state."""
    confdir.simple()
    path = tmp_path / "notify"
    with systemd(path) as listening:

        def wait_status(begin: str) -> None:
            while not listening.recv(4096).decode().startswith(f"STATUS={begin}"):
                pass

        with confdir.daemon(environ={"NOTIFY_SOCKET": str(path)}) as daemon:
            wait_status("ok: 1 resource at revision")
            save(keys, "{}")
            wait_status("1 held (app: all 2 keys are gone")
            assert daemon.end() == 0


@pytest.mark.integration
def test_the_members_of_etcd_are_shown_while_it_answers(tmp_path: Path) -> None:
    """The daemon's own nodes are asked, and an outage neither hides the rest nor hangs."""
    with PrivateEtcd(tmp_path / "etcd") as etcd:
        etcd.put("/app/a", "1")
        confdir = Confdir(tmp_path / "confdir", "--node", etcd.endpoint)
        confdir.simple()
        with confdir.daemon() as daemon:
            daemon.wait_log("status: ok")
            (member,) = status(confdir)["members"]
            assert member["leader"]
            assert member["version"].startswith("3.")
            assert member["db_size"] > 0
            assert pyconfd(confdir, "status", "--store", "--node", etcd.endpoint).returncode == 0
            etcd.stop()
            daemon.wait_log("status: store unavailable since")
            done = pyconfd(confdir, "status")
            assert done.returncode == 0, done.stderr
            assert done.stdout.startswith("store unavailable for ")
            assert "Connection refused" in done.stdout.splitlines()[-1]
            gone = pyconfd(confdir, "status", "--store", "--node", etcd.endpoint)
            assert gone.returncode == 1
            assert "no member of etcd answers" in gone.stderr


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("jinja", "{% for p in gets('/app/*') %}{{ json(p.value).port }}\n{% endfor %}"),
        ("go", '{{range gets "/app/*"}}{{$d := json .Value}}{{$d.port}}\n{{end}}'),
    ],
)
def test_a_fault_names_its_key_in_log_status_and_explain(
    confdir: Confdir, keys: Path, name: str, text: str
) -> None:
    """One value of many is not JSON; the value itself is shown nowhere."""
    good = json.dumps({"port": "80"})
    save(keys, json.dumps({"app": {"a": good, "b": "booting-secret", "c": good}}))
    confdir.template(f"{name}.j2", text)
    confdir.resource(
        name, f'[template]\nsrc = "{name}.j2"\ndest = "@OUT@/{name}"\nkeys = ["/app"]\n'
    )
    with confdir.daemon() as daemon:
        daemon.wait_log("it comes from /app/b")
        first, *_ = pyconfd(confdir, "status").stdout.splitlines()
        explained = pyconfd(confdir, "explain", name).stdout
        assert "not JSON" in first and "it comes from /app/b" in first
        assert "it comes from /app/b" in explained
        assert "booting-secret" not in daemon.log + first + explained
