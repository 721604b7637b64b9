"""The README's tutorial, run as it stands against services of our own; its links and claims."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.daemons.etcd import PrivateEtcd, free_ports
from tests.support.http import ask
from tests.support.repository import ROOT
from tests.support.waiting import wait_until

README = (ROOT / "README.md").read_text()
# Blocks with a further word after `sh` are not for the tutorial's shell (installing as root).
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
SITE = "www.example.com"


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_every_link_leads_somewhere(page: str) -> None:
    """Files of the repository that are linked to exist."""
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert ((ROOT / page).parent / target).exists(), target


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    """And .ci/run calls exactly the second."""
    makefile = (ROOT / "Makefile").read_text()
    for command in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{command}:", makefile, re.MULTILINE)
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_the_timeline_is_of_a_run_without_failures() -> None:
    """A pasted timeline with every chapter of the demo."""
    timeline = README.split("<!-- timeline -->")[1].split("<!-- end of timeline -->")[0]
    for said in ("first render", "dies", "joins", "refused", "corrected", " 0 failed"):
        assert said in timeline


class Shell:
    """
    One bash that gets block after block, as a reader's terminal does.

    All paths, ports and programs of the machine are replaced by those of `world`.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._log = world.folder / "shell.log"
        self._blocks = 0
        with self._log.open("wb") as log:
            self._bash = subprocess.Popen(
                ["bash"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
                cwd=ROOT,
                env=world.environ,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        """Everything that appeared in the terminal."""
        return self._log.read_text(errors="replace")

    def run(self, block: str) -> None:
        """Run a block to its end; AssertionError when a command of it fails."""
        self._blocks += 1
        done = f"block {self._blocks} done"
        assert self._bash.stdin
        self._bash.stdin.write(f"set -e\n{self._world.own(block)}set +e\necho {done}\n")
        self._bash.stdin.flush()
        self.wait(lambda: done in self.said, block)

    def wait(self, true: Callable[[], object], what: str) -> None:
        """Until it is true, while the shell lives."""

        def alive_and_true() -> object:
            assert self._bash.poll() is None, f"failed: {what}\n{self.said}"
            return true()

        try:
            wait_until(alive_and_true, what=what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.said}") from None

    def close(self) -> None:
        """End the shell and all that it left in the background."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGTERM)
        assert self._bash.stdin
        self._bash.stdin.close()
        self._bash.wait(60)


class World:
    """A private etcd, a private nginx, and what stands for /etc."""

    def __init__(self, folder: Path, etcd: PrivateEtcd) -> None:
        self.folder = folder
        self.port, *self.backends = free_ports(4)
        self.nginx_etc = folder / "etc" / "nginx"
        (self.nginx_etc / "conf.d").mkdir(parents=True)
        (self.nginx_etc / "nginx.conf").write_text(
            f"worker_processes 1;\npid {folder}/nginx.pid;\nerror_log {folder}/nginx-error.log;\n"
            f"events {{}}\nhttp {{\n    access_log off;\n    client_body_temp_path {folder}/body;\n"
            f"    proxy_temp_path {folder}/proxy;\n    fastcgi_temp_path {folder}/fastcgi;\n"
            f"    uwsgi_temp_path {folder}/uwsgi;\n    scgi_temp_path {folder}/scgi;\n"
            f"    include {self.nginx_etc}/conf.d/*.conf;\n}}\n"
        )
        self.environ = {
            **{name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
            "PATH": f"{self._programs()}:{os.environ.get('PATH', os.defpath)}:/usr/sbin",
            "ETCDCTL_ENDPOINTS": etcd.endpoint,
            "PYCONFD_NODE": etcd.endpoint,
            "PYCONFD_CONFDIR": f"{folder}/etc/pyconfd",
            "PYCONFD_STATE_DIR": f"{folder}/state",
            "PYTHONPATH": str(ROOT),
        }

    @property
    def sites(self) -> str:
        """The live file, empty while there is none."""
        path = self.nginx_etc / "conf.d" / "pyconfd-sites.conf"
        return path.read_text() if path.exists() else ""

    def own(self, block: str) -> str:
        """A block of the tutorial with our paths and ports."""
        block = block.replace("sudo ", "").replace("/etc/pyconfd", f"{self.folder}/etc/pyconfd")
        block = block.replace("http://127.0.0.1/", f"http://127.0.0.1:{self.port}/")
        for number, port in zip((8001, 8002, 8003), self.backends, strict=True):
            block = block.replace(str(number), str(port))
        return block

    def move_resource(self) -> None:
        """The shipped resource, written for /etc/nginx, on our nginx."""
        path = self.folder / "etc" / "pyconfd" / "conf.d" / "nginx.toml"
        text = path.read_text().replace("/etc/nginx/", f"{self.nginx_etc}/")
        path.write_text(f'{text}nginx_conf = "{self.nginx_etc}/nginx.conf"\n')

    @contextlib.contextmanager
    def nginx(self) -> Iterator[None]:
        """Our nginx runs inside the block."""
        process = subprocess.Popen(["nginx", "-g", "daemon off;"], env=self.environ)
        try:
            wait_until((self.folder / "nginx.pid").exists, what="nginx starting")
            yield
        finally:
            process.terminate()
            process.wait(60)

    def answers(self) -> bool:
        """Whether the site answers."""
        return ask(self.port, host=SITE).status == 200

    def _programs(self) -> Path:
        """Programs as they would be found after installation, nginx with our main file."""
        folder = self.folder / "bin"
        folder.mkdir()
        nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        conf = f"-p {self.folder} -e {self.folder}/nginx-error.log"
        self._program(
            folder / "nginx",
            f'case " $* " in *" -c "*) exec {nginx} "$@" ;; esac\n'
            f'exec {nginx} {conf} -c {self.nginx_etc}/nginx.conf "$@"',
        )
        self._program(folder / "pyconfd", f'exec {sys.executable} -m pyconfd "$@"')
        return folder

    @staticmethod
    def _program(path: Path, text: str) -> None:
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)


@pytest.mark.integration
def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    """Every block in order, each with what the reader would see."""
    keys, look, once, watch, weight, bad, good, register, members = BLOCKS
    with PrivateEtcd(tmp_path) as etcd:
        world = World(tmp_path, etcd)
        etcd.put(f"/nginx/{SITE}/listen", f"127.0.0.1:{world.port}")
        with world.nginx():
            shell = Shell(world)
            try:
                shell.run(keys)
                copying, asking = look.split("pyconfd check\n")
                shell.run(copying)
                world.move_resource()
                shell.run(f"pyconfd check\n{asking}")
                assert f"+    server 127.0.0.1:{world.backends[0]};" in shell.said
                assert world.sites == ""
                shell.run(once)
                shell.wait(world.answers, "the site answering")
                shell.run(watch)
                shell.wait(lambda: "listed the store" in shell.said, "pyconfd following")
                shell.run(weight)
                shell.wait(lambda: "weight=2;" in world.sites, "the new weight")
                before = world.sites
                shell.run(bad)
                shell.wait(lambda: "invalid port in upstream" in shell.said, "the refusal")
                assert world.sites == before
                assert world.answers()
                shell.run(good)
                shell.run(register)
                third = f"server 127.0.0.1:{world.backends[2]};"
                shell.wait(lambda: third in world.sites, "the third backend")
                shell.run(members)
                assert f"127.0.0.1:{world.backends[2]}" in shell.said
            finally:
                shell.close()
