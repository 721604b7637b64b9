"""Rendering: bytes, what was read for them, and where errors are said to be."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pyconfd.errors import MissingKey, RenderError, TemplateFault
from pyconfd.model.keys import KeyValue, Listed
from pyconfd.model.resources import Origin, Resource
from pyconfd.model.steps import Rendered
from pyconfd.pipeline.render.renderer import Renderer
from pyconfd.pipeline.store import Snapshot, Store

KEYS = {"/app/a": "1", "/app/b": "2", "/app/json": '{"x": 1}'}


def snapshot(keys: dict[str, str], revision: int = 5) -> Snapshot:
    store = Store()
    items = tuple(KeyValue(key, value.encode(), 1) for key, value in keys.items())
    store.apply(Listed("fake", 1, revision, items))
    return store.snapshot()


def resource(src: str = "t.j2", keys: tuple[str, ...] = ("/app",), prefix: str = "/") -> Resource:
    return Resource(
        name="web", origin=Origin("web.toml"), src=src, dest="/none", keys=keys, prefix=prefix
    )


class Templates:
    """A templates folder and a renderer on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.renderer = Renderer(str(folder), {})

    def write(self, **files: str) -> Templates:
        """Files are given as keyword names; `t` becomes t.j2."""
        for name, text in files.items():
            (self.folder / f"{name}.j2").write_bytes(text.encode())
        self.renderer = self.renderer.refreshed()
        return self

    def render(self, keys: dict[str, str] = KEYS, **how: object) -> Rendered:
        return self.renderer.render(resource(**how), snapshot(keys))  # type: ignore[arg-type]

    def text(self, **files: str) -> str:
        return self.write(**files).render().content.decode()

    def fault(self, **files: str) -> RenderError:
        """How it fails to render; the place as below the templates folder."""
        with pytest.raises(RenderError) as caught:
            self.write(**files).render()
        return self.shortened(caught.value)

    def shortened(self, fault: RenderError) -> RenderError:
        """The fault with the place as below the templates folder."""
        assert fault.where.startswith(f"{self.folder}/")
        fault.where = fault.where.removeprefix(f"{self.folder}/")
        return fault


@pytest.fixture
def templates(tmp_path: Path) -> Templates:
    return Templates(tmp_path)


def test_rendered_says_what_it_was_made_from(templates: Templates) -> None:
    """Content, digest, reads and revision."""
    rendered = templates.write(t="a={{ getv('/app/a') }}\n{{ ls('/app') | length }}\n").render()
    assert rendered.content == b"a=1\n3\n"
    assert rendered.digest == hashlib.sha256(rendered.content).hexdigest()
    assert (rendered.reads.keys, rendered.reads.trees) == ({"/app/a"}, {"/app"})
    assert (rendered.revision, rendered.resource.name) == (5, "web")


def test_white_space_settings(templates: Templates) -> None:
    """Blocks leave no line, the last line break stays, no break is added."""
    assert templates.text(t="a\n  {% if true %}\n  b\n  {% endif %}\n\n") == "a\n  b\n\n"
    assert templates.text(t="no break") == "no break"
    assert templates.text(t="") == ""


def test_nothing_is_escaped_and_no_value_is_a_template(templates: Templates) -> None:
    """Values are printed as they are."""
    keys = {"/app/a": "<b>&\"'{{ 7 * 7 }}\r\n\tü"}
    rendered = templates.write(t="{{ getv('/app/a') }}").render(keys)
    assert rendered.content.decode() == keys["/app/a"]


MACROS = "{% macro value(key) %}\n<{{ getv(key) }}>\n{%- endmacro %}\n{% set all = ls('/app') %}\n"


