"""The manual pages: every option and key is there, and two formatters find no fault."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from pyconfd.cli.main import COMMANDS
from pyconfd.config.option_table import OPTIONS
from pyconfd.config.resource_table import KEYS, SERVICE_KEYS
from pyconfd.config.rollouts import ROLLOUT_KEYS
from pyconfd.registration.agent.options import MEMBER_OPTIONS
from tests.support.repository import ROOT

PAGES = {path.name: path for path in (ROOT / "packaging" / "man").glob("man*/*")}


def test_every_option_key_and_command_has_its_entry() -> None:
    """By its name at the beginning of an entry."""
    assert set(PAGES) == {
        "pyconfd.1", "pyconfd-register.1", "pyconfd.toml.5", "pyconfd-resource.5"
    }  # fmt: skip
    text = {name: path.read_text().replace("\\-", "-") for name, path in PAGES.items()}
    for command in COMMANDS:
        assert f".SS pyconfd {command}\n" in text["pyconfd.1"]
    for option in OPTIONS:
        assert f"\n\\fB--{option.name}\\fR" in text["pyconfd.1"]
        assert (f"\n\\fB{option.name.replace('-', '_')}\\fR" in text["pyconfd.toml.5"]) is (
            option.in_file
        )
    for option in MEMBER_OPTIONS:
        assert f"\n\\fB--{option.name}\\fR" in text["pyconfd-register.1"]
    for key in (*KEYS, *SERVICE_KEYS, *ROLLOUT_KEYS):
        assert f"\n\\fB{key}\\fR" in text["pyconfd-resource.5"]


@pytest.mark.integration
@pytest.mark.parametrize("name", PAGES)
def test_formatters_find_no_fault(name: str) -> None:
    """groff by way of man, and mandoc."""
    if not shutil.which("man") or not shutil.which("mandoc"):
        pytest.skip("man-db or mandoc is not here")
    for argv in (
        ["man", "--warnings", "-l", "-Tutf8", "-Z", str(PAGES[name])],
        ["mandoc", "-Tlint", "-Wstyle", str(PAGES[name])],
    ):
        environ = {**os.environ, "LC_ALL": "C.UTF-8"}
        done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=60)
        complaints = done.stderr + (done.stdout if argv[0] == "mandoc" else "")
        assert [line for line in complaints.splitlines() if "referenced manual" not in line] == []
