"""Staging: written only when something differs, complete, and never left behind on failure."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from pyconfd.errors import StageError
from pyconfd.pipeline import stage
from pyconfd.system import files
from tests.support.steps import in_child, rendered, strays_in

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="changing owners needs root")


def test_a_missing_file_is_staged_with_content_and_default_mode(tmp_path: Path) -> None:
    """The staged file is complete, and the destination does not exist yet."""
    dest = tmp_path / "a.conf"
    staged = stage.stage(rendered(dest, b"new"))
    assert staged is not None
    assert Path(staged.path).read_bytes() == b"new"
    assert stat.S_IMODE(os.stat(staged.path).st_mode) == 0o644 == staged.mode
    assert staged.differs == ("missing",)
    assert not dest.exists()


def test_a_file_that_is_as_it_should_be_is_not_written(tmp_path: Path) -> None:
    """Same content and nothing asked for otherwise: None, and no file is made."""
    dest = tmp_path / "a.conf"
    dest.write_bytes(b"same")
    assert stage.stage(rendered(dest, b"same", mode=stat.S_IMODE(dest.stat().st_mode))) is None
    assert [each.name for each in tmp_path.iterdir()] == ["a.conf"]


def test_a_mode_alone_is_a_difference(tmp_path: Path) -> None:
    """Same bytes, other permission bits."""
    dest = tmp_path / "a.conf"
    dest.write_bytes(b"same")
    dest.chmod(0o644)
    staged = stage.stage(rendered(dest, b"same", mode=0o600))
    assert staged is not None
    assert staged.differs == ("mode",)
    assert stat.S_IMODE(os.stat(staged.path).st_mode) == 0o600


@AS_ROOT
def test_an_owner_alone_is_a_difference(tmp_path: Path) -> None:
    """Same bytes, other user and group."""
    dest = tmp_path / "a.conf"
    dest.write_bytes(b"same")
    staged = stage.stage(rendered(dest, b"same", uid=65534, gid=65534))
    assert staged is not None
    assert staged.differs == ("owner",)
    facts = os.stat(staged.path)
    assert (facts.st_uid, facts.st_gid) == (65534, 65534)


@AS_ROOT
def test_mode_and_owner_of_the_live_file_are_kept_when_not_declared(tmp_path: Path) -> None:
    """A hand-set 0640 nobody stays so."""
    dest = tmp_path / "a.conf"
    dest.write_bytes(b"old")
    os.chown(dest, 65534, 65534)
    dest.chmod(0o640)
    staged = stage.stage(rendered(dest, b"new"))
    assert staged is not None
    assert staged.differs == ("content",)
    assert (staged.mode, staged.uid, staged.gid) == (0o640, 65534, 65534)
    assert stat.S_IMODE(os.stat(staged.path).st_mode) == 0o640


@AS_ROOT
def test_an_owner_that_is_only_inherited_is_given_up_without_the_right_to_set_it(
    tmp_path: Path,
) -> None:
    """A user may replace root's file in a folder of its own; one who asked for root is refused."""
    folder = _for_nobody()
    dest = folder / "a.conf"
    dest.write_bytes(b"old")
    dest.chmod(0o644)  # whatever the umask is

    def as_nobody() -> None:
        os.setegid(65534)
        os.seteuid(65534)
        staged = stage.stage(rendered(dest, b"new"))
        assert staged is not None
        assert staged.uid == 65534
        with pytest.raises(StageError, match="no permission to set its owner"):
            stage.stage(rendered(dest, b"new", uid=0))

    try:
        assert in_child(as_nobody) == 0
        assert len(strays_in(folder)) == 1, "the refused one is gone"
    finally:
        for each in folder.iterdir():
            each.unlink()
        folder.rmdir()


@AS_ROOT
def test_no_permission_in_the_folder_says_so() -> None:
    """A folder that may not be written: the path and what to do."""
    folder = _for_nobody()
    os.chown(folder, 0, 0)

    def as_nobody() -> None:
        os.seteuid(65534)
        with pytest.raises(StageError, match=r"no permission to write in .*run as a user"):
            stage.stage(rendered(folder / "a", b"new"))

    try:
        assert in_child(as_nobody) == 0
    finally:
        folder.rmdir()


def _for_nobody() -> Path:
    """A folder that user nobody can reach; pytest's own are closed to others."""
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="pyconfd-test-", dir="/tmp"))
    folder.chmod(0o755)
    os.chown(folder, 65534, 65534)
    return folder


