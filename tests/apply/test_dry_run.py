"""`--noop` says what a real run would do, and touches nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.pyconfd import Confdir


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store.json"
    path.write_text(json.dumps({"app": {"a": "1"}, "web": {"x": "1", "y": "2"}}))
    return path


@pytest.fixture
def confdir(tmp_path: Path, store: Path) -> Confdir:
    return Confdir(tmp_path / "confdir", "--backend", "file", "--file", str(store))


def test_a_change_that_a_guard_would_hold_back_is_said(confdir: Confdir, store: Path) -> None:
    """It fails as the real run does, and is not counted as a change."""
    dest = confdir.simple()
    assert confdir.once().returncode == 0
    store.write_text(json.dumps({"web": {"x": "1"}}))
    done = confdir.once("--noop", "--detailed-exitcode", "--diff")
    assert done.returncode == 1 == confdir.once().returncode
    assert "held: app: the only key is gone" in done.stderr
    assert "rendered=0 unchanged=0 failed=1" in done.stderr
    assert done.stdout == ""
    assert dest.read_text() == "/app/a=1\n"


def test_a_member_that_fails_leaves_out_its_group(confdir: Confdir) -> None:
    """What would not go live is not shown as if it would."""
    confdir.simple("good", "/web")
    confdir.simple("bad", "/app")
    confdir.template("bad.j2", "{{ getv('/app/none') }}\n")
    confdir.resource("group", '[group.both]\nresources = ["good", "bad"]\n')
    done = confdir.once("--noop", "--detailed-exitcode", "--diff")
    assert done.returncode == 1
    assert "/app/none" in done.stderr
    assert "would not be done, because bad of the same group fails" in done.stderr
    assert "would change" not in done.stderr
    assert done.stdout == ""


def test_files_of_a_pattern_that_would_come_and_go_are_named(confdir: Confdir, store: Path) -> None:
    """A name that is new, and the file of one that is gone."""
    confdir.template("site.j2", "of {{ name }}\n")
    confdir.resource(
        "site",
        '[template]\nsrc = "site.j2"\ndest = "@OUT@/{name}.conf"\neach = "/web"\nkeys = ["/web"]\n',
    )
    assert confdir.once().returncode == 0
    before = sorted(path.name for path in confdir.out.iterdir())
    store.write_text(json.dumps({"web": {"x": "1", "z": "3"}}))
    done = confdir.once("--noop", "--diff")
    assert done.returncode == 0
    assert f"dest={confdir.out}/z.conf differs=missing" in done.stderr
    assert f"dest={confdir.out}/y.conf differs=removed" in done.stderr
    assert "rendered=2 unchanged=1 failed=0" in done.stderr
    assert "+++ " in done.stdout
    assert sorted(path.name for path in confdir.out.iterdir()) == before


def test_log_lines_stay_apart_from_the_diff(confdir: Confdir) -> None:
    """Standard output is a patch; standard error is JSON when that is asked for."""
    confdir.simple()
    done = confdir.once("--noop", "--diff", "--log-format", "json")
    assert [json.loads(line)["message"] for line in done.stderr.splitlines()] == [
        "would change (noop)",
        "done",
    ]
    assert done.stdout.startswith("--- /dev/null\n+++ ")
