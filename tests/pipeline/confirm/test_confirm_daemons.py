"""A reload is believed for what the daemon shows, on real ones: Apache, HAProxy and keepalived."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pyconfd.config.daemons import load_daemon
from pyconfd.errors import ReloadError
from pyconfd.model.resources import Command, Confirm
from pyconfd.model.steps import Reloaded, ReloadFailed, ReloadResult
from pyconfd.pipeline.confirm import by_file as confirm_mark
from pyconfd.pipeline.confirm import by_page, by_socket
from pyconfd.pipeline.confirm.daemon_log import DaemonLog
from pyconfd.pipeline.reload import reload_confirmed
from pyconfd.system.proc import Commands
from tests.support.daemons.apache import PrivateApache, serving
from tests.support.daemons.etcd import free_ports
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration


def tell(
    command: str, by: str, at: str | Path, log: str | Path = "", timeout_s: float | None = None
) -> ReloadResult:
    """Run the reload command and ask the daemon."""
    return reload_confirmed(
        "service",
        Command(command, 10.0),
        dest="/dest",
        run=Commands().run,
        confirm=Confirm(by=by, at=str(at), log=str(log), timeout_s=timeout_s),
    )


def confirmed(outcome: ReloadResult) -> str:
    """What it rests on."""
    assert isinstance(outcome, Reloaded), outcome
    return outcome.evidence


def failed(outcome: ReloadResult) -> str:
    """The error of a reload that was run and is not believed."""
    assert isinstance(outcome, ReloadFailed), outcome
    assert outcome.report
    assert outcome.report.exit_status == 0, outcome.report
    assert "the new file is live, and the reload is pending" in str(outcome.error)
    return str(outcome.error)


@contextmanager
def one_of(name: str, folder: Path) -> Iterator[None]:
    """A process of this name: a daemon that cannot be asked may be this one."""
    program = folder / name
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([program, "600"]) as process:
        try:
            wait_until(lambda: Path(f"/proc/{process.pid}/comm").read_text().strip() == name)
            yield
        finally:
            process.kill()


def untold(outcome: ReloadResult) -> str:
    """The error of a daemon that could not be asked and so was not told."""
    assert isinstance(outcome, ReloadFailed)
    assert outcome.report is None
    assert "the new files are live, and the reload is pending" in str(outcome.error)
    return str(outcome.error)


@pytest.fixture
def apache(tmp_path: Path) -> Iterator[PrivateApache]:
    with PrivateApache(tmp_path / "srv", serving("one")).running() as running:
        yield running


def test_apache_confirms_by_a_newer_configuration(apache: PrivateApache) -> None:
    """Twice, and it serves the new version when it is believed."""
    for text, generation in (("two", 2), ("three", 3)):
        apache.write(serving(text))
        said = confirmed(tell(apache.reload_command, "apache", apache.status_url))
        assert said == f"confirmed: configuration generation {generation}"
        assert apache.ask("/").body == text


def test_apache_refuses_a_broken_file_in_the_command(apache: PrivateApache) -> None:
    """Nothing is waited for, and the old configuration serves."""
    apache.write("Garbage on\n")
    line = apache.conf.read_text().splitlines().index("Garbage on") + 1
    outcome = tell(apache.reload_command, "apache", apache.status_url, timeout_s=60)
    assert isinstance(outcome, ReloadFailed)
    assert outcome.report
    assert outcome.report.exit_status == 1
    assert f"Syntax error on line {line} of {apache.conf}" in outcome.report.output
    assert apache.ask("/").body == "one"


def test_apache_that_cannot_bind_says_why_in_its_log(apache: PrivateApache) -> None:
    """The test of the file and the command both say yes; Apache ends."""
    log = apache.folder / "log" / "error.log"
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        apache.write(f"{serving('two')}Listen 127.0.0.1:{port}\n")
        assert apache.test() == ""
        outcome = tell(apache.reload_command, "apache", apache.status_url, log, timeout_s=60)
    assert f"AH00072: make_sock: could not bind to address 127.0.0.1:{port}" in failed(outcome)
    assert apache.process
    wait_until(lambda: apache.process.poll() is not None, what="the end of apache")
    with one_of("apache2", apache.folder):
        again = untold(tell("false", "apache", apache.status_url, log))
    assert "apache cannot be asked: Connection refused" in again


def test_apache_that_nobody_told_is_silent(apache: PrivateApache) -> None:
    """The wait ends at its deadline."""
    said = failed(tell("true", "apache", apache.status_url, timeout_s=0.2))
    assert f"no new configuration generation at {apache.status_url} within 0.2 s" in said


def test_apache_that_goes_while_it_is_asked_is_silent(apache: PrivateApache) -> None:
    """With what the last request met."""
    command = f"kill -KILL -{apache.process.pid if apache.process else 0}"
    said = failed(tell(command, "apache", apache.status_url, timeout_s=0.5))
    assert "within 0.5 s" in said
    assert "(Connection refused)" in said


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/server-status", "the page shows no configuration generation"),
        ("/server-status-2", "the answer is 404 Not Found"),
    ],
)
def test_a_page_without_the_number_is_said(apache: PrivateApache, path: str, says: str) -> None:
    """And what to name instead; the command is not run."""
    url = apache.status_url.replace("/server-status?auto", path)
    said = untold(tell("false", "apache", url))
    assert f"{url}: apache cannot be asked: {says}" in said


class HaproxyMaster:
    """A private HAProxy in master-worker mode."""

    def __init__(self, folder: Path, sockets: Path) -> None:
        self.conf = folder / "haproxy.cfg"
        self.log = folder / "log"
        self.socket = sockets / "master.sock"  # the path of a socket is short by law of the kernel
        (self.port,) = free_ports(1)
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, more: str = "") -> None:
        self.conf.write_text(
            "defaults\n  mode http\n  timeout client 5s\n  timeout connect 5s\n"
            f"  timeout server 5s\nfrontend f\n  bind 127.0.0.1:{self.port}\n"
            f"  http-request return status 200\n{more}"
        )

    def tell(
        self, log: bool = True, timeout_s: float | None = None, command: str = ""
    ) -> ReloadResult:
        pid = self.process.pid if self.process else 0
        command = command or f"kill -USR2 {pid}"
        return tell(command, "haproxy", self.socket, self.log if log else "", timeout_s)


def answers(path: Path) -> bool:
    """Whether somebody listens at this socket."""
    with socket.socket(socket.AF_UNIX) as asked:
        return asked.connect_ex(str(path)) == 0


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A folder with a short path, as sockets need one."""
    with tempfile.TemporaryDirectory(prefix="haproxy-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def haproxy(tmp_path: Path, sockets: Path) -> Iterator[HaproxyMaster]:
    master = HaproxyMaster(tmp_path, sockets)
    master.write()
    program = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program
    argv = [program, "-W", "-S", str(master.socket), "-f", str(master.conf)]
    with (
        master.log.open("ab") as log,
        subprocess.Popen(argv, stdout=log, stderr=log) as master.process,
    ):
        try:
            wait_until(lambda: answers(master.socket), what="haproxy")
            yield master
        finally:
            master.process.terminate()


def test_haproxy_confirms_by_a_new_worker(haproxy: HaproxyMaster) -> None:
    """Also after a reload that failed, whose count goes back to none."""
    assert haproxy.process
    pid = haproxy.process.pid
    assert f"of master {pid}" in confirmed(haproxy.tell())
    haproxy.write("garbage\n")
    failed(haproxy.tell())
    haproxy.write()
    assert confirmed(haproxy.tell()).startswith("confirmed: new worker ")


def test_haproxy_refutes_with_the_words_of_its_log(haproxy: HaproxyMaster) -> None:
    """File and line; and once more, when the log and the count are not fresh."""
    for what in ("garbage", "rubbish"):
        haproxy.write(f"  {what}\n")
        said = failed(haproxy.tell(timeout_s=60))
        assert "haproxy did not take the new configuration: config : parsing [" in said
        assert f"haproxy.cfg:9] : unknown keyword '{what}'" in said


def test_haproxy_refutes_by_its_count_without_a_log(haproxy: HaproxyMaster) -> None:
    """A port of somebody else, which the check of a file cannot see."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        haproxy.write(f"  bind 127.0.0.1:{other.getsockname()[1]}\n")
        said = failed(haproxy.tell(log=False, timeout_s=60))
    assert "haproxy did not take the new configuration: its master counts 1 failed" in said


def test_haproxy_that_nobody_told_is_silent(haproxy: HaproxyMaster) -> None:
    """Exit status 0 alone is not enough."""
    said = failed(haproxy.tell(command="true", timeout_s=0.2))
    assert f"no new haproxy worker at {haproxy.socket} within 0.2 s" in said


def test_haproxy_that_is_absent_is_not_told(sockets: Path) -> None:
    """No socket, or one where somebody else answers."""
    path = sockets / "master.sock"
    with one_of("haproxy", sockets):
        said = untold(tell("false", "haproxy", path))
        assert "haproxy runs, but cannot be asked: No such file or directory" in said
        with socket.socket(socket.AF_UNIX) as closed:
            closed.bind(str(path))
            assert "Connection refused" in untold(tell("false", "haproxy", path))


@pytest.mark.parametrize(
    ("by", "at"), [("haproxy", "/none/master.sock"), ("apache", "http://127.0.0.1:9/server-status")]
)
def test_a_daemon_that_does_not_run_needs_no_reload(by: str, at: str) -> None:
    """No process of its name: nothing is run and nothing is pending."""
    daemon = load_daemon(by)
    alone = replace(daemon, facts={**daemon.facts, "program": "no-such-daemon"})
    asked = by_socket.inspect if by == "haproxy" else by_page.inspect
    with pytest.raises(ReloadError, match="does not run; it reads the new files") as caught:
        asked(alone, at, DaemonLog.begun("", alone))
    assert caught.value.absent


class KeepalivedMaster:
    """keepalived in a network namespace of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "keepalived.conf"
        self.mark = folder / "reload.mark"
        self.check = folder / "check.log"
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, router_id: int = 51, *, mark: bool = True) -> None:
        named = f"  reload_file {self.mark}\n" if mark else ""
        self.conf.write_text(
            f"global_defs {{\n  router_id a\n{named}  reload_check_config {self.check}\n}}\n"
            "vrrp_instance VI_1 {\n  state BACKUP\n  interface eth0\n"
            f"  virtual_router_id {router_id}\n  priority 100\n"
            "  virtual_ipaddress {\n    10.55.0.100/24 dev eth0\n  }\n}\n"
        )

    def start(self) -> None:
        program = shutil.which("keepalived", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program
        pids = " ".join(f"-{flag} {self.folder}/{flag}.pid" for flag in "prcb")
        trial = (
            "ip link add eth0 type veth peer name eth1 && ip link set eth0 up && "
            "ip link set eth1 up && ip addr add 10.55.0.1/24 dev eth0 && "
            f"exec {program} -n -l -D -f {self.conf} {pids}"
        )
        with self.log.open("ab") as log:
            argv = ["unshare", "-n", "sh", "-c", trial]
            self.process = subprocess.Popen(argv, stdout=log, stderr=log)
        wait_until(lambda: "Startup complete" in self.log.read_text(), what="keepalived")

    def tell(
        self, log: bool = True, timeout_s: float | None = None, command: str = ""
    ) -> ReloadResult:
        command = command or f"kill -HUP $(cat {self.folder}/p.pid)"
        return tell(command, "keepalived", self.mark, self.check if log else "", timeout_s)


@pytest.fixture
def keepalived(tmp_path: Path) -> Iterator[KeepalivedMaster]:
    if subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs the right to make a network namespace")
    master = KeepalivedMaster(tmp_path)
    master.write()
    try:
        master.start()
        yield master
    finally:
        if master.process:
            master.process.terminate()
            master.process.wait(60)


def test_keepalived_confirms_by_removing_the_mark(keepalived: KeepalivedMaster) -> None:
    """And refutes with the complaints of its own check, each time anew."""
    keepalived.write(52)
    assert confirmed(keepalived.tell()) == f"confirmed: {keepalived.mark} has been removed"
    for number in (999, 1000):
        keepalived.write(number)
        said = failed(keepalived.tell(timeout_s=60))
        assert f"Line 9) number '{number}' outside range [1, 255]" in said
        assert not keepalived.mark.exists()
    keepalived.write(53)
    confirmed(keepalived.tell())


def test_keepalived_that_nobody_told_is_silent(keepalived: KeepalivedMaster) -> None:
    """The mark is taken away again: no later reload is to be taken for this one."""
    said = failed(keepalived.tell(command="true", timeout_s=0.2))
    assert f"keepalived did not remove {keepalived.mark} within 0.2 s" in said
    assert not keepalived.mark.exists()


def test_keepalived_without_reload_file_is_silent(keepalived: KeepalivedMaster) -> None:
    """A mark that it does not know of proves nothing."""
    keepalived.write(mark=False)
    confirmed(keepalived.tell())  # this reload still knew of it
    failed(keepalived.tell(timeout_s=0.5))


def mark(path: Path, **facts: str) -> confirm_mark.FileBefore:
    known = {
        "process": "python",
        "program": facts.get("process", "python"),
        "instance": "",
        "transient": "^$",
    }
    daemon = replace(load_daemon("keepalived"), facts={**known, **facts})
    return confirm_mark.inspect(daemon, str(path), DaemonLog.begun("", daemon))


def test_a_daemon_that_does_not_run_gets_no_mark(tmp_path: Path) -> None:
    """By the name of its process."""
    with pytest.raises(ReloadError, match="does not run; it reads the new files when"):
        mark(tmp_path / "mark", process="no-such-daemon")
    assert not (tmp_path / "mark").exists()


def test_its_pid_file_says_whether_it_runs(tmp_path: Path) -> None:
    """Where it is named, a process of the same name elsewhere proves nothing."""
    facts = {
        "process": own_name(),
        "program": re.escape(own_name()),
        "instance": "",
        "transient": "^$",
    }
    daemon = replace(load_daemon("keepalived"), facts=facts)
    pidfile, words = tmp_path / "pid", DaemonLog.begun("", daemon)
    path = str(tmp_path / "mark")
    for text in (None, "", "1"):
        if text is not None:
            pidfile.write_text(text)
        with pytest.raises(ReloadError, match="pid: keepalived runs, but this is not its pid file"):
            confirm_mark.inspect(daemon, path, words, str(pidfile))
        assert not (tmp_path / "mark").exists()
    pidfile.write_text(f"{os.getpid()}\n")
    confirm_mark.inspect(daemon, path, words, str(pidfile)).close()


def own_name() -> str:
    return Path("/proc/self/comm").read_text().strip()


@pytest.mark.parametrize("spoil", [lambda path: path.symlink_to("/etc/x"), lambda p: p.mkdir()])
def test_a_mark_that_cannot_be_written_is_said(
    spoil: Callable[[Path], object], tmp_path: Path
) -> None:
    """A link is not followed: the daemon runs as root."""
    spoil(tmp_path / "mark")
    with pytest.raises(ReloadError, match="its file cannot be written"):
        mark(tmp_path / "mark", process=own_name())
