"""Three daemons with three nginx on one etcd: settings go from node to node, members at once."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemons.etcd import PrivateEtcd
from tests.support.daemons.live_nginx import LiveNginx
from tests.support.pyconfd import Confdir, Daemon
from tests.support.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.integration

NODES = ("web1", "web2", "web3")
TEMPLATE = """\
# members: {{ getvs("/app/members/*") | join(" ") }}
client_header_timeout {{ getv("/app/settings/timeout") }};
"""
ROLLOUT = """\
[service.edge]
reload_cmd = "@RELOAD@"
on_reload_failure = "revert"

[service.edge.rollout]
keys = ["/app/settings"]
canary = ["web2"]
"""


@dataclass
class Fleet:
    """The nodes by name: their confdirs, and the daemons that run."""

    etcd: PrivateEtcd
    confdirs: dict[str, Confdir]
    nginx: dict[str, LiveNginx]
    stack: contextlib.ExitStack
    daemons: dict[str, Daemon]

    def start(self, name: str, *more: str) -> Daemon:
        options = ("--node", self.etcd.endpoint, "--fleet", "edges", "--node-name", name)
        running = self.confdirs[name].daemon(*options, *more, watch="--interval" not in more)
        self.daemons[name] = self.stack.enter_context(running)
        return self.daemons[name]

    def file(self, name: str) -> str:
        path = self.nginx[name].sites / "edge.conf"
        return path.read_text() if path.exists() else ""

    def timeouts(self) -> list[str]:
        """What each node's file says, in order of name."""
        return [self.file(name).partition("timeout ")[2].rstrip(";\n") for name in NODES]

    def wait(self, timeouts: list[str], timeout_s: float = PATIENCE_S) -> None:
        wait_until(
            lambda: self.timeouts() == timeouts,
            timeout_s,
            lambda: "\n".join([str(self.timeouts()), *self.logs()]),
        )

    def logs(self) -> list[str]:
        return [f"--- {name}\n{daemon.log}" for name, daemon in self.daemons.items()]

    def record(self, name: str) -> dict[str, object]:
        found = json.loads(self.etcd.get(f"/pyconfd/fleets/edges/nodes/{name}") or b"{}")
        assert isinstance(found, dict)
        return found


