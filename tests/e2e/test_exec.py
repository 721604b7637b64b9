"""`pyconfd --watch -- COMMAND`: the files first, then the command, and one end for both."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.daemons.live_nginx import LiveNginx
from tests.support.http import ask
from tests.support.pyconfd import Confdir, save
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

#: Writes what it sees and what it is sent into the file it is given, and ends with 7 on TERM.
PROGRAM = """
import os, signal, sys, time
out = open(sys.argv[1], "a", buffering=1)
def got(number, frame):
    out.write(signal.Signals(number).name + "\\n")
    if number == signal.SIGTERM:
        sys.exit(7)
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT):
    signal.signal(number, got)
out.write("started " + open(sys.argv[2]).read())
while True:
    time.sleep(60)
"""


class World:
    """A confdir on a file, and a program that notes what happens to it."""

    def __init__(self, folder: Path) -> None:
        self.keys = folder / "keys.json"
        self.put({"a": "1"})
        self.confdir = Confdir(folder / "confdir", "--backend", "file", "--file", str(self.keys))
        self.notes = folder / "notes"
        self.program = folder / "program.py"
        self.program.write_text(PROGRAM)

    def put(self, app: dict[str, str]) -> None:
        """Replace all keys."""
        save(self.keys, json.dumps({"app": app}))

    def command(self, dest: Path) -> list[str]:
        """What stands after `--`."""
        return ["--", sys.executable, str(self.program), str(self.notes), str(dest)]

    def seen(self) -> list[str]:
        """Its lines."""
        return self.notes.read_text().splitlines() if self.notes.exists() else []


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_command_starts_with_its_files_and_is_signalled_on_changes(world: World) -> None:
    """And no signal is sent for what it has read at its start."""
    dest = world.confdir.simple()
    with world.confdir.daemon("--reload-signal", "HUP", *world.command(dest)) as daemon:
        daemon.wait(lambda: world.seen() == ["started /app/a=1"], "start")
        world.put({"a": "2"})
        daemon.wait(lambda: world.seen()[1:] == ["SIGHUP"], "a signal")
        assert dest.read_text() == "/app/a=2\n"
        daemon.signal(signal.SIGUSR1)
        daemon.wait(lambda: world.seen()[2:] == ["SIGUSR1"], "a signal that is passed on")
        assert daemon.end() == 7, "the exit status of the command"
    assert world.seen()[3:] == ["SIGTERM"]


def test_a_bad_value_at_the_start_holds_the_command_back_until_it_is_mended(world: World) -> None:
    """There is no good version of the file; the next one lets it start."""
    dest = world.confdir.simple(check_cmd="\"grep -q good '{{ src }}'\"")
    with world.confdir.daemon(*world.command(dest)) as daemon:
        daemon.wait_log("the command is not started yet")
        assert not world.seen()
        world.put({"a": "good"})
        daemon.wait(lambda: world.seen() == ["started /app/a=good"], "start")


def test_a_bad_value_beside_a_good_file_starts_the_command_with_that(world: World) -> None:
    """The last good file stays, as always."""
    dest = world.confdir.simple(check_cmd="\"grep -q good '{{ src }}'\"")
    dest.write_text("/app/a=good\n")
    with world.confdir.daemon(*world.command(dest)) as daemon:
        daemon.wait(lambda: world.seen() == ["started /app/a=good"], "start")
        assert "the check refused the new version" in daemon.log


def test_an_outage_at_the_start_does_not_keep_the_command_from_its_last_good_files(
    world: World,
) -> None:
    """Those that an earlier run has made; what else stands there is waited for."""
    dest = world.confdir.simple(reload_cmd='"echo reload >> @OUT@/reloads"')
    text = world.keys.read_text()
    world.keys.unlink()
    dest.write_text("of the image\n")
    with world.confdir.daemon(*world.command(dest)) as daemon:
        daemon.wait_log("status: store unavailable")
        assert not world.seen()
        save(world.keys, text)
        daemon.wait(lambda: world.seen() == ["started /app/a=1"], "start")
    world.keys.unlink()
    with world.confdir.daemon(*world.command(dest)) as daemon:
        daemon.wait(lambda: world.seen()[2:] == ["started /app/a=1"], "start without a store")
        daemon.wait_log("the command runs with the files of before until the store can be read")
        world.put({"a": "2"})
        daemon.wait_file(dest, "/app/a=2\n")
        daemon.wait_log("reloaded")
    assert world.seen()[3:] == ["SIGTERM"]


@pytest.mark.parametrize(("ending", "status"), [("exit 3", 3), ("kill -9 $$", 137)])
def test_pyconfd_ends_with_its_command(world: World, ending: str, status: int) -> None:
    """With its status; starting it again is for the platform."""
    world.confdir.simple()
    with world.confdir.daemon("--", "sh", "-c", ending) as daemon:
        assert daemon.process.wait(60) == status
        assert f"exit_status={status}" in daemon.log


def test_what_a_killed_command_leaves_behind_goes_with_it(world: World) -> None:
    """Workers of nginx would keep its ports. What one leaves that ends by itself stays."""
    world.confdir.simple()
    left = world.confdir.out / "left"
    for ending, stays in (("kill -9 $$", False), ("exit 3", True)):
        script = f"sleep 600 </dev/null >/dev/null 2>&1 & echo $! > {left}; {ending}"
        with world.confdir.daemon("--", "sh", "-c", script) as daemon:
            daemon.process.wait(60)
        process = Path("/proc", left.read_text().strip())
        if stays:
            os.kill(int(process.name), signal.SIGKILL)
        wait_until(lambda process=process: not process.exists() or is_zombie(process))


def is_zombie(process: Path) -> bool:
    return ") Z " in (process / "stat").read_text()


def test_a_command_that_does_not_exist_is_said(world: World) -> None:
    """As a shell does, with status 127."""
    world.confdir.simple()
    with world.confdir.daemon("--", "/no/such/program") as daemon:
        assert daemon.process.wait(60) == 127
        assert "/no/such/program: cannot be started: No such file" in daemon.log


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--watch", "--"], "names no command"),
        (["--onetime", "--", "true"], "pyconfd --onetime && exec COMMAND"),
        (["--watch", "--reload-signal", "HUP"], "is of use with a command after -- only"),
        (["--watch", "--reload-signal", "NOPE", "--", "true"], "unknown signal 'NOPE'"),
    ],
)
def test_what_does_not_go_together_is_a_fault(world: World, argv: list[str], says: str) -> None:
    """Before anything is done."""
    world.confdir.simple()
    done = subprocess.run(world.confdir.argv(*argv), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert says in done.stderr


def test_a_signal_of_other_programs_does_not_end_the_daemon(world: World) -> None:
    """SIGUSR1 rotates logs elsewhere."""
    dest = world.confdir.simple()
    with world.confdir.daemon() as daemon:
        daemon.wait_file(dest, "/app/a=1\n")
        daemon.signal(signal.SIGUSR1)
        daemon.signal(signal.SIGUSR2)
        world.put({"a": "2"})
        daemon.wait_file(dest, "/app/a=2\n")


def _site(tmp_path: Path) -> tuple[LiveNginx, Path, Confdir]:
    """One nginx, the file of its keys, and a site whose text is a key."""
    nginx = LiveNginx(tmp_path / "nginx")
    keys = tmp_path / "keys.json"
    save(keys, json.dumps({"text": "one"}))
    confdir = Confdir(tmp_path / "confdir", "--backend", "file", "--file", str(keys))
    confdir.template(
        "a.j2",
        f"server {{ listen 127.0.0.1:{nginx.port}; "
        "location / { return 200 \"{{ getv('/text') }}\"; } }\n",
    )
    confdir.resource(
        "a",
        f'[template]\nsrc = "a.j2"\ndest = "{nginx.sites}/a.conf"\nkeys = ["/text"]\n'
        f'check = "nginx"\nnginx_conf = "{nginx.conf}"\nnginx_prefix = "{nginx.folder}"\n',
    )
    return nginx, keys, confdir


def test_nginx_is_started_reloaded_and_ended(tmp_path: Path) -> None:
    """In the foreground, as in a container."""
    nginx, keys, confdir = _site(tmp_path)
    command = ["--", *nginx.argv()]
    with confdir.daemon(*command) as daemon:
        daemon.wait(lambda: _answer(nginx) == "one", "the first answer")
        save(keys, json.dumps({"text": "two"}))
        daemon.wait(lambda: _answer(nginx) == "two", "the second answer")
        save(keys, json.dumps({"text": 'x"; } broken'}))
        daemon.wait_log("which nginx may read as syntax")
        assert _answer(nginx) == "two"
        (master,) = [
            int(line.split("pid=")[1].split()[0])
            for line in daemon.log.splitlines()
            if "INFO  started" in line
        ]
        assert daemon.end() == 0
        wait_until(lambda: not Path(f"/proc/{master}").exists())


@pytest.mark.parametrize("late", [False, True], ids=["store up", "store late"])
def test_the_documented_entrypoint(tmp_path: Path, late: bool) -> None:
    """`sh -ec 'pyconfd --onetime; exec nginx'`, then a second run beside the running nginx."""
    nginx, keys, confdir = _site(tmp_path)
    text = keys.read_text()
    if late:
        keys.unlink()
        threading.Timer(1.0, lambda: save(keys, text)).start()
    once = " ".join(confdir.argv("--onetime", "--wait-for-store", "60s"))
    serve = " ".join(nginx.argv())
    with subprocess.Popen(["sh", "-ec", f"{once}; exec {serve}"], stderr=subprocess.PIPE) as shell:
        try:
            wait_until(lambda: _answer(nginx) == "one")
            save(keys, json.dumps({"text": "two"}))
            done = confdir.once()
            assert done.returncode == 0, done.stderr
            wait_until(lambda: _answer(nginx) == "two")
        finally:
            shell.terminate()


def test_the_documented_entrypoint_does_not_start_with_a_bad_value(tmp_path: Path) -> None:
    """sh -e stops at the exit status of the run."""
    nginx, keys, confdir = _site(tmp_path)
    save(keys, json.dumps({"text": 'x"; } broken'}))
    once = " ".join(confdir.argv("--onetime"))
    argv = ["sh", "-ec", f"{once}; exec {' '.join(nginx.argv())}"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "which nginx may read as syntax" in done.stderr


def test_the_entrypoint_may_start_nginx_with_its_last_good_file(tmp_path: Path) -> None:
    """
    A second start with a bad value: `sh -e` starts nothing, and `|| true`, which the operator may
    choose, starts nginx with the file that was good. Mended, both start with the new one.
    """
    nginx, keys, confdir = _site(tmp_path)
    assert confdir.once().returncode == 0
    save(keys, json.dumps({"text": 'x"; } broken'}))
    once, serve = " ".join(confdir.argv("--onetime")), " ".join(nginx.argv())
    strict = subprocess.run(
        ["sh", "-ec", f"{once}; exec {serve}"], capture_output=True, text=True, timeout=120
    )
    assert strict.returncode == 1
    assert ask(nginx.port, timeout_s=5).status == 0
    for text, expected in ((None, "one"), ("two", "two")):
        if text:
            save(keys, json.dumps({"text": text}))
        with subprocess.Popen(
            ["sh", "-ec", f"{once} || true; exec {serve}"], stderr=subprocess.DEVNULL
        ) as shell:
            try:
                wait_until(lambda expected=expected: _answer(nginx) == expected)
            finally:
                shell.terminate()


def _answer(nginx: LiveNginx) -> str:
    return ask(nginx.port, timeout_s=5).text


def test_as_process_one_it_reaps_what_reload_commands_leave(world: World) -> None:
    """`haproxy -D -sf` leaves its new process to init."""
    if subprocess.run(["unshare", "--pid", "--fork", "true"], check=False).returncode:
        pytest.skip("needs the right to make a pid namespace")
    left = "(sleep 0.1 &) ; true"
    dest = world.confdir.simple(reload_cmd=json.dumps(left))
    argv = ["unshare", "--pid", "--fork", "--mount-proc", *world.confdir.argv("--watch")]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        for number in range(3):
            world.put({"a": str(number)})
            wait_until(lambda: dest.exists() and dest.read_text() == f"/app/a={number}\n")  # noqa: B023
        inside = int(_children(process.pid)[0])
        wait_until(lambda: len(_children(inside)) == 1 and not _zombies(inside))
    finally:
        os.kill(int(_children(process.pid)[0]), signal.SIGTERM)
        process.communicate(timeout=60)


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _zombies(pid: int) -> list[str]:
    return [one for one in _children(pid) if " Z " in Path(f"/proc/{one}/stat").read_text()]


def test_a_store_that_comes_up_late_is_waited_for(world: World) -> None:
    """At boot; without the option one try is all there is."""
    dest = world.confdir.simple()
    text = world.keys.read_text()
    world.keys.unlink()
    assert world.confdir.once().returncode == 1
    timer = threading.Timer(1.0, lambda: save(world.keys, text))
    timer.start()
    done = world.confdir.once("--wait-for-store", "60s")
    timer.join()
    assert done.returncode == 0, done.stderr
    assert dest.read_text() == "/app/a=1\n"
