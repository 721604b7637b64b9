"""The recipe haproxy on a real etcd and HAProxy: members, stats, reloads under load, bad input."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.daemons.etcd import PrivateEtcd
from tests.support.daemons.haproxy import (
    CREDENTIALS,
    PASSWORD,
    Haproxy,
    Member,
    Processes,
    haproxy_program,
)
from tests.support.load import KeepAliveLoad
from tests.support.pyconfd import Confdir, Daemon
from tests.support.recipes import laid_out
from tests.support.register import registered

pytestmark = pytest.mark.integration

HERE = "/haproxy/{service}/servers/{id}"
CHECK = {"uri": "/health", "host": "www.example.com", "inter": "100ms", "fall": 2, "rise": 2}


@dataclass
class Site:
    """Everything that runs for these tests."""

    etcd: PrivateEtcd
    haproxy: Haproxy
    confdir: Confdir
    daemon: Daemon
    members: dict[str, Member]

    def put(self, key: str, value: object) -> None:
        """A key; what is no text as JSON."""
        self.etcd.put(key, value if isinstance(value, str) else json.dumps(value))

    def basis(self) -> dict[str, str]:
        """The keys that every test begins with: two members, one of them as JSON."""
        a, b = self.members["a"].address, self.members["b"].address
        front = {"bind": f"127.0.0.1:{self.haproxy.port}", "default_backend": "web"}
        values: dict[str, object] = {
            "/haproxy/settings": {"hard_stop_after": "5s", "timeout_connect": "500ms"},
            "/haproxy/frontends/http_in": front,
            "/haproxy/web/settings": {"cookie": "SERVERID", "check": CHECK},
            "/haproxy/web/servers/a": a,
            "/haproxy/web/servers/b": {"addr": b, "weight": 1, "labels": {"zone": "x"}},
            "/haproxy/stats": {"bind": f"127.0.0.1:{self.haproxy.stats_port}"},
        }
        return {k: v if isinstance(v, str) else json.dumps(v) for k, v in values.items()}

    def steer(self, *words: str, pattern: str = HERE) -> None:
        """`pyconfd members` with these words."""
        more = ["--node", self.etcd.endpoint, "--key-pattern", pattern]
        argv = [sys.executable, "-m", "pyconfd", "members", *words, *more]
        subprocess.run(argv, check=True, capture_output=True, timeout=60)

    def weights(self) -> dict[str, str]:
        """Of each server of the backend web, as HAProxy runs it."""
        shown = self.haproxy.tell(self.haproxy.master, "@1 show servers state web")
        rows = [line.split() for line in shown.splitlines()[2:]]
        return {row[3]: row[7] for row in rows if len(row) > 7}

    def explained(self) -> str:
        """`pyconfd explain` of the file; "" while the daemon starts."""
        first, more = self.confdir.argv()[:3], self.confdir.argv()[3:]
        argv = [*first, "explain", "haproxy", *more]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout

    @property
    def file(self) -> str:
        """What is live."""
        return self.haproxy.conf.read_text() if self.haproxy.conf.exists() else ""

    def shows(self, **states: str) -> None:
        """
        Wait until HAProxy has these servers in the backend web, in these states, and no worker of
        before takes connections beside the new one.
        """
        self.daemon.wait(
            lambda: self.haproxy.servers() == states and not self.haproxy.process().leaving,
            f"the servers {states}",
        )

    def new_worker(self, before: Processes) -> None:
        """Wait until another worker serves."""
        self.daemon.wait(lambda: self._has_other(before), "a new worker")

    def _has_other(self, before: Processes) -> bool:
        now = self.haproxy.process()
        return bool(now.workers) and now.workers != before.workers

    def calm(self) -> None:
        """Checks that wait longer than this process, which has the members, takes under load."""
        settings = {"cookie": "SERVERID", "check": {**CHECK, "inter": "2s"}}
        revision = self.etcd.txn([("/haproxy/web/settings", json.dumps(settings))])
        self.daemon.settled(revision)
        assert "inter 2s" in self.file

    def restore(self) -> None:
        """The keys of the beginning and nothing else, as HAProxy has them."""
        keys = self.basis()
        there = {*self.etcd.all("/haproxy"), *self.etcd.all("/nginx")}
        revision = self.etcd.txn(list(keys.items()), sorted(there - keys.keys()))
        for member in self.members.values():
            member.sick = False
        self.daemon.wait(lambda: self._is_basis(), "the file of the beginning")
        self.daemon.settled(revision)
        self.shows(a="UP", b="UP")

    def _is_basis(self) -> bool:
        text = self.file
        return text.count("    server ") == 2 and text.count("weight 1 check cookie") == 2


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """etcd, HAProxy, three members and pyconfd with the files of the recipe."""
    folder = tmp_path_factory.mktemp("haproxy")
    haproxy = Haproxy(folder)
    haproxy.environ_file.write_text("".join(f"{k}={v}\n" for k, v in CREDENTIALS.items()))
    with PrivateEtcd(folder) as etcd, Member("a") as a, Member("b") as b, Member("c") as c:
        confdir = laid_out("haproxy", folder, haproxy.places, "--node", etcd.endpoint)
        site = Site(etcd, haproxy, confdir, None, {"a": a, "b": b, "c": c})  # type: ignore[arg-type]
        etcd.txn(list(site.basis().items()))
        first = confdir.once("--sync-only")
        assert first.returncode == 0, first.stderr
        with haproxy.running(), confdir.daemon() as site.daemon:
            yield site


@pytest.fixture
def site(running: Site) -> Site:
    """Two members that live, whatever a test before has done."""
    running.restore()
    return running


def test_requests_reach_the_members_and_a_session_stays_with_its_own(site: Site) -> None:
    """Round robin without the cookie, one member with it."""
    assert site.haproxy.names() == {"a", "b"}
    status, name, cookie = site.haproxy.ask()
    assert (status, cookie) == (200, f"SERVERID={name}")
    assert site.haproxy.names(headers={"Cookie": cookie}) == {name}


def test_the_stats_page_asks_for_credentials_that_are_written_nowhere(site: Site) -> None:
    """Not in etcd, not in what is rendered, not in a log or a state file."""
    port = site.haproxy.stats_port
    assert site.haproxy.ask("/stats", port)[0] == 401
    for word, status in ((":", 401), ("admin:wrong", 401), (f"admin:{PASSWORD}", 200)):
        basic = base64.b64encode(word.encode()).decode()
        answer = site.haproxy.ask("/stats", port, {"Authorization": f"Basic {basic}"})
        assert answer[0] == status, word
    site.put("/haproxy/frontends/http_in", {"bind": "127.0.0.1:1", "default_backend": "gone"})
    value = "(the value of /haproxy/frontends/http_in)"
    site.daemon.wait_log(f"unable to find required default_backend: '{value}'")
    assert PASSWORD.encode() not in b"".join(site.etcd.all("/").values())
    assert '"${STATS_USER}:${STATS_PASSWORD}"' in site.file
    for top in (site.confdir.folder, site.haproxy.folder):
        for path in top.rglob("*"):
            if path.is_file() and path != site.haproxy.environ_file:
                assert PASSWORD.encode() not in path.read_bytes(), path


def test_a_server_that_is_not_well_is_passed_by_and_returns(site: Site) -> None:
    """Also over a reload: the new worker knows who was down, and sends no request there."""
    site.members["a"].sick = True
    site.shows(a="DOWN", b="UP")
    before = site.haproxy.process()
    site.put("/haproxy/web/servers/0", site.members["c"].address)
    site.new_worker(before)
    # A check of the new server may fail on a busy machine; it comes back.
    assert site.haproxy.servers()["a"] == "DOWN"
    site.shows(**{"0": "UP", "a": "DOWN", "b": "UP"})
    assert site.haproxy.names() == {"b", "c"}
    site.members["a"].sick = False
    site.daemon.wait(lambda: site.haproxy.servers()["a"] == "UP", "its return")
    assert site.haproxy.names(9) == {"a", "b", "c"}


def test_a_drained_member_keeps_its_sessions_also_over_reloads(site: Site) -> None:
    """No new ones; what was set by hand on the admin socket does not outlive a reload."""
    site.steer("drain", "web", "a")
    site.shows(a="DRAIN", b="UP")
    assert site.haproxy.names() == {"b"}
    assert site.haproxy.names(headers={"Cookie": "SERVERID=a"}) == {"a"}
    site.haproxy.tell(site.haproxy.admin, "set server web/b state maint")
    site.shows(a="DRAIN", b="MAINT")
    site.put("/haproxy/web/servers/c", site.members["c"].address)
    site.shows(a="DRAIN", b="UP", c="UP")
    assert site.haproxy.names(9) == {"b", "c"}
    site.steer("up", "web", "a")
    site.shows(a="UP", b="UP", c="UP")


def test_down_weight_and_up_reach_haproxy_by_rendering(site: Site) -> None:
    """One order of pyconfd members after the other."""
    site.steer("down", "web", "a")
    site.shows(a="MAINT", b="UP")
    assert site.haproxy.names(headers={"Cookie": "SERVERID=a"}) == {"b"}
    site.steer("up", "web", "a")
    site.shows(a="UP", b="UP")
    site.steer("weight", "web", "a", "3")
    site.daemon.wait(
        lambda: [site.haproxy.ask()[1] for _ in range(8)].count("a") == 6, "three of four requests"
    )
    assert "weight 3 check cookie a" in site.file


def test_members_come_and_go_as_they_register(site: Site, tmp_path: Path) -> None:
    """A backend of registered members, under the keys that `pyconfd register` writes by itself."""
    front = {
        "bind": f"127.0.0.1:{site.haproxy.port}",
        "default_backend": "web",
        "hosts": {"static.example.com": "static"},
    }
    site.put("/haproxy/static/settings", {"service": "static.example.com", "check": CHECK})
    site.put("/haproxy/frontends/http_in", front)
    host = {"Host": "static.example.com"}
    site.daemon.wait(lambda: site.haproxy.ask(headers=host)[0] == 503, "no member: 503")
    assert site.haproxy.names() == {"a", "b"}
    member = site.members["c"]
    words = ["static.example.com", member.address, "--check", "http:/health", "--weight", "7"]
    with registered(tmp_path, site.etcd, [*words, "--check-interval", "0.1"]):
        site.daemon.wait(lambda: site.haproxy.ask(headers=host)[1] == "c", "its answer")
        assert f"server {member.address} {member.address} weight 7 check" in site.file
        steered = ("drain", "static.example.com", member.address)
        site.steer(*steered, pattern="/nginx/{service}/upstream/{id}")
        site.daemon.wait(
            lambda: site.haproxy.servers("static") == {member.address: "DRAIN"}, "drained"
        )
    site.daemon.wait(lambda: site.haproxy.servers("static") == {}, "it has gone")


def test_twenty_reloads_under_load_fail_no_request(site: Site) -> None:
    """A server that comes and goes, while clients keep their connections and repeat nothing."""
    site.calm()
    with KeepAliveLoad(site.haproxy.port) as load:
        for number in range(20):
            before = site.haproxy.process()
            settings = {"hard_stop_after": "5s", "maxconn": 1000 + number}
            keys = [("/haproxy/settings", json.dumps(settings))]
            member = "/haproxy/web/servers/c"
            if number % 2:
                site.etcd.txn(keys, [member])
            else:
                site.etcd.txn([*keys, (member, site.members["c"].address)])
            site.new_worker(before)
        answers = load.answers
        site.daemon.wait(lambda: load.answers > answers + 50, "requests after the last one")
    print(f"{load.answers} requests, {len(load.failures)} failed")
    assert load.failures == [], site.haproxy.log.read_text()[-4000:]
    assert load.answers > 500
    assert site.haproxy.process().failed == 0


def test_changes_of_servers_reach_haproxy_without_another_worker(site: Site) -> None:
    """Weight, drain, down, address and removal, under load; the file says the same."""
    site.calm()
    site.put("/haproxy/web/servers/c", site.members["c"].address)
    site.shows(a="UP", b="UP", c="UP")
    before = site.haproxy.process()
    with KeepAliveLoad(site.haproxy.port) as load:
        for number in range(2, 8):
            site.put("/haproxy/web/override/a", {"weight": number})
            line = f"server a {site.members['a'].address} weight {number} "
            site.daemon.wait(lambda line=line: line in site.file, line)  # type: ignore[misc]
        site.put("/haproxy/web/override/a", {"state": "drain"})
        site.shows(a="DRAIN", b="UP", c="UP")
        site.put("/haproxy/web/override/b", {"state": "down"})
        site.shows(a="DRAIN", b="MAINT", c="UP")
        address = site.members["c"].address
        site.etcd.txn(
            [("/haproxy/web/servers/b", address), ("/haproxy/web/override/a", "{}")],
            ["/haproxy/web/servers/c", "/haproxy/web/override/b"],
        )
        site.shows(a="UP", b="UP")
        answers = load.answers
        site.daemon.wait(lambda: load.answers > answers + 50, "requests after the last one")
    assert site.haproxy.names() == {"a", "c"}
    assert load.failures == []
    assert site.haproxy.process() == before, site.daemon.log


def test_a_new_address_is_that_of_the_file_also_after_a_reload(site: Site) -> None:
    """HAProxy takes the port from the state file: the health of another address is left out."""
    before = site.haproxy.process()
    settings = json.dumps({"hard_stop_after": "5s", "maxconn": 1999})
    address = site.members["c"].address
    site.etcd.txn([("/haproxy/settings", settings), ("/haproxy/web/servers/b", address)])
    site.new_worker(before)
    site.shows(a="UP", b="UP")
    assert site.haproxy.names() == {"a", "c"}


def test_what_a_human_changed_at_run_time_is_named_and_overwritten(site: Site) -> None:
    """By `pyconfd explain` until the next change, and then in the log."""
    site.put("/haproxy/web/override/a", {"weight": 3})
    site.daemon.wait(lambda: site.weights() == {"a": "3", "b": "1"}, "the weight")
    site.haproxy.tell(site.haproxy.admin, "set server web/b weight 77")
    words = "by hand: server web/b runs with weight 77; the next change overwrites it"
    site.daemon.wait(lambda: words in site.explained(), words)
    before, said = site.haproxy.process(), len(site.daemon.log)
    site.put("/haproxy/web/override/a", {"weight": 2})
    line = "changed by hand at run time: web/b; it is overwritten"
    site.daemon.wait(lambda: line in site.daemon.log[said:], line)
    assert site.weights() == {"a": "2", "b": "1"}
    assert site.haproxy.process() == before


BAD = {
    "missing-key": ({}, "/haproxy/web/settings", "key does not exist: /haproxy/web/settings"),
    "weight-out-of-range": (
        {"/haproxy/web/servers/b": '{"addr": "127.0.0.1:9", "weight": 257}'},
        "",
        "/haproxy/web/servers/b: weight must be a whole number from 0 to 256",
    ),
    "unknown-state": (
        {"/haproxy/web/override/b": '{"state": "asleep"}'},
        "",
        "/haproxy/web/override/b: state must be one of up, drain, down",
    ),
    "duplicated-id": (
        {
            "/haproxy/web/settings": '{"service": "www"}',
            "/nginx/www/upstream/a": "127.0.0.1:9",
        },
        "",
        "/nginx/www/upstream/a: duplicated id: /haproxy/web/servers/a has the same",
    ),
    "refused-by-haproxy": (
        {"/haproxy/web/servers/b": "no-such-host.invalid:80"},
        "",
        r"CONF:\d+.* could not resolve address .\(the value of /haproxy/web/servers/b\)",
    ),
}


@pytest.mark.parametrize(("put", "gone", "says"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_and_what_runs_keeps_running(
    site: Site, put: Mapping[str, str], gone: str, says: str
) -> None:
    """The file, the worker and the answers are those of before; the key is named in the log."""
    before, file, said = site.haproxy.process(), site.file, len(site.daemon.log)
    site.etcd.txn(list(put.items()), [gone] if gone else [])
    pattern = re.compile(says.replace("CONF", re.escape(str(site.haproxy.conf))))
    site.daemon.wait(lambda: pattern.search(site.daemon.log[said:]), says)
    assert site.file == file
    assert site.haproxy.process() == before
    assert site.haproxy.names() == {"a", "b"}


def test_a_refusal_of_haproxy_leads_back_to_the_template_and_the_key(site: Site) -> None:
    """Its line of the file, and where that comes from."""
    site.put("/haproxy/web/servers/b", "no-such-host.invalid:80")
    site.daemon.wait_log(f"{site.haproxy.conf}:")
    place = r"haproxy\.cfg:\d+ comes from haproxy\.cfg\.j2:\d+ with .*/haproxy/web/servers/b"
    site.daemon.wait(lambda: re.search(place, site.daemon.log), place)


def test_a_reload_that_is_not_confirmed_is_put_back(site: Site) -> None:
    """A port that somebody else holds: haproxy -c accepts it, and the old worker serves on."""
    before, file = site.haproxy.process(), site.file
    with socket.socket() as foreign:
        foreign.bind(("127.0.0.1", 0))
        foreign.listen()
        bind = [f"127.0.0.1:{site.haproxy.port}", f"127.0.0.1:{foreign.getsockname()[1]}"]
        site.put("/haproxy/frontends/http_in", {"bind": bind, "default_backend": "web"})
        site.daemon.wait_log("reverted: the service did not take the new version")
        site.daemon.wait(lambda: site.file == file, "the file of before")
    site.new_worker(before)
    assert "its master counts 1 failed; the version before it is live again" in site.daemon.log
    assert site.haproxy.process().failed == 0
    assert site.haproxy.names() == {"a", "b"}


def test_credentials_that_are_not_set_are_refused(site: Site) -> None:
    """haproxy -c would accept them, and everybody could log in."""
    check = site.confdir.folder / "scripts" / "haproxy-check"
    empty = subprocess.run(
        [haproxy_program(), "-c", "-f", str(site.haproxy.conf)],
        capture_output=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    assert empty.returncode == 0
    argv = [str(check), str(site.haproxy.conf), "--environ", "/no/such/file"]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]}
    )
    assert done.returncode == 1
    for name in CREDENTIALS:
        assert f"the environment variable {name} is not set in /no/such/file" in done.stderr
    assert f"{site.haproxy.conf}:" in done.stderr


def test_a_running_haproxy_without_credentials_gets_no_stats_page(
    running: Site, tmp_path: Path
) -> None:
    """They were written to its file after it was started, and a reload would not read them."""
    haproxy = Haproxy(tmp_path)
    haproxy.environ_file.write_text(f"STATS_USER=admin\nSTATS_PASSWORD={PASSWORD}\n")
    haproxy.conf.write_text(
        "global\n    stats socket " + str(haproxy.admin) + "\ndefaults\n    mode http\n"
        "    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n"
        f"frontend f\n    bind 127.0.0.1:{haproxy.port}\n"
    )
    confdir = laid_out("haproxy", tmp_path, haproxy.places, "--node", running.etcd.endpoint)
    before = haproxy.conf.read_text()
    with haproxy.running(environ={}):
        done = confdir.once()
    assert done.returncode == 1
    assert "STATS_PASSWORD is not set in the running haproxy; put it into" in done.stderr
    assert "and restart haproxy" in done.stderr
    assert PASSWORD not in done.stderr
    assert haproxy.conf.read_text() == before


def test_users_can_be_in_a_file_with_their_passwords_hashed(running: Site, tmp_path: Path) -> None:
    """A second configuration file of the node; without it the stats page is refused."""
    haproxy = Haproxy(tmp_path)
    confdir = laid_out("haproxy", tmp_path, haproxy.places)
    keys = {**running.basis(), "/haproxy/frontends/http_in": json.dumps({
        "bind": f"127.0.0.1:{haproxy.port}", "default_backend": "web"}),
        "/haproxy/stats": json.dumps({
            "bind": f"127.0.0.1:{haproxy.stats_port}", "credentials": "file"})}  # fmt: skip
    (tmp_path / "keys.json").write_text(json.dumps(keys))
    source = ["--backend", "file", "--file", str(tmp_path / "keys.json")]
    refused = confdir.once(*source)
    assert f"there is no {haproxy.users}" in refused.stderr
    hashed = subprocess.run(
        ["openssl", "passwd", "-6", PASSWORD], capture_output=True, text=True, check=True
    ).stdout.strip()
    haproxy.users.write_text(f"userlist stats-users\n    user admin password {hashed}\n")
    haproxy.users.chmod(0o600)
    first = confdir.once(*source)
    assert first.returncode == 0, first.stderr
    assert "haproxy does not run" in first.stderr
    with haproxy.running(environ={}):
        for word, status in (("admin:wrong", 401), (f"admin:{PASSWORD}", 200)):
            basic = {"Authorization": f"Basic {base64.b64encode(word.encode()).decode()}"}
            assert haproxy.ask("/stats", haproxy.stats_port, basic)[0] == status
        assert confdir.once(*source).returncode == 0


def test_without_haproxy_there_is_no_verdict_and_nothing_is_written(
    running: Site, tmp_path: Path
) -> None:
    """The program is not installed."""
    haproxy = Haproxy(tmp_path)
    haproxy.environ_file.write_text("STATS_USER=a\nSTATS_PASSWORD=b\n")
    places = {**haproxy.places, "/usr/local/sbin:/usr/sbin:/sbin": "/no/such/folder"}
    confdir = laid_out("haproxy", tmp_path, places, "--node", running.etcd.endpoint)
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("env", "python3", "sh"):
        (bare / name).symlink_to(f"/usr/bin/{name}")
    done = confdir.once(environ={"PATH": str(bare)})
    assert done.returncode == 1
    assert "haproxy: not found; apt-get install haproxy" in done.stderr
    assert not haproxy.conf.exists()


@pytest.mark.parametrize(
    "setting", ["log", "user", "group", "chroot", "admin_socket", "server_state"]
)
def test_an_empty_setting_of_the_node_is_left_out(tmp_path: Path, setting: str) -> None:
    """As vars.toml promises; HAProxy accepts the file without it, and says nothing of the line."""
    haproxy = Haproxy(tmp_path / "haproxy")
    confdir = laid_out("haproxy", tmp_path, haproxy.places, "--backend", "file")
    settings = confdir.folder / "pyconfd.toml"
    changed = re.sub(rf"(?m)^{setting} = .*$", f'{setting} = ""', settings.read_text())
    assert changed != settings.read_text() or setting in ("user", "group", "chroot")
    settings.write_text(changed)
    keys = str(confdir.folder / "keys.json")
    done = confdir.once("--sync-only", "--file", keys)
    assert done.returncode == 0, done.stderr
    text = haproxy.conf.read_text()
    assert not re.search(r"(?m)^ +(log|user|group|chroot|server-state-file|stats socket) *$", text)
    check = subprocess.run(
        [haproxy_program(), "-c", "-f", str(haproxy.conf)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **CREDENTIALS},
    )
    assert check.returncode == 0, check.stdout + check.stderr
    assert "[ALERT]" not in check.stderr
