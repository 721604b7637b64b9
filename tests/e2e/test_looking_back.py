"""Looking back: what the files were, and would be, at earlier revisions of the store."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemons.etcd import PrivateEtcd
from tests.support.pyconfd import Confdir

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEtcd]:
    with PrivateEtcd(tmp_path_factory.mktemp("etcd")) as server:
        yield server


def run(confdir: Confdir, *words: str) -> subprocess.CompletedProcess[str]:
    """A command on this confdir."""
    base = confdir.argv()
    argv = [*base[:3], *words, *base[3:]]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_what_would_the_files_be_at_a_revision(etcd: PrivateEtcd, tmp_path: Path) -> None:
    """With keys that are gone since; a revision that was compacted, or is to come, is said so."""
    confdir = Confdir(tmp_path, "--node", etcd.endpoint)
    dest = confdir.simple("app", "/then")
    etcd.put("/then/a", "1")
    old = etcd.put("/then/b", "2")
    etcd.put("/then/a", "3")
    etcd.delete("/then/b")
    assert confdir.once().returncode == 0
    shown = run(confdir, "--noop", "--diff", "--revision", str(old))
    assert "-/then/a=3\n+/then/a=1\n+/then/b=2\n" in shown.stdout
    assert dest.read_text() == "/then/a=3\n"
    future = run(confdir, "--noop", "--revision", "100000")
    assert future.returncode == 1
    assert "revision 100000: is not there: the store has not come to it yet" in future.stderr
    etcd.compact(old + 1)
    gone = run(confdir, "--noop", "--revision", str(old))
    assert gone.returncode == 1
    assert f"revision {old}: was compacted: etcd no longer has it" in gone.stderr


def test_two_revisions_of_a_resource(etcd: PrivateEtcd, tmp_path: Path) -> None:
    """Of one file, and of all files of a pattern; without --to up to now."""
    confdir = Confdir(tmp_path, "--node", etcd.endpoint)
    confdir.simple("app", "/two/app")
    confdir.template("site.j2", "{{ name }} {{ getv('/two/sites/' ~ name) }}\n")
    confdir.resource("site", '[template]\nsrc = "site.j2"\ndest = "@OUT@/{name}.conf"\n'
                     'keys = ["/two/sites"]\neach = "/two/sites"\n')  # fmt: skip
    etcd.put("/two/app/a", "1")
    first = etcd.put("/two/sites/x", "1")
    second = etcd.put("/two/app/a", "2")
    etcd.put("/two/app/a", "3")
    etcd.delete("/two/sites/x")
    etcd.put("/two/sites/y", "1")
    between = run(confdir, "diff", "app", "--from", str(first), "--to", str(second))
    assert between.stdout.endswith("-/two/app/a=1\n+/two/app/a=2\n")
    now = run(confdir, "diff", "site", "--from", str(first))
    assert f"--- {confdir.out}/x.conf\n+++ /dev/null\n" in now.stdout
    assert f"--- /dev/null\n+++ {confdir.out}/y.conf\n" in now.stdout
    assert run(confdir, "diff", "app").returncode == 2
    assert "no resource is called web" in run(confdir, "diff", "web", "--from", "1").stderr


def test_history_names_what_made_each_version(etcd: PrivateEtcd, tmp_path: Path) -> None:
    """When, revision, keys, result; values are not in it, and a restart forgets nothing."""
    confdir = Confdir(tmp_path, "--node", etcd.endpoint)
    dest = confdir.simple("app", "/past", reload_cmd='"test ! -e @OUT@/refuse"')
    etcd.put("/past/a", "secret-1")
    with confdir.daemon() as daemon:
        daemon.wait_file(dest, "/past/a=secret-1\n")
        second = etcd.put("/past/a", "secret-2")
        daemon.wait_log("reloaded", count=2)
    with confdir.daemon() as daemon:
        daemon.wait_log("listed the store")
        daemon.wait(lambda: "ok: 1 resource" in daemon.log, "ready")
        (confdir.out / "refuse").touch()
        etcd.put("/past/b", "secret-3")
        daemon.wait_log("reload failed")
    shown = json.loads(run(confdir, "history", "app", "--json").stdout)
    assert [one["result"].partition(":")[0] for one in shown] == [
        "live, reloaded",
        "live, reloaded",
        "live, reload failed",
    ]
    assert [one["keys"] for one in shown] == [[], ["/past/a"], ["/past/b"]]
    head, *rows = run(confdir, "history", "app", "-o", "tsv").stdout.splitlines()
    assert [dict(zip(head.split("\t"), row.split("\t"), strict=True))["keys"] for row in rows] == [
        "",
        "/past/a",
        "/past/b",
    ]
    assert shown[1]["revision"] == second
    table = run(confdir, "history", str(dest)).stdout
    assert "/past/b" in table
    assert "secret" not in table + (confdir.folder / "state").as_posix()
    assert run(confdir, "history", "other").returncode == 1


def test_a_service_without_a_fleet_is_pinned_with_all_its_keys(
    etcd: PrivateEtcd, tmp_path: Path
) -> None:
    """By the name of the resource; other services go on."""
    confdir = Confdir(tmp_path, "--node", etcd.endpoint)
    dest = confdir.simple("app", "/pin/app", reload_cmd='"true"')
    other = confdir.simple("other", "/pin/other")
    etcd.put("/pin/other/a", "1")
    old = etcd.put("/pin/app/a", "1")
    etcd.put("/pin/app/a", "2")
    with confdir.daemon() as daemon:
        daemon.wait_file(dest, "/pin/app/a=2\n")
        pinned = run(confdir, "pin", "app", "--revision", str(old))
        assert pinned.stdout == f"pinned at revision {old}: true\n", pinned.stderr
        daemon.wait_file(dest, "/pin/app/a=1\n")
        assert f"pinned at revision {old}" in run(confdir, "status").stdout
        etcd.put("/pin/app/a", "3")
        etcd.put("/pin/other/a", "2")
        daemon.wait_file(other, "/pin/other/a=2\n")
        assert dest.read_text() == "/pin/app/a=1\n"
    assert confdir.once().returncode == 0
    assert dest.read_text() == "/pin/app/a=1\n"
    with confdir.daemon() as daemon:
        daemon.wait_log(f"pinned at revision {old}")
        assert run(confdir, "unpin", "app").returncode == 0
        daemon.wait_file(dest, "/pin/app/a=3\n")
        assert "is not pinned" in run(confdir, "unpin", "app").stderr
        late = run(confdir, "pin", "app", "--revision", "100000")
        assert (late.returncode, "is not there" in late.stderr) == (1, True)
