"""One instance for each state folder."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from pyconfd.errors import StateError
from pyconfd.system.locks import InstanceLock
from tests.support.steps import in_child


def test_a_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    """By process number; after the release the lock is free."""
    folder = str(tmp_path / "state")
    first, second = InstanceLock(folder), InstanceLock(folder)
    says = rf"process {os.getpid()} already uses .*state_dir"
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


def test_a_disk_without_room_for_its_number_does_not_keep_it_from_being_held(
    tmp_path: Path,
) -> None:
    """The number is only for people; the limit of a file's size is met in the same place."""
    lock, limits = InstanceLock(str(tmp_path)), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        lock.acquire()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with pytest.raises(StateError, match="another process already uses"):
        InstanceLock(str(tmp_path)).acquire()
    lock.release()


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


def test_the_folder_and_its_parents_are_private_whatever_the_umask(tmp_path: Path) -> None:
    """With umask 000 the parents were open to everybody."""
    before = os.umask(0)
    try:
        with InstanceLock(str(tmp_path / "a" / "b")):
            pass
    finally:
        os.umask(before)
    for folder in (tmp_path / "a", tmp_path / "a" / "b"):
        assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_folder_that_others_may_write_in_is_refused(tmp_path: Path, mode: int) -> None:
    """They could write into it what pyconfd then believes."""
    tmp_path.chmod(mode)
    with pytest.raises(StateError, match="other users may write in it"):
        InstanceLock(str(tmp_path)).acquire()


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    """Even with mode 0700."""
    os.chown(tmp_path, 65534, 65534)
    with pytest.raises(StateError, match="user 65534 owns it"):
        InstanceLock(str(tmp_path)).acquire()
