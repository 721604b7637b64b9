"""The recipe apache-vhost on a real Apache: hosts from keys, values of a node, what is refused."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyconfd.config.shipped import RECIPES
from tests.support.daemons.apache import INCLUDES, PrivateApache, apache_program
from tests.support.daemons.etcd import PrivateEtcd, free_ports
from tests.support.http import ask
from tests.support.pyconfd import Confdir, Daemon
from tests.support.recipes import keys_of, laid_out, put_keys
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

CHECK = f"{RECIPES}/apache-vhost/scripts/apache-check"
BASE = "/apache/vhosts"
WWW, IMG = "www.site-static.com", "img.site-static.com"


@dataclass
class World:
    """Everything of one run. port: where the second host listens."""

    etcd: PrivateEtcd
    apache: PrivateApache
    confdir: Confdir
    daemon: Daemon
    port: int

    def dest(self, host: str) -> Path:
        return self.apache.folder / "sites-enabled" / f"pyconfd-vhost-{host}.conf"

    def serves(self) -> bool:
        """Both hosts answer with their own content."""
        www = self.apache.ask("/", WWW).body
        return www == "content of www" and ask(self.port, "/", IMG).body == "content of img"


def lay_out(apache: PrivateApache, port: int, folder: Path, **more: str) -> Confdir:
    """The recipe for this Apache; on the node srv2."""
    words = {
        **apache.words(free_ports(1)[0]),
        '/listen": "80"': f'/listen": "{apache.address}"',
        '/listen": "8080"': f'/listen": "127.0.0.1:{port}"',
        "192.168.1.110": "127.0.0.1",
        **more,
    }
    confdir = laid_out("apache-vhost", folder, words, "--node-name", "srv2")
    for host in (WWW, IMG):
        page = apache.folder / "www" / host / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(f"content of {host.split('.')[0]}")
    return confdir


def put_example(etcd: PrivateEtcd, apache: PrivateApache, confdir: Confdir) -> None:
    etcd.delete(BASE, prefix=True)
    put_keys(etcd, confdir)
    for host in (WWW, IMG):
        etcd.put(f"{BASE}/{host}/document_root", f"{apache.folder}/www/{host}")


def from_file(apache: PrivateApache, confdir: Confdir, **more: str) -> list[str]:
    """Options that read the example from a file; more: fields of the first host."""
    keys = {**keys_of(confdir), **{f"{BASE}/{WWW}/{name}": text for name, text in more.items()}}
    for host in (WWW, IMG):
        keys[f"{BASE}/{host}/document_root"] = f"{apache.folder}/www/{host}"
    path = confdir.folder / "keys.json"
    path.write_text(json.dumps(keys))
    return ["--backend", "file", "--file", str(path)]


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEtcd]:
    with PrivateEtcd(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture(scope="module")
def world(etcd: PrivateEtcd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The example of the recipe, served."""
    folder = tmp_path_factory.mktemp("vhost")
    apache = PrivateApache(folder / "apache2", INCLUDES, modules=["remoteip"])
    port = free_ports(1)[0]
    confdir = lay_out(apache, port, folder)
    put_example(etcd, apache, confdir)
    with apache.running(), confdir.daemon("--node", etcd.endpoint) as daemon:
        made = World(etcd, apache, confdir, daemon, port)
        daemon.wait(made.serves, "both hosts")
        yield made


def test_hosts_names_and_logs(world: World) -> None:
    """Each by its name and port, alias included, with its own logs; node srv2 has its own value."""
    log = world.apache.folder / "log"
    assert world.apache.ask("/", "site-static.com").body == "content of www"
    headers = {"X-Forwarded-For": "203.0.113.9"}
    assert world.apache.ask("/seen", WWW, headers=headers).status == 404

    def seen() -> list[str]:
        lines = (log / f"{WWW}-access.log").read_text().splitlines()
        return [line for line in lines if "/seen" in line]

    # Not the last line: an old process writes those of requests before it when it ends.
    wait_until(seen, what="the request in the log")
    assert seen()[0].startswith("203.0.113.9 ")
    assert (log / "img-access.log").read_text().count(" 200 ") >= 1
    assert "img-srv2-error.log" in world.dest(IMG).read_text()
    assert (log / "img-srv2-error.log").exists()


