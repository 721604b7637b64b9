"""
A program: members found by SRV records, in a network and with a resolv.conf of its own.

    python -m tests.programs.drive_srv FOLDER http|https

Three members with names of a name server that runs here, each with a priority of its own. Prints
one JSON object: `refused` with the reason where there are no namespaces, else what was seen.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil

from pyconfd.backends.etcd.protobuf import load_grpc
from tests.support.daemons.etcd import Certificates, PrivateCluster, PrivateEtcd
from tests.support.pyconfd import Confdir, Daemon
from tests.support.waiting import wait_until

DOMAIN = "example.test"
_ENTERED = "PYCONFD_TEST_RESOLVER"
_A, _SRV = 1, 33
# Asked for the priority: not in the order of the members, of their names or their addresses.
PRIORITIES = (20, 10, 30)


def enter(folder: Path) -> bool:
    """Run this program again, in namespaces where it may have port 53 and its own resolv.conf."""
    if os.environ.get(_ENTERED):
        return True
    flags = "-nm" if os.geteuid() == 0 else "-Urnm"
    resolver = folder / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\n")
    # Sockets of a name service cache outside answer across namespaces.
    script = (
        f"ip link set lo up && mount --bind {resolver} $(readlink -f /etc/resolv.conf)"
        ' && if [ -d /run/nscd ]; then mount -t tmpfs none /run/nscd; fi && exec "$@"'
    )
    argv = ["unshare", flags, "sh", "-c", script, "sh"]
    with contextlib.suppress(OSError):
        if subprocess.run([*argv, "true"], capture_output=True, check=False).returncode == 0:
            os.environ[_ENTERED] = "1"
            os.execvp("unshare", [*argv, sys.executable, *sys.orig_argv[1:]])
    return False


def encoded(name: str) -> bytes:
    parts = name.rstrip(".").split(".")
    return b"".join(bytes([len(part)]) + part.encode() for part in parts) + b"\0"


class NameServer:
    """Answers A and SRV on 127.0.0.1:53. `addresses` and `services` may be changed at any time."""

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {}
        self.services: dict[str, list[tuple[int, int, str]]] = {}  # priority, port, host
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            question, peer = self._socket.recvfrom(4096)
            self._socket.sendto(self._answer(question), peer)

    def _answer(self, question: bytes) -> bytes:
        labels, place = [], 12
        while question[place]:
            size = question[place]
            labels.append(question[place + 1 : place + 1 + size].decode().lower())
            place += 1 + size
        name, kind = ".".join(labels), struct.unpack_from(">H", question, place + 1)[0]
        asked = question[12 : place + 5]
        records = list(self._records(name, kind))
        code = 0 if records or name in self.addresses else 3
        body = b"".join(
            b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, len(each)) + each for each in records
        )
        return (
            question[:2]
            + struct.pack(">HHHHH", 0x8580 | code, 1, len(records), 0, 0)
            + asked
            + body
        )

    def _records(self, name: str, kind: int) -> Iterator[bytes]:
        if kind == _A and name in self.addresses:
            yield socket.inet_aton(self.addresses[name])
        if kind == _SRV:
            for priority, port, host in self.services.get(name, ()):
                yield struct.pack(">HHH", priority, 0, port) + encoded(host)


def main(folder: Path, scheme: str) -> dict[str, object]:
    if not enter(folder):
        return {"refused": "network and mount namespaces are not allowed here"}
    places = [(f"127.0.0.{number}", ()) for number in (1, 2, 3)]
    hosts = [f"m{number}.{DOMAIN}" for number in range(3)]
    tls = None
    if scheme == "https":
        known = [f"DNS:{host}" for host in hosts] + [f"IP:{address}" for address, _ in places]
        tls = Certificates(folder / "tls", hosts=known)
    names = NameServer()
    names.addresses = {host: address for host, (address, _) in zip(hosts, places, strict=True)}
    with PrivateCluster(folder, places=places, tls=tls) as cluster:
        service = "_etcd-client-ssl._tcp" if tls else "_etcd-client._tcp"
        records = [
            (priority, member.client_port, host)
            for priority, member, host in zip(PRIORITIES, cluster.members, hosts, strict=True)
        ]
        return observe(folder, cluster, names, f"{service}.{DOMAIN}", records)


def observe(
    folder: Path,
    cluster: PrivateCluster,
    names: NameServer,
    service: str,
    records: list[tuple[int, int, str]],
) -> dict[str, object]:
    """
    One-shot runs without records and before they are there, and a daemon that starts before they
    are right and loses members.
    """
    confdir = Confdir(folder / "conf", "--srv-domain", DOMAIN)
    if cluster.members[0].tls:
        confdir.arguments += ("--client-ca-keys", str(cluster.members[0].tls.ca))
    live = confdir.simple()
    cluster.members[0].put("/app/key", "1")
    unknown = confdir.once("--timeout", "3")
    threading.Timer(1.5, names.services.__setitem__, [service, records]).start()
    late = confdir.once("--timeout", "60")
    live.unlink(missing_ok=True)
    names.services[service] = [(1, 1, records[0][2])]  # nobody is at port 1
    seen: dict[str, object] = {
        "unknown": [unknown.returncode, unknown.stderr],
        "late": [late.returncode, late.stderr],
    }
    with confdir.daemon("--log-level", "info") as daemon:
        daemon.wait_log("Connection refused")
        names.services[service] = records
        daemon.wait_file(live, "/app/key=1\n")
        used = [used_member(daemon, cluster)]
        for value in "23":
            cluster.members[used[-1]].kill()
            others = [each for each in cluster.members if each.process is not None]
            wait_until(lambda v=value, on=others[0]: put(on, v), what="a put")
            daemon.wait_file(live, f"/app/key={value}\n")
            gone = used[-1]
            used.append(used_member(daemon, cluster))
            cluster.members[gone].start()
    live.unlink()
    once = confdir.once()
    return {**seen, "used": used, "once": [once.returncode, live.read_text()]}


def put(member: PrivateEtcd, value: str) -> bool:
    """Whether it was taken: not while a leader is being found."""
    with contextlib.suppress(load_grpc().RpcError):
        member.put("/app/key", value)
        return True
    return False


def used_member(daemon: Daemon, cluster: PrivateCluster) -> int:
    """Which member the daemon has connections to."""
    ports = [each.client_port for each in cluster.members]
    process = psutil.Process(daemon.process.pid)

    def found() -> set[int]:
        return {
            ports.index(each.raddr.port)
            for each in process.net_connections()
            if each.status == psutil.CONN_ESTABLISHED and each.raddr.port in ports
        }

    def one() -> set[int] | None:
        members = found()
        return members if len(members) == 1 else None

    members: set[int] = wait_until(one, what="connections to one member")
    return members.pop()


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2])))
