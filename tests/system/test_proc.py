"""Commands: bounded in time and output, alone in their group, never waited for too long."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from pyconfd.model.steps import Ending
from pyconfd.system.proc import Commands
from tests.support.waiting import Stopwatch, wait_until


def alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def pid_in(path: Path) -> int:
    """The number a script wrote, once it has."""
    wait_until(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def test_both_outputs_and_the_status_are_reported() -> None:
    """As they came."""
    report = Commands().run("echo out; echo err >&2; exit 3", timeout_s=60)
    assert (report.exit_status, report.output, report.problem) == (3, "out\nerr\n", "")
    assert report.ending is Ending.EXITED
    assert report.reason == "exit status 3"
    assert not report.ok
    assert not report.truncated
    assert 0 < report.duration_s < 60


def test_an_argument_list_needs_no_shell() -> None:
    """Arguments arrive as they are."""
    assert Commands().run(["printf", "%s|", "a b", "$HOME"], timeout_s=60).output == "a b|$HOME|"


def test_standard_input_is_empty() -> None:
    """A command that asks gets no answer instead of hanging."""
    assert Commands().run("cat; echo done", timeout_s=60).output == "done\n"


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["no-such-program"], "could not be started: No such file"),
        (["a\0b"], "could not be started: embedded null byte"),
        ("echo a\0b", "could not be started: embedded null byte"),
    ],
)
def test_a_command_that_cannot_start_is_a_report(argv: str | list[str], says: str) -> None:
    """Not an exception."""
    report = Commands().run(argv, timeout_s=60)
    assert report.exit_status is None
    assert report.ending is Ending.NOT_STARTED
    assert says in report.problem


def test_a_command_ended_by_a_signal_says_which() -> None:
    """Not an exit status of its own."""
    report = Commands().run("kill -SEGV $$", timeout_s=60)
    assert (report.exit_status, report.problem) == (None, "killed by signal 11 (SIGSEGV)")
    assert report.ending is Ending.SIGNALLED


def test_signals_that_python_ignores_are_normal_again_in_the_child() -> None:
    """A pipeline whose reader ends early ends, instead of writing into the void."""
    assert Commands().run("yes | head -1", timeout_s=60).output == "y\n"


def test_the_deadline_ends_the_whole_group(tmp_path: Path) -> None:
    """Grandchildren that outlive the shell, too."""
    took = Stopwatch()
    report = Commands().run(f"sleep 60 & echo $! >{tmp_path}/pid; echo hi; wait", timeout_s=1)
    assert report.problem == "timed out after 1 s"
    assert report.ending is Ending.TIMED_OUT
    assert report.exit_status is None
    assert report.output == "hi\n"
    assert took.within(3.0), took
    wait_until(lambda: not alive(pid_in(tmp_path / "pid")))


def test_a_group_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """After the grace."""
    script = f"trap '' TERM; echo $$ >{tmp_path}/pid; while :; do sleep 0.05; done"
    report = Commands(kill_grace_s=0.4).run(script, timeout_s=1)
    assert report.problem == "timed out after 1 s"
    assert 1.4 < report.duration_s < 30
    assert not alive(pid_in(tmp_path / "pid"))


def test_a_grandchild_that_ignores_sigterm_gets_the_rest_of_the_grace(tmp_path: Path) -> None:
    """The shell goes at once, its child does not."""
    child = f"trap '' TERM; echo $$ >{tmp_path}/pid; while :; do sleep 0.05; done"
    report = Commands(kill_grace_s=0.4).run(
        f'sh -c "{child.replace("$", chr(92) + "$")}" & wait', timeout_s=1
    )
    assert report.duration_s < 30
    wait_until(lambda: not alive(pid_in(tmp_path / "pid")))


def test_a_descendant_with_a_group_of_its_own_is_ended_too(tmp_path: Path) -> None:
    """As long as it hangs below the command."""
    report = Commands().run(f"setsid sh -c 'echo $$ >{tmp_path}/pid; exec sleep 60'", timeout_s=1)
    assert report.problem.startswith("timed out")
    wait_until(lambda: not alive(pid_in(tmp_path / "pid")))


def test_a_daemon_left_behind_is_neither_waited_for_nor_ended(tmp_path: Path) -> None:
    """Even when it holds on to the output, and even when it writes to it later."""
    script = (
        f"(echo $$ >/dev/null; sh -c 'echo $$ >{tmp_path}/pid; sleep 0.3; echo late;"
        f" echo >{tmp_path}/wrote; exec sleep 60') & echo started"
    )
    report = Commands().run(script, timeout_s=30)
    assert report.ok
    assert report.duration_s < 20
    pid = pid_in(tmp_path / "pid")
    try:
        wait_until((tmp_path / "wrote").exists)
        assert alive(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: "left-behind" not in {each.name for each in threading.enumerate()})


def test_a_flood_is_bounded_and_keeps_both_ends() -> None:
    """100 MB go through; the first and the last words stay."""
    script = "echo first; head -c 100000000 /dev/zero | tr '\\0' x; echo; echo last"
    report = Commands().run(script, timeout_s=60)
    assert report.ok
    assert report.truncated
    assert len(report.output) < 70_000
    assert report.output.startswith("first\nxxx")
    assert report.output.endswith("xxx\nlast\n")
    assert "bytes left out" in report.output


def test_a_flood_without_end_meets_its_deadline() -> None:
    """Reading never keeps us from looking at the clock."""
    report = Commands().run("exec yes", timeout_s=0.3)
    assert report.problem.startswith("timed out")
    assert report.duration_s < 20


def test_output_that_is_not_utf8_does_no_harm() -> None:
    """Shown with replacement signs."""
    assert Commands().run("printf 'a\\377b'", timeout_s=60).output == "a\ufffdb"


def test_a_command_that_closes_its_output_is_still_waited_for() -> None:
    """The end of the output is not the end of the command."""
    report = Commands().run("exec >&- 2>&-; sleep 0.3; exit 4", timeout_s=60)
    assert report.exit_status == 4
    assert report.duration_s >= 0.3


@pytest.mark.parametrize(
    ("text", "timeout_s", "status"),
    [
        ("echo hi; exit 3", 5, 3),
        ("exec >&- 2>&-; sleep 0.5; exit 4", 60, 4),
        ("sleep 9", 0.5, None),
    ],
)
def test_kernels_without_pidfd_will_do(text: str, timeout_s: float, status: int | None) -> None:
    """Exits are looked for, without spinning when the output is closed early."""
    before = time.process_time()
    assert Commands(pidfd=False).run(text, timeout_s=timeout_s).exit_status == status
    assert time.process_time() - before < 0.3


def test_stop_lets_a_running_command_end() -> None:
    """Within the grace; a new one is not started."""
    commands = Commands()
    reports = []
    thread = threading.Thread(
        target=lambda: reports.append(commands.run("sleep 0.3; echo done", timeout_s=30))
    )
    thread.start()
    wait_until(lambda: commands.running > 0)
    commands.stop(20)
    thread.join()
    assert reports[0].ok
    assert reports[0].output == "done\n"
    late = commands.run("echo no", timeout_s=60)
    assert late.problem == "not started: pyconfd is stopping"
    assert late.ending is Ending.STOPPED


def test_stop_ends_a_command_that_takes_longer_than_the_grace() -> None:
    """Bounded."""
    commands = Commands()
    reports = []
    thread = threading.Thread(target=lambda: reports.append(commands.run("sleep 60", timeout_s=90)))
    thread.start()
    wait_until(lambda: commands.running > 0)
    took = Stopwatch()
    commands.stop(0.2)
    thread.join()
    assert took.within(3.0), took
    assert reports[0].problem == "stopped"
    assert reports[0].ending is Ending.STOPPED


def test_commands_run_side_by_side() -> None:
    """Lanes do not wait for each other."""
    commands = Commands()
    took = Stopwatch()
    threads = [
        threading.Thread(target=commands.run, args=("sleep 0.4",), kwargs={"timeout_s": 60})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert took.within(1.4), took


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    """After good, failed, timed out and unstartable commands."""
    commands = Commands()
    before = len(os.listdir("/proc/self/fd"))
    for command in ("true", "false", ["no-such-program"], "sleep 5"):
        commands.run(command, timeout_s=0.2)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_command_sees_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """What programs need, what the operator allows, and what the caller gives."""
    monkeypatch.setenv("PYCONFD_PASSWORD", "hunter2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/x")
    monkeypatch.setenv("APACHE_CONFDIR", "/etc/apache2")
    monkeypatch.setenv("LC_ALL", "C")
    run = Commands(variables=("APACHE_CONFDIR",)).run
    seen = run(["env"], timeout_s=60, env={"PYCONFD_SRC": "/a b"}).output.splitlines()
    names = {line.partition("=")[0] for line in seen}
    assert {"PATH", "LC_ALL", "APACHE_CONFDIR", "PYCONFD_SRC"} <= names
    assert not names & {"PYCONFD_PASSWORD", "AWS_SECRET_ACCESS_KEY", "NOTIFY_SOCKET"}