@pytest.mark.parametrize(
    "text",
    [
        "{% import 'm.j2' as m %}\n{{ m.value('/app/a') }}{{ m.all | length }}",
        "{% from 'm.j2' import value, all %}\n{{ value('/app/a') }}{{ all | length }}",
        "{% import 'm.j2' as m with context %}\n{{ m.value('/app/a') }}{{ m.all | length }}",
        "{% include 'm.j2' %}\n{% from 'm.j2' import value %}\n{{ value('/app/a') }}3",
    ],
)
def test_macros_of_another_file_see_the_functions(templates: Templates, text: str) -> None:
    """With and without context, and what they read is recorded."""
    templates.write(m=MACROS, t=text)
    for keys in (KEYS, {**KEYS, "/app/a": "new"}):
        rendered = templates.render(keys)
        assert rendered.content.decode() == f"<{keys['/app/a']}>3"
        assert "/app/a" in rendered.reads.keys


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("[{{ 'x' if false }}]", "[]"),
        ("{{ 1.5 }} {{ 2 > 1 }} {{ 'a' ~ 1 ~ true }}", "1.5 true a1true"),
        ("{% filter upper %}a{% endfilter %}", "A"),
        ("{% autoescape true %}{{ '<' }}{% endautoescape %}", "<"),
    ],
)
def test_printed_values(templates: Templates, text: str, output: str) -> None:
    """An inline if without else is nothing on purpose; true is true also when it is joined."""
    assert templates.text(t=text) == output


def test_layouts(templates: Templates) -> None:
    """extends, blocks, super and call."""
    layout = "head\n{% block body %}\nold\n{% endblock %}\nend\n"
    text = (
        "{% extends 'l.j2' %}\n{% block body %}\n{{ super() }}{{ getv('/app/a') }}\n{% endblock %}"
    )
    assert templates.text(l=layout, t=text) == "head\nold\n1\nend\n"
    call = "{% macro m() %}[{{ caller(2) }}]{% endmacro %}{% call(x) m() %}{{ x }}{% endcall %}"
    assert templates.text(t=call) == "[2]"


