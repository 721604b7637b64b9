"""
The recipe keepalived on real nodes: an address that moves, states in etcd, bad input.

Two nodes, each with nginx, keepalived, `pyconfd --watch` and `pyconfd notify`; the tests share them
and leave them as they found them, with the address on lb1.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.daemons.etcd import frozen
from tests.support.daemons.keepalived import end, why_not
from tests.support.daemons.vrrp_pair import VIP, WEB, Machine, Pair, children, pair_of, signal_to
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "nodes can be had"),
]

# The guide's times are whole seconds; the protocol's third version knows shorter ones. Not too
# short: a machine that is busy for three of them looks like one that has died.
QUICK = {
    'confirm_timeout = "5s"': 'confirm_timeout = "3s"',
    'pause = "10s"': 'pause = "500ms"',
    r"\"auth\": true": r"\"version\": 3, \"advert_int\": 0.3",
    r"\"fall\": 2, \"rise\": 2": r"\"timeout\": 1, \"fall\": 1, \"rise\": 1",
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both nodes, the address on lb1."""
    with pair_of("keepalived", tmp_path_factory.mktemp("pair"), QUICK) as made:
        made.settled("lb1")
        yield made


def test_the_address_is_where_the_priority_is_highest(pair: Pair) -> None:
    """And both nodes say so in etcd, for `pyconfd members` too."""
    assert pair.owners() == ["lb1"]
    argv = [sys.executable, "-m", "pyconfd", "members", "--node", pair.etcd.endpoint]
    argv += ["--key-pattern", "/keepalived/{service}/{id}"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in said.splitlines()]
    assert [row[:5] for row in rows[1:]] == [
        ["VI_1", "lb1", "lb1", "-", "MASTER"],
        ["VI_1", "lb2", "lb2", "-", "BACKUP"],
    ]


def test_a_priority_from_etcd_takes_effect_without_a_flap(pair: Pair) -> None:
    """Every request is answered by the same node while keepalived reads its file again."""
    since, one = pair.state("lb1")["since"], pair.one
    with pair.lan.asking(VIP) as answers:
        for priority in (140, 150):
            pair.put("nodes/lb1", priorities={"VI_1": priority})
            wait_until(lambda p=priority: one.node.priority(one.keepalived) == p, what="it runs")
        seen = len(answers)
        wait_until(lambda: len(answers) > seen + 10, what="more answers")
    assert set(answers) == {"lb1"}
    assert pair.state("lb1")["since"] == since
    assert pair.owners() == ["lb1"]


