"""
A network that can be cut: a bridge, and a network namespace with a cable to it for each member.

    enter_private_net()          # at the start of a program: it is run again in a net of its own
    with Net(3) as net:
        PrivateCluster(folder, places=net.places); net.cut(0); net.join(0)

Nothing of the machine's own net is touched: the bridge, too, is in the private namespace, and
all of it is gone with the last process in it. Cut means silent: packets vanish, no connection is
closed, nobody is told.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence

from tests.support.waiting import wait_until

_ENTERED = "PYCONFD_TEST_NET"
_SUBNET = "10.99.0"
_NOBODY = "02:00:00:00:ff:ff"


def enter_private_net() -> bool:
    """
    Run this program again in a network namespace of its own, where that is allowed.

    Returns True in the program that runs inside, False where namespaces are not to be had.
    """
    if os.environ.get(_ENTERED):
        return True
    flags = "-n" if os.geteuid() == 0 else "-Urn"
    trial = ["unshare", flags, "sh", "-c", "ip link add br0 type bridge && unshare -n true"]
    with contextlib.suppress(OSError):
        if subprocess.run(trial, capture_output=True, check=False).returncode == 0:
            os.environ[_ENTERED] = "1"
            os.execvp("unshare", ["unshare", flags, sys.executable, *sys.orig_argv[1:]])
    return False


class Net:
    """A cable for each of `size` members. This process, and what it starts, is at the bridge."""

    def __init__(self, size: int) -> None:
        self._numbers = range(size)
        self._holders: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Net:
        _run("ip link set lo up")
        _run("ip link add br0 type bridge")
        _run(f"ip addr add {_SUBNET}.254/24 dev br0")
        _run("ip link set br0 up")
        try:
            for number in self._numbers:
                self._cable(number)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for holder in self._holders:
            holder.kill()
            holder.wait()

    @property
    def addresses(self) -> list[str]:
        """The address of each member."""
        return [f"{_SUBNET}.{number + 1}" for number in self._numbers]

    @property
    def places(self) -> list[tuple[str, Sequence[str]]]:
        """For PrivateCluster."""
        return [(address, self._inside(n)) for n, address in enumerate(self.addresses)]

    @contextlib.contextmanager
    def cut(self, number: int) -> Iterator[None]:
        """Inside the block nothing reaches the member, and nothing comes from it."""
        _run(f"ip link set v{number} nomaster")
        try:
            yield
        finally:
            _run(f"ip link set v{number} master br0")

    @contextlib.contextmanager
    def alone(self, number: int) -> Iterator[None]:
        """Inside the block the member and the other members do not hear each other; all hear us."""
        pairs = [(number, other) for other in self._numbers if other != number]
        pairs += [(other, one) for one, other in pairs]
        for one, other in pairs:
            self._neighbour(one, "replace", other, f"lladdr {_NOBODY} nud permanent")
        try:
            yield
        finally:
            for one, other in pairs:
                self._neighbour(one, "del", other)

    def _neighbour(self, one: int, verb: str, other: int, more: str = "") -> None:
        _run(f"ip neigh {verb} {self.addresses[other]} dev eth0 {more}", self._inside(one))

    def _inside(self, number: int) -> list[str]:
        return ["nsenter", f"--net=/proc/{self._holders[number].pid}/ns/net"]

    def _cable(self, number: int) -> None:
        # pdeathsig: the namespace must not outlive a run that was killed.
        argv = ["setpriv", "--pdeathsig", "KILL", "unshare", "-n", "sleep", "infinity"]
        holder = subprocess.Popen(argv)
        self._holders.append(holder)
        ours = os.readlink("/proc/self/ns/net")
        wait_until(lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != ours, what="a namespace")
        _run(f"ip link add v{number} type veth peer name eth0 netns {holder.pid}")
        _run(f"ip link set v{number} master br0 up")
        inside = self._inside(number)
        _run("ip link set lo up", inside)
        _run(f"ip addr add {self.addresses[number]}/24 dev eth0", inside)
        _run("ip link set eth0 up", inside)


def _run(command: str, inside: Sequence[str] = ()) -> None:
    done = subprocess.run([*inside, *command.split()], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