def test_renders_at_once_do_not_see_each_other(templates: Templates) -> None:
    """Many threads, each with its own snapshot, through one imported file."""
    templates.write(
        m=MACROS,
        t="{% import 'm.j2' as m %}{% for i in range(50) %}{{ m.value('/app/a') }}{% endfor %}",
    )
    wrong: list[str] = []
    start = threading.Barrier(4)

    def work(name: str) -> None:
        start.wait(60)
        for _ in range(20):
            rendered = templates.render({"/app/a": name})
            if rendered.content.decode() != f"<{name}>" * 50:
                wrong.append(name)

    threads = [threading.Thread(target=work, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not wrong


def test_templates_stay_as_they_were_read(templates: Templates) -> None:
    """Also those that are included; whatever is edited, broken or removed, until `refreshed`."""
    assert templates.text(t="{% include 'i.j2' %}", i="old") == "old"
    assert templates.renderer.edited() == ()
    (templates.folder / "i.j2").write_text("{% if %}")
    assert templates.render().content == b"old"
    assert templates.renderer.edited() == ("i.j2",)
    (templates.folder / "t.j2").unlink()
    assert templates.render().content == b"old"
    assert templates.renderer.edited() == ("i.j2", "t.j2")
    assert templates.fault(t="{% include 'i.j2' %}").template == "i.j2"
    (templates.folder / "i.j2").unlink()
    assert "i.j2" in str(templates.fault(t="{% include 'i.j2' %}"))


def test_a_template_that_was_broken_is_read_again(templates: Templates) -> None:
    """There is nothing of it that could be kept."""
    assert templates.fault(t="{% if %}").line == 1
    (templates.folder / "t.j2").write_text("good")
    assert templates.render().content == b"good"


def test_a_refused_line_is_found_in_the_template_as_it_was_read(templates: Templates) -> None:
    """Not in what somebody has made of the file since."""
    rendered = templates.write(t="a\n{{ getv('/app/a') }}\n").render()
    assert rendered.content == b"a\n1\n"
    (templates.folder / "t.j2").write_text("a\nb\nc\n{{ getv('/app/b') }}\n")
    place = templates.renderer.place(resource(), snapshot(KEYS), 2)
    assert place is not None
    assert (place.template, place.line) == ("t.j2", 2)


def test_missing_key_names_everything(templates: Templates) -> None:
    """Key, resource, template and line, and what to do."""
    fault = templates.fault(t="x\n\n{{ getv('/app/nope') }}\n")
    assert isinstance(fault, MissingKey)
    assert (fault.key, fault.resource, fault.template, fault.line) == (
        "/app/nope",
        "web",
        "t.j2",
        3,
    )
    assert str(fault) == (
        "t.j2:3: key does not exist: /app/nope (resource web); the live file is unchanged"
        " (put the key, or give getv a default)"
    )


def test_failed_render_says_what_it_read(templates: Templates) -> None:
    """Only a change to that can mend it."""
    fault = templates.fault(t="{{ getv('/app/a') }}{{ getv('/app/nope') }}{{ getv('/app/b') }}")
    assert fault.read_keys == {"/app/a", "/app/nope"}


FAILING = "{{ getv('/nope') }}"


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"t": "a\nb {{ 1 }} c\n" + FAILING}, "t.j2:3"),
        (
            {"t": "{% for x in [1] %}\n\n{% if x %}\n" + FAILING + "{% endif %}{% endfor %}"},
            "t.j2:4",
        ),
        ({"t": "{% macro m() %}\n\n" + FAILING + "{% endmacro %}\n\n{{ m() }}"}, "t.j2:3"),
        ({"t": "a\n{% include 'i.j2' %}", "i": "\n\n" + FAILING}, "i.j2:3"),
        (
            {
                "t": "{% import 'm.j2' as m %}\n{{ m.m() }}",
                "m": "x\n{% macro m() %}{{ 1 }}\n" + FAILING + "\n{% endmacro %}",
            },
            "m.j2:3",
        ),
        (
            {
                "t": "{% extends 'l.j2' %}\n{% block b %}\n" + FAILING + "{% endblock %}",
                "l": "1\n2\n3\n4\n{% block b %}{% endblock %}",
            },
            "t.j2:3",
        ),
        ({"t": "{% set x %}\na\n" + FAILING + "\n{% endset %}"}, "t.j2:3"),
        ({"t": "{{ [\n1,\ngetv('/nope')] | join }}"}, "t.j2:3"),
        ({"t": "a\n{% filter upper %}\n" + FAILING + "{% endfilter %}"}, "t.j2:3"),
        ({"t": "{% for x in gets('/nope/[') %}{% endfor %}"}, "t.j2:1"),
    ],
)
def test_error_is_at_the_innermost_template_line(
    templates: Templates, files: dict[str, str], place: str
) -> None:
    """Through loops, macros, includes, imports, layouts."""
    assert templates.fault(**files).where == place


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\n{{ getvz('/a') }}", "t.j2:2: 'getvz' is undefined; *(did you mean getv?)"),
        ("{{ x.y }}", "t.j2:1: 'x' is undefined; *"),
        (
            "{{ get('/app/a').Key }}",
            "*'pair' has no attribute 'Key' (it comes from /app/a); *(did you mean .key?)",
        ),
        ("{{ 1 | upercase }}", "t.j2:1: No filter named 'upercase'; *"),
        ("{{ 'x' | uper }}", "*(did you mean upper?)"),
        ("{% if x %}", "t.j2:1: Unexpected end of template. *"),
        ("\n\n{{ 'x' }", "t.j2:3: neither Jinja2 (line 3: unexpected '}') nor *(line 3: *"),
        ("{% endif %}", "t.j2:1: *"),
        ("{{ json('secret') }}", "t.j2:1: not JSON: *"),
        ("{{ div(1, 0) }}", "t.j2:1: div: division by zero; *"),
        ("{{ 1 / 0 }}", "t.j2:1: ZeroDivisionError: division by zero; *"),
        ("{{ getv() }}", "t.j2:1: TypeError: *getv() missing 1 required*"),
        ("{{ none }}", "t.j2:1: nothing (none) cannot be printed*"),
        ("{{ ls('/app') }}", "t.j2:1: a list cannot be printed*"),
        ("{{ get('/app/a') }}", "t.j2:1: a pair cannot be printed: print its .key or .value*"),
        ("{{ getv }}", "t.j2:1: a * cannot be printed: is a call missing?*"),
        ("{{ namespace(x=1) }}", "t.j2:1: a Namespace cannot be printed*"),
        ("{{ cycler(1) }}", "t.j2:1: a * cannot be printed*"),
        ("{% for x in [1] %}{{ loop }}{% endfor %}", "t.j2:1: a * cannot be printed*"),
        ("{{ ['a'] | map('upper') }}", "t.j2:1: a list cannot be printed*"),
        ("{% include 'no.j2' %}", "t.j2:1: template does not exist: *no.j2; *"),
        ("\n{% include '../t.j2' %}", "t.j2:2: *outside the templates folder*"),
        ("{% include '/etc/passwd' %}", "t.j2:1: *outside the templates folder*"),
        ("{% include 't.j2' %}", "t.j2:1: templates or macros call each other without end; *"),
        ("{{ getv(1) }}", "t.j2:1: *"),
    ],
)
def test_fault_says_what_and_where(templates: Templates, text: str, says: str) -> None:
    """In one line, with a near miss where there is one."""
    from fnmatch import fnmatchcase

    fault = templates.fault(t=text)
    assert isinstance(fault, TemplateFault)
    assert " (resource web); " in str(fault)
    assert fnmatchcase(str(fault).replace(" (resource web)", ""), says), str(fault)
    assert "secret" not in str(fault)
    assert "\n" not in str(fault)


