"""The command line as a whole: help, version, errors, exit statuses, broken pipes, start-up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

from pyconfd import __version__
from pyconfd.cli import main as cli
from pyconfd.cli.help import main_page
from pyconfd.config.option_table import OPTIONS


def run(
    *argv: str, environ: Mapping[str, str] | None = None, **more: object
) -> subprocess.CompletedProcess[str]:
    """The installed command as a child."""
    return subprocess.run(
        [sys.executable, "-m", "pyconfd", *argv],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **(environ or {})},
        **more,
    )


@pytest.mark.parametrize("word", ["--version", "-version"])
def test_version_is_one_line(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard output."""
    assert cli.main([word]) == 0
    assert capsys.readouterr().out == f"pyconfd {__version__}\n"


@pytest.mark.parametrize("word", ["--help", "-help", "-h"])
def test_help_shows_every_option_with_variable_and_default(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And every command, and the exit statuses; also when the rest is wrong."""
    assert cli.main(["--nonsense", word]) == 0
    page = capsys.readouterr().out
    for option in OPTIONS:
        assert f"--{option.name} " in page or f"--{option.name}\n" in page
        assert option.variable in page
    for name in cli.COMMANDS:
        assert f"  {name} " in page
    assert "default 600" in page
    assert "Exit status" in page


def test_no_line_of_the_help_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """It fits the terminal that is there."""
    for columns in (80, 100, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        page = main_page({})
        tables = page[page.index("What to do") : page.index("Examples")]
        assert max(map(len, tables.splitlines())) <= columns


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--intervall", "3"], "--intervall: unknown option (did you mean --interval?)"),
        (["chekc"], "chekc: unknown command (did you mean check?)"),
        (["--watch", "check"], "check: the command comes first (pyconfd check ...)"),
        (["--"], "--: names no command (pyconfd --watch -- COMMAND ...)"),
        (["--confdir", "/nowhere"], "/nowhere: does not exist (name the folder that holds conf.d "
         "and templates with --confdir)"),
    ],
    ids=["option", "command", "order", "rest", "confdir"],
)  # fmt: skip
def test_wrong_usage_is_said_in_one_line_and_exits_2(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing on standard output, nothing done."""
    assert cli.main([*argv, "--onetime"][: len(argv) + ("--" not in argv)]) == 2
    captured = capsys.readouterr()
    assert captured.err == f"pyconfd: error: {said}\n"
    assert captured.out == ""


def test_all_faults_are_listed_one_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the closing line saying what they led to."""
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.toml").write_text("[template]\nkeys = []\n")
    assert cli.main(["--confdir", str(tmp_path), "--onetime"]) == 2
    folder = f"{tmp_path}/conf.d"
    assert capsys.readouterr().err.splitlines() == [
        f"pyconfd: error: {folder}/a.toml:1: src is missing",
        f"pyconfd: error: {folder}/a.toml:1: dest is missing",
        f"pyconfd: error: {folder}: no usable resource",
    ]


def test_every_command_has_its_module() -> None:
    """The table names modules that exist."""
    for command in cli.COMMANDS.values():
        assert find_spec(command.module), command.module


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    """`pyconfd --help | head -1`."""
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m pyconfd --help | true; {sys.executable} -m pyconfd "
         "--version >&-"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stderr == ""


def test_closed_standard_streams_do_not_hide_the_exit_status() -> None:
    """A supervisor may start us without them."""
    line = f"{sys.executable} -m pyconfd --nonsense 2>&- >&-; echo $?"
    done = subprocess.run(
        ["/bin/sh", "-c", line], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "2\n"


def test_the_environment_is_read_by_the_command(tmp_path: Path) -> None:
    """PYCONFD_CONFDIR reaches it."""
    done = run("--onetime", environ={"PYCONFD_CONFDIR": str(tmp_path / "none")})
    assert done.returncode == 2
    assert done.stderr.startswith(f"pyconfd: error: {tmp_path}/none: does not exist")


def test_what_is_not_needed_is_not_imported() -> None:
    """Start-up time is a feature: settings and conf.d need none of the heavy libraries."""
    heavy = (
        "grpc",
        "google",
        "jinja2",
        "yaml",
        "tenacity",
        "psutil",
        "asyncio",
        "logging",
        "argparse",
    )
    code = (
        "import sys, pyconfd.cli.main, pyconfd.config.resources, pyconfd.config.settings as s\n"
        "s.load_settings(['--onetime'], {})\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == "[]\n"


FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")


@FULL
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "words",
    [["--help"], ["--version"], ["check"], ["recipes"], ["recipes", "show", "nginx-sites"],
     *([name, "--help"] for name in cli.COMMANDS)],
    ids=" ".join,
)  # fmt: skip
def test_an_output_that_cannot_be_written_is_one_line(
    words: list[str], unbuffered: str, tmp_path: Path
) -> None:
    """Of every command; no traceback."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "pyconfd", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered, "PYCONFD_CONFDIR": str(tmp_path)},
        )
    said = done.stderr.splitlines()
    assert said[-1] == (
        "pyconfd: error: standard output cannot be written: No space left on device"
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == 1
