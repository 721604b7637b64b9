"""The bench runs from end to end. Its figures are for people: nothing here looks at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

BENCH = [sys.executable, "-m", "bench", "--quick"]


def test_a_quick_run_prints_tables_and_writes_json(tmp_path: Path) -> None:
    """Without any peer: start-up, one-shot runs and latencies beside the bare watch."""
    result = tmp_path / "result.json"
    done = subprocess.run(
        [*BENCH, "--only", "one-shot", "--only", "latency", "--json", str(result)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for title in ("start-up of a one-shot run", "one-shot 1x10", "put to file 1x10", "target"):
        assert f"| {title}" in done.stdout
    figures = json.loads(result.read_text())["figures"]
    assert {each["subject"] for each in figures} == {"bare watch", "pyconfd"}
    assert all(each["value"] > 0 for each in figures)


def test_growth_is_measured_at_several_sizes_and_drawn(tmp_path: Path) -> None:
    """A row for each piece of work with its exponent, and a picture."""
    picture = tmp_path / "growth.svg"
    only = ["--only", "one_shot", "--only", "each_change", "--sizes", "2,4"]
    done = subprocess.run(
        [sys.executable, "-m", "bench.growth", *only, "--svg", str(picture)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("| 2 / 4 |") == 2
    assert picture.read_text().count("<polyline") == 2


def test_the_store_layer_is_measured_beside_the_bare_watch() -> None:
    """Delivery and a burst of events, in processes of their own."""
    only = ["--only", "store-delivery", "--only", "store-events", "--only", "store-storm"]
    done = subprocess.run([*BENCH, *only], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "p50 over the bare watch" in done.stdout
    assert "| pyconfd, mirror and index" in done.stdout


def test_a_peer_that_is_no_program_is_wrong_usage(tmp_path: Path) -> None:
    """--peer wants NAME=PATH of something that runs."""
    done = subprocess.run(
        [*BENCH, "--peer", f"confd={tmp_path}/absent"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert "--peer" in done.stderr