def test_syntax_error_of_an_included_file_names_that_file(templates: Templates) -> None:
    """Not the file that includes it."""
    assert templates.fault(t="a\n{% include 'i.j2' %}", i="\n\n{% if %}").where == "i.j2:3"


def test_files_that_are_no_template(templates: Templates) -> None:
    """Missing, a folder, or no text."""
    for src in ("none.j2", ".", "../t.j2", "/etc/hostname"):
        with pytest.raises(TemplateFault) as caught:
            templates.render(src=src)
        assert caught.value.where == os.path.join(templates.folder, src)
    (templates.folder / "t.j2").write_bytes(b"a\n\xff\n")
    with pytest.raises(TemplateFault, match="not UTF-8 text in line 2"):
        templates.render()


@pytest.mark.parametrize("key", ["/app/x\udcff"])
def test_output_that_cannot_be_utf8(templates: Templates, key: str) -> None:
    """A key name that is not UTF-8 cannot be printed."""
    templates.write(t="{{ ls('/app') | join }}")
    with pytest.raises(TemplateFault, match="not UTF-8"):
        templates.render({key: "1"})


Compile = Callable[..., RenderError | None]


@pytest.fixture
def compiled(templates: Templates) -> Compile:
    def compiled(**files: str) -> RenderError | None:
        """The first fault."""
        found = templates.write(**files).renderer.faults(resource())
        return templates.shortened(found[0]) if found else None

    return compiled


