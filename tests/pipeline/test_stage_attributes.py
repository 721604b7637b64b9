"""Extended attributes and access control lists of a destination are kept as mode and owner are."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from pyconfd.errors import StageError
from pyconfd.pipeline import check, stage, swap
from pyconfd.pipeline.journal import Journal
from tests.support.steps import (
    RELOAD,
    in_child,
    may_mount,
    mount,
    private_mounts,
    rendered,
    strays_in,
)

ACL = "system.posix_acl_access"
DEFAULT = "system.posix_acl_default"
USER_OBJ, USER, GROUP_OBJ, MASK, OTHER = 1, 2, 4, 16, 32
ALICE, R, RW = 4711, 4, 6


def acl(*entries: tuple[int, int, int]) -> bytes:
    """As linux/posix_acl_xattr.h has it: version 2, then tag, permissions and id of each."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *each) for each in entries)


def list_for_alice(group: int = R, mask: int = RW) -> bytes:
    """The owner and one more user may write; the owning group may read."""
    none = 0xFFFFFFFF
    return acl(
        (USER_OBJ, RW, none),
        (USER, RW, ALICE),
        (GROUP_OBJ, group, none),
        (MASK, mask, none),
        (OTHER, R, none),
    )


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    """A live file, on a file system with access control lists."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o644)
    try:
        os.setxattr(path, ACL, list_for_alice())
        os.removexattr(path, ACL)
    except OSError:
        pytest.skip("the file system has no access control lists")
    path.chmod(0o644)
    return path


def change(dest: Path, content: bytes = b"new", **fields: object) -> None:
    """From one version to the next."""
    staged = stage.stage(rendered(dest, content, **fields))
    assert staged is not None
    swap.swap(check.unchecked(staged), journal=None)
    assert dest.read_bytes() == content


def test_the_list_is_kept_and_the_group_gains_nothing(dest: Path) -> None:
    """The group bits of the mode are the mask then: as a mode alone they would let it write."""
    os.setxattr(dest, ACL, list_for_alice())
    mode = dest.stat().st_mode
    assert mode & 0o070 == 0o060, "the mask"
    change(dest)
    assert os.getxattr(dest, ACL) == list_for_alice()
    assert dest.stat().st_mode == mode


def test_a_configured_mode_narrows_the_list(dest: Path) -> None:
    """chmod does so: its group bits are the mask, and the entries stay."""
    os.setxattr(dest, ACL, list_for_alice())
    change(dest, mode=0o640)
    kept = os.getxattr(dest, ACL)
    assert kept[:-8] == list_for_alice(mask=R)[:-8]
    assert dest.stat().st_mode & 0o777 == 0o640


def test_a_file_without_a_list_gets_none_from_its_folder(dest: Path) -> None:
    """A default list is for new files; a file that is there has what its owner gave it."""
    os.setxattr(dest.parent, DEFAULT, list_for_alice())
    change(dest)
    assert ACL not in os.listxattr(dest)
    assert dest.stat().st_mode & 0o777 == 0o644
    fresh = dest.with_name("fresh")
    change(fresh)
    assert ACL in os.listxattr(fresh)


def test_attributes_are_kept_and_those_of_the_old_content_are_not(dest: Path) -> None:
    """Empty ones, binary ones and many."""
    wanted = {f"user.n{n}": bytes([n]) * n for n in range(20)}
    for name, value in wanted.items():
        os.setxattr(dest, name, value)
    if os.geteuid() == 0:
        os.setxattr(dest, "trusted.x", b"y")
        wanted["trusted.x"] = b"y"
    change(dest)
    assert {name: os.getxattr(dest, name) for name in os.listxattr(dest)} == wanted


def test_an_attribute_that_cannot_be_kept_is_an_error(tmp_path: Path) -> None:
    """A folder on which the user may not set it: nothing is changed, and nothing is left."""
    if not may_mount():
        pytest.skip("a file system of one's own needs CAP_SYS_ADMIN")
    path = tmp_path / "mnt/a"
    path.parent.mkdir()

    def work() -> None:
        private_mounts()
        mount("tmpfs", path.parent, "tmpfs", 0, "mode=0777")
        path.write_bytes(b"old")
        os.setxattr(path, "trusted.x", b"y")
        with pytest.raises(StageError, match=r"extended attribute trusted.x cannot be kept") as why:
            _without_the_right(lambda: stage.stage(rendered(path, b"new")))
        assert "setfattr -x trusted.x" in str(why.value)
        assert path.read_bytes() == b"old"
        assert strays_in(tmp_path) == []

    assert in_child(work) == 0


def _without_the_right(work: object) -> None:
    import sys

    def refuse(event: str, args: tuple[object, ...]) -> None:
        if event == "os.setxattr":
            raise PermissionError(1, "Operation not permitted")

    sys.addaudithook(refuse)
    work()  # type: ignore[operator]


@pytest.mark.parametrize("mounted", [False, True], ids=["", "mounted"])
def test_the_old_version_comes_back_with_its_list(dest: Path, mounted: bool) -> None:
    """Kept for a reload that may be refused, as a link or as a copy."""
    if mounted and not may_mount():
        pytest.skip("mounts of one's own need CAP_SYS_ADMIN")
    os.setxattr(dest, ACL, list_for_alice())
    os.setxattr(dest, "user.a", b"1")

    def work() -> None:
        if mounted:
            private_mounts()
            mount(str(dest), dest, "", 0x1000)
        journal = Journal(str(dest.parent / "state"))
        staged = stage.stage(rendered(dest, b"new", reload=RELOAD))
        assert staged is not None
        swap.swap_all([check.unchecked(staged)], journal=journal, keep_old=True)
        assert os.getxattr(dest, ACL) == list_for_alice()
        swap.revert(RELOAD.text, journal=journal)
        assert dest.read_bytes() == b"old"
        assert os.getxattr(dest, ACL) == list_for_alice()
        assert os.getxattr(dest, "user.a") == b"1"

    assert in_child(work) == 0
