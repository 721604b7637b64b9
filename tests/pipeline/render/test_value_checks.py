"""Values are data: what a resource with a format may print, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyconfd.errors import TemplateFault
from pyconfd.model.keys import KeyValue, Listed
from pyconfd.model.resources import Origin, Resource
from pyconfd.pipeline.render.formats import format_names, load_format
from pyconfd.pipeline.render.renderer import Renderer
from pyconfd.pipeline.store import Store

HOSTILE = "1.2.3.4:80; } server { listen 9999; } upstream x { server 5.6.7.8:80"
SITE = """\
upstream {{ getv("/name") }} {
{% for member in getvs("/up/*") %}
  server {{ member }};
{% endfor %}
}
"""


class Site:
    """A templates folder and a resource with a format."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.renderer = Renderer(str(folder), {"EVIL": "a;b"})

    def render(self, template: str, keys: dict[str, str], kind: str = "nginx", **files: str) -> str:
        for name, text in {"t": template, **files}.items():
            path = self.folder / f"{name}.j2"
            if not path.exists() or path.read_text() != text:
                path.write_text(text)
                self.renderer = self.renderer.refreshed()
        resource = Resource(
            name="site",
            origin=Origin("site.toml"),
            src="t.j2",
            dest="/none",
            prefix="/n",
            keys=("/",),
            format=kind,
        )
        store = Store()
        items = tuple(KeyValue("/n" + key, value.encode(), 1) for key, value in keys.items())
        store.apply(Listed("fake", 1, 1, items))
        return self.renderer.render(resource, store.snapshot()).content.decode()

    def refusal(
        self, template: str, keys: dict[str, str], kind: str = "nginx", **files: str
    ) -> str:
        with pytest.raises(TemplateFault) as caught:
            self.render(template, keys, kind, **files)
        return str(caught.value).replace(f"{self.folder}/", "")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_plain_values_are_printed(site: Site) -> None:
    """Names, addresses, sizes, paths, wildcards and other scripts are data."""
    keys = {"/name": "*.example.com", "/up/a": "[::1]:80", "/up/b": "unix:/run/é_x-1.sock"}
    assert site.render(SITE, keys) == (
        "upstream *.example.com {\n  server [::1]:80;\n  server unix:/run/é_x-1.sock;\n}\n"
    )


def test_hostile_value_is_refused_by_name_of_key_and_line(site: Site) -> None:
    """The one that passes nginx -t everywhere else; it is not printed itself."""
    said = site.refusal(SITE, {"/name": "x", "/up/a": HOSTILE})
    assert said == (
        "t.j2:3: the value of /n/up/a contains ';', which nginx may read as syntax (resource site);"
        " the live file is unchanged (| quoted puts it in quotes, | raw prints it as it is)"
    )


@pytest.mark.parametrize(
    "template",
    [
        "{{ getv('/v') | upper }}",
        "{{ getv('/v') | split(',') | first }}",
        "{{ 'server %s' | format(getv('/v')) }}",
        "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(getv('/v') | replace('a', 'b')) }}",
        "{{ getv('/v') | replace('a', 'b') | quoted }}",
    ],
)
def test_a_refused_text_names_the_keys_that_it_was_made_of(site: Site, template: str) -> None:
    """It is no value of one key any more."""
    said = site.refusal("\na " + template + ";", {"/v": "a;$b", "/other": "x"})
    assert said.startswith("t.j2:2: the value contains ")
    assert "(it is made of /n/v)" in said


def test_a_refused_name_of_a_pattern_is_named(tmp_path: Path) -> None:
    """The template knows it as `name`."""
    (tmp_path / "t.j2").write_text("server_name {{ name }};\n")
    pattern = Resource(
        name="p",
        origin=Origin("p.toml"),
        src="t.j2",
        dest="/none/{name}",
        prefix="/n",
        each="/sites",
        keys=("/",),
        format="nginx",
    )
    with pytest.raises(TemplateFault, match=r"the name of '/n/sites/a;b' contains ';'"):
        Renderer(str(tmp_path), {}).render(pattern.for_item("a;b"), Store().snapshot())


@pytest.mark.parametrize(
    "char", list(";{}'\"$#\\ \t\n\r\0\x0b\x1f\x7f\x85\xa0\u2028\u3000\u202e\u2066\u200f")
)
@pytest.mark.parametrize("place", ["{}x", "x{}", "x{}y", "{}"])
def test_no_character_of_nginx_gets_through(site: Site, char: str, place: str) -> None:
    """Wherever it stands in the value."""
    assert "/n/v contains" in site.refusal("a {{ getv('/v') }};", {"/v": place.replace("{}", char)})


