"""
A tree of confd runs as it is: resource files, commands, flags, environment and confd.toml.

confd_trees.json holds what both confds did with resource files, recorded from the programs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

CASES: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "confd_trees.json").read_text()
)
EVERY = [(name, compat) for name, case in CASES.items() for compat in case["compat"]]

# Where pyconfd differs on purpose, with the reason.
MODES = {"toml-mode-decimal-defect": "0644"}  # confd makes 0204 of "644", which nobody can want


class Tree:
    """A confdir, a file of keys, and a program that runs on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tree"
        self.dest = folder / "dest"
        self.keys = folder / "keys.json"
        for path in (self.folder / "conf.d", self.folder / "templates", self.dest):
            path.mkdir(parents=True)
        self.keys.write_text('{"/k": "v"}')

    def resource(self, text: str, name: str = "case.toml") -> None:
        (self.folder / "conf.d" / name).write_text(text.replace("/DEST", str(self.dest)))

    def template(self, text: str, name: str = "case.tmpl") -> None:
        (self.folder / "templates" / name).write_text(text)

    def simple(self, more: str = "", template: str = '{{getv "/k"}}\n') -> None:
        self.resource(f'[template]\nsrc="case.tmpl"\ndest="/DEST/case.out"\nkeys=["/"]\n{more}')
        self.template(template)

    def run(
        self,
        *argv: str,
        program: str = "",
        environ: Mapping[str, str] | None = None,
        confdir: bool = True,
        store: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Once; program: a link to be called by."""
        start = [sys.executable, program] if program else [sys.executable, "-m", "pyconfd"]
        words = ["-confdir", str(self.folder)] * confdir
        words += ["-backend", "file", "-file", str(self.keys)] * store
        return subprocess.run(
            [*start, *argv[:1], *words, *argv[1:]] if argv[:1] == ("check",)
            else [*start, *words, *argv],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            umask=0o022,
            env={**os.environ, "PYCONFD_STATE_DIR": str(self.folder / "state"), **(environ or {})},
        )  # fmt: skip

    def output(self) -> str:
        return (self.dest / "case.out").read_text()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@pytest.fixture
def link(tmp_path: Path) -> str:
    """A program that is called confd."""
    path = tmp_path / "confd"
    path.write_text("from pyconfd.__main__ import main\nmain()\n")
    return str(path)


@pytest.mark.parametrize(("name", "compat"), EVERY)
def test_takes_resource_files_as_confd_takes_them(name: str, compat: str, tree: Tree) -> None:
    """The bytes, the mode, what the reload command wrote; or a failure where confd failed."""
    case = CASES[name]
    tree.resource(case["toml"])
    tree.template(case["template"])
    tree.keys.write_text(json.dumps(case["keys"]))
    done = tree.run("-onetime", "-compat", compat, *case.get("args", []))
    if "output" not in case:
        assert done.returncode != 0
        assert "error" in done.stderr.lower()
        assert not (tree.dest / "case.out").exists()
        return
    assert done.returncode == 0, done.stderr
    assert tree.output() == case["output"]
    mode = MODES.get(name) or case.get("mode")
    if mode:
        assert f"{(tree.dest / 'case.out').stat().st_mode & 0o7777:04o}" == mode
    if "reload" in case:
        wanted = case["reload"].replace("/DEST", str(tree.dest))
        assert (tree.dest / "case.out.reload").read_text() == wanted


def test_all_cases_of_resource_files_are_there() -> None:
    """The data is whole."""
    assert len(CASES) == 18


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('mode = "644"', 'case.toml:5: mode = "644" is taken as octal, 0644; confd reads it as a'),
        ("whatever = 1", "case.toml:5: unknown key: whatever; it is ignored, as by confd"),
        ('chekc_cmd = "true"', "unknown key: chekc_cmd; it is ignored, as by confd (did you mean"),
        ('owner = "nobody-of-this-name"', "case.toml:5: owner is ignored, as by classic confd"),
        ("[other]\na = 1", "case.toml:5: unknown key or table: other"),
        ('reload_cmd = "true {{.dest}}"', "case.toml:5: reload_cmd holds {{"),
        ('mode = "04755"', "setuid, setgid and sticky are left out"),
    ],
)
def test_what_should_not_stay_so_is_noted_once(more: str, said: str, tree: Tree) -> None:
    """With its place; the file is made all the same."""
    tree.simple(more)
    done = tree.run("-onetime", "-compat", "confd")
    assert done.returncode == 0, done.stderr
    assert tree.output() == "v\n"
    assert done.stderr.count(said) == 1, done.stderr
    checked = tree.run("check", "-compat", "confd")
    assert checked.returncode == 0
    assert said in checked.stderr


@pytest.mark.parametrize("keys", ["", 'keys = [""]\n', 'keys = ["/*"]\n'])
def test_keys_that_are_missing_or_odd_are_noted(keys: str, tree: Tree) -> None:
    """What the template sees is what confd's sees: nothing, but everything for an empty path."""
    tree.resource(f'[template]\nsrc="case.tmpl"\ndest="/DEST/case.out"\n{keys}')
    tree.template('{{exists "/k"}}\n')
    done = tree.run("-onetime", "-compat", "confd")
    assert done.returncode == 0, done.stderr
    assert tree.output() == ("true\n" if '""' in keys else "false\n")
    assert done.stderr.count("WARN") == 1


def test_a_pyconfd_tree_stays_strict(tree: Tree) -> None:
    """What is a note there is a fault here."""
    tree.simple("whatever = 1")
    done = tree.run("-onetime")
    assert done.returncode == 2
    assert "unknown key: whatever" in done.stderr


def test_a_user_that_is_missing_fails_its_resource_alone(tree: Tree) -> None:
    """As in the fork; the others are done."""
    tree.simple()
    tree.resource(
        '[template]\nsrc="case.tmpl"\ndest="/DEST/other.out"\nkeys=["/"]\nowner="no-such-user-1"\n',
        "other.toml",
    )
    done = tree.run("-onetime", "-compat", "confd-fork")
    assert done.returncode == 1
    assert "there is no user called no-such-user-1" in done.stderr
    assert tree.output() == "v\n"
    assert not (tree.dest / "other.out").exists()


@pytest.mark.parametrize("compat", ["confd", "confd-fork"])
def test_a_store_of_its_own_is_a_fault_in_words(compat: str, tree: Tree) -> None:
    """Of that resource; an empty [backend] table is none."""
    tree.simple()
    other = '[template]\nsrc="case.tmpl"\ndest="/DEST/other.out"\nkeys=["/"]\n'
    tree.resource(other + '[backend]\nbackend = "vault"\n', "other.toml")
    done = tree.run("-onetime", "-compat", compat)
    assert done.returncode == 1
    assert "other.toml:5: a [backend] table: this resource has a store of its own" in done.stderr
    assert tree.output() == "v\n"
    tree.resource(other + "[backend]\n", "other.toml")
    assert tree.run("-onetime", "-compat", compat).returncode == 0


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("json", '{"a": 1}', '{"a": }'),
        ("yaml", "a: [1]\n", "a: [1\n"),
        ("yml", "a: b\n", "a: 'b\n"),
        ("toml", "a = 1\n", "a = \n"),
        ("xml", "<a><b/></a>", "<a><b></a>"),
    ],
)
def test_output_format_of_the_fork_is_held(name: str, good: str, bad: str, tree: Tree) -> None:
    """A file that cannot be parsed so does not go live."""
    tree.simple(f'output_format = "{name}"', good)
    assert tree.run("-onetime", "-compat", "confd-fork").returncode == 0
    assert tree.output() == good
    tree.template(bad)
    done = tree.run("-onetime", "-compat", "confd-fork")
    assert done.returncode == 1
    assert f"the output is not valid {name}" in done.stderr
    assert tree.output() == good


