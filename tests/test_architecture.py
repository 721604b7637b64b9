"""docs/architecture.md names what is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text()
ROOM_ROWS = re.findall(r"^\| `pyconfd/(\w+)` \|.*\| (.*) \|$", PAGE, re.MULTILINE)


def test_every_file_it_names_exists() -> None:
    """Paths in the text, and the files to start reading at."""
    for path in re.findall(r"`((?:\w+/)+\w+\.py)`", PAGE):
        assert (ROOT / path).exists() or (ROOT / "pyconfd" / path).exists(), path
    for room, files in ROOM_ROWS:
        for name in re.findall(r"`([\w.]+)`", files):
            assert (ROOT / "pyconfd" / room / name).exists(), f"{room}/{name}"


def test_the_rooms_are_in_the_order_of_the_contract() -> None:
    """As in pyproject.toml, where siblings share a line."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = config["tool"]["importlinter"]["contracts"][0]["layers"]
    ranks = {
        name.strip().removeprefix("pyconfd."): rank
        for rank, line in enumerate(layers)
        for name in line.split("|")
    }
    rooms = [room for room, _ in ROOM_ROWS]
    assert [ranks[room] for room in rooms] == sorted(ranks[room] for room in rooms)
    folders = {path.parent.name for path in (ROOT / "pyconfd").glob("*/__init__.py")}
    assert set(rooms) == folders
