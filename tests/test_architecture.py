"""docs/architecture.md names what is there."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text()
ROOM_ROWS = re.findall(r"^\| `pyconfd/(\w+)` \|.*\| (.*) \|$", PAGE, re.MULTILINE)


def test_every_file_it_names_exists() -> None:
    """Paths in the text, and the files to start reading at."""
    prose = "\n".join(line for line in PAGE.splitlines() if not line.startswith("| `pyconfd/"))
    for path in re.findall(r"`((?:\w+/)+\w+\.py)`", prose):
        assert (ROOT / path).exists() or (ROOT / "pyconfd" / path).exists(), path
    for room, files in ROOM_ROWS:
        for name in re.findall(r"`([\w./]+)`", files):
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


def test_what_calls_itself_pure_is_held_to_it() -> None:
    """The sentence "Pure." in a docstring is checked; the contract names what is there."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contract = next(
        each
        for each in config["tool"]["importlinter"]["contracts"]
        if each["name"] == "Pure modules touch no world"
    )
    held = {f"{name}.".replace(".", "/") for name in contract["source_modules"]}
    for path in sorted((ROOT / "pyconfd").rglob("*.py")):
        name = f"{path.relative_to(ROOT).with_suffix('')}/".removesuffix("__init__/")
        says = re.search(r"\bPure\.", ast.get_docstring(ast.parse(path.read_text())) or "")
        if says:
            assert any(name.startswith(each) for each in held), name
    for name in held:
        assert (ROOT / name).is_dir() or (ROOT / f"{name[:-1]}.py").is_file(), name
