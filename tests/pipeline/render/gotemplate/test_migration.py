"""Go templates written as Jinja2: the same bytes, in what a person would have written."""

from __future__ import annotations

import contextlib
import json
import re
import time
from pathlib import Path
from typing import Any

import jinja2
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pyconfd.errors import RenderError
from pyconfd.model.resources import Origin, Resource
from pyconfd.pipeline.render.function_errors import FunctionFault
from pyconfd.pipeline.render.gotemplate.functions.signatures import SIGNATURES
from pyconfd.pipeline.render.gotemplate.migration.template import Untranslatable, jinja2_of
from pyconfd.pipeline.render.renderer import Renderer
from tests.pipeline.render.gotemplate.rendering import (
    Value,
    as_bytes,
    render_text,
    snapshot,
)
from tests.pipeline.render.gotemplate.test_properties import KEYS, bodies
from tests.support.repository import ROOT

CASES: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "cases.json").read_text())
GIVING = {name: case for name, case in CASES.items() if "output" in case}

#: Of the cases that give an output: they print or change what only Go has, and the comparison of
#: `pyconfd migrate` finds them.
DIFFER = {
    "arithmetic": "whole numbers of 64 bits, and 2.0 as one",
    "bytes-not-utf8": "a value that is no text",
    "exists": "the empty path",
    "fromJson": "prints a list",
    "index": "a member that is missing, bytes of a text",
    "json-duplicate-escapes": "half a surrogate",
    "missing-member-deeper": "prints <no value>",
    "print-floats": "prints 1000000 as 1e+06",
    "print-json-values": "prints <no value>",
    "quote-squote": "doubled quotes",
    "range-map-sorted": "prints a list",
    "regex-go-syntax": "patterns of RE2",
    "reverse-of-variable-classic": "changes its argument",
    "seq-downwards-fork": "counts down",
    "sortByLength": "changes its argument",
    "sortByLength-many": "an order of equals that is not stable",
    "sortKVByLength": "changes its argument",
    "template-without-data": "prints <no value>",
    "toJson": "escapes <, > and &",
    "upper-lower": "letters that change their length",
    "variable-holds-nothing": "prints <no value>",
}


def rendered(folder: Path, case: dict[str, Any]) -> bytes:
    """What the written template gives with the keys of a case."""
    for name, text in {"case.tmpl": case["template"], **case.get("files", {})}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(written(text, case["compat"][0]).encode())
    resource = Resource(
        name="case",
        origin=Origin("case.toml"),
        src="case.tmpl",
        dest="/none",
        engine="jinja2",
        keys=tuple(case.get("allowed", ["/"])),
        prefix=case.get("prefix", "/"),
    )
    renderer = Renderer(str(folder), case.get("environ") or {})
    return renderer.render(resource, snapshot(case.get("keys", {"/k": "v"}))).content


def written(text: str, compat: str = "confd") -> str:
    """The template as Jinja2."""
    return jinja2_of(text, SIGNATURES[compat], lambda name: name)


@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")
@pytest.mark.parametrize("name", GIVING)
def test_a_case_is_written_with_equal_bytes_or_left_to_a_person(name: str, tmp_path: Path) -> None:
    """With the line of what a person has to decide."""
    case = GIVING[name]
    if name in DIFFER:
        with contextlib.suppress(RenderError):
            assert rendered(tmp_path, case) != as_bytes(case["output"])
        return
    try:
        assert rendered(tmp_path, case) == as_bytes(case["output"])
    except Untranslatable as error:
        assert 1 <= error.line <= case["template"].count("\n") + 1
        assert error.what


def test_the_share_of_the_cases_is_that_of_the_page(tmp_path: Path) -> None:
    """docs/from-confd.md says how many cases are written with equal bytes."""
    equal = 0
    for name in GIVING.keys() - DIFFER.keys():
        folder = tmp_path / name
        folder.mkdir()
        try:
            equal += rendered(folder, GIVING[name]) == as_bytes(GIVING[name]["output"])
        except Untranslatable:
            continue
    page = (ROOT / "docs" / "from-confd.md").read_text()
    assert f"{equal} of {len(GIVING)}" in page


