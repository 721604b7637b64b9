"""The recipe apache-balancer on real Apaches: shares, sessions, fail-over, and what is refused."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import urllib.parse
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

from pyconfd.model.resources import Runtime
from pyconfd.pipeline.runtime import apache
from tests.support.daemons.apache import INCLUDES, PrivateApache, serving
from tests.support.daemons.etcd import PrivateEtcd, free_ports
from tests.support.http import Answer, ask
from tests.support.load import SteadyLoad
from tests.support.pyconfd import Confdir, Daemon
from tests.support.recipes import laid_out
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

MODULES = ("slotmem_shm", "proxy", "proxy_http", "proxy_balancer", "proxy_hcheck")
METHODS = ("lbmethod_byrequests", "lbmethod_bytraffic", "lbmethod_bybusyness")
STICKY = {"path": "/test", "stickysession": "ROUTEID", "cookie": True, "retry": 1}
JAVA = {"stickysession": "JSESSIONID|jsessionid", "scolonpathdelim": True}
SETTINGS: dict[str, dict[str, object]] = {
    "mycluster": STICKY,
    "java": JAVA,
    "requests": {},
    "traffic": {"lbmethod": "bytraffic"},
    "busy": {"lbmethod": "bybusyness", "stickysession": "JSESSIONID"},
    "checked": {"health": {"uri": "/health", "interval": 1, "fails": 1}},
}
#: Answers with its name; /slow takes as long as the client listens.
BACKEND = """\
Header always set Set-Cookie "JSESSIONID=abc.@NAME@; path=/"
Alias /slow @FOLDER@/www/slow
<Location /slow>
    SetOutputFilter RATE_LIMIT
    SetEnv rate-limit 4
</Location>
""" + serving("@NAME@").replace("server-status", "server-status|slow")


@dataclass
class World:
    """Everything of one run. manager: the loopback port of status and balancer manager."""

    etcd: PrivateEtcd
    front: PrivateApache
    nodes: Mapping[str, PrivateApache]
    confdir: Confdir
    daemon: Daemon
    manager: int

    def ask(self, balancer: str, path: str = "/", **headers: str) -> Answer:
        return self.front.ask(path, f"{balancer}.test", headers=headers)

    def spread(self, balancer: str, count: int) -> Counter[str]:
        """Who answered this many requests."""
        return Counter(self.ask(balancer).body for _ in range(count))

    def dest(self, balancer: str) -> Path:
        return self.front.folder / "sites-enabled" / f"pyconfd-balancer-{balancer}.conf"

    def put(self, balancer: str, **more: object) -> None:
        settings = {"server_name": f"{balancer}.test", "listen": self.front.address}
        self.etcd.put(
            f"/balancer/{balancer}/settings", json.dumps({**settings, **SETTINGS[balancer], **more})
        )

    def member(self, balancer: str, name: str, **more: object) -> None:
        value = {"addr": self.nodes[name].address, "route": name, **more}
        self.etcd.put(f"/balancer/{balancer}/members/{name}", json.dumps(value))

    def manage(self, balancer: str, name: str, **fields: str) -> None:
        """Change a member by hand, as the page of the manager does."""
        host = f"{balancer}.test:{self.manager}"

        def manager(query: str = "", method: str = "GET") -> str:
            headers = {"Referer": f"http://{host}/balancer-manager"}
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            path = "/balancer-manager"
            return ask(self.manager, path, host, method=method, headers=headers, body=query).body

        nonce = re.search(r"nonce=([0-9a-f-]+)", manager())
        assert nonce
        words = {"b": balancer, "w": f"http://{self.nodes[name].address}", "nonce": nonce[1]}
        manager(urllib.parse.urlencode({**words, **fields}), "POST")

    def explained(self, balancer: str) -> str:
        """What `pyconfd explain` says of its file."""
        first, more = self.confdir.argv()[:3], self.confdir.argv()[3:]
        argv = [*first, "explain", f"apache-balancers[{balancer}]", *more]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        return done.stdout + done.stderr

    def logged(self, balancer: str, path: str) -> str:
        """The line of the request for this path: Apache writes it after the client's answer."""
        log = self.front.folder / "log" / f"{balancer}-balancer.log"
        found: list[str] = []

        def there() -> bool:
            found[:] = [line for line in log.read_text().splitlines() if f" {path} " in line]
            return bool(found)

        wait_until(there, what=f"the line of {path}")
        return found[-1]


