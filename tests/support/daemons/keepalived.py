"""
Nodes with keepalived on a small network of their own, as child processes of a test.

    with Lan() as lan:
        node = lan.node("lb1", tmp_path, 11)
        nginx, keepalived = node.nginx(), node.keepalived()

Each node has its own network interfaces, its own /run and its own /etc/keepalived (namespaces of
Linux), so that recipes run with the paths that they are shipped with; the rest of the machine is
shared. A bridge in a namespace of its own joins them, and a cable leads from there to this process,
which is the client and has the store. Everything ends with the processes that hold it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pyconfd.cli.commands.init import write_files
from pyconfd.config.recipes import confdir_files, load_recipe
from tests.support.http import ask
from tests.support.pyconfd import Confdir, Daemon
from tests.support.recipes import replaced
from tests.support.repository import ROOT
from tests.support.waiting import wait_until

#: The first three numbers of the addresses in the recipes' keys.
GUIDE = "10.55.0"
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
_NGINX = """\
daemon off; pid /run/nginx.pid; error_log /run/nginx.log; worker_processes 1;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path /run/t1; proxy_temp_path /run/t2; fastcgi_temp_path /run/t3;
    uwsgi_temp_path /run/t4; scgi_temp_path /run/t5;
    server { listen 80; keepalive_timeout 0; return 200 "@NAME@"; }
}
"""


@functools.cache
def why_not() -> str:
    """Why nodes cannot be had here; "" when they can."""
    if os.geteuid() != 0:
        return "keepalived and network namespaces need root"
    trial = "ip link add rkt0 type veth peer name rkt1 && ip link add rkb type bridge"
    trial += " && mount -t tmpfs none /run"
    argv = ["unshare", "-n", "-m", "sh", "-c", trial]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"no network namespaces here: {done.stderr.strip()}"


class Lan:
    """A bridge; `subnet` are the first three numbers of its addresses."""

    def __init__(self) -> None:
        self.subnet = _free_subnet()
        self._holders: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Lan:
        self._hub = self.hold("-n")
        inside = within(self._hub, "net")
        run("ip link add br0 type bridge", inside)
        run("ip link set br0 up", inside)
        name = f"kv{os.getpid()}"
        run(f"ip link add {name} type veth peer name home netns {self._hub}")
        run("ip link set home master br0 up", inside)
        run(f"ip addr add {self.us}/24 dev {name}")
        run(f"ip link set {name} up")
        return self

    def __exit__(self, *_: object) -> None:
        for holder in self._holders:  # the interfaces go with their namespaces
            holder.kill()
            holder.wait()

    @property
    def hub(self) -> int:
        """A process in the namespace of the bridge; the cable of a node NUMBER is vNUMBER there."""
        return self._hub

    @property
    def us(self) -> str:
        """The address of this process."""
        return f"{self.subnet}.254"

    def node(self, name: str, folder: Path, number: int) -> Node:
        """A node with an eth0 on the bridge."""
        node = Node(name, folder / name, self)
        for each in (node.run, node.etc, node.scripts):
            each.mkdir(parents=True, exist_ok=True)
        pid = self.hold("-n", "-m")
        node.inside = within(pid, "net", "mnt")
        for ours, theirs in ((node.run, "/run"), (node.etc, "/etc/keepalived")):
            run(f"mount --bind {ours} {theirs}", node.inside)
        run(f"ip link add v{number} netns {self._hub} type veth peer name eth0 netns {pid}")
        run(f"ip link set v{number} master br0 up", within(self._hub, "net"))
        run("ip link set lo up", node.inside)
        run(f"ip addr add {self.subnet}.{number}/24 dev eth0", node.inside)
        run("ip link set eth0 up", node.inside)
        return node

    def hold(self, *flags: str) -> int:
        """New namespaces, held by a process that does not outlive us; its number."""
        argv = ["setpriv", "--pdeathsig", "KILL", "unshare", *flags, "sleep", "infinity"]
        holder = subprocess.Popen(argv)
        self._holders.append(holder)
        ours = os.readlink("/proc/self/ns/net")

        def apart() -> bool:
            comm = Path(f"/proc/{holder.pid}/comm").read_text().strip()
            return comm == "sleep" and os.readlink(f"/proc/{holder.pid}/ns/net") != ours

        wait_until(apart, what="a namespace")
        return holder.pid

    def ask(self, last: int, timeout_s: float = 2.0) -> str:
        """What answers at this address: the name of a node, or "" when nobody does in time."""
        answer = ask(80, place=f"{self.subnet}.{last}", timeout_s=timeout_s)
        return answer.body if answer.status else ""

    @contextlib.contextmanager
    def asking(self, last: int, every_s: float = 0.02) -> Iterator[list[str]]:
        """Asks all the time inside the block; the answers so far."""
        answers: list[str] = []
        over = threading.Event()

        def client() -> None:
            while not over.wait(every_s):
                answers.append(self.ask(last, timeout_s=20.0))

        thread = threading.Thread(target=client, daemon=True)
        thread.start()
        try:
            yield answers
        finally:
            over.set()
            thread.join()


@dataclass
class Node:
    """One node. inside: words before a command line that run it there. run, etc: its folders."""

    name: str
    folder: Path
    lan: Lan
    inside: Sequence[str] = ()
    commands: int = field(default=0)

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def etc(self) -> Path:
        return self.folder / "etc" / "keepalived"

    @property
    def scripts(self) -> Path:
        return self.etc / "scripts"

    @property
    def conf(self) -> Path:
        return self.etc / "keepalived.conf"

    def has(self, last: int) -> bool:
        """Whether the address is on its interface."""
        said = run("ip -4 -o addr show dev eth0", self.inside)
        return f" {self.lan.subnet}.{last}/" in said

    def secrets(self, *instances: str) -> None:
        """The files with the secrets of these instances."""
        folder = self.etc / "auth"
        folder.mkdir()
        for instance in instances:
            text = "authentication {\n    auth_type PASS\n    auth_pass k33pal1v\n}\n"
            (folder / instance).write_text(text)

    def program(self) -> Path:
        """`pyconfd` as an executable file, which keepalived wants by its whole path."""
        path = self.folder / "bin" / "pyconfd"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -P -m pyconfd "$@"\n')
        path.chmod(0o755)
        return path

    def confdir(self, recipe: str, replace: Mapping[str, str] | None = None) -> NodeConfdir:
        """The recipe as `pyconfd init` writes it, with this node's name."""
        target = self.folder / "confdir"
        files = confdir_files(load_recipe(recipe), str(target))
        write_files(files, str(target))
        words = {
            'node_name = "lb1"': f'node_name = "{self.name}"',
            "/usr/local/bin/pyconfd": str(self.program()),
            GUIDE: self.lan.subnet,
            **(replace or {}),
        }
        for file in files:
            if not file.path.startswith("templates/"):
                path = target / file.path
                path.write_text(replaced(path.read_text(), words))
        made = NodeConfdir(target, "--config-file", str(target / "pyconfd.toml"))
        made.inside = self.inside
        return made

    def start(self, name: str, argv: Sequence[str]) -> Daemon:
        """A command on the node, with its output in a log."""
        self.commands += 1
        log = self.folder / f"{name}-{self.commands}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [*self.inside, *argv],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env={**os.environ, "PATH": _PATH, "TMPDIR": "/run"},
                cwd=ROOT,
                start_new_session=True,
            )
        return Daemon(process, log)

    def keepalived(self) -> Daemon:
        """
        keepalived in the foreground, on the file that is there.

        Before all others: who is kept from the processor for three of the protocol's intervals has
        died for the other node, and a check that is late has failed.
        """
        argv = ["nice", "-n", "-20", "keepalived", "--dont-fork", "--log-console"]
        argv += ["--log-detail", "--vrrp"]
        return self.start("keepalived", argv)

    def priority(self, keepalived: Daemon) -> int:
        """
        What keepalived itself says of the first instance's priority, with all checks counted. Asked
        a hundred times a second while it reloads, keepalived 2.2 never ends the reload.
        """
        dump = self.run / "keepalived.data"
        dump.unlink(missing_ok=True)
        time.sleep(0.2)
        keepalived.signal(signal.SIGUSR1)
        words = r"Effective priority = (\d+)"
        found = wait_until(
            lambda: dump.exists() and re.search(words, dump.read_text()), what="keepalived's data"
        )
        return int(found[1])

    def nginx(self) -> Daemon:
        """nginx that answers with the node's name."""
        conf = self.folder / "nginx.conf"
        conf.write_text(_NGINX.replace("@NAME@", self.name))
        return self.start("nginx", ["nginx", "-c", str(conf), "-e", "/run/nginx.log"])

    def notify(self, endpoint: str, *more: str) -> Daemon:
        """`pyconfd notify` as its unit runs it."""
        pipe = self.run / "pyconfd-notify"
        pipe.mkdir(exist_ok=True)
        argv = [str(self.program()), "notify", "keepalived", "/run/pyconfd-notify/keepalived"]
        argv += ["--node-name", self.name, "--node", endpoint, *more]
        return self.start("notify", argv)


