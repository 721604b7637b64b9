"""The recipe nginx-balancer: nginx over two real Apaches that come and go under load."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyconfd.config.recipes import BrokenExample, load_recipe
from tests.support.daemons.balanced import IMG, WWW, Balancer, Node, started
from tests.support.daemons.etcd import PrivateEtcd
from tests.support.daemons.nginx_sites import put_all, settled
from tests.support.http import ask
from tests.support.load import SteadyLoad
from tests.support.pyconfd import Daemon

pytestmark = pytest.mark.integration

RECIPE = "nginx-balancer"
EXAMPLE = load_recipe(RECIPE)
#: Far more than anything here takes, also beside other tests.
WAIT_S = 40.0


@dataclass
class Edge:
    """Everything that runs: the balancer and two backends, each with its pyconfd."""

    etcd: PrivateEtcd
    balancer: Balancer
    nodes: list[Node]
    daemons: list[Daemon]

    @property
    def port(self) -> int:
        return self.balancer.nginx.port

    def wait(self, true: Callable[[], object], what: str) -> None:
        self.daemons[0].wait(true, what, WAIT_S)

    def both(self) -> None:
        """Wait until both backends serve both sites."""
        for site in (WWW, IMG):
            self.wait(
                lambda site=site: all(self.balancer.has(node, site) for node in self.nodes),
                f"both backends for {site}",
            )
        settled(self.balancer.nginx, self.balancer.confdir)

    def said_since(self, lengths: list[int]) -> str:
        """What each pyconfd has logged after its log had this length."""
        return "".join(
            daemon.log[length:] for daemon, length in zip(self.daemons, lengths, strict=True)
        )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """etcd with the example's keys but for the members, nginx, two Apaches that register."""
    folder = tmp_path_factory.mktemp("balanced")
    with contextlib.ExitStack() as stack:
        etcd = stack.enter_context(PrivateEtcd(folder))
        balancer = Balancer(folder, etcd)
        keys = {key: text for key, text in EXAMPLE.keys.items() if "/upstream/" not in key}
        for site in (WWW, IMG):
            keys[f"/nginx/{site}/listen"] = f"127.0.0.1:{balancer.nginx.port}"
            keys[f"/nginx/{site}/backend/trusted_proxy"] = "127.0.0.1"
            keys[f"/nginx/{site}/read_timeout"] = "3s"
        put_all(etcd, keys)
        nodes = [Node(folder, name, etcd, RECIPE) for name in ("srv1", "srv2")]
        for node in nodes:
            node.content(WWW, index=f"www of {node.name}")
            node.content("images", index=f"img of {node.name}")
            (node.confdir.folder / "register").mkdir(exist_ok=True)
        daemons = [stack.enter_context(balancer.confdir.daemon())]
        stack.enter_context(balancer.nginx.running())
        stack.enter_context(started(nodes))
        for node in nodes:
            words = node.resources("vhosts", "register")
            daemons.append(stack.enter_context(node.confdir.daemon(*words)))
        for node, daemon in zip(nodes, daemons[1:], strict=True):
            daemon.wait_log("status: ok")  # its reload is over: SIGHUP would end what just starts
            node.register()
        yield Edge(etcd, balancer, nodes, daemons)


@pytest.fixture
def edge(running: Edge) -> Edge:
    """Both backends in rotation."""
    running.both()
    return running


def test_two_sites_over_both_backends(edge: Edge) -> None:
    """Each name has its own content, and both backends take part."""
    for site, name in ((WWW, "www"), (IMG, "img"), ("site-static.com", "www")):
        with SteadyLoad(edge.port, site) as load:
            edge.wait(lambda load=load: len(load.seen) >= 12, "some requests")
        assert {each.body for each in load.seen} == {f"{name} of srv1", f"{name} of srv2"}


def test_the_log_of_apache_has_the_client_and_not_the_balancer(edge: Edge) -> None:
    """mod_remoteip believes the balancer, and nobody else."""
    for _ in range(4):
        assert ask(edge.port, host=WWW, source="127.0.0.9").status == 200
    for node in edge.nodes:
        log = node.apache.folder / "log" / f"{WWW}-access.log"
        # Apache writes the line after its client has the answer.
        edge.wait(lambda log=log: "127.0.0.9 127.0.0.9 200" in log.read_text(), "the line")


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_backend_that_ends_costs_no_request_and_returns(edge: Edge, how: str) -> None:
    """Apache stopped or killed under load: out of rotation; started again: back by itself."""
    first, second = edge.nodes
    with SteadyLoad(edge.port, WWW) as load:
        edge.wait(lambda: len(load.seen) > 20, "some load")
        (first.apache.stop if how == "stop" else first.apache.kill)()
        edge.wait(lambda: not edge.balancer.has(first), "the backend out of rotation")
        settled(edge.balancer.nginx, edge.balancer.confdir)
        out = time.monotonic()
        edge.wait(lambda: len(load.bodies_since(out)) > 0, "requests without it")
        time.sleep(0.2)
        assert load.bodies_since(out) == {f"www of {second.name}"}
        first.apache.start()
        edge.wait(lambda: edge.balancer.has(first), "the backend back in rotation")
        back = time.monotonic()
        edge.wait(lambda: f"www of {first.name}" in load.bodies_since(back), "requests to it")
    assert load.failed == []
    assert len(load.seen) > 100