def backend(folder: Path, name: str) -> PrivateApache:
    body = BACKEND.replace("@NAME@", name)
    made = PrivateApache(folder / name, body, modules=["ratelimit", "env"])
    (made.folder / "www" / "slow").write_bytes(b"x" * 2_000_000)
    return made


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Six balancers over the same two Apaches."""
    folder = tmp_path_factory.mktemp("balancer")
    nodes = {name: backend(folder, name) for name in ("node1", "node2")}
    front = PrivateApache(folder / "front", INCLUDES, modules=[*MODULES, *METHODS])
    manager = free_ports(1)[0]
    confdir = laid_out("apache-balancer", folder, front.words(manager))
    with (
        PrivateEtcd(folder) as etcd,
        nodes["node1"].running(),
        nodes["node2"].running(),
        front.running(),
        confdir.daemon("--node", etcd.endpoint) as daemon,
    ):
        made = World(etcd, front, nodes, confdir, daemon, manager)
        for balancer in SETTINGS:
            made.put(balancer)
            made.member(balancer, "node1")
            made.member(balancer, "node2", weight=3 if balancer == "traffic" else 1)
        for balancer in SETTINGS:
            path = "/test/" if balancer == "mycluster" else "/"
            daemon.wait(lambda b=balancer, p=path: made.ask(b, p).status == 200, balancer)  # type: ignore[misc]
        # The last that was put: what serves it has all the others, and no reload is to come.
        daemon.wait(lambda: set(made.spread("checked", 4)) == set(nodes), "both members")
        yield made


def routes(answer: Answer) -> str:
    """The cookies that an answer sets."""
    return answer.headers.get("set-cookie", "")


# Shares


def test_by_requests_each_gets_as_many(world: World) -> None:
    """Twenty requests, ten each."""
    # A process of the configuration before may take one more, and would count by itself.
    shares = {"node1": 10, "node2": 10}
    world.daemon.wait(lambda: world.spread("requests", 20) == shares, "equal shares")


def test_by_traffic_a_share_of_three_gets_three_quarters(world: World) -> None:
    """Answers of one size: forty requests, ten and thirty."""
    found = world.spread("traffic", 40)
    assert 8 <= found["node1"] <= 12
    assert found.total() == 40


def test_by_busyness_the_busy_one_is_left_alone(world: World) -> None:
    """While one member is sending long answers, all requests without a session go to the other.

    Three answers, sent to one member by its session: Apache counts a request as over only after
    its client has the answer, so that for a moment the idle member counts one that is done.
    """
    request = b"GET /slow HTTP/1.1\r\nHost: busy.test\r\nCookie: JSESSIONID=abc.node1\r\n\r\n"
    with contextlib.ExitStack() as open_answers:
        for _ in range(3):
            slow = socket.create_connection(("127.0.0.1", world.front.port), 10)
            open_answers.enter_context(slow)
            slow.sendall(request)
            head = slow.recv(4096).decode(errors="replace")
            assert "JSESSIONID=abc.node1" in head, head
        assert set(world.spread("busy", 10)) == {"node2"}


def test_a_failed_health_check_takes_a_member_out(world: World) -> None:
    """Before any request is lost on it; and puts it back."""
    assert set(world.spread("checked", 4)) == {"node1", "node2"}
    world.nodes["node2"].stop()

    def only_one() -> bool:
        return set(world.spread("checked", 4)) == {"node1"}

    wait_until(only_one, what="node2 out")
    world.nodes["node2"].start()
    wait_until(lambda: "node2" in world.spread("checked", 4), what="node2 back")


# Sessions


def test_a_cookie_of_apaches_own_keeps_a_session(world: World) -> None:
    """Set at the first answer alone; ten requests with it go to one member."""
    first = world.ask("mycluster", "/test/")
    assert f"ROUTEID=.{first.body}; path=/test; HttpOnly" in routes(first)
    for _ in range(10):
        again = world.ask("mycluster", "/test/", Cookie=f"ROUTEID=.{first.body}")
        assert again.body == first.body
        assert "ROUTEID" not in routes(again)


def test_a_session_of_nobody_is_balanced_and_gets_a_new_cookie(world: World) -> None:
    """A route that is none of the members'."""
    lost = world.ask("mycluster", "/test/", Cookie="ROUTEID=.node9")
    assert lost.body in world.nodes
    assert f"ROUTEID=.{lost.body};" in routes(lost)