WAYS = [
    "{{ get('/v').value }}",
    "{% for key, value in gets('/*') %}{{ value }}{% endfor %}",
    "{{ getvs('/v')[0] }}",
    "{{ getvs('/*') | join(',') }}",
    "{{ join(getvs('/*'), ',') }}",
    "{{ gets('/*') | join(', ', attribute='value') }}",
    "{{ gets('/*') | map(attribute='value') | join }}",
    "{{ 'server ' ~ getv('/v') ~ ';' }}",
    "{{ 'server ' + getv('/v') }}",
    "{{ 'server %s' | format(getv('/v')) }}",
    "{{ 'server %s' % getv('/v') }}",
    "{{ 'server {}'.format(getv('/v')) }}",
    "{{ getv('/none', getv('/v')) }}",
    "{{ getv('/v') | upper }}",
    "{{ getv('/v') | indent(2) }}",
    "{{ indent(2, getv('/v')) }}",
    "{{ nindent(2, getv('/v')) }}",
    "{{ 'a\\nb' | indent(getv('/v')) }}",
    "{{ getv('/v') | safe }}",
    "{{ getv('/v') | trim }}",
    "{{ getv('/v') | string }}",
    "{{ getv('/v') | replace('zzz', '') }}",
    "{{ 'X' | replace('X', getv('/v')) }}",
    "{{ getv('/v') | split(',') | first }}",
    "{{ [getv('/v')] | first }}",
    "{{ {'a': getv('/v')}.a }}",
    "{{ toJson(getv('/v')) }}",
    "{{ getv('/v') | squote }}",
    "{{ squote(getv('/v')) }}",
    "{{ '\"' ~ getv('/v') ~ '\"' }}",
    "{% set x = getv('/v') %}{{ x }}",
    "{% set x %}{{ getv('/v') }}{% endset %}{{ x }}",
    "{% set x | upper %}{{ getv('/v') }}{% endset %}{{ x }}",
    "{% set y = getv('/v') %}{% set x | replace('X', y) %}X{% endset %}{{ x }}",
    "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(getv('/v')) }}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{{ getv('/v') }}{% endcall %}",
    "{% filter upper %}{{ getv('/v') }}{% endfilter %}",
    "{% filter replace('X', getv('/v')) %}X{% endfilter %}",
    "{% filter indent(getv('/v')) %}X\nX{% endfilter %}",
    "{% import 'i.j2' as i %}{{ i.m(getv('/v')) }}",
    "{% import 'i.j2' as i %}{{ i.x }}",
    "{% set x = getv('/v') %}{% include 'p.j2' %}",
    "{% with x = getv('/v') %}{{ x }}{% endwith %}",
    "{{ ls('/names')[0] }}",
    "{{ lsdir('/')[0] ~ ls('/names') | join }}",
    "{{ gets('/names/*')[0].key }}",
    "{{ json(getv('/j')).a }}",
    "{{ (getv('/j') | fromJson).b[0] }}",
    "{{ json(getv('/j')) | join }}",
    "{{ json(getv('/j')) }}",
    "{{ getenv('EVIL') }}",
    "{{ getv('/v') | words }}",
    "{{ getv('/v') | list | join }}",
    "{{ cycler(getv('/v')).next() }}",
    "{% for x in [1] %}{{ loop.cycle(getv('/v')) }}{% endfor %}",
    "{{ getv('/v') | default('x') }}",
    "{{ getv('/v') if true else 'x' }}",
    "{{ (getv('/v'), 1) | first }}",
    "{{ namespace(x=getv('/v')).x }}",
    "{{ base64Decode(base64Encode(getv('/v'))) }}",
    "{{ dict(a=getv('/v')).values() | list | first }}",
    "{{ getv('/v') | tojson }}",
    "{{ getv('/v') | pprint }}",
    "{{ getv('/v') | urlize }}",
    "{{ getv('/v') | center(100) }}",
    "{{ getv('/v') | e }}",
    "{{ (getv('/v') | raw)[0:] }}",
    "{{ getv('/v') | raw | replace('zzz', '') }}",
]


@pytest.mark.parametrize("template", WAYS)
def test_no_way_around(site: Site, template: str) -> None:
    """Whatever a template does with a value, its text is judged where it is printed."""
    keys = {
        "/v": "a;b",
        "/names/x;y": "1",
        "/j": '{"a": "x;y", "b": [";"], "x;y": 1}',
    }
    files = {
        "i": "{% macro m(x) %}{{ x }}{% endmacro %}{% set x = getv('/v') %}",
        "p": "{{ x }}",
    }
    said = site.refusal("a " + template + ";\n", keys, **files)
    assert "contains" in said or "cannot be printed" in said
    assert "a;b" not in said


