"""Every example of docs/templates.md is true, and every function has one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from pyconfd.model.keys import KeyValue, Listed
from pyconfd.model.resources import Origin, Resource
from pyconfd.pipeline.functions import FILTERS, functions
from pyconfd.pipeline.render import Renderer
from pyconfd.pipeline.store import Snapshot, Store
from pyconfd.pipeline.view import View

PAGE = (Path(__file__).parents[2] / "docs" / "templates.md").read_text()


class Example(NamedTuple):
    """One fenced block, under the heading it stands below."""

    heading: str
    keys: dict[str, str]
    template: str
    output: str


def examples() -> list[Example]:
    found = []
    for match in re.finditer(r"^```example\n(.*?)^---\n(.*?)^---\n(.*?)^```$", PAGE, re.M | re.S):
        heading = re.findall(r"^##+ (.*)$", PAGE[: match.start()], re.M)[-1]
        keys = dict(line.split(" =", 1) for line in match[1].splitlines())
        found.append(Example(heading, {k: v.strip() for k, v in keys.items()}, match[2], match[3]))
    return found


def snapshot(keys: dict[str, str]) -> Snapshot:
    store = Store()
    items = tuple(KeyValue(key, value.encode(), 1) for key, value in keys.items())
    store.apply(Listed("page", 1, 1, items))
    return store.snapshot()


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.heading)
def test_example_is_true(example: Example, tmp_path: Path) -> None:
    """The template prints the output over these keys."""
    (tmp_path / "example.j2").write_text(example.template)
    resource = Resource(
        name="example", origin=Origin("page"), src="example.j2", dest="/none", keys=("/",)
    )
    renderer = Renderer(str(tmp_path), {"REGION": "eu1"})
    renderer.compile(resource)
    assert renderer.render(resource, snapshot(example.keys)).content.decode() == example.output


def test_every_function_has_an_example_that_uses_it() -> None:
    """Under a heading of its own, and filters are functions too."""
    names = set(functions(View(snapshot({}), "/", ()), {}))
    used = {
        example.heading
        for example in examples()
        if re.search(rf"\b{example.heading}\b", example.template)
    }
    assert names - used == set()
    assert set(FILTERS) - names == set()
