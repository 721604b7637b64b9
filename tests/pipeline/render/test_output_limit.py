"""A template that makes too much fails before that takes the memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pyconfd.errors import RenderTimeout, TemplateFault
from pyconfd.model.resources import Origin, Resource
from pyconfd.pipeline.render.functions.output_bound import collected
from pyconfd.pipeline.render.renderer import Renderer
from tests.pipeline.render.gotemplate.rendering import snapshot
from tests.support.repository import ROOT

ONE = Resource(name="r", origin=Origin("r.toml", 1), src="t", dest="/d", keys=("/",))
JINJA = "{% for a in range(10) %}{{ getv('/k') }}{% endfor %}"
GO = '{{ range seq 1 10 }}{{ getv "/k" }}{{ end }}'


def rendered(
    folder: Path, template: str, value: str, limit: int, engine: str = "jinja2", form: str = ""
) -> bytes:
    """The output of this template, for ten times the value."""
    (folder / "t").write_text(template)
    renderer = Renderer(str(folder), {}, compat="confd-fork", output_limit=limit)
    one = replace(ONE, engine=engine, format=form)
    return renderer.render(one, snapshot({"/k": value})).content


@pytest.mark.parametrize("form", ["", "nginx"])
@pytest.mark.parametrize(("engine", "template"), [("jinja2", JINJA), ("go", GO)])
@pytest.mark.parametrize("letter", ["x", "ä", "\U0001f600"])
def test_an_output_may_have_as_many_bytes_as_the_limit(
    tmp_path: Path, engine: str, template: str, letter: str, form: str
) -> None:
    """One more byte fails, at the line of the template as long as characters are bytes."""
    size = 1000 * len(letter.encode())
    made = rendered(tmp_path, template, letter * 100, size, engine, form)
    assert len(made) == size
    with pytest.raises(TemplateFault) as caught:
        rendered(tmp_path, "\n" + template, letter * 100, size, engine, form)
    fault = caught.value
    assert (fault.template, fault.line) == ("t", 2 if letter == "x" else 0)
    assert fault.what == f"the output has more than output_limit = {size} bytes"
    assert "output_limit" in fault.hint


@pytest.mark.parametrize(
    "template",
    [
        "{% block all %}" + JINJA + "{% endblock %}",
        "{% include 'u' %}",
        "{% extends 'u' %}",
        "{% macro m() %}" + JINJA + "{% endmacro %}{{ m() }}",
        "{% set all %}" + JINJA + "{% endset %}{{ all }}",
    ],
)
def test_it_counts_wherever_the_text_is_made(tmp_path: Path, template: str) -> None:
    """In blocks, included files, parents, macros and blocks of text."""
    (tmp_path / "u").write_text(JINJA)
    with pytest.raises(TemplateFault, match="output_limit = 999 bytes"):
        rendered(tmp_path, template, "x" * 100, 999)
    assert len(rendered(tmp_path, template, "x" * 100, 1000)) == 1000


class _EndsAfterAMillion(int):
    """A limit at which the time of a render is over, between two of its pieces."""

    def __sub__(self, _: int) -> int:
        raise RenderTimeout


def test_a_time_that_is_over_between_two_pieces_is_over_at_a_line_of_the_template() -> None:
    """The exception goes through the template, whose line the fault then names."""

    def template() -> Iterator[str]:
        while True:
            yield "x"

    with pytest.raises(RenderTimeout) as ended:
        collected(template(), _EndsAfterAMillion(2**30), merge=True)
    assert "template" in [entry.name for entry in ended.traceback]


ENDLESS = """
import resource, sys
from pathlib import Path
from tests.pipeline.render.test_output_limit import rendered
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    rendered(Path(sys.argv[1]), sys.argv[2], "x" * int(sys.argv[3]), 2 ** 25, sys.argv[4])
except Exception as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
LOOP = "{% for a in range(10000) %}{% for b in range(10000) %}PART{% endfor %}{% endfor %}"
GO_LOOP = "{{ range seq 1 10000 }}{{ range seq 1 10000 }}PART{{ end }}{{ end }}"


@pytest.mark.parametrize(
    ("template", "value", "engine"),
    [
        (LOOP.replace("PART", "{{ getv('/k') ~ b }}"), 1000, "jinja2"),
        (LOOP.replace("PART", "{{ getv('/k') * 1000 }}"), 1000, "jinja2"),
        (LOOP.replace("PART", "ten letters"), 1, "jinja2"),
        (GO_LOOP.replace("PART", "ten letters"), 1, "go"),
    ],
)
def test_a_template_without_end_takes_no_more_than_twice_the_limit(
    tmp_path: Path, template: str, value: int, engine: str
) -> None:
    """Of 32 MiB, in a process of its own; many pieces and long ones alike."""
    done = subprocess.run(
        [sys.executable, "-c", ENDLESS, str(tmp_path), template, str(value), engine],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    said, mebibytes = done.stdout.rsplit("\n", 2)[:2]
    assert "output_limit = 33554432 bytes" in said, done.stderr
    assert int(mebibytes) < 64 + 20  # 20: what an interpreter loads for a first render