@pytest.mark.parametrize(
    ("template", "output"),
    [
        ("{{ 'a b;' }}", "a b;"),
        ("{{ 'return 503;' if not exists('/none') else '' }}", "return 503;"),
        ("{% set x = '; ' %}{{ x }}", "; "),
        ("{% for x in ['a;', 'b {}'] %}{{ x }}{% endfor %}", "a;b {}"),
        ("{{ {'a': '$x'}.a }}", "$x"),
        ("{{ 'server ' ~ getv('/v') ~ ';' }}", "server v;"),
        ("{{ ['a', getv('/v')] | join(' ') }}", "a v"),
        ("{{ join(['a', getv('/v')], ' ') }}", "a v"),
        ("{{ gets('/v') | join(', ', attribute='value') }}", "v"),
        (
            "{% macro m(x) %}server {{ x }};\n{% endmacro %}{{ m(getv('/v')) | indent(2) }}",
            "server v;\n",
        ),
        ("{% set b %}a {{ getv('/v') }};{% endset %}{{ b }}{{ b | trim | upper }}", "a v;A V;"),
        ("{% filter indent(2, first=true) %}a {{ getv('/v') }};{% endfilter %}", "  a v;"),
        ("{% macro m() %}a {{ caller() }};{% endmacro %}{% call m() %}b;{% endcall %}", "a b;;"),
        ("{{ indent(2, 'a;') }}{{ nindent(2, 'b;') }}", "  a;\n  b;"),
        ("{{ getv('/n') | atoi + 1 }} {{ true }} {{ 1.5 }} {{ 'x' if false }}", "8 true 1.5 "),
        ("{{ getv('/none', 'a; b') }}", "a; b"),
        ("{{ getv('/odd') | raw }}", "a; b"),
        ("{{ getv('/odd') | quoted }}", '"a; b"'),
        ("{{ quote(getv('/odd')) }}{{ 'x' | quote }}", '"a; b""x"'),
        ("{{ getv('/q') | quoted }}", '"\\"\\\\"'),
        ("{{ getv('/two') | words }}", "a b"),
        ("{{ getv('/empty') }}{{ getv('/empty') | quoted }}", '""'),
        ("{{ ('x ' ~ getv('/two')) | quoted }}", '"x a  b"'),
        (
            "{% extends 'l.j2' %}{% block b %}{{ super() }}c {{ getv('/v') }};{% endblock %}",
            "a;b;c v;",
        ),
        ("{% import 'i.j2' as i %}{{ i.m(getv('/v')) }}{{ i.text }}", "m v;t;"),
    ],
)
def test_what_the_author_wrote_is_not_judged(site: Site, template: str, output: str) -> None:
    """Constants, macros, blocks, layout; and values that the author answers for."""
    keys = {"/v": "v", "/n": "7", "/odd": "a; b", "/q": '"\\', "/two": "a  b", "/empty": ""}
    files = {
        "l": "a;{% block b %}b;{% endblock %}",
        "i": "{% macro m(x) %}m {{ x }};{% endmacro %}{% set text = 't;' %}",
    }
    assert site.render(template, keys, **files) == output


@pytest.mark.parametrize(
    ("kind", "value", "quoted"),
    [
        ("nginx", "a b;{}#'", '"a b;{}#\'"'),
        ("nginx", 'a"\\', '"a\\"\\\\"'),
        ("haproxy", 'a "$x" #\\', "'a \"$x\" #\\'"),
        ("apache", 'a "b" <c> #', '"a \\"b\\" <c> #"'),
        ("keepalived", "a !{}#", '"a !{}#"'),
    ],
)
def test_quoted_values(site: Site, kind: str, value: str, quoted: str) -> None:
    """In the format's own quotes and escapes."""
    assert site.render("x {{ getv('/v') | quoted }}\n", {"/v": value}, kind) == f"x {quoted}\n"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("nginx", "$host"),
        ("nginx", "a\nb"),
        ("haproxy", "it's"),
        ("haproxy", "%[env(HOME)]"),
        ("apache", "${HOME}"),
        ("apache", "%{ENV:X}"),
        ("keepalived", '"'),
        ("keepalived", "$X"),
    ],
)
def test_what_quotes_do_not_tame_is_refused(site: Site, kind: str, value: str) -> None:
    """Variables, the quote where it has no escape, line breaks."""
    said = site.refusal("x {{ getv('/v') | quoted }}\n", {"/v": value}, kind)
    assert "/n/v contains" in said
    assert f"which {kind} may read as syntax even in quotes" in said


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("haproxy", "a b"),
        ("haproxy", "%[src]"),
        ("haproxy", "a\nlisten x"),
        ("apache", "x>"),
        ("apache", "%{X}"),
        ("apache", "a\\"),
        ("keepalived", "x!y"),
        ("keepalived", "@id"),
        ("keepalived", "a}"),
    ],
)
def test_other_formats(site: Site, kind: str, value: str) -> None:
    """As data, without a word of code."""
    assert "/n/v contains" in site.refusal("x {{ getv('/v') }}\n", {"/v": value}, kind)


