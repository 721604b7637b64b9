"""Bad and huge Go templates: a clear error or a result, and soon."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pyconfd.errors import TemplateFault
from pyconfd.model.resources import Origin, Resource
from pyconfd.pipeline.render.gotemplate.language.parser import MOST_ACTIONS
from pyconfd.pipeline.render.renderer import Renderer
from tests.pipeline.render.gotemplate.rendering import snapshot

#: Far more than any of them takes; the machine may be busy.
LIMIT_S = 60.0


def _rendered(folder: Path, text: str) -> str:
    (folder / "t.tmpl").write_bytes(text.encode())
    resource = Resource(
        name="web", origin=Origin("w"), src="t.tmpl", dest="/none", keys=("/",), engine="go"
    )
    renderer = Renderer(str(folder), {}, compat="confd-fork")
    begun = time.monotonic()
    try:
        return renderer.render(resource, snapshot({"/k": "v"})).content.decode()
    finally:
        assert time.monotonic() - begun < LIMIT_S


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('a\n{{getv "/k"', "t.tmpl:2: unclosed action (column 3)"),
        ("{{range seq 1 2}}" * 10_000 + "{{end}}" * 10_000, "ranges are nested more than 18 deep"),
        ("{{if 1}}" * 10_000, "blocks are nested more than 40 deep"),
        ("{{" + "(" * 10_000 + "1" + ")" * 10_000 + "}}", "parentheses are nested more than 30"),
        ("{{1" + "|print" * 1000 + "}}", "a pipeline has more than 30 stages"),
        ("{{or" + " 0" * 2000 + "}}", "a command has more than 250 operands"),
        ("{{." + "x." * 5000 + "y}}", "a value has more than 30 fields in a row"),
        ("{{with 0}}" + "{{else with 0}}" * 300 + "{{end}}", "nested too deeply"),
        ("{{" * 2_500_000, 'unexpected "{" in command'),
        ("{{1}}" * (MOST_ACTIONS + 1), f"more than {MOST_ACTIONS} actions"),
        (
            '{{define "a"}}{{template "b" .}}{{end}}{{define "b"}}{{template "a" .}}{{end}}'
            '{{template "a" .}}',
            "templates or macros call each other without end",
        ),
        ("{{range 1000000000000}}x{{end}}", "a range over more than 1000000 numbers"),
        ("{{seq 1 1000000000000}}", "seq: more than 1000000 numbers"),
        ('{{repeat 1000000000 "xxxxxxxxxx"}}', "repeat: more than 100000000 characters"),
        ('{{printf "%p" 1}}', "printf with %p cannot be carried over"),
        (r'{{if 0}}{{regexMatch "\\p{Greek}" "a"}}{{end}}', r"\p{Greek}"),
        ("{{print ($x := 1)}}", "a variable is declared inside parentheses"),
        ('{{if 0}}{{frobnicate "x"}}{{end}}', 'function "frobnicate" not defined'),
    ],
    ids=lambda value: value[:30],
)
def test_is_an_error_with_its_place(text: str, says: str, tmp_path: Path) -> None:
    """Not a traceback, and not after a long time."""
    with pytest.raises(TemplateFault) as caught:
        _rendered(tmp_path, text)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_chain_of_five_thousand_conditions_is_a_result_or_too_deep(tmp_path: Path) -> None:
    """CPython 3.11 cannot compile it, 3.13 can."""
    try:
        assert _rendered(tmp_path, "{{if 0}}" + "{{else if 0}}" * 5000 + "{{end}}") == ""
    except TemplateFault as fault:
        assert "nested too deeply" in str(fault)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("x" * 5_000_000 + '{{getv "/k"}}', 5_000_001),
        ("{{range seq 1 1000000}}x{{end}}", 1_000_000),
        ("{{range seq 1 1000}}{{range seq 1 1000}}x{{end}}{{end}}", 1_000_000),
        ("{{range seq 1 1}}" * 18 + "x" + "{{else}}{{break}}{{end}}" * 17 + "{{end}}", 1),
        ("{{with 1}}" * 22 + "{{range seq 1 1}}" * 18 + "x" + "{{else}}y{{end}}" * 40, 1),
        ("{{if 0}}a" + "{{else if 0}}b" * 300 + "{{else}}c{{end}}", 1),
        ("{{or" + " 0" * 240 + " 7}}", 1),
        ('{{printf "%1000000d" 1}}', 1_000_000),
    ],
    ids=lambda value: str(value)[:30],
)
def test_is_a_result(text: str, length: int, tmp_path: Path) -> None:
    """However large or deep, within limits that no template of a person comes near."""
    assert len(_rendered(tmp_path, text)) == length
