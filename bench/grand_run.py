"""
All recipes of traffic under load through a bad hour: `python -m bench.grand_run`. Needs root.

Three Apaches with apache-vhost, each in a network namespace with a cable that can be cut, register
one service. nginx-sites, haproxy and apache-balancer serve it, with one pyconfd each; then two
nodes with keepalived carry an address. Clients send requests to each without a pause, while members
are drained, steered, stopped, killed and cut off, etcd hangs for 30 s, and a bad value is put for
each. It prints, for each event, how many requests each daemon got, how many failed, and how long
the longest took.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.support.daemons.apache import INCLUDES, PrivateApache
from tests.support.daemons.etcd import PrivateEtcd, free_ports, frozen
from tests.support.daemons.haproxy import Haproxy
from tests.support.daemons.keepalived import run, why_not, within
from tests.support.daemons.live_nginx import LiveNginx
from tests.support.daemons.nginx_sites import for_nginx
from tests.support.daemons.vrrp_pair import VIP, Pair, pair_of
from tests.support.load import SteadyLoad
from tests.support.net import Net, enter_private_net
from tests.support.pyconfd import Confdir, Daemon
from tests.support.recipes import laid_out
from tests.support.waiting import wait_until

SITE = "www.example.com"
US = "10.99.0.254"
MODULES = ("slotmem_shm", "proxy", "proxy_http", "proxy_balancer", "lbmethod_byrequests")
NAMES = ("a", "b", "c")
AWAY_S, CUT_S, BAD_S, CALM_S = 30.0, 15.0, 5.0, 3.0


class Node:
    """A member: Apache with the recipe apache-vhost, and its registration, behind one cable."""

    def __init__(self, folder: Path, name: str, address: str, inside: Sequence[str]) -> None:
        self.name, self.folder, self.inside = name, folder / name, list(inside)
        self.apache = PrivateApache(
            self.folder / "apache", INCLUDES, modules=["remoteip"], place=address, inside=inside
        )
        page = self.apache.folder / "www" / "index.html"
        page.write_text(name)
        self._stack = contextlib.ExitStack()

    def keys(self) -> dict[str, str]:
        """Those of its virtual host."""
        base = f"/apache/vhosts/{SITE}/nodes/{self.name}"
        return {
            f"{base}/listen": self.apache.address,
            f"{base}/document_root": f"{self.apache.folder}/www",
            f"{base}/access_log": f"{self.apache.folder}/log/access.log",
            f"{base}/error_log": f"{self.apache.folder}/log/site.log",
        }

    def start_pyconfd(self, etcd: PrivateEtcd) -> Daemon:
        """On its side of the cable."""
        words = self.apache.words(free_ports(1)[0])
        confdir = laid_out("apache-vhost", self.folder, words, "--node-name", self.name)
        argv = confdir.argv("--watch", "--node", etcd.endpoint)
        log = self.folder / "pyconfd.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [*self.inside, *argv], stdout=stream, stderr=stream, start_new_session=True
            )
        daemon = Daemon(process, log)
        self._stack.callback(daemon.end)
        return daemon

    @contextlib.contextmanager
    def registered(self, etcd: PrivateEtcd) -> Iterator[None]:
        """With a check of its own page every 0.5 s; its lease ends after 5 s."""
        words = ["register", SITE, self.apache.address, "--id", self.name, "--ttl", "5"]
        words += ["--field", f"route={self.name}", "--weight", "1", "--check", "http:/"]
        words += ["--check-interval", "0.5", "--rise", "1", "--fall", "2", "--drain", "1"]
        argv = [*self.inside, sys.executable, "-m", "pyconfd", *words, "--node", etcd.endpoint]
        with (self.folder / "register.log").open("ab") as stream:
            process = subprocess.Popen(argv, stdout=stream, stderr=stream, start_new_session=True)
        daemon = Daemon(process, self.folder / "register.log")
        try:
            yield
        finally:
            daemon.end()

    def close(self) -> None:
        self._stack.close()
        self.apache.stop()


class Counted(NamedTuple):
    """Requests of one event. longest_s: how long the one took that took longest."""

    sent: int
    failed: int
    longest_s: float


@dataclass
class Ledger:
    """What happened, and what became of the requests meanwhile."""

    loads: Mapping[str, SteadyLoad]
    rows: list[tuple[str, dict[str, Counted]]] = field(default_factory=list)

    @contextlib.contextmanager
    def event(self, what: str) -> Iterator[None]:
        """Requests that are sent inside the block, and some seconds after, belong to it."""
        sys.stderr.write(f"{what}\n")
        begun_s = time.monotonic()
        yield
        time.sleep(CALM_S)
        ended_s = time.monotonic()
        counted = {}
        for name, load in self.loads.items():
            seen = [one for one in list(load.seen) if begun_s <= one.at < ended_s]
            counted[name] = Counted(
                len(seen),
                sum(one.status != 200 for one in seen),
                max((one.took_s for one in seen), default=0.0),
            )
        self.rows.append((what, counted))

    def table(self) -> str:
        """Markdown: sent, failed and the longest, and all of it."""
        lines = ["| | " + " | ".join(self.loads) + " |", "|---|" + "---|" * len(self.loads)]
        total = {
            name: Counted(
                sum(counted[name].sent for _, counted in self.rows),
                sum(counted[name].failed for _, counted in self.rows),
                max(counted[name].longest_s for _, counted in self.rows),
            )
            for name in self.loads
        }
        for what, counted in [*self.rows, ("all", total)]:
            cells = (
                f"{one.sent:,}, {one.failed}, {one.longest_s:.1f} s" for one in counted.values()
            )
            lines.append(f"| {what} | " + " | ".join(cells) + " |")
        return "\n".join(lines)


def balancers(folder: Path) -> tuple[dict[str, object], dict[str, Confdir], dict[str, str]]:
    """nginx, HAProxy and Apache with their recipes, and the keys of all of them."""
    nginx, haproxy = LiveNginx(folder / "nginx"), Haproxy(folder)
    modules = (*MODULES, "proxy_hcheck")
    apache = PrivateApache(folder / "balancer", INCLUDES, modules=modules)
    confdirs = {
        "nginx": laid_out("nginx-sites", folder, for_nginx(nginx), folder="for-nginx"),
        "HAProxy": laid_out("haproxy", folder, haproxy.places, folder="for-haproxy"),
        "Apache": laid_out(
            "apache-balancer", folder, apache.words(free_ports(1)[0]), folder="for-apache"
        ),
    }
    check = {"uri": "/", "host": SITE}
    health = {"uri": "/", "interval": 1, "fails": 1}
    front = {"bind": f"127.0.0.1:{haproxy.port}", "default_backend": "web"}
    keys = {
        f"/nginx/{SITE}/server_name": SITE,
        f"/nginx/{SITE}/listen": f"127.0.0.1:{nginx.port}",
        "/haproxy/frontends/in": json.dumps(front),
        "/haproxy/web/settings": json.dumps({"service": SITE, "check": check}),
        f"/balancer/{SITE}/settings": json.dumps(
            {"listen": apache.address, "service": SITE, "health": health}
        ),
    }
    return {"nginx": nginx, "HAProxy": haproxy, "Apache": apache}, confdirs, keys


def members(etcd: PrivateEtcd, *words: str) -> None:
    """Run `pyconfd members`."""
    argv = [sys.executable, "-m", "pyconfd", "members", *words, "--node", etcd.endpoint]
    subprocess.run(argv, check=True, capture_output=True, timeout=120)


@contextlib.contextmanager
def changed(etcd: PrivateEtcd, values: Mapping[str, str]) -> Iterator[None]:
    """Bad values inside the block, and those of before afterwards."""
    before = {key: etcd.get(key) for key in values}
    etcd.txn(list(values.items()))
    try:
        yield
    finally:
        etcd.txn(
            [(key, old.decode()) for key, old in before.items() if old is not None],
            [key for key, old in before.items() if old is None],
        )


def bad_values(nodes: Sequence[Node]) -> dict[str, str]:
    """One for each daemon; the rest of its keys stay."""
    return {
        f"/nginx/{SITE}/lb": "nonsense",
        f"/balancer/{SITE}/settings": '{"lbmethod": "leastconn"}',
        "/haproxy/web/settings": '{"balance": "nonsense"}',
        **{f"/apache/vhosts/{SITE}/nodes/{one.name}/document_root": "/etc" for one in nodes},
    }


@dataclass
class Traffic:
    """
    Everything that runs, with load on it.

    leases: name of a member -> its registration, which ends when it is closed.
    """

    etcd: PrivateEtcd
    nodes: list[Node]
    ledger: Ledger
    leases: dict[str, contextlib.ExitStack]

    def listed(self, name: str, there_is: bool = True) -> None:
        """Until the member is in the store, or no longer is."""
        key = f"/nginx/{SITE}/upstream/{name}"
        wait_until(lambda: (self.etcd.get(key) is not None) is there_is, what=f"{name} listed")


@contextlib.contextmanager
def traffic(folder: Path, net: Net) -> Iterator[Traffic]:
    """Started from the members to the load, ended the other way round."""
    places = net.places
    nodes = [Node(folder, name, *places[number]) for number, name in enumerate(NAMES)]
    servers, confdirs, keys = balancers(folder)
    with contextlib.ExitStack() as stack:
        etcd = stack.enter_context(PrivateEtcd(folder, host=US))
        keys[f"/apache/vhosts/{SITE}/server_name"] = SITE
        keys[f"/apache/vhosts/{SITE}/document_root"] = f"{nodes[0].apache.folder}/www"
        for node in nodes:
            keys |= node.keys()
        etcd.txn(list(keys.items()))
        leases = {node.name: stack.enter_context(contextlib.ExitStack()) for node in nodes}
        for node in nodes:
            stack.callback(node.close)
            node.apache.start()
            node.start_pyconfd(etcd)
            wait_until(lambda n=node: n.apache.ask("/", SITE).body == n.name, what=node.name)  # type: ignore[misc]
            leases[node.name].enter_context(node.registered(etcd))
        there = f"/nginx/{SITE}/upstream/"
        wait_until(lambda: len(etcd.all(there)) == len(nodes), what="all members")
        done = confdirs["HAProxy"].once("--node", etcd.endpoint, "--sync-only")
        if done.returncode:
            raise RuntimeError(done.stderr)
        for server in servers.values():
            stack.enter_context(server.running())  # type: ignore[attr-defined]
        for confdir in confdirs.values():
            stack.enter_context(confdir.daemon("--node", etcd.endpoint))
        ports = {name: server.port for name, server in servers.items()}  # type: ignore[attr-defined]
        loads = {name: SteadyLoad(port, SITE, threads=2) for name, port in ports.items()}
        last = nodes[-1].apache
        loads["a vhost"] = SteadyLoad(last.port, SITE, threads=1, place=last.place)
        for load in loads.values():
            wait_until(lambda one=load: one.answers(), what="an answer of each")  # type: ignore[misc]
            stack.enter_context(load)
        yield Traffic(etcd, nodes, Ledger(loads), leases)


def of_traffic(folder: Path) -> str:
    """Balancers and virtual hosts."""
    with Net(len(NAMES)) as net, traffic(folder, net) as all_of_it:
        etcd, ledger, listed = all_of_it.etcd, all_of_it.ledger, all_of_it.listed
        a, leases = all_of_it.nodes[0], all_of_it.leases
        with ledger.event("nothing"):
            time.sleep(5)
        with ledger.event("drain and up"):
            members(etcd, "drain", SITE, "a")
            time.sleep(CALM_S)
            members(etcd, "up", SITE, "a")
        with ledger.event("weight 3 and up"):
            members(etcd, "weight", SITE, "b", "3")
            time.sleep(CALM_S)
            members(etcd, "up", SITE, "b")
        with ledger.event("a member withdraws, stops, starts and returns"):
            leases["a"].close()
            listed("a", False)
            time.sleep(CALM_S)
            a.apache.stop()
            a.apache.start()
            leases["a"].enter_context(a.registered(etcd))
            listed("a")
        with ledger.event("a member is killed, and starts again"):
            a.apache.kill()
            listed("a", False)
            a.apache.start()
            listed("a")
        with ledger.event(f"a member's cable is cut for {CUT_S:.0f} s"):
            with net.cut(1):
                time.sleep(CUT_S)
            listed("b")
        with ledger.event(f"etcd hangs for {AWAY_S:.0f} s"):
            with frozen(etcd):
                time.sleep(AWAY_S)
            for name in NAMES:
                listed(name)
        with ledger.event("a bad value for each"), changed(etcd, bad_values(all_of_it.nodes)):
            time.sleep(BAD_S)
        with ledger.event("etcd is killed, and starts again"):
            etcd.kill()
            time.sleep(5)
            etcd.start()
            for name in NAMES:
                listed(name)
        return ledger.table()


def of_keepalived(folder: Path) -> str:
    """Two nodes and one address, with the times of the recipe."""
    with pair_of("keepalived", folder, {}) as pair:
        pair.settled("lb1")
        load = SteadyLoad(80, "x", threads=2, place=f"{pair.lan.subnet}.{VIP}")
        ledger = Ledger({"keepalived": load})
        with load:
            with ledger.event("nothing"):
                time.sleep(5)
            with ledger.event("standby, and back"):
                pair.put("nodes/lb1", state="standby")
                pair.settled("lb2")
                pair.put("nodes/lb1", state="up")
                pair.settled("lb1")
            with ledger.event("nginx of the master dies, and starts again"):
                pair.one.nginx.end()
                pair.settled("lb2")
                pair.one.nginx = pair.one.node.nginx()
                pair.settled("lb1")
            with ledger.event(f"the master's cable is cut for {CUT_S:.0f} s"):
                with cable_cut(pair):
                    time.sleep(CUT_S)
                pair.settled("lb1")
            with ledger.event(f"etcd hangs for {AWAY_S:.0f} s"), frozen(pair.etcd):
                time.sleep(AWAY_S)
            with (
                ledger.event("a bad value"),
                changed(pair.etcd, {"/vrrp/web/instances/VI_1": '{"vrid": 999}'}),
            ):
                time.sleep(BAD_S)
        return ledger.table()


@contextlib.contextmanager
def cable_cut(pair: Pair) -> Iterator[None]:
    """Nothing reaches lb1, and nothing comes from it."""
    hub = within(pair.lan.hub, "net")
    run("ip link set v11 nomaster", hub)
    try:
        yield
    finally:
        run("ip link set v11 master br0", hub)


def main() -> None:
    """Run it, and print what became of the requests."""
    if reason := why_not():
        sys.exit(reason)
    if not enter_private_net():
        sys.exit("a network namespace is not to be had here")
    with tempfile.TemporaryDirectory() as text:
        os.chmod(text, 0o755)
        for part in (of_traffic, of_keepalived):
            folder = Path(text) / part.__name__
            folder.mkdir()
            print(f"{part(folder)}\n", flush=True)


if __name__ == "__main__":
    main()
