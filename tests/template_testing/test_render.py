"""`pyconfd.render`: templates over keys of a test, without a store."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import pyconfd

Add = Callable[..., None]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "templates").mkdir()
    return tmp_path


@pytest.fixture
def add(site: Path) -> Add:
    """A resource and its template."""

    def add(name: str, template: str, more: str = "", dest: str = "") -> None:
        (site / "templates" / f"{name}.j2").write_text(template)
        (site / "conf.d" / f"{name}.toml").write_text(
            f'[template]\nsrc = "{name}.j2"\ndest = "{dest or f"/x/{name}"}"\nkeys = ["/web"]\n'
            + more
        )

    return add


KEYS = {"/web/name": "www.example.com", "/web/port": 8080}


def test_a_resource_is_rendered_as_the_daemon_does(site: Path, add: Add) -> None:
    """With its keys, its prefix, the [vars] beside it, and the templates that it includes."""
    (site / "pyconfd.toml").write_text('prefix = "/prod"\n[vars]\nzone = "eu1"\n')
    (site / "templates" / "zone").write_text("zone {{ vars.zone }}")
    add("www", "{{ getv('/web/name') }}:{{ getv('/web/port') }} {% include 'zone' %};\n")
    keys = {"prod": {"web": {"name": "www", "port": 8080}}}
    assert pyconfd.render("www", keys, confdir=site) == "www:8080 zone eu1;\n"
    assert pyconfd.render("www", keys, confdir=site, vars={"zone": "us2"}).endswith("zone us2;\n")


@pytest.mark.parametrize(
    ("template", "keys", "output"),
    [
        ("port {{ getv('/web/port') }}", KEYS, "port 8080"),
        ('port {{getv "/web/port"}}', KEYS, "port 8080"),  # a Go template
        ("{% for n in ls('/web') %}{{ n }} {% endfor %}", KEYS, "name port "),
        ("{{ getv('/l/1') }}{{ getv('/t') }}", {"l": ["a", "b"], "t": True, "none": None}, "btrue"),
        ("{{ getv('/raw') }}", {"/raw": b"caf\xc3\xa9"}, "café"),
        ("[{{ getenv('HOME', '') }}]", {}, "[]"),
        ("no key\n", {}, "no key\n"),
    ],
)
def test_a_text_is_rendered_over_keys(template: str, keys: dict[str, object], output: str) -> None:
    """Both languages; keys as paths or nested; nothing of this machine."""
    assert pyconfd.render(template, keys) == output


def test_a_file_is_rendered_with_its_neighbours(site: Path) -> None:
    """What it includes lies beside it, or in the confdir that holds it."""
    (site / "templates" / "nginx").mkdir()
    (site / "templates" / "nginx" / "www.j2").write_text("{% include 'head.j2' %}{{ name }}\n")
    (site / "templates" / "head.j2").write_text("# head\n")
    (site / "templates" / "nginx" / "head.j2").write_text("# nearer head\n")
    path = site / "templates" / "nginx" / "www.j2"
    assert pyconfd.render(path, {}, name="a") == "# nearer head\na\n"
    assert pyconfd.render(path, {}, name="a", confdir=site) == "# head\na\n"


def test_keys_can_be_in_a_file(tmp_path: Path) -> None:
    """As `pyconfd check --values` takes them."""
    (tmp_path / "keys.yaml").write_text("web: {port: 8080}\n")
    assert pyconfd.render("{{ getv('/web/port') }}", tmp_path / "keys.yaml") == "8080"


def test_one_file_of_a_pattern_is_rendered(site: Path, add: Add) -> None:
    """Which one is given by its name, which has to be below the key."""
    add("sites", "server {{ name }}\n", 'each = "/web"\n', dest="/x/{name}.conf")
    keys = {"/web/a/port": "1", "/web/b/port": "2", "/web/..": "x"}
    assert pyconfd.render("sites", keys, confdir=site, name="b") == "server b\n"
    for name, what in {
        "": "it makes a file of each name below /web: name one with name=",
        "c": "no key below /web/c, so it makes no file of that name",
        "..": "the name of key '/web/..' begins with a dot, so it makes no file",
    }.items():
        with pytest.raises(pyconfd.RenderFailed) as failed:
            pyconfd.render("sites", keys, confdir=site, name=name)
        assert failed.value.what.startswith(what)


FAILING = {
    "key": ("x\n{{ getv('/web/nope') }}", 2, ("/web/nope",), "key does not exist: /web/nope"),
    "go key": ('x\n{{getv "/web/nope"}}', 2, ("/web/nope",), "key does not exist: /web/nope"),
    "value": ("{{ json(getv('/web/name')) }}", 1, ("/web/name",), "not JSON: "),
    "loop": (
        "{% for one in gets('/web/*') %}\n{{ atoi(one.value) }}\n{% endfor %}",
        2,
        ("/web/name",),
        "not a whole number",
    ),
    "syntax": ("x\n{% if %}", 2, (), "Expected an expression"),
    "name": ("{{ nope }}", 1, (), "'nope' is undefined"),
    "vars": ("{{ vars.x }}", 1, (), "or vars="),
    "include": ("{% include 'nope.j2' %}", 1, (), "template does not exist: "),
}


@pytest.mark.parametrize("name", FAILING)
def test_a_fault_has_file_line_and_keys(name: str, site: Path, add: Add) -> None:
    """Of the template as it can be opened, and without a word of live files."""
    template, line, keys, what = FAILING[name]
    add("www", template)
    with pytest.raises(pyconfd.RenderFailed) as failed:
        pyconfd.render("www", KEYS, confdir=site)
    error = failed.value
    assert (error.file, error.line, error.keys) == (f"{site}/templates/www.j2", line, keys)
    assert what in error.what
    assert str(error).startswith(f"{site}/templates/www.j2:{line}: ")
    assert "live" not in str(error)
    with pytest.raises(pyconfd.RenderFailed) as failed:
        pyconfd.render(template, KEYS, confdir=site)
    assert (failed.value.file, failed.value.line) == ("<template>", line)


def test_a_fact_that_is_not_given_says_how() -> None:
    """A text has no config file."""
    with pytest.raises(pyconfd.RenderFailed, match=r"none below \[vars\] in vars=$"):
        pyconfd.render("{{ vars.x }}", {})


def test_a_value_that_a_format_refuses_names_its_key() -> None:
    """The format is what the resource would declare."""
    with pytest.raises(pyconfd.RenderFailed) as failed:
        pyconfd.render("listen {{ getv('/p') }};\n", {"/p": "80; evil on"}, format="nginx")
    assert failed.value.keys == ("/p",)


def test_what_is_wrong_with_the_confdir_is_one_error(site: Path, add: Add) -> None:
    """With the place in the TOML file; other resources' faults do not matter."""
    add("www", "x\n", "modee = 1\n")
    add("good", "x\n")
    assert pyconfd.render("good", {}, confdir=site) == "x\n"
    with pytest.raises(pyconfd.RenderFailed) as failed:
        pyconfd.render("www", {}, confdir=site)
    assert (failed.value.file, failed.value.line) == (f"{site}/conf.d/www.toml", 5)
    assert failed.value.what == "unknown key: modee"
    for wrong, what in {
        "goood": "no resource is called goood",
        "templates/good.j2": "no resource is called templates/good.j2",
    }.items():
        with pytest.raises(pyconfd.RenderFailed, match=what):
            pyconfd.render(wrong, {}, confdir=site)


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: pyconfd.render("www", {}), "confdir="),
        (lambda: pyconfd.render("{{ 1 }}", {"/a": {1, 2}}), "cannot be read: set"),
        (lambda: pyconfd.render("{{ 1 }}", {}, options=["--prefixx=/a"]), "unknown option"),
        (lambda: pyconfd.render("{{ 1 }}", {}, format="nginxx"), "nginxx"),
        (lambda: pyconfd.render("{% include 'a' %}", {}), r"does not exist: \(no confdir\)/a"),
        (lambda: pyconfd.render(Path("/nope/a.j2"), {}), "/nope/a.j2"),
        (lambda: pyconfd.render("{{ 1 }}", Path("/nope/keys.yaml")), "/nope/keys.yaml"),
        (lambda: pyconfd.render("www", {}, confdir="/nope"), "/nope"),
    ],
)
def test_a_call_that_cannot_work_says_so(call: Callable[[], object], what: str) -> None:
    """With the same exception."""
    with pytest.raises(pyconfd.RenderFailed, match=what):
        call()


def test_importing_pyconfd_imports_none_of_it() -> None:
    """Nor Jinja2: the program that only registers does not pay for it."""
    code = "import sys, pyconfd; assert not {'jinja2', 'pyconfd.config'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("keys", [{"/a": 1, "a": 2}, {"a": {"b": 1}, "/a/b": 2}])
def test_a_key_that_is_given_twice_is_a_failed_render(keys: dict[str, object]) -> None:
    """As in a file of keys: which of the two it is would be chance."""
    with pytest.raises(pyconfd.RenderFailed, match=r"keys has /a(/b)? twice"):
        pyconfd.render("{{ 1 }}\n", keys)


def test_a_confdir_that_is_not_there_is_a_failed_render(tmp_path: Path) -> None:
    """Its settings would be missing without a word."""
    with pytest.raises(pyconfd.RenderFailed, match="nowhere: confdir= is no folder"):
        pyconfd.render("{{ 1 }}\n", {}, confdir=tmp_path / "nowhere")