@pytest.mark.parametrize(
    ("go", "jinja"),
    [
        ('{{getv "/a"}}', '{{ getv("/a") }}'),
        (
            '{{range gets "/a/*"}}{{.Key}}={{.Value}}{{end}}',
            '{% for key, value in gets("/a/*") %}{{ key }}={{ value }}{% endfor %}',
        ),
        (
            '{{range gets "/a/*"}}{{.Value}}{{end}}',
            '{% for pair in gets("/a/*") %}{{ pair.value }}{% endfor %}',
        ),
        (
            '{{range $server := getvs "/a/*"}}{{$server}};{{else}}none{{end}}',
            '{% for server in getvs("/a/*") %}{{ server }};{% else %}none{% endfor %}',
        ),
        (
            '{{$data := json (getv "/a")}}{{if $data.tls}}{{$data.tls.port}}{{end}}',
            '{% set data = json(getv("/a")) %}{% if data.tls | default %}{{ data.tls.port }}'
            "{% endif %}",
        ),
        (
            '{{getv (printf "/s/%s/name" "x")}}{{if eq (getv "/a") "b" "c"}}y{{end}}',
            '{{ getv("/s/%s/name" % "x") }}{% if getv("/a") in ["b", "c"] %}y{% endif %}',
        ),
        (
            '{{with getv "/a"}}{{.}}{{end}}',
            '{% set value = getv("/a") %}{% if value %}{{ value }}{% endif %}',
        ),
        (
            '{{define "x"}}{{.Key}}{{end}}{{range gets "/a/*"}}{{template "x" .}}{{end}}',
            '{% macro x(data) %}{{ data.key }}{% endmacro %}{% for pair in gets("/a/*") %}'
            "{{ x(pair) }}{% endfor %}",
        ),
        (
            '{{range $x := seq 1 3}}{{$x = ""}}{{.}}{{end}}',
            '{% for x in seq(1, 3) %}{% set x_2 = x %}{% set x_2 = "" %}{{ x }}{% endfor %}',
        ),
        ("a\n{{- /* why */ -}}\nb", "a\n{#- why #}\nb"),
        ('{{range ls "/a"}}{{end}}', '{% for name in ls("/a") %}{% endfor %}'),
        ('{{join (split (getv "/a") ",") ";"}}', '{{ split(getv("/a"), ",") | join(";") }}'),
        ("x {% y {# z", 'x {{ "{%" }} y {{ "{#" }} z'),
    ],
)
def test_it_is_what_a_person_would_have_written(go: str, jinja: str) -> None:
    """No helper, no marker that the white space does not need."""
    assert written(go) == jinja


@pytest.mark.parametrize(
    ("go", "jinja"),
    [
        ('{{range getvs "/a/*"}}\nx\n{{end}}\n', None),
        (
            '{{range getvs "/a/*" -}}\nx\n{{end -}}\n',
            '{% for value in getvs("/a/*") %}\nx\n{% endfor %}\n',
        ),
        ("a\r\n{{if true}}\r\nb\r\n{{end}}\r\n", None),
    ],
)
def test_white_space_is_kept_with_as_few_markers_as_it_takes(go: str, jinja: str | None) -> None:
    """A header where lines of blocks leave empty lines behind; none where they do not."""
    text = written(go)
    if jinja is None:
        newline = "\r\n" if "\r\n" in go else "\n"
        assert text.startswith("{# whitespace as written #}" + newline)
        assert "-%}" not in text
        assert "+%}" not in text
    else:
        assert text == jinja


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ('\n{{range getvs "/*"}}{{break}}{{end}}', 2, "break"),
        ('x\n\n{{ls "/"}}', 3, 'ls "/"'),
        ('{{template "x"}}{{define "x"}}y{{end}}', 1, "before it is defined"),
        ('{{getz "/x"}}', 1, "not defined"),
        ('{{json (getv "/j")}}', 1, "prints a whole map"),
        ("a\r\nb\n{{if true}}{{end}}", 1, "line ends"),
    ],
)
def test_what_it_leaves_to_a_person_has_a_line_and_a_reason(
    text: str, line: int, what: str
) -> None:
    """As the table of `pyconfd migrate` shows it."""
    with pytest.raises(Untranslatable) as caught:
        written(text)
    assert caught.value.line == line
    assert what in caught.value.what


@pytest.mark.parametrize(
    "text",
    [
        '{{range $x := seq 1 3}}{{$x = ""}}{{.}}{{$x}}{{end}}',
        "{{range $i, $x := seq 1 3}}{{$i = 7}}{{$x = 8}}{{.}}{{$x}}{{$i}}{{end}}",
        '{{range $k, $v := json (getv "/o")}}{{$k = "q"}}{{$v = 8}}{{.}}{{$v}}{{$k}}{{end}}',
        "{{range $x := seq 1 3}}{{range seq 1 2}}{{$x = 0}}{{end}}{{.}}{{$x}}{{end}}",
        "{{range $i, $x := seq 1 3}}{{range seq 1 2}}{{$i = 0}}{{$x = 0}}{{end}}{{.}}{{$i}}{{end}}",
    ],
)
def test_a_loop_variable_with_another_value_leaves_the_dot_alone(text: str, tmp_path: Path) -> None:
    """It is the element of the list as long as the body runs."""
    written(text)
    compare(text, {"/o": '{"a": 1, "b": 2}'}, tmp_path)


def compare(text: str, keys: dict[str, Value], folder: Path) -> None:
    """Both languages give the same, or both refuse."""
    try:
        jinja = written(text)
    except Untranslatable:
        return
    try:
        wanted: str | None = render_text(folder, text, keys)
    except (FunctionFault, jinja2.TemplateSyntaxError):
        wanted = None
    case = {"template": text, "compat": ["confd"], "keys": keys}
    if wanted is not None:
        assert rendered(folder, case).decode() == wanted, jinja


