"""pyconfd migrate: a tree of confd written as pyconfd's own, and proved on keys."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pyconfd.cli.main import main
from tests.support.repository import ROOT

NGINX = """\
# the front
[template]
Src = "/nginx.tmpl"
dest = "@/nginx.conf"
prefix = "/web"
keys = ["/up", "/name"]
mode = "640"
whatever = 1
check_cmd = "test -s {{.src}}"
reload_cmd = "true"
"""
NGINX_TEMPLATE = """\
upstream {{getv "/name"}} {
{{range gets "/up/*" -}}
{{$data := json .Value}}  server {{$data.host}}:{{$data.port}};
{{end -}}
}
"""
KEYS = {
    "/web/name": "shop",
    "/web/up/a": '{"host": "10.0.0.1", "port": 80}',
    "/web/up/b": '{"host": "10.0.0.2", "port": 81}',
}


class Old:
    """A tree of confd, and where the new one goes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "confd"
        self.new = folder / "new"
        self.values = folder / "keys.json"
        for name in ("conf.d", "templates"):
            (self.folder / name).mkdir(parents=True)
        self.values.write_text(json.dumps(KEYS))
        self.out = folder / "out"
        self.out.mkdir()

    def add(self, resource: str, template: str, name: str = "nginx") -> None:
        (self.folder / "conf.d" / f"{name}.toml").write_text(resource.replace("@", str(self.out)))
        (self.folder / "templates" / f"{name}.tmpl").write_text(template)

    def migrate(self, *more: str) -> int:
        return main(["migrate", str(self.folder), str(self.new), *more])


@pytest.fixture
def old(tmp_path: Path) -> Old:
    old = Old(tmp_path)
    old.add(NGINX, NGINX_TEMPLATE)
    return old


def test_writes_the_tree_as_a_person_would_have(
    old: Old, capsys: pytest.CaptureFixture[str]
) -> None:
    """Resource file, template and settings, with nothing that only confd means."""
    (old.folder / "confd.toml").write_text(
        'backend = "etcdv3"\nnodes = ["h:1"]\nsync-only = true\n'
    )
    assert old.migrate("--values", str(old.values)) == 0
    page = capsys.readouterr().out
    assert "conf.d/nginx.toml     done\n" in page
    assert "3 of 3 files done; the same bytes with 3 keys" in page
    assert (old.new / "templates" / "nginx.j2").read_text() == (
        'upstream {{ getv("/name") }} {\n'
        '{% for pair in gets("/up/*") %}\n'
        "{% set data = json(pair.value) %}  server {{ data.host }}:{{ data.port }};\n"
        "{% endfor %}\n"
        "}\n"
    )
    assert (old.new / "conf.d" / "nginx.toml").read_text() == (
        f'# the front\n\n[template]\nsrc = "nginx.j2"\ndest = "{old.out}/nginx.conf"\n'
        'prefix = "/web"\nkeys = ["/up", "/name"]\nmode = "0640"\n'
        'check_cmd = "test -s {{.src}}"\nreload_cmd = "true"\n'
    )
    assert (old.new / "pyconfd.toml").read_text() == (
        'backend = "etcdv3"\nnode = ["h:1"]\nsync_only = true\n'
    )
    assert main(["check", "--confdir", str(old.new), "--values", str(old.values)]) == 0


