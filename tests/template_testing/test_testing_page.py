"""What docs/testing.md shows runs as it stands there; pytest finds the plugin by itself."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pyconfd
from pyconfd.errors import RenderFailed
from tests.support.repository import ROOT

PAGE = (ROOT / "docs" / "testing.md").read_text()
FILES = re.findall(r"^```\w+ (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    """In a folder of their own, in a pytest of their own."""
    for name, text in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert "8 passed" in done.stdout, done.stdout + done.stderr


def test_the_tables_name_what_there_is() -> None:
    """Every argument, and every attribute of the error."""
    first, second = re.split(r"^## Errors$", PAGE, flags=re.MULTILINE)
    assert names(first) == set(inspect.signature(pyconfd.render).parameters)
    attributes = RenderFailed("", file="a", line=1).__dict__.keys()
    assert names(second) == attributes - {"where", "kept"}


def names(text: str) -> set[str]:
    rows = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}
