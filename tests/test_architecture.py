"""docs/architecture.md names what is there."""

from __future__ import annotations

import ast
import graphlib
import re
import tomllib
from collections import Counter

import grimp

from tests.support.repository import ROOT

# Lower it when you remove some.
HOUSE_WORDS = 60
PAGE = (ROOT / "docs" / "architecture.md").read_text()
ROOM_ROWS = re.findall(r"^\| `pyconfd/([\w/]+)` \|.*\| (.*) \|$", PAGE, re.MULTILINE)


def test_every_file_it_names_exists() -> None:
    """Paths in the text, and the files to start reading at."""
    prose = "\n".join(line for line in PAGE.splitlines() if not line.startswith("| `pyconfd/"))
    for path in re.findall(r"`((?:\w+/)+\w+\.py)`", prose):
        assert (ROOT / path).exists() or (ROOT / "pyconfd" / path).exists(), path
    for room, files in ROOM_ROWS:
        for name in re.findall(r"`([\w./]+)`", files):
            assert (ROOT / "pyconfd" / room / name).exists(), f"{room}/{name}"


def test_the_rooms_are_in_the_order_of_the_contract() -> None:
    """As in pyproject.toml, where siblings share a line; every folder has a row."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = config["tool"]["importlinter"]["contracts"][0]["layers"]
    ranks = {
        name.strip().removeprefix("pyconfd."): rank
        for rank, line in enumerate(layers)
        for name in line.split("|")
    }
    rooms = [room for room, _ in ROOM_ROWS]
    order = [ranks[room.partition("/")[0]] for room in rooms]
    assert order == sorted(order)
    package = ROOT / "pyconfd"
    folders = [path.parent.relative_to(package) for path in package.glob("*/**/__init__.py")]
    assert sorted(rooms) == sorted(map(str, folders))


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


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Directly or through others, and for type checking only: each can be read by itself."""
    graph = grimp.build_graph("pyconfd", exclude_type_checking_imports=False)
    imports = {
        module: sorted(graph.find_modules_directly_imported_by(module)) for module in graph.modules
    }
    order = graphlib.TopologicalSorter(imports)
    order.prepare()  # raises CycleError with the circle


def test_no_room_is_larger_than_a_reader_can_remember() -> None:
    """About twenty files; a room that needs more gets rooms of its own."""
    rooms = Counter(path.parent for path in (ROOT / "pyconfd").rglob("*.py"))
    assert not [f"{room.relative_to(ROOT)}: {count}" for room, count in rooms.items() if count > 22]


def test_every_class_name_is_declared_once() -> None:
    """A name in a message or a traceback leads to one place."""
    names = Counter(
        node.name
        for path in (ROOT / "pyconfd").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    )
    assert not {name for name, count in names.items() if count > 1}


def test_house_words_do_not_come_back() -> None:
    """The field says notified, reported, output, pending, checked; a few stay as plain English."""
    house = re.compile(r"\b(told|said|owed|judged|nobody|somebody|anew|whom)\b", re.IGNORECASE)
    found = Counter(
        {
            str(path.relative_to(ROOT)): len(house.findall(path.read_text()))
            for path in (ROOT / "pyconfd").rglob("*.py")
        }
    )
    assert found.total() <= HOUSE_WORDS, found.most_common(20)