def test_a_global_prefix_replaces_in_classic_and_combines_in_the_fork(tree: Tree) -> None:
    """Each as its program does."""
    tree.resource('[template]\nsrc="case.tmpl"\ndest="/DEST/case.out"\nkeys=["/"]\nprefix="/web"\n')
    tree.template('{{getv "/a"}}')
    tree.keys.write_text('{"/g/web/a": "both", "/g/a": "global", "/web/a": "own"}')
    for compat, wanted in (("confd", "global"), ("confd-fork", "both")):
        assert tree.run("-onetime", "-compat", compat, "-prefix", "/g").returncode == 0
        assert tree.output() == wanted
    assert tree.run("-onetime", "-compat", "confd").returncode == 0
    assert tree.output() == "own"


def test_a_link_called_confd_behaves_as_confd(tree: Tree, link: str) -> None:
    """Nothing else says that the tree is confd's; its config file may be absent."""
    tree.simple("unknown = 1")
    done = tree.run("-onetime", "-config-file", "/no/such/confd.toml", program=link)
    assert done.returncode == 0, done.stderr
    assert "it is ignored, as by confd" in done.stderr
    assert tree.run("-onetime", "-config-file", "/no/such/confd.toml").returncode == 2


def test_the_forks_form_names_the_backend_first(tree: Tree, link: str) -> None:
    """`confd file --onetime --file ...`, with the functions of the fork."""
    tree.simple(template='{{getv "/none" | default "x"}}{{ternary "a" "b" true}}')
    tree.template('{{ternary "a" "b" true}}')
    words = ["file", "--onetime", "--file", str(tree.keys)]
    done = tree.run(*words, program=link, store=False)
    assert done.returncode == 0, done.stderr
    assert tree.output() == "a"
    refused = tree.run("etcd", "--onetime", store=False)
    assert refused.returncode == 2
    assert "etcd: unknown command (did you mean pyconfd --backend etcd?)" in refused.stderr


