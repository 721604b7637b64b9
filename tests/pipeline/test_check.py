"""Checking: a yes, a no and no verdict at all are three different things."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyconfd.errors import CheckBroken
from pyconfd.model.command_line import environment, fill, reference
from pyconfd.model.resources import Command
from pyconfd.model.steps import Checked, Ending, Refused, Staged
from pyconfd.pipeline import check, stage
from pyconfd.system.proc import Commands
from pyconfd.testing.fake_runner import FakeRunner, problem, said
from tests.support.steps import rendered, strays_in


def staged(dest: Path, text: str = "verify {{ src }}", *, keep: bool = False) -> Staged:
    """A staged file with a check command."""
    made = stage.stage(rendered(dest, b"new", check=Command(text, 7.0)), keep=keep)
    assert made is not None
    return made


def test_status_zero_is_the_permit(tmp_path: Path) -> None:
    """The checker sees the staged path and its own deadline."""
    run = FakeRunner()
    file = staged(tmp_path / "a.conf")
    judged = check.check(file, run)
    assert isinstance(judged, Checked)
    assert run.commands == [f"verify {file.path}"]
    assert run.timeouts_s == [7.0]
    assert os.path.exists(file.path)


def test_a_no_is_a_value_and_removes_the_staged_file(tmp_path: Path) -> None:
    """The checker's words come along."""
    judged = check.check(staged(tmp_path / "a.conf"), FakeRunner(default=said("line 3: bad")))
    assert isinstance(judged, Refused)
    assert judged.report.output == "line 3: bad"
    assert strays_in(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("[ALERT] (7) : config : parsing [PATH:33] : unknown keyword 'foo'", 33),
        ("(PATH: Line 12) Unknown keyword 'foo'", 12),
        ("AH00526: Syntax error on line 5 of PATH:\nInvalid command", 5),
        ("PATH:7:2: expected a value", 7),
        ("PATH is not good, line 9", 0),
    ],
    ids=["haproxy", "keepalived", "apache", "linter", "none"],
)
def test_a_refusal_names_the_destination_and_its_line(
    tmp_path: Path, words: str, line: int
) -> None:
    """Nobody can look into the staged file any more."""
    file = staged(tmp_path / "a.conf")
    said_so = FakeRunner(default=said(words.replace("PATH", file.path)))
    judged = check.check(file, said_so)
    assert isinstance(judged, Refused)
    assert judged.line == line
    assert judged.report.output == words.replace("PATH", str(tmp_path / "a.conf"))


def test_a_refused_file_is_kept_when_asked_for(tmp_path: Path) -> None:
    """--keep-stage-file."""
    check.check(staged(tmp_path / "a.conf", keep=True), FakeRunner(default=1))
    assert strays_in(tmp_path) == [".a.conf.kept.pyconfd~"]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (problem("timed out after 7 s"), "timed out after 7 s.*check_cmd_timeout above 7 s"),
        (problem("killed by signal 9 (SIGKILL)", Ending.SIGNALLED), "killed by signal 9"),
        (said("sh: 1: verify: not found", 127), "command not found.*sh: 1: verify: not found"),
        (said("Permission denied", 126), "cannot be executed"),
        (139, "killed by signal 11"),
    ],
    ids=["hang", "killed", "absent", "no-exec", "crash"],
)
def test_no_verdict_is_an_error_and_counts_as_a_no(
    tmp_path: Path, answer: object, says: str
) -> None:
    """What happened, what was kept, what to do; the staged file is gone."""
    with pytest.raises(CheckBroken, match=says) as caught:
        check.check(staged(tmp_path / "a.conf"), FakeRunner(default=answer))  # type: ignore[arg-type]
    assert caught.value.kept == "the live file is unchanged"
    assert strays_in(tmp_path) == []


def test_without_a_check_command_the_permit_is_given(tmp_path: Path) -> None:
    """Nothing is run."""
    made = stage.stage(rendered(tmp_path / "a", b"x"))
    assert made is not None
    run = FakeRunner()
    assert check.check(made, run) == check.unchecked(made) == Checked(made, None)
    assert run.commands == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("t {{.src}} {{ .dest }}", "t /s /d"),
        ("t {{ src }}{{dest}}", "t /s/d"),
        ("t {{- src -}}", "t /s"),
        ("t {{ other }}", "t {{ other }}"),
    ],
)
def test_both_spellings_are_filled_in(text: str, expected: str) -> None:
    """pyconfd's and confd's."""
    assert fill(text, src="/s", dest="/d") == expected


@pytest.mark.parametrize(
    "path", ["/a b", "/it's", '/q"q', "/d$HOME", "/b`id`", "/b\\n", "/x;y", "/~"]
)
@pytest.mark.parametrize(
    "text", ["{{src}}", "'{{src}}'", '"{{src}}"', "a'b'{{src}}", 'x"$(true)"{{src}}']
)
def test_the_shell_reads_any_path_as_one_word(text: str, path: str) -> None:
    """Whatever the path holds and however the operator quoted it."""
    line = reference(f"printf '%s|' {text}")
    before = {"a'b'{{src}}": "ab", 'x"$(true)"{{src}}': "x"}.get(text, "")
    env = environment(src=path, dest="")
    assert Commands().run(line, timeout_s=5, env=env).output == f"{before}{path}|"


def test_an_absent_checker_is_found_out_by_the_real_shell(tmp_path: Path) -> None:
    """The exit statuses of /bin/sh are what they are taken for."""
    with pytest.raises(CheckBroken, match="command not found"):
        check.check(staged(tmp_path / "a", "no-such-checker {{src}}"), Commands().run)
    with pytest.raises(CheckBroken, match="cannot be executed"):
        check.check(staged(tmp_path / "b", f"{tmp_path} {{{{src}}}}"), Commands().run)
