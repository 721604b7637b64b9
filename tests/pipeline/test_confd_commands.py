"""check_cmd and reload_cmd as Go templates of src and dest: what confd runs, but for the danger."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyconfd.model.command_line import CannotExpand
from pyconfd.model.resources import Command, Expansion
from pyconfd.pipeline.operator_command import run_on
from pyconfd.system.proc import Commands

HOSTILE = '/tmp/a b\'; echo "$(touch {here}/hacked)" `touch {here}/hacked` #.conf'


def output(text: str, src: str, dest: str, expansion: Expansion = Expansion.GO) -> str:
    """What a command prints with these paths."""
    report = run_on(Commands().run, Command(text, 10.0, expansion=expansion), src=src, dest=dest)
    assert report.ok, report
    return report.output


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("printf %s {{.src}}", "/x/.a"),
        ("printf '%s %s' {{ .src }} {{- .dest -}}", "/x/.a/x/a "),
        ('{{if eq .dest "/x/a"}}echo yes{{else}}echo no{{end}}', "yes\n"),
        ('{{if .src}}printf %s {{ .src | printf "%q" }}{{else}}false{{end}}', "/x/.a"),
        ("echo {{len .dest}}", "4\n"),
        ("printf %s '{{.ID}}'", "<no value>"),
        ("sh -c 'echo {{.src}}'", "/x/.a\n"),
        ("{{range $i, $e := .}}echo {{$i}}={{$e}};{{end}}", "dest=/x/a\nsrc=/x/.a\n"),
        ("echo {{html .dest}} {{urlquery .dest}}", "/x/a %2Fx%2Fa\n"),
    ],
)
def test_runs_what_confd_runs(text: str, wanted: str) -> None:
    """With paths of harmless characters, wherever they stand."""
    assert output(text, "/x/.a", "/x/a") == wanted


@pytest.mark.parametrize(
    "text",
    [
        "printf %s {{.src}}",
        'printf %s "{{.src}}"',
        "{{if .src}}printf %s {{.src}}{{end}}",
        "{{$s := .src}}printf %s {{$s}}{{with .other}}x{{end}}",
    ],
)
def test_a_path_stays_one_word_whatever_it_holds(text: str, tmp_path: Path) -> None:
    """No shell parses it."""
    path = HOSTILE.replace("{here}", str(tmp_path))
    assert output(text, path, path) == path
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        "sh -c 'echo {{.src}}'",
        'printf %s {{printf "%q" .src}}',
        "echo {{html .src}}",
        '{{if ne .src "x"}}eval echo {{.src}}{{end}}',
        "echo {{slice .src 5}}",
    ],
)
def test_a_path_that_could_become_code_is_refused(text: str, tmp_path: Path) -> None:
    """Where it does not stay as it is, or stands in the code of another program."""
    path = HOSTILE.replace("{here}", str(tmp_path))
    with pytest.raises(CannotExpand):
        output(text, path, path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["echo {{.src", "echo {{nosuch .src}}", "{{base .src}}"])
def test_what_is_no_go_template_is_refused(text: str) -> None:
    """Only Go's own functions exist there."""
    with pytest.raises(CannotExpand):
        output(text, "/x", "/y")


def test_a_reload_of_classic_confd_is_run_as_it_stands() -> None:
    """Its braces mean nothing."""
    assert output("printf %s '{{.dest}}'", "/x", "/y", Expansion.NONE) == "{{.dest}}"
