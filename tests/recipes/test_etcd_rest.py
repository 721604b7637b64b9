"""docs/recipes/etcd-rest.md: every command of the page is run on real servers, and prints that."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.daemons.etcd import PrivateEtcd, server_id, servers
from tests.support.repository import ROOT

pytestmark = pytest.mark.integration

PAGE = (ROOT / "docs" / "recipes" / "etcd-rest.md").read_text()
# A command, and what it prints when that is told.
STEPS = re.findall(r"```sh\n(.*?)```\n(?:\n```text\n(.*?)```)?", PAGE, re.DOTALL)
#: What is different each time.
KINDS = {"<version>": r"3\.\d+\.\d+", "<number>": r"\d+", "<name>": r"[\w.-]+",
         "<address>": r"127\.0\.0\.1:\d+", "<more>": r".*"}  # fmt: skip


@pytest.mark.parametrize("program", servers(), ids=server_id)
def test_every_command_prints_what_the_page_says(program: str, tmp_path: Path) -> None:
    """In one shell, from top to bottom, on an empty etcd."""
    with PrivateEtcd(tmp_path, program=program) as etcd:
        mark = "--- end of a step ---"
        script = "".join(f"{command}\necho '{mark}'\n" for command, _ in STEPS)
        script = script.replace("127.0.0.1:2379", etcd.endpoint)
        pyconfd = f'pyconfd() {{ "{sys.executable}" -m pyconfd "$@"; }}\n'
        done = subprocess.run(
            ["bash", "-eu", "-c", pyconfd + script],
            capture_output=True, text=True, timeout=120, cwd=ROOT,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said = done.stdout.split(f"{mark}\n")
    assert len(said) == len(STEPS) + 1
    for (command, expected), output in zip(STEPS, said, strict=False):
        wanted = pattern(expected.replace("127.0.0.1:2379", etcd.endpoint))
        assert re.fullmatch(wanted, words(output)), f"{command}\n{output}"


def words(text: str) -> str:
    """Columns are as wide as what is in them."""
    return re.sub(r" +", " ", text)


def pattern(expected: str) -> str:
    """The words of the page as a regular expression."""
    parts = re.split(r"(<\w+>)", expected)
    return "".join(KINDS.get(part, re.escape(part)) for part in parts)


@pytest.mark.parametrize("program", servers(), ids=server_id)
def test_the_metrics_that_the_page_names_are_there(program: str, tmp_path: Path) -> None:
    """Of a single member: those of several are marked on the page."""
    rows = [row for row in PAGE.splitlines() if row.startswith("| `stats/")]
    named = {
        name
        for row in rows
        if "with more than one member" not in row
        for name in re.findall(r"`((?:etcd|process)_\w+)`", row)
    }
    with PrivateEtcd(tmp_path, program=program) as etcd:
        url = f"{etcd.url}/metrics"
        page = subprocess.run(
            ["curl", "-fsS", url], capture_output=True, text=True, timeout=120, check=True
        ).stdout
    there = set(re.findall(r"^(\w+)", page, re.MULTILINE))
    assert len(rows) == 7
    assert named <= there, named - there


def test_every_example_of_the_guide_is_on_the_page() -> None:
    """By the v2 commands that it is told against."""
    for path in ("keys/message", "ttl=", "dir=true", "recursive=true", "prevExist=false",
                 "prevValue=", "wait=true", "/version", "v2/members", "stats/leader", "stats/self",
                 "stats/store", "-XDELETE", "-XPOST"):  # fmt: skip
        assert path in PAGE, path