BAD = {
    "missing-field": ("instances/VI_1", {"vips": ["10.0.0.1"]}, "VI_1: vrid is missing"),
    "no-json": ("instances/VI_1", "51", "VI_1 must be a JSON object"),
    "vrid": ("instances/VI_1", {"vrid": 256, "vips": ["10.0.0.1"]}, "from 1 to 255"),
    "priority": ("nodes/lb1", {"iface": "eth0", "priorities": {"VI_1": 255}}, "from 2 to 254"),
    "state": ("nodes/lb1", {"iface": "eth0", "priorities": {"VI_1": 150}, "state": "up!"},
              "/nodes/lb1: state must be up or standby"),
    "equal": ("nodes/lb2", {"iface": "eth0", "priorities": {"VI_1": 150}}, "is also that of"),
    "weight": ("checks/nginx", {"probe": "http://127.0.0.1/", "weight": -20}, "weight -20 is too"),
    "interface": ("nodes/lb1", {"iface": "eth9", "priorities": {"VI_1": 150}},
                  "keepalived.conf:25 comes from keepalived.conf.j2:"),
    "script": ("checks/nginx", {"script": "gone", "weight": 0}, "gone is no script that can"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_changes_nothing(pair: Pair, name: str) -> None:
    """The file is untouched, the address stays, and the log says which key and why."""
    key, value, says = BAD[name]
    conf = pair.one.node.conf
    before, good = conf.stat(), pair.etcd.get(f"{WEB}/{key}")
    said = len(pair.one.watch.log)
    pair.etcd.put(f"{WEB}/{key}", value if isinstance(value, str) else json.dumps(value))
    try:
        pair.one.watch.wait(lambda: says in pair.one.watch.log[said:], says)
        assert (conf.stat().st_ino, conf.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        assert pair.lan.ask(VIP) == "lb1"
        assert pair.owners() == ["lb1"]
    finally:
        pair.etcd.put(f"{WEB}/{key}", good or b"")


def test_a_missing_key_changes_nothing(pair: Pair) -> None:
    """The instance that the nodes speak of has gone."""
    good = pair.etcd.get(f"{WEB}/instances/VI_1")
    said = len(pair.one.watch.log)
    pair.etcd.delete(f"{WEB}/instances/VI_1")
    try:
        words = "priorities names VI_1, but there is no /vrrp/web/instances/VI_1"
        pair.one.watch.wait(lambda: words in pair.one.watch.log[said:], words)
        assert pair.owners() == ["lb1"]
    finally:
        pair.etcd.put(f"{WEB}/instances/VI_1", good or b"")


def test_a_reload_that_is_not_confirmed_is_taken_back(pair: Pair) -> None:
    """keepalived hangs; what it runs with is on the disk again, and the address stays."""
    one = pair.one
    before, said = one.node.conf.read_bytes(), len(one.watch.log)
    one.keepalived.signal(signal.SIGSTOP)
    try:
        pair.put("nodes/lb1", priorities={"VI_1": 140})
        words = "keepalived did not remove /run/keepalived.reload"
        one.watch.wait(lambda: words in one.watch.log[said:], words)
        wait_until(lambda: one.node.conf.read_bytes() == before, what="the file of before")
        assert pair.owners() == ["lb1"]
    finally:
        one.keepalived.signal(signal.SIGCONT)
    pair.put("nodes/lb1", priorities={"VI_1": 145})
    wait_until(lambda: one.node.priority(one.keepalived) == 145, what="the next change")
    pair.put("nodes/lb1", priorities={"VI_1": 150})
    wait_until(lambda: one.node.priority(one.keepalived) == 150, what="the priority of before")


def test_nginx_that_hangs_loses_the_address_and_gets_it_back(pair: Pair) -> None:
    """It accepts and never answers; its pid file is as it was. keepalived itself runs on."""
    group = children(pair.one.nginx)
    for pid in group:
        signal_to(pid, signal.SIGSTOP)
    try:
        pair.settled("lb2")
        wait_until(lambda: pair.state("lb1")["priority"] == 150 - 60, what="its priority")
    finally:
        for pid in group:
            signal_to(pid, signal.SIGCONT)
    pair.settled("lb1")


def test_a_check_without_a_weight_is_fault(pair: Pair) -> None:
    """However far the priorities are from each other. Checks go from node to node."""
    good = pair.etcd.get(f"{WEB}/checks/nginx") or b""
    logs = [(machine.watch, len(machine.watch.log)) for machine in (pair.one, pair.two)]
    pair.put("checks/nginx", weight=0)
    for watch, at in logs:  # one after the other
        watch.wait(lambda watch=watch, at=at: "its turn is over" in watch.log[at:], "its turn")
    assert "weight 0" in pair.one.node.conf.read_text()
    end(pair.one.nginx)
    pair.settled("lb2")
    assert pair.state("lb1")["state"] == "FAULT"
    pair.one.nginx = pair.one.node.nginx()
    pair.settled("lb1")
    pair.etcd.put(f"{WEB}/checks/nginx", good)
    pair.one.watch.wait(lambda: "weight -60" in pair.one.node.conf.read_text(), "the old file")


def test_standby_moves_the_address_by_a_put(pair: Pair) -> None:
    """For maintenance; the node's keepalived and nginx run on."""
    pair.put("nodes/lb1", state="standby")
    pair.settled("lb2")
    pair.put("nodes/lb1", state="up")
    pair.settled("lb1")


def test_a_script_of_an_instance_is_run_by_keepalived_itself(pair: Pair) -> None:
    """A file of the node that a key names; while it is not there the key is refused."""
    good, one = pair.etcd.get(f"{WEB}/instances/VI_1") or b"", pair.one
    before, said = one.node.conf.read_bytes(), len(one.watch.log)
    pair.put("instances/VI_1", notify="tell")
    one.watch.wait(
        lambda: "/tell is no script that can be run" in one.watch.log[said:], "the refusal"
    )
    assert one.node.conf.read_bytes() == before
    for machine in (pair.two, one):
        record = machine.node.folder / "notified"
        script = machine.node.scripts / "tell"
        script.write_text(f'#!/bin/sh\necho "$@" >>{record}\n')
        script.chmod(0o755)
    pair.put("instances/VI_1", notify="tell", advert_int=0.31)  # a version that was not judged yet
    for machine in (pair.two, one):
        machine.watch.wait(lambda m=machine: "/tell" in m.node.conf.read_text(), "the script")  # type: ignore[misc]
    pair.put("nodes/lb1", state="standby")
    pair.settled("lb2")
    wait_until(lambda: "INSTANCE VI_1 MASTER" in _notified(pair.two), what="it was run on lb2")
    wait_until(lambda: "INSTANCE VI_1 BACKUP" in _notified(one), what="it was run on lb1")
    pair.put("nodes/lb1", state="up")
    pair.settled("lb1")
    pair.etcd.put(f"{WEB}/instances/VI_1", good)
    one.watch.wait(lambda: "/tell" not in one.node.conf.read_text(), "the file of before")


def _notified(machine: Machine) -> str:
    record = machine.node.folder / "notified"
    return record.read_text() if record.exists() else ""


def test_a_store_that_is_away_holds_up_neither_keepalived_nor_hooks(pair: Pair) -> None:
    """The address moves in time, hooks run, and the newest state is delivered afterwards."""
    (pair.one.hooks / "hangs").write_text("#!/bin/sh\nsleep 60\n")
    (pair.one.hooks / "hangs").chmod(0o755)
    told = len(pair.one.told())
    try:
        with frozen(pair.etcd):
            end(pair.one.nginx)
            wait_until(lambda: pair.owners() == ["lb2"], what="the address on lb2")
            wait_until(lambda: len(pair.one.told()) > told, what="the hook")
            pair.one.nginx = pair.one.node.nginx()
            wait_until(lambda: pair.owners() == ["lb1"], what="the address on lb1")
            wait_until(lambda: len(pair.one.told()) > told + 1, what="the hook")
        pair.settled("lb1")
    finally:
        (pair.one.hooks / "hangs").unlink()
    assert [line.split()[:7] for line in pair.one.told()[told:]] == [
        ["INSTANCE", "VI_1", "BACKUP", "90", "was", "MASTER", "on"],
        ["INSTANCE", "VI_1", "MASTER", "150", "was", "BACKUP", "on"],
    ]
    assert pair.state("lb1")["was"] == "BACKUP"
    pair.one.notify.wait_log("timed out after 0.5 s hook=hangs")


def test_keepalived_that_stops_gives_the_address_away(pair: Pair) -> None:
    """It says STOP, and takes the address back when it starts again."""
    end(pair.one.keepalived)
    pair.settled("lb2")
    assert pair.state("lb1")["state"] == "STOP"
    pair.one.keepalived = pair.one.node.keepalived()
    pair.settled("lb1")


def test_keepalived_that_is_killed_is_lost(pair: Pair) -> None:
    """The kernel keeps the address on its interface: two nodes have it, and etcd says why."""
    parent, *others = children(pair.one.keepalived)
    signal_to(parent, signal.SIGSTOP)  # it would start another one, or end it in peace
    for pid in (*others, parent):
        signal_to(pid, signal.SIGKILL)
    pair.one.keepalived.process.wait()
    wait_until(lambda: pair.owners() == ["lb1", "lb2"], what="both")
    wait_until(lambda: pair.state("lb1").get("state") == "LOST", what="LOST")
    assert pair.state("lb2")["state"] == "MASTER"
    pair.one.keepalived = pair.one.node.keepalived()
    pair.settled("lb1")


def test_a_listener_that_is_killed_knows_the_states_when_it_is_back(pair: Pair) -> None:
    """keepalived repeats nothing; without its lease the state of a dead node vanishes."""
    before = pair.state("lb2")
    wait_until(lambda: pair.two.told()[-1].split()[2] == before["state"], what="the last hook")
    told = len(pair.two.told())
    pair.two.notify.process.kill()
    pair.two.notify.process.wait()
    wait_until(lambda: not pair.state("lb2"), what="the key's end")
    pair.two.notify = pair.two.listen(pair.etcd)
    wait_until(lambda: pair.state("lb2") == before, what="the state of before")
    assert len(pair.two.told()) == told


def test_a_listener_that_starts_after_keepalived_has_its_states(pair: Pair) -> None:
    """Where its folder is there, keepalived makes the pipe, which keeps what it reports."""
    end(pair.two.notify, pair.two.keepalived)
    wait_until(lambda: not pair.state("lb2"), what="the key's end")
    pipe = pair.two.node.run / "pyconfd-notify"
    for path in pipe.iterdir():
        path.unlink()
    pair.two.keepalived = pair.two.node.keepalived()
    pair.two.keepalived.wait_log("Entering BACKUP STATE")
    assert [path.name for path in pipe.iterdir()] == ["keepalived"]
    pair.two.notify = pair.two.listen(pair.etcd)
    wait_until(lambda: pair.state("lb2").get("state") == "BACKUP", what="its state")
