"""Whatever happens to a run, nothing is left but the declared files, and nothing stays owed."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_groups import COMMENT, LISTEN, SITE, Edge
from tests.e2e.test_revert import REVERT, ask, kill
from tests.support.daemons.live_nginx import LiveNginx
from tests.support.daemons.nginx_trees import nginx_binary
from tests.support.pyconfd import Confdir

pytestmark = pytest.mark.integration

OLD = {"text": "old"}
NEW = {"text": "new"}
#: In the two states every kind of change comes between: new, changed, removed, as it was.
BEFORE = {"a": OLD, "b": OLD, "one": OLD, "back": OLD, "s": {"stays": "1", "goes": "1"}}
AFTER = {"a": NEW, "b": NEW, "one": NEW, "back": NEW, "s": {"stays": "2", "comes": "1"}}
FILES = ("a.conf", "b.conf", "one.conf", "back.conf", "s-stays.conf")
CHECK = """\
#!/bin/sh
echo begin >>"$0.log"
while [ -e "$0.hold" ]; do : >"$0.held"; sleep 0.02; done
if [ -e "$0.slow" ]; then sleep 0.3; fi
@REAL@ "$@"
status=$?
echo end >>"$0.log"
exit $status
"""
WAIT = 'while [ -e "$0.hold" ]; do : >"$0.held"; sleep 0.02; done\n'


class Slow(LiveNginx):
    """nginx whose judgement and whose reload can be held up: while NAME.hold exists."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.programs = folder.parent / "programs"
        self.programs.mkdir()
        real = nginx_binary()
        self._program("check", CHECK.replace("@REAL@", real))
        self._program("reload", f"#!/bin/sh\n{WAIT}exec {super().reload_command}\n")

    def _program(self, name: str, text: str) -> None:
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    @property
    def reload_command(self) -> str:
        """The program that can be held up."""
        return str(self.programs / "reload")

    @property
    def toml(self) -> str:
        """With the program that judges in place of nginx."""
        return super().toml.replace(nginx_binary(), str(self.programs / "check"), 1)

    def hold(self, name: str) -> None:
        """From now on it waits."""
        (self.programs / f"{name}.hold").touch()

    def let_go(self, name: str) -> None:
        """It goes on."""
        (self.programs / f"{name}.hold").unlink()

    def is_held(self, name: str) -> bool:
        """Whether one waits."""
        return (self.programs / f"{name}.held").exists()


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Slow]:
    with Slow(tmp_path / "nginx").running() as nginx:
        assert isinstance(nginx, Slow)
        yield nginx


@pytest.fixture
def edge(tmp_path: Path, slow: Slow) -> Edge:
    """A group, a single one, one that is put back when it is refused, and a pattern; all live."""
    edge = Edge(tmp_path, slow)
    arguments = ("--backend", "file", "--file", str(edge.store), "--resync", "1")
    edge.confdir = Confdir(tmp_path / "confdir", *arguments)
    for name in "ab":
        edge.resource(name, SITE)
    edge.confdir.resource("both", f'[group.both]\nresources = ["a", "b"]\n{slow.toml}')
    edge.site("one")
    edge.site("back", REVERT)
    edge.resource("s", COMMENT, f'each = "/s"\n{slow.toml}', "s-{name}.conf")
    edge.keys(**BEFORE)
    edge.once()
    settled(edge, "s-goes.conf")
    return edge


def settled(edge: Edge, *more: str) -> None:
    """These files and no others beside the configuration, no shadow of it, nothing owed."""
    nginx = edge.nginx
    assert {path.name for path in nginx.sites.iterdir()} == {*FILES, *more}
    assert {path.name for path in nginx.folder.iterdir()} == {"run", "log", "sites", "nginx.conf"}
    (journal,) = (edge.confdir.folder / "state").rglob("journal")
    assert journal.read_text() == ""
    shadows = journal.parent / "check"
    assert not shadows.exists() or list(shadows.iterdir()) == []
    assert nginx.test() == ""


def whole(edge: Edge) -> None:
    """Each file is of the old or of the new state, and what was judged together is of one."""
    texts = {name: (edge.nginx.sites / name).read_text() for name in FILES[:4]}
    found = {("old" in text, "new" in text) for text in texts.values()}
    assert found in ({(True, False)}, {(False, True)}), texts


def there(edge: Edge) -> list[str]:
    """Which of the files that come and go there are."""
    names = ("s-comes.conf", "s-goes.conf")
    return [name for name in names if (edge.nginx.sites / name).exists()]


