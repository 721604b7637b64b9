"""docs/notify.md and the unit say what `pyconfd notify` does."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from pyconfd.cli.commands.notify import ALL_OPTIONS, NOTIFY_OPTIONS
from pyconfd.cli.help import default_of
from pyconfd.config.arguments import read_arguments
from pyconfd.registration.notify.dialects import daemons
from tests.support.repository import ROOT

PAGE = ROOT / "docs" / "notify.md"
UNIT = ROOT / "packaging" / "pyconfd-notify@.service"
_MARKED = re.compile(r"(<!-- options -->\n).*?(<!-- end of options -->)", re.DOTALL)


def table() -> str:
    """The options as the page shows them."""
    head = "| Option | Default | Meaning |\n|---|---|---|\n"
    rows = (f"| `--{o.name}` | {default_of(o) or 'none'} | {o.help} |\n" for o in OPTIONS)
    return head + "".join(rows)


OPTIONS = (*NOTIFY_OPTIONS, *(each for each in ALL_OPTIONS if each.name == "node-name"))


def test_the_page_lists_every_option() -> None:
    """`python -m tests.registration.notify.test_docs` writes it."""
    found = _MARKED.search(PAGE.read_text())
    assert found is not None
    assert found[0] == f"{found[1]}{table()}{found[2]}"


@pytest.mark.parametrize("page", ["notify.md", "recipes/keepalived.md"])
def test_every_command_line_is_taken(page: str) -> None:
    """No unknown option, no wrong word."""
    text = (ROOT / "docs" / page).read_text()
    lines = re.findall(r"^pyconfd notify (.*)$", text, re.MULTILINE)
    for line in lines:
        arguments = read_arguments(shlex.split(line), ALL_OPTIONS)
        assert not arguments.faults
        assert arguments.words[0] in daemons()
    assert lines or page != "notify.md"


def test_the_unit_starts_what_the_command_line_takes() -> None:
    """It listens where the recipe's keepalived writes, and has the recipe's hooks."""
    unit = UNIT.read_text().replace("%i", "keepalived")
    (start,) = re.findall(r"^ExecStart=pyconfd notify (.*)$", unit, re.MULTILINE)
    arguments = read_arguments(shlex.split(start), ALL_OPTIONS)
    assert not arguments.faults
    recipe = ROOT / "pyconfd" / "recipes" / "keepalived"
    assert f'notify_fifo = "{arguments.words[1]}"' in (recipe / "vars.toml").read_text()
    hooks = arguments.given["hooks"].value.removeprefix("/etc/pyconfd/")
    assert (recipe / hooks / "webhook").exists()
    assert arguments.words[1].startswith(f"/run/{'pyconfd-notify'}/")
    for line in ("Type=notify", "KillMode=mixed", "RuntimeDirectory=pyconfd-notify"):
        assert f"{line}\n" in unit


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """Verified by systemd itself on a machine that has it; the rest of this file holds anyway."""
    if shutil.which("systemd-analyze") is None:
        return
    copy = tmp_path / "pyconfd-notify@keepalived.service"
    copy.write_text(UNIT.read_text().replace("ExecStart=pyconfd", "ExecStart=/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False
    )
    assert not [line for line in done.stderr.splitlines() if "pyconfd-notify@" in line], done.stderr


if __name__ == "__main__":
    PAGE.write_text(_MARKED.sub(lambda m: f"{m[1]}{table()}{m[2]}", PAGE.read_text()))
