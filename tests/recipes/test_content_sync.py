"""The recipe content-sync: a backend that returns serves nothing old, on real Apache and rsync."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyconfd.config.recipes import BrokenExample, load_recipe
from pyconfd.config.shipped import RECIPES
from tests.support.daemons.balanced import WWW, Balancer, Node, command_folder, started
from tests.support.daemons.etcd import PrivateEtcd, free_ports
from tests.support.daemons.nginx_sites import put_all, settled
from tests.support.load import SteadyLoad
from tests.support.pyconfd import Daemon
from tests.support.recipes import laid_out
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

RECIPE = "content-sync"
EXAMPLE = load_recipe(RECIPE)
PAGES = {"index": "www", "page": "v1", "gone": "still here"}
#: Far more than anything here takes, also beside other tests.
WAIT_S = 40.0


class Backend(Node):
    """A node with an rsync daemon on what the recipe renders."""

    def __init__(self, folder: Path, name: str, etcd: PrivateEtcd, rsync_port: int) -> None:
        own = folder / name
        settings = f'node_name = "{name}"\nnode = ["{etcd.endpoint}"]'
        super().__init__(
            folder,
            name,
            etcd,
            RECIPE,
            {
                "/etc/rsyncd.conf": f"{own}/rsyncd.conf",
                "/etc/cron.d/pyconfd-content": f"{own}/cron",
                'node_name = "srv1"': settings,
                'rsync_user = "www-data"': f'rsync_user = "{pwd.getpwuid(os.geteuid()).pw_name}"',
            },
        )
        self.rsync_port = rsync_port
        self._rsync: subprocess.Popen[bytes] | None = None

    def serve(self) -> None:
        """Start its rsync daemon."""
        argv = ["rsync", "--daemon", "--no-detach", f"--config={self.folder}/rsyncd.conf"]
        argv += ["--address=127.0.0.1", f"--log-file={self.folder}/rsync.log"]
        self._rsync = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
        wait_until(self._accepts, what=f"rsync of {self.name}")

    def _accepts(self) -> bool:
        import socket

        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.rsync_port), timeout=1).close()
            return True
        return False

    def withhold(self) -> None:
        """End its rsync daemon."""
        if self._rsync is not None:
            self._rsync.terminate()
            self._rsync.wait(60)
            self._rsync = None

    def close(self) -> None:
        self.withhold()
        super().close()

    def pull(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the recipe's script as cron does."""
        path = f"{command_folder(self.folder)}:{os.environ['PATH']}"
        return subprocess.run(
            [str(self.confdir.folder / "scripts" / "pull-content"), *words],
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def files(self, site: str = WWW) -> dict[str, str]:
        """Its copy of a site."""
        return {path.name: path.read_text() for path in (self.www / site).iterdir()}


@dataclass
class Edge:
    """Everything that runs: the balancer and two backends, each with its pyconfd."""

    etcd: PrivateEtcd
    balancer: Balancer
    nodes: list[Backend]
    daemons: list[Daemon]

    def wait(self, true: Callable[[], object], what: str) -> None:
        self.daemons[0].wait(true, what, WAIT_S)

    def both(self) -> None:
        """Wait until nginx asks both backends."""
        self.wait(lambda: all(map(self.balancer.has, self.nodes)), "both backends in rotation")
        settled(self.balancer.nginx, self.balancer.confdir)

    def out(self, node: Backend) -> None:
        """Wait until nginx does not ask this backend."""
        self.wait(lambda: not self.balancer.has(node), "the backend out of rotation")
        settled(self.balancer.nginx, self.balancer.confdir)

    def load(self, page: str) -> SteadyLoad:
        return SteadyLoad(self.balancer.nginx.port, WWW, path=f"/{page}", threads=2)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """etcd with the example's keys but for the members; content on the primaries alone."""
    folder = tmp_path_factory.mktemp("content")
    with contextlib.ExitStack() as stack:
        etcd = stack.enter_context(PrivateEtcd(folder))
        balancer = Balancer(folder, etcd)
        keys = {key: text for key, text in EXAMPLE.keys.items() if f"/{WWW}/" in key}
        keys.pop(f"/nginx/{WWW}/upstream/srv2")
        ports = dict(zip(("srv1", "srv2"), free_ports(2), strict=True))
        keys[f"/nginx/{WWW}/listen"] = f"127.0.0.1:{balancer.nginx.port}"
        for name, port in ports.items():
            keys[f"/content/{WWW}/nodes/{name}"] = f"127.0.0.1:{port}"
        put_all(etcd, keys)
        nodes = [Backend(folder, name, etcd, port) for name, port in ports.items()]
        nodes[0].content(WWW, **PAGES)
        daemons = [stack.enter_context(balancer.confdir.daemon())]
        stack.enter_context(balancer.nginx.running())
        stack.enter_context(started(nodes))
        daemons += [stack.enter_context(node.confdir.daemon()) for node in nodes]
        for node, daemon in zip(nodes, daemons[1:], strict=True):
            daemon.wait_log("status: ok")
            node.serve()
        nodes[0].register()
        # A backend without content is not well, so it cannot return: cron brings it.
        daemons[0].wait(lambda: nodes[0].in_rotation(), "the primary in rotation", WAIT_S)
        assert nodes[1].pull("--periodic", WWW).returncode == 0
        nodes[1].register()
        yield Edge(etcd, balancer, nodes, daemons)


@pytest.fixture
def edge(running: Edge) -> Edge:
    """Both backends in rotation, the content of the first one on both."""
    running.both()
    running.etcd.put(f"/content/{WWW}/primary", "srv1")
    for node in running.nodes:
        node.content(WWW, **PAGES)
        for name in node.files().keys() - {f"{name}.html" for name in PAGES}:
            (node.www / WWW / name).unlink()
    return running


def test_a_backend_without_content_gets_it_and_is_published(running: Edge) -> None:
    """The first start of all: only the primary had the site."""
    running.both()
    first, second = running.nodes
    assert second.files() == first.files()
    assert sorted(second.files()) == [f"{name}.html" for name in sorted(PAGES)]


def test_a_returning_backend_serves_nothing_old(edge: Edge) -> None:
    """A page changed (of equal size and time) and one deleted while it was away: not seen."""
    first, second = edge.nodes
    twin = first.www / WWW / "page.html"
    edge.etcd.put(f"/content/{WWW}/primary", "srv2")
    with edge.load("page.html") as pages, edge.load("gone.html") as gone:
        edge.wait(lambda: len(pages.seen) > 10, "some load")
        first.apache.stop()
        edge.out(first)
        old = twin.stat()
        second.content(WWW, page="v2")
        os.utime(second.www / WWW / "page.html", ns=(old.st_atime_ns, old.st_mtime_ns))
        (second.www / WWW / "gone.html").unlink()
        changed = time.monotonic()
        first.apache.start()
        assert first.apache.ask("/page.html", WWW).body == "v1"  # old, and nobody may see it
        edge.both()
        assert first.apache.ask("/page.html", WWW).body == "v2"
        assert first.apache.ask("/gone.html", WWW).status == 404
        returned = time.monotonic()
        edge.wait(lambda: len(pages.bodies_since(returned)) > 0, "requests to both")
        time.sleep(0.2)
    assert pages.bodies_since(changed) == {"v2"}
    assert {each.status for each in gone.seen if each.at >= changed} == {404}
    assert pages.failed == []


def test_without_a_peer_it_stays_out(edge: Edge) -> None:
    """The other one does not answer rsync: not published before it does; nothing fails."""
    first, second = edge.nodes
    edge.etcd.put(f"/content/{WWW}/primary", "srv2")
    with edge.load("page.html") as pages:
        first.apache.stop()
        edge.out(first)
        second.withhold()
        second.content(WWW, page="v3")
        changed = time.monotonic()
        first.apache.start()
        log = first.folder / "register-0.log"
        edge.wait(lambda: "does not answer" in log.read_text(), "a vain attempt")
        assert not first.in_rotation(WWW)
        second.serve()
        edge.both()
    assert pages.bodies_since(changed) == {"v3"}
    assert pages.failed == []


def test_the_primary_itself_returns_with_what_was_served_meanwhile(edge: Edge) -> None:
    """It pulls from the one in rotation, and is not followed before it is in rotation."""
    first, second = edge.nodes
    with edge.load("page.html") as pages:
        first.apache.stop()
        edge.out(first)
        second.content(WWW, page="v4")
        changed = time.monotonic()
        # What overwrites the newer content where cron does it: the old primary is up again.
        assert second.pull("--periodic", WWW).returncode == 0
        assert second.files()["page.html"] == "v4"
        first.apache.start()
        edge.both()
    assert first.files()["page.html"] == "v4"
    assert pages.bodies_since(changed) == {"v4"}


def test_cron_follows_the_primary(edge: Edge) -> None:
    """The line that is rendered, run: what was published and deleted there is so here too."""
    first, second = edge.nodes
    lines = (second.folder / "cron").read_text().splitlines()
    [line] = [line for line in lines if line.endswith(f"--periodic {WWW}")]
    minutes, *_, user, script, _, _ = line.split()
    assert (minutes, user, script) == (
        "*/5",
        "root",
        f"{second.confdir.folder}/scripts/pull-content",
    )
    first.content(WWW, page="v5", new="new")
    (first.www / WWW / "gone.html").unlink()
    assert second.pull("--periodic", WWW).returncode == 0
    assert second.files() == first.files()
    assert first.pull("--periodic", WWW).returncode == 0  # the primary follows nobody
    assert first.files()["page.html"] == "v5"


def test_an_empty_source_deletes_nothing(edge: Edge) -> None:
    """A folder that is not mounted on the primary: refused, and the copy stays."""
    first, second = edge.nodes
    before = second.files()
    served = first.folder / "rsyncd.conf"
    text = served.read_text()
    (first.folder / "empty").mkdir()
    served.write_text(text.replace(f"path = {first.www / WWW}", f"path = {first.folder}/empty"))
    try:
        done = second.pull("--periodic", WWW)
    finally:
        served.write_text(text)
    assert done.returncode == 1
    assert "is empty: nothing is deleted here" in done.stderr
    assert second.files() == before


def test_without_the_store_nothing_is_proved(edge: Edge) -> None:
    """No answer is no permission."""
    first, _ = edge.nodes
    edge.etcd.freeze()
    settings = first.confdir.folder / "pyconfd.toml"
    text = settings.read_text()
    try:
        settings.write_text(f'timeout = "500ms"\ndial_timeout = "500ms"\n{text}')
        done = first.pull(WWW)
    finally:
        settings.write_text(text)
        edge.etcd.thaw()
    assert done.returncode == 1
    assert "the store does not say whom to pull from" in done.stderr


def test_a_node_does_not_prove_itself_by_itself(edge: Edge) -> None:
    """The address of the other node is that of this one, by a slip: it stays out."""
    first, second = edge.nodes
    key = f"/content/{WWW}/nodes/{second.name}"
    good = edge.etcd.get(key) or b""
    edge.etcd.put(key, f"127.0.0.1:{first.rsync_port}")
    try:
        done = first.pull(WWW)
    finally:
        edge.etcd.put(key, good)
    assert done.returncode == 1
    assert f"{key} has the address of {first.name}" in done.stderr


# One site is served here, which is enough for all but this.
BROKEN = [one for one in EXAMPLE.broken if "two ports" not in one.why]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda one: one.why.replace(" ", "-"))
def test_bad_input_changes_nothing_and_is_said(running: Edge, broken: BrokenExample) -> None:
    """Refused by the name of its key or with file and line; what is rendered stays."""
    first = running.nodes[0]
    changed = broken.edit.set.keys() | set(broken.edit.unset)
    before = {key: value for key in changed if (value := running.etcd.get(key)) is not None}
    files = _live(first)
    said = len(running.daemons[1].log)
    try:
        running.etcd.txn(list(broken.edit.set.items()), list(broken.edit.unset))
        running.wait(lambda: broken.says.search(running.daemons[1].log[said:]), broken.says.pattern)
        assert _live(first) == files
    finally:
        running.etcd.txn(list(before.items()), sorted(changed - before.keys()))


