"""docs/troubleshooting.md: each symptom is one that occurs, in these words."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemons.etcd import free_ports
from tests.support.daemons.nginx_trees import nginx_binary
from tests.support.edge import NGINX
from tests.support.http import ask
from tests.support.messages import Golden
from tests.support.repository import ROOT
from tests.support.waiting import wait_until

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
ROWS = [
    row.split(" | ")[0].removeprefix("| ")
    for row in PAGE.splitlines()
    if row.startswith("| ") and not row.startswith("| You see")
]
#: Symptoms that are not in the golden lists, and the test that shows each.
PROVED = {
    "`permission denied (ask as the user that pyconfd runs as, or as root)`": (
        "tests/daemon/test_control_socket.py",
        "test_another_user_is_refused_by_the_word_permission",
    ),
    "`only keys without the slash in front`": (
        "tests/backends/etcd/test_slashless.py",
        "test_asking_for_them_is_a_fault_that_says_so",
    ),
    "`not reloaded, it reads the new files when it starts`": (
        "tests/e2e/test_exec.py",
        "test_the_documented_entrypoint",
    ),
    "`workers without a master still serve with the old files`": (
        "tests/pipeline/confirm/test_confirm.py",
        "test_workers_without_a_master_are_named",
    ),
    "`the previous one stays in use`": (
        "tests/daemon/test_configuration.py",
        "test_a_broken_template_keeps_the_running_set",
    ),
    "an edited template has no effect": (
        "tests/pipeline/render/test_renderer.py",
        "test_templates_stay_as_they_were_read",
    ),
    "a file that was edited by hand is as before": (
        "tests/e2e/test_watch.py",
        "test_a_destination_changed_or_removed_by_hand_is_repaired",
    ),
    "`not registered: tcp:` ... `Connection refused`": (
        "tests/e2e/test_register.py",
        "test_an_address_where_nobody_listens",
    ),
    "`no member is registered`": (
        "tests/e2e/test_members.py",
        "test_a_service_without_members_is_said",
    ),
    "503 from a shipped site": ("tests/e2e/test_troubleshooting.py", "test_what_curl_shows"),
    "502": ("tests/e2e/test_troubleshooting.py", "test_what_curl_shows"),
    "500 or 502, and `worker_connections are not enough` in nginx's error log": (
        "tests/e2e/test_troubleshooting.py",
        "test_what_curl_shows",
    ),
    "the page of another site": ("tests/e2e/test_troubleshooting.py", "test_what_curl_shows"),
}


@pytest.mark.parametrize("symptom", ROWS)
def test_the_symptom_occurs(symptom: str) -> None:
    """In these words: in a golden list, or shown by the test that is named here."""
    if symptom in PROVED:
        path, name = PROVED[symptom]
        assert f"def {name}(" in (ROOT / path).read_text()
        return
    (words,) = re.findall(r"`(.*)`", symptom)
    text = "\n".join("\n".join(Golden(name).expected().values()) for name in ("mistakes", "etcd"))
    assert words in text


def test_no_proof_is_left_over() -> None:
    """And the page is not empty."""
    assert set(PROVED) <= set(ROWS)
    assert len(ROWS) >= 30


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """An nginx with the shipped sites; gives its folder and the port of the sites."""
    site, dead = free_ports(2)
    keys = {
        "empty.example": {"server_name": "empty.example", "listen": str(site)},
        "dead.example": {"listen": str(site), "upstream": {"a": f"127.0.0.1:{dead}"}},
        "loop.example": {"listen": str(site), "upstream": {"a": f"127.0.0.1:{site}"}},
    }
    (tmp_path / "keys.json").write_text(json.dumps({"nginx": keys}))
    shutil.copytree(ROOT / "templates", tmp_path / "etc" / "templates")
    (tmp_path / "etc" / "conf.d").mkdir()
    (tmp_path / "etc/conf.d/sites.toml").write_text(
        f'[template]\nsrc = "nginx-sites.conf.j2"\ndest = "{tmp_path}/sites.conf"\n'
        'keys = ["/nginx"]\nformat = "nginx"\n'
    )
    words = ["--onetime", "--backend", "file", "--file", str(tmp_path / "keys.json")]
    folders = ["--confdir", str(tmp_path / "etc"), "--state-dir", str(tmp_path / "state")]
    subprocess.run([sys.executable, "-m", "pyconfd", *words, *folders], check=True)
    config = NGINX.format(folder=tmp_path, sites=tmp_path / "sites.conf")
    (tmp_path / "nginx.conf").write_text(config.replace("connections 512", "connections 64"))
    process = subprocess.Popen([nginx_binary(), "-c", str(tmp_path / "nginx.conf")])
    try:
        wait_until(lambda: ask(site, headers={"Host": "empty.example"}).status == 503)
        yield tmp_path, site
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)


@pytest.mark.integration
def test_what_curl_shows(nginx: tuple[Path, int]) -> None:
    """503 without members, 502 without one that answers; a circle; the first site for others."""
    folder, port = nginx

    def status(host: str) -> int:
        return ask(port, headers={"Host": host}).status

    assert status("empty.example") == 503
    assert status("dead.example") == 502
    assert status("loop.example") in (500, 502)
    assert "worker_connections are not enough" in (folder / "error.log").read_text()
    assert status("nosuch.example") == status("dead.example")  # the first by name
