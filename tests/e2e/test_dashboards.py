"""
Alert rules and the dashboard on a real Prometheus, which has watched three nodes of a fleet through
a halt, a refusal, an outage of the store and the end of a node.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.test_fleet import NODES, ROLLOUT, Fleet, fleets
from tests.support.daemons.etcd import free_ports
from tests.support.daemons.prometheus import Prometheus
from tests.support.repository import ROOT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

RULES = ROOT / "packaging" / "prometheus" / "pyconfd.rules.yml"
DASHBOARD = json.loads((ROOT / "packaging" / "grafana" / "pyconfd.json").read_text())
#: What Grafana puts in the place of its variables.
FILLED = {"$job": "pyconfd", "$instance": ".*", "$__rate_interval": "20s"}


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """When all of it has happened."""
    targets = [f"127.0.0.1:{port}" for port in free_ports(len(NODES))]
    own = {name: ("--metrics-listen", target) for name, target in zip(NODES, targets, strict=True)}
    folder = tmp_path_factory.mktemp("prometheus")
    with Prometheus(folder, targets, RULES).running() as made:
        for fleet in fleets(tmp_path_factory.mktemp("fleet"), ROLLOUT, own=own):
            go_wrong(fleet, made)
            yield made


def go_wrong(fleet: Fleet, prometheus: Prometheus) -> None:
    """One after the other; each is waited for until Prometheus has it."""

    def seen(query: str, count: int) -> None:
        wait_until(lambda: prometheus.soon(query) == count, what=f"{query}: {count}")

    seen("up == 1", 3)
    fleet.etcd.put("/app/settings/timeout", "20s")
    fleet.wait(["20s"] * 3)
    seen("increase(pyconfd_reloads_total[20s]) > 0", 3)
    fleet.etcd.put("/app/settings/timeout", "many")
    seen("pyconfd_rollout_halted == 1", 3)
    fleet.etcd.put("/app/members/b", "10.0.0.2\nnonsense on;")
    seen('pyconfd_files{state=~"refused|failed"} == 1', 3)
    fleet.etcd.kill()
    seen("pyconfd_store_connected == 0", 3)
    fleet.daemons["web3"].end()
    seen("up == 0", 1)


def panels() -> list[tuple[str, str]]:
    """Title and query of each panel that has some."""
    return [
        (panel["title"], target["expr"])
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", ())
    ]


def test_every_panel_of_the_dashboard_has_data(prometheus: Prometheus) -> None:
    """With what Grafana puts in; every panel says what it shows."""
    assert len(panels()) > 20
    empty = []
    for title, query in panels():
        for name, value in FILLED.items():
            query = query.replace(name, value)
        found = prometheus.ever(query)
        if not any(value != "NaN" for series in found for _, value in series["values"]):
            empty.append((title, query))
    assert empty == []


def test_every_alert_is_about_something_and_fires_when_it_should(prometheus: Prometheus) -> None:
    """Prometheus takes the rules; what has happened is seen, all else could be."""
    done = subprocess.run(["promtool", "check", "rules", RULES], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rules = prometheus.rules()
    assert [one["name"] for one in rules if one["health"] != "ok"] == []
    assert {one["name"] for one in rules if prometheus.ever(one["query"])} == {
        "PyconfdDown",
        "PyconfdStoreUnavailable",
        "PyconfdRefused",
        "PyconfdRolloutHalted",
        "PyconfdRolloutStuck",
    }
    sides = [one["query"].partition(" unless ")[0] for one in rules]
    compared = [re.sub(r"(==|>|<) (?=\d)", r"\1 bool ", side) for side in sides]
    assert [query for query in compared if not prometheus.ever(query)] == []


def test_the_dashboard_is_whole() -> None:
    """No two panels on one place, and no query of one service or data source of its maker."""
    places: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        at: dict[str, Any] = panel["gridPos"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                other = places.setdefault((x, y), panel["title"])
                assert other == panel["title"], (other, panel["title"])
        assert at["x"] + at["w"] <= 24
        assert panel["type"] == "row" or panel["datasource"]["uid"] == "${datasource}"
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
