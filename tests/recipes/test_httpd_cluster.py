"""The recipe httpd-cluster on three real Apaches: one template, and each restores itself."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from tests.support.daemons.apache import apache_program
from tests.support.daemons.etcd import PrivateEtcd, free_ports
from tests.support.daemons.live_nginx import LiveNginx
from tests.support.http import Answer, ask
from tests.support.load import KeepAliveLoad, SteadyLoad
from tests.support.pyconfd import Confdir, Daemon
from tests.support.recipes import laid_out, put_keys
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

BASE = "/httpd/www"
NAMES = ("web01", "web02", "web03")
# As Debian's unit stops and starts it.
RESTART = """\
#!/bin/sh
pid=$(cat {pid} 2>/dev/null) && kill -WINCH "$pid" && while kill -0 "$pid"; do sleep 0.02; done
echo restarted >>{log}
exec {apache} start
"""


class Node:
    """A node of the cluster: its own folders, its own Apache, its own pyconfd."""

    def __init__(self, name: str, folder: Path, bin_folder: Path) -> None:
        self.name = name
        self.folder = folder / name
        self.host = f"127.0.0.{10 + int(name[-2:])}"
        for part in ("etc", "run", "log"):
            (self.folder / part).mkdir(parents=True)
        self.dest = self.folder / "etc" / "apache2.conf"
        self.bin_folder = bin_folder
        self.restarts = self.folder / "restarts"
        self.daemon: Daemon | None = None
        self.confdir = self.laid_out("confdir")

    def laid_out(self, folder: str, **more: str) -> Confdir:
        # Workers run as www-data, who may not walk through a folder of root's such as pytest
        # makes: they keep root's rights on files across their change of user.
        start = "setpriv --securebits +no_setuid_fixup " if os.geteuid() == 0 else ""
        apache = f"{start}{apache_program()} -f {self.dest} -k"
        restart = self.folder / "restart"
        pid = self.folder / "run" / "apache2.pid"
        restart.write_text(RESTART.format(apache=apache, pid=pid, log=self.restarts))
        restart.chmod(0o755)
        words = {
            "/etc/apache2": str(self.folder / "etc"),
            "/run/apache2": str(self.folder / "run"),
            "/var/log/apache2": str(self.folder / "log"),
            "systemctl reload-or-restart apache2": f"{apache} graceful",
            "systemctl restart apache2": str(restart),
            # Allowed by the node, and not installed.
            '["deflate"': '["nosuchmodule", "deflate"',
            '["/var/www"': f'["{self.folder.parent.parent}"',
            'confirm_timeout = "10s"': 'confirm_timeout = "8s"',
            'min_reload_interval = "2s"': 'min_reload_interval = "100ms"',
            'hold_min = "200ms"': 'hold_min = "20ms"',
            'pause = "15s"': 'pause = "300ms"',
            **more,
        }
        if os.geteuid():
            words["User www-data\nGroup www-data\n"] = ""
        return laid_out(
            "httpd-cluster",
            self.folder,
            words,
            "--node-name",
            self.name,
            folder=folder,
            templates=True,
        )

    @contextlib.contextmanager
    def running(self, etcd: PrivateEtcd) -> Iterator[None]:
        path = f"{self.bin_folder}:{os.environ['PATH']}:/usr/sbin"
        try:
            with self.confdir.daemon("--node", etcd.endpoint, environ={"PATH": path}) as daemon:
                self.daemon = daemon
                yield
        finally:
            self.end_apache()

    def end_apache(self, wait_s: float = 10) -> None:
        with contextlib.suppress(OSError, ValueError, psutil.NoSuchProcess, psutil.TimeoutExpired):
            apache = psutil.Process(int((self.folder / "run" / "apache2.pid").read_text()))
            assert str(self.dest) in apache.cmdline()
            apache.send_signal(signal.SIGTERM)
            apache.wait(wait_s)

    @property
    def log(self) -> str:
        assert self.daemon
        return self.daemon.log

    @property
    def version(self) -> str:
        """Of the live file."""
        lines = self.dest.read_text().splitlines()[:9]
        return next(line.split()[-1] for line in lines if line.startswith("# version: "))

    @property
    def restart_count(self) -> int:
        return len(self.restarts.read_text().splitlines())

    def listens(self) -> bool:
        """Whether it takes a connection now."""
        try:
            socket.create_connection((self.host, Cluster.port), 5).close()
        except ConnectionRefusedError:
            return False
        return True

    def ask(self, path: str = "/") -> Answer:
        return ask(Cluster.port, path, self.host, place=self.host)

    def serves(self) -> bool:
        """Whether Apache answers with the version of the live file."""
        said = self.ask("/conf-version").body
        return self.dest.exists() and said.startswith(f"{self.name} version {self.version} ")


class Cluster:
    """Three nodes on one port of three addresses."""

    port = 0

    def __init__(self, etcd: PrivateEtcd, nodes: dict[str, Node]) -> None:
        self.etcd = etcd
        self.nodes = nodes

    def wait(self, *names: str, page: str) -> None:
        """Until these nodes serve this page with the version of their live file."""
        for name in names or NAMES:
            node = self.nodes[name]
            assert node.daemon
            node.daemon.wait(
                lambda node=node: node.serves() and node.ask().body == page, f"{page!r} of {name}"
            )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The example of the recipe; nothing runs before pyconfd starts it."""
    folder = tmp_path_factory.mktemp("cluster")
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    program = bin_folder / "pyconfd"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m pyconfd "$@"\n')
    program.chmod(0o755)
    (Cluster.port,) = free_ports(1)
    for site in ("one", "two", "empty"):
        (folder / site).mkdir()
        (folder / site / "index.html").write_text(f"site {site}")
    (folder / "empty" / "index.html").unlink()
    nodes = {name: Node(name, folder, bin_folder) for name in NAMES}
    with PrivateEtcd(tmp_path_factory.mktemp("etcd")) as etcd, contextlib.ExitStack() as stack:
        put_keys(etcd, nodes["web01"].confdir)
        pairs = [(f"{BASE}/nodes/{node.name}/addr", node.host) for node in nodes.values()]
        pairs += [
            (f"{BASE}/settings/port", str(Cluster.port)),
            (f"{BASE}/settings/servers", "4"),
            (f"{BASE}/settings/threads", "4"),
            (f"{BASE}/settings/document_root", str(folder / "one")),
        ]
        etcd.txn(pairs)
        for node in nodes.values():
            stack.enter_context(node.running(etcd))
        made = Cluster(etcd, nodes)
        made.wait(page="site one")
        yield made
        for node in nodes.values():  # all at once, it takes each a second
            node.end_apache(0)


