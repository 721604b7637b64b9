"""Facts of files and their atomic appearance, where the steps do not show them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pyconfd.system import files
from tests.support.steps import before_call


def test_links_are_followed_to_the_last_name(tmp_path: Path) -> None:
    """Relative links count from their own folder; a missing target is still the answer."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "one").symlink_to("sub/two")
    (tmp_path / "sub/two").symlink_to("../three")
    assert os.path.normpath(files.follow(str(tmp_path / "one"))) == str(tmp_path / "three")


def test_a_circle_of_links_is_an_error(tmp_path: Path) -> None:
    """Not an endless loop."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError) as caught:
        files.follow(str(tmp_path / "a"))
    assert caught.value.errno == errno.ELOOP


def test_a_circle_of_links_has_no_strays(tmp_path: Path) -> None:
    """What cannot be resolved has no folder where something could have been staged."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert list(files.strays([str(tmp_path / "a")])) == []


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 1 << 20])
def test_files_of_any_size_are_read_whole(tmp_path: Path, size: int) -> None:
    """Around the size of one read."""
    path = tmp_path / "a"
    path.write_bytes(os.urandom(size))
    assert files.read(str(path))[0] == path.read_bytes()


def test_a_file_without_a_size_is_read_whole() -> None:
    """The kernel's own say 0."""
    assert b"processor" in files.read("/proc/cpuinfo")[0]


def test_new_content_never_replaces_a_file(tmp_path: Path) -> None:
    """Nor follows a link that somebody laid out."""
    (tmp_path / "link").symlink_to("target")
    for name in ("link", "link"):
        with pytest.raises(FileExistsError):
            files.write_new(str(tmp_path / name), b"x", mode=0o644, uid=None, gid=None)
    assert not (tmp_path / "target").exists()


def test_nobody_can_read_it_before_its_mode_is_set(tmp_path: Path) -> None:
    """It starts as 0600 and is empty until mode and owner are as they should be."""
    path = tmp_path / "a"
    seen: list[tuple[int, int]] = []

    def look() -> None:
        facts = path.stat()
        seen.append((facts.st_mode & 0o777, facts.st_size))

    with before_call("fchmod", 1, look):
        files.write_new(str(path), b"secret", mode=0o666, uid=None, gid=None)
    assert seen == [(0o600, 0)]


def test_a_copy_stands_in_where_hard_links_are_not_possible(tmp_path: Path) -> None:
    """Content, mode and owner come along; seen here across file systems, where links fail."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o640)
    files.link_or_copy(str(path), str(tmp_path / "b"))
    assert (tmp_path / "b").samefile(path)
    files.copy(str(path), str(tmp_path / "c"))
    assert (tmp_path / "c").read_bytes() == b"old"
    assert (tmp_path / "c").stat().st_mode & 0o777 == 0o640


def test_names_differ_each_time(tmp_path: Path) -> None:
    """Two staged files of one destination do not meet."""
    assert files.staged_name("/a/b") != files.staged_name("/a/b")
