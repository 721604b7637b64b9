"""A fault of a template names the key that it comes from, and never its value."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from pyconfd.errors import RenderError, TemplateFault
from pyconfd.model.keys import KeyValue, Listed
from pyconfd.model.resources import Origin, Resource
from pyconfd.pipeline.render.renderer import Renderer
from pyconfd.pipeline.store import Snapshot, Store

GOOD = '{"x": {"y": "1"}, "n": 5, "s": "a", "l": [{"p": 1}, {"p": 2}]}'
KEYS = {
    "/a": "sane-value",
    "/m/a": GOOD,
    "/m/b": "booting-secret",
    "/m/c": GOOD,
    "/l/a": '[{"p": "1"}, {"p": "2"}]',
    "/l/b": '[{"p": "1"}, {"q": "secret"}]',
    "/l/c": '[{"p": "1"}]',
    "/o/a": GOOD,
    "/o/b": '{"x": "secret", "n": "secret", "s": null, "l": [{"p": 1}, {}]}',
    "/o/c": GOOD,
    "/n/a": "8080",
    "/n/b": "secret",
    "/n/c": "9090",
    "/e/a": base64.b64encode(GOOD.encode()).decode(),
    "/e/b": "secret!",
    "/u": "1",
}

#: Jinja2 templates, and the key that each must name.
JINJA = [
    ("{% for p in gets('/m/*') %}{{ json(p.value).x.y }}{% endfor %}", "/m/b"),
    ("{% for k, v in gets('/m/*') %}{{ json(v).x.y }}{% endfor %}", "/m/b"),
    ("{% for v in getvs('/m/*') | reverse %}{{ (v | json).x.y }}{% endfor %}", "/m/b"),
    ("{% for k in ls('/m') %}{{ json(getv('/m/' ~ k)).x.y }}{% endfor %}", "/m/b"),
    ("{% for k in ls('/m') %}{% set d = json(getv('/m/' ~ k)) %}{{ d.n }}{% endfor %}", "/m/b"),
    ("{{ json(getv('/m/b')).x }}", "/m/b"),
    ("{% set all = gets('/m/*') %}{% set d = all[1].value | fromJson %}{{ d.x }}", "/m/b"),
    ("{% macro m(v) %}{{ json(v).x.y }}{% endmacro %}{% for p in gets('/m/*') %}{{ m(p.value) }}"
     "{% endfor %}", "/m/b"),
    ("{{ gets('/m/*') | map(attribute='value') | map('json') | map(attribute='n') | join }}",
     "/m/b"),
    # missing members
    ("{% for p in gets('/o/*') %}{{ json(p.value).x.y }}{% endfor %}", "/o/b"),
    ("{% for p in gets('/o/*') %}{{ json(p.value)['x']['y'] }}{% endfor %}", "/o/b"),
    ("{% for p in gets('/o/*') %}{% set d = json(p.value) %}\n{{ d.l[1].p }}{% endfor %}", "/o/b"),
    ("{% for p in gets('/o/*') %}{% for i in json(p.value).l %}{{ i.p }}{% endfor %}{% endfor %}",
     "/o/b"),
    ("{% for p in gets('/l/*') %}{% for i in jsonArray(p.value) %}{{ i.p }}{% endfor %}"
     "{% endfor %}", "/l/b"),
    ("{{ json(getv('/o/a')).nosuch }}", "/o/a"),
    ("{{ json(getv('/o/a')).nosuch.deeper }}", "/o/a"),
    ("{{ json(getv('/o/a'))['nosuch'] | upper }}", "/o/a"),
    ("{{ json(getv('/o/a')).n.deeper }}", "/o/a"),
    ("{{ json(getv('/o/a')).s.deeper }}", "/o/a"),
    ("{{ jsonArray(getv('/l/a'))[7] }}", "/l/a"),
    ("{{ jsonArray(getv('/l/a')).p }}", "/l/a"),
    ("{% if json(getv('/o/a')).nosuch %}x{% endif %}", "/o/a"),
    ("{% if json(getv('/o/a')).nosuch == 'x' %}x{% endif %}", "/o/a"),
    ("{% for i in json(getv('/o/a')).nosuch %}x{% endfor %}", "/o/a"),
    ("{{ 'x' ~ json(getv('/o/a')).nosuch }}", "/o/a"),
    ("{{ getv('/a').nosuch }}", "/a"),
    ("{{ getv('/a')[99] }}", "/a"),
    ("{{ getv('/a').split('-')[5] }}", "/a"),
    ("{{ (getv('/a') | split('-'))[5] }}", "/a"),
    ("{% for p in gets('/n/*') %}{{ p.Value }}{% endfor %}", "/n/a"),
    ("{% for p in gets('/m/*') %}{{ json(p.Value).x }}{% endfor %}", "/m/a"),
    # wrong kinds
    ("{% for p in gets('/l/*') %}{{ json(p.value).x }}{% endfor %}", "/l/a"),
    ("{{ jsonArray(getv('/o/a')) }}", "/o/a"),
    ("{{ json(getv('/o/a')).x }}", "/o/a"),
    ("{{ json(getv('/o/a')).l }}", "/o/a"),
    ("{{ json(getv('/o/b')).s }}", "/o/b"),
    ("{% for i in json(getv('/o/a')).n %}x{% endfor %}", "/o/a"),
    ("{% for a, b in jsonArray(getv('/l/c')) %}x{% endfor %}", "/l/c"),
    ("{{ json(getv('/o/a')).x.y.items() }}", "/o/a"),
    ("{{ json(getv('/o/a')).x() }}", "/o/a"),
    # arithmetic and comparisons
    ("{{ getv('/n/a') + 1 }}", "/n/a"),
    ("{{ 1 + getv('/n/a') }}", "/n/a"),
    ("{{ getv('/n/a') / 2 }}", "/n/a"),
    ("{{ -getv('/n/a') }}", "/n/a"),
    ("{{ '%d' % getv('/n/a') }}", "/n/a"),
    ("{% if getv('/n/a') > 5 %}x{% endif %}", "/n/a"),
    ("{% if 5 in json(getv('/o/a')).n %}x{% endif %}", "/o/a"),
    ("{{ json(getv('/o/a')).x.y + 1 }}", "/o/a"),
    ("{{ add(getv('/n/a'), 1) }}", "/n/a"),
    ("{{ 10 // (getv('/u') | int - 1) }}", "/u"),
    ("{{ div(10, atoi(getv('/n/a')) - 8080) }}", "/n/a"),
    # functions and filters
    ("{% for v in gets('/n/*') %}{{ atoi(v.value) }}{% endfor %}", "/n/b"),
    ("{% for v in gets('/n/*') %}{{ v.value | trim | atoi }}{% endfor %}", "/n/b"),
    ("{% for v in gets('/n/*') %}{% set p = v.value | port %}{{ p }}{% endfor %}", "/n/b"),
    ("{% for v in gets('/n/*') %}{{ v.value | integer }}{% endfor %}", "/n/b"),
    ("{{ parseBool(getv('/a')) }}", "/a"),
    ("{% for v in gets('/e/*') %}{{ json(base64Decode(v.value)).n }}{% endfor %}", "/e/b"),
    ("{{ seq(1, getv('/n/a')) | join }}", "/n/a"),
    ("{{ getv('/a') | one_of('x', 'y') }}", "/a"),
    ("{{ getvs('/n/*') | map('atoi') | sum }}", "/n/b"),
    ("{{ getvs('/n/*') | sum }}", "/n/a"),
    ("{% if getv('/a') != 'x' %}{{ fail('not x') }}{% endif %}", "/a"),
    ("{{ regexMatch('[', getv('/a')) }}", "/a"),
    ("{% set ns = namespace(t=0) %}{% for p in gets('/n/*') %}{% set ns.t = ns.t + atoi(p.value) %}"
     "{% endfor %}{{ ns.t }}", "/n/b"),
    ("{% macro m() %}{{ caller() }}{{ json(getv('/m/b')).x }}{% endmacro %}"
     "{% call m() %}{% endcall %}", "/m/b"),
    ("{% set x %}{{ json(getv('/m/b')).x }}{% endset %}{{ x }}", "/m/b"),
    ("{% filter upper %}{{ json(getv('/m/b')).x }}{% endfilter %}", "/m/b"),
    ("{% include 'inc.j2' %}", "/m/b"),
    ("{% for i in range(2) %}{% include 'inc.j2' %}{% endfor %}", "/m/b"),
]  # fmt: skip

#: The same for Go templates.
GO = [
    ('{{range gets "/m/*"}}{{$d := json .Value}}{{$d.x}}{{end}}', "/m/b"),
    ('{{range $i, $p := gets "/m/*"}}{{with json $p.Value}}{{.n}}{{end}}{{end}}', "/m/b"),
    ('{{range getvs "/m/*"}}{{(json .).n}}{{end}}', "/m/b"),
    ('{{range ls "/m"}}{{(json (getv (print "/m/" .))).n}}{{end}}', "/m/b"),
    ('{{range gets "/o/*"}}{{$d := json .Value}}{{$d.x.y}}{{end}}', "/o/b"),
    ('{{range gets "/n/*"}}{{atoi .Value}}{{end}}', "/n/b"),
    ('{{range gets "/n/*"}}{{.Value | atoi}}{{end}}', "/n/b"),
    ('{{add (getv "/n/a") 1}}', "/n/a"),
    ('{{$v := getv "/n/a"}}{{add $v 1}}', "/n/a"),
    ('{{range gets "/n/*"}}{{.value}}{{end}}', "/n/a"),
    ('{{range gets "/n/*"}}{{json .value}}{{end}}', "/n/a"),
    ('{{range getv "/a"}}x{{end}}', "/a"),
    ('{{(getv "/a").x}}', "/a"),
    ('{{index (jsonArray (getv "/l/a")) 7}}', "/l/a"),
    ('{{range gets "/e/*"}}{{(json (base64Decode .Value)).n}}{{end}}', "/e/b"),
    ('{{range gets "/l/*"}}{{range jsonArray .Value}}{{.p}}{{end}}{{json .Value}}{{end}}', "/l/a"),
    ('{{if gt (getv "/n/a") 5}}x{{end}}', "/n/a"),
    ('{{parseBool (getv "/a")}}', "/a"),
    ('{{define "t"}}{{(json .).n}}{{end}}{{range getvs "/m/*"}}{{template "t" .}}{{end}}', "/m/b"),
]  # fmt: skip


def snapshot() -> Snapshot:
    store = Store()
    items = tuple(KeyValue("/pre" + key, value.encode(), 1) for key, value in KEYS.items())
    store.apply(Listed("fake", 1, 5, items))
    return store.snapshot()


def fault(folder: Path, text: str, **how: str) -> RenderError:
    (folder / "t.j2").write_text(text)
    (folder / "inc.j2").write_text("{{ json(getv('/m/b')).x }}")
    resource = Resource(
        name="web",
        origin=Origin("web.toml"),
        src="t.j2",
        dest="/none",
        keys=("/",),
        prefix="/pre",
        **how,  # type: ignore[arg-type]
    )
    with pytest.raises(TemplateFault) as caught:
        Renderer(str(folder), {}).render(resource, snapshot())
    return caught.value


@pytest.mark.parametrize("form", ["", "nginx"])
@pytest.mark.parametrize(("text", "key"), JINJA)
def test_a_fault_of_a_jinja2_template_names_its_key(
    tmp_path: Path, text: str, key: str, form: str
) -> None:
    """In one line, this one alone, and no value."""
    _check(fault(tmp_path, text, engine="jinja2", format=form), key)


@pytest.mark.parametrize("form", ["", "nginx"])
@pytest.mark.parametrize(("text", "key"), GO)
def test_a_fault_of_a_go_template_names_its_key(
    tmp_path: Path, text: str, key: str, form: str
) -> None:
    """As in Jinja2."""
    _check(fault(tmp_path, text, engine="go", format=form), key)


def _check(found: RenderError, key: str) -> None:
    said = found.what
    named = [one for one in KEYS if f"/pre{one}" in said]
    assert key in named, str(found)
    assert named == [key] or set(named) <= {"/n/a", "/n/b", "/n/c"}, str(found)
    assert "secret" not in said and "sane-value" not in said and "8080" not in said, said
    assert "\n" not in said
