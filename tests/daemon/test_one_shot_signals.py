"""Ctrl-C, SIGTERM and SIGHUP during a one-shot run: nothing is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pyconfd import Confdir
from tests.support.waiting import wait_until


@pytest.fixture
def confdir(tmp_path: Path) -> Confdir:
    store = tmp_path / "store.json"
    store.write_text(json.dumps({"app": {"a": "1"}}))
    return Confdir(tmp_path / "confdir", "--backend", "file", "--file", str(store))


@contextlib.contextmanager
def start(confdir: Confdir, *argv: str) -> Iterator[subprocess.Popen[str]]:
    """A one-shot run, killed when the test ends before it does."""
    with subprocess.Popen(
        confdir.argv("--onetime", *argv), stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["int", "term", "hup"],
)
def test_a_hanging_check_is_ended_and_nothing_is_left(
    confdir: Confdir, number: signal.Signals, status: int
) -> None:
    """No orphan, no staged file, no live file; later resources are not begun."""
    first = confdir.simple("a", "/app", check_cmd='"echo $$ > @OUT@/pid; exec sleep 60"')
    second = confdir.simple("b", "/app")
    pid = confdir.out / "pid"
    with start(confdir, "--shutdown-timeout", "0.1") as process:
        wait_until(lambda: pid.exists() and pid.read_text().endswith("\n"))
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == status, said
    assert signal.Signals(number).name in said
    assert gone(int(pid.read_text()))
    assert not first.exists()
    assert not second.exists()
    assert os.listdir(confdir.out) == ["pid"]


def test_a_terminal_that_is_closed_ends_nothing_under_nohup(confdir: Confdir) -> None:
    """SIGHUP that is ignored when it starts stays ignored."""
    dest = confdir.simple("a", "/app", check_cmd='"touch @OUT@/begun; sleep 0.3"')
    argv = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", *confdir.argv("--onetime")]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
        wait_until((confdir.out / "begun").exists)
        process.send_signal(signal.SIGHUP)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert dest.exists()


def test_ctrl_c_while_it_starts_is_one_line(tmp_path: Path) -> None:
    """Whatever is being imported then."""
    # Python looks here first for every module, and an import is where time goes
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, os, signal\n"
        "class Slow:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == os.environ['AT']:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.meta_path.insert(0, Slow())\n"
    )
    for name in ("pyconfd.cli.main", "pyconfd.backends.etcd.protobuf", "pyconfd.config.settings"):
        done = subprocess.run(
            [sys.executable, "-m", "pyconfd", "--onetime", "--confdir", str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "PYTHONPATH": str(tmp_path), "AT": name},
        )
        assert (done.returncode, done.stderr) == (130, "pyconfd: error: interrupted\n"), name


def test_a_running_reload_may_end(confdir: Confdir) -> None:
    """Within --shutdown-timeout; it counts, and the next run owes nothing."""
    confdir.simple(
        "a", "/app", reload_cmd='"touch @OUT@/begun; sleep 0.5; echo r >> @OUT@/reload.log"'
    )
    with start(confdir) as process:
        wait_until((confdir.out / "begun").exists)
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 143
    log = confdir.out / "reload.log"
    assert log.read_text() == "r\n"
    assert confdir.once().returncode == 0
    assert log.read_text() == "r\n"


def test_a_second_signal_does_not_wait(confdir: Confdir) -> None:
    """The reload is ended and stays owed."""
    confdir.simple(
        "a", "/app", reload_cmd='"touch @OUT@/begun; test -e @OUT@/ok || sleep 60; touch @OUT@/r"'
    )
    with start(confdir) as process:
        wait_until((confdir.out / "begun").exists)
        process.terminate()
        assert process.stderr
        while "SIGTERM" not in (line := process.stderr.readline()):
            assert line, "it ended without a word about the signal"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 143
    (confdir.out / "ok").touch()
    assert confdir.once().returncode == 0
    assert (confdir.out / "r").exists()
