"""docs/recipes/monitoring.md on a real etcd: metrics, health, plugin lines, and the page itself."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.daemons.etcd import PrivateEtcd, free_ports
from tests.support.http import ask
from tests.support.pyconfd import Confdir, Daemon
from tests.support.repository import ROOT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

PAGE = (ROOT / "docs" / "recipes" / "monitoring.md").read_text()
RULES = ROOT / "packaging" / "prometheus" / "pyconfd.rules.yml"
RELOAD = "true"


class Watched:
    """A daemon with metrics, its etcd and its one file."""

    def __init__(self, folder: Path, etcd: PrivateEtcd) -> None:
        self.etcd = etcd
        self.port = free_ports(1)[0]
        self.confdir = Confdir(folder / "confdir", "--node", etcd.endpoint)
        self.file = self.confdir.simple(reload_cmd=f'"{RELOAD}"')
        self.daemon: Daemon

    def get(self, path: str) -> tuple[int, str]:
        """Status and body."""
        answer = ask(self.port, path)
        return answer.status, answer.body

    def metric(self, name: str, **labels: str) -> float | None:
        """One number of /metrics."""
        for family in text_string_to_metric_families(self.get("/metrics")[1]):
            for one in family.samples:
                if one.name == f"pyconfd_{name}" and one.labels == labels:
                    return float(one.value)
        return None

    def plugin(self) -> tuple[int, str]:
        """`pyconfd status --nagios`."""
        argv = self.confdir.argv()
        words = [*argv[:3], "status", "--nagios", *argv[3:]]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120)
        assert done.stderr == ""
        return done.returncode, done.stdout


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    yield from running(tmp_path)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """For tests that change nothing."""
    yield from running(tmp_path_factory.mktemp("quiet"))


def running(folder: Path) -> Iterator[Watched]:
    with PrivateEtcd(folder) as etcd:
        etcd.put("/app/a", "1")
        found = Watched(folder, etcd)
        listen = ("--metrics-listen", f"127.0.0.1:{found.port}", "--interval", "1")
        with found.confdir.daemon(*listen) as found.daemon:
            found.daemon.wait_file(found.file, "/app/a=1\n")
            wait_until(lambda: found.get("/health")[0] == 200)
            yield found


def test_a_held_change_is_seen_by_everyone_who_watches(watched: Watched) -> None:
    """In the metric and as a warning, and not as ill health; released, it is over."""
    held = {"group": "app", "guard": "allow_empty"}
    assert watched.metric("held_changes", **held) == 0
    assert watched.plugin()[0] == 0
    watched.etcd.delete("/app/a")
    wait_until(lambda: watched.metric("held_changes", **held) == 1)
    assert watched.metric("files", resource="app", group="app", state="held") == 1
    assert watched.file.read_text() == "/app/a=1\n"
    assert watched.get("/health") == (
        200,
        "1 held (app: the only key is gone); see pyconfd explain app; "
        "let it through: pyconfd release app\n",
    )
    status, said = watched.plugin()
    assert status == 1
    assert said.startswith("PYCONFD WARNING - 1 held (app: the only key is gone)")
    assert said.endswith("| resources=1 bad=1 pending=0 lost=0.000s\n")
    argv = watched.confdir.argv()
    subprocess.run([*argv[:3], "release", "app", *argv[3:]], check=True, timeout=120)
    watched.daemon.wait_file(watched.file, "")
    wait_until(lambda: watched.metric("held_changes", **held) == 0)
    assert watched.metric("changed_files_total", resource="app") == 2
    wait_until(lambda: watched.metric("reloads_total", service=RELOAD) == 2)
    assert watched.plugin()[0] == 0


def test_a_store_that_is_away_is_seen_by_everyone_who_watches(watched: Watched) -> None:
    """In the metric, as ill health and as critical, until it is back."""
    watched.etcd.kill()
    wait_until(lambda: watched.metric("store_connected") == 0)
    status, said = watched.get("/health")
    assert status == 503
    assert said.startswith("store unavailable for ")
    status, said = watched.plugin()
    assert (status, said[:18]) == (2, "PYCONFD CRITICAL -")
    assert float(re.findall(r" lost=([\d.]+)s\n", said)[0]) > 0
    watched.etcd.start()
    wait_until(lambda: watched.metric("store_connected") == 1)
    assert watched.get("/health")[0] == 200
    assert watched.plugin()[0] == 0


def test_the_page_has_every_metric_and_its_labels(quiet: Watched) -> None:
    """And no other; the process's own are not told one by one."""
    told = {
        name: set(re.findall(r"`(\w+)`", labels))
        for name, labels in re.findall(r"^\| `(pyconfd_\w+)` \| ([^|]*)\|", PAGE, re.MULTILINE)
    }
    found: dict[str, set[str]] = {}
    page = quiet.get("/metrics")[1]
    for family in text_string_to_metric_families(page):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for one in family.samples for label in one.labels} - {"le"}
        # One without a series yet (no nginx is here) has none to compare.
        found[name] = labels if family.samples else told.get(name, set())
    assert {name for name in found if not name.startswith("pyconfd_")} >= {
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
    }
    assert told == {name: found[name] for name in found if name.startswith("pyconfd_")}
    assert "/app" not in page, "no keys"


