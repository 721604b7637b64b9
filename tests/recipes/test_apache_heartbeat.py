"""The recipe apache-balancer with lbmethod heartbeat: checked always, run where namespaces are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs.drive_heartbeat import GROUP, MODULES
from tests.support.daemons.apache import INCLUDES, PrivateApache
from tests.support.daemons.etcd import free_ports
from tests.support.recipes import laid_out

pytestmark = pytest.mark.integration


def test_a_heartbeat_balancer_passes_apaches_check(tmp_path: Path) -> None:
    """Two of them listen on one address, which Apache takes once."""
    front = PrivateApache(tmp_path / "front", INCLUDES, modules=[*MODULES, "lbmethod_heartbeat"])
    confdir = laid_out("apache-balancer", tmp_path, front.words(free_ports(1)[0]))
    settings = {"lbmethod": "heartbeat", "heartbeat": GROUP, "listen": front.address}
    keys = {}
    for name in ("one", "two"):
        keys[f"/balancer/{name}/settings"] = json.dumps(settings)
        keys[f"/balancer/{name}/members/a"] = "127.0.0.1:8001"
    (tmp_path / "keys.json").write_text(json.dumps(keys))
    with front.running():
        done = confdir.once("--backend", "file", "--file", str(tmp_path / "keys.json"))
    assert done.returncode == 0, done.stderr
    assert front.test() == ""
    sites = (front.folder / "sites-enabled").glob("*.conf")
    assert sum("lbmethod=heartbeat" in site.read_text() for site in sites) == 2


def test_members_that_are_heard_share_the_requests(tmp_path: Path) -> None:
    """503 until the first beats are heard, then both, then the one that is left."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces with Apache's own user need root")
    done = subprocess.run(
        [sys.executable, "-m", "tests.programs.drive_heartbeat", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    if "refused" in said:
        pytest.skip(said["refused"])
    assert said["at_once"] == {"503": 1}
    assert set(said["both"]) == {"node1", "node2"}
    assert min(said["both"].values()) >= 4