def test_confd_toml_of_the_folder_and_the_environment_are_read(tree: Tree, link: str) -> None:
    """The command line, then the environment, then the file; unknown keys are noted."""
    tree.resource('[template]\nsrc="case.tmpl"\ndest="/DEST/case.out"\nkeys=["/"]\n')
    tree.template('{{getv "/a"}}')
    tree.keys.write_text('{"/1/a": "file", "/2/a": "environment", "/3/a": "flag"}')
    (tree.folder / "confd.toml").write_text(
        f'backend = "file"\nfile = ["{tree.keys}"]\nprefix = "/1"\nbasic_auth = true\nodd = 1\n'
    )
    done = tree.run("-onetime", program=link, store=False)
    assert done.returncode == 0, done.stderr
    assert tree.output() == "file"
    assert done.stderr.count("confd.toml:5: odd: unknown key, which is ignored as by confd") == 1
    environ = {"CONFD_PREFIX": "/2"}
    assert tree.run("-onetime", program=link, store=False, environ=environ).returncode == 0
    assert tree.output() == "environment"
    tree.run("-onetime", "-prefix", "/3", program=link, store=False, environ=environ)
    assert tree.output() == "flag"


def test_check_reports_a_confd_tree_as_ours(tree: Tree) -> None:
    """Faults of resources and templates with file and line."""
    tree.simple(template='x\n{{getz "/k"}}\n')
    tree.resource('[template]\nsrc="none.tmpl"\ndest="/DEST/b"\nkeys=["/"]\n', "b.toml")
    done = tree.run("check", "-compat", "confd")
    assert done.returncode == 2
    assert "b.toml:2: template does not exist" in done.stderr
    assert "case.tmpl:2:" in done.stderr
    assert "2 faults" in done.stdout


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('check_cmd = "test -f {{.src"', "check_cmd: it cannot be expanded"),
        ('check_cmd = "{{nosuch .src}}"', 'function "nosuch" not defined'),
        ('dest = "/DEST/a b.out"\ncheck_cmd = "sh -c \'test -f {{.src}}\'"', "in the code of sh"),
    ],
)
def test_a_command_that_cannot_be_run_is_found_by_check_and_changes_nothing(
    line: str, said: str, tree: Tree
) -> None:
    """The file is not made, and the fault says why."""
    dest = "" if "dest" in line else 'dest="/DEST/case.out"\n'
    tree.resource(f'[template]\nsrc="case.tmpl"\nkeys=["/"]\n{dest}{line}\n')
    tree.template("x\n")
    checked = tree.run("check", "-compat", "confd")
    assert checked.returncode == 1
    assert said in checked.stderr
    done = tree.run("-onetime", "-compat", "confd")
    assert done.returncode == 1
    assert "check_cmd was not run" in done.stderr
    assert not list(tree.dest.iterdir())


@pytest.mark.parametrize(
    ("written", "made"),
    [
        ("0600", 0o600),
        ("0o640", 0o640),
        ("0_640", 0o640),
        ("0x1a4", 0o644),
        ("0b110000000", 0o600),
        ("438", 0o666),
        ("600", 0o600),
        ("04755", 0o755),
    ],
)
def test_modes_are_read_as_go_reads_numbers(written: str, made: int, tree: Tree) -> None:
    """But for three octal digits, which confd takes for a decimal number."""
    tree.simple(f'mode = "{written}"')
    assert tree.run("-onetime", "-compat", "confd").returncode == 0
    assert (tree.dest / "case.out").stat().st_mode & 0o7777 == made


@pytest.mark.parametrize("text", ["plain {# text #} {% x %}\r\nb\r\n", "{# no comment #}\n", ""])
def test_a_text_without_actions_is_left_as_it_is(text: str, tree: Tree) -> None:
    """Jinja2 would refuse it, change its line ends, or take a part of it for a comment."""
    tree.simple()
    (tree.folder / "templates" / "case.tmpl").write_bytes(text.encode())
    assert tree.run("-onetime", "-compat", "confd").returncode == 0
    assert (tree.dest / "case.out").read_bytes() == text.encode()
