"""The short, seeded run of the soak (`make soak` runs it for as long as you like)."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SOAK = [
    sys.executable,
    "-m",
    "tests.programs.soak",
    "--seed",
    "5",
    "--minutes",
    "0.75",
    "--pause",
    "0.1",
]


def test_a_broken_cluster_never_shows_what_was_not_and_always_converges() -> None:
    """Faults in a seeded order, none twice, as far as the time goes; no violation."""
    done = subprocess.run([*SOAK, "--rounds", "1"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "violations: 0" in done.stdout
    assert len(re.findall(r"^\S.* {2,}\d+\.\d+ s ", done.stdout, re.MULTILINE)) > 3
