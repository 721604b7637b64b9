"""docs/register.md and the unit say what the program does."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from pyconfd.cli.commands.members import ALL_OPTIONS as MEMBERS_OPTIONS
from pyconfd.cli.help import default_of
from pyconfd.config.arguments import read_arguments
from pyconfd.config.options import Option
from pyconfd.registration.agent.arguments import (
    RUN_OPTIONS,
    read_declarations,
    read_register_arguments,
)
from pyconfd.registration.agent.options import MEMBER_OPTIONS
from pyconfd.registration.agent.services_file import read_services
from tests.support.repository import ROOT

PAGE = ROOT / "docs" / "register.md"
_MARKED = re.compile(r"(<!-- options -->\n).*?(<!-- end of options -->)", re.DOTALL)


def blocks(language: str) -> list[str]:
    """The code blocks of the page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def table() -> str:
    """The options as the page shows them."""
    rows = "".join(_row(each) for each in (*MEMBER_OPTIONS, *RUN_OPTIONS))
    return f"| Option | Default | Meaning |\n|---|---|---|\n{rows}"


def _row(option: Option) -> str:
    other = [name for name in option.aliases if name in ("interval", "timeout", "file", "key")]
    names = ", ".join(f"`--{name}`" for name in (option.name, *other))
    default = default_of(option)
    return f"| {names} | {f'`{default}`' if default else ''} | {option.help} |\n"


def test_the_page_lists_every_option() -> None:
    """As the tables in the code have them; `python -m tests.registration.test_docs` writes it."""
    found = _MARKED.search(PAGE.read_text())
    assert found is not None
    assert found[0] == f"{found[1]}{table()}{found[2]}"


@pytest.mark.parametrize(
    "line", [line for each in blocks("sh") for line in each.splitlines() if line]
)
def test_every_command_line_is_taken(line: str, tmp_path: Path) -> None:
    """No unknown option, no wrong word."""
    _, command, *words = shlex.split(line)
    if command == "members":
        assert not read_arguments(words, MEMBERS_OPTIONS).faults
        return
    (tmp_path / "services.toml").write_text(blocks("toml")[0])
    words = [word.replace("services.toml", str(tmp_path / "services.toml")) for word in words]
    arguments, values = read_register_arguments(words, {"PYCONFD_CONFIG_FILE": ""})
    assert read_declarations(values, arguments)


def test_the_services_file_is_read(tmp_path: Path) -> None:
    """With its defaults for all."""
    file = tmp_path / "services.toml"
    file.write_text(blocks("toml")[0])
    _, values = read_register_arguments(["--file", str(file)], {})
    first, second = read_services(str(file), values)
    assert (first.service, first.weight, first.labels) == ("www.example.com", 5, {"zone": "a"})
    assert [str(each) for each in first.checks][1] == "exec:test -e /srv/www/index.html"
    assert second.before.startswith("rsync")
    assert {first.rule.interval_s, second.rule.interval_s} == {1.0}


@pytest.mark.parametrize("block", blocks("python"))
def test_every_python_example_compiles(block: str) -> None:
    """And names nothing that pyconfd does not have."""
    import pyconfd

    compile(block, str(PAGE), "exec")
    for name in re.findall(r"pyconfd\.(\w+)", block):
        assert hasattr(pyconfd, name)


def test_the_unit_starts_what_the_command_line_takes() -> None:
    """And stops in a way that leaves the withdrawal to the main process."""
    unit = (ROOT / "packaging" / "pyconfd-register@.service").read_text()
    (start,) = re.findall(r"^ExecStart=pyconfd register (.*)$", unit, re.MULTILINE)
    assert not read_arguments(shlex.split(start), (*MEMBER_OPTIONS, *RUN_OPTIONS)).faults
    assert "Type=notify\n" in unit
    assert "KillMode=mixed\n" in unit


if __name__ == "__main__":
    PAGE.write_text(_MARKED.sub(lambda m: f"{m[1]}{table()}{m[2]}", PAGE.read_text()))
