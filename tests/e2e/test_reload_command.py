"""`pyconfd reload`, `log-level` and `status --watch` on a running daemon; what systemd hears."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_control import pyconfd
from tests.support.pyconfd import Confdir, Daemon, save
from tests.support.waiting import wait_until


@pytest.fixture
def confdir(tmp_path: Path) -> Confdir:
    """One resource on keys from a file."""
    keys = tmp_path / "keys.json"
    keys.write_text('{"app": {"a": "1"}, "other": {"b": "2"}}')
    made = Confdir(tmp_path / "confdir", "--backend", "file", "--file", str(keys))
    made.simple()
    return made


@pytest.fixture
def daemon(confdir: Confdir) -> Iterator[Daemon]:
    """It has done its first pass."""
    with confdir.daemon() as running:
        running.wait_log("status: ok")
        yield running


def test_a_new_configuration_is_in_use_when_the_command_ends(
    confdir: Confdir, daemon: Daemon
) -> None:
    """Status 0, and the new resource is rendered."""
    dest = confdir.simple("other", "/other")
    done = pyconfd(confdir, "reload")
    assert (done.returncode, done.stdout, done.stderr) == (0, "configuration read again\n", "")
    assert daemon.log.count("configuration read again") == 1
    daemon.wait_file(dest, "/other/b=2\n")


@pytest.mark.parametrize("fault", ["resource", "template", "nothing"])
def test_a_refused_configuration_is_the_verdict(
    confdir: Confdir, daemon: Daemon, fault: str
) -> None:
    """Status 1 with every fault and its line; what runs stays in use; mended, it is taken."""
    path = confdir.folder / ("templates/app.j2" if fault == "template" else "conf.d/app.toml")
    good = path.read_text()
    match fault:
        case "resource":
            path.write_text(good + 'dst = "x"\n')
            says = "app.toml:6: unknown key: dst (did you mean dest?)"
        case "template":
            save(path, good + "{% if %}")
            says = "app.j2:"
        case _:
            path.unlink()
            says = "no resource file (*.toml)"
    done = pyconfd(confdir, "reload")
    assert done.returncode == 1
    assert says in done.stderr
    assert "the new configuration is not used; the running one is kept" in done.stderr
    assert done.stdout == ""
    assert "new configuration refused" in pyconfd(confdir, "status").stdout
    path.write_text(good)
    assert pyconfd(confdir, "reload").returncode == 0
    assert daemon.process.poll() is None


def test_without_a_daemon_it_fails(confdir: Confdir) -> None:
    """And says so; a word too many is wrong usage."""
    done = pyconfd(confdir, "reload")
    assert done.returncode == 1
    assert "no pyconfd runs here" in done.stderr
    assert pyconfd(confdir, "reload", "app").returncode == 2


def test_the_level_of_the_log_is_changed_while_it_runs(confdir: Confdir, daemon: Daemon) -> None:
    """Shown, set, and set back; an unknown one changes nothing."""
    assert pyconfd(confdir, "log-level").stdout == "log level: info\n"
    assert pyconfd(confdir, "log-level", "debug").stdout == "log level: debug (was info)\n"
    daemon.signal(signal.SIGUSR1)
    daemon.wait_log("DEBUG signal")
    assert pyconfd(confdir, "log-level", "error").stdout == "log level: error (was debug)\n"
    lines = daemon.log.count("\n")
    assert pyconfd(confdir, "reload").returncode == 0
    assert daemon.log.count("\n") == lines
    wrong = pyconfd(confdir, "log-level", "loud")
    assert wrong.returncode == 2
    assert "loud: no such level" in wrong.stderr
    assert pyconfd(confdir, "log-level").stdout == "log level: error\n"


def test_systemd_hears_of_every_reload_and_of_readiness_once_it_is_true(
    confdir: Confdir, tmp_path: Path
) -> None:
    """
    Type=notify and notify-reload: RELOADING=1 with the time, then READY=1, by SIGHUP and by
    command, also where the new configuration is refused. A SIGHUP before the first pass is over
    makes nothing ready.
    """
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)

        def states() -> list[str]:
            try:
                while True:
                    heard.append(systemd.recv(4096).decode())
            except BlockingIOError:
                return [each.split("\n")[0] for each in heard if not each.startswith("STATUS")]

        def reloads() -> list[str]:
            found = states()
            return found[found.index("RELOADING=1") :] if "RELOADING=1" in found else []

        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        keys = tmp_path / "keys.json"
        keys.rename(tmp_path / "away")
        with confdir.daemon(environ=environ) as daemon:
            daemon.wait_log("keys.json")
            daemon.signal(signal.SIGHUP)
            daemon.wait_log("configuration read again")
            assert "READY=1" not in states()
            assert "RELOADING=1" not in states()
            (tmp_path / "away").rename(keys)
            daemon.wait(lambda: "READY=1" in states(), "READY=1")
            heard.clear()
            begun = _monotonic_usec()
            daemon.signal(signal.SIGHUP)
            daemon.wait(lambda: reloads()[:2] == ["RELOADING=1", "READY=1"], "a reload")
            (line,) = [each for each in heard if each.startswith("RELOADING=1\n")]
            assert begun <= int(line.partition("MONOTONIC_USEC=")[2]) <= _monotonic_usec()
            heard.clear()
            assert pyconfd(confdir, "reload").returncode == 0
            daemon.wait(lambda: reloads()[:2] == ["RELOADING=1", "READY=1"], "a reload")
            heard.clear()
            (confdir.folder / "conf.d/app.toml").write_text("nonsense")
            assert pyconfd(confdir, "reload").returncode == 1
            daemon.wait(lambda: reloads()[:2] == ["RELOADING=1", "READY=1"], "a refused reload")


def _monotonic_usec() -> int:
    import time

    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_a_live_status_follows_the_daemon(confdir: Confdir, daemon: Daemon) -> None:
    """Printed when its first line changes; Ctrl-C is its ordinary end. A dead daemon is said."""
    argv = [*confdir.argv()[:3], "status", "--watch", *confdir.argv()[3:7]]
    out = confdir.folder / "status.txt"
    with out.open("wb") as stream:
        watching = subprocess.Popen(argv, stdout=stream, stderr=stream)
    try:
        wait_until(lambda: out.read_text().startswith("ok: 1 resource at"))
        path = confdir.folder / "conf.d/app.toml"
        good = path.read_text()
        path.write_text("nonsense")
        assert pyconfd(confdir, "reload").returncode == 1
        wait_until(lambda: "\nnew configuration refused" in out.read_text())
        path.write_text(good)
        daemon.end()
        wait_until(lambda: "no pyconfd runs here" in out.read_text())
        with confdir.daemon() as again:
            again.wait_log("status: ok")
            wait_until(lambda: out.read_text().count("\nok: 1 resource at") == 1)
            watching.send_signal(signal.SIGINT)
            assert watching.wait(60) == 0
        assert 3 <= out.read_text().count("RESOURCE") <= 4  # starting may be seen
    finally:
        if watching.poll() is None:
            watching.kill()
            watching.wait()


def test_a_live_status_fills_a_terminal(confdir: Confdir, daemon: Daemon) -> None:
    """From its upper left corner, again and again."""
    assert daemon.process.poll() is None
    argv = [*confdir.argv()[:3], "status", "--watch", *confdir.argv()[3:7]]
    ours, theirs = pty.openpty()
    watching = subprocess.Popen(argv, stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL)
    os.close(theirs)
    seen = b""
    try:
        while seen.count(b"\x1b[H\x1b[2J") < 3:
            seen += os.read(ours, 65536)
        assert b"ok: 1 resource" in seen
    finally:
        watching.send_signal(signal.SIGINT)
        os.close(ours)
        watching.wait(60)


def test_a_live_status_needs_a_daemon_at_first(confdir: Confdir) -> None:
    """A slip of the confdir is told at once. A config file that says watch is about the daemon."""
    done = subprocess.run(
        [sys.executable, "-m", "pyconfd", "status", "--watch", "--confdir", str(confdir.folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYCONFD_STATE_DIR": str(confdir.folder / "none")},
    )
    assert done.returncode == 1
    assert "no pyconfd runs here" in done.stderr


def test_a_watching_daemons_settings_do_not_make_status_live(
    confdir: Confdir, daemon: Daemon
) -> None:
    """The variable of the unit is there for the command too."""
    assert daemon.process.poll() is None
    done = pyconfd(confdir, "status", environ={"PYCONFD_WATCH": "true"})
    assert done.returncode == 0
    assert done.stdout.startswith("ok: 1 resource")