def test_the_log_tells_of_sessions_and_members(world: World) -> None:
    """BALANCER_*: fresh, kept and lost."""
    world.ask("mycluster", "/test/fresh")
    world.ask("mycluster", "/test/kept", Cookie="ROUTEID=.node2")
    world.ask("mycluster", "/test/lost", Cookie="ROUTEID=.node9")
    words = ("fresh", "kept", "lost")
    fresh, kept, lost = (world.logged("mycluster", f"/test/{word}") for word in words)
    own = f"balancer=balancer://mycluster worker=http://{world.nodes['node2'].address} route=node2"
    assert "sticky=- session=-" in fresh
    assert fresh.endswith("changed=1")
    assert f"sticky=ROUTEID session=node2 {own} changed=-" in kept
    assert "sticky=ROUTEID session=node9" in lost
    assert lost.endswith("changed=1")


@pytest.mark.parametrize(
    ("path", "cookie"),
    [
        ("/", "JSESSIONID=abc.node2"),
        ("/;jsessionid=abc.node2", ""),
        ("/page;jsessionid=abc.node2?a=1", ""),
        ("/?jsessionid=abc.node2", ""),
        ("/?jsessionid=abc.node2", "JSESSIONID=abc.node1"),
    ],
    ids=["cookie", "semicolon", "page", "query", "url-wins"],
)
def test_a_session_of_the_backends_is_kept(world: World, path: str, cookie: str) -> None:
    """By its cookie, or in the URL, which is believed before the cookie."""
    headers = {"Cookie": cookie} if cookie else {}
    assert {world.ask("java", path, **headers).body for _ in range(6)} == {"node2"}


def test_a_session_whose_member_is_gone_goes_on_with_another(world: World) -> None:
    """No failed request, a new cookie; a session on the member that came back stays there."""
    session = {"Cookie": "ROUTEID=.node1"}
    assert world.ask("mycluster", "/test/", **session).body == "node1"
    world.nodes["node1"].stop()
    for _ in range(5):
        moved = world.ask("mycluster", "/test/", **session)
        assert (moved.status, moved.body) == (200, "node2")
        assert "ROUTEID=.node2;" in routes(moved)
    world.nodes["node1"].start()
    wait_until(lambda: world.ask("mycluster", "/test/", **session).body == "node1", what="node1")


def test_a_standby_is_asked_when_the_others_are_gone(world: World) -> None:
    """And not before."""
    world.member("requests", "node2", status="standby")
    world.daemon.wait(lambda: world.spread("requests", 6) == {"node1": 6}, "node1 alone")
    world.etcd.put("/balancer/requests/override/node1", '{"state":"down"}')
    world.daemon.wait(lambda: world.spread("requests", 6) == {"node2": 6}, "the standby")
    world.etcd.delete("/balancer/requests/override/node1")
    world.member("requests", "node2")
    world.daemon.wait(lambda: len(world.spread("requests", 6)) == 2, "both again")


# The manager


def test_the_manager_is_on_the_loopback_port_alone(world: World) -> None:
    """And the site's own port refuses it, although the client is local here too."""
    shown = ask(world.manager, "/balancer-manager", f"requests.test:{world.manager}")
    assert (shown.status, "balancer://requests" in shown.body) == (200, True)
    assert world.ask("requests", "/balancer-manager").status == 403


def test_what_the_manager_changes_is_gone_with_the_next_reload(world: World) -> None:
    """The store owns the state: BalancerPersist is off."""
    world.manage("requests", "node1", w_status_D="1")
    world.daemon.wait(lambda: world.spread("requests", 6) == {"node2": 6}, "node2 alone")
    world.put("requests", timeout=59)
    world.daemon.wait(lambda: set(world.spread("requests", 4)) == {"node1", "node2"}, "both again")


def processes(server: PrivateApache) -> set[int]:
    """All of it."""
    assert server.process is not None
    family = psutil.Process(server.process.pid)
    return {family.pid, *(each.pid for each in family.children(recursive=True))}