def test_a_symlink_is_followed_and_staged_beside_its_target(tmp_path: Path) -> None:
    """The link is not what is replaced."""
    (tmp_path / "available").mkdir()
    (tmp_path / "enabled").mkdir()
    target = tmp_path / "available/site"
    target.write_bytes(b"old")
    link = tmp_path / "enabled/site"
    link.symlink_to("../available/site")
    staged = stage.stage(rendered(link, b"new"))
    assert staged is not None
    assert os.path.samefile(os.path.dirname(staged.path), target.parent)
    assert os.path.samefile(staged.live.path, target)


def test_a_dangling_symlink_is_a_missing_file_at_its_target(tmp_path: Path) -> None:
    """The file appears where the link points."""
    link = tmp_path / "link"
    link.symlink_to("target")
    staged = stage.stage(rendered(link, b"new"))
    assert staged is not None
    assert staged.differs == ("missing",)
    assert staged.live.path == str(tmp_path / "target")


def test_missing_folders_are_made_when_asked_for(tmp_path: Path) -> None:
    """make_dirs = true."""
    dest = tmp_path / "a/b/c.conf"
    assert stage.stage(rendered(dest, b"new", make_dirs=True)) is not None
    assert dest.parent.is_dir()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        pytest.param(lambda p: p / "no/a", "folder .*/no does not exist.*make_dirs", id="folder"),
        pytest.param(lambda p: p, "the destination is a folder", id="is-folder"),
        pytest.param(lambda p: p / ("n" * 300), "file name is too long", id="too-long"),
        pytest.param(lambda p: _linked(p, "loop", "loop"), "loop of symbolic links", id="loop"),
        pytest.param(
            lambda p: _fifo(p), "destination is a named pipe.*must be .* a file", id="fifo"
        ),
        pytest.param(lambda p: _linked(_fifo(p).parent, "l", "fifo"), "a named pipe", id="to-fifo"),
        pytest.param(lambda p: _socket(p), "the destination is a socket", id="socket"),
        pytest.param(lambda _: Path("/dev/null"), "the destination is a device", id="device"),
        pytest.param(lambda p: _linked(p, "l", "/dev/full"), "is a device", id="to-device"),
        pytest.param(lambda p: _file(p) / "a", "is not a folder", id="file-as-folder"),
    ],
)
def test_a_destination_that_cannot_be_one_is_named(tmp_path: Path, make: object, says: str) -> None:
    """Each says what is wrong, where, and that nothing changed; nothing is left."""
    dest = make(tmp_path)  # type: ignore[operator]
    with pytest.raises(StageError, match=says) as caught:
        stage.stage(rendered(dest, b"new"))
    assert caught.value.where == str(dest)
    assert "the live file is unchanged" in str(caught.value)
    assert strays_in(tmp_path) == []


def _linked(folder: Path, name: str, target: str) -> Path:
    (folder / name).symlink_to(target)
    return folder / name


def _fifo(folder: Path) -> Path:
    os.mkfifo(folder / "fifo")
    return folder / "fifo"


def _socket(folder: Path) -> Path:
    path = folder / "socket"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
    return path


@pytest.mark.parametrize(
    "dest", ["/dev/stdout", "/dev/fd/{fd}", "/proc/self/fd/{fd}", "/proc/{pid}/fd/{fd}", "{link}"]
)
@pytest.mark.parametrize("stdout", ["pipe", "file", "device", "unlinked"])
def test_an_open_file_of_a_process_is_no_destination(
    tmp_path: Path, dest: str, stdout: str
) -> None:
    """Whatever it is: a file that our output goes to would be replaced under it."""

    def work() -> None:
        match stdout:
            case "pipe":
                fd = os.pipe()[1]
            case "device":
                fd = os.open("/dev/null", os.O_WRONLY)
            case _:
                fd = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
        if stdout == "unlinked":
            os.unlink(tmp_path / "out")
        os.dup2(fd, 1)
        (tmp_path / "link").symlink_to("/proc/self/fd/1")
        path = dest.format(fd=fd, pid=os.getpid(), link=tmp_path / "link")
        with pytest.raises(StageError, match="is an open file of a process"):
            stage.stage(rendered(path, b"new", make_dirs=True))
        with pytest.raises(StageError, match="is an open file of a process"):
            stage.compare(rendered(path, b"new"))
        assert strays_in(tmp_path) == []

    assert in_child(work) == 0


def _file(folder: Path) -> Path:
    (folder / "file").write_bytes(b"")
    return folder / "file"


def test_a_name_of_255_bytes_can_be_staged(tmp_path: Path) -> None:
    """The staged name repeats only part of a long one, and is found as a stray all the same."""
    dest = tmp_path / ("ü" * 127)
    staged = stage.stage(rendered(dest, b"new"))
    assert staged is not None
    os.rename(staged.path, dest)
    assert dest.read_bytes() == b"new"


def test_one_mebibyte_is_staged_whole(tmp_path: Path) -> None:
    """As large as etcd's values get."""
    content = os.urandom(1 << 20)
    staged = stage.stage(rendered(tmp_path / "big", content))
    assert staged is not None
    assert Path(staged.path).read_bytes() == content