@pytest.fixture
def fleet(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    yield from fleets(tmp_path, getattr(request, "param", ROLLOUT))


def fleets(
    tmp_path: Path,
    text: str,
    *,
    prepare: Callable[[PrivateEtcd], None] = lambda _: None,
    options: Sequence[str] = (),
    own: Mapping[str, Sequence[str]] = {},
    template: str = TEMPLATE,
    arrange: Callable[[LiveNginx], None] = lambda _: None,
) -> Iterator[Fleet]:
    """
    Three nodes that run. text: the service. prepare, arrange: what is done to etcd and to each
    nginx before. own: further options, by node.
    """
    with contextlib.ExitStack() as stack:
        etcd = stack.enter_context(PrivateEtcd(tmp_path))
        etcd.put("/app/settings/timeout", "10s")
        etcd.put("/app/members/a", "10.0.0.1")
        prepare(etcd)
        made = Fleet(etcd, {}, {}, stack, {})
        for name in NODES:
            confdir = made.confdirs[name] = Confdir(tmp_path / name)
            nginx = made.nginx[name] = LiveNginx(tmp_path / f"{name}-nginx")
            confdir.template("edge.j2", template)
            arrange(nginx)
            judged = "".join(
                line for line in nginx.toml.splitlines(True) if not line.startswith("reload_cmd")
            )
            confdir.resource(
                "edge",
                f'[template]\nsrc = "edge.j2"\ndest = "{nginx.sites}/edge.conf"\n'
                f'keys = ["/app"]\nservice = "edge"\n{judged}',
            )
            confdir.resource("service", text.replace("@RELOAD@", nginx.reload_command))
            stack.enter_context(nginx.running())
        for name in NODES:
            made.start(name, *options, *own.get(name, ()))
        made.wait(["10s"] * 3)
        yield made


def test_settings_go_from_the_canary_to_the_others_and_members_to_all_at_once(
    fleet: Fleet,
) -> None:
    """One after the other; a member that comes meanwhile waits for no turn."""
    fleet.etcd.put("/app/settings/timeout", "20s")
    fleet.wait(["20s"] * 3)
    first = [fleet.daemons[name].log.count("its turn: the new") for name in NODES]
    assert first == [1, 1, 1]
    began = {
        name: min(_at(line) for line in fleet.daemons[name].log.splitlines() if "its turn:" in line)
        for name in NODES
    }
    assert min(began, key=lambda name: began[name]) == "web2"


def test_a_share_of_the_nodes_takes_its_turns_at_once(tmp_path: Path) -> None:
    """Two of three; a node that reads etcd at intervals takes part; `fleet --watch` shows it."""
    text = ROLLOUT.replace('canary = ["web2"]', 'max_parallel = "67%"\npause = "60s"')
    for fleet in fleets(tmp_path, text, own={"web3": ("--interval", "0.5s")}):
        two_at_once(fleet, tmp_path / "screen")


def two_at_once(fleet: Fleet, screen: Path) -> None:
    with watching(fleet, screen):
        fleet.etcd.put("/app/settings/timeout", "20s")
        wait_until(lambda: fleet.timeouts().count("20s") == 2, what=fleet.logs)
        waits = r"^web\d +asking .* waits for web\d, web\d$"
        wait_until(lambda: re.search(waits, screen.read_text(), re.M), what=screen.read_text)
    assert sorted(fleet.timeouts()) == ["10s", "20s", "20s"]


@contextlib.contextmanager
def watching(fleet: Fleet, screen: Path) -> Iterator[None]:
    """`pyconfd fleet --watch`, which writes there; Ctrl-C ends it."""
    argv = [sys.executable, "-m", "pyconfd", "fleet", "edges", "--watch"]
    with screen.open("wb") as stream:
        process = subprocess.Popen([*argv, "--node", fleet.etcd.endpoint], stdout=stream)
    try:
        wait_until(lambda: "settled" in screen.read_text(), what="its first page")
        yield
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130


def test_a_bad_version_stops_at_the_canary_and_is_taken_back(fleet: Fleet) -> None:
    """Its words are on every node, members still come, and the next version goes to all."""
    bad = fleet.etcd.put("/app/settings/timeout", "many")
    for name in NODES:
        fleet.daemons[name].wait_log("a change of gated keys is held", count=1)
    wait_until(lambda: "invalid value" in str(fleet.record("web1")), what="nginx's words")
    assert fleet.timeouts() == ["10s"] * 3
    fleet.etcd.put("/app/members/b", "10.0.0.2")
    wait_until(lambda: all("10.0.0.2" in fleet.file(name) for name in NODES))
    assert fleet.timeouts() == ["10s"] * 3
    page = command(fleet, "explain", "edge", *fleet.confdirs["web1"].argv()[3:]).stdout
    assert re.search("below /app/settings as of revision [0-9]+\n", page), page
    assert not re.search(f"timeout +revision {bad}", page)
    fleet.etcd.put("/app/settings/timeout", "30s")
    fleet.wait(["30s"] * 3)


def _at(line: str) -> str:
    return line.split()[0]


@pytest.mark.parametrize("fleet", [ROLLOUT + 'pause = "60s"\n'], indirect=True)
def test_a_node_that_dies_in_its_turn_stops_its_version_and_frees_the_turn(fleet: Fleet) -> None:
    """The next version goes on without it; back again it takes part."""
    fleet.etcd.put("/app/settings/timeout", "20s")
    fleet.wait(["10s", "20s", "10s"])
    fleet.daemons["web2"].process.kill()
    fleet.daemons["web2"].process.wait()
    for name in ("web1", "web3"):
        fleet.daemons[name].wait_log("web2 went away in its turn")
    assert fleet.timeouts() == ["10s", "20s", "10s"]
    again = fleet.start("web2")
    again.wait_log("fleet: this node takes part")
    wait_until(lambda: "waits for canary" in str(fleet.record("web1")), what="not halted any more")
    assert fleet.timeouts() == ["10s", "20s", "10s"]


def test_a_node_that_restarts_keeps_what_it_used(fleet: Fleet) -> None:
    """And a new one starts with what most use, not with what is newest."""
    fleet.etcd.put("/app/settings/timeout", "many")
    wait_until(lambda: "invalid value" in str(fleet.record("web1")), what="halted")
    fleet.daemons["web1"].end()
    fleet.daemons["web3"].end()
    shutil.rmtree(fleet.confdirs["web3"].folder / "state")
    for name in ("web1", "web3"):
        (fleet.nginx[name].sites / "edge.conf").unlink()
        fleet.start(name)
    fleet.wait(["10s"] * 3)


def test_a_second_node_of_a_name_is_refused(fleet: Fleet, tmp_path: Path) -> None:
    """Both say so, and the first goes on."""
    other = Confdir(tmp_path / "other")
    dest = other.simple("app", "/app/settings")
    options = ("--node", fleet.etcd.endpoint, "--fleet", "edges", "--node-name", "web1")
    with other.daemon(*options) as second:
        second.wait_log("another node of this fleet is called web1")
        fleet.daemons["web1"].wait_log("another daemon has this node's name and is refused")
        fleet.etcd.put("/app/settings/timeout", "20s")
        fleet.wait(["20s"] * 3)
        second.wait_file(dest, "/app/settings/timeout=20s\n")
    fleet.daemons["web1"].wait_log("no other daemon has this node's name any more")


def test_while_etcd_is_away_no_turn_begins(fleet: Fleet) -> None:
    """Afterwards all goes on."""
    fleet.etcd.freeze()
    time.sleep(1.0)
    fleet.etcd.thaw()
    fleet.etcd.put("/app/settings/timeout", "20s")
    fleet.wait(["20s"] * 3)


def test_without_rights_on_the_fleets_keys_changes_are_held(tmp_path: Path) -> None:
    """It says so, and members come all the same."""
    with PrivateEtcd(tmp_path) as etcd:
        etcd.put("/app/settings/timeout", "10s")
        etcd.put("/app/members/a", "1")
        etcd.enable_auth()
        etcd.add_user("edge", "pw", prefixes=["/app"])
        confdir = Confdir(tmp_path / "web1")
        confdir.template("edge.j2", TEMPLATE)
        confdir.resource("edge", '[template]\nsrc = "edge.j2"\ndest = "@OUT@/edge.conf"\n'
                         'keys = ["/app"]\nservice = "edge"\n')  # fmt: skip
        confdir.resource("service", ROLLOUT.replace("@RELOAD@", "true"))
        options = ("--node", etcd.endpoint, "--fleet", "edges", "--node-name", "web1")
        with confdir.daemon(*options, "--username", "edge", "--password", "pw") as daemon:
            dest = confdir.out / "edge.conf"
            text = "# members: {}\nclient_header_timeout 10s;\n"
            daemon.wait_file(dest, text.format("1"))
            etcd.put("/app/settings/timeout", "20s")
            etcd.put("/app/members/b", "2")
            daemon.wait_file(dest, text.format("1 2"))
            daemon.wait_log("has no permission on /pyconfd/fleets/edges")
            daemon.wait_log("changes of gated keys are held")


def test_a_rollout_without_a_fleet_is_an_error(tmp_path: Path) -> None:
    """With file and line; nothing is changed on all nodes at once."""
    confdir = Confdir(tmp_path)
    confdir.simple(service='"edge"')
    confdir.resource("service", ROLLOUT.replace("@RELOAD@", "true").replace("/settings", ""))
    done = subprocess.run(confdir.argv("--watch"), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "service.toml:5: service edge has a rollout, and no fleet is named" in done.stderr


def command(fleet: Fleet, *words: str) -> subprocess.CompletedProcess[str]:
    """`pyconfd ...` on the fleet's etcd."""
    argv = [sys.executable, "-m", "pyconfd", *words, "--node", fleet.etcd.endpoint]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def shown(fleet: Fleet) -> dict[str, Any]:
    """What `pyconfd fleet edges --json` prints."""
    found = json.loads(command(fleet, "fleet", "edges", "--json").stdout)
    assert isinstance(found, dict)
    return found


def states(fleet: Fleet) -> list[str]:
    (rollout,) = shown(fleet)["rollouts"]
    return [one["state"] for one in rollout["nodes"]]


def test_an_operator_sees_halts_and_lets_go_on(fleet: Fleet) -> None:
    """halt, resume, promote, skip; each is kept with who gave it, where and when."""
    assert command(fleet, "fleet", "halt", "--fleet", "edges").stdout == "edge: no turn begins\n"
    fleet.etcd.put("/app/settings/timeout", "20s")
    for name in NODES:
        fleet.daemons[name].wait_log("halted by")
    assert fleet.timeouts() == ["10s"] * 3
    table = command(fleet, "fleet", "edges").stdout
    assert "change the keys, or: pyconfd fleet resume" in table
    assert command(fleet, "fleet", "resume", "--fleet", "edges").returncode == 0
    fleet.wait(["20s"] * 3)
    fleet.daemons["web2"].end()
    fleet.etcd.put("/app/settings/timeout", "30s")
    for name in ("web1", "web3"):
        fleet.daemons[name].wait_log("waits for canary web2, which is not there")
    assert fleet.timeouts() == ["20s"] * 3
    assert command(fleet, "fleet", "skip", "web2", "--fleet", "edges").returncode == 0
    fleet.wait(["30s", "20s", "30s"])
    fleet.etcd.put("/app/settings/timeout", "40s")
    wait_until(lambda: states(fleet) == ["asking", "asking"], what="they wait for web2")
    assert command(fleet, "fleet", "promote", "--fleet", "edges").returncode == 0
    fleet.wait(["40s", "20s", "40s"])
    orders = shown(fleet)["orders"]
    assert [one["do"] for one in orders] == ["halt", "resume", "skip", "promote"]
    assert all(one["by"] and one["where"] and one["at"] for one in orders)
    nothing = command(fleet, "fleet", "resume", "--fleet", "other")
    assert (nothing.returncode, "nothing is halted" in nothing.stderr) == (1, True)


def test_a_refused_version_is_tried_again_when_somebody_says_so(fleet: Fleet) -> None:
    """The reason was on the node, and has been mended."""
    broken = fleet.nginx["web2"].sites / "other.conf"
    broken.write_text("client_header_timeout 5s;\n")  # a duplicate of what is to come
    fleet.etcd.put("/app/settings/timeout", "20s")
    wait_until(lambda: "duplicate" in str(fleet.record("web1")), what="halted everywhere")
    assert "duplicate" in command(fleet, "fleet", "edges").stdout
    broken.unlink()
    assert command(fleet, "fleet", "resume", "--fleet", "edges").returncode == 0
    fleet.wait(["20s"] * 3)


def test_a_pin_takes_the_fleet_back_in_turn_until_it_is_unpinned(fleet: Fleet) -> None:
    """Status says so as long as it lasts; members still come."""
    before = fleet.etcd.revision
    fleet.etcd.put("/app/settings/timeout", "20s")
    fleet.wait(["20s"] * 3)
    words = ("pin", "edge", "--revision", str(before), "--fleet", "edges")
    here = ("--confdir", str(fleet.confdirs["web1"].folder))
    done = command(fleet, *words, *here)
    assert done.returncode == 0, done.stderr
    fleet.wait(["10s"] * 3)
    log = fleet.daemons["web2"].log
    assert log.count("its turn: the new") == 2
    fleet.daemons["web3"].wait_log(f"pinned at revision {before}")
    fleet.etcd.put("/app/members/b", "10.0.0.2")
    wait_until(lambda: all("10.0.0.2" in fleet.file(name) for name in NODES))
    assert fleet.timeouts() == ["10s"] * 3
    fleet.etcd.put("/app/settings/timeout", "30s")
    assert f"pinned at revision {before}" in command(fleet, "fleet", "edges").stdout
    fleet.etcd.compact(fleet.etcd.revision)
    replaced(fleet, "web3").wait_log("this node has no files until its turn")
    wait_until(lambda: "which etcd no longer has" in str(fleet.record("web3")), what="why")
    fleet.daemons["web1"].end()
    fleet.start("web1").wait_log("fleet: this node takes part")
    assert fleet.timeouts() == ["10s", "10s", ""]
    assert command(fleet, "unpin", "edge", "--fleet", "edges", *here).returncode == 0
    fleet.wait(["30s"] * 3)


def test_one_node_is_pinned_at_once(fleet: Fleet) -> None:
    """It keeps that over a restart, and takes part again afterwards."""
    before = fleet.etcd.revision
    fleet.etcd.put("/app/settings/timeout", "20s")
    fleet.wait(["20s"] * 3)
    here = fleet.confdirs["web3"].argv()[3:]
    pin = ("pin", "edge", "--revision", str(before), *here)
    # The file is there a moment before its turn is over.
    wait_until(lambda: command(fleet, *pin).returncode == 0, what="pinned")
    fleet.wait(["20s", "20s", "10s"])
    fleet.daemons["web3"].end()
    fleet.start("web3").wait_log(f"pinned at revision {before}")
    fleet.etcd.put("/app/settings/timeout", "30s")
    fleet.wait(["30s", "30s", "10s"])
    assert command(fleet, "unpin", "edge", *here).returncode == 0
    fleet.wait(["30s"] * 3)


def test_a_reload_that_fails_halts_too_and_is_tried_again_on_resume(
    tmp_path: Path,
) -> None:
    """Also when the node has put the version in quarantine."""
    refuse = tmp_path / "refuse"
    new = f"grep -q 20s {tmp_path}/web*-nginx/sites/edge.conf"
    text = ROLLOUT.replace(
        '"@RELOAD@"', f'"if test -e {refuse} && {new}; then exit 1; fi; @RELOAD@"'
    )
    for fleet in fleets(tmp_path, text):
        for name in NODES:
            fleet.daemons[name].wait_log("reloaded")
        refuse.touch()
        fleet.etcd.put("/app/settings/timeout", "20s")
        resumes(fleet, refuse)


def resumes(fleet: Fleet, refuse: Path) -> None:
    """Halted everywhere; once the reason is gone and somebody says so, it goes on."""
    wait_until(lambda: "did not take the new version" in str(fleet.record("web3")), what="halted")
    wait_until(lambda: fleet.timeouts() == ["10s"] * 3, what="taken back")
    wait_until(lambda: states(fleet) == ["asking"] * 3, what="all ask")
    refuse.unlink()
    assert command(fleet, "fleet", "resume", "--fleet", "edges").returncode == 0
    fleet.wait(["20s"] * 3)
    shows = ("fleet", "edges")
    wait_until(lambda: "halted" not in command(fleet, *shows).stdout, what="no halt is shown")


@pytest.mark.parametrize("fleet", [ROLLOUT + 'pause = "3s"\n'], indirect=True)
def test_a_node_that_loses_its_lease_in_its_turn_ends_it_when_it_is_back(fleet: Fleet) -> None:
    """Until then its version goes no further; the pause of the others is not cut short."""
    fleet.etcd.put("/app/settings/timeout", "20s")
    fleet.wait(["10s", "20s", "10s"])
    fleet.daemons["web2"].signal(signal.SIGSTOP)
    fleet.daemons["web1"].wait_log("web2 went away in its turn")
    fleet.daemons["web2"].signal(signal.SIGCONT)
    fleet.wait(["20s"] * 3)
    assert shown(fleet)["rollouts"][0]["halts"] == []


def test_a_node_that_loses_its_rights_leaves_the_queue(tmp_path: Path) -> None:
    """The others go on without waiting for it."""

    def prepare(etcd: PrivateEtcd) -> None:
        etcd.enable_auth()
        etcd.add_user("edge", "pw", prefixes=["/app/", "/pyconfd/fleets/edges/"])
        etcd.add_user("guest", "pw", prefixes=["/app/"])

    options = ("--username", "edge", "--password", "pw")
    text = ROLLOUT.replace('canary = ["web2"]', "")
    for fleet in fleets(tmp_path, text, prepare=prepare, options=options):
        fleet.daemons["web1"].end()
        fleet.start("web1", "--username", "guest", "--password", "pw")
        fleet.daemons["web1"].wait_log("has no permission on /pyconfd/fleets/edges")
        fleet.etcd.put("/app/settings/timeout", "20s")
        fleet.wait(["10s", "20s", "20s"])
        assert fleet.daemons["web1"].log.count("changes of gated keys are held") == 1


def test_verify_cmd_must_succeed_within_the_pause(tmp_path: Path) -> None:
    """It is tried again until then; when it does not, the version is taken back and stops."""
    well = tmp_path / "well"
    text = f'{ROLLOUT}pause = "5s"\nverify_cmd = "test -e {well}"\n'
    for fleet in fleets(tmp_path, text):
        fleet.etcd.put("/app/settings/timeout", "20s")
        fleet.daemons["web1"].wait_log("verify_cmd: exit status 1")
        fleet.wait(["10s"] * 3)
        fleet.etcd.put("/app/settings/timeout", "30s")
        fleet.wait(["10s", "30s", "10s"])
        well.touch()
        fleet.wait(["30s"] * 3)


def test_a_one_shot_run_takes_no_turn(fleet: Fleet) -> None:
    """Neither does a preview: both use what the daemon keeps, and the newest members."""
    fleet.etcd.put("/app/settings/timeout", "many")
    wait_until(lambda: "invalid value" in str(fleet.record("web1")), what="halted")
    fleet.daemons["web1"].end()
    fleet.etcd.put("/app/members/b", "10.0.0.2")
    confdir = fleet.confdirs["web1"]
    node = ("--node", fleet.etcd.endpoint)
    argv = confdir.argv("--noop", "--diff", *node)
    preview = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert "+# members: 10.0.0.1 10.0.0.2\n" in preview.stdout, preview.stderr
    assert "many" not in preview.stdout
    assert confdir.once(*node).returncode == 0
    assert fleet.file("web1") == "# members: 10.0.0.1 10.0.0.2\nclient_header_timeout 10s;\n"


def test_a_new_node_starts_with_what_the_others_use_for_as_long_as_etcd_has_it(
    fleet: Fleet,
) -> None:
    """Also when their revision was compacted; else it says so, and has no file until its turn."""
    bad = fleet.etcd.put("/app/settings/timeout", "many")
    wait_until(lambda: "invalid value" in str(fleet.record("web1")), what="halted")
    fleet.etcd.compact(bad - 1)
    replaced(fleet, "web3")
    fleet.wait(["10s"] * 3)
    fleet.etcd.compact(fleet.etcd.revision)
    again = replaced(fleet, "web3")
    again.wait_log("has no files until its turn, or until: pyconfd pin edge --revision N")
    again.wait_log("a change of gated keys is held")
    assert fleet.file("web3") == ""
    fleet.etcd.put("/app/settings/timeout", "30s")
    fleet.wait(["30s"] * 3)


def replaced(fleet: Fleet, name: str) -> Daemon:
    """A new machine of that name: without files, and without what the former one remembered."""
    fleet.daemons[name].end()
    shutil.rmtree(fleet.confdirs[name].folder / "state")
    (fleet.nginx[name].sites / "edge.conf").unlink(missing_ok=True)
    return fleet.start(name)
