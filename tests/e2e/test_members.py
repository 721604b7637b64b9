"""`pyconfd members` on a real etcd: listing and steering."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.daemons.etcd import PrivateEtcd

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEtcd]:
    with PrivateEtcd(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture(autouse=True)
def site(etcd: PrivateEtcd) -> None:
    """Two members of one site, one with a lease, and one member of another."""
    etcd.delete("/nginx", prefix=True)
    etcd.put("/nginx/www/server_name", "www.example.com")
    etcd.put("/nginx/www/upstream/a", "10.0.0.1:80", lease=etcd.grant(600))
    etcd.put("/nginx/www/upstream/b", '{"addr":"10.0.0.2:80","weight":3,"started":"2026-11-21Z"}')
    etcd.put("/nginx/api/upstream/c", "10.0.0.3:80")


def members(etcd: PrivateEtcd, *words: str, status: int = 0) -> str:
    """Run it; what it printed on both streams."""
    done = subprocess.run(
        [sys.executable, "-m", "pyconfd", "members", *words, "--node", etcd.endpoint],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def override(etcd: PrivateEtcd, member: str) -> str | None:
    value = etcd.get(f"/nginx/www/override/{member}")
    return None if value is None else value.decode()


def test_a_table_of_all_or_of_one_service(etcd: PrivateEtcd) -> None:
    """Address, weight, state, what is left of the lease, since."""
    lines = members(etcd).splitlines()
    assert lines[0].split() == ["SERVICE", "ID", "ADDRESS", "WEIGHT", "STATE", "LEASE", "SINCE"]
    assert [line.split()[1] for line in lines[1:]] == ["c", "a", "b"]
    assert lines[3].split() == ["www", "b", "10.0.0.2:80", "3", "up", "none", "2026-11-21Z"]
    one = members(etcd, "www").splitlines()
    assert len(one) == 3
    assert 540 < int(one[1].split()[5].removesuffix("s")) <= 600


def test_as_json(etcd: PrivateEtcd) -> None:
    """For programs."""
    found = json.loads(members(etcd, "api", "--json"))
    assert [(each["id"], each["state"], each["lease_ttl_s"]) for each in found] == [
        ("c", "up", None)
    ]
    assert yaml.safe_load(members(etcd, "api", "-o", "yaml")) == found
    assert members(etcd, "api", "-o", "tsv") == (
        "service\tid\taddress\tweight\tstate\tlease_ttl_s\tsince\torder.verb\torder.by\torder.host"
        f"\torder.at\napi\tc\t{found[0]['address']}\t{found[0]['weight'] or ''}\tup\t\t\t\t\t\t\n"
    )


def test_steering_is_kept_beside_the_member_and_ended_by_up(etcd: PrivateEtcd) -> None:
    """The member's own key is not touched."""
    own = etcd.get("/nginx/www/upstream/a")
    assert "drain" in members(etcd, "drain", "www", "a")
    assert override(etcd, "a") == '{"state":"drain"}'
    members(etcd, "weight", "www", "a", "7")
    assert override(etcd, "a") == '{"state":"drain","weight":7}'
    assert members(etcd, "www").splitlines()[1].split()[3:5] == ["7*", "drain"]
    members(etcd, "down", "www", "a")
    assert override(etcd, "a") == '{"state":"down","weight":7}'
    members(etcd, "up", "www", "a")
    assert override(etcd, "a") is None
    assert etcd.get("/nginx/www/upstream/a") == own


def test_a_member_that_is_not_there(etcd: PrivateEtcd) -> None:
    """A slip of the pen is caught; --force steers ahead of time, and it is listed as absent."""
    assert "there are a, b" in members(etcd, "drain", "www", "zzz", status=1)
    members(etcd, "down", "www", "zzz", "--force")
    assert "absent" in members(etcd, "www")
    members(etcd, "up", "www", "zzz")
    assert "absent" not in members(etcd, "www")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["drain", "www"], "is not complete"),
        (["weight", "www", "a", "x"], "is not a number"),
        (["drian", "www", "a"], "did you mean drain?"),
        (["--key-pattern", "/x"], "key pattern"),
    ],
)
def test_wrong_usage(etcd: PrivateEtcd, words: list[str], said: str) -> None:
    """Exit status 2, nothing done."""
    assert said in members(etcd, *words, status=2)


def test_a_store_that_does_not_answer(tmp_path: Path) -> None:
    """Exit status 1, with the address."""
    etcd = PrivateEtcd(tmp_path)
    assert etcd.endpoint in members(etcd, "--timeout", "1", status=1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nosuch"], "nosuch: no member is registered (there are api, www)"),
        (["wwww"], "wwww: no member is registered (did you mean www?)"),
        (["nosuch", "--json"], "nosuch: no member is registered (there are api, www)"),
    ],
)
def test_a_service_without_members_is_said(etcd: PrivateEtcd, words: list[str], said: str) -> None:
    """Exit status 1, not an empty table."""
    assert said in members(etcd, *words, status=1)
