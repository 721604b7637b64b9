"""Fragments, groups and patterns on a running nginx, as an operator sees them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemons.etcd import PrivateEtcd
from tests.support.daemons.live_nginx import LiveNginx
from tests.support.pyconfd import Confdir, save
from tests.support.waiting import Stopwatch, wait_until

pytestmark = pytest.mark.integration

# A site that says its text. `extra` is a raw place: whatever stands there is the operator's word.
SITE = """\
server {
    listen 127.0.0.1:@PORT@;
    server_name @NAME@;
    {% set _ = getv("@PATH@/note", "") %}
    location / { return 200 {{ getv("@PATH@/text") | quoted }}; }
    {{ getv("@PATH@/extra", "") | raw }}
}
"""


class Edge:
    """A running nginx, and a confdir with keys in a file."""

    def __init__(self, folder: Path, nginx: LiveNginx) -> None:
        self.nginx = nginx
        self.store = folder / "keys.json"
        self.confdir = Confdir(folder / "confdir", "--backend", "file", "--file", str(self.store))

    def keys(self, **keys: object) -> None:
        """What the store holds from now on."""
        save(self.store, json.dumps(keys))

    def resource(self, name: str, template: str, more: str = "", dest: str = "") -> Path:
        """A resource that is judged by nginx and written to sites/NAME.conf."""
        path = self.nginx.sites / (dest or f"{name}.conf")
        text = template.replace("@PORT@", str(self.nginx.port)).replace("@NAME@", name)
        self.confdir.template(f"{name}.j2", text.replace("@PATH@", f"/{name}"))
        toml = f'[template]\nsrc = "{name}.j2"\ndest = "{path}"\nkeys = ["/{name}"]\n{more}\n'
        self.confdir.resource(name, toml)
        return path

    def site(self, name: str, more: str = "") -> Path:
        """A resource of its own with one site."""
        return self.resource(name, SITE, self.nginx.toml + more)

    def once(self, *, fails: bool = False) -> str:
        """Run --onetime; what it said."""
        done = self.confdir.once()
        assert done.returncode == (1 if fails else 0), done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[LiveNginx]:
    with LiveNginx(tmp_path / "nginx").running() as running:
        yield running


@pytest.fixture
def edge(tmp_path: Path, nginx: LiveNginx) -> Edge:
    return Edge(tmp_path, nginx)


def reloads(log: str) -> int:
    """How often the log says that nginx was told and believed."""
    return log.count("reloaded ")


def test_a_good_fragment_goes_live_and_is_served(edge: Edge) -> None:
    """The file is there, nginx has reloaded, and a second run has nothing to do."""
    dest = edge.site("a")
    edge.keys(a={"text": "one"})
    assert reloads(edge.once()) == 1
    assert "return 200" in dest.read_text()
    edge.nginx.wait_answer("a", "one")
    assert reloads(edge.once()) == 0


def test_a_bad_fragment_is_refused_in_the_words_of_nginx(edge: Edge) -> None:
    """The words name the real file and line; the live file and the workers stay."""
    dest = edge.site("a")
    edge.keys(a={"text": "one"})
    edge.once()
    edge.nginx.wait_answer("a", "one")
    wait_until(lambda: len(edge.nginx.workers()) == 2, what="the old workers to leave")
    before, workers = dest.read_bytes(), edge.nginx.workers()
    edge.keys(a={"text": "two", "extra": "no_such_thing on;"})
    said = edge.once(fails=True)
    assert f'unknown directive "no_such_thing" in {dest}:5' in said
    assert dest.read_bytes() == before
    assert edge.nginx.workers() == workers
    assert edge.nginx.ask("a") == "one"
    assert [each.name for each in edge.nginx.sites.iterdir()] == ["a.conf"]
    assert list(edge.nginx.folder.glob(".*")) == []


def test_one_bad_resource_does_not_hold_up_the_others(edge: Edge) -> None:
    """Three are due together: the first and the last go live with one reload."""
    for name in "abc":
        edge.site(name)
    edge.keys(a={"text": "1"}, b={"text": "1", "extra": "no_such_thing on;"}, c={"text": "1"})
    said = edge.once(fails=True)
    assert reloads(said) == 1
    edge.nginx.wait_answer("a", "1")
    edge.nginx.wait_answer("c", "1")
    assert not (edge.nginx.sites / "b.conf").exists()
    assert edge.nginx.test() == ""


def test_one_bad_group_does_not_hold_up_another(edge: Edge) -> None:
    """The good group goes live whole; nothing of the bad one does, good member included."""
    for name in "abcd":
        edge.resource(name, SITE)
    for group, members in (("first", '"a", "b"'), ("second", '"c", "d"')):
        edge.confdir.resource(group, f"[group.{group}]\nresources = [{members}]\n{edge.nginx.toml}")
    good = {"text": "1"}
    edge.keys(a=good, b={**good, "extra": "no_such_thing on;"}, c=good, d=good)
    said = edge.once(fails=True)
    assert {path.name for path in edge.nginx.sites.iterdir()} == {"c.conf", "d.conf"}
    assert reloads(said) == 1
    edge.nginx.wait_answer("d", "1")
    assert "not done, because b of the same group failed" in said


def test_files_that_are_valid_only_together_go_live_in_one_swap_and_one_reload(edge: Edge) -> None:
    """A zone and its use get a new name: no order of single files would have passed."""
    zone = "limit_conn_zone $binary_remote_addr zone={{ getv('/zone/name') }}:64k;\n"
    use = "limit_conn {{ getv('/use/name') }} 100;\n"
    files = [edge.resource("zone", zone), edge.resource("use", use)]
    members = 'resources = ["zone", "use"]'
    edge.confdir.resource("web", f"[group.web]\n{members}\n{edge.nginx.toml}")
    for name in ("one", "two"):
        edge.keys(zone={"name": name}, use={"name": name})
        assert reloads(edge.once()) == 1
        assert all(name in path.read_text() for path in files)
    edge.keys(zone={"name": "three"}, use={"name": "other"})
    assert 'zero size shared memory zone "other"' in edge.once(fails=True)
    assert all("two" in path.read_text() for path in files)


def test_files_appear_and_disappear_with_their_keys(edge: Edge) -> None:
    """One resource, a file for each name; what is gone is gone from nginx too."""
    site = SITE.replace("@PATH@", "/s/{{ name }}").replace('"/s/{{ name }}', '"/s/" ~ name ~ "')
    edge.resource("s", site.replace("@NAME@", "{{ name }}"), _each(edge), "{name}.conf")
    edge.keys(s={"x": {"text": "1"}, "y": {"text": "2"}})
    edge.once()
    edge.nginx.wait_answer("x", "1")
    edge.nginx.wait_answer("y", "2")
    edge.keys(s={"y": {"text": "2"}, "z": {"text": "3"}})
    said = edge.once()
    assert {path.name for path in edge.nginx.sites.iterdir()} == {"y.conf", "z.conf"}
    edge.nginx.wait_answer("z", "3")
    assert reloads(said) == 1
    assert "removed" in said
    assert "removed: " not in said
    assert not any(line.startswith("error") for line in said.splitlines())


def _each(edge: Edge) -> str:
    """The keys of a resource with a file for each name below /s."""
    return f'each = "/s"\n{edge.nginx.toml}'


COMMENT = "# {{ getv('/s/' ~ name) | nospace }}\n"


def test_a_file_that_something_else_still_needs_is_not_removed(edge: Edge) -> None:
    """nginx would refuse to start without it: it stays, and the message says who needs it."""
    edge.resource("s", COMMENT, _each(edge), "{name}.conf")
    edge.keys(s={"x": "1", "y": "2"})
    edge.once()
    needs = edge.nginx.sites / "0-needs.conf"
    needs.write_text(f"include {edge.nginx.sites}/x.conf;\n")
    edge.keys(s={"y": "3"})
    said = edge.once(fails=True)
    assert (edge.nginx.sites / "x.conf").exists()
    assert f"{needs}:1" in said
    assert (edge.nginx.sites / "y.conf").read_text() == "# 3\n"
    needs.unlink()
    edge.once()
    assert not (edge.nginx.sites / "x.conf").exists()


def test_a_file_goes_in_the_same_judgement_as_the_one_that_takes_its_place(edge: Edge) -> None:
    """Two default servers are refused; none of the two changes would do without the other."""
    site = (
        "server {\n    listen 127.0.0.1:@PORT@ {{ getv('/s/' ~ name) | raw }};\n"
        "    return 200 {{ name | quoted }};\n}\n"
    )
    edge.resource("s", site, _each(edge), "{name}.conf")
    edge.keys(s={"x": "default_server", "y": "", "u": "", "v": ""})
    edge.once()
    edge.nginx.wait_answer("nobody", "x")
    edge.keys(s={"y": "default_server", "u": "", "v": ""})
    assert reloads(edge.once()) == 1
    edge.nginx.wait_answer("nobody", "y")
    edge.keys(s={"y": "default_server"})
    assert reloads(edge.once()) == 1, "several that only go"
    assert [path.name for path in edge.nginx.sites.iterdir()] == ["y.conf"]
    edge.nginx.wait_answer("nobody", "y")


@pytest.mark.parametrize(
    "name",
    ["..", ".hidden", "n" * 300, "a\nb", "a\x00b", "\x7f", "."],
    ids=["parent", "hidden", "long", "line-break", "nul", "delete", "dot"],
)
def test_a_hostile_name_is_refused_and_the_others_are_done(edge: Edge, name: str) -> None:
    """The key is named, its file is not made, its neighbours are."""
    edge.resource("s", COMMENT, _each(edge), "{name}.conf")
    edge.keys(s={name: "1", "good": "2"})
    said = edge.once(fails=True)
    assert {path.name for path in edge.nginx.sites.iterdir()} == {"good.conf"}
    assert repr(f"/s/{name}") in said
    assert {path.name for path in edge.nginx.folder.iterdir()} == {
        "run", "log", "sites", "nginx.conf"
    }  # fmt: skip


# What needs time: a daemon on etcd.


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEtcd]:
    with PrivateEtcd(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture
def watched(tmp_path: Path, nginx: LiveNginx, etcd: PrivateEtcd) -> Iterator[Edge]:
    """An edge that follows etcd."""
    edge = Edge(tmp_path, nginx)
    edge.confdir = Confdir(tmp_path / "confdir", "--node", etcd.endpoint, "--resync", "1")
    yield edge
    etcd.delete("/", prefix=True)


@pytest.fixture
def busy() -> Iterator[int]:
    """A port that another process holds."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


