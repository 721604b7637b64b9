"""The recipe csync2 on a real etcd and three nodes: hosts, conflicts, keys, bad input."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.daemons.csync2 import (
    Node,
    csync2_program,
    make_certificate,
    make_key,
    names,
    port,
)
from tests.support.daemons.etcd import PrivateEtcd
from tests.support.daemons.nginx_sites import owed
from tests.support.pyconfd import Daemon
from tests.support.register import registered

pytestmark = pytest.mark.integration

GROUP = "/csync2/web-data-dir"
#: In place of the path, which is a value.
VALUE_OF_SETTINGS = rf"\(the value of {GROUP}/settings\)"


@dataclass
class Cluster:
    """etcd, and three nodes with csync2 and pyconfd; the first is the primary."""

    etcd: PrivateEtcd
    nodes: list[Node]
    daemons: list[Daemon] = field(default_factory=list)

    def put(self, key: str, value: object) -> None:
        """A key; what is no text as JSON."""
        self.etcd.put(key, value if isinstance(value, str) else json.dumps(value))

    def basis(self) -> dict[str, str]:
        """The keys that every test begins with: two of the three nodes are hosts."""
        one, two, _ = self.nodes
        places = {node.name: str(node.site) for node in self.nodes}
        values: dict[str, object] = {
            "/csync2/settings": {"tls": False, "every_minutes": 5},
            "/csync2/prefixes/site": {**places, "*": "/srv/www"},
            "/csync2/prefixes/node": {name: str(Path(p).parent) for name, p in places.items()},
            f"{GROUP}/settings": self.settings(),
            f"{GROUP}/hosts/{one.name}": "",
            f"{GROUP}/hosts/{two.name}": f"{two.name}:{two.port}",
            f"{GROUP}/include/html": "%site%/html",
            f"{GROUP}/exclude/backups": "*~",
            f"{GROUP}/exclude/tmp": "%site%/html/tmp dir",
            f"{GROUP}/actions/index": {"patterns": ["%site%/html/*"], "run": "rotate-index"},
        }
        return {k: v if isinstance(v, str) else json.dumps(v) for k, v in values.items()}

    def settings(self, **more: object) -> dict[str, object]:
        """Of the group. The shared key has one place for all here, as nodes share one machine."""
        one = self.nodes[0]
        return {"key_file": str(one.key), "primary": one.name, "auto": "none", **more}

    def restore(self) -> None:
        """The keys of the beginning and nothing else, as both nodes have them."""
        keys = self.basis()
        there = {*self.etcd.all("/csync2"), *self.etcd.all("/nginx")}
        self.etcd.txn(list(keys.items()), sorted(there - keys.keys()))
        for node, daemon in zip(self.nodes[:2], self.daemons, strict=False):
            daemon.wait(lambda n=node: self._is_basis(n), "the file of the beginning")  # type: ignore[misc]
            # Its run of csync2 is over, which would have the database beside that of a test.
            daemon.wait(lambda n=node: not owed(n.confdir), "nothing owed")  # type: ignore[misc]

    def _is_basis(self, node: Node) -> bool:
        wanted = [each.name for each in self.nodes[:2]]
        return node.hosts() == wanted and "backup-directory" not in node.conf.read_text()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Everything started; the third node is in no group yet."""
    folder = tmp_path_factory.mktemp("csync2")
    with contextlib.ExitStack() as stack:
        etcd = stack.enter_context(PrivateEtcd(folder))
        shared = port()
        cluster = Cluster(etcd, [Node(folder, name, shared, etcd) for name in names(3)])
        make_key(cluster.nodes[0].key)
        etcd.txn(list(cluster.basis().items()))
        for node in cluster.nodes:
            stack.enter_context(node.serving())
        for node in cluster.nodes:
            cluster.daemons.append(stack.enter_context(node.confdir.daemon()))
        yield cluster


@pytest.fixture
def cluster(running: Cluster) -> Cluster:
    """Two hosts with the files of the beginning, whatever a test before has done."""
    running.restore()
    return running