def test_a_backend_that_hangs_costs_time_and_no_request(edge: Edge) -> None:
    """It takes connections and says nothing: after read_timeout the other one is asked."""
    first = edge.nodes[0].apache
    assert first.process is not None
    with SteadyLoad(edge.port, WWW, threads=6) as load:
        edge.wait(lambda: len(load.seen) > 20, "some load")
        _to_group(first.process.pid, signal.SIGSTOP)
        try:
            stopped = time.monotonic()
            edge.wait(lambda: time.monotonic() > stopped + 4, "the timeout")
        finally:
            _to_group(first.process.pid, signal.SIGCONT)
    assert load.failed == []


def _to_group(pid: int, number: signal.Signals) -> None:
    os.killpg(pid, number)


def test_a_vhost_without_its_page_is_not_published(edge: Edge) -> None:
    """One site of a backend is broken: out for that site, while the other goes on."""
    first = edge.nodes[0]
    page = first.www / "images" / "index.html"
    page.rename(first.www / "gone.html")
    edge.wait(lambda: not first.in_rotation(IMG), "the site withdrawn")
    assert first.in_rotation(WWW)
    (first.www / "gone.html").rename(page)
    edge.wait(lambda: first.in_rotation(IMG), "the site published")


def test_a_virtual_host_that_changes_while_apache_is_down_is_served_when_it_is_back(
    edge: Edge,
) -> None:
    """Apache reads the file when it starts, or is reloaded once it can be asked."""
    first, daemon = edge.nodes[0], edge.daemons[1]
    key, said = f"/nginx/{WWW}/backend/trusted_proxy", len(daemon.log)
    file = first.apache.folder / "sites" / f"pyconfd-backend-{WWW}.conf"
    first.apache.stop()
    edge.etcd.put(key, "127.0.0.1 192.0.2.9")
    edge.wait(lambda: "192.0.2.9" in file.read_text(), "the new file")
    words = ("apache does not run", "apache cannot be asked")  # beside another node's Apache
    edge.wait(lambda: any(one in daemon.log[said:] for one in words), "a word about Apache")
    first.apache.start()
    edge.wait(lambda: first.in_rotation(WWW), "the site published again")
    edge.etcd.put(key, "127.0.0.1")
    edge.wait(
        lambda: not any(b"192.0.2.9" in text for text in _live(edge).values()), "all as before"
    )


# What is said of the members of the example is tested in test_nginx_sites.py: here they register.
BROKEN = [
    one
    for one in EXAMPLE.broken
    if not any("upstream/srv1" in key for key in one.edit.unset) and "two names" not in one.why
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda one: one.why.replace(" ", "-"))
def test_bad_input_changes_nothing_and_is_said(edge: Edge, broken: BrokenExample) -> None:
    """Under load: refused by the name of its key or with file and line; nothing changes."""
    changed = broken.edit.set.keys() | set(broken.edit.unset)
    before = {key: value for key in changed if (value := edge.etcd.get(key)) is not None}
    files = _live(edge)
    lengths = [len(daemon.log) for daemon in edge.daemons]
    with SteadyLoad(edge.port, WWW) as load:
        try:
            edge.etcd.txn(list(broken.edit.set.items()), list(broken.edit.unset))
            edge.wait(lambda: broken.says.search(edge.said_since(lengths)), broken.says.pattern)
            assert _live(edge) == files
        finally:
            edge.etcd.txn(list(before.items()), sorted(changed - before.keys()))
    assert load.failed == []


def _live(edge: Edge) -> dict[Path, bytes]:
    """Everything that is rendered for nginx and for Apache."""
    folders = [edge.balancer.nginx.sites, *(node.apache.folder / "sites" for node in edge.nodes)]
    return {path: path.read_bytes() for folder in folders for path in folder.glob("[!.]*")}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"program=apache2": "program=no-such-apache2"}, "no verdict: command not found"),
        (
            {"apachectl graceful": "true", "on_reload": 'confirm_timeout = "500ms"\non_reload'},
            "no new configuration generation at",
        ),
    ],
    ids=["absent", "unconfirmed"],
)
def test_without_apache_or_its_reload_no_virtual_host_is_live(
    running: Edge, tmp_path: Path, changes: Mapping[str, str], says: str
) -> None:
    """Said so; nothing is written, or what was written is taken back."""
    node = Node(tmp_path, "srv1", running.etcd, RECIPE, changes)
    node.content(WWW)
    node.content("images")
    with node.apache.running():
        done = node.confdir.once("--resource", "vhosts")
    assert done.returncode == 1
    assert says in done.stderr
    assert list((node.apache.folder / "sites").glob("[!.]*")) == []