LISTEN = "listen 127.0.0.1:{};"


def test_a_reload_that_the_master_refuses_is_owed_until_it_is_taken(
    watched: Edge, etcd: PrivateEtcd
) -> None:
    """`nginx -t` and the reload command succeed; the error log says no. The port gets free."""
    edge = watched
    dest = edge.site("a")
    etcd.put("/a/text", "one")
    with edge.confdir.daemon() as daemon, socket.socket() as other:
        edge.nginx.wait_answer("a", "one")
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        etcd.txn([("/a/text", "two"), ("/a/extra", LISTEN.format(port))])
        daemon.wait_log("reload failed and stays pending")
        assert "Address already in use" in daemon.log
        assert str(port) in dest.read_text(), "the new file is kept"
        assert edge.nginx.ask("a") == "one", "the old workers go on"
        other.close()
        edge.nginx.wait_answer("a", "two")
        wait_until(lambda: reloads(daemon.log) == 2)


def test_a_reload_that_is_owed_survives_a_kill(watched: Edge, etcd: PrivateEtcd) -> None:
    """The next run tells nginx, though no file differs."""
    edge = watched
    edge.site("a")
    etcd.put("/a/text", "one")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        extra = LISTEN.format(other.getsockname()[1])
        with edge.confdir.daemon() as daemon:
            edge.nginx.wait_answer("a", "one")
            etcd.txn([("/a/text", "two"), ("/a/extra", extra)])
            daemon.wait_log("reload failed and stays pending")
            daemon.process.kill()
    said = edge.confdir.once()
    assert said.returncode == 0, said.stderr
    assert reloads(said.stderr) == 1
    edge.nginx.wait_answer("a", "two")


