"""A resource with `each`: what has changed is rendered, and nothing else; what is live is true."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyconfd.model.resources import Guard
from tests.support.loop import Gate, World
from tests.support.steps import strays_in

TEXT = """
{%- for key, value in gets("/sites/" ~ name ~ "/*") %}{{ key }}={{ value }} {% endfor %}
{%- set like = getv("/sites/" ~ name ~ "/like", "no") %}
{{- getv("/default", "none") }} {{ getv("/sites/" ~ like ~ "/k", "-") }}
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def sites(world: World, text: str = TEXT, **fields: Any) -> None:
    """A file for each name below /sites; the templates also read /default."""
    made = world.resource("sites", "/", each="/sites", **fields)
    world.resources = (replace(made, dest=str(world.out / "{name}")),)
    world.template("sites", text)


def fill(world: World, *names: str, **more: str) -> None:
    """/sites/NAME/k for each."""
    world.source.txn(
        {**{f"/sites/{name}/k": f"{name}1" for name in names}, **more}, deletes=["/app/a"]
    )


def rendered(world: World) -> list[str]:
    """What was rendered since the last time, when all is done."""
    world.settle()
    names = sorted(world.rendered)
    world.rendered.clear()
    return names


def test_one_names_key_renders_that_name(world: World) -> None:
    """However many there are."""
    sites(world)
    fill(world, *(f"n{number}" for number in range(50)))
    with world.running():
        assert len(rendered(world)) == 50
        world.source.put("/sites/n7/k", "2")
        assert rendered(world) == ["sites[n7]"]
        assert world.live("n7") == "/sites/n7/k=2 none -\n"
        assert world.live("n8") == "/sites/n8/k=n81 none -\n"


def test_a_name_that_comes_or_goes_is_that_file_alone(world: World) -> None:
    """The first key of a name makes its file, the last one removes it."""
    sites(world)
    fill(world, "a", "b")
    with world.running():
        rendered(world)
        world.source.put("/sites/c/k", "1")
        assert rendered(world) == ["sites[c]"]
        assert world.live("c") == "/sites/c/k=1 none -\n"
        world.source.delete("/sites/a/k")
        assert rendered(world) == []
        assert world.live("a") is None
        names = {row["name"] for row in world.status()["resources"]}
        assert names == {"sites[b]", "sites[c]"}


def test_the_last_key_of_a_name_counts_also_where_nothing_reads_it(world: World) -> None:
    """A template that reads one key of two; the other one goes last."""
    sites(world, "{{ getv('/sites/' ~ name ~ '/k', 'no') }}")
    fill(world, "a", "b", **{"/sites/a/unread": "1"})
    with world.running():
        rendered(world)
        world.source.delete("/sites/a/k")
        world.settle()
        assert world.live("a") == "no"
        world.source.delete("/sites/a/unread")
        world.settle()
        assert world.live("a") is None


def test_what_is_read_elsewhere_renders_its_readers(world: World) -> None:
    """A key for all of them, and one name that reads another's key."""
    sites(world)
    fill(world, "a", "b", "c", **{"/sites/c/like": "a"})
    with world.running():
        rendered(world)
        world.source.put("/default", "all")
        assert rendered(world) == ["sites[a]", "sites[b]", "sites[c]"]
        world.source.put("/sites/a/k", "2")
        assert rendered(world) == ["sites[a]", "sites[c]"]
        assert world.live("c") == "/sites/c/k=c1 /sites/c/like=a all 2\n"


def test_a_change_beside_names_that_fail_renders_that_name(world: World) -> None:
    """Those that fail stay in trouble, and are mended by their own keys."""
    sites(world, "{{ getv('/sites/' ~ name ~ '/must') }}")
    fill(world, "a", "b", "c", **{"/sites/c/must": "1"})
    with world.running():
        rendered(world)
        world.source.put("/sites/c/must", "2")
        assert rendered(world) == ["sites[c]"]
        assert world.live("c") == "2"
        states = {row["name"]: row["state"] for row in world.status()["resources"]}
        assert states == {"sites[a]": "failed", "sites[b]": "failed", "sites[c]": "fine"}
        retry = {row["name"]: row["retry_s"] for row in world.status()["resources"]}
        assert retry["sites[a]"]
        assert retry["sites[c]"] is None
        world.source.put("/sites/a/must", "1")
        assert rendered(world) == ["sites[a]"]
        assert world.live("a") == "1"


def test_what_was_held_back_as_a_whole_goes_live_as_a_whole(world: World) -> None:
    """Names that change while a guard holds the pattern are not forgotten."""
    sites(world, guard=Guard(min_keys=3))
    fill(world, "a", "b", "c")
    with world.running():
        rendered(world)
        world.source.txn({"/sites/b/k": "2"}, deletes=["/sites/a/k"])
        assert rendered(world) == []
        assert world.live("a")
        world.source.put("/sites/d/k", "1")
        assert rendered(world) == ["sites[b]", "sites[c]", "sites[d]"]
        assert world.live("a") is None
        assert world.live("b") == "/sites/b/k=2 none -\n"
        assert {row["state"] for row in world.status()["resources"]} == {"fine"}


def test_a_file_that_somebody_changed_is_rendered_again_alone(world: World) -> None:
    """Found by the comparison now and then."""
    sites(world)
    fill(world, "a", "b", "c")
    with world.running(resync_s=0.2):
        rendered(world)
        (world.out / "b").write_text("mine")
        world.until(lambda _: world.live("b") != "mine")
        assert set(rendered(world)) == {"sites[b]"}


def test_names_that_change_during_a_pass_are_done_after_it(world: World) -> None:
    """Of the pattern as a whole, or of another name."""
    gate = Gate()
    sites(world)
    fill(world, "a", "b")
    with world.running():
        rendered(world)
        world.runner.answers["reload sites"] = gate
        world.source.put("/sites/a/k", "2")
        assert gate.begun.wait(10)
        world.source.put("/sites/a/k", "3")
        world.source.put("/sites/b/k", "3")
        world.source.put("/sites/c/k", "3")
        world.source.settle()
        world.status()
        gate.go.set()
        world.settle()
        assert [world.live(name) for name in "abc"] == [
            f"/sites/{name}/k=3 none -\n" for name in "abc"
        ]


@pytest.mark.parametrize("seed", range(8))
def test_whatever_changes_the_files_are_those_of_the_store(world: World, seed: int) -> None:
    """As if all names had been rendered again after each change."""
    chance = random.Random(seed)
    sites(world, guard=Guard(allow_empty=True))
    names = "abcde"
    with world.running():
        world.settle()
        for _ in range(40):
            name = chance.choice(names)
            key = chance.choice((f"/sites/{name}/k", f"/sites/{name}/like", "/default"))
            if chance.random() < 0.4:
                world.source.delete(key)
            else:
                world.source.put(key, chance.choice("abcde12"))
            if chance.random() < 0.3:
                world.settle()
        world.settle()
        live = {name: world.live(name) for name in names}
        world.rendered.clear()
        world.hup()
        world.settle()
        assert {name: world.live(name) for name in names} == live
        assert not strays_in(world.out)
