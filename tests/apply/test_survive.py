"""A fault of ours in a one-shot run: said, counted as a failure, and the others are done."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from pyconfd.config.arguments import read_arguments
from pyconfd.config.option_table import OPTIONS
from pyconfd.config.settings import settings_from
from pyconfd.daemon import wiring as build
from pyconfd.daemon.run import passes, read
from pyconfd.model.steps import CommandReport
from pyconfd.system.proc import Commands
from tests.support.pyconfd import Confdir


def test_a_fault_of_ours_in_a_one_shot_run_does_not_stop_the_others(tmp_path: Path) -> None:
    """As in the daemon."""
    store = tmp_path / "store.json"
    store.write_text(json.dumps({"app": {"a": "1"}}))
    confdir = Confdir(tmp_path / "confdir", "--backend", "file", "--file", str(store))
    bad = confdir.simple("a", "/app", check_cmd='"true"')
    good = confdir.simple("b", "/app")

    def broken(*_: object, **__: object) -> CommandReport:
        raise RuntimeError("a fault of ours")

    settings = settings_from(read_arguments(confdir.argv("--onetime")[3:], OPTIONS), os.environ)
    found = build.load(settings)
    with build.state(settings, found) as state:
        tools = replace(build.tools(settings, state, Commands()), run=broken)
        reports = list(passes(found, read(settings, found), state, tools))
    assert [outcome.result.failed for report in reports for outcome in report.outcomes] == [
        True,
        False,
    ]
    assert not bad.exists()
    assert good.read_text() == "/app/a=1\n"