def test_a_node_has_names_folder_and_logs_of_its_own(world: World) -> None:
    """Beside all of them stand those of another node, which count there alone."""
    own = world.apache.folder / "www" / "own" / "index.html"
    own.parent.mkdir()
    own.write_text("content of srv2")
    log = world.apache.folder / "log" / "own-access.log"
    values = {"server_name": "own.test", "document_root": str(own.parent), "access_log": str(log)}
    puts = [(f"{BASE}/{IMG}/nodes/srv2/{field}", text) for field, text in values.items()]
    puts.append((f"{BASE}/{IMG}/nodes/srv1/document_root", "/elsewhere"))
    world.etcd.txn(puts)
    world.daemon.wait(
        lambda: ask(world.port, "/", "own.test").body == "content of srv2", "its own folder"
    )
    assert "    ServerName own.test\n" in world.dest(IMG).read_text()
    assert "/elsewhere" not in world.dest(IMG).read_text()
    wait_until(lambda: log.exists() and " 200 " in log.read_text(), what="its own log")
    world.etcd.txn(deletes=[key for key, _ in puts])
    world.daemon.wait(world.serves, "both hosts as before")


def test_a_host_comes_and_goes(world: World) -> None:
    """A third one on the port of the second, which is opened once; gone with its last key."""
    new = world.apache.folder / "www" / "new" / "index.html"
    new.parent.mkdir()
    new.write_text("content of new")
    listen = (f"{BASE}/new.example.com/listen", f"127.0.0.1:{world.port}")
    root = (f"{BASE}/new.example.com/document_root", str(new.parent))
    world.etcd.txn([listen, root])

    def said() -> str:
        return ask(world.port, "/", "new.example.com").body

    world.daemon.wait(lambda: said() == "content of new", "the new host")
    assert world.serves()
    world.etcd.delete(f"{BASE}/new.example.com/", prefix=True)
    world.daemon.wait(lambda: said() == "content of img", "the port's first host instead")
    assert not world.dest("new.example.com").exists()
    assert world.serves()


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("document_root", None, f"{BASE}/{IMG}/document_root is missing"),
        ("listen", "70000", f"{BASE}/{IMG}/listen must be ports from 1 to 65535"),
        ("server_name", WWW, "answer to one name on one port"),
        ("log_level", "loud", f"{BASE}/{IMG}/log_level must be of emerg"),
        ("docroot", "/srv", f"unknown key {BASE}/{IMG}/docroot; known are"),
        ("access_log", "@LOG@/no/x.log", f"'(the value of {BASE}/{IMG}/access_log)' defined at"),
        ("access_log", "/etc/cron.d/x", f"value of {BASE}/{IMG}/access_log is not a path below"),
        ("nodes/srv2/error_log", "/etc/x", "nodes/srv2/error_log is not a path below"),
        ("document_root", "/", f"{BASE}/{IMG}/document_root is not a path below"),
        ("document_root", "@OUT@", f"{BASE}/{IMG}/document_root leads through a link out of"),
        ("listen", "@TAKEN@", "port @TAKEN@ cannot be opened: Address already in use"),
        ("listen", "192.0.2.1:@PORT@", "cannot be opened: Cannot assign requested address"),
    ],
    ids=[
        "missing",
        "range",
        "duplicate",
        "unknown",
        "slip",
        "apache",
        "cron",
        "node",
        "root",
        "link",
        "taken-port",
        "address",
    ],
)
def test_a_bad_value_is_refused_and_all_hosts_stay(
    world: World, key: str, value: str | None, says: str
) -> None:
    """By the name of its key, or in Apache's words with file and line; the other host goes on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for name, what in (
            ("@TAKEN@", f"127.0.0.1:{taken.getsockname()[1]}"),
            ("@PORT@", str(free_ports(1)[0])),
            ("@DEST@", str(world.dest(IMG))),
            ("@LOG@", str(world.apache.folder / "log")),
            ("@OUT@", str(link_out(world))),
        ):
            value, says = value and value.replace(name, what), says.replace(name, what)
        before, own = world.dest(IMG).read_bytes(), f"{BASE}/{IMG}/{key}"
        kept, seen = world.etcd.get(own), len(world.daemon.log)
        # Only with the same port are two of one name a fault; each by itself would go live.
        more = [(f"{BASE}/{IMG}/listen", world.apache.address)] if key == "server_name" else []
        if value is None:
            world.etcd.delete(own)
        else:
            world.etcd.txn([*more, (own, value)])
        world.daemon.wait(lambda: says in world.daemon.log[seen:], f"refusal {says!r}")
        assert world.dest(IMG).read_bytes() == before
        assert world.serves()
        assert key == "server_name" or WWW not in world.daemon.log[seen:]
        assert world.apache.test() == ""
        world.etcd.txn([(f"{BASE}/{IMG}/listen", f"127.0.0.1:{world.port}")])
        if kept is None:
            world.etcd.delete(own)
        elif key != "listen":
            world.etcd.put(own, kept)
    # The other host is not held up, and the faulty one is not held for good.
    user = key.rpartition("/")[2]
    world.etcd.put(f"{BASE}/{IMG}/server_admin", f"{user}@example.com")
    world.daemon.wait(lambda: f"{user}@" in world.dest(IMG).read_text(), "the mended host")


def link_out(world: World) -> Path:
    """A link below the folder that may be served, to one that may not."""
    link = world.apache.folder / "www" / "out"
    if not link.is_symlink():
        link.symlink_to("/etc")
    return link


def test_one_bad_host_does_not_hold_up_the_others(world: World) -> None:
    """A file for each host: while one is refused, another changes."""
    world.etcd.put(f"{BASE}/{IMG}/log_level", "loud")
    world.etcd.put(f"{BASE}/{WWW}/server_alias", "site-static.com also.example.com")
    world.daemon.wait(
        lambda: "also.example.com" in world.dest(WWW).read_text(), "the change of the good host"
    )
    assert world.serves()
    world.etcd.delete(f"{BASE}/{IMG}/log_level")


def nothing_is_owed(world: World) -> None:
    """All that was put before is live and reloaded: no reload is under way."""
    seen = len(world.daemon.log)
    world.etcd.put(f"{BASE}/{WWW}/server_admin", "still@example.com")
    world.daemon.wait(lambda: "still@" in world.dest(WWW).read_text(), "the last change")

    def reloaded() -> bool:
        said = world.daemon.log[seen:]
        last = said.rfind("updated resource=")
        return f"updated resource=apache-vhosts[{WWW}]" in said and "reloaded" in said[last:]

    world.daemon.wait(reloaded, "the last reload")


def test_apache_that_is_down_has_the_change_when_it_is_back(world: World) -> None:
    """It is never started by a reload; it reads the file when it starts."""
    nothing_is_owed(world)
    world.apache.stop()
    seen = len(world.daemon.log)
    world.etcd.put(f"{BASE}/{WWW}/server_admin", "down@example.com")
    said = ("apache does not run", "apache cannot be asked")  # beside another test's Apache
    world.daemon.wait(lambda: any(one in world.daemon.log[seen:] for one in said), "a word")
    world.daemon.wait(lambda: "down@" in world.dest(WWW).read_text(), "the change")
    assert not world.apache.pid_file.exists()
    world.apache.start()
    world.daemon.wait(world.serves, "the site")


def test_without_apache_there_is_no_verdict(tmp_path: Path) -> None:
    """Its program is not there: said so, and nothing is written."""
    apache = PrivateApache(tmp_path / "apache2", INCLUDES, modules=["remoteip"])
    absent = {"program=apache2": "program=no-such-apache2"}
    confdir = lay_out(apache, free_ports(1)[0], tmp_path, **absent)
    done = confdir.once(*from_file(apache, confdir))
    assert done.returncode == 1
    assert "no verdict: command not found" in done.stderr
    assert list((apache.folder / "sites-enabled").iterdir()) == []


def test_a_reload_that_did_nothing_is_noticed_and_the_old_file_put_back(
    tmp_path: Path,
) -> None:
    """Exit status 0 without a new generation: Apache serves what it did, from the file it has."""
    apache = PrivateApache(tmp_path / "apache2", INCLUDES, modules=["remoteip"])
    lies = {
        "apachectl graceful": "true",
        "on_reload_failure": 'confirm_timeout = "500ms"\non_reload_failure',
    }
    confdir = lay_out(apache, free_ports(1)[0], tmp_path, **lies)
    with apache.running():
        assert confdir.once(*from_file(apache, confdir), "--sync-only").returncode == 0
        apache.graceful()
        before = (apache.folder / "sites-enabled" / f"pyconfd-vhost-{WWW}.conf").read_bytes()
        done = confdir.once(*from_file(apache, confdir, server_admin="never@example.com"))
        assert done.returncode == 1
        assert "no new configuration generation at" in done.stderr
        assert (
            apache.folder / "sites-enabled" / f"pyconfd-vhost-{WWW}.conf"
        ).read_bytes() == before
        assert apache.ask("/", WWW).body == "content of www"


def test_a_port_that_is_taken_after_the_check_ends_apache_and_leaves_it_a_good_file(
    tmp_path: Path,
) -> None:
    """Apache's words are in the log, and it starts again with the last good configuration."""
    apache = PrivateApache(tmp_path / "apache2", INCLUDES, modules=["remoteip"])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        confdir = lay_out(apache, taken.getsockname()[1], tmp_path)
        options = from_file(apache, confdir)
        with apache.running():
            options += ["--command-env", "APACHE_CHECK_PORTS"]
            done = confdir.once(*options, environ={"APACHE_CHECK_PORTS": "no"})
            assert done.returncode == 1
            assert "could not bind to address 127.0.0.1" in done.stderr
            assert not (apache.folder / "sites-enabled" / f"pyconfd-vhost-{IMG}.conf").exists()
            apache.stop()
            apache.start()


