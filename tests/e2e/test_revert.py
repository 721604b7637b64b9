"""A service that refuses its new files, with on_reload_failure = "revert", on a running nginx."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.test_groups import LISTEN, Edge, reloads
from tests.support.daemons.live_nginx import LiveNginx
from tests.support.pyconfd import Confdir, Daemon
from tests.support.steps import strays_in
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

REVERT = 'on_reload_failure = "revert"\n'


class Slow(LiveNginx):
    """nginx with a reload command that can be held up: while `hold` exists, it tells nobody."""

    @property
    def reload_command(self) -> str:
        """One line of a shell, which says that it has begun."""
        real = super().reload_command
        return f"if [ -e {self.folder}/hold ]; then : >{self.folder}/held; sleep 60; fi; {real}"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Reload commands begin and do not end."""
        (self.folder / "hold").touch()
        yield
        (self.folder / "hold").unlink()
        (self.folder / "held").unlink()

    def wait_held(self) -> None:
        """Until a reload command has begun."""
        wait_until((self.folder / "held").exists)


def kill(daemon: Daemon) -> None:
    """SIGKILL to it and to the commands that it runs."""
    commands = psutil.Process(daemon.process.pid).children(recursive=True)
    daemon.process.kill()
    for command in commands:
        with contextlib.suppress(psutil.NoSuchProcess):
            command.kill()
    daemon.process.wait()
    wait_until(lambda: not any(map(runs, commands)))


def runs(process: psutil.Process) -> bool:
    """Whether it can still do something."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    """An edge whose keys are a file, read anew when it changes."""
    with Slow(tmp_path / "nginx").running() as nginx:
        edge = Edge(tmp_path, nginx)
        arguments = ("--backend", "file", "--file", str(edge.store), "--resync", "1")
        edge.confdir = Confdir(tmp_path / "confdir", *arguments)
        yield edge


@pytest.fixture
def busy() -> Iterator[str]:
    """A directive that nginx -t takes and the running nginx does not: a port of another process."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield LISTEN.format(other.getsockname()[1])


def journal(edge: Edge) -> str:
    """What the journal holds."""
    (path,) = (edge.confdir.folder / "state").rglob("journal")
    return path.read_text()


def nothing_else(edge: Edge, *names: str) -> None:
    """These files and no others beside the configuration, and nothing owed."""
    assert sorted(path.name for path in edge.nginx.sites.iterdir()) == sorted(names)
    assert strays_in(edge.nginx.folder) == []
    assert journal(edge) == ""


def killed_before_the_verdict(edge: Edge, slow: Slow, **keys: object) -> None:
    """A daemon takes these keys, swaps, begins to tell nginx, and is killed."""
    with edge.confdir.daemon() as daemon, slow.held():
        daemon.wait_log("listed the store")
        edge.keys(**keys)
        daemon.wait(lambda: (slow.folder / "held").exists(), "a reload command that has begun")
        kill(daemon)


@pytest.mark.parametrize("again", ["daemon", "onetime"])
def test_the_old_version_outlives_a_kill_between_swap_and_verdict(
    edge: Edge, busy: str, again: str
) -> None:
    """The next run tells nginx, hears the refusal, and puts the old version back."""
    slow = edge.nginx
    assert isinstance(slow, Slow)
    dest = edge.site("a", REVERT)
    edge.keys(a={"text": "one"})
    edge.once()
    edge.nginx.wait_answer("a", "one")
    good = dest.read_bytes()
    killed_before_the_verdict(edge, slow, a={"text": "two", "extra": busy})
    assert dest.read_bytes() != good
    if again == "daemon":
        with edge.confdir.daemon() as daemon:
            daemon.wait_log("the version before it is live again")
            daemon.wait(lambda: reloads(daemon.log) == 1, "the old version told, and believed")
    else:
        assert "the version before it is live again" in edge.once(fails=True)
    assert dest.read_bytes() == good
    nothing_else(edge, "a.conf")
    assert edge.nginx.ask("a") == "one"


def test_after_a_kill_a_good_version_stays_and_the_old_one_goes(edge: Edge) -> None:
    """The verdict is yes: nothing is put back, nothing is left lying about."""
    slow = edge.nginx
    assert isinstance(slow, Slow)
    edge.site("a", REVERT)
    edge.keys(a={"text": "one"})
    edge.once()
    killed_before_the_verdict(edge, slow, a={"text": "two"})
    assert strays_in(edge.nginx.sites) != []
    assert reloads(edge.once()) == 1
    edge.nginx.wait_answer("a", "two")
    nothing_else(edge, "a.conf")


