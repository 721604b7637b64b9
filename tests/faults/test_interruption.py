"""Killed at every system call: nothing is half, nothing is left behind, no reload is forgotten."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.repository import ROOT
from tests.support.steps import may_mount

KILLS_S = 280.0
PLAIN = ["one", "new", "set", "set with removals"]
MOUNTED = ["mounted", "mounted in a read-only folder", "set, first mounted", "set, last mounted"]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder where fsync costs nothing, if there is one."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def kill_at_every_call(loop: str, folder: Path, kind: str) -> None:
    """One of the loops of tests/faults/kills.py, which says what has to be true."""
    if kind in MOUNTED and not may_mount():
        pytest.skip("mounts of one's own need CAP_SYS_ADMIN")
    argv = [sys.executable, "-m", "tests.faults.kills", loop, str(folder), kind]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=KILLS_S)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", [*PLAIN, "link", *MOUNTED])
def test_a_kill_at_any_instant_leaves_old_or_new_and_the_debt(memory: Path, kind: str) -> None:
    """
    The whole way from staging to the settled reload; a set is whole as well. A mounted file is
    written in place: also between two writes, what was begun is finished or taken back.
    """
    kill_at_every_call("change", memory, kind)


def test_an_older_debt_survives_a_kill_at_any_instant_of_the_next_change(memory: Path) -> None:
    """Swapped, and its reload not run; then killed while the next version is put in place."""
    kill_at_every_call("next_change", memory, "one")


@pytest.mark.parametrize("kind", [*PLAIN, *MOUNTED[::3]])
def test_a_kill_at_any_instant_of_taking_back_leaves_one_version_and_the_debt(
    memory: Path, kind: str
) -> None:
    """Refused and taken back: old or new, whole; where it is new, it can still be taken back."""
    kill_at_every_call("taking_back", memory, kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["set with removals", *MOUNTED[::3]])
def test_recovery_itself_may_be_killed_at_any_instant(memory: Path, kind: str) -> None:
    """From every place where a change can be cut short, at every place of its recovery."""
    kill_at_every_call("recovering", memory, kind)
