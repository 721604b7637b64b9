"""The commands in CONTRIBUTING.md exist."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec

import pytest

from tests.support.repository import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
FENCED = [
    line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()
]
INLINE = re.findall(r"`(make [^`]+)`", TEXT)


@pytest.mark.parametrize("command", sorted({*FENCED, *INLINE}))
def test_every_command_can_be_run(command: str) -> None:
    """A target of the Makefile, or a module with arguments that exist."""
    program, *words = shlex.split(command)
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert words[0] in targets
        for word in words[1:]:
            assert f"{word.partition('=')[0]} ?=" in (ROOT / "Makefile").read_text()
        return
    assert program == ".venv/bin/python"
    assert words[0] == "-m"
    assert find_spec(words[1]), words[1]
    for path in words[2:]:
        assert (ROOT / path).exists()


def test_every_link_leads_to_a_file() -> None:
    """The pages that it names are there."""
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target
