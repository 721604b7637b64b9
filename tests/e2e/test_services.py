"""A service with a name: a corrected command is the same service, and pays what is pending."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemons.etcd import PrivateEtcd
from tests.support.pyconfd import Confdir

pytestmark = pytest.mark.integration

RIGHT = "echo $0 >> @OUT@/reload.log"


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[PrivateEtcd]:
    with PrivateEtcd(tmp_path / "etcd") as server:
        yield server


@pytest.fixture
def confdir(tmp_path: Path, etcd: PrivateEtcd) -> Confdir:
    """Two resources of the service `edge`, whose reload command fails for its typing error."""
    etcd.put("/app/a", "1")
    etcd.put("/other/a", "1")
    confdir = Confdir(tmp_path / "confdir", "--node", etcd.endpoint, "--log-level", "debug")
    confdir.simple("app", "/app", service='"edge"')
    confdir.simple("other", "/other", service='"edge"')
    edge(confdir, "exho r >> @OUT@/reload.log")
    return confdir


def edge(confdir: Confdir, command: str) -> None:
    """The table of the service."""
    confdir.resource("services", f'[service.edge]\nreload_cmd = "{command}"\n')


def reloads(confdir: Confdir) -> int:
    path = confdir.out / "reload.log"
    return len(path.read_text().splitlines()) if path.exists() else 0


def journal_of(confdir: Confdir) -> Path:
    (path,) = (confdir.folder / "state").rglob("journal")
    return path


def pending(confdir: Confdir) -> set[str]:
    """The services of which the journal has swaps that are not settled."""
    lines = journal_of(confdir).read_text().splitlines()
    return {json.loads(line)["service"] for line in lines if '"swap"' in line}


def services(confdir: Confdir) -> dict[str, dict[str, object]]:
    """What `pyconfd status` shows of each service, by name."""
    base = ["--confdir", str(confdir.folder), "--state-dir", str(confdir.folder / "state")]
    argv = [confdir.argv()[0], "-m", "pyconfd", "status", *base, "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    return {one["name"]: one for one in json.loads(done.stdout)["services"]}


def test_a_corrected_command_pays_on_sighup(confdir: Confdir) -> None:
    """At once, once for both files, under the same name; nothing is reassigned or orphaned."""
    with confdir.daemon() as daemon:
        daemon.wait_log("reload failed", count=2)
        assert pending(confdir) == {"edge"}
        shown = services(confdir)
        assert list(shown) == ["edge"]
        assert shown["edge"]["pending_reload"]
        edge(confdir, RIGHT)
        daemon.signal(signal.SIGHUP)
        daemon.wait(lambda: reloads(confdir) == 1, "the reload by the corrected command")
        daemon.wait_log("reloaded")
        daemon.wait(lambda: not services(confdir)["edge"]["pending_reload"], "nothing pending")
        assert "no resource has its command" not in daemon.log
        assert daemon.end() == 0
    assert reloads(confdir) == 1
    assert pending(confdir) == set()


def test_a_corrected_command_pays_after_a_restart(confdir: Confdir) -> None:
    """The files are live already: only the journal knows, and it knows the service by name."""
    assert confdir.once().returncode == 1
    assert pending(confdir) == {"edge"}
    edge(confdir, RIGHT)
    done = confdir.once()
    assert done.returncode == 0, done.stderr
    assert reloads(confdir) == 1
    assert pending(confdir) == set()
    assert confdir.once().returncode == 0
    assert reloads(confdir) == 1, "once, not for ever"


@pytest.mark.parametrize("watch", [True, False], ids=["daemon", "once"])
def test_a_journal_of_before_is_settled(confdir: Confdir, watch: bool) -> None:
    """It calls the service by the text of its command, and has the time limit of each."""
    assert confdir.once().returncode == 1
    journal = journal_of(confdir)
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        if line["do"] == "swap":
            line.update(service="service edge reload", reload="service edge reload", timeout_s=60.0)
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    edge(confdir, RIGHT)
    if watch:
        with confdir.daemon() as daemon:
            daemon.wait_log("reloaded")
    else:
        assert confdir.once().returncode == 0
    assert reloads(confdir) == 1
    assert journal.read_text() == ""


def test_a_resource_that_gets_a_named_service_takes_its_pending_reload_along(
    confdir: Confdir,
) -> None:
    """Implicit services are known by their command, so their pending reloads follow the files."""
    for name in ("app", "other"):
        confdir.simple(name, f"/{name}", reload_cmd='"false"')
    (confdir.folder / "conf.d/services.toml").unlink()
    with confdir.daemon() as daemon:
        daemon.wait_log("reload failed")
        assert pending(confdir) == {"false"}
        for name in ("app", "other"):
            confdir.simple(name, f"/{name}", service='"edge"')
        edge(confdir, RIGHT)
        daemon.signal(signal.SIGHUP)
        daemon.wait(lambda: reloads(confdir) == 1, "the reload of the named service")
        daemon.wait_log("reloaded")
    assert pending(confdir) == set()


def test_a_fault_of_a_service_keeps_the_running_configuration(confdir: Confdir) -> None:
    """As any fault on SIGHUP; the log has the file and the line."""
    edge(confdir, RIGHT)
    with confdir.daemon() as daemon:
        daemon.wait(lambda: reloads(confdir) == 1, "the first reload")
        confdir.simple("app", "/app", service='"egde"')
        daemon.signal(signal.SIGHUP)
        daemon.wait_log("conf.d/app.toml:5: no service is called egde (did you mean edge?)")
        daemon.wait_log("the running one is kept")