def _live(node: Backend) -> dict[Path, bytes]:
    """Everything that is rendered on a node."""
    found = [*(node.apache.folder / "sites").glob("[!.]*"), node.folder / "cron"]
    return {path: path.read_bytes() for path in [*found, node.folder / "rsyncd.conf"]}


CHECK = Path(RECIPES, RECIPE, "scripts", "check-rsyncd")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[a]\npath = /\n", ""),
        ("[a]\npath = /\nbogus = 1\n", ':3: IGNORING unknown parameter "bogus"'),
        ("[a]\npath = /\nread only = maybe\n", ":3: Badly formed boolean"),
        ("[a]\npath = /\n[b\n", ":1: rsync does not offer the module a"),
    ],
    ids=["good", "unknown", "no-boolean", "no-section"],
)
def test_rsync_itself_judges_its_file(tmp_path: Path, text: str, says: str) -> None:
    """What it only notes in its log is a refusal, with file and line."""
    path = tmp_path / "rsyncd.conf"
    path.write_text(text)
    done = subprocess.run([CHECK, path], capture_output=True, text=True, check=False)
    assert done.returncode == (1 if says else 0)
    assert says in done.stderr


def test_without_rsync_nothing_is_passed(tmp_path: Path) -> None:
    """The checker cannot judge."""
    path = tmp_path / "rsyncd.conf"
    path.write_text("")
    argv, environ = [sys.executable, CHECK, path], {"PATH": str(tmp_path)}
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "check-rsyncd: rsync: not found\n")