def test_value_in_the_place_of_a_directive(site: Site) -> None:
    """A map's key called include would read a file."""
    template = (
        "map $a $b {\n{% for k, v in gets('/map/*') %}\n{{ base(k) }} {{ v }};\n{% endfor %}}"
    )
    assert "a.test b;" in site.render(template, {"/map/a.test": "b"})
    said = site.refusal(template, {"/map/Include": "/etc/passwd"})
    assert "a value would be the directive Include in line 2 of the output" in said
    assert "include x;" in site.render("{{ 'include' }} {{ getv('/v') }};", {"/v": "x"})


def test_structure_is_compared(site: Site) -> None:
    """The second line: a text that only looks formed is found by the shape of the output."""
    from pyconfd.pipeline.render.function_errors import FunctionFault
    from pyconfd.pipeline.render.structure import compare

    for text in ("server a b;", "server a; b c;", "server a { }", "server a #;"):
        with pytest.raises(FunctionFault, match="in its line 2"):
            compare("x y;\n" + text, "x y;\nserver x;", load_format("nginx"))


def test_unknown_format_is_a_fault(site: Site) -> None:
    """Also when only compiling."""
    assert "unknown format 'ngnix'" in site.refusal("a", {}, "ngnix")


def test_same_template_in_two_formats(site: Site) -> None:
    """Compiled code is not shared between them."""
    template = "{{ 'a' | quoted }}"
    assert site.render(template, {}, "nginx") == '"a"'
    assert site.render(template, {}, "haproxy") == "'a'"
    assert "the resource to have a format" in site.refusal(template, {}, "")
    assert site.render("{{ 'a;' | raw }}{{ '%s' | format(getv('/v')) }}", {"/v": ";"}, "") == "a;;"


def test_every_format_is_whole(site: Site) -> None:
    """Each file loads, and refuses what begins its comments and what delimits."""
    assert format_names() == (
        "apache",
        "cron",
        "csync2",
        "haproxy",
        "keepalived",
        "nginx",
        "rsyncd",
    )
    for name in format_names():
        rules = load_format(name)
        assert set(rules.structure.comment) <= set(rules.refused)
        assert {'"', "'", "\\"} <= set(rules.refused)
        assert rules.structure.ends == "\n" or rules.structure.ends in rules.refused
        for text in (*rules.refused, *rules.first, *rules.directives):
            with pytest.raises(TemplateFault):
                site.render("{{ getv('/a') }}", {"/a": text}, name)
        assert rules.weight["min"] < rules.weight["max"]


@pytest.mark.parametrize("kinds", [("", "nginx"), ("nginx", "")], ids=["plain-first", "last"])
def test_macros_that_join_serve_resources_with_and_without_a_format(
    site: Site, kinds: tuple[str, str]
) -> None:
    """Their file is compiled once, whoever comes first."""
    macros = "{% macro all(of) %}{{ of | join(' ') }}{% endmacro %}"
    template = "{% import 'm.j2' as m %}{{ m.all(getvs('/*')) }};"
    for kind in kinds:
        assert site.render(template, {"/a": "x", "/b": "y"}, kind, m=macros) == "x y;"


@pytest.mark.parametrize("value", ["|/bin/sh", "|$/bin/sh", "||/bin/sh -c x"])
@pytest.mark.parametrize("how", ["", " | quoted"])
def test_a_piped_log_is_no_data_to_apache(site: Site, value: str, how: str) -> None:
    """`CustomLog |program` runs it as root, in quotes too."""
    template = f"CustomLog {{{{ getv('/log'){how} }}}} agent\n"
    with pytest.raises(TemplateFault, match="which apache may read as syntax"):
        site.render(template, {"/log": value}, "apache")