def test_the_examples_for_prometheus_are_sound(quiet: Watched) -> None:
    """YAML of the right form, and rules about metrics that there are."""
    scrape: dict[str, Any] = yaml.safe_load(block("yaml scrape"))
    (job,) = scrape["scrape_configs"]
    assert job["static_configs"][0]["targets"]
    assert scrape["rule_files"] == ["pyconfd.rules.yml"]
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    table = dict(re.findall(r"^\| `(Pyconfd\w+)` \| (\w+) \|", PAGE, re.MULTILINE))
    assert table == {rule["alert"]: rule["labels"]["severity"] for rule in group["rules"]}
    names = {one.name for family in text_string_to_metric_families(quiet.get("/metrics")[1])
             for one in family.samples}  # fmt: skip
    for rule in group["rules"]:
        assert set(rule) >= {"alert", "expr", "labels", "annotations"}
        used = set(re.findall(r"pyconfd_\w+", rule["expr"]))
        assert used <= names, rule["alert"]
        for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
            known = {"instance", "service", "group", "guard", "resource"}
            assert label in known, rule["alert"]


def test_the_examples_for_nagios_are_run(quiet: Watched) -> None:
    """Every command line, with the macros filled in; the line of a plugin, and its status."""
    lines = re.findall(r"command_line\s+(.*)", block("text nagios"))
    lines += re.findall(r"^command\[\w+\]=(?:sudo )?(.*)", block("text nrpe"), re.MULTILINE)
    assert len(lines) == 5
    pid = quiet.confdir.folder / "pid"
    pid.write_text(str(quiet.daemon.process.pid))
    argv = quiet.confdir.argv()
    fill = {
        "$HOSTADDRESS$": f"127.0.0.1:{quiet.port}", "127.0.0.1/": f"127.0.0.1:{quiet.port}/",
        "$ARG3$": str(quiet.port), "$ARG2$": "pyconfd", "/run/nginx.pid?name=nginx": str(pid),
        "--confdir /etc/pyconfd": "",
    }  # fmt: skip
    for line in lines:
        for macro, value in fill.items():
            line = line.replace(macro, value)
        line = line.replace("$ARG1$?name=pyconfd", str(pid)).replace("$ARG1$", "www.example.com")
        program, command, *words = shlex.split(line)
        assert program == "/usr/local/bin/pyconfd"
        if command == "status":
            words += argv[3:]
        else:  # the listener has two pages, and the site of the example one
            words = [f"{word}health" if word.startswith("http:") else word for word in words]
        done = subprocess.run(
            [*argv[:3], command, *words], capture_output=True, text=True, timeout=120
        )
        assert (done.returncode, done.stderr) == (0, ""), line
        assert done.stdout.startswith("PYCONFD OK - ")


def block(name: str) -> str:
    """The fenced text of this name on the page."""
    found = re.search(rf"```{name}\n(.*?)```", PAGE, re.DOTALL)
    assert found, name
    return found[1]


def test_the_daemons_own_page_shows_what_is_held_and_how_to_let_it_go(watched: Watched) -> None:
    """Names, no values; escaped; nothing but the page itself may be loaded."""
    watched.etcd.put("/app/<b>", "secret")
    watched.daemon.wait_file(watched.file, "/app/<b>=secret\n/app/a=1\n")
    wait_until(lambda: "/app/&lt;b&gt;" in watched.get("/")[1], what="the last versions")
    watched.etcd.delete("/app/a")
    watched.etcd.delete("/app/<b>")
    wait_until(lambda: "pyconfd release app" in watched.get("/")[1])
    answer = ask(watched.port, "/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script" not in answer.body
    assert "<b>" not in answer.body
    assert "secret" not in answer.body
    style = re.search(r"<style>(.*?)</style>", answer.body, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy


def test_the_loop_is_alive_and_ready_while_the_store_is_away(watched: Watched) -> None:
    """Health is about the store too."""
    watched.etcd.kill()
    wait_until(lambda: watched.get("/health")[0] == 503)
    assert watched.get("/livez") == (200, "ok\n")
    assert watched.get("/readyz")[0] == 200
    assert "store unavailable" in watched.get("/")[1]


@pytest.mark.parametrize("path", ["/health", "/metrics"])
def test_no_value_is_shown_to_those_who_may_ask(watched: Watched, path: str) -> None:
    """A check that quotes what it refuses: the log, the status and the pages name its key."""
    says = 'echo "host not found: \\"db.secret.example\\""; exit 1'
    check = f"! grep -q db.secret {{{{src}}}} || {{ {says}; }}"
    watched.confdir.simple(reload_cmd=f'"{RELOAD}"', check_cmd=f"'''{check}'''")
    watched.daemon.signal(signal.SIGHUP)
    watched.etcd.put("/app/a", "db.secret.example")
    watched.daemon.wait_log("host not found")
    wait_until(lambda: "app" in watched.get("/health")[1])
    shown = watched.get(path)[1] + watched.plugin()[1] + watched.daemon.log
    assert "the value of /app/a" in watched.daemon.log
    assert "db.secret" not in shown
