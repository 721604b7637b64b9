"""docs/fleet.md: its configuration and its commands, run in their order on three nodes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest

from tests.e2e.test_fleet import NODES, Fleet, command, fleets
from tests.support.daemons.etcd import PrivateEtcd
from tests.support.repository import ROOT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

PAGE = (ROOT / "docs" / "fleet.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


def block(kind: str) -> str:
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    yield from fleets(tmp_path_factory.mktemp("story"), services())


def services() -> str:
    """The page's service, without the resource, whose paths are the test's own."""
    found = block("toml fleet").partition("[template]")[0]
    return found.replace("nginx -s reload", "@RELOAD@")


class Story:
    """Runs the page's commands on web1's machine."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.left = list(COMMANDS)
        self.revisions: dict[str, int] = {}

    def next(self, words: str) -> str:
        """The next command, which has to begin like this; what it says."""
        line = self.left.pop(0)
        assert line.startswith(words), line
        program, *arguments = shlex.split(line)
        if program == "etcdctl":
            verb, key, value = arguments
            assert verb == "put"
            self.fleet.etcd.put(key, value)
            return ""
        arguments = [str(self.revisions.get(each, each)) for each in arguments]
        verb, *rest = arguments
        local = [] if verb == "fleet" else self.fleet.confdirs["web1"].argv()[3:]
        done = command(self.fleet, verb, *rest, *local)
        assert done.returncode == 0, done.stderr
        return done.stdout


def headings(text: str, first: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.startswith(first))


def test_the_story_is_what_happens(fleet: Fleet) -> None:
    """Each command of the page, with what the page says of it."""
    story = Story(fleet)
    story.next("etcdctl put /app/settings/timeout 20s")
    fleet.wait(["20s"] * 3)
    story.revisions["23"] = fleet.etcd.revision
    settled(fleet)
    table = story.next("pyconfd fleet edges")
    for first in ("NODE", "edge"):
        assert headings(table, first) == headings(block("text fleet"), first)
    assert all(re.search(rf"^{name}\s+settled", table, re.MULTILINE) for name in NODES)

    story.next("etcdctl put /app/settings/timeout many")
    wait_until(lambda: everyone_says(fleet, "invalid value"), what="halted everywhere")
    table = command(fleet, "fleet", "edges").stdout
    assert headings(table, "edge") == headings(block("text halted"), "edge")
    assert block("text halted").splitlines()[-1] in table
    assert re.search(r"^revision \d+ halted by web2, ", table, re.MULTILINE)
    story.next("etcdctl put /app/members/b")
    wait_until(lambda: all("10.0.0.2" in fleet.file(name) for name in NODES))
    assert fleet.timeouts() == ["20s"] * 3
    story.next("etcdctl put /app/settings/timeout 30s")
    fleet.wait(["30s"] * 3)
    settled(fleet)

    assert story.next("pyconfd fleet halt") == "edge: no turn begins\n"
    story.next("etcdctl put /app/settings/timeout 40s")
    wait_until(lambda: everyone_says(fleet, "halted by"), what="halted by order")
    assert fleet.timeouts() == ["30s"] * 3
    story.next("pyconfd fleet resume")
    fleet.wait(["40s"] * 3)
    story.revisions["57"] = fleet.etcd.revision
    settled(fleet)

    assert "/app/settings/timeout" in story.next("pyconfd history edge")
    assert "+client_header_timeout 40s;" in story.next("pyconfd diff edge")
    story.next("pyconfd pin edge")
    fleet.wait(["20s"] * 3)
    story.next("pyconfd unpin edge")
    fleet.wait(["40s"] * 3)
    assert story.left == []


def settled(fleet: Fleet) -> None:
    """Until every node has ended its turn and says so."""
    wait_until(
        lambda: command(fleet, "fleet", "edges").stdout.count("settled") == 3, what="all settled"
    )


def everyone_says(fleet: Fleet, words: str) -> bool:
    return all(words in str(fleet.record(name)) for name in NODES)


def test_the_rights_of_the_page_are_enough(tmp_path_factory: pytest.TempPathFactory) -> None:
    """With them a node takes part; the prefix is the one that is granted."""
    (granted,) = re.findall(r"readwrite (/pyconfd/\S+)", PAGE)
    folder = tmp_path_factory.mktemp("rights")

    def prepare(etcd: PrivateEtcd) -> None:
        etcd.enable_auth()
        etcd.add_user("edge", "pw", prefixes=["/app/", granted])

    options = ("--username", "edge", "--password", "pw")
    for fleet in fleets(folder, services(), prepare=prepare, options=options):
        fleet.etcd.put("/app/settings/timeout", "20s")
        fleet.wait(["20s"] * 3)