def test_members_of_the_recipes_own_keys_are_steered_without_a_reload(world: World) -> None:
    """
    With the key pattern that `pyconfd register` is given too. The manager gets it, no request
    fails meanwhile, and Apache starts no process. What was changed by hand there
    is overwritten, which the log says.
    """

    def members(*words: str) -> None:
        argv = [sys.executable, "-m", "pyconfd", "members", *words, "--node", world.etcd.endpoint]
        environ = {**os.environ, "PYCONFD_KEY_PATTERN": "/balancer/{service}/members/{id}"}
        subprocess.run(argv, env=environ, check=True, timeout=120)

    def fresh() -> Counter[str]:
        return Counter(world.ask("mycluster", "/test/").body for _ in range(8))

    wait_until(lambda: fresh() == {"node1": 4, "node2": 4}, what="both, by one configuration")
    before, generation = processes(world.front), world.front.generation()
    began = len(world.daemon.log)
    with SteadyLoad(world.front.port, "mycluster.test", "/test/", threads=1) as load:
        members("drain", "mycluster", "node2")
        world.daemon.wait(lambda: set(fresh()) == {"node1"}, "no new session on node2")
        assert world.ask("mycluster", "/test/", Cookie="ROUTEID=.node2").body == "node2"
        world.manage("mycluster", "node1", w_lf="5")
        named = f"by hand: member mycluster/http://{world.nodes['node1'].address} of"
        world.daemon.wait(lambda: named in world.explained("mycluster"), named)
        members("up", "mycluster", "node2")
        world.daemon.wait(lambda: set(fresh()) == {"node1", "node2"}, "both again")
        members("weight", "mycluster", "node2", "3")
        world.member("mycluster", "node2", route="other")
        lines = ", without a reload"
        world.daemon.wait(lambda: world.daemon.log[began:].count(lines) >= 3, "the third change")
        world.daemon.wait(
            lambda: (
                {world.ask("mycluster", "/test/", Cookie="ROUTEID=.other").body for _ in range(8)}
                == {"node2"}
            ),
            "the new route",
        )
    assert not load.failed
    assert world.front.generation() == generation
    assert processes(world.front) <= before
    log = world.daemon.log[began:]
    node1 = f"mycluster.test/mycluster/http://{world.nodes['node1'].address}"
    assert f"changed by hand at run time: {node1}; it is overwritten" in log
    world.etcd.delete("/balancer/mycluster/override/node2")
    world.member("mycluster", "node2")
    world.daemon.wait(lambda: fresh() == {"node1": 4, "node2": 4}, "as before")


def test_what_was_changed_by_hand_is_kept_where_it_is_adopted(world: World) -> None:
    """At a change of another member, and over a reload; else it is overwritten."""
    runtime = Runtime(by="apache", at=f"http://127.0.0.1:{world.manager}/balancer-manager")
    adopting = replace(runtime, adopt=True)
    before = world.dest("traffic").read_text()
    after = before.replace("route=node2 loadfactor=3", "route=node2 loadfactor=4")
    one, two = (f"traffic/http://{world.nodes[name].address}" for name in ("node1", "node2"))
    world.manage("traffic", "node1", w_lf="9")
    found = apache.survey(adopting, *apache.compare([[before, after]]))
    assert found.by_hand() == [f"member {one} of traffic.test runs with loadfactor 9"]
    assert apache.change(adopting, found) == ([f"set member {two} loadfactor 4"], "")
    world.front.graceful()
    assert apache.restore(adopting, found) == ""
    found = apache.survey(runtime, *apache.compare([[before]]))
    assert found.by_hand() == [f"member {one} of traffic.test runs with loadfactor 9"]
    assert apache.change(runtime, found) == ([f"set member {one} loadfactor 1"], "")


# What is refused


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("members/node1", '{"route": "node1"}', "/members/node1 has no addr"),
        ("members/node1", '{"addr": "10.0.0.1:80", "weight": 101}', "weight must be a whole"),
        ("members/node1", '{"addr": "10.0.0.1:80", "status": "asleep"}', "status must be ok, "),
        ("override/node1", '{"state": "asleep"}', "/override/node1: state must be up, drain"),
        ("members/node3", '{"addr": "10.0.0.1:80", "route": "node1"}', "has the route of node1"),
        ("members/node3", "@NODE1@", "has the address of node1"),
        ("settings", '{"lbmethod": "leastconn"}', "lbmethod must be byrequests, bytraffic"),
        ("settings", '{"scheme": "https"}', "line @ANY@ of @DEST@: Invalid command 'SSLProxy"),
    ],
    ids=["missing", "weight", "state", "override", "route", "address", "method", "apache"],
)
def test_what_is_wrong_is_refused_and_all_balancers_serve(
    world: World, key: str, value: str, says: str
) -> None:
    """By the name of its key, or in Apache's words with file and line; the file stays."""
    value = value.replace("@NODE1@", world.nodes["node1"].address)
    said = re.escape(says.replace("@DEST@", str(world.dest("requests")))).replace("@ANY@", r"\d+")
    path, before = f"/balancer/requests/{key}", world.dest("requests").read_bytes()
    kept, seen = world.etcd.get(path), len(world.daemon.log)
    world.etcd.put(path, value)
    world.daemon.wait(lambda: re.search(said, world.daemon.log[seen:]), f"refusal {says!r}")
    assert world.dest("requests").read_bytes() == before
    assert world.spread("requests", 4).total() == 4
    assert world.ask("java").status == 200
    if kept is None:
        world.etcd.delete(path)
    else:
        world.etcd.put(path, kept)
    world.daemon.wait(lambda: "status: ok" in world.daemon.log[seen:], "all well again")