@pytest.fixture
def in_step(cluster: Cluster) -> Cluster:
    """The same, and nothing is left to be pushed."""
    one, two, _ = cluster.nodes
    cluster.daemons[0].wait(lambda: one.job().returncode == 0, "the two in step")
    assert two.job().returncode == 0
    return cluster


def test_a_change_is_pushed_and_the_action_runs_where_it_arrives(in_step: Cluster) -> None:
    """Names with spaces too; what is excluded stays at home."""
    one, two, _ = in_step.nodes
    (one.html / "tmp dir").mkdir(exist_ok=True)
    for name in ("index.html", "a b.txt", "old.html~", "tmp dir/x"):
        (one.html / name).write_text(f"first {name}")
    done = one.job()
    assert (done.returncode, done.stderr) == (0, "")
    assert two.read("a b.txt") == "first a b.txt"
    assert two.read("index.html") == "first index.html"
    assert not two.read("old.html~")
    assert not two.read("tmp dir/x")
    # What csync2 puts in the place of %% is no path.
    ran = (two.folder / "actions").read_text()
    assert "%25site%25/html/index.html" in ran
    assert "%25site%25/html/a%20b.txt" in ran
    assert not (one.folder / "actions").exists()


def test_a_host_that_is_added_in_etcd_gets_what_is_there_already(cluster: Cluster) -> None:
    """
    csync2 alone would push it later changes only. One with an address beside its name is called by
    that address; here another spelling of the name.
    """
    one, two, three = cluster.nodes
    (one.html / "before.html").write_text("before it came")
    assert one.job().returncode == 0
    cluster.put(f"{GROUP}/hosts/{three.name}", str(int(ipaddress.ip_address(three.name))))
    cluster.daemons[0].wait(lambda: three.read("before.html") == "before it came", "the old file")
    everybody = [node.name for node in cluster.nodes]
    for node, daemon in zip(cluster.nodes, cluster.daemons, strict=True):
        daemon.wait(lambda n=node: n.hosts() == everybody, "three hosts")  # type: ignore[misc]
    (three.html / "back.html").write_text("from the new one")
    assert three.job().returncode == 0
    assert two.read("back.html") == one.read("back.html") == "from the new one"


def test_hosts_come_and_go_as_they_register(cluster: Cluster, tmp_path: Path) -> None:
    """Under the id that is their name, with the port on which all of them listen."""
    one, _, three = cluster.nodes
    words = ["web-data-dir", f"{three.name}:{three.port}", "--id", three.name]
    pattern = "/csync2/{service}/hosts/{id}"
    with registered(tmp_path, cluster.etcd, [*words, "--key-pattern", pattern]):
        cluster.daemons[0].wait(lambda: three.name in one.hosts(), "the host in the file")
    cluster.daemons[0].wait(lambda: three.name not in one.hosts(), "it has gone")


def test_members_of_a_service_are_hosts_by_their_label(cluster: Cluster) -> None:
    """As pyconfd register writes them below /nginx, with --label host=NAME."""
    one, _, three = cluster.nodes
    address = f"{three.name}:80"
    value = {"addr": address, "labels": {"host": three.name}}
    cluster.put(f"/nginx/www.example.com/upstream/{address}", value)
    cluster.put(f"{GROUP}/settings", cluster.settings(service="www.example.com"))
    cluster.daemons[0].wait(lambda: three.name in one.hosts(), "the member as a host")


