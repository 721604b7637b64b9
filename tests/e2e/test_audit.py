"""The audit trail: which keys made a difference, who gave an order; in the log and in explain."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemons.etcd import PrivateEtcd
from tests.support.pyconfd import Confdir

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEtcd]:
    with PrivateEtcd(tmp_path_factory.mktemp("etcd")) as server:
        yield server


def run(confdir: Confdir, *words: str) -> str:
    """A command beside the daemon; what it printed."""
    base = confdir.argv()
    done = subprocess.run(
        [*base[:3], *words, *base[3:]], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def explained(confdir: Confdir) -> dict[str, Any]:
    one: dict[str, Any] = json.loads(run(confdir, "explain", "app", "--json"))["explained"][0]
    return one


def line_of(log: str, text: str) -> str:
    """The newest line of a log with these words."""
    return [line for line in log.splitlines() if text in line][-1]


def test_a_swap_and_a_refusal_name_their_keys_and_revision(
    etcd: PrivateEtcd, tmp_path: Path
) -> None:
    """Names alone; a refused version names what differs from the live one."""
    confdir = Confdir(tmp_path, "--node", etcd.endpoint)
    dest = confdir.simple("app", "/audit", check_cmd='"! grep -q bad {{ src }}"')
    etcd.put("/audit/a", "first-value")
    etcd.put("/audit/b", "first-value")
    with confdir.daemon() as daemon:
        daemon.wait_file(dest, "/audit/a=first-value\n/audit/b=first-value\n")
        live = etcd.put("/audit/a", "second-value")
        daemon.wait_log("updated", count=2)
        updated = line_of(daemon.log, "updated")
        assert f"revision={live} keys=/audit/a" in updated
        etcd.put("/audit/b", "bad-value-1")
        daemon.wait_log("the check refused")
        newest = etcd.put("/audit/c", "bad-value-2")
        daemon.wait_log("the check refused", count=2)
        refused = line_of(daemon.log, "the check refused")
        assert f'revision={newest} keys="/audit/b, /audit/c"' in refused
        one = explained(confdir)
        assert one["live"]["revision"] == live
        assert one["live"]["keys"] == ["/audit/a"]
        assert one["trouble"]["revision"] == newest
        assert one["trouble"]["keys"] == ["/audit/b", "/audit/c"]
        page = run(confdir, "explain", "app")
        assert "changed by /audit/a\n" in page
        assert "changed by /audit/b, /audit/c\n" in page
        assert "-value" not in daemon.log + page


def test_a_held_change_and_its_release_name_keys_and_user(
    etcd: PrivateEtcd, tmp_path: Path
) -> None:
    """Who released it is in the log and in explain."""
    confdir = Confdir(tmp_path, "--node", etcd.endpoint)
    dest = confdir.simple("app", "/emptied")
    etcd.put("/emptied/a", "1")
    with confdir.daemon() as daemon:
        daemon.wait_file(dest, "/emptied/a=1\n")
        gone = etcd.delete("/emptied/a")
        daemon.wait_log("held: ")
        held = line_of(daemon.log, "held: app")
        assert "keys=/emptied/a" in held
        assert "revision=" in held
        assert explained(confdir)["trouble"]["keys"] == ["/emptied/a"]
        run(confdir, "release", "app")
        daemon.wait_file(dest, "")
        released = line_of(daemon.log, "released")
        assert "resource=app" in released
        assert "by=" in released
        assert "keys=/emptied/a" in released
        daemon.wait(lambda: explained(confdir)["live"]["keys"] == ["/emptied/a"], "live")
        one = explained(confdir)
        assert one["released"]["keys"] == ["/emptied/a"]
        assert one["released"]["by"]
        assert "released by " in run(confdir, "explain", "app")
    assert gone


def test_a_template_fault_names_keys_and_revision(etcd: PrivateEtcd, tmp_path: Path) -> None:
    """What made the render fail is among the keys that have changed since."""
    confdir = Confdir(tmp_path, "--node", etcd.endpoint)
    confdir.template("app.j2", "{{ 100 // getv('/fault/n') | int }}\n")
    confdir.resource("app", '[template]\nsrc = "app.j2"\ndest = "@OUT@/app"\nkeys = ["/fault"]\n')
    etcd.put("/fault/n", "5")
    with confdir.daemon() as daemon:
        daemon.wait_file(confdir.out / "app", "20\n")
        revision = etcd.put("/fault/n", "0")
        daemon.wait_log("render failed")
        assert f"revision={revision} keys=/fault/n" in line_of(daemon.log, "render failed")
        assert explained(confdir)["trouble"]["keys"] == ["/fault/n"]


def test_many_keys_are_counted(etcd: PrivateEtcd, tmp_path: Path) -> None:
    """A line names the first ones."""
    confdir = Confdir(tmp_path, "--node", etcd.endpoint)
    dest = confdir.simple("app", "/many", hold_min='"300ms"')
    etcd.put("/many/k00", "1")
    with confdir.daemon() as daemon:
        daemon.wait_file(dest, "/many/k00=1\n")
        for number in range(1, 31):
            etcd.put(f"/many/k{number:02}", "1")
        daemon.wait(lambda: dest.read_text().count("\n") == 31, "all of them")
        daemon.wait_log("updated", count=2)
        assert "/many/k05 and 25 more" in daemon.log


def test_what_changed_while_pyconfd_was_away_is_named(etcd: PrivateEtcd, tmp_path: Path) -> None:
    """By the revision of the version before, in a one-shot run and after a restart."""
    confdir = Confdir(tmp_path, "--node", etcd.endpoint)
    dest = confdir.simple("app", "/away")
    etcd.put("/away/a", "1")
    etcd.put("/away/b", "1")
    assert confdir.once().returncode == 0
    etcd.put("/away/b", "2")
    once = confdir.once()
    assert "keys=/away/b" in once.stderr
    etcd.put("/away/a", "2")
    with confdir.daemon() as daemon:
        daemon.wait_file(dest, "/away/a=2\n/away/b=2\n")
        daemon.wait_log("updated")
        assert "keys=/away/a" in line_of(daemon.log, "updated")
    shown = json.loads(run(confdir, "history", "app", "--json"))
    assert [one["keys"] for one in shown] == [[], ["/away/b"], ["/away/a"]]


def test_who_steered_a_member_is_kept_and_shown(etcd: PrivateEtcd, tmp_path: Path) -> None:
    """By `members`, also as JSON, and by `explain`; after `up` too. Templates go on as before."""
    confdir = Confdir(tmp_path, "--node", etcd.endpoint)
    shipped = Path(__file__).parents[2] / "pyconfd/recipes/nginx-sites/templates"
    for template in ("site.conf.j2", "site-values.j2"):
        confdir.template(template, (shipped / template).read_text())
    confdir.resource(
        "app",
        '[template]\nsrc = "site.conf.j2"\ndest = "@OUT@/{name}.conf"\neach = "/nginx"\n'
        'keys = ["/nginx"]\nformat = "nginx"\n'
        "[vars]\nroot_folders = []\ncertificate_folders = []\nsocket_folders = []\n",
    )
    etcd.put("/nginx/www/server_name", "www.example.com")
    etcd.put("/nginx/www/upstream/a", "10.0.0.1:80")
    etcd.put("/nginx/www/upstream/b", "10.0.0.2:80")
    site = confdir.out / "www.conf"

    def members(*words: str) -> str:
        argv = [*confdir.argv()[:3], "members", *words, "--node", etcd.endpoint]
        environ = {**os.environ, "SUDO_USER": "alice"}
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=60, check=False, env=environ
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    with confdir.daemon() as daemon:
        daemon.wait(site.exists, "the site")
        members("drain", "www", "a")
        daemon.wait(lambda: " down" in site.read_text(), "drained")
        assert f"drain by alice@{os.uname().nodename} 20" in members("www")
        listed = {one["id"]: one["order"] for one in json.loads(members("www", "--json"))}
        assert listed["b"] is None
        assert listed["a"]["by"] == "alice"
        assert listed["a"]["host"] == os.uname().nodename
        page = run(confdir, "explain", str(site))
        assert f"/nginx/www/override/a  drain by alice@{os.uname().nodename} 20" in page
        assert "keys=/nginx/www/override/a" in line_of(daemon.log, "updated").replace('"', "")
        assert etcd.get("/nginx/www/override/a") == b'{"state":"drain"}'
        members("up", "www", "a")
        daemon.wait_log("updated", count=3)
        assert json.loads(members("www", "--json"))[0]["order"]["verb"] == "up"
        assert "override/a  up by alice@" in run(confdir, "explain", str(site))
        assert "render failed" not in daemon.log


def test_what_a_command_prints_names_keys_in_place_of_values(
    etcd: PrivateEtcd, tmp_path: Path
) -> None:
    """
    Without quotes too: of a check that refuses, one without a verdict, and a reload. Of those that
    succeed at level debug, else nothing.
    """
    confdir = Confdir(tmp_path, "--node", etcd.endpoint)
    dest = confdir.simple(
        "app",
        "/printed",
        check_cmd="""'echo check $(cut -d= -f2 {{ src }}); ! grep -q refused {{ src }}'""",
        reload_cmd="""'echo reload $(cut -d= -f2 {{ src }}); ! grep -q unloved {{ src }}'""",
    )
    etcd.put("/printed/a", "accepted-secret")
    with confdir.daemon() as daemon:
        daemon.wait_log("reloaded")
        page = run(confdir, "explain", "app") + run(confdir, "status", "--json")
        assert "accepted" not in page
        assert run(confdir, "log-level", "debug")
        etcd.put("/printed/a", "welcome-secret")
        daemon.wait_log("check (the value of /printed/a)")
        daemon.wait_log("reload (the value of /printed/a)")
        run(confdir, "log-level", "info")
        etcd.put("/printed/a", "refused-secret")
        daemon.wait_log("the check refused")
        daemon.wait_log("check (the value of /printed/a)", count=2)
        etcd.put("/printed/a", "unloved-secret")
        daemon.wait_log("reload failed")
        daemon.wait_log("reload (the value of /printed/a)", count=2)
        page += run(confdir, "explain", "app") + run(confdir, "status", "--json")
        assert dest.read_text() == "/printed/a=unloved-secret\n"
        assert "-secret" not in daemon.log + page