@settings(deadline=None, max_examples=60)
@given(part=bodies(), keys=KEYS)
def test_generated_templates_give_the_same_in_both_languages(
    part: Any, keys: dict[str, Value], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Statements, variables, loops and scopes."""
    text = part[0]
    assume(not ("len" in text and ("é" in text or "é" in str(keys))))  # characters and bytes
    assume("{{.}}" not in text or "range" in text or "with" in text)
    compare(text, {**keys, "/k": "v"}, tmp_path_factory.mktemp("case"))


GAPS = st.text(alphabet=" \n\ta", max_size=4)
TRIMS = st.tuples(st.booleans(), st.booleans())
INSIDES = st.sampled_from(['"o"', "/* c */", "$x := 1", "if true", "range ls `/`", "else", "end"])


@settings(deadline=None, max_examples=150)
@given(parts=st.lists(st.tuples(GAPS, INSIDES, TRIMS), max_size=8), last=GAPS)
def test_generated_white_space_is_the_same_in_both_languages(
    parts: Any, last: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Texts and trim markers around every kind of action."""
    text, depth, can_else = "", 0, [False]
    for gap, inside, (left, right) in parts:
        word = inside
        if word.startswith(("if", "range")):
            word = "if true" if word.startswith("if") else 'range ls "/d"'
            depth += 1
            can_else.append(True)
        elif word == "else" and not can_else[-1]:
            word = '"e"'
        elif word == "else":
            can_else[-1] = False
        elif word == "end" and not depth:
            word = '"n"'
        elif word == "end":
            depth -= 1
            can_else.pop()
        if word.startswith("/*") or not (left or right):
            opening, closing = ("{{- ", " -}}") if left and right else ("{{", "}}")
        else:
            opening, closing = "{{- " if left else "{{", " -}}" if right else "}}"
        text += f"{gap}{opening}{word}{closing}"
    text += "{{end}}" * depth + last
    compare(text, {"/d/x": "1", "/d/y": "2"}, tmp_path_factory.mktemp("case"))


@pytest.mark.parametrize(
    "text",
    [
        '{{with $v := "a"}}{{$v := "b"}}{{.}}{{$v}}{{end}}',
        '{{range $p := gets "/d/*"}}{{$p := "b"}}{{.Value}}{{$p}}{{end}}',
        '{{define "x"}}m{{end}}{{$x := "v"}}{{template "x"}}{{$x}}',
        '{{$x := "a"}}{{if true}}{{$x := "b"}}{{$x}}{{end}}{{$x}}',
        '{{$base := "a"}}{{base "/x/y"}}{{$base}}',
        '{{$x := "a"}}{{range ls "/d"}}{{$x = .}}{{end}}{{$x}}',
        '{{range $i, $a := ls "/d"}}{{range $j, $b := ls "/d"}}{{$i}}{{$j}} {{end}}{{$i}}{{end}}',
        '{{range gets "/d/*"}}{{.Key}}{{range gets "/d/*"}}{{.Key}}={{.Value}}{{end}}'
        "{{.Value}}{{end}}",
        '{{with "x"}}{{with "y"}}{{.}}{{else}}n{{end}}{{.}}{{end}}{{with ""}}a{{else}}b{{end}}',
        "{{if 0}}a{{else if 1}}b{{else}}c{{end}}",
    ],
)
def test_scopes_are_gos(text: str, tmp_path: Path) -> None:
    """Whatever its variables and templates are called."""
    case = {"template": text, "compat": ["confd"], "keys": {"/d/x": "1", "/d/y": "2"}}
    assert rendered(tmp_path, case).decode() == render_text(tmp_path, text, case["keys"])


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("x" * 5_000_000 + '{{getv "/k"}}', 5_000_016),
        ('{{$x := "a"}}' * 5000, 85_000),
        ("{{" * 100_000, None),
        ("{{range seq 1 2}}" * 10_000, None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_huge_templates_are_written_or_refused_soon(text: str, length: int | None) -> None:
    """With a line."""
    begun = time.monotonic()
    try:
        assert len(written(text)) == length
    except Untranslatable as error:
        assert length is None
        assert error.line == 1
    assert time.monotonic() - begun < 60


def test_the_header_leaves_line_numbers_alone(tmp_path: Path) -> None:
    """A fault is reported at the line where it stands in the file."""
    (tmp_path / "case.tmpl").write_text("{# whitespace as written #}\n\n{{ getz('/x') }}\n")
    resource = Resource(name="c", origin=Origin("c"), src="case.tmpl", dest="/none", keys=("/",))
    (fault,) = Renderer(str(tmp_path), {}).faults(resource)
    assert re.search(r"case\.tmpl:3", str(fault))
