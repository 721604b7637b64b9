"""Files and folders that other users of the machine may write in or read."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyconfd.system import files
from tests.support.pyconfd import Confdir
from tests.support.repository import ROOT

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs files of other users")
NOBODY = 65534


@pytest.fixture(params=[0, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize("mode", [0o1777, 0o777, 0o757, 0o1755])
def test_a_destination_that_is_a_link_where_others_may_write_is_refused(
    tmp_path: Path, mode: int
) -> None:
    """Whoever made the link: others may have moved it there."""
    folder = tmp_path / "spool"
    folder.mkdir()
    (folder / "dest").symlink_to(tmp_path / "elsewhere")
    assert files.follow(str(folder / "dest")) == str(tmp_path / "elsewhere")
    folder.chmod(mode)
    with pytest.raises(PermissionError, match="a link in a folder that others may write in"):
        files.live(str(folder / "dest"))
    (folder / "dest").unlink()
    (folder / "dest").write_text("x")
    assert files.live(str(folder / "dest")).digest, "what is no link is replaced as ever"


@as_root
def test_a_link_of_a_group_that_may_write_in_the_folder_is_refused(tmp_path: Path) -> None:
    """One of root in the same folder is not."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o2775)
    for name, owner in (("ours", 0), ("theirs", NOBODY)):
        (folder / name).symlink_to("/etc/x")
        os.lchown(folder / name, owner, NOBODY)
    assert files.follow(str(folder / "ours")) == "/etc/x"
    with pytest.raises(PermissionError):
        files.follow(str(folder / "theirs"))
    os.chown(folder, NOBODY, NOBODY)
    with pytest.raises(PermissionError, match=f"a folder of user {NOBODY}"):
        files.follow(str(folder / "ours"))


def test_a_one_shot_run_writes_through_no_such_link(tmp_path: Path) -> None:
    """The resource fails, and says which link."""
    target = tmp_path / "target"
    target.write_text("kept")
    spool = tmp_path / "spool"
    spool.mkdir()
    spool.chmod(0o1777)
    (spool / "dest").symlink_to(target)
    confdir = Confdir(tmp_path / "confdir", "--backend", "env")
    confdir.template("t", "new")
    confdir.resource("r", f'[template]\nsrc = "t"\ndest = "{spool}/dest"\nkeys = []\n')
    done = confdir.once()
    assert done.returncode == 1
    assert "a link in a folder that others may write in" in done.stderr
    assert target.read_text() == "kept"