@pytest.fixture
def sites(cluster: Cluster) -> Path:
    """The folder of the pages."""
    return cluster.nodes["web01"].folder.parent


def test_one_template_serves_each_node_by_its_own_facts(cluster: Cluster, sites: Path) -> None:
    """Address, name and a value of one node alone; the template is the same file."""
    texts = {name: node.dest.read_text() for name, node in cluster.nodes.items()}
    for name, node in cluster.nodes.items():
        assert f"\nServerName {name}\n" in texts[name]
        assert f"\nListen {node.host}:{Cluster.port}\n" in texts[name]
        assert node.ask("/health").body == f"{name} up"
    assert len({node.version for node in cluster.nodes.values()}) == 3
    cluster.etcd.put(f"{BASE}/nodes/web02/document_root", str(sites / "two"))
    cluster.wait("web02", page="site two")
    cluster.wait("web01", "web03", page="site one")
    cluster.etcd.delete(f"{BASE}/nodes/web02/document_root")
    cluster.wait("web02", page="site one")


def test_a_change_for_all_reaches_every_node(cluster: Cluster, sites: Path) -> None:
    """And a node that is drained says so to balancers, and serves on."""
    versions = {node.version for node in cluster.nodes.values()}
    cluster.etcd.put(f"{BASE}/settings/document_root", str(sites / "two"))
    cluster.wait(page="site two")
    assert not versions & {node.version for node in cluster.nodes.values()}
    cluster.etcd.put(f"{BASE}/nodes/web03/state", "drain")
    drained = cluster.nodes["web03"]
    wait_until(lambda: drained.ask("/health").status == 503, what="the drained node")
    assert drained.ask().body == "site two"
    assert cluster.nodes["web01"].ask("/health").status == 200
    cluster.etcd.delete(f"{BASE}/nodes/web03/state")
    cluster.etcd.put(f"{BASE}/settings/document_root", str(sites / "one"))
    cluster.wait(page="site one")