def test_all_faults_of_a_template_are_found(templates: Templates) -> None:
    """Those of what it includes as well, each once, with its line."""
    templates.write(
        t="{{ nosuch() }}\n{{ 1 | nope }}{{ 1 is odder }}\n{{ server }}\n{{ ls('/other') }}\n"
        "{% include 'broken.j2' %}{% include 'inc.j2' %}\n{% include 'none.j2' %}\n",
        broken="a\n{% if %}{% endif %}",
        inc="{{ getx() }}\n{{ getx() }}\n",
    )
    found = [templates.shortened(fault) for fault in templates.renderer.faults(resource())]
    assert sorted(f"{fault.where} {fault.what}" for fault in found) == [
        "broken.j2:2 Expected an expression, got 'end of statement block'",
        "inc.j2:1 'getx' is undefined",
        "inc.j2:2 'getx' is undefined",
        "t.j2:1 'nosuch' is undefined",
        "t.j2:2 No filter named 'nope'",
        "t.j2:2 No test named 'odder'",
        "t.j2:3 'server' is undefined",
        "t.j2:4 the keys of this resource do not cover /other",
        f"t.j2:6 template does not exist: {templates.folder}/none.j2",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "{% if x is defined %}{{ x }}{% endif %}",
        "{{ x | default('y') }}",
        "{{ (x.y | d('y')) }}",
        "{% for x in [1] %}{{ loop.index }}{{ x }}{% endfor %}",
        "{% macro m(x) %}{{ x }}{{ varargs }}{{ kwargs }}{% endmacro %}",
        "{% set x = 1 %}{{ x }}",
        "{% set x %}a{% endset %}{{ x }}",
        "{% with x = 1 %}{{ x }}{% endwith %}",
        "{% call(x) m() %}{{ x }}{% endcall %}{% macro m() %}{{ caller(1) }}{% endmacro %}",
        "{{ node.name }}{{ range(3) | list | length }}{{ namespace(a=1).a }}",
    ],
)
def test_a_name_that_may_be_defined_is_no_fault(templates: Templates, text: str) -> None:
    """Only what no render could know."""
    assert templates.write(t=text).renderer.faults(resource()) == []


def test_a_pattern_defines_its_name(templates: Templates) -> None:
    """`name` is known to a resource with `each`, and to no other."""
    templates.write(t="{{ name }}")
    assert templates.renderer.faults(replace(resource(), each="/app")) == []
    (fault,) = templates.renderer.faults(resource())
    assert "'name' is undefined" in fault.what


def test_compiling_needs_no_keys(compiled: Compile) -> None:
    """What would be a missing key is fine."""
    assert compiled(t="{{ getv('/app/nope') }}{% macro m() %}{{ caller() }}{% endmacro %}") is None


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"t": "a\n{% if %}"}, "t.j2:2"),
        ({"t": "a\n{{ nosuch(1) }}"}, "t.j2:2"),
        ({"t": "{% if false %}\n{{ 1 | nosuch }}{% endif %}"}, "t.j2:2"),
        ({"t": "\n{% include 'no.j2' %}"}, "t.j2:2"),
        ({"t": "\n{% import 'm.j2' as m %}", "m": "\n\n{{ nosuch() }}"}, "m.j2:3"),
        ({"t": "\n{% extends 'm.j2' %}", "m": "{% include 'n.j2' %}", "n": "{{ 1 }"}, "n.j2:1"),
    ],
)
def test_compiling_finds_faults_of_all_templates(
    compiled: Compile, files: dict[str, str], place: str
) -> None:
    """Syntax, unknown functions and filters, missing files; also in branches not taken."""
    fault = compiled(**files)
    assert fault is not None
    assert fault.where == place


@pytest.mark.parametrize(
    ("ask", "path"),
    [
        ("exists('/svc/a')", "/svc/a"),
        ("getv('/svc/a', 'x')", "/svc/a"),
        ("gets('/svc/*')", "/svc/*"),
        ("getvs('/svc/*/a')", "/svc/*/a"),
        ("ls('/svc')", "/svc"),
        ("lsdir('/svc')", "/svc"),
        ("gets('app/*')", "app/*"),
        ("getv('app/x', 'y')", "app/x"),
    ],
)
def test_asking_for_keys_that_are_not_declared_is_a_fault(
    templates: Templates, compiled: Compile, ask: str, path: str
) -> None:
    """Not an empty answer, and a fault of check where the path is literal."""
    found = compiled(t="{{ " + ask + " }}")
    assert found is not None
    assert path in found.what
    computed = ask.replace(f"'{path}'", "path")
    fault = templates.fault(t="{% set path = '" + path + "' %}{{ " + computed + " }}")
    assert path in str(fault)


