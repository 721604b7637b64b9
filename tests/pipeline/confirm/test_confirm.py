"""A reload is believed when nginx has new workers, and not before: on the real nginx."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyconfd.config.daemons import load_daemon
from pyconfd.errors import ReloadError
from pyconfd.model.resources import Command, Confirm, Nginx
from pyconfd.model.steps import NotRunning, Reloaded, ReloadFailed, ReloadResult
from pyconfd.pipeline.confirm.base import ReloadVerdict
from pyconfd.pipeline.confirm.by_processes import ProcessesBefore, old_workers
from pyconfd.pipeline.confirm.confirm import inspect, wait
from pyconfd.pipeline.nginx.paths import Paths, paths
from pyconfd.pipeline.reload import reload_confirmed
from pyconfd.system.proc import Commands
from tests.support.daemons.nginx_trees import nginx_binary, plant
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration


@dataclass
class Running:
    """A private nginx. conf: its whole configuration."""

    folder: Path
    port: int
    pid: int

    @property
    def conf(self) -> Path:
        return self.folder / "nginx.conf"

    @property
    def pidfile(self) -> Path:
        return self.folder / "nginx.pid"

    def write(self, http: str) -> None:
        self.conf.write_text(
            f"pid {self.pidfile};\nerror_log {self.folder}/error.log;\nworker_processes 1;\n"
            f"events {{}}\nhttp {{\n  access_log off;\n{_temp_paths(self.folder)}{http}\n"
            f"  server {{ listen 127.0.0.1:{self.port}; return 204; }}\n}}\n"
        )

    def reload(self, timeout_s: float = 10.0, then: str = "true") -> ReloadResult:
        return reload_confirmed(
            "nginx",
            Command(f"{nginx_binary()} -s reload -c {{{{ dest }}}} && {then}", 10.0),
            dest=str(self.conf),
            run=Commands().run,
            confirm=Confirm(
                by="nginx",
                at=str(self.pidfile),
                log=str(self.folder / "error.log"),
                timeout_s=timeout_s,
            ),
            nginx=Nginx(str(self.conf), nginx_binary()),
        )

    def before(self) -> ProcessesBefore:
        """As it is now."""
        before = inspect("nginx", str(self.pidfile), str(self.folder / "error.log"))
        assert isinstance(before, ProcessesBefore)
        return before


def _temp_paths(folder: Path) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "".join(f"  {kind}_temp_path {folder}/tmp_{kind};\n" for kind in kinds)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Running]:
    """A running master with one worker, ended by its own pid."""
    running = Running(tmp_path, free_port(), 0)
    running.write("")
    command = [nginx_binary(), "-c", str(running.conf), "-g", "daemon off;"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as master:
        running.pid = master.pid
        try:
            # It has a pid file before it has its title, by which it is known.
            title = Path(f"/proc/{master.pid}/cmdline")
            wait_until(lambda: title.read_bytes().startswith(b"nginx: master"))
            wait_until(lambda: running.pidfile.exists() and running.pidfile.read_text() != "")
            wait_until(lambda: bool(running.before().workers))
            yield running
        finally:
            master.send_signal(signal.SIGTERM)


def test_a_good_change_is_confirmed_by_a_new_worker(nginx: Running) -> None:
    """Twice in a row, so that workers on their way out are not taken for new ones."""
    for size in ("1m", "2m"):
        nginx.write(f"  client_max_body_size {size};")
        outcome = nginx.reload()
        assert isinstance(outcome, Reloaded), outcome
        assert "confirmed: new worker" in outcome.evidence
        assert f"of master {nginx.pid}" in outcome.evidence


def test_workers_that_reloads_have_left_are_counted(nginx: Running) -> None:
    """Those that are still answering stay until they are done."""
    port = free_port()
    slow = f"  server {{ listen 127.0.0.1:{port}; limit_rate 10; return 200 '{'x' * 4000}'; }}"
    nginx.write(slow)
    assert isinstance(nginx.reload(), Reloaded)
    with socket.create_connection(("127.0.0.1", port), 60) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert client.recv(1)
        outcome = nginx.reload()
        assert isinstance(outcome, Reloaded)
        assert outcome.master is not None
        name, pid, started = outcome.master
        daemon = load_daemon(name)
        wait_until(lambda: old_workers(daemon, pid, started) == 1, what="one that is left")
    wait_until(lambda: old_workers(daemon, pid, started) == 0, what="none that is left")
    assert old_workers(daemon, pid, started - 1) is None


def test_a_port_of_somebody_else_is_refuted_though_the_command_succeeds(nginx: Running) -> None:
    """`nginx -t` and `-s reload` both say yes; the master does not."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        nginx.write(f"  server {{ listen 127.0.0.1:{port}; }}")
        outcome = nginx.reload()
    assert isinstance(outcome, ReloadFailed)
    assert outcome.report is not None
    assert outcome.report.exit_status == 0
    assert f"bind() to 127.0.0.1:{port} failed" in str(outcome.error)
    assert "the reload is pending" in str(outcome.error)
    nginx.write("")
    assert isinstance(nginx.reload(), Reloaded), "an old refusal in the log does not count"


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("good", [True, False], ids=["taken", "refused"])
def test_a_worker_in_the_place_of_one_that_died_is_no_yes(
    nginx: Running, count: int, good: bool
) -> None:
    """The master starts it with the old configuration, also while it refuses the new one."""
    nginx.conf.write_text(nginx.conf.read_text().replace("processes 1", f"processes {count}"))
    assert isinstance(nginx.reload(), Reloaded)
    wait_until(lambda: len(nginx.before().workers) == count)
    victim = min(pid for pid, _ in nginx.before().workers)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = free_port() if good else other.getsockname()[1]
        nginx.write(f"  server {{ listen 127.0.0.1:{port}; }}")
        outcome = nginx.reload(then=f"kill -9 {victim}")
    assert isinstance(outcome, Reloaded) == good
    if isinstance(outcome, ReloadFailed):
        assert f"bind() to 127.0.0.1:{port} failed" in str(outcome.error)


