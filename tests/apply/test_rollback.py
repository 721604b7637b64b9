"""What a service refuses is put back, and one bad group does not hold up the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyconfd.model.resources import Command
from pyconfd.model.steps import CommandReport
from tests.support.loop import NotedLanes, World
from tests.support.steps import strays_in
from tests.support.waiting import wait_until

TELL = Command("tell them", 5.0)


class Picky(World):
    """Its service refuses files that hold the word `bad`, and lacks nothing of `needs`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.runner.default = self._told
        self.needs: tuple[str, ...] = ()
        self.down = False

    def tenant(self, name: str, **fields: Any) -> None:
        """A resource of the one service."""
        given = {"reload": TELL, "on_reload_failure": "revert", **fields}
        self.resource(name, f"/{name}", **given)
        self.source.put(f"/{name}/key", "good")

    def _told(self, text: str) -> CommandReport:
        files = [path for path in self.out.iterdir() if not path.name.startswith(".")]
        missing = set(self.needs) - {path.name for path in files}
        refuses = self.down or missing or any("bad" in path.read_text() for path in files)
        return CommandReport(text, 1 if refuses else 0, 0.0)

    def row(self, name: str) -> dict[str, Any]:
        """Its row in the status."""
        rows = {row["name"]: row for row in self.settle()["resources"]}
        return dict(rows[name])

    def says(self, name: str, word: str) -> bool:
        """Whether the word is live there."""
        return word in (self.live(name) or "")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Picky]:
    world = Picky(tmp_path)
    yield world
    assert strays_in(tmp_path) == []
    assert (tmp_path / "state" / "journal").read_text() == ""


def test_one_bad_tenant_does_not_hold_up_the_others(world: Picky) -> None:
    """Six change at once, one of them badly: five are live, one has its old file."""
    names = [f"t{number}" for number in range(6)]
    for name in names:
        world.tenant(name)
    with world.running():
        wait_until(lambda: all(world.says(name, "good") for name in names))
        world.settle()
        before = len(world.reloads)
        world.source.txn({f"/{name}/key": "bad" if name == "t4" else "new" for name in names})
        wait_until(lambda: all(world.says(name, "new") for name in names if name != "t4"))
        assert world.row("t4")["state"] == "reverted"
        assert [world.row(name)["state"] for name in names if name != "t4"] == ["fine"] * 5
        assert world.says("t4", "good")
        assert len(world.reloads) - before <= 10
        world.source.put("/t4/key", "mended")
        wait_until(lambda: world.says("t4", "mended"))
        assert world.row("t4")["state"] == "fine"


def test_a_refused_version_stays_refused_over_a_restart(world: Picky) -> None:
    """It is not put live again; the status says since when and why; a new version is tried."""
    world.tenant("t")
    with world.running():
        wait_until(lambda: world.says("t", "good"))
        world.source.put("/t/key", "bad")
        wait_until(lambda: world.row("t")["state"] == "reverted")
        first = world.row("t")["quarantine"]
    told = len(world.reloads)
    world.lanes = NotedLanes(world.inbox.put)
    with world.running():
        assert world.row("t")["state"] == "reverted"
        again = world.row("t")["quarantine"]
        assert {**again, "trial_s": first["trial_s"]} == first
        assert 50 < again["trial_s"] <= 60
        assert first["why"] == "its reload command failed"
        assert world.says("t", "good")
        assert len(world.reloads) == told
        world.source.put("/t/key", "fine")
        wait_until(lambda: world.says("t", "fine"))
        assert world.row("t")["quarantine"] is None
        world.source.put("/t/key", "bad")
        wait_until(lambda: world.row("t")["state"] == "reverted")
        assert len(world.reloads) > told + 2, "after another version it is tried again"


def test_a_refused_version_is_tried_again_when_somebody_says_so(world: Picky) -> None:
    """The cause was elsewhere and is mended: no key has to change."""
    world.tenant("t")
    world.needs = ("t",)
    with world.running():
        wait_until(lambda: world.says("t", "good"))
        world.settle()
        world.source.put("/t/key", "good, bad")
        wait_until(lambda: world.row("t")["state"] == "reverted")
        world.runner.default = 0
        assert world.ask("release", "t") == {"released": ["t"]}
        wait_until(lambda: world.says("t", "good, bad"))
        assert world.row("t")["state"] == "fine"
        assert "error" in world.ask("release", "t")


def test_who_is_to_blame_is_not_known_when_the_old_version_is_not_taken_either(
    world: Picky,
) -> None:
    """A service that takes nothing says nothing about this version: it is tried again later."""
    world.tenant("t")
    with world.running():
        wait_until(lambda: world.says("t", "good"))
        world.settle()
        world.down = True
        world.source.put("/t/key", "new")
        wait_until(lambda: world.row("t")["state"] == "reverted")
        assert world.row("t")["quarantine"] is None
        assert world.says("t", "good")
        world.down = False
        world.hup()
        wait_until(lambda: world.says("t", "new"))
        wait_until(lambda: world.settle()["services"][0]["pending_reload"] is None)


def test_a_group_is_refused_as_a_whole_and_tried_again_when_one_of_it_changes(
    world: Picky,
) -> None:
    """The other member still holds what it held."""
    for name in ("a", "b", "c"):
        world.tenant(name, group="" if name == "c" else "both")
    with world.running():
        wait_until(lambda: all(world.says(name, "good") for name in "abc"))
        world.settle()
        world.source.txn({"/a/key": "new", "/b/key": "bad", "/c/key": "new"})
        wait_until(lambda: world.says("c", "new"))
        assert world.row("c")["state"] == "fine"
        assert [world.row(name)["state"] for name in "ab"] == ["reverted"] * 2
        assert world.says("a", "good")
        world.source.put("/b/key", "mended")
        wait_until(lambda: world.says("a", "new") and world.says("b", "mended"))
        assert [world.row(name)["state"] for name in "ab"] == ["fine"] * 2


def test_a_file_whose_going_is_refused_comes_back_and_the_others_go_on(world: Picky) -> None:
    """Of a pattern one name goes that the service needs, one that it does not."""
    world.tenant("p", each="/")
    world.template("p", "{{ getv('/' ~ name) }}\n")
    world.source.txn({"/p/x": "1", "/p/y": "1", "/p/z": "1"}, ["/p/key"])
    dest = str(world.out / "{name}.conf")
    world.resources = tuple(
        replace(one, prefix="/p", keys=("/",), dest=dest) for one in world.resources
    )
    with world.running():
        wait_until(lambda: all(world.says(f"{name}.conf", "1") for name in "xyz"))
        world.settle()
        world.needs = ("x.conf",)
        world.source.txn({"/p/z": "2"}, ["/p/x", "/p/y"])
        wait_until(lambda: world.says("z.conf", "2") and world.live("y.conf") is None)
        states = {row["name"]: row["state"] for row in world.settle()["resources"]}
        assert states == {"p[x]": "reverted", "p[z]": "fine"}
        assert world.live("x.conf") == "1\n"
        world.source.put("/p/z", "3")
        wait_until(lambda: world.says("z.conf", "3"))
        world.settle()
        assert world.live("x.conf") == "1\n", "it is not taken away once more"
