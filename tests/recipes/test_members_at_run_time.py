"""`pyconfd members` reaches nginx, Apache and HAProxy alike: one registration, one order, three."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.daemons.apache import INCLUDES, PrivateApache
from tests.support.daemons.etcd import PrivateEtcd, free_ports
from tests.support.daemons.haproxy import Haproxy
from tests.support.daemons.live_nginx import LiveNginx
from tests.support.daemons.nginx_sites import for_nginx
from tests.support.http import ask
from tests.support.pyconfd import Confdir, Daemon
from tests.support.recipes import laid_out
from tests.support.register import backend, registered
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

SITE = "www.example.com"
MODULES = ("slotmem_shm", "proxy", "proxy_http", "proxy_balancer", "lbmethod_byrequests")
BOTH = {"a", "b"}


@dataclass
class World:
    """Three balancers, each with its pyconfd, over members a and b that register themselves."""

    etcd: PrivateEtcd
    ports: dict[str, int]
    daemons: dict[str, Daemon]
    files: dict[str, Path]

    def members(self, *words: str, status: int = 0) -> str:
        """Run `pyconfd members`; what it printed."""
        argv = [sys.executable, "-m", "pyconfd", "members", *words, "--node", self.etcd.endpoint]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == status, done.stderr
        return done.stdout

    def ask(self, balancer: str, cookie: str = "") -> str:
        headers = {"Cookie": cookie} if cookie else {}
        answer = ask(self.ports[balancer], "/", SITE, headers=headers)
        return answer.body if answer.status == 200 else f"status {answer.status}"

    def spread(self, balancer: str, count: int = 8, cookie: str = "") -> Counter[str]:
        """Who answered so many requests."""
        return Counter(self.ask(balancer, cookie) for _ in range(count))

    def wait(self, what: str, true: Callable[[str], bool]) -> None:
        """Until it is true of all three balancers."""
        for balancer in self.ports:
            wait_until(
                lambda b=balancer: true(b),  # type: ignore[misc]
                what=f"{what} by {balancer}\n{self.daemons[balancer].log}",
            )


def nginx_part(folder: Path) -> tuple[LiveNginx, Confdir, dict[str, str]]:
    nginx = LiveNginx(folder / "nginx")
    confdir = laid_out("nginx-sites", folder, for_nginx(nginx), folder="for-nginx")
    keys = {
        f"/nginx/{SITE}/server_name": SITE,
        f"/nginx/{SITE}/listen": f"127.0.0.1:{nginx.port}",
    }
    return nginx, confdir, keys


def apache_part(folder: Path) -> tuple[PrivateApache, Confdir, dict[str, str]]:
    apache = PrivateApache(folder / "apache", INCLUDES, modules=MODULES)
    words = apache.words(free_ports(1)[0])
    confdir = laid_out("apache-balancer", folder, words, folder="for-apache")
    settings = {"listen": apache.address, "service": SITE, "stickysession": "ID", "cookie": True}
    return apache, confdir, {f"/balancer/{SITE}/settings": json.dumps(settings)}


def haproxy_part(folder: Path) -> tuple[Haproxy, Confdir, dict[str, str]]:
    haproxy = Haproxy(folder)
    confdir = laid_out("haproxy", folder, haproxy.places, folder="for-haproxy")
    front = {"bind": f"127.0.0.1:{haproxy.port}", "default_backend": "web"}
    web = {"service": SITE, "cookie": "ID", "check": False}
    keys = {"/haproxy/frontends/in": json.dumps(front), "/haproxy/web/settings": json.dumps(web)}
    return haproxy, confdir, keys


@contextlib.contextmanager
def member(folder: Path, etcd: PrivateEtcd, name: str) -> Iterator[Daemon]:
    """A backend around which `pyconfd register` runs, with a route for Apache's sessions."""
    port = free_ports(1)[0]
    words = [SITE, f"127.0.0.1:{port}", "--id", name, "--field", f"route={name}"]
    words += ["--weight", "1", "--check-interval", "0.2", "--rise", "1", "--drain", "0"]
    with registered(folder, etcd, words, backend(port, name)) as running:
        yield running


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("members")
    nginx, for_ngx, ngx_keys = nginx_part(folder)
    apache, for_apache, apache_keys = apache_part(folder)
    haproxy, for_haproxy, haproxy_keys = haproxy_part(folder)
    with contextlib.ExitStack() as stack:
        etcd = stack.enter_context(PrivateEtcd(folder))
        etcd.txn(list({**ngx_keys, **apache_keys, **haproxy_keys}.items()))
        for name in ("a", "b"):
            stack.enter_context(member(folder, etcd, name))
        wait_until(lambda: len(etcd.all(f"/nginx/{SITE}/upstream/")) == 2, what="both members")
        # HAProxy starts with a file, the others without.
        done = for_haproxy.once("--node", etcd.endpoint, "--sync-only")
        assert done.returncode == 0, done.stderr
        for server in (nginx, apache, haproxy):
            stack.enter_context(server.running())
        confdirs = {"nginx": for_ngx, "apache": for_apache, "haproxy": for_haproxy}
        daemons = {
            name: stack.enter_context(confdir.daemon("--node", etcd.endpoint))
            for name, confdir in confdirs.items()
        }
        ports = {"nginx": nginx.port, "apache": apache.port, "haproxy": haproxy.port}
        files = {
            "nginx": nginx.sites / f"{SITE}.conf",
            "apache": apache.folder / "sites-enabled" / f"pyconfd-balancer-{SITE}.conf",
            "haproxy": haproxy.conf,
        }
        made = World(etcd, ports, daemons, files)
        made.wait("both members", lambda name: set(made.spread(name)) == BOTH)
        yield made