def test_no_include_pattern_finds_a_staged_file(tmp_path: Path) -> None:
    """Neither a suffix pattern nor `*` matches its name."""
    import glob

    stage.stage(rendered(tmp_path / "a.conf", b"new"))
    assert glob.glob(str(tmp_path / "*")) == []
    assert not strays_in(tmp_path)[0].endswith(".conf")


def test_discard_leaves_nothing_but_a_kept_file(tmp_path: Path) -> None:
    """--keep-stage-file keeps one file for each destination, whatever the number of refusals."""
    dest = tmp_path / "a.conf"
    for content in (b"one", b"two"):
        kept = stage.stage(rendered(dest, content), keep=True)
        assert kept is not None
        stage.discard(kept)
    staged = stage.stage(rendered(dest, b"three"))
    assert staged is not None
    stage.discard(staged)
    assert strays_in(tmp_path) == [".a.conf.kept.pyconfd~"]
    assert (tmp_path / ".a.conf.kept.pyconfd~").read_bytes() == b"two"
    assert list(files.strays([str(dest)])) == []


def test_what_dead_processes_left_is_found(tmp_path: Path) -> None:
    """What a killed run left is found; what this process works on is not."""
    dest = tmp_path / "a.conf"
    other = tmp_path / "b.conf"
    assert (
        in_child(lambda: (stage.stage(rendered(dest, b"x")), stage.stage(rendered(other, b"x"))))
        == 0
    )
    mine = stage.stage(rendered(dest, b"y"))
    assert mine is not None
    found = list(files.strays([str(dest)]))
    assert len(found) == 1
    assert found[0] != mine.path
    assert os.path.basename(found[0]).startswith(".a.conf.")
    assert os.path.exists(mine.path)
    assert len([name for name in strays_in(tmp_path) if name.startswith(".b.conf.")]) == 1
    assert list(files.strays([str(tmp_path / "no/such")])) == []


def test_strays_of_another_pid_namespace_are_left_until_they_are_old(tmp_path: Path) -> None:
    """Whether a process in another container lives cannot be seen; age decides."""
    stray = tmp_path / ".a.conf.1-77-1234-0.pyconfd~"
    stray.write_bytes(b"")
    dests = [str(tmp_path / "a.conf")]
    assert list(files.strays(dests)) == []
    os.utime(stray, (0, 0))
    assert list(files.strays(dests)) == [str(stray)]


def test_compare_writes_nothing(tmp_path: Path) -> None:
    """For --noop."""
    dest = tmp_path / "a.conf"
    dest.write_bytes(b"old")
    live, differs = stage.compare(rendered(dest, b"new"))
    assert differs == ("content",)
    assert live.path == str(dest)
    assert [each.name for each in tmp_path.iterdir()] == ["a.conf"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b"a\nb\n", b"a\nc\n", "--- D\n+++ D\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n"),
        (None, b"a\n", "--- /dev/null\n+++ D\n@@ -0,0 +1 @@\n+a\n"),
        (
            b"a",
            b"b\n",
            "--- D\n+++ D\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n",
        ),
        (b"\xff\n", b"a\n", "Binary files D and D differ (2 -> 2 bytes)\n"),
        (b"\0", b"a\n", "Binary files D and D differ (1 -> 2 bytes)\n"),
        (b"a\x0cb\r\nc\n", b"a\x0cb\r\nd\n", "--- D\n+++ D\n@@ -1,2 +1,2 @@\n a\x0cb\r\n-c\n+d\n"),
        (b"a\n", b"a\n", ""),
    ],
    ids=["changed", "new", "no-end", "not-utf8", "nul", "form-feed", "same"],
)
def test_diff_is_unified(tmp_path: Path, old: bytes | None, new: bytes, expected: str) -> None:
    """The text that `--noop --diff` prints."""
    dest = tmp_path / "a.conf"
    if old is not None:
        dest.write_bytes(old)
    made = rendered(dest, new)
    live, _ = stage.compare(made)
    assert stage.diff(made, live) == expected.replace("D", str(dest))


def test_diff_tells_mode_and_owner(tmp_path: Path) -> None:
    """A change of the mode alone is not an empty diff."""
    dest = tmp_path / "a.conf"
    dest.write_bytes(b"a\n")
    dest.chmod(0o644)
    made = rendered(dest, b"a\n", mode=0o600, uid=12345)
    live, _ = stage.compare(made)
    owner = f"{os.getuid()}:{live.gid}"
    assert stage.diff(made, live) == (
        f"{dest}\nold mode 0644\nnew mode 0600\nold owner {owner}\nnew owner 12345:{live.gid}\n"
    )
