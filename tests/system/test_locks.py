"""One instance for each state folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyconfd.errors import StateError
from pyconfd.system.locks import InstanceLock
from tests.support.steps import in_child


def test_a_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    """By process number; after the release the lock is free."""
    folder = str(tmp_path / "state")
    first, second = InstanceLock(folder), InstanceLock(folder)
    says = rf"process {os.getpid()} works with .*state_dir"
    with first, pytest.raises(StateError, match=says):
        second.acquire()
    with second:
        second.release()
    second.release()


def test_the_end_of_a_process_frees_its_lock(tmp_path: Path) -> None:
    """However it ends."""
    assert in_child(InstanceLock(str(tmp_path)).acquire) == 0
    with InstanceLock(str(tmp_path)):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_commands_do_not_inherit_the_lock(tmp_path: Path) -> None:
    """A daemon started by a reload command must not keep the next pyconfd out."""
    from pyconfd.system.proc import Commands

    with InstanceLock(str(tmp_path)):
        listed = Commands().run("ls -l /proc/self/fd", timeout_s=5).output
    assert str(tmp_path) not in listed


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """With what to do."""
    (tmp_path / "state").write_bytes(b"")
    with pytest.raises(StateError, match=r"state: the state folder cannot be used.*writable"):
        InstanceLock(str(tmp_path / "state")).acquire()