@pytest.mark.parametrize("step", ["check", "reload"])
@pytest.mark.parametrize("how", ["asked", "asked twice", "killed"])
def test_a_run_that_is_ended_at_a_step_leaves_nothing(
    edge: Edge, slow: Slow, how: str, step: str
) -> None:
    """Asked to stop it leaves no stray itself; killed, the next run tidies up. Then all is new."""
    with edge.confdir.daemon() as daemon:
        daemon.wait_log("listed the store")
        slow.hold(step)
        edge.keys(**AFTER)
        daemon.wait(lambda: slow.is_held(step), f"a {step} that waits")
        if how == "killed":
            kill(daemon)
            slow.let_go(step)
        else:
            daemon.signal(signal.SIGTERM)
            daemon.wait_log("stopping")
            if how == "asked":
                slow.let_go(step)
            else:
                daemon.signal(signal.SIGTERM)
            assert daemon.process.wait(120) == 0
            whole(edge)
            if how == "asked":
                settled(edge, *there(edge))
            else:
                slow.let_go(step)
    if (how, step) == ("asked twice", "reload"):
        assert '"new"' in (edge.nginx.sites / "back.conf").read_text(), "nobody has refused it"
    edge.once()
    settled(edge, "s-comes.conf")
    for name in ("a", "b", "one", "back"):
        edge.nginx.wait_answer(name, "new")


def test_refusals_of_all_kinds_leave_nothing(edge: Edge) -> None:
    """By the values, by the template, by nginx, by the running nginx; the old files serve."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        busy = LISTEN.format(other.getsockname()[1])
        edge.keys(
            a={"text": "new\x01"},
            b=NEW,
            one={"text": "new", "extra": "no_such_thing on;"},
            back={"text": "new", "extra": busy},
            s={"stays": "a b", "comes": "1", "..": "1"},
        )
        edge.once(fails=True)
    settled(edge, *there(edge))
    for name in ("a", "b", "one", "back"):
        assert edge.nginx.ask(name) == "old"
    edge.keys(**AFTER)
    edge.once()
    settled(edge, "s-comes.conf")


def test_a_run_of_kills_leaves_nothing(edge: Edge, slow: Slow) -> None:
    """Killed at the check, at the reload, and again while that is still owed."""
    for step, keys in (("check", AFTER), ("reload", AFTER), ("reload", BEFORE), ("check", AFTER)):
        slow.hold(step)
        edge.keys(**keys)
        with edge.confdir.daemon() as daemon:
            daemon.wait(lambda step=step: slow.is_held(step), f"a {step} that waits")
            kill(daemon)
        slow.let_go(step)
        (slow.programs / f"{step}.held").unlink()
    edge.once()
    settled(edge, "s-comes.conf")


def test_a_reload_owed_to_a_deleted_resource_is_said_and_paid_when_it_is_back(
    edge: Edge, slow: Slow
) -> None:
    """Killed before nginx was told, then all of conf.d that had its command is taken away."""
    slow.hold("reload")
    edge.keys(**AFTER)
    with edge.confdir.daemon() as daemon:
        daemon.wait(lambda: slow.is_held("reload"), "a reload that waits")
        kill(daemon)
    slow.let_go("reload")
    conf_d, away = edge.confdir.folder / "conf.d", edge.confdir.folder / "away"
    conf_d.rename(away)
    conf_d.mkdir()
    edge.resource("other", "# nothing\n")
    with edge.confdir.daemon() as daemon:
        daemon.wait_log("no resource has its command any more")
        said = ask(edge, "status", "")
        assert "reload pending, but no resource has its command any more" in said
        assert f"pyconfd release {edge.nginx.sites}/a.conf" in said
        for path in away.iterdir():
            path.rename(conf_d / path.name)
        (conf_d / "other.toml").unlink()
        daemon.signal(signal.SIGHUP)
        for name in ("a", "b", "one", "back"):
            edge.nginx.wait_answer(name, "new")
        daemon.wait(lambda: ask(edge, "status", "").startswith("ok: "), "a status that is well")
    (edge.nginx.sites / "other.conf").unlink()
    settled(edge, "s-comes.conf")


def test_two_services_of_one_nginx_are_judged_one_after_the_other(edge: Edge, slow: Slow) -> None:
    """Each is fine by itself and they clash: whoever comes second is judged with the first live."""
    for name in "xy":
        toml = slow.toml.replace(slow.reload_command, f"true {name}") + "confirm = false\n"
        template = f"limit_conn_zone $binary_remote_addr zone={{{{ getv('/{name}/zone') }}}}:64k;\n"
        edge.resource(name, template, toml)
    edge.keys(**BEFORE, x={"zone": "x1"}, y={"zone": "y1"})
    edge.once()
    (slow.programs / "check.slow").touch()
    with edge.confdir.daemon() as daemon:
        daemon.wait_log("status: ok")
        (slow.programs / "check.log").unlink()
        edge.keys(**BEFORE, x={"zone": "same"}, y={"zone": "same"})
        daemon.wait_log("the check refused the new version")
        live = [(slow.sites / f"{name}.conf").read_text() for name in "xy"]
        assert sum("zone=same" in text for text in live) == 1
        assert slow.test() == ""
    said = (slow.programs / "check.log").read_text().split()
    assert said == ["begin", "end"] * (len(said) // 2), "never two at a time"
