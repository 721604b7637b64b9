"""Members found by SRV records: a real name server, real members, the command as it is run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pyconfd.backends.etcd.endpoints import Endpoint, EndpointRing

SHUFFLES = 60


def test_priorities_hold_and_equals_are_shuffled() -> None:
    """Whoever starts uses one of the first, not always the same; the others come after them."""
    given = [Endpoint("c:1", tls=False, priority=9)]
    given += [Endpoint(f"{name}:1", tls=False, priority=2) for name in "ab"]
    orders = {tuple(str(each) for each in EndpointRing(given)) for _ in range(SHUFFLES)}
    assert orders == {("a:1", "b:1", "c:1"), ("b:1", "a:1", "c:1")}


def test_a_member_is_the_same_whatever_its_priority() -> None:
    """What the cluster tells of itself adds no second entry for who is known from DNS."""
    ring = EndpointRing([Endpoint("a:1", tls=False, priority=5)])
    ring.learn([Endpoint("a:1", tls=False), Endpoint("b:1", tls=False)])
    assert [str(each) for each in ring] == ["a:1", "b:1"]


@pytest.mark.integration
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_members_come_from_dns_by_priority(scheme: str, tmp_path: Path) -> None:
    """
    Found by name, left by priority when they die, and looked up again when nobody answers.

    In namespaces of its own (tests/programs/drive_srv.py): port 53 and resolv.conf are the test's.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.programs.drive_srv", str(tmp_path), scheme],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout)
    if "refused" in seen:
        pytest.skip(seen["refused"])
    status, words = seen["unknown"]
    assert status == 1
    assert "no etcd nodes in DNS for the domain example.test" in words
    assert seen["late"][0] == 0, "waited for, as for a store that does not answer"
    # The best one first. Who comes after a death hangs on who answers: while a leader is being
    # found, the next one may not, and the first is soon back.
    first, second, third = seen["used"]
    assert (first, second == first, third == second) == (1, False, False)
    assert seen["once"] == [0, "/app/key=3\n"]