def test_a_slow_reload_command_costs_no_time_of_its_own(nginx: Running) -> None:
    """The old workers have left by then, in good order."""
    nginx.write("  client_max_body_size 1m;")
    outcome = nginx.reload(then="sleep 0.5")
    assert isinstance(outcome, Reloaded)
    assert outcome.report.duration_s < 2


def test_a_zone_with_another_key_is_refuted(nginx: Running) -> None:
    """The other case that -t cannot see."""
    nginx.write("  limit_req_zone $remote_addr zone=z:1m rate=1r/s;")
    assert isinstance(nginx.reload(), Reloaded)
    nginx.write("  limit_req_zone $host zone=z:1m rate=1r/s;")
    outcome = nginx.reload()
    assert isinstance(outcome, ReloadFailed)
    assert 'limit_req "z" uses the "$host" key' in str(outcome.error)


def test_a_broken_file_fails_in_the_command_itself(nginx: Running) -> None:
    """No need to wait for the master."""
    nginx.conf.write_text("broken")
    outcome = nginx.reload()
    assert isinstance(outcome, ReloadFailed)
    assert outcome.error is None
    assert outcome.report is not None
    assert outcome.report.exit_status == 1


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.unlink(), "seems to run, but there is no pid file"),
        (lambda path: path.write_text(""), "pid file holds no process id"),
        (lambda path: path.write_text("4194304\n"), "no process 4194304"),
        (lambda path: path.write_text(f"{os.getpid()}\n"), "is not the master of nginx but"),
    ],
    ids=["none", "empty", "dead", "other"],
)
def test_nothing_is_signalled_when_the_pid_is_no_nginx_master(
    nginx: Running, spoil: Callable[[Path], object], says: str
) -> None:
    """The command is not even run; nginx runs with its old files, so the reload is pending."""
    spoil(nginx.pidfile)
    outcome = nginx.reload()
    assert isinstance(outcome, ReloadFailed)
    assert outcome.report is None
    assert says in str(outcome.error)
    assert "the reload is pending" in str(outcome.error)


@pytest.mark.parametrize("text", [None, "", "4194304\n"], ids=["none", "empty", "stale"])
def test_an_nginx_that_does_not_run_needs_no_reload(nginx: Running, text: str | None) -> None:
    """It reads its files when it starts: no failure, and nothing is pending."""
    os.kill(nginx.pid, signal.SIGTERM)
    os.waitid(os.P_PID, nginx.pid, os.WEXITED | os.WNOWAIT)
    if text is not None:
        nginx.pidfile.write_text(text)
    outcome = nginx.reload()
    assert isinstance(outcome, NotRunning), outcome
    assert "nginx does not run" in outcome.text


@pytest.mark.parametrize("implied", [False, True])
def test_workers_without_a_master_are_named(nginx: Running, implied: bool) -> None:
    """The master was killed and they hold its port: what to do is said, not only that it failed."""
    workers = [pid for pid, _ in nginx.before().workers]
    os.kill(nginx.pid, signal.SIGKILL)
    os.waitpid(nginx.pid, 0)
    try:
        outcome = reload_confirmed(
            "nginx",
            Command(f"{nginx_binary()} -c {nginx.conf} -s reload", 10.0),
            dest=str(nginx.conf),
            run=Commands().run,
            confirm=Confirm(by="nginx", at=str(nginx.pidfile), implied=implied),
            nginx=Nginx(str(nginx.conf), nginx_binary()),
        )
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
    assert isinstance(outcome, ReloadFailed)
    said = str(outcome.error)
    assert f"the master of nginx has ended (no process {nginx.pid})" in said
    assert all(str(pid) in said for pid in workers)
    assert "end them and start nginx" in said
    assert ("exit status 1; " in said) is implied