def test_a_node_whose_new_version_does_not_answer_restores_the_old(
    cluster: Cluster, sites: Path
) -> None:
    """Check and reload say yes, the page says 403. The others take the version that they have."""
    node = cluster.nodes["web02"]
    before = node.dest.read_text()
    seen = len(node.log)
    cluster.etcd.put(f"{BASE}/nodes/web02/document_root", str(sites / "empty"))
    assert node.daemon
    node.daemon.wait(
        lambda: "the version before it is live again" in node.log[seen:], "a restored node"
    )
    assert "confirm_cmd did not succeed within 8 s: exit status 1" in node.log[seen:]
    assert node.dest.read_text() == before
    cluster.wait(page="site one")
    cluster.etcd.delete(f"{BASE}/nodes/web02/document_root")


def test_a_node_that_cannot_open_its_port_is_started_with_the_old_version(
    cluster: Cluster, sites: Path
) -> None:
    """The reload ends Apache, and the restored version starts it again; no other node notices."""
    node = cluster.nodes["web03"]
    before, seen = node.dest.read_text(), len(node.log)
    with socket.create_server((node.host, 0)) as taken:
        cluster.etcd.put(f"{BASE}/nodes/web03/port", str(taken.getsockname()[1]))
        assert node.daemon
        node.daemon.wait(
            lambda: "the version before it is live again" in node.log[seen:], "a restored node"
        )
        assert node.dest.read_text() == before
        cluster.wait(page="site one")
        node.daemon.wait(lambda: "could not bind to address" in node.log[seen:], "Apache's words")
    cluster.etcd.delete(f"{BASE}/nodes/web03/port")


class Balancer:
    """nginx before the nodes, under load on new and kept connections, and what the nodes do."""

    def __init__(self, folder: Path, nodes: Sequence[Node]) -> None:
        self.nginx = LiveNginx(folder)
        # Not left alone for some time after a failure: the turns of this test are shorter.
        servers = "".join(f"server {node.host}:{Cluster.port} max_fails=0;" for node in nodes)
        (self.nginx.sites / "all.conf").write_text(
            f"upstream nodes {{ {servers} }}\n"
            f"server {{ listen 127.0.0.1:{self.nginx.port};\n"
            "location / { proxy_pass http://nodes; }}\n"
        )
        self._nodes = nodes
        self._over = threading.Event()
        self.down: list[frozenset[str]] = []

    @contextlib.contextmanager
    def loaded(self) -> Iterator[tuple[SteadyLoad, KeepAliveLoad]]:
        """A client for each kind, and somebody who looks which nodes take no connection."""
        port = self.nginx.port
        watcher = threading.Thread(target=self._watch, daemon=True)
        new, kept = SteadyLoad(port, "127.0.0.1", threads=1), KeepAliveLoad(port, 1)
        with self.nginx.running(), kept, new:
            watcher.start()
            try:
                yield new, kept
            finally:
                self._over.set()
                watcher.join()

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self.down.append(frozenset(one.name for one in self._nodes if not one.listens()))


