"""A render lets go of the snapshot: nothing of it waits for the collector."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyconfd.errors import RenderError
from pyconfd.model.resources import Origin, Resource
from pyconfd.model.steps import Outcome, Result
from pyconfd.pipeline.render.renderer import Renderer
from tests.pipeline.render.test_renderer import snapshot

TEMPLATES = {
    "a value": "{{ getv('/a') }}",
    "a loop": "{% for pair in gets('/*') %}{{ pair.key }}{% endfor %}",
    "a macro": "{% macro m(x) %}{{ x }}{% endmacro %}{% set all = getv('/a') %}{{ m(all) }}",
    "an import": "{% from 'other' import m %}{{ m(getv('/a')) }}",
    "an include": "{% set all = getv('/a') %}{% include 'other' %}",
    "a block": "{% block b %}{{ getv('/a') }}{% endblock %}",
    "Go": '{{range gets "/*"}}{{.Key}}{{end}}',
    "a missing key": "{{ getv('/b') }}",
    "a wrong kind": "{{ getv('/a') + 1 }}",
    "a fault in a macro": "{% macro m(x) %}{{ x + 1 }}{% endmacro %}{{ m(getv('/a')) }}",
    "a fault in Go": '{{getv "/b"}}',
    "a syntax error": "{% for %}",
}


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """It would hide what a render leaves behind."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("judged_as", ["", "nginx"])
@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES.keys())
def test_no_render_keeps_the_snapshot(template: str, judged_as: str, tmp_path: Path) -> None:
    """Good or failing: as many references to the keys after it as before."""
    (tmp_path / "t").write_text(template)
    (tmp_path / "other").write_text("{% macro m(x) %}{{ x }}{% endmacro %}")
    one = Resource(
        name="t", origin=Origin("t"), src="t", dest="/none", keys=("/",), format=judged_as
    )
    renderer = Renderer(str(tmp_path), {}, often=True)
    keys = snapshot({"/a": "1"})
    _kept(renderer, one, snapshot({"/a": "1"}))  # what is made once, such as compiled templates
    before = sys.getrefcount(keys.root)
    outcome = _kept(renderer, one, keys)
    after = sys.getrefcount(keys.root)
    assert after == before
    assert outcome is not None


@pytest.mark.parametrize("template", ["x\n{{ getv('/a') }}\n", "{{ getv('/b') }}"])
def test_nor_does_looking_for_the_place_of_a_refused_line(template: str, tmp_path: Path) -> None:
    """It renders once more, good or failing."""
    (tmp_path / "t").write_text(template)
    one = Resource(name="t", origin=Origin("t"), src="t", dest="/none", keys=("/",))
    renderer = Renderer(str(tmp_path), {}, often=True)
    renderer.place(one, snapshot({"/a": "1"}), 2)
    keys = snapshot({"/a": "1"})
    before = sys.getrefcount(keys.root)
    renderer.place(one, keys, 2)
    after = sys.getrefcount(keys.root)
    assert after == before


def _kept(renderer: Renderer, one: Resource, keys: object) -> Outcome:
    """What is kept of a render."""
    try:
        made = renderer.render(one, keys)  # type: ignore[arg-type]
    except RenderError as error:
        return Outcome(resource=one, result=Result.RENDER_FAILED, error=error)
    return Outcome(resource=one, result=Result.UNCHANGED, digest=made.digest)