def test_the_workers_of_another_nginx_are_not_ours(nginx: Running, tmp_path: Path) -> None:
    """Their titles name no configuration; their master's does."""
    (tmp_path / "other").mkdir()
    other = Nginx(str(tmp_path / "other" / "nginx.conf"), nginx_binary())
    confirm = Confirm(by="nginx", at=str(tmp_path / "other" / "nginx.pid"))
    outcome = reload_confirmed(
        "other", Command("false", 10.0), dest=other.conf, run=Commands().run,
        confirm=confirm, nginx=other,
    )  # fmt: skip
    assert isinstance(outcome, NotRunning), outcome


def test_an_nginx_that_is_starting_is_waited_for(nginx: Running) -> None:
    """It may have read the old files already, so it is reloaded once it can be asked."""
    text = nginx.pidfile.read_text()
    nginx.pidfile.unlink()
    timer = threading.Timer(0.3, lambda: nginx.pidfile.write_text(text))
    timer.start()
    nginx.write("  client_max_body_size 3m;")
    outcome = nginx.reload()
    timer.join()
    assert isinstance(outcome, Reloaded), outcome


def test_the_command_line_of_another_process_is_never_shown(nginx: Running) -> None:
    """It may hold a password."""
    command = [sys.executable, "-c", "input()", "hunter2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as other:
        nginx.pidfile.write_text(f"{other.pid}\n")
        outcome = nginx.reload()
        other.communicate(b"\n")
    assert isinstance(outcome, ReloadFailed)
    assert "hunter2" not in str(outcome.error)


@pytest.mark.parametrize("status", [0, 1])
def test_a_command_of_the_operator_is_run_where_only_we_wanted_a_confirmation(
    nginx: Running, status: int
) -> None:
    """It may reach an nginx in another container; its exit status counts, and that is said."""
    nginx.pidfile.write_text(f"{os.getpid()}\n")
    outcome = reload_confirmed(
        "nginx",
        Command(f"exit {status}", 10.0),
        dest=str(nginx.conf),
        run=Commands().run,
        confirm=Confirm(by="nginx", at=str(nginx.pidfile), implied=True),
    )
    if status:
        assert isinstance(outcome, ReloadFailed)
        assert outcome.report
    else:
        assert isinstance(outcome, Reloaded)
        assert "confirm = false" in outcome.unconfirmed


def test_silence_is_no_confirmation(nginx: Running) -> None:
    """Nobody told the master: the wait ends at its deadline."""
    answer = wait(nginx.before(), 0.2)
    assert answer.verdict is ReloadVerdict.SILENT
    assert answer.text == "no new nginx worker within 0.2 s"


def test_a_master_that_goes_while_we_wait_is_noticed(nginx: Running) -> None:
    """At once, not at the deadline."""
    before = nginx.before()
    os.kill(nginx.pid, signal.SIGKILL)
    os.waitid(os.P_PID, nginx.pid, os.WEXITED | os.WNOWAIT)
    for worker, _ in before.workers:
        os.kill(worker, signal.SIGKILL)
    answer = wait(before, 5)
    assert answer.verdict is ReloadVerdict.SILENT
    assert answer.text == "the nginx master has gone"


def test_the_check_in_context_does_not_mind_a_running_nginx(nginx: Running) -> None:
    """It holds the ports and the pid file; both stay as they are."""
    from pyconfd.pipeline import check, stage
    from tests.support.steps import rendered

    (nginx.folder / "one.conf").write_text("keepalive_timeout 60;\n")
    nginx.write(f"  include {nginx.folder}/one.conf;")
    assert isinstance(nginx.reload(), Reloaded)
    staged = stage.stage(rendered(nginx.folder / "one.conf", b"keepalive_timeout 61;\n"))
    assert staged is not None
    judged = check.check_in_nginx(
        [staged],
        Nginx(str(nginx.conf), nginx_binary()),
        Commands().run,
        timeout_s=10,
        work_dir=str(nginx.folder / "work"),
    )
    assert isinstance(judged, tuple), judged
    assert nginx.pidfile.read_text() == f"{nginx.pid}\n"


def test_the_live_configuration_tells_where_pid_and_log_are(tmp_path: Path) -> None:
    """Named in it, relative to a prefix, or built in."""
    run = Commands().run
    (tmp_path / "a").mkdir()
    tree = plant("debian-default", tmp_path / "a")
    assert paths(tree.nginx, run) == Paths(
        f"{tree.root}/run/nginx.pid", f"{tree.root}/log/error.log"
    )
    (tmp_path / "b").mkdir()
    tree = plant("prefix", tmp_path / "b")
    assert paths(tree.nginx, run) == Paths(
        f"{tree.nginx.prefix}/logs/nginx.pid", f"{tree.nginx.prefix}/logs/error.log"
    )
    (tmp_path / "nginx.conf").write_text("events {}\nerror_log stderr;\n")
    found = paths(Nginx(str(tmp_path / "nginx.conf"), nginx_binary()), run)
    assert os.path.isabs(found.pidfile)
    assert found.log == ""
    with pytest.raises(ReloadError, match=r"absent.conf: the nginx configuration cannot be read"):
        paths(Nginx(str(tmp_path / "absent.conf"), nginx_binary()), run)
