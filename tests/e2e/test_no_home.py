"""A user without a home, as containers run under any number: what needs a state folder says so."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pyconfd import Confdir

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs another user id")

UID = 54321
#: As that user, who may read everything: the Python of this test may be in root's home.
AS_USER = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
AS_USER += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]


@pytest.fixture
def confdir() -> Iterator[Confdir]:
    """Of a user without passwd entry, in a folder that it can reach."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "keys.toml").write_text('[app]\na = "1"\n')
        made = Confdir(folder, "--backend", "file", "--file", str(folder / "keys.toml"))
        made.simple(reload_cmd='"true"')
        for path in (folder, made.out):
            os.chown(path, UID, UID)
        yield made


def run(confdir: Confdir, *options: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """As that user, with this environment alone, in the confdir."""
    argv = confdir.argv("--onetime", *options)
    at = argv.index("--state-dir")
    del argv[at : at + 2]
    return subprocess.run(
        [*AS_USER, *argv],
        cwd=confdir.folder,
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "environ", [{}, {"HOME": ""}, {"HOME": "~"}, {"HOME": "rel"}, {"XDG_STATE_HOME": "rel"}]
)
def test_without_a_home_the_option_is_named(confdir: Confdir, environ: dict[str, str]) -> None:
    """Nothing is made in the current folder, and nothing is written."""
    before = sorted(os.listdir(confdir.folder))
    done = run(confdir, **environ)
    assert done.returncode == 2
    assert "--state-dir" in done.stderr
    assert f"user {UID} has no home" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(os.listdir(confdir.folder)) == before
    assert list(confdir.out.iterdir()) == []


@pytest.mark.parametrize("option", ["--sync-only", "--noop"])
@pytest.mark.parametrize("environ", [{}, {"HOME": "/"}, {"HOME": "/nonexistent"}])
def test_what_keeps_nothing_needs_no_state_folder(
    confdir: Confdir, option: str, environ: dict[str, str]
) -> None:
    """Nor one that can be written."""
    before = sorted(os.listdir(confdir.folder))
    done = run(confdir, option, **environ)
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(confdir.folder)) == before
    written = [path.read_text() for path in confdir.out.iterdir()]
    assert written == (["/app/a=1\n"] if option == "--sync-only" else [])


def test_a_home_that_cannot_be_written_is_named(confdir: Confdir) -> None:
    """With the option that helps."""
    done = run(confdir, HOME="/")
    assert done.returncode == 1
    assert "the state folder cannot be used" in done.stderr
    assert "state_dir" in done.stderr
    assert run(confdir, "--state-dir", str(confdir.out / "state")).returncode == 0


def test_commands_that_ask_the_daemon_name_the_option_too(confdir: Confdir) -> None:
    """They have to find its state folder."""
    for command in (["status"], ["explain", "app"], ["release", "app"]):
        argv = [*confdir.argv()[:3], *command, "--confdir", str(confdir.folder)]
        done = subprocess.run(
            [*AS_USER, *argv],
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 2, (command, done)
        assert "--state-dir" in done.stderr
        assert "Traceback" not in done.stderr
