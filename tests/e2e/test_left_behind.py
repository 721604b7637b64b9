"""A program that a reload command leaves in the background outlives the command and pyconfd."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.pyconfd import Confdir
from tests.support.waiting import wait_until

#: Writes more than a pipe holds, to both outputs, and dies of the first write that fails.
APP = """#!/bin/sh
echo $$ >{folder}/pid
n=0
while [ $n -lt 3000 ]; do
    n=$((n + 1))
    head -c 4096 /dev/zero && echo line >&2 || exit 1
    echo $n >{folder}/ticks
    sleep 0.02
done
"""


@pytest.fixture
def confdir(tmp_path: Path) -> Iterator[Confdir]:
    """Its reload command starts a program in the background."""
    (tmp_path / "keys.toml").write_text('[app]\na = "1"\n')
    app = tmp_path / "app.sh"
    app.write_text(APP.format(folder=tmp_path))
    app.chmod(0o755)
    made = Confdir(tmp_path / "confdir", "--backend", "file", "--file", str(tmp_path / "keys.toml"))
    made.simple(reload_cmd=f'"{app} &"')
    yield made
    with contextlib.suppress(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def still_writes(folder: Path) -> None:
    """More than a pipe holds, from now on."""

    def ticks() -> int:
        text = (folder / "ticks").read_text().strip() if (folder / "ticks").exists() else ""
        return int(text or 0)

    begun = ticks()
    wait_until(lambda: ticks() > begun + 40)


def readers(folder: Path) -> list[psutil.Process]:
    """What reads the output of the program."""
    pipe = os.readlink(f"/proc/{(folder / 'pid').read_text().strip()}/fd/1")
    found = []
    for each in psutil.process_iter():
        try:
            if os.readlink(f"/proc/{each.pid}/fd/0") == pipe:
                found.append(each)
        except OSError:
            continue
    return found


def test_it_writes_on_after_a_one_shot_run(confdir: Confdir, tmp_path: Path) -> None:
    """The run does not wait for it either; when the program ends, nothing is left of it."""
    begun = time.monotonic()
    done = confdir.once()
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begun < 50
    still_writes(tmp_path)
    (reader,) = readers(tmp_path)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
    wait_until(lambda: not reader.is_running() or reader.status() == psutil.STATUS_ZOMBIE)


def test_it_writes_on_beside_the_daemon_and_after_it(confdir: Confdir, tmp_path: Path) -> None:
    """Neither ended by SIGTERM to the daemon nor held up; the daemon has no zombie of it."""
    with confdir.daemon() as daemon:
        daemon.wait_log("reloaded")
        still_writes(tmp_path)
        assert daemon.end() == 0
    still_writes(tmp_path)


def test_its_reader_is_reaped_by_the_daemon(confdir: Confdir, tmp_path: Path) -> None:
    """No zombie is left under a daemon that runs for months."""
    with confdir.daemon() as daemon:
        daemon.wait_log("reloaded")
        still_writes(tmp_path)
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
        wait_until(lambda: not psutil.Process(daemon.process.pid).children())
