"""The demo is a test by itself: here it runs as people run it, and is interrupted."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.support.http import ask
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

DEMO = [sys.executable, "-m", "pyconfd", "demo"]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Ours, with temporary files below tmp_path so that what is left behind is seen."""
    return {**os.environ, "TMPDIR": str(tmp_path)}


@contextlib.contextmanager
def running(words: list[str], environ: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The demo as a child, killed with all it started if the test leaves it behind."""
    process = subprocess.Popen(
        [*DEMO, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for child in of_ours(Path(environ["TMPDIR"])):
            with contextlib.suppress(psutil.Error):
                child.kill()
        assert process.stdout
        process.stdout.close()


def of_ours(folder: Path) -> list[psutil.Process]:
    """Every process that works below the folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(folder):
                found.append(process)
    return found


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """What it prints, up to the line that holds the text."""
    said = ""
    assert process.stdout
    for line in process.stdout:
        said += line
        if text in line:
            return said
    raise AssertionError(f"the demo ended without {text!r}:\n{said}")


def test_the_whole_story_happens_in_time(tmp_path: Path, environ: dict[str, str]) -> None:
    """Every step within its deadline, no failed request, nothing left behind, no colour."""
    done = subprocess.run(DEMO, capture_output=True, text=True, timeout=300, env=environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 failed" in done.stdout
    assert 'invalid port in upstream "127.0.0.1:99999"' in done.stdout
    assert "server05 answers through nginx" in done.stdout
    assert "\033" not in done.stdout
    assert of_ours(tmp_path) == []
    assert list(tmp_path.glob("pyconfd-demo-*")) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
def test_an_interrupted_demo_leaves_nothing_behind(
    tmp_path: Path, environ: dict[str, str], number: signal.Signals
) -> None:
    """Ctrl-C and SIGTERM in the middle end every process and remove the folder."""
    with running([], environ) as process:
        read_until(process, "Three backends")
        process.send_signal(number)
        assert process.wait(120) == 128 + number
        wait_until(lambda: not of_ours(tmp_path), what="the demo's processes ending")
        assert list(tmp_path.glob("pyconfd-demo-*")) == []


def test_keep_stays_up_and_says_where(tmp_path: Path, environ: dict[str, str]) -> None:
    """With --keep the printed address answers until Ctrl-C, which is then the normal end."""
    with running(["--keep"], environ) as process:
        said = read_until(process, "curl")
        url = said.rsplit(maxsplit=1)[-1]
        port = urlsplit(url).port
        assert port is not None, url
        assert ask(port, host="www.example.com").text.startswith("server0")
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
        wait_until(lambda: not of_ours(tmp_path), what="the demo's processes ending")


def test_a_missing_program_is_one_clear_line(environ: dict[str, str], tmp_path: Path) -> None:
    """Without etcd on the PATH the demo says what to install and is status 1."""
    done = subprocess.run(
        DEMO, capture_output=True, text=True, timeout=120, env={**environ, "PATH": str(tmp_path)}
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "etcd is not installed (on Debian: apt-get install etcd-server)" in done.stderr


@pytest.mark.parametrize("word", ["--help", "-help", "-h"])
def test_help_is_the_usage(word: str, environ: dict[str, str]) -> None:
    """On standard output, also when the rest is wrong."""
    argv = [*DEMO, "--kep", word]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, env=environ)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: pyconfd demo")


def test_an_unknown_option_is_wrong_usage(environ: dict[str, str]) -> None:
    """Status 2 with the nearest one."""
    done = subprocess.run(
        [*DEMO, "--kep"], capture_output=True, text=True, timeout=120, env=environ
    )
    assert done.returncode == 2
    assert "--kep: unknown option (did you mean --keep?)" in done.stderr
