"""
Nodes with csync2 on one machine: each with an address of 127/8 as its name, a system folder, a
database and a daemon of its own, ended by its pid.
"""

from __future__ import annotations

import contextlib
import os
import random
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.daemons.etcd import PrivateEtcd, free_ports
from tests.support.pyconfd import Confdir
from tests.support.recipes import laid_out
from tests.support.waiting import wait_until


def csync2_program() -> str:
    """csync2 as installed; Debian keeps it out of a user's PATH."""
    found = shutil.which("csync2", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert found, "the Debian package csync2 is needed; make test installs it"
    return found


def make_key(path: Path) -> None:
    """A new key of a group, mode 0600."""
    subprocess.run([csync2_program(), "-k", str(path)], capture_output=True, check=True)


def make_certificate(etc: Path) -> None:
    """
    A certificate of a node, in its system folder. All nodes have one subject: the daemon asks for
    a certificate whose issuer is its own, and a client that has none sends none.
    """
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    argv += ["-nodes", "-days", "30", "-subj", "/CN=csync2"]
    argv += ["-keyout", f"{etc}/csync2_ssl_key.pem", "-out", f"{etc}/csync2_ssl_cert.pem"]
    subprocess.run(argv, capture_output=True, check=True)


class Node:
    """
    One node. name: its address. site: what is kept in step. The confdir is the recipe's, with the
    node's own places.
    """

    def __init__(self, folder: Path, name: str, port: int, etcd: PrivateEtcd) -> None:
        self.name, self.port = name, port
        self.folder = folder / name
        self.etc, self.database = self.folder / "etc", self.folder / "db"
        self.site, self.backups = self.folder / "site", self.folder / "backups"
        self.html = self.site / "html"
        for path in (self.etc, self.database, self.html, self.backups):
            path.mkdir(parents=True)
        self.conf, self.cron = self.etc / "csync2.cfg", self.folder / "cron"
        self.key = self.etc / "shared.key"
        self.log = self.folder / "log"
        self.options = f"-p {port} -D {self.database}"
        self.confdir: Confdir = laid_out(
            "csync2", self.folder, self._places(), "--node", etcd.endpoint
        )

    def _places(self) -> dict[str, str]:
        """What is on another place here than the recipe says."""
        return {
            'node_name = "web01"': f'node_name = "{self.name}"',
            "port = 30865": f"port = {self.port}",
            "/etc/csync2.cfg": str(self.conf),
            # The nodes of a test share one machine and one key.
            '["/srv/www", "/var/www"]': f'["{self.folder.parent.parent}", "/srv/www"]',
            '["/etc/csync2", ': f'["{self.folder.parent.parent}", ',
            '["/var/backups/csync2"]': f'["{self.folder.parent.parent}"]',
            "may_weaken = []": 'may_weaken = ["plaintext"]',
            "/etc/cron.d/pyconfd-csync2": str(self.cron),
            "--state /var/lib/csync2/pyconfd-hosts": (
                f"--state {self.folder}/hosts --options '{self.options}'"
            ),
            "/usr/bin/indexer --all --rotate": f"echo %% >>{self.folder}/actions",
            'hold_min = "500ms"': 'hold_min = "50ms"',
        }

    @contextlib.contextmanager
    def serving(self) -> Iterator[Node]:
        """The daemon that takes the files of the others."""
        argv = [csync2_program(), "-N", self.name, *shlex.split(self.options), "-ii"]
        environ = {**os.environ, "CSYNC2_SYSTEM_DIR": str(self.etc)}
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ
            )
        try:
            wait_until(lambda: self._listens(process), what=f"csync2 of {self.name}")
            yield self
        finally:
            process.terminate()
            process.wait(60)

    def _listens(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, self.log.read_text()
        wanted = f"{_hex(self.name)}:{self.port:04X} 00000000:0000 0A"
        return wanted in Path("/proc/net/tcp").read_text()

    def csync2(self, *words: str) -> subprocess.CompletedProcess[str]:
        """csync2 as this node."""
        argv = [csync2_program(), "-N", self.name, *shlex.split(self.options), *words]
        environ = {**os.environ, "CSYNC2_SYSTEM_DIR": str(self.etc)}
        return subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)

    def job(self) -> subprocess.CompletedProcess[str]:
        """What cron would run."""
        line = next(line for line in self.cron.read_text().splitlines() if " root " in line)
        command = line.split(" root ", 1)[1]
        return subprocess.run(command, shell=True, capture_output=True, text=True, check=False)

    def read(self, name: str) -> str:
        """A file of the site; "" when it is not there."""
        path = self.html / name
        return path.read_text() if path.exists() else ""

    def hosts(self) -> list[str]:
        """The names of the hosts that its file lists."""
        if not self.conf.exists():
            return []
        lines = self.conf.read_text().splitlines()
        found = [line.split()[1].strip(";()") for line in lines if line.startswith("    host ")]
        return [host.partition("@")[0] for host in found]


def _hex(address: str) -> str:
    return "".join(f"{int(part):02X}" for part in reversed(address.split(".")))


def names(count: int) -> list[str]:
    """Addresses that no other test uses at the same time."""
    chosen = random.Random(os.getpid())
    net = f"127.{chosen.randrange(64, 250)}.{chosen.randrange(1, 250)}"
    return [f"{net}.{number}" for number in range(11, 11 + count)]


def port() -> int:
    """One port for all nodes, as csync2 wants it."""
    return free_ports(1)[0]
