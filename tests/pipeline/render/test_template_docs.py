"""Every example of docs/templates.md is true, and every function has one."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from pyconfd.errors import TemplateFault
from pyconfd.model.keys import KeyValue, Listed
from pyconfd.model.resources import Origin, Resource
from pyconfd.pipeline.render.function_table import FILTERS, PLAIN_FILTERS, functions
from pyconfd.pipeline.render.node_facts import NodeFacts
from pyconfd.pipeline.render.renderer import Renderer
from pyconfd.pipeline.render.view import View
from pyconfd.pipeline.store import Snapshot, Store
from tests.support.repository import ROOT

PAGE = (ROOT / "docs" / "templates.md").read_text()


class Example(NamedTuple):
    """
    One fenced block, under the heading it stands below.

    kind: "example", or "refused" when the output is what the error says. form: the format.
    """

    kind: str
    form: str

    heading: str
    keys: dict[str, str]
    template: str
    output: str


(DECLARED,) = re.findall(r"^```toml vars\n(.*?)^```$", PAGE, re.M | re.S)
BLOCK = re.compile(r"^```(example|refused) ?(\w*)\n(.*?)^---\n(.*?)^---\n(.*?)^```$", re.M | re.S)


def examples() -> list[Example]:
    found = []
    for match in BLOCK.finditer(PAGE):
        kind, form, keys, template, output = match.groups()
        heading = re.findall(r"^##+ (.*)$", PAGE[: match.start()], re.M)[-1]
        pairs = (line.split(" =", 1) for line in keys.splitlines())
        values = {key: value.strip() for key, value in pairs}
        found.append(Example(kind, form, heading, values, template, output))
    return found


def snapshot(keys: dict[str, str]) -> Snapshot:
    store = Store()
    items = tuple(KeyValue(key, value.encode(), 1) for key, value in keys.items())
    store.apply(Listed("page", 1, 1, items))
    return store.snapshot()


def facts() -> NodeFacts:
    declared = tomllib.loads(DECLARED)
    return NodeFacts(declared["node_name"], declared["vars"], "pyconfd.toml")


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.heading)
def test_example_is_true(example: Example, tmp_path: Path) -> None:
    """The template prints the output over these keys, or is refused with these words."""
    (tmp_path / "example.j2").write_text(example.template)
    resource = Resource(
        name="example",
        origin=Origin("page"),
        src="example.j2",
        dest="/none",
        keys=("/",),
        format=example.form,
    )
    renderer = Renderer(str(tmp_path), {"REGION": "eu1"}, facts=facts())
    assert renderer.faults(resource) == []
    if example.kind == "refused":
        with pytest.raises(TemplateFault) as caught:
            renderer.render(resource, snapshot(example.keys))
        assert example.output.strip() in str(caught.value)
        return
    assert renderer.render(resource, snapshot(example.keys)).content.decode() == example.output


def test_every_function_has_an_example_that_uses_it() -> None:
    """Under a heading of its own, and filters are functions too."""
    names = {*functions(View(snapshot({}), "/", ()), {}), *NodeFacts().names()}
    used = {
        example.heading
        for example in examples()
        if re.search(rf"\b{example.heading}\b", example.template)
    }
    assert names - used == set()
    assert set(FILTERS) - names == set()
    assert set(PLAIN_FILTERS) - used == set()
