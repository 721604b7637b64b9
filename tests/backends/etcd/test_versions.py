"""The etcd layer on the lowest versions that pyproject.toml allows, and on those installed here."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support.daemons.etcd import PrivateEtcd
from tests.support.repository import ROOT

pytestmark = pytest.mark.integration


def lowest_requirements() -> list[str]:
    """Every run-time dependency at its lower bound: `grpcio>=1.66` is `grpcio==1.66.*`."""
    script = ROOT / "packaging" / "requirements.py"
    printed = subprocess.check_output([sys.executable, script, "--lowest"], text=True)
    return [line for line in printed.splitlines() if "==" in line]


def drive(python: str, etcd: PrivateEtcd) -> str:
    """What tests.programs.drive_etcd says there, with every warning an error."""
    # protobuf's compiled part, on Python 3.12, about itself.
    foreign = ("-W", "ignore:Type google._upb:DeprecationWarning")
    done = subprocess.run(
        [python, "-W", "error", *foreign, "-m", "tests.programs.drive_etcd", etcd.endpoint],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_the_installed_versions_work_without_a_warning(each_etcd: PrivateEtcd) -> None:
    """The development environment has the newest of everything."""
    assert drive(sys.executable, each_etcd).startswith("ok: etcd3 0.12.0")


@pytest.mark.slow
def test_the_lowest_versions_work_without_a_warning(etcd: PrivateEtcd, tmp_path: Path) -> None:
    """An environment of its own with every dependency at its lower bound (25 s)."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    requirements = lowest_requirements()
    installed = subprocess.run(
        [python, "-m", "pip", "install", "-q", "--prefer-binary", *requirements],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert installed.returncode == 0, installed.stderr
    said = drive(python, etcd)
    assert f"protobuf {version('protobuf')}" not in said, "these are not the lowest"