def test_folders_have_their_mode_whatever_the_umask_is(tmp_path: Path, umask: int) -> None:
    """Those above as well."""
    files.make_folders(str(tmp_path / "a" / "b" / "c"), 0o755)
    made = [tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c"]
    assert [each.stat().st_mode & 0o777 for each in made] == [0o755] * 3, f"umask {umask:03o}"


def test_make_dirs_has_its_mode_whatever_the_umask_is(tmp_path: Path, umask: int) -> None:
    """And the file its own."""
    confdir = Confdir(tmp_path / "confdir", "--backend", "env")
    confdir.template("t", "new")
    confdir.resource(
        "r", '[template]\nsrc = "t"\ndest = "@OUT@/a/b/dest"\nkeys = []\nmake_dirs = true\n'
    )
    done = confdir.once()
    assert done.returncode == 0, (done.stderr, umask)
    made = (confdir.out / "a", confdir.out / "a" / "b", confdir.out / "a" / "b" / "dest")
    assert [each.stat().st_mode & 0o777 for each in made] == [0o755, 0o755, 0o644]


@pytest.mark.parametrize(
    ("what", "mode", "says"),
    [
        ("password", 0o644, "other users may read it"),
        ("password", 0o622, "other users may write to it"),
        ("password", 0o600, ""),
        ("templates", 0o777, "other users may write in it"),
        ("conf.d", 0o775, "other users may write in it"),
        ("conf.d", 0o755, ""),
    ],
)
def test_what_others_may_change_or_read_draws_a_warning(
    tmp_path: Path, what: str, mode: int, says: str
) -> None:
    """With the path and what to type."""
    secret = tmp_path / "password"
    secret.write_text("x")
    secret.chmod(0o600)
    words = ("--backend", "env", "--username", "u", "--password-file", str(secret))
    confdir = Confdir(tmp_path / "confdir", *words)
    confdir.template("t", "new")
    confdir.resource("r", '[template]\nsrc = "t"\ndest = "@OUT@/dest"\nkeys = []\n')
    path = secret if what == "password" else confdir.folder / what
    path.chmod(mode)
    done = confdir.once()
    assert done.returncode == 0
    assert (f"{says} (chown root, or chmod go-w" in done.stderr) == bool(says), done.stderr
    assert (f"path={path}" in done.stderr) == bool(says)


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        (0o777, "other users may write in this folder above"),
        (0o775, "other users may write in this folder above"),
        (0o1777, ""),
        (0o755, ""),
    ],
)
@as_root
def test_a_folder_above_counts_when_others_could_replace_what_is_in_it(
    tmp_path: Path, mode: int, says: str
) -> None:
    """Also one that a link on the way leads through, and for what is not there yet."""
    above = tmp_path / "above"
    secret = above / "folder" / "secret"
    secret.parent.mkdir(parents=True)
    secret.parent.chmod(0o700)
    secret.touch(0o600)
    (tmp_path / "link").symlink_to(secret.parent)
    above.chmod(mode)
    for path in (secret, tmp_path / "link" / "secret", secret.parent, above / "later"):
        found = files.exposed(str(path), secret=True)
        assert (found.path if found else "") == (str(above) if says else "")
        assert (found.why if found else "").startswith(says)
    os.chown(above, NOBODY, 0)
    found = files.exposed(str(secret))
    assert found and found.why.startswith(f"user {NOBODY} owns this folder above")


@as_root
@pytest.mark.parametrize(("group", "says"), [(NOBODY, False), (1, True)])
def test_the_group_of_a_user_is_the_user(group: int, says: bool) -> None:
    """Where each user has a group, the folders of a home are open to it; for root none is."""
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, NOBODY, NOBODY)
        os.chmod(name, 0o775)
        before = os.getegid()
        os.setegid(group)
        os.seteuid(NOBODY)
        try:
            found = files.exposed(f"{name}/secret")
        finally:
            os.seteuid(0)
            os.setegid(before)
    assert (found is not None and found.path == name) == says


def test_a_state_folder_below_one_of_others_draws_one_warning(tmp_path: Path) -> None:
    """And so does a confdir beside it, with the path to mend."""
    above = tmp_path / "above"
    above.mkdir()
    confdir = Confdir(above / "confdir", "--backend", "env", "--state-dir", f"{above}/state")
    confdir.template("t", "new")
    confdir.resource("r", '[template]\nsrc = "t"\ndest = "@OUT@/dest"\nkeys = []\n')
    above.chmod(0o777)
    done = confdir.once()
    assert done.returncode == 0
    assert done.stderr.count("other users may write in this folder above") == 1, done.stderr
    assert f"(chown root, or chmod go-w) path={above}\n" in done.stderr


def test_the_state_of_haproxy_is_written_through_no_link(tmp_path: Path) -> None:
    """The group of haproxy may write in its folder, and root runs the script."""
    script = ROOT / "pyconfd/recipes/haproxy/scripts/haproxy-reload"
    source = script.read_text().rpartition("\nmain()")[0]
    target = tmp_path / "target"
    target.write_text("kept")
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("server-state", "server-state.new"):
        (folder / name).symlink_to(target)
    call = f"\nwrite({str(folder / 'server-state')!r}, 'new')\n"
    subprocess.run([sys.executable, "-c", source + call], check=True, timeout=60)
    assert target.read_text() == "kept"
    assert (folder / "server-state").read_text() == "new"
    assert not (folder / "server-state").is_symlink()
    assert (folder / "server-state").stat().st_mode & 0o777 == 0o644