@pytest.mark.parametrize("name", ["conflict.html", "two words.html"])
def test_a_conflict_is_reported_and_resolved_on_the_primary_alone(
    in_step: Cluster, name: str
) -> None:
    """Both nodes change a file; the other node says so, the primary's version wins, and its
    loser is kept."""
    one, two, _ = in_step.nodes
    backup = {"backup_directory": str(two.backups), "backup_generations": 2}
    in_step.put(f"{GROUP}/settings", in_step.settings(**backup))
    in_step.daemons[1].wait(lambda: "backup-generations 2" in two.conf.read_text(), "backups")
    in_step.daemons[0].wait(lambda: "backup-generations 2" in one.conf.read_text(), "backups")
    assert "--resolve" in one.cron.read_text()
    assert "--resolve" not in two.cron.read_text()
    for node in (one, two):
        (node.html / name).write_text(f"made on {node.name}")
    one.csync2("-c", "-r", "/")
    told = two.job()
    assert told.returncode == 1
    assert f"conflict: %site%/html/{name} was changed here and on {one.name}" in told.stderr
    assert two.read(name) != one.read(name)
    done = one.job()
    assert f"resolved: %site%/html/{name} was changed here and on {two.name}" in done.stdout
    assert (done.returncode, done.stderr) == (0, "")
    assert two.read(name) == one.read(name) == f"made on {one.name}"
    kept = [path for path in two.backups.rglob("*") if path.is_file() and name in path.name]
    assert [path.read_text() for path in kept] == [f"made on {two.name}"]
    assert two.job().returncode == 0


def test_files_travel_over_tls_when_nothing_else_is_said(tmp_path: Path) -> None:
    """Without certificates beside its file the node is told so before that."""
    with contextlib.ExitStack() as stack:
        etcd = stack.enter_context(PrivateEtcd(tmp_path))
        shared = port()
        one, two = (Node(tmp_path, f"{name}2", shared, etcd) for name in names(2))
        make_key(one.key)
        etcd.txn(list(Cluster(etcd, [one, two, two]).basis().items()))
        etcd.delete("/csync2/settings")
        assert f"there is no {two.etc}/csync2_ssl_cert.pem" in two.confdir.once().stderr
        for node in (one, two):
            make_certificate(node.etc)
            stack.enter_context(node.serving())
        (one.html / "index.html").write_text("unread on the way")
        assert two.confdir.once().returncode == 0
        done = one.confdir.once()
        assert done.returncode == 0, done.stderr
        assert two.read("index.html") == "unread on the way"
        assert "(SSL)" in one.csync2("-v", "-T", one.name, two.name).stderr


def test_a_host_that_is_down_gets_the_change_when_it_is_back(tmp_path: Path) -> None:
    """Said until then; nothing is lost."""
    with contextlib.ExitStack() as stack:
        etcd = stack.enter_context(PrivateEtcd(tmp_path))
        shared = port()
        one, two = (Node(tmp_path, f"{name}1", shared, etcd) for name in names(2))
        cluster = Cluster(etcd, [one, two, two])
        make_key(one.key)
        etcd.txn(list(cluster.basis().items()))
        (one.html / "index.html").write_text("news")
        assert two.confdir.once().returncode == 0
        failed = one.confdir.once()
        assert failed.returncode == 1
        assert f"{two.name} is new and not in step" in failed.stderr
        assert f"{two.name} does not answer" in failed.stderr
        job = one.job()
        assert job.returncode == 1
        assert f"{two.name} does not answer" in job.stderr
        with two.serving():
            paid = one.confdir.once()
            assert paid.returncode == 0, paid.stderr
            assert two.read("index.html") == "news"


def test_a_host_with_another_key_is_refused(in_step: Cluster) -> None:
    """Nothing arrives, and who refuses is said; the keys themselves never are."""
    one, two, _ = in_step.nodes
    other = two.etc / "other.key"
    if not other.exists():
        make_key(other)
    in_step.daemons[1].wait(lambda: str(one.key) in two.conf.read_text(), "the shared key")
    good = two.conf.read_text()
    # By hand: keys in the store are the same for all nodes.
    two.conf.write_text(good.replace(str(one.key), str(other)))
    (one.html / "secret.html").write_text("for hosts with the key")
    done = one.job()
    assert done.returncode == 1
    assert f"{two.name} refuses: " in done.stderr
    assert two.read("secret.html") == ""
    for key in (one.key, other):
        assert key.read_text().strip() not in done.stdout + done.stderr
    two.conf.write_text(good)
    assert one.job().returncode == 0
    assert two.read("secret.html") == "for hosts with the key"


