"""
A real Prometheus of the test's own: a folder, a free port of 127.0.0.1, ended by its own pid.

    with Prometheus(tmp_path, targets, rules).running() as prometheus:
        prometheus.ever("up == 0")
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.support.daemons.etcd import free_ports
from tests.support.http import ask
from tests.support.waiting import PATIENCE_S, wait_until

_CONFIG = """\
global: {{scrape_interval: 300ms, scrape_timeout: 300ms, evaluation_interval: 300ms}}
rule_files: [{rules}]
scrape_configs:
  - job_name: pyconfd
    static_configs: [{{targets: [{targets}]}}]
"""


class Prometheus:
    """It scrapes these targets (host:port) as the job "pyconfd" and evaluates a file of rules."""

    def __init__(self, folder: Path, targets: Sequence[str], rules: Path) -> None:
        self._folder = folder
        self._port = free_ports(1)[0]
        self._begun_at = time.time()
        text = _CONFIG.format(rules=rules, targets=", ".join(f"'{one}'" for one in targets))
        (folder / "prometheus.yml").write_text(text)

    @contextlib.contextmanager
    def running(self) -> Iterator[Prometheus]:
        """Start it, and end it."""
        argv = ["prometheus", f"--config.file={self._folder}/prometheus.yml"]
        argv += [f"--storage.tsdb.path={self._folder}/data"]
        argv += [f"--web.listen-address=127.0.0.1:{self._port}", "--log.level=warn"]
        with (self._folder / "prometheus.log").open("wb") as log:
            process = subprocess.Popen(argv, stdout=log, stderr=log)
        try:
            wait_until(lambda: ask(self._port, "/-/ready").status == 200, what="Prometheus")
            yield self
        finally:
            process.terminate()
            process.wait(PATIENCE_S)

    def soon(self, query: str) -> int:
        """How many series a query has after about one more scrape; for those who ask in a loop."""
        time.sleep(0.3)
        return len(self._result("/api/v1/query", query=query))

    def ever(self, query: str) -> list[Any]:
        """The series that a query has had since the start, second by second."""
        span = {"start": f"{self._begun_at:.3f}", "end": f"{time.time():.3f}", "step": "1s"}
        return self._result("/api/v1/query_range", query=query, **span)

    def rules(self) -> list[dict[str, Any]]:
        """As Prometheus sees them."""
        (group,) = self._get("/api/v1/rules")["groups"]
        rules: list[dict[str, Any]] = group["rules"]
        return rules

    def _result(self, path: str, **query: str) -> list[Any]:
        found: list[Any] = self._get(f"{path}?{urllib.parse.urlencode(query)}")["result"]
        return found

    def _get(self, path: str) -> Any:
        answer = ask(self._port, path)
        found = json.loads(answer.body)
        assert found["status"] == "success", (path, found)
        return found["data"]