def test_the_pull_of_cron_has_the_settings_of_the_service(tmp_path: Path) -> None:
    """etcd's address may be in /etc/default/pyconfd alone; the file is read and not executed."""
    settings, ran, seen = (tmp_path / name for name in ("default", "ran", "seen"))
    settings.write_text(
        "# settings\n"
        'PYCONFD_NODE="https://etcd-1:2379"\n'
        "PYCONFD_USERNAME=pull=er\n"
        "PYCONFD_LOG_LEVEL=debug\n"
        f"PYCONFD_PREFIX=$(touch {ran})\n"
        "PATH=/nowhere\n"
        f"touch {ran}"
    )
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "pyconfd").write_text(f"#!/bin/sh\nenv > {seen}\nexit 1\n")
    (bin_folder / "pyconfd").chmod(0o755)
    confdir = laid_out("content-sync", tmp_path, {"/etc/default/pyconfd": str(settings)})
    environ = {"PATH": f"{bin_folder}:{os.environ['PATH']}", "PYCONFD_LOG_LEVEL": "info"}
    argv = [str(confdir.folder / "scripts" / "pull-content"), "--periodic", WWW]
    done = subprocess.run(argv, env=environ, capture_output=True, check=False, timeout=30)
    assert done.returncode == 1
    got = dict(line.partition("=")[::2] for line in seen.read_text().splitlines())
    assert got["PYCONFD_NODE"] == "https://etcd-1:2379"
    assert got["PYCONFD_USERNAME"] == "pull=er"
    assert got["PYCONFD_LOG_LEVEL"] == "info"
    assert got["PYCONFD_PREFIX"] == f"$(touch {ran})"
    assert got["PATH"] == environ["PATH"]
    assert not ran.exists()