def test_after_a_kill_and_a_newer_version_it_is_the_running_one_that_comes_back(
    edge: Edge, busy: str
) -> None:
    """Neither the version that nobody was told of, nor the one that was refused."""
    slow = edge.nginx
    assert isinstance(slow, Slow)
    dest = edge.site("a", REVERT)
    edge.keys(a={"text": "one"})
    edge.once()
    good = dest.read_bytes()
    killed_before_the_verdict(edge, slow, a={"text": "two", "extra": busy})
    edge.keys(a={"text": "three", "extra": busy})
    assert "the version before it is live again" in edge.once(fails=True)
    assert dest.read_bytes() == good
    nothing_else(edge, "a.conf")


def test_one_tenants_refused_port_does_not_hold_up_the_others(edge: Edge, busy: str) -> None:
    """Five change at once, nginx refuses the reload: four are served, one has its old file."""
    dests = {name: edge.site(name, REVERT) for name in "abcde"}
    edge.keys(**{name: {"text": "one"} for name in dests})
    edge.once()
    for name in dests:
        edge.nginx.wait_answer(name, "one")
    edge.keys(**{name: {"text": "two", "extra": busy * (name == "d")} for name in dests})
    said = edge.once(fails=True)
    assert "the service refused several groups together" in said
    assert said.count("the version before it is live again") == 1
    for name in dests:
        edge.nginx.wait_answer(name, "one" if name == "d" else "two")
    nothing_else(edge, *(f"{name}.conf" for name in dests))
    assert edge.nginx.test() == ""


def test_a_refused_version_waits_over_restarts_until_somebody_lets_it_go(edge: Edge) -> None:
    """Nothing is told while it is the same; explain says since when and why, release ends it."""
    dest = edge.site("a", REVERT)
    edge.keys(a={"text": "one"})
    edge.once()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        edge.keys(a={"text": "two", "extra": LISTEN.format(other.getsockname()[1])})
        assert "nginx did not take the new configuration" in edge.once(fails=True)
    said = edge.once(fails=True)
    assert reloads(said) == 0
    assert "this very version was put live before" in said
    edge.resource("other", "# nothing\n")
    assert edge.confdir.once("--resource", "other").returncode == 0, "it knows nothing of the rest"
    (edge.nginx.sites / "other.conf").unlink()
    (edge.confdir.folder / "conf.d" / "other.toml").unlink()
    noop = edge.confdir.once("--noop")
    assert "this very version was put live before" in noop.stderr
    assert "would change" not in noop.stderr
    with edge.confdir.daemon() as daemon:
        daemon.wait_log("this very version was put live before")
        told = ask(edge, "explain")
        assert "state     reverted since 20" in told
        assert "quarantine since 20" in told
        assert "Address already in use" in told
        assert "pyconfd release a" in told
        assert '"one"' in dest.read_text()
        assert "1 reverted" in ask(edge, "status", "")
        assert "released: a" in ask(edge, "release")
        edge.nginx.wait_answer("a", "two")
        daemon.wait(lambda: "state     fine" in ask(edge, "explain"), "a fine state")
        assert "quarantine" not in ask(edge, "explain")
        assert "last: passed 20" in ask(edge, "explain")
    nothing_else(edge, "a.conf")


def ask(edge: Edge, command: str, name: str = "a") -> str:
    """What a command says of the running daemon."""
    folder = str(edge.confdir.folder)
    argv = [sys.executable, "-m", "pyconfd", command, *([name] if name else [])]
    argv += ["--confdir", folder, "--state-dir", f"{folder}/state"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("line", "before", "after", "words"),
    [
        ("limit_req_zone @VALUE@ zone=z:64k rate=1r/s;", "$uri", "$host", "previously it used"),
        ("proxy_cache_path @FOLDER@/@VALUE@ keys_zone=z:64k;", "one", "two", "previously it used"),
    ],
    ids=["zone key", "cache path"],
)
def test_what_nginx_t_cannot_see_is_refused_by_the_running_one(
    edge: Edge, line: str, before: str, after: str, words: str
) -> None:
    """`nginx -t` and the reload command both say yes; the old version is live again."""
    folder = edge.nginx.folder / "run"
    text = line.replace("@FOLDER@", str(folder)).replace("@VALUE@", "{{ getv('/z/v') | raw }}")
    dest = edge.resource("z", f"{text}\n", edge.nginx.toml + REVERT)
    edge.keys(z={"v": before})
    edge.once()
    good = dest.read_text()
    edge.keys(z={"v": after})
    said = edge.once(fails=True)
    assert words in said
    assert dest.read_text() == good
    nothing_else(edge, "z.conf")
