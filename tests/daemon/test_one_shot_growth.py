"""A one-shot run over services of their own: twice as many are twice the work."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pyconfd.config.arguments import read_arguments
from pyconfd.config.option_table import OPTIONS
from pyconfd.config.settings import settings_from
from pyconfd.daemon import wiring
from pyconfd.daemon.run import once
from tests.support.pyconfd import Confdir
from tests.support.work import calls


def test_each_service_of_a_run_costs_the_same(tmp_path: Path) -> None:
    """Calls of Python for all of them new, and for all of them changed; the history included."""
    small, large = (_costs(tmp_path / str(size), size) for size in (20, 80))
    for one, four in zip(small, large, strict=True):
        assert four < 4.2 * one, (small, large)


def _costs(folder: Path, size: int) -> list[int]:
    folder.mkdir()
    store = folder / "store.json"
    confdir = Confdir(folder / "confdir", "--backend", "file", "--file", str(store))
    for number in range(size):
        confdir.simple(f"app{number}", "/app")
    settings = settings_from(read_arguments(confdir.argv("--onetime")[3:], OPTIONS), os.environ)
    found = wiring.load(settings)
    costs = []
    for value in ("1", "2", "3"):
        store.write_text(json.dumps({"app": {"a": value}}))
        costs.append(calls(lambda: once(settings, found)))
    assert len(list(folder.rglob("versions.jsonl"))) == 1
    return costs[1:]