class NodeConfdir(Confdir):
    """A confdir whose commands run on a node."""

    inside: Sequence[str] = ()

    def argv(self, *more: str) -> list[str]:
        """The command line, entering the node first."""
        return [*self.inside, *super().argv(*more)]


def within(pid: int, *kinds: str) -> list[str]:
    """Words before a command line that run it in the namespaces of a process."""
    names = {"net": "--net", "mnt": "--mount"}
    return ["nsenter", *(f"{names[kind]}=/proc/{pid}/ns/{kind}" for kind in kinds)]


def run(command: str, inside: Sequence[str] = ()) -> str:
    """Run it to its end; what it said. AssertionError when it failed."""
    done = subprocess.run([*inside, *command.split()], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def end(*daemons: Daemon) -> None:
    """SIGTERM to all at once, and wait."""
    for daemon in daemons:
        if daemon.process.poll() is None:
            daemon.process.terminate()
    for daemon in daemons:
        daemon.end()


def _free_subnet() -> str:
    """Three numbers that no route here leads to but the default one."""
    routes = run("ip -4 route show table all") + run("ip -4 -o addr show")
    while True:
        subnet = f"10.{random.randrange(64, 250)}.{random.randrange(1, 250)}"
        if f" {subnet}." not in f" {routes}":
            return subnet