def test_a_migrated_tree_runs_without_the_go_engine(old: Old) -> None:
    """The same bytes, and none of its modules is imported."""
    assert old.migrate("--values", str(old.values)) == 0
    run = (
        "import sys; from pyconfd.cli.main import main\n"
        f"status = main({['--onetime', '--confdir', str(old.new), '--backend', 'file']}"
        f" + ['--file', {str(old.values)!r}, '--state-dir', {str(old.out / 'state')!r}])\n"
        "print(status, [name for name in sys.modules if 'gotemplate' in name])"
    )
    done = subprocess.run(
        [sys.executable, "-c", run], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "0 []\n", done.stderr
    assert "server 10.0.0.2:81;" in (old.out / "nginx.conf").read_text()


def test_check_reports_and_writes_nothing(old: Old, capsys: pytest.CaptureFixture[str]) -> None:
    """As it does without a folder for the new tree."""
    assert old.migrate("--check") == 0
    assert "not compared: give --values or a store" in capsys.readouterr().out
    assert not old.new.exists()
    assert main(["migrate", str(old.folder)]) == 0


def test_what_is_left_to_a_person_is_listed_with_its_line(
    old: Old, capsys: pytest.CaptureFixture[str]
) -> None:
    """The resource goes on with its Go template, and the new tree can be run at once."""
    old.add(
        '[template]\nsrc = "by.tmpl"\ndest = "@/by.conf"\nkeys = ["/web"]\n',
        'x\n{{range gets "/web/up/*"}}{{break}}{{end}}\n',
        "by",
    )
    assert old.migrate("--values", str(old.values)) == 1
    page = capsys.readouterr().out
    assert "templates/by.tmpl     by hand  line 2: break has no counterpart" in page
    assert "3 of 4 files done" in page
    assert 'engine = "go"' in (old.new / "conf.d" / "by.toml").read_text()
    assert (old.new / "templates" / "by.tmpl").exists()
    assert main(["check", "--confdir", str(old.new), "--values", str(old.values)]) == 0


def test_other_bytes_are_found_with_the_keys(old: Old, capsys: pytest.CaptureFixture[str]) -> None:
    """1000000 out of JSON prints as 1e+06 in confd; which one is meant is for a person."""
    old.add(
        '[template]\nsrc = "n.tmpl"\ndest = "@/n.conf"\nkeys = ["/n"]\n',
        'x\n{{$j := json (getv "/n")}}{{$j.a}}\n',
        "n",
    )
    old.values.write_text(json.dumps({**KEYS, "/n": '{"a": 1000000}'}))
    assert old.migrate("--values", str(old.values)) == 1
    assert "templates/n.tmpl      by hand  other bytes from line 2 on" in capsys.readouterr().out
    assert (old.new / "templates" / "n.tmpl").exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            'check_cmd = "{{if .src}}true{{end}}"',
            "line 5: check_cmd is a Go template with more than",
        ),
        ("check_cmd = \"sh -c 'test -s {{.src}}'\"", "line 5: check_cmd has a placeholder in the"),
        ('reload_cmd = "echo {{.dest}}"', "line 5: reload_cmd holds {{, which is a placeholder"),
    ],
)
def test_commands_that_mean_something_else_here_are_left_to_a_person(
    line: str, said: str, old: Old, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the line of the resource file, which is not written: it would run another command."""
    resource = f'[template]\nsrc = "c.tmpl"\ndest = "@/c.conf"\nkeys = ["/web"]\n{line}\n'
    old.add(resource, "x\n", "c")
    assert old.migrate() == 1
    assert said in capsys.readouterr().out
    assert not (old.new / "conf.d" / "c.toml").exists()
    assert (old.new / "templates" / "c.j2").exists()


def test_a_folder_with_other_files_is_not_overwritten(old: Old) -> None:
    """--force does."""
    assert old.migrate() == 0
    (old.new / "templates" / "nginx.j2").write_text("mine\n")
    assert old.migrate() == 2
    assert (old.new / "templates" / "nginx.j2").read_text() == "mine\n"
    assert old.migrate("--force") == 0


def test_a_tree_of_the_fork_is_read_as_such(old: Old) -> None:
    """With its functions, and what it includes."""
    old.add(
        '[template]\nsrc = "f.tmpl"\ndest = "@/f.conf"\nkeys = ["/web"]\n',
        '{{include "part.tmpl"}}{{default "x" (getv "/web/none" "")}}\n',
        "f",
    )
    (old.folder / "templates" / "part.tmpl").write_text('[{{getv "/web/name"}}]')
    assert old.migrate("--values", str(old.values)) == 1
    assert old.migrate("--values", str(old.values), "--compat", "confd-fork", "--force") == 0
    text = (old.new / "templates" / "f.j2").read_text()
    assert '{% include "part.j2"' in text
    assert 'getv("/web/none", "") | default("x", true)' in text


def test_the_example_of_the_page_is_what_it_says(old: Old) -> None:
    """docs/from-confd.md, before and after."""
    page = (ROOT / "docs" / "from-confd.md").read_text()
    before, after = (
        page.split(f"{word}:\n\n```\n")[1].split("```")[0] for word in ("Before", "After")
    )
    old.add(
        '[template]\nsrc = "shop.tmpl"\ndest = "@/s.conf"\nkeys = ["/services"]\n', before, "shop"
    )
    old.values.write_text(
        json.dumps({**KEYS, "/services/web/a": '{"ip": "10.0.0.1", "port": 80, "backup": true}'})
    )
    assert old.migrate("--values", str(old.values)) == 0
    assert (old.new / "templates" / "shop.j2").read_text() == after
