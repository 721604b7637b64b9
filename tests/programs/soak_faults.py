"""What the soak does to the cluster and to the daemon. Each fault has ended when it returns."""

from __future__ import annotations

import contextlib
import copy
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pyconfd.backends.etcd.protobuf import load_grpc
from tests.programs.soak_writer import Writer
from tests.support.daemons.etcd import Certificates, PrivateCluster, PrivateEtcd
from tests.support.net import Net
from tests.support.pyconfd import Daemon

PASSWORD = "soak"
TOKEN_TTL_S = 5
STORM_S = 3.0
# How far the daemon's wall clock is ahead: never before or beyond the certificates' two days,
# because then it is right to refuse them.
CLOCK_S = 86_400
_CLOCKS_S = [600, 4_200, CLOCK_S, CLOCK_S + 60, 150_000]


class Faults:
    """
    One cluster, its writer, and the daemon that follows it.

    net: the cables of the members, None where namespaces are not to be had. clock: the file that
    says how many seconds the daemon's wall clock is off, None when it is left alone.
    """

    def __init__(
        self,
        folder: Path,
        rng: random.Random,
        tls: Certificates,
        net: Net | None,
        clock: Path | None,
    ) -> None:
        self.folder, self.random, self.tls, self.net, self.clock = folder, rng, tls, net, clock
        self.cluster = PrivateCluster(
            folder,
            places=net.places if net else (),
            tls=tls,
            extra=[f"--auth-token-ttl={TOKEN_TTL_S}"],
        )
        self.writer: Writer
        self.daemon: Daemon

    def known(self) -> dict[str, Callable[[], None]]:
        """Those that can be done here, by name."""
        found = {
            "connected member killed": self.kill_the_connected,
            "leader killed": self.kill_the_leader,
            "connected member frozen": self.freeze_the_connected,
            "all restarted": self.restart_all,
            "compacted": self.compact,
            "defragmented": self.defragment,
            "wiped": self.wipe,
            "restored from backup": self.restore,
            "tokens expired": self.tokens_expire,
            "certificates exchanged": self.exchange_certificates,
            "NOSPACE alarm": self.no_space,
            "daemon stopped": self.stop_the_daemon,
            "storm of changes": self.storm,
        }
        if self.net:
            found["connected member cut off"] = self.cut_the_connected
            found["connected without peers"] = self.part_the_connected
        if self.clock:
            found["clock jumped"] = self.jump
        return found

    def set_up(self) -> None:
        """Users and rights, in a store that is new."""
        first = self.cluster.members[0]
        first.add_user("bob", PASSWORD, prefixes=["/app/"])
        first.enable_auth()
        for member in self.cluster.members:
            member.user = first.user

    # Members

    def connected(self) -> PrivateEtcd:
        """The member that the daemon follows now, else any."""
        import psutil

        ports = {
            each.raddr.port
            for each in psutil.Process(self.daemon.process.pid).net_connections("tcp")
            if each.raddr and each.status == psutil.CONN_ESTABLISHED
        }
        found = [each for each in self.cluster.running if each.client_port in ports]
        return self.random.choice(found or self.cluster.running)

    def kill_the_connected(self) -> None:
        self._down(self.connected())

    def kill_the_leader(self) -> None:
        self._down(self.cluster.leader())

    def _down(self, member: PrivateEtcd) -> None:
        member.kill()
        self._let_pass(0.5, 3)
        self.cluster.start()

    def freeze_the_connected(self) -> None:
        member = self.connected()
        member.freeze()
        self._let_pass(3, 8)
        member.thaw()

    def restart_all(self) -> None:
        """Every token is forgotten too."""
        for member in self.cluster.members:
            member.kill()
        self._let_pass(0, 2)
        self.cluster.start()

    # The net

    def cut_the_connected(self) -> None:
        """From everybody, silently: no connection is closed. Longer than a probe, or shorter."""
        assert self.net
        with self.net.cut(self.cluster.members.index(self.connected())):
            self._let_pass(1, 9)

    def part_the_connected(self) -> None:
        """It still answers the daemon, but has no quorum."""
        assert self.net
        with self.net.alone(self.cluster.members.index(self.connected())):
            self._let_pass(2, 8)

    # Data

    def compact(self) -> None:
        """While the daemon sleeps and has lost its connection: it wakes up behind the history."""
        with self._stopped():
            member = self.connected()
            member.kill()
            changes = self.writer.changes
            until = time.monotonic() + 10
            while self.writer.changes < changes + 20 and time.monotonic() < until:
                time.sleep(0.01)
            self.cluster.leader().compact()
            self.cluster.start()

    def defragment(self) -> None:
        for member in self.cluster.members:
            member._drop()
            with contextlib.suppress(load_grpc().RpcError):
                member.defragment()

    def wipe(self) -> None:
        with self.writer.paused():
            for member in self.cluster.members:
                member.user = None
            self._replace(lambda _: None)
            self.set_up()
            self.writer.forget()
            self.writer.refill()

    def restore(self) -> None:
        """A backup is taken, time passes, and the backup comes back."""
        backup = self.folder / "backup"
        self.cluster.leader().snapshot(backup)
        self._let_pass(0.2, 2)
        with self.writer.paused():
            self._replace(lambda member: member.replace_data(backup))

    def _replace(self, fill: Callable[[PrivateEtcd], None]) -> None:
        for member in self.cluster.members:
            member.kill()
        for member in self.cluster.members:
            shutil.rmtree(member.data)
            fill(member)
        self.cluster.start()

    def no_space(self) -> None:
        leader = self.cluster.leader()
        leader._drop()
        leader.alarm(on=True)
        self._let_pass(0.2, 1)
        leader.alarm(on=False)

    def storm(self) -> None:
        """More changes than are told one by one; at times a member dies in the middle of it."""
        until = time.monotonic() + STORM_S
        writers = [threading.Thread(target=self._pour, args=(each, until)) for each in range(6)]
        for each in writers:
            each.start()
        if self.random.random() < 0.5:
            time.sleep(STORM_S / 2)
            self._down(self.connected())
        for each in writers:
            each.join()

    def _pour(self, number: int, until: float) -> None:
        """Keys between those of the resources, so that they come over the same stream."""
        count = 0
        while time.monotonic() < until:
            handle = copy.copy(self.cluster.members[(number + count) % 3])
            handle._channel, handle._token, handle.call_timeout_s = None, "", 2.0
            with contextlib.suppress(load_grpc().RpcError):
                while time.monotonic() < until:
                    count += 1
                    handle.put(f"/app/q/{number}", f"{count}")
            handle._drop()

    # Access

    def tokens_expire(self) -> None:
        """The daemon sleeps for longer than a token lives, and its connection is cut."""
        with self._stopped():
            time.sleep(TOKEN_TTL_S + 1)
        self._down(self.connected())

    def exchange_certificates(self) -> None:
        """A new authority and new certificates, under the same names; none is absent meanwhile."""
        fresh = Certificates(self.tls.folder / "fresh", hosts=self.tls.hosts)
        for path in fresh.folder.iterdir():
            path.replace(self.tls.folder / path.name)
        fresh.folder.rmdir()
        self.restart_all()

    # The daemon

    def stop_the_daemon(self) -> None:
        """Longer than the probe, the answers and, now and then, than the transport's limits."""
        with self._stopped():
            time.sleep(self.random.choice([4, 4, 6, 6, 20]))

    def jump(self) -> None:
        """Its wall clock goes forth or back by up to two days; then a member must be found."""
        self.set_clock(self.random.choice(_CLOCKS_S))
        if self.random.random() < 0.5:
            self._down(self.connected())

    def set_clock(self, ahead_s: int) -> None:
        """How far the daemon's wall clock is ahead from now on."""
        assert self.clock
        fresh = self.clock.with_suffix(".new")
        fresh.write_text(f"+{ahead_s}")
        fresh.rename(self.clock)  # it is read again at every look at the clock

    @contextlib.contextmanager
    def _stopped(self) -> Iterator[None]:
        self.daemon.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.daemon.signal(signal.SIGCONT)

    def _let_pass(self, least_s: float, most_s: float) -> None:
        """The fault lasts; the writer goes on."""
        time.sleep(self.random.uniform(least_s, most_s))