def test_settings_go_from_node_to_node_under_load(
    cluster: Cluster, sites: Path, tmp_path: Path
) -> None:
    """
    A change that needs a restart, and a version that ends Apache: no request fails, never are two
    nodes down, and the bad version stops at the first node.
    """
    nodes = list(cluster.nodes.values())
    balancer = Balancer(tmp_path, nodes)
    before = [node.restart_count for node in nodes]
    settings = [(f"{BASE}/settings/{one}", value) for one, value in
                (("port", str(Cluster.port)), ("servers", "4"))]  # fmt: skip
    with balancer.loaded() as (new, kept), contextlib.ExitStack() as stack:
        wait_until(lambda: len(new.seen) > 20 and kept.answers > 20, what="load")
        cluster.etcd.put(f"{BASE}/settings/servers", "6")
        wait_until(lambda: all("limits 6x4" in node.ask("/conf-version").body for node in nodes))
        assert [node.restart_count for node in nodes] == [count + 1 for count in before]
        (taken,) = free_ports(1)
        for node in nodes:
            stack.enter_context(socket.create_server((node.host, taken)))
        texts = [node.dest.read_text() for node in nodes]
        news = [(node, len(node.log)) for node in nodes]
        cluster.etcd.put(f"{BASE}/settings/port", str(taken))
        wait_until(lambda: all("could not bind" in node.log[at:] for node, at in news))
        cluster.wait(page="site one")
        assert [node.dest.read_text() for node in nodes] == texts
        assert sum("its turn: the new" in node.log[at:] for node, at in news) == 1
        cluster.etcd.txn(settings)
        wait_until(lambda: all("limits 4x4" in node.ask("/conf-version").body for node in nodes))
    assert (new.failed, kept.failures) == ([], [])
    assert len(new.seen) + kept.answers > 500
    assert max(map(len, balancer.down)) == 1, "a node was seen down, and never two"


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("nodes/web01/addr", None, f"{BASE}/nodes/web01/addr is missing"),
        ("nodes/web01/addr", "127.0.0.12", "are the same"),
        ("nodes/web01/addr", "192.0.2.1", f"{BASE}/nodes/web01/addr is no address of this node"),
        (
            "nodes/web01/port",
            "70000",
            f"the value of {BASE}/nodes/web01/port is not a valid port number",
        ),
        ("nodes/web01/state", "maybe", f"{BASE}/nodes/web01/state is none of up, drain"),
        ("nodes/web01/prot", "80", f"unknown key {BASE}/nodes/web01/prot; known are"),
        ("nodes/web01/modules", "cgi", f"{BASE}/nodes/web01/modules must be of nosuchmodule,"),
        ("nodes/web01/document_root", "/", f"{BASE}/nodes/web01/document_root is not a path below"),
        (
            "nodes/web01/modules",
            "nosuchmodule",
            "@DEST@: Cannot load /usr/lib/apache2/modules/mod_nosuchmodule.so",
        ),
    ],
    ids=["missing", "duplicate", "foreign", "range", "state", "slip", "module", "root", "apache"],
)
def test_a_bad_value_is_refused_before_apache_is_told(
    cluster: Cluster, key: str, value: str | None, says: str
) -> None:
    """By the name of its key, or in Apache's words with file and line; every node serves on."""
    node = cluster.nodes["web01"]
    assert node.daemon
    before, kept, seen = node.dest.read_bytes(), cluster.etcd.get(f"{BASE}/{key}"), len(node.log)
    if value is None:
        cluster.etcd.delete(f"{BASE}/{key}")
    else:
        cluster.etcd.put(f"{BASE}/{key}", value)
    words = says.split("@DEST@: ")[-1]
    node.daemon.wait(lambda: words in node.log[seen:], f"refusal {words!r}")
    if "@DEST@" in says:
        assert f" of {node.dest}" in node.log[seen:]
        assert "modules" in node.log[seen:]
    assert node.dest.read_bytes() == before
    assert node.serves()
    if kept is None:
        cluster.etcd.delete(f"{BASE}/{key}")
    else:
        cluster.etcd.put(f"{BASE}/{key}", kept)
    cluster.wait(page="site one")


def test_without_apache_there_is_no_verdict(cluster: Cluster, tmp_path: Path) -> None:
    """Its program is not there: said so, and nothing is written."""
    node = Node("web04", tmp_path, cluster.nodes["web01"].bin_folder)
    cluster.etcd.put(f"{BASE}/nodes/web04/addr", node.host)
    confdir = node.laid_out("absent", **{"apache2 -t": "no-such-apache2 -t"})
    done = confdir.once("--node", cluster.etcd.endpoint)
    cluster.etcd.delete(f"{BASE}/nodes/web04/addr")
    assert done.returncode == 1
    assert "no verdict: command not found" in done.stderr
    assert not node.dest.exists()