# The check by itself: it must judge the staged file and not the live one.


@pytest.fixture
def tree(tmp_path: Path) -> PrivateApache:
    """A configuration with one site that is good."""
    apache = PrivateApache(tmp_path / "apache2", INCLUDES)
    site(apache, "live.conf", "ServerAdmin live@example.com\n")
    return apache


def site(apache: PrivateApache, name: str, text: str) -> Path:
    path = apache.folder / "sites-enabled" / name
    path.write_text(text)
    return path


def judge(apache: PrivateApache, staged: str, dest: str = "live.conf") -> str:
    """What the check says of a staged version; "" when it takes it."""
    path = site(apache, f".{dest}.staged~", staged)
    target = apache.folder / "sites-enabled" / dest
    done = subprocess.run([CHECK, path, target], capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (done.stderr == "")
    return done.stderr.replace(str(apache.folder), "")


def test_canary_the_staged_file_is_judged_and_not_the_live_one(tree: PrivateApache) -> None:
    """A fault in the staged one is seen, with its line; one in the live one is not."""
    good, bad = "ServerAdmin new@example.com\n", "ServerAdmin a@b.c\nNoSuchDirective on\n"
    assert "line 2 of /sites-enabled/.live.conf.staged~: Invalid command" in judge(tree, bad)
    assert judge(tree, good) == ""
    site(tree, "live.conf", bad)
    assert judge(tree, good) == ""
    assert (tree.folder / "sites-enabled" / "live.conf").read_text() == bad
    assert "/sites-enabled/live.conf: Invalid command" in judge(tree, good, "new.conf")


def test_debians_own_layout_is_judged(tmp_path: Path) -> None:
    """With its links, its envvars and the ports that ports.conf has."""
    conf = tmp_path / "apache2"
    shutil.copytree("/etc/apache2", conf, symlinks=True)
    folders = "".join(f"export APACHE_{name}_DIR={tmp_path}\n" for name in ("RUN", "LOG", "LOCK"))
    with (conf / "envvars").open("a") as envvars:
        envvars.write(folders)
    dest, staged = conf / "sites-enabled" / "pyconfd-a.conf", tmp_path / "staged"
    staged.write_text("<VirtualHost *:80>\n    ServerName a\n</VirtualHost>\n")
    done = subprocess.run([CHECK, staged, dest], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    staged.write_text("Listen 80\n")
    done = subprocess.run([CHECK, staged, dest], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"line 1 of {staged}: Cannot define multiple Listeners" in done.stderr


def test_the_layout_of_httpd_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Red Hat has it: conf/httpd.conf, sites in conf.d, and the program's other name."""
    apache, conf = PrivateApache(tmp_path / "debian", ""), tmp_path / "httpd"
    for name in ("conf", "conf.d", "bin"):
        (conf / name).mkdir(parents=True)
    text = apache.conf.read_text().replace(f'ServerRoot "{apache.folder}"', f'ServerRoot "{conf}"')
    (conf / "conf" / "httpd.conf").write_text(f"{text}IncludeOptional conf.d/*.conf\n")
    (conf / "bin" / "httpd").symlink_to(apache_program())
    monkeypatch.setenv("PATH", f"{conf}/bin:{os.environ['PATH']}")
    staged, dest = tmp_path / "staged", conf / "conf.d" / "a.conf"
    for line, says in (
        ("ServerAdmin a@b.c", ""),
        ("Bogus", f"line 1 of {staged}: Invalid command"),
    ):
        staged.write_text(f"{line}\n")
        done = subprocess.run([CHECK, staged, dest], capture_output=True, text=True, check=False)
        assert (done.returncode == 0, says in done.stderr) == (not says, True), done.stderr


def test_what_nothing_includes_is_not_accepted(tree: PrivateApache) -> None:
    """A yes without having read the file is none."""
    assert "nothing that /apache2.conf includes leads to" in judge(tree, "Bogus\n", "x.txt")


def test_includes_with_the_folders_own_name_are_followed(tree: PrivateApache) -> None:
    """In the main file; in others, what they lead to is not accepted instead of not judged."""
    folder = tree.folder
    tree.write(INCLUDES.replace("sites-enabled/", f"{folder}/sites-enabled/"))
    assert judge(tree, "Bogus\n").startswith("AH00526: Syntax error on line 1 of")
    assert judge(tree, "ServerAdmin a@b.c\n") == ""
    (folder / "conf-enabled" / "more.conf").write_text(f"Include {folder}/sites-enabled/*.conf\n")
    tree.write("IncludeOptional conf-enabled/*.conf\n")
    assert "leads to" in judge(tree, "ServerAdmin a@b.c\n")


def test_a_linked_folder_is_refused_and_not_written_through(tree: PrivateApache) -> None:
    """The live file behind it stays."""
    (tree.folder / "sites-enabled").rename(tree.folder / "sites")
    (tree.folder / "sites-enabled").symlink_to("sites")
    assert "is a link to a folder" in judge(tree, "ServerAdmin a@b.c\n")
    assert not (tree.folder / "sites" / "live.conf").is_symlink()


def test_ports_are_tried_once_they_are_new(tree: PrivateApache) -> None:
    """A port of another program is refused; one of this configuration, open already, is not."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"Listen 127.0.0.1:{taken.getsockname()[1]}\n"
        assert ".live.conf.staged~:1: port 127.0.0.1" in judge(tree, listen)
        site(tree, "live.conf", listen)
        assert judge(tree, listen) == ""


def host(name: str, alias: str = "") -> str:
    more = f"    ServerAlias {alias}\n" if alias else ""
    return f"<VirtualHost *:8099>\n    ServerName {name}\n{more}</VirtualHost>\n"


def test_a_name_of_another_file_is_not_taken(tree: PrivateApache) -> None:
    """Name or alias, in any case, whichever file comes first; who had it may change his file."""
    site(tree, "m.conf", host("www.example.com", "a.example.com"))
    for claim in (host("WWW.example.com"), host("b", "c A.Example.com"), host("a.example.com")):
        for dest in ("a.conf", "z.conf"):
            said = judge(tree, claim, dest)
            assert "is that of /sites-enabled/m.conf:1 already, on the same address" in said, said
            assert f".{dest}.staged~:2: the name" in said
    assert judge(tree, host("other.example.com"), "a.conf") == ""
    assert judge(tree, host("www.example.com", "new.example.com"), "m.conf") == ""
    assert judge(tree, host("www.example.com").replace("8099", "8098"), "a.conf") == ""
    site(tree, "z.conf", host("www.example.com"))  # as operators have it, from before
    assert judge(tree, host("www.example.com", "new.example.com"), "m.conf") == ""


def test_nothing_is_left_behind(tree: PrivateApache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither after a yes nor after a no."""
    place = tree.folder / "tmp"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    judge(tree, "ServerAdmin a@b.c\n")
    judge(tree, "Bogus\n")
    assert wait_until(lambda: list(place.iterdir()) == [])
