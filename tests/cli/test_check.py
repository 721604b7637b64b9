"""`pyconfd check`: all faults of settings, conf.d and templates, without a store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pyconfd.cli import main as cli

Check = Callable[..., tuple[int, str, list[str]]]


@pytest.fixture
def confdir(tmp_path: Path) -> Path:
    folder = tmp_path / "confdir"
    (folder / "conf.d").mkdir(parents=True)
    (folder / "templates").mkdir()
    return folder


@pytest.fixture
def add(confdir: Path, tmp_path: Path) -> Callable[..., None]:
    def add(name: str, template: str, more: str = "") -> None:
        (confdir / "templates" / f"{name}.j2").write_text(template)
        keys = '["/app"]' if "/app" in template else "[]"
        (confdir / "conf.d" / f"{name}.toml").write_text(
            f'[template]\nsrc = "{name}.j2"\ndest = "{tmp_path}/{name}"\nkeys = {keys}\n{more}'
        )

    return add


@pytest.fixture
def check(confdir: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    def check(*argv: str) -> tuple[int, str, list[str]]:
        """Exit status, standard output, and errors with the confdir's path taken away."""
        status = cli.main(["check", "--confdir", str(confdir), *argv])
        captured = capsys.readouterr()
        lines = captured.err.replace(f"{confdir}/", "").splitlines()
        return status, captured.out, [line.removeprefix("pyconfd: error: ") for line in lines]

    return check


def test_a_good_confdir_exits_0(add: Callable[..., None], check: Check, tmp_path: Path) -> None:
    """No store is asked, nothing is written."""
    add("a", "{{ getv('/app/x') }}\n")
    assert check() == (0, "1 good resource, no faults\n", [])
    assert not (tmp_path / "a").exists()


def test_faults_of_settings_resources_and_templates_come_together(
    add: Callable[..., None], check: Check
) -> None:
    """Each with its place; 2 because settings and conf.d have some."""
    add("good", "x\n")
    add("bad", "line\n{% if %}{% endif %}\n")
    add("typo", "x\n", "modee = 1\n")
    status, out, errors = check("--intervall", "5")
    assert status == 2
    assert out == "1 good resource, 3 faults\n"
    assert errors[0] == "--intervall: unknown option (did you mean --interval?)"
    assert errors[1] == "conf.d/typo.toml:5: unknown key: modee (did you mean mode?)"
    assert errors[2].startswith("templates/bad.j2:2: ")
    assert "(resource bad)" in errors[2]


def test_a_template_that_does_not_compile_exits_1(add: Callable[..., None], check: Check) -> None:
    """The configuration is right, one resource would fail."""
    add("good", "x\n")
    add("syntax", "{{ getv('/app/x' }}\n")
    add("unknown", "x\n{{ getz('/app/x') }}\n")
    status, _, errors = check()
    assert status == 1
    assert [error.partition(" ")[0] for error in errors] == [
        "templates/syntax.j2:1:",
        "templates/unknown.j2:2:",
    ]


def test_every_fault_of_a_template_is_listed(add: Callable[..., None], check: Check) -> None:
    """Not only the first; with path, line and resource."""
    add("a", "{{ getz('/app/x') }}\n{{ 'x' | nosuch }}\n{{ ls('/other') }}\n{{ server }}\n")
    status, out, errors = check()
    assert (status, out) == (1, "no good resources, 4 faults\n")
    assert [error.partition(";")[0] for error in errors] == [
        "templates/a.j2:1: 'getz' is undefined (resource a)",
        "templates/a.j2:2: No filter named 'nosuch' (resource a)",
        "templates/a.j2:4: 'server' is undefined (resource a)",
        "templates/a.j2:3: the keys of this resource do not cover /other (resource a)",
    ]