def test_what_lies_above_the_declared_keys_may_be_listed(compiled: Compile) -> None:
    """It leads to them."""
    assert compiled(t="{{ ls('/') }}{{ gets('/*/x') }}{{ gets('/app/*') }}") is None


def test_compiling_lets_be_what_only_a_render_can_tell(compiled: Compile) -> None:
    """Computed names, files that may be missing, files that include each other."""
    assert compiled(t="{% include getv('/app/x') %}{% include 'no.j2' ignore missing %}") is None
    assert compiled(t="{% include 'u.j2' %}", u="{% include 't.j2' %}") is None


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ {'x': 1}[getv('/app/a')] }}", "has no attribute (the value of /app/a)"),
        ("{{ {'x': 1}.pop(getv('/app/a')) }}", "KeyError: (the value of /app/a)"),
        ("{{ ['x'].index(getv('/app/a')) }}", "(the value of /app/a) is not in list"),
        ("{{ 1 | attr(getv('/app/b')) }}", "has no attribute (the value of /app/b)"),
        ("{{ 'x' | map(getv('/app/a')) | list }}", "No filter named (the value of /app/a)"),
        ("{{ getv('/app/a').nosuch }}", "'str object' has no attribute 'nosuch'"),
        ("{{ {'x': 1}.word }}", "'dict object' has no attribute 'word'"),
    ],
)
def test_a_value_that_is_used_as_a_name_is_told_by_its_key(
    templates: Templates, template: str, said: str
) -> None:
    """Values are never logged; what stands in the template is said as it stands there."""
    keys = {"/app/a": "s3cret", "/app/b": "o'ther \n", "/app/c": "word"}
    templates.write(t=template)
    with pytest.raises(TemplateFault) as caught:
        templates.render(keys)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "files",
    [
        {
            "t": "{% extends 'base.j2' %}{% from 'm.j2' import m %}"
            "{% block x %}{{ m() }}{% endblock %}",
            "base": "{% block x %}{% endblock %}",
            "m": "{% macro m() %}m{% endmacro %}",
        },
        {
            "t": "{% extends 'base.j2' %}{% import 'm.j2' as n %}"
            "{% block x %}{{ n.m() }}{% endblock %}",
            "base": "{% block x %}{% endblock %}",
            "m": "{% macro m() %}m{% endmacro %}",
        },
        {
            "t": "{% macro m() %}m{% endmacro %}{% block x %}{{ m() }}{% endblock %}",
        },
        {
            "t": "{% macro m() %}m{% endmacro %}{% include 'part.j2' %}",
            "part": "{{ m() }}",
        },
        {
            "t": "{% set m = joiner('m') %}{{ m() }}{% block x %}{{ m() }}{% endblock %}",
        },
    ],
    ids=["from", "import", "macro", "include", "set"],
)
def test_what_renders_compiles(templates: Templates, files: dict[str, str]) -> None:
    """Blocks and included templates call what the top of another template defines."""
    assert templates.text(**files) == "m"
    assert templates.renderer.faults(resource()) == []


def test_templates_that_include_each_other_often_are_compiled_once(templates: Templates) -> None:
    """Sixty levels, each included twice by the one above."""
    for level in range(60):
        below = f"{{% include 'l{level + 1}.j2' %}}"
        templates.write(**{f"l{level}": f"{{% if exists('/app/none') %}}{below * 2}{{% endif %}}"})
    templates.write(l60="x", t="{% include 'l0.j2' %}")
    assert templates.renderer.faults(resource()) == []


def test_a_fault_names_the_key_that_was_read_and_no_other_of_its_value(
    templates: Templates,
) -> None:
    """Whatever else the store holds; what the template has not asked for is not looked through."""
    templates.write(t="{{ {'x': 1}[getv('/app/a')] }}")
    with pytest.raises(TemplateFault) as caught:
        templates.renderer.render(
            resource(keys=("/",)), snapshot({"/aaa": "secret", "/app/a": "secret"})
        )
    assert "(the value of /app/a)" in str(caught.value)
    assert "/aaa" not in str(caught.value)
