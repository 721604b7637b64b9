"""State that is changed in small parts: what it costs, and what is there after anything."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest

from pyconfd.apply.made_files import MadeFiles
from pyconfd.apply.quarantine import Quarantine
from pyconfd.model.resources import Origin, Resource
from pyconfd.system import json_log
from pyconfd.system.json_log import JsonLog
from tests.support.work import lines

PATTERN = Resource(name="p", origin=Origin("p.toml"), src="p.j2", dest="/o/{name}", each="/sites")


def read(path: Path) -> Any:
    """As the next run does."""
    return JsonLog(str(path)).read()


def hold(quarantine: Quarantine, name: str) -> None:
    """A refused version of one file."""
    quarantine.hold(name, {name: "0" * 64}, refused=[name], declared=[name], why="no")


def test_any_changes_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Also through many rewrites."""
    chance, path, log = random.Random(3), tmp_path / "log", JsonLog(str(tmp_path / "log"))
    value: dict[str, Any] = {}
    for _ in range(3000):
        name, text = f"n{chance.randrange(40)}", "x" * chance.randrange(200)
        patch = {name: chance.choice([None, {"a": text}, {"b": text, "a": None}])}
        value = json_log._merged(value, patch)
        log.change([patch], lambda now=value: now)  # type: ignore[misc]
        if chance.random() < 0.01:
            assert read(path) == value
    assert read(path) == value
    assert path.stat().st_size < 3 * json_log._COMPACT_BYTES


@pytest.mark.parametrize("tail", [b'{"b": {"x"', b"\xff", b'{"b": 1}'])
def test_a_torn_line_costs_that_line_alone(tmp_path: Path, tail: bytes) -> None:
    """As a power cut leaves it; the next change makes the file whole again."""
    path = tmp_path / "log"
    path.write_bytes(b'{"a": {"x": 1, "y": 2}}\n{"a": {"x": null}}\n' + tail)
    log = JsonLog(str(path))
    found = log.read()
    assert found["a"] == {"y": 2}
    found["c"] = 3
    log.change([{"c": 3}], lambda: found)
    assert read(path) == found
    assert json.loads(path.read_text()) == found


def test_a_file_that_is_not_as_it_was_left_is_written_whole(tmp_path: Path) -> None:
    """Removed, or written by something else."""
    path = tmp_path / "log"
    log = JsonLog(str(path))
    value = {"a": 1, "b": 2}
    log.change([value], lambda: value)
    for spoil in (path.unlink, lambda: path.write_text("{}"), lambda: path.write_text("{")):
        spoil()
        value["a"] += 1
        log.change([{"a": value["a"]}], lambda: value)
        assert read(path) == value


@pytest.mark.parametrize("held", [100, 1600])
def test_a_refusal_writes_itself_however_many_are_held(tmp_path: Path, held: int) -> None:
    """Bytes of one entry are added; nothing is read again."""
    path = tmp_path / "quarantine.json"
    quarantine = Quarantine(str(path))
    for number in range(held):
        hold(quarantine, f"r{number}")
    sizes = [path.stat().st_size]
    for number in range(50):
        hold(quarantine, f"r{number}")
        sizes.append(path.stat().st_size)
    grown = sorted(after - before for before, after in itertools.pairwise(sizes))
    assert 0 < grown[25] < 400  # some of them may rewrite it
    assert set(Quarantine(str(path)).by_member()) == {f"r{number}" for number in range(held)}


def test_a_refusal_takes_the_same_work_beside_any_number(tmp_path: Path) -> None:
    """Lines of Python for ten that come, go on trial, and are forgotten."""
    work = {}
    for held in (50, 800):
        quarantine = Quarantine(str(tmp_path / f"{held}.json"))
        for number in range(held):
            hold(quarantine, f"r{number}")

        def change(quarantine: Quarantine = quarantine) -> None:
            for number in range(10):
                hold(quarantine, f"new{number}")
                quarantine.by_member()
                quarantine.begin_trial(f"new{number}")
                hold(quarantine, f"new{number}")
                quarantine.forget(f"new{number}")

        change()
        work[held] = min(lines(change) for _ in range(3))
    assert work[800] <= work[50] * 1.2


@pytest.mark.parametrize("many", [100, 3000])
def test_a_name_that_comes_or_goes_writes_itself(tmp_path: Path, many: int) -> None:
    """However many files a pattern has made; the next run knows what this one knew."""
    path = tmp_path / "made.json"
    made = MadeFiles(str(path))
    made.has_made(PATTERN, [PATTERN.for_item(f"n{number}") for number in range(many)])
    size = path.stat().st_size
    one = PATTERN.for_item("new")
    made.will_try(PATTERN, [one], of=["new"])
    made.will_make([one])
    made.has_made(PATTERN, [one], of=["new"])
    made.will_try(PATTERN, [], of=["new"])
    assert path.stat().st_size - size < 200
    assert MadeFiles(str(path)).has(one)
    assert MadeFiles(str(path)).count(PATTERN) == many + 1
    made.has_removed(PATTERN.name, ["new"])
    assert not MadeFiles(str(path)).has(one)
    assert path.stat().st_size - size < 250


def test_a_list_of_names_of_an_older_pyconfd_is_written_anew(tmp_path: Path) -> None:
    """Its form and the lines of today do not mix."""
    path = tmp_path / "made.json"
    path.write_text('{"p": ["a", "b"]}')
    made = MadeFiles(str(path))
    assert made.count(PATTERN) == 2
    made.has_made(PATTERN, [PATTERN.for_item("c")], of=["c"])
    again = MadeFiles(str(path))
    assert sorted(one.item for one in again.known(PATTERN)) == ["a", "b", "c"]