@pytest.fixture(autouse=True)
def both_up(world: World) -> Iterator[None]:
    """Each test begins and ends without overrides."""
    yield
    for name in BOTH:
        world.etcd.delete(f"/nginx/{SITE}/override/{name}")
    world.wait("both members", lambda name: set(world.spread(name)) == BOTH)


def session(balancer: str) -> str:
    """The cookie of a session on b: none in nginx, which keeps no sessions."""
    return {"nginx": "", "apache": "ID=.b", "haproxy": "ID=b"}[balancer]


def test_weight_is_another_share_of_the_requests(world: World) -> None:
    """Three quarters to b, with all of them; the member's own again after `up`."""
    world.members("weight", SITE, "b", "3")
    world.wait("a share of 3", lambda name: world.spread(name, 40) == {"a": 10, "b": 30})
    assert "3*" in world.members(SITE)
    world.members("up", SITE, "b")
    world.wait("equal shares", lambda name: world.spread(name, 40) == {"a": 20, "b": 20})


def test_drain_takes_no_new_sessions_and_keeps_those_that_are_there(world: World) -> None:
    """Where the balancer knows sessions; in nginx nothing reaches the member."""
    world.members("drain", SITE, "b")
    world.wait("no new session", lambda name: world.spread(name) == {"a": 8})
    for balancer in ("apache", "haproxy"):
        assert world.spread(balancer, cookie=session(balancer)) == {"b": 8}


def test_down_takes_the_sessions_too(world: World) -> None:
    """They go on with another member, without a failed request."""
    world.members("down", SITE, "b")
    world.wait("nothing for b", lambda name: world.spread(name) == {"a": 8})

    def moved(balancer: str) -> bool:
        """A process of the configuration before may answer one more request."""
        found = world.spread(balancer, cookie=session(balancer))
        assert set(found) <= BOTH, found
        return found == {"a": 8}

    world.wait("its sessions elsewhere", moved)


def test_a_weight_of_nothing_drains(world: World) -> None:
    """0 is a share that Apache does not have: it is written as draining."""
    world.members("weight", SITE, "b", "0")
    world.wait("no new session", lambda name: world.spread(name) == {"a": 8})
    for balancer in ("apache", "haproxy"):
        assert world.spread(balancer, cookie=session(balancer)) == {"b": 8}


def test_a_weight_beyond_what_a_balancer_has_is_refused_by_it(world: World) -> None:
    """Apache's shares end at 100 and HAProxy's at 256; what they had stays, nginx takes it."""
    seen = {name: len(daemon.log) for name, daemon in world.daemons.items()}
    kept = {name: world.files[name].read_bytes() for name in ("apache", "haproxy")}
    world.members("weight", SITE, "b", "300")
    says = f"/nginx/{SITE}/override/b: weight must be a whole number from 0 to "
    for name in kept:
        daemon = world.daemons[name]
        daemon.wait(lambda d=daemon, n=name: says in d.log[seen[n] :], "a refusal")  # type: ignore[misc]
        assert world.files[name].read_bytes() == kept[name]
        assert set(world.spread(name)) == BOTH
    wait_until(lambda: "weight=300" in world.files["nginx"].read_text(), what="nginx's weight")


def test_a_member_that_stops_leaves_all_three(world: World, tmp_path: Path) -> None:
    """A third one registers, is asked by all, and withdraws before it stops."""
    with member(tmp_path, world.etcd, "c"):
        world.wait("three members", lambda name: set(world.spread(name, 9)) == {*BOTH, "c"})
    world.wait("two members", lambda name: set(world.spread(name, 9)) == BOTH)