def test_members_that_are_all_gone_leave_the_last_good_file(world: World) -> None:
    """Their leases ran out, or the store was wiped: Apache goes on asking them."""
    seen = len(world.daemon.log)
    world.etcd.txn(deletes=[f"/balancer/requests/members/node{number}" for number in (1, 2)])
    says = "/balancer/requests/members has no member"
    world.daemon.wait(lambda: says in world.daemon.log[seen:], "a refusal")
    assert set(world.spread("requests", 4)) == {"node1", "node2"}
    for name in world.nodes:
        world.member("requests", name)


def test_apache_takes_every_setting(tmp_path: Path) -> None:
    """All at once, on a port of its own, with members by another scheme."""
    front = PrivateApache(tmp_path / "front", INCLUDES, modules=[*MODULES, *METHODS, "proxy_ajp"])
    confdir = laid_out("apache-balancer", tmp_path, front.words(free_ports(1)[0]))
    settings = {
        "listen": f"127.0.0.1:{free_ports(1)[0]}",
        "path": "/a/b",
        "lbmethod": "bybusyness",
        "stickysession": "S|s",
        "scolonpathdelim": True,
        "scheme": "ajp",
        "timeout": 9,
        "connect_timeout": 1,
        "retry": 0,
        "maxattempts": 2,
        "nofailover": True,
        "failonstatus": [502, 503],
        "preserve_host": False,
        "health": {"uri": "/x?y=1", "interval": 3, "fails": 4, "passes": 5},
    }
    keys = {"/balancer/one/settings": json.dumps(settings)}
    for number, status in enumerate(("ok", "drain", "disabled", "standby", "spare")):
        member = {"addr": f"10.0.0.{number}:8009", "status": status, "lbset": number}
        keys[f"/balancer/one/members/{number}"] = json.dumps(member)
    (tmp_path / "keys.json").write_text(json.dumps(keys))
    with front.running():
        done = confdir.once("--backend", "file", "--file", str(tmp_path / "keys.json"))
        assert done.returncode == 0, done.stderr
    text = (front.folder / "sites-enabled" / "pyconfd-balancer-one.conf").read_text()
    for part in ("failonstatus=502,503", "maxattempts=2", "nofailover=On", "lbset=4", "status=+R"):
        assert part in text


@pytest.mark.parametrize(
    ("running", "more", "says", "stays"),
    [
        (
            True,
            {"program=apache2": "program=no-such-apache2"},
            "no verdict: command not found",
            False,
        ),
        (False, {}, "apache does not run", True),
        (
            True,
            {"apachectl graceful": "true", "on_reload": 'confirm_timeout = "500ms"\non_reload'},
            "no new configuration generation at",
            False,
        ),
    ],
    ids=["absent", "stopped", "unconfirmed"],
)
def test_without_a_reload_that_took_effect(
    tmp_path: Path, running: bool, more: Mapping[str, str], says: str, stays: bool
) -> None:
    """Said so; the new file stays only where it was not refused."""
    front = PrivateApache(tmp_path / "front", INCLUDES, modules=[*MODULES, *METHODS])
    words = {**front.words(free_ports(1)[0]), **more}
    confdir = laid_out("apache-balancer", tmp_path, words)
    keys = {"/balancer/one/settings": json.dumps({"listen": front.address})}
    keys["/balancer/one/members/a"] = "127.0.0.1:8001"
    (tmp_path / "keys.json").write_text(json.dumps(keys))
    with front.running() if running else contextlib.nullcontext():
        done = confdir.once("--backend", "file", "--file", str(tmp_path / "keys.json"))
    if not running and "cannot be asked: Connection refused" in done.stderr:
        says = "cannot be asked"  # another test's Apache runs, and could be the one
    absent = "does not run" in done.stderr
    assert done.returncode == (0 if absent else 1)
    assert says in done.stderr
    dest = front.folder / "sites-enabled" / "pyconfd-balancer-one.conf"
    assert dest.exists() == stays
