"""packaging/make-venv.sh: what an interrupt leaves."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.support.repository import ROOT

SCRIPT = ROOT / "packaging" / "make-venv.sh"

# A Python whose pip is interrupted as by Ctrl-C: the script gets the signal too, pip exits with 1.
PYTHON = """\
#!/bin/sh
case "$*" in
"-m venv"*) for folder; do :; done; mkdir -p "$folder/bin"; cp "$0" "$folder/bin/python" ;;
*sys.executable*) echo "$0" ;;
*" pip "*) echo pip >>"$CALLS"; kill -INT $PPID; exit 1 ;;
esac
"""


def test_ctrl_c_ends_it_and_the_next_run_starts_over(tmp_path: Path) -> None:
    """It is not taken for an index that does not hold the releases, and nothing says "current"."""
    python, venv, calls = tmp_path / "python", tmp_path / "venv", tmp_path / "calls"
    python.write_text(PYTHON)
    python.chmod(0o755)
    done = subprocess.run(
        ["env", "--default-signal=INT", "bash", str(SCRIPT), str(venv)],
        env={**os.environ, "PYTHON": str(python), "CALLS": str(calls)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 130, done.stderr
    assert calls.read_text() == "pip\n"
    assert not (venv / "made-from").exists()