def test_revert_puts_the_old_file_back_and_does_not_try_that_version_again(
    watched: Edge, etcd: PrivateEtcd, busy: int
) -> None:
    """Until the key changes: then the new version is tried, and goes live."""
    edge = watched
    dest = edge.site("a", 'on_reload_failure = "revert"\n')
    etcd.put("/a/text", "one")
    with edge.confdir.daemon() as daemon:
        edge.nginx.wait_answer("a", "one")
        good = dest.read_bytes()
        etcd.txn([("/a/text", "two"), ("/a/extra", LISTEN.format(busy))])
        daemon.wait_log("the version before it is live again")
        assert dest.read_bytes() == good
        daemon.wait(lambda: reloads(daemon.log) == 2, "the old version told, and believed")
        etcd.put("/a/note", "the template looks at this, and makes the same version")
        daemon.wait_log("this very version was put live before")
        assert dest.read_bytes() == good
        assert reloads(daemon.log) == 2
        assert "is pending" not in daemon.log
        etcd.txn([("/a/text", "three")], ["/a/extra"])
        edge.nginx.wait_answer("a", "three")
    assert edge.nginx.test() == ""
    assert [each.name for each in edge.nginx.sites.iterdir()] == ["a.conf"]


def test_a_removal_that_was_put_back_with_its_neighbour_is_done_without_it(
    watched: Edge, etcd: PrivateEtcd, busy: int
) -> None:
    """A file goes while another resource is refused: both are back, and only that one stays so."""
    edge = watched
    template = "# {{ getv('/s/' ~ name) | nospace }}\n"
    more = f'{_each(edge)}on_reload_failure = "revert"\n'
    edge.resource("s", template, more, "{name}.conf")
    site = edge.site("a", 'on_reload_failure = "revert"\n')
    etcd.txn([("/a/text", "one"), ("/s/x", "1"), ("/s/y", "1")])
    with edge.confdir.daemon() as daemon:
        edge.nginx.wait_answer("a", "one")
        good, gone = site.read_bytes(), edge.nginx.sites / "x.conf"
        etcd.txn([("/a/extra", LISTEN.format(busy))], ["/s/x"])
        daemon.wait_log("the service refused several groups together")
        daemon.wait_log("the version before it is live again")
        assert site.read_bytes() == good
        assert not gone.exists()
        etcd.put("/s/y", "2")
        daemon.wait_file(edge.nginx.sites / "y.conf", "# 2\n")
        assert site.read_bytes() == good