@pytest.mark.parametrize("more", ["", 'engine = "jinja2"'])
def test_every_syntax_fault_of_a_template_is_listed(
    add: Callable[..., None], check: Check, more: str
) -> None:
    """Once each, whether the language is declared or found out."""
    add("a", "{% if %}\n{{ getv('/app/x') }}\n{{ a b }}\n{% for x %}\n{% endfor %}\n", more)
    status, out, errors = check()
    assert (status, out) == (1, "no good resources, 4 faults\n")
    assert [error.partition(":")[2].partition(" ")[0] for error in errors] == [
        "1:",
        "3:",
        "4:",
        "5:",
    ]


def test_a_program_that_is_not_here_is_a_warning(
    add: Callable[..., None], check: Check, tmp_path: Path
) -> None:
    """The check may be made on another machine, so the exit status stays 0."""
    (tmp_path / "plain").write_text("no program")
    add("a", "x\n", 'check_cmd = "nosuch-checker {{ src }}"\nreload_cmd = "kill -HUP 1"\n')
    add("b", "x\n", f'check_cmd = "nosuch-checker -b"\nreload_cmd = "{tmp_path}/plain now"\n')
    add(
        "c", "x\n", 'reload_cmd = "true && /opt/none/reload || sh -c true"\nconfirm_cmd = "none2"\n'
    )
    status, out, errors = check()
    assert (status, out) == (0, "3 good resources, no faults, 4 warnings\n")
    warnings = [error.removeprefix("pyconfd: warning: ") for error in errors]
    assert warnings == [
        "conf.d/a.toml:1: check_cmd: program not found: nosuch-checker (and at 1 more resource)"
        " (it is not on PATH)",
        f"conf.d/b.toml:1: reload_cmd: not an executable file: {tmp_path}/plain",
        "conf.d/c.toml:1: reload_cmd: program not found: /opt/none/reload",
        "conf.d/c.toml:1: confirm_cmd: program not found: none2 (it is not on PATH)",
    ]


