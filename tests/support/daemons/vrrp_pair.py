"""
Two nodes with everything of a recipe of keepalived: nginx, keepalived, `pyconfd --watch` and
`pyconfd notify` on each, and the store they share.

    with pair_of("keepalived", folder, {"old": "new"}) as pair:
        pair.put("nodes/lb1", state="standby"); pair.settled("lb2")
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.daemons.etcd import PrivateEtcd
from tests.support.daemons.keepalived import Lan, Node, end
from tests.support.pyconfd import Daemon
from tests.support.recipes import keys_of
from tests.support.waiting import wait_until

#: The last number of the example's address.
VIP = 100
WEB = "/vrrp/web"
NAMES = {"lb1": 11, "lb2": 12}
RECORD = """\
#!/bin/sh
echo "$@ was $EVENT_WAS on $EVENT_NODE $EVENT_JSON" >>{told}
"""


@dataclass
class Machine:
    """A node and what runs on it."""

    node: Node
    nginx: Daemon
    watch: Daemon
    notify: Daemon
    keepalived: Daemon

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def hooks(self) -> Path:
        """Where the hooks of `pyconfd notify` are."""
        return self.node.folder / "hooks"

    def listen(self, etcd: PrivateEtcd) -> Daemon:
        """Start `pyconfd notify`, with short times."""
        words = ("--ttl", "2", "--hooks", str(self.hooks), "--hook-timeout", "500ms")
        return self.node.notify(etcd.endpoint, *words)

    def told(self) -> list[str]:
        """What the recording hook was told so far."""
        record = self.node.folder / "told"
        return record.read_text().splitlines() if record.exists() else []


@dataclass
class Pair:
    """Everything that runs for these tests."""

    lan: Lan
    etcd: PrivateEtcd
    one: Machine
    two: Machine

    def put(self, key: str, **changes: object) -> None:
        """Change fields of a key of the cluster."""
        there = json.loads(self.etcd.get(f"{WEB}/{key}") or b"{}")
        self.etcd.put(f"{WEB}/{key}", json.dumps({**there, **changes}))

    def state(self, name: str, instance: str = "VI_1") -> dict[str, object]:
        """What a node has published of an instance."""
        value = self.etcd.get(f"/keepalived/{instance}/{name}")
        return json.loads(value) if value else {}

    def owners(self, vip: int = VIP) -> list[str]:
        """The nodes that have the address on their interface. vip: its last number."""
        return [m.name for m in (self.one, self.two) if m.node.has(vip)]

    def settled(self, name: str, vip: int = VIP, instance: str = "VI_1") -> None:
        """Until this node alone has the address, answers, and says so."""
        other = {"lb1": "lb2", "lb2": "lb1"}[name]

        def so() -> bool:
            states = (self.state(name, instance), self.state(other, instance))
            return (
                self.owners(vip) == [name]
                and self.lan.ask(vip) == name
                and states[0].get("state") == "MASTER"
                and states[1].get("state") in ("BACKUP", "FAULT", "STOP", "LOST")
            )

        wait_until(so, what=f"the address {vip} on {name} alone")


@contextlib.contextmanager
def pair_of(recipe: str, folder: Path, replace: Mapping[str, str]) -> Iterator[Pair]:
    """
    Both nodes, running. replace: in the recipe's texts. keepalived is started when its file is
    there.
    """
    with contextlib.ExitStack() as stack:
        lan = stack.enter_context(Lan())
        etcd = stack.enter_context(PrivateEtcd(folder, host=lan.us))
        made = [_planted(lan, folder, etcd, name, recipe, replace) for name in NAMES]
        stack.callback(lambda: end(*(d for m in made for d in _daemons(m))))
        for machine in made:  # it has written its file
            machine.watch.wait_log("updated ")
        for machine in made:
            machine.keepalived = machine.node.keepalived()
        yield Pair(lan, etcd, *made)


def _planted(
    lan: Lan, folder: Path, etcd: PrivateEtcd, name: str, recipe: str, replace: Mapping[str, str]
) -> Machine:
    """A node with everything but keepalived, which is not there yet."""
    node = lan.node(name, folder, NAMES[name])
    confdir = node.confdir(recipe, replace)
    node.secrets("VI_1", "VI_2")
    if name == "lb1":
        for key, value in keys_of(confdir).items():
            etcd.put(key, value)
    hooks = node.folder / "hooks"
    hooks.mkdir()
    (hooks / "record").write_text(RECORD.format(told=node.folder / "told"))
    (hooks / "record").chmod(0o755)
    argv = confdir.argv("--watch", "--node", etcd.endpoint)
    watch = node.start("watch", argv[len(node.inside) :])
    nginx = node.nginx()
    machine = Machine(node, nginx, watch, watch, nginx)
    machine.notify = machine.listen(etcd)
    return machine


def _daemons(machine: Machine) -> set[Daemon]:
    """All that runs on a node."""
    return {machine.nginx, machine.notify, machine.watch, machine.keepalived}


def children(daemon: Daemon) -> list[int]:
    """A process and its children."""
    process = psutil.Process(daemon.process.pid)
    return [process.pid, *(child.pid for child in process.children(recursive=True))]


def signal_to(pid: int, number: signal.Signals) -> None:
    """Send it."""
    os.kill(pid, number)
