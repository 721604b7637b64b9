"""
Recipes at their real paths, on a file system that is read-only but for what the shipped unit and
the recipe's own drop-in let it write: the mounts of ProtectSystem=strict, without systemd.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.daemons.keepalived import why_not
from tests.support.recipes import laid_out
from tests.support.repository import ROOT

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "mounts can be had"),
]

#: Copies of what may be written are mounted over it: nothing of the machine's own is touched.
ENTER = """
set -e
mount --make-rprivate /
number=0
for path in $WRITES; do
    there=${path#-}
    [ -e "$there" ] || [ "$there" = "$path" ] || continue
    number=$((number + 1))
    mkdir "$ROOM/$number"
    cp -a "$there/." "$ROOM/$number"
    mount --bind "$ROOM/$number" "$there"
done
mount --bind "$ROOM" "$ROOM"
mount -o remount,bind,ro /
exec "$@"
"""


def run_inside(name: str, folder: Path, *, drop_in: bool) -> subprocess.CompletedProcess[str]:
    """A run that writes, checks and reloads nothing."""
    confdir = laid_out(name, folder)
    unit = (ROOT / "packaging" / "pyconfd.service").read_text()
    if drop_in:
        unit += (confdir.folder / "systemd" / f"{name}.conf").read_text()
    writes = " ".join(re.findall(r"^ReadWritePaths=(.*)$", unit, re.MULTILINE))
    words = ["--onetime", "--sync-only", "--backend", "file"]
    words += ["--file", str(confdir.folder / "keys.json"), "--command-env", "APACHE_CHECK_PORTS"]
    room = folder / "room"
    room.mkdir()
    environ = {"WRITES": writes, "ROOM": str(folder), "APACHE_CHECK_PORTS": "no"}
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", ENTER, "sh", *confdir.argv(*words)],
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, **environ, "TMPDIR": str(room), "PYTHONPATH": str(ROOT)},
        check=False,
    )


@pytest.mark.parametrize("name", ["haproxy", "apache-vhost", "csync2", "nginx-sites"])
def test_a_recipe_runs_with_its_drop_in(name: str, tmp_path: Path) -> None:
    """Its files, their checks, and whatever those write."""
    done = run_inside(name, tmp_path, drop_in=True)
    assert done.returncode == 0, done.stderr
    assert "failed=0" in done.stderr
    assert "updated " in done.stderr


def test_canary_without_its_drop_in_it_does_not(tmp_path: Path) -> None:
    """The mounts are what decides."""
    done = run_inside("haproxy", tmp_path, drop_in=False)
    assert done.returncode == 1
    assert "the file system of /etc/haproxy is read-only" in done.stderr