def test_a_program_behind_a_wrapper_is_looked_for(
    add: Callable[..., None], check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the code of a shell too; for sudo also where it looks beside PATH."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    add("a", "x\n", 'check_cmd = "timeout 5 nosuch-checker {{ src }}"\n')
    add("b", "x\n", "reload_cmd = \"sh -c 'nosuch-reload && true'\"\n")
    add("c", "x\n", 'reload_cmd = "env -- sudo -n nosuch-two"\n')
    add("d", "x\n", 'reload_cmd = "nice ldconfig"\n')
    add("e", "x\n", 'reload_cmd = "env -- sudo -n ldconfig"\n')
    _, _, errors = check()
    missing = {error.partition(" (")[0].partition(": ")[2] for error in errors}
    assert {
        "conf.d/a.toml:1: check_cmd: program not found: nosuch-checker",
        "conf.d/b.toml:1: reload_cmd: program not found: nosuch-reload",
        "conf.d/c.toml:1: reload_cmd: program not found: nosuch-two",
        "conf.d/d.toml:1: reload_cmd: program not found: ldconfig",
    } == {one.removeprefix("warning: ") for one in missing if not one.endswith(": sudo")}


def test_a_key_that_no_template_reads_is_a_note(add: Callable[..., None], check: Check) -> None:
    """It does no harm, so the exit status stays 0."""
    add("a", "{{ getv('/app/x') }}\n")
    add("b", "{# not /app #}\n")
    status, out, errors = check()
    assert (status, out) == (0, "2 good resources, no faults, 1 note\n")
    assert errors == [
        "pyconfd: note: conf.d/b.toml:1: keys: the template reads nothing of /app (leave it out)"
    ]


def test_an_unknown_placeholder_is_a_fault(add: Callable[..., None], check: Check) -> None:
    """With its line and the one that was meant."""
    add("a", "x\n", 'check_cmd = "true {{ srcc }}"\n')
    status, _, errors = check()
    assert status == 2
    assert errors[0] == (
        "conf.d/a.toml:5: check_cmd has an unknown placeholder: {{ srcc }}"
        " (did you mean {{ src }}?)"
    )


def test_json_lines_have_file_and_line(add: Callable[..., None], check: Check) -> None:
    """Of faults of conf.d, of templates, and of warnings."""
    add("a", "x\n{{ nosuch() }}\n")
    add("b", "x\n", "modee = 1\n")
    add("c", "x\n", 'check_cmd = "nosuch-checker"\n')
    _, _, errors = check("--log-format", "json")
    found = [json.loads(line) for line in errors]
    assert [(one["level"], one["file"], one["line"]) for one in found] == [
        ("error", "conf.d/b.toml", 5),
        ("error", "templates/a.j2", 2),
        ("warn", "conf.d/c.toml", 1),
    ]


def test_values_are_rendered_through_the_real_functions(
    add: Callable[..., None], check: Check, tmp_path: Path
) -> None:
    """--diff shows what would be written; a missing key has key, template and line."""
    values = tmp_path / "values.json"
    values.write_text(json.dumps({"app": {"x": "1", "y": "2"}, "other": "3"}))
    add("a", "{% for key, value in gets('/app/*') %}\n{{ key }}={{ value }}\n{% endfor %}\n")
    (tmp_path / "a").write_text("/app/x=0\n")
    status, out, errors = check("--values", str(values), "--diff")
    assert (status, errors) == (0, [])
    assert "-/app/x=0\n+/app/x=1\n+/app/y=2\n" in out
    assert (tmp_path / "a").read_text() == "/app/x=0\n"
    add("b", "x\n{{ getv('/app/none') }}\n")
    add("c", "{{ getv('/other') }}\n")
    status, _, errors = check("--values", str(values))
    assert status == 1
    assert errors[0].startswith("templates/b.j2:2: key does not exist: /app/none (resource b)")
    assert errors[1].startswith("templates/c.j2:1: the keys of this resource do not cover /other")


def test_values_may_be_named_by_a_variable(
    add: Callable[..., None],
    check: Check,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As every option; but no config file holds them, which the daemon reads too."""
    (tmp_path / "env.json").write_text(json.dumps({"app": "env"}))
    config = tmp_path / "pyconfd.toml"
    config.write_text(f'values = ["{tmp_path}/env.json"]\n')
    add("a", "{{ getv('/app') }}\n")
    monkeypatch.setenv("PYCONFD_VALUES", f"{tmp_path}/env.json")
    assert "+env\n" in check("--diff")[1]
    assert check("--config-file", str(config))[0] == 2


def test_each_file_of_a_pattern_is_rendered(confdir: Path, check: Check, tmp_path: Path) -> None:
    """With its own name; a key that makes no file name is a fault."""
    values = tmp_path / "values.json"
    values.write_text(json.dumps({"sites": {"one": {"x": "1"}, "two": {"x": "2"}, ".bad": "3"}}))
    (confdir / "templates" / "s.j2").write_text("{{ name }}={{ getv('/sites/' ~ name ~ '/x') }}\n")
    (confdir / "conf.d" / "s.toml").write_text(
        f'[template]\nsrc = "s.j2"\ndest = "{tmp_path}/{{name}}.conf"\nkeys = ["/sites"]\n'
        'each = "/sites"\n'
    )
    status, out, errors = check("--values", str(values), "--diff")
    assert status == 1
    assert f"{tmp_path}/one.conf" in out
    assert "+one=1\n" in out
    assert "+two=2\n" in out
    assert len(errors) == 1
    assert "/sites/.bad" in errors[0]


@pytest.mark.parametrize("suffix", ["json", "yaml", "toml"])
def test_values_may_be_json_yaml_or_toml(
    add: Callable[..., None], check: Check, tmp_path: Path, suffix: str
) -> None:
    """As for the file backend."""
    text = {"json": '{"app": {"x": "1"}}', "yaml": "app:\n  x: '1'\n", "toml": "[app]\nx = '1'\n"}
    values = tmp_path / f"values.{suffix}"
    values.write_text(text[suffix])
    add("a", "{{ getv('/app/x') }}\n")
    status, out, errors = check("--values", str(values), "--diff")
    assert (status, errors) == (0, [])
    assert "+1\n" in out


def test_values_that_cannot_be_read_are_wrong_usage(
    add: Callable[..., None], check: Check, tmp_path: Path
) -> None:
    """The file is named."""
    add("a", "x\n")
    status, _, errors = check("--values", str(tmp_path / "none.json"))
    assert status == 2
    assert errors[0].startswith("--values: ")
    assert "none.json" in errors[0]


def test_an_empty_confdir_is_a_fault(check: Check) -> None:
    """As it is for a run."""
    status, out, errors = check()
    assert status == 2
    assert out == "no good resources, 1 fault\n"
    assert errors == ["conf.d: no resource file (*.toml)"]


def test_backends_and_nodes_are_judged_without_asking_them(
    add: Callable[..., None], check: Check
) -> None:
    """A name that does not exist and an address that is none; a store that is away is fine."""
    add("a", "x\n")
    assert check("--backend", "etdc")[2] == [
        "--backend: unknown backend 'etdc' (did you mean etcd?)"
    ]
    status, _, errors = check("--node", "127.0.0.1:1", "--node", "http://x:port")
    assert status == 2
    assert errors[0].startswith("--node: not the address of an etcd node: 'http://x:port'")
    assert check("--node", "127.0.0.1:1")[0] == 0


def test_help_and_words(check: Check) -> None:
    """--help shows --values; a word that is no option is refused."""
    status, out, _ = check("--help")
    assert status == 0
    assert "--values FILE" in out
    assert check("nginx")[2][0] == "nginx: unexpected argument (see --help)"


def test_values_are_rendered_with_the_node_and_its_vars(
    add: Callable[..., None], check: Check, tmp_path: Path
) -> None:
    """A var that is not declared is a fault of the template, with the file for it."""
    add("a", "{{ node.name }} {{ vars.port }}\n")
    add("b", "one\n{{ vars.prot }}\n")
    (tmp_path / "keys.json").write_text('{"app": {"x": "1"}}')
    (tmp_path / "p.toml").write_text('node_name = "web1"\n[vars]\nport = 8080\n')
    values = ("--values", str(tmp_path / "keys.json"), "--config-file", str(tmp_path / "p.toml"))
    status, out, errors = check(*values, "--diff")
    assert status == 1
    assert "+web1 8080" in out
    assert errors == [
        "templates/b.j2:2: vars.prot is not declared: there is none below [vars] in"
        f" {tmp_path}/p.toml; did you mean vars.port? (resource b); the live file is unchanged"
    ]


def test_a_destination_that_two_resources_have_at_these_values_is_a_fault(
    add: Callable[..., None], check: Check, confdir: Path, tmp_path: Path
) -> None:
    """A pattern and a fixed one, and two patterns; names that nobody else has are rendered."""
    (tmp_path / "there").symlink_to(tmp_path)
    add("x.conf", "fixed\n")
    for name, dest in (
        ("s", f"{tmp_path}/{{name}}.conf"),
        ("t", f"{tmp_path}/there/y{{name}}.conf"),
    ):
        (confdir / "templates" / f"{name}.j2").write_text("{{ name }}\n")
        (confdir / "conf.d" / f"{name}.toml").write_text(
            f'[template]\nsrc = "{name}.j2"\ndest = "{dest}"\n'
            f'keys = ["/{name}"]\neach = "/{name}"\n'
        )
    values = tmp_path / "values.json"
    values.write_text(json.dumps({"s": {"x": "1", "y1": "1"}, "t": {"1": "1", "2": "1"}}))
    status, _, errors = check("--values", str(values))
    assert status == cli.FAILED, errors
    assert [line.split(" is also the file of ")[1][:6] for line in errors] == [
        "x.conf", "t[1] (", "s[y1] "
    ]  # fmt: skip
