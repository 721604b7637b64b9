"""The systemd unit: what it promises, and that systemd accepts it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from pyconfd.config.arguments import read_arguments
from pyconfd.config.option_table import OPTIONS
from pyconfd.config.settings import load_settings
from tests.support.repository import ROOT

UNIT = ROOT / "packaging" / "pyconfd.service"


def value(key: str) -> str:
    (found,) = re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)
    return found


def test_the_command_line_of_the_unit_is_understood() -> None:
    """It watches, and no option is misspelt."""
    program, *argv = value("ExecStart").split()
    assert program == "pyconfd"
    assert not read_arguments(argv, OPTIONS).faults
    assert load_settings(argv, {}).watch


def test_a_running_reload_has_time_to_end() -> None:
    """systemd waits longer than we do, and leaves the children to us."""
    assert int(value("TimeoutStopSec")) > load_settings([], {}).shutdown_timeout_s
    assert value("KillMode") == "mixed"


def test_state_and_signals_fit_the_program() -> None:
    """The state folder that systemd makes is the one that is used, and found by the reload."""
    folder = f"/var/lib/{value('StateDirectory')}"
    assert load_settings([], {"STATE_DIRECTORY": folder}).state_dir == folder
    assert value("ExecReload") == "pyconfd reload"
    assert value("RestartPreventExitStatus") == "2"
    assert value("Type") == "notify"


def test_nginx_may_open_as_many_files_as_it_has_logs() -> None:
    """systemd's own soft limit is 1024, which 500 sites reach."""
    assert int(value("LimitNOFILE")) >= 65536


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """Verified by systemd itself on a machine that has it; the rest of this file holds anyway."""
    if shutil.which("systemd-analyze") is None:
        return
    copy = tmp_path / "pyconfd.service"
    copy.write_text(UNIT.read_text().replace("=pyconfd ", "=/bin/true "))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False
    )
    ours = [line for line in done.stderr.splitlines() if "pyconfd.service" in line]
    assert not ours, done.stderr