BAD = {
    "missing-key": ({}, "settings", "key does not exist: /csync2/web-data-dir/settings"),
    "relative-include": (
        {"include/html": "srv/html"},
        "",
        "/csync2/web-data-dir/include/html: what is included must be an absolute path",
    ),
    "generations-out-of-range": (
        {"settings": '{"key_file": "KEY", "backup_directory": "KEY", "backup_generations": 101}'},
        "",
        "/csync2/web-data-dir/settings: backup_generations must be a whole number from 1 to 100",
    ),
    "unknown-way-of-resolving": (
        {"settings": '{"key_file": "KEY", "auto": "newest"}'},
        "",
        "/csync2/web-data-dir/settings: auto must be one of none, first, younger",
    ),
    "duplicated-host": (
        {
            "settings": '{"key_file": "KEY", "service": "www"}',
            "/nginx/www/upstream/TWO": '{"addr": "TWO:80"}',
        },
        "",
        "/nginx/www/upstream/TWO: duplicated host: /csync2/web-data-dir/hosts/TWO is the same",
    ),
    "no-key-file": (
        {"settings": '{"key_file": "KEY.none"}'},
        "",
        rf"CONF:\d+: Config error: Can't read keyfile {VALUE_OF_SETTINGS}",
    ),
    "no-folder-for-backups": (
        {"settings": '{"key_file": "KEY", "backup_directory": "KEY.d"}'},
        "",
        rf"CONF:\d+: there is no folder {VALUE_OF_SETTINGS}: csync2 does not make it",
    ),
}


@pytest.mark.parametrize(("put", "gone", "says"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_and_the_last_good_file_serves(
    cluster: Cluster, put: Mapping[str, str], gone: str, says: str
) -> None:
    """The key is named in the log, or the line of the file; files go on being pushed."""
    one, two, _ = cluster.nodes

    def filled(text: str) -> str:
        return text.replace("TWO", two.name).replace("KEY", str(one.key))

    before, daemon = one.conf.read_text(), cluster.daemons[0]
    said = len(daemon.log)
    keys = [(k if k.startswith("/") else f"{GROUP}/{k}", v) for k, v in put.items()]
    keys = [(filled(key), filled(value)) for key, value in keys]
    cluster.etcd.txn(keys, [f"{GROUP}/{gone}"] if gone else [])
    pattern = filled(says).replace("CONF", re.escape(str(one.conf)))
    daemon.wait(lambda: re.search(pattern, daemon.log[said:]), pattern)
    assert one.conf.read_text() == before
    (one.html / "still.html").write_text(says)
    assert one.job().returncode == 0
    assert two.read("still.html") == says


def test_an_include_through_a_symbolic_link_is_refused(cluster: Cluster) -> None:
    """csync2 would take it and find nothing."""
    one, *_ = cluster.nodes
    (one.site / "link").unlink(missing_ok=True)
    (one.site / "link").symlink_to(one.html)
    cluster.put(f"{GROUP}/include/link", "%site%/link")
    cluster.daemons[0].wait_log(f"goes through a symbolic link; name {one.html}")


def test_a_node_that_is_in_no_group_says_so(cluster: Cluster) -> None:
    """The third node, until it is added."""
    three = cluster.nodes[2]
    what = f"this node, {three.name}, is a host of no group: put /csync2/GROUP/hosts/{three.name}"
    cluster.daemons[2].wait_log(what)


def test_without_csync2_there_is_no_verdict_and_nothing_is_written(
    cluster: Cluster, tmp_path: Path
) -> None:
    """The program is not installed."""
    assert csync2_program()
    node = Node(tmp_path, cluster.nodes[1].name, cluster.nodes[1].port, cluster.etcd)
    script = node.confdir.folder / "scripts" / "csync2-check"
    text = script.read_text().replace("/usr/local/sbin:/usr/sbin:/sbin", "/no/such/folder")
    script.write_text(text)
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("env", "python3", "sh"):
        (bare / name).symlink_to(f"/usr/bin/{name}")
    done = node.confdir.once(environ={"PATH": str(bare)})
    assert done.returncode == 1
    assert "csync2: not found; apt-get install csync2" in done.stderr
    assert not node.conf.exists()
    assert not node.cron.exists()