def test_what_nobody_was_told_of_is_not_reverted(watched: Edge, etcd: PrivateEtcd) -> None:
    """nginx does not run: it reads the new file when it comes back, and needs no reload then."""
    edge = watched
    dest = edge.site("a", 'on_reload_failure = "revert"\n')
    etcd.put("/a/text", "one")
    with edge.confdir.daemon() as daemon:
        edge.nginx.wait_answer("a", "one")
        assert edge.nginx.process is not None
        edge.nginx.process.terminate()
        edge.nginx.process.wait(60)
        etcd.put("/a/text", "two")
        daemon.wait(lambda: '"two"' in dest.read_text(), "the new file")
        daemon.wait_log("nginx does not run")
        with edge.nginx.running():
            edge.nginx.wait_answer("a", "two")
            etcd.put("/a/text", "three")
            edge.nginx.wait_answer("a", "three")
            assert "reload failed" not in daemon.log


def test_an_emptied_prefix_is_held_until_somebody_lets_it_through(
    watched: Edge, etcd: PrivateEtcd
) -> None:
    """The last good file stays; `pyconfd release` says that it is meant."""
    edge = watched
    names = "{% for key in ls('/a') %}\n# {{ key }}\n{% endfor %}\n"
    dest = edge.resource("a", names, edge.nginx.toml)
    etcd.put("/a/one", "1")
    etcd.put("/a/two", "2")
    with edge.confdir.daemon() as daemon:
        daemon.wait_file(dest, "# one\n# two\n")
        etcd.delete("/a/", prefix=True)
        daemon.wait_log("all 2 keys are gone")
        assert dest.read_text() == "# one\n# two\n"
        folder = str(edge.confdir.folder)
        argv = [sys.executable, "-m", "pyconfd", "release", "a", "--confdir", folder]
        argv += ["--state-dir", f"{folder}/state"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        daemon.wait_file(dest, "")


def test_a_reload_that_comes_too_soon_is_postponed_and_paid(
    watched: Edge, etcd: PrivateEtcd
) -> None:
    """Ten changes within the least interval: each is in the file at once, two reloads in all."""
    edge = watched
    dest = edge.site("a", 'min_reload_interval = "2s"\n')
    etcd.put("/a/text", "0")
    with edge.confdir.daemon() as daemon:
        took = Stopwatch()
        edge.nginx.wait_answer("a", "0")
        daemon.wait_log("reloaded ")
        for number in range(1, 11):
            etcd.put("/a/text", str(number))
            daemon.wait(lambda n=number: f'"{n}"' in dest.read_text(), f"version {number}")
        # One, unless the machine is so slow that the interval was over meanwhile.
        assert reloads(daemon.log) <= 1 + took.wall_s // 2
        edge.nginx.wait_answer("a", "10")
        daemon.wait(lambda: reloads(daemon.log) >= 2, "the postponed reload")
        assert reloads(daemon.log) <= 2 + took.wall_s // 2
