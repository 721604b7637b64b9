"""`pyconfd --onetime` and `--noop` as child processes: exit statuses, output, bad input."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pyconfd.cli.operator import user
from tests.support.daemons.etcd import free_ports
from tests.support.pyconfd import Confdir
from tests.support.waiting import Stopwatch


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store that is a JSON file, so that no service is needed."""
    path = tmp_path / "store.json"
    path.write_text(json.dumps({"app": {"a": "1", "b": "2"}}))
    return path


@pytest.fixture
def confdir(tmp_path: Path, store: Path) -> Confdir:
    return Confdir(tmp_path / "confdir", "--backend", "file", "--file", str(store))


def put(store: Path, tree: object) -> None:
    store.write_text(json.dumps(tree))


def test_a_first_run_writes_and_a_second_changes_nothing(confdir: Confdir) -> None:
    """Exit 0 and a summary both times; no stray files."""
    dest = confdir.simple(reload_cmd='"echo r >> @OUT@/reload.log"')
    first = confdir.once()
    assert first.returncode == 0, first.stderr
    assert dest.read_text() == "/app/a=1\n/app/b=2\n"
    assert first.stderr.splitlines()[-1] == "INFO  done rendered=1 unchanged=0 failed=0"
    before = dest.stat()
    second = confdir.once()
    assert second.returncode == 0
    assert second.stderr.splitlines()[-1] == "INFO  done rendered=0 unchanged=1 failed=0"
    assert dest.stat().st_ino == before.st_ino
    assert dest.stat().st_mtime_ns == before.st_mtime_ns
    assert (confdir.out / "reload.log").read_text() == "r\n"
    assert not list(confdir.out.glob(".*"))


def test_a_lost_state_folder_and_a_wiped_store_together_empty_nothing(
    confdir: Confdir, store: Path
) -> None:
    """What made the live file is not known then, and that no key is there at all is no order."""
    dest = confdir.simple()
    assert confdir.once().returncode == 0
    shutil.rmtree(confdir.folder / "state")
    put(store, {})
    for more in ((), ("--noop",)):
        held = confdir.once(*more)
        assert held.returncode == 1
        assert "held: app: there is no key, and what the live file was made of" in held.stderr
    assert dest.read_text() == "/app/a=1\n/app/b=2\n"
    put(store, {"app": {"a": "3"}})
    assert confdir.once().returncode == 0
    assert dest.read_text() == "/app/a=3\n"


def test_without_any_key_a_file_may_be_made_and_stay(confdir: Confdir, store: Path) -> None:
    """Nothing is lost by the first one, nor by one that is the same; or the operator says so."""
    put(store, {})
    dest = confdir.simple()
    assert confdir.once().returncode == 0
    assert dest.read_text() == ""
    shutil.rmtree(confdir.folder / "state")
    assert confdir.once().returncode == 0
    shutil.rmtree(confdir.folder / "state")
    dest.write_text("somebody's\n")
    confdir.simple(allow_empty="true")
    assert confdir.once().returncode == 0
    assert dest.read_text() == ""


def test_the_same_input_gives_the_same_output(confdir: Confdir) -> None:
    """Nothing in a one-shot log depends on time, process or chance."""
    said = set()
    dest = confdir.simple(reload_cmd='"true"', check_cmd='"test -s {{ src }}"')
    for _ in range(2):
        dest.unlink(missing_ok=True)
        said.add(confdir.once().stderr)
    assert len(said) == 1
    assert "\x1b" not in said.pop()


def test_one_failure_does_not_stop_the_others_and_exits_1(confdir: Confdir) -> None:
    """A missing key names the key, the resource, the template and the line."""
    good = confdir.simple()
    confdir.template("bad.j2", "first\n{{ getv('/app/nothing') }}\n")
    confdir.resource("bad", '[template]\nsrc="bad.j2"\ndest="@OUT@/bad"\nkeys=["/app"]\n')
    done = confdir.once()
    assert done.returncode == 1
    assert good.exists()
    assert not (confdir.out / "bad").exists()
    (line,) = [line for line in done.stderr.splitlines() if "ERROR" in line]
    for part in ("/app/nothing", "resource bad", "bad.j2:2"):
        assert part in line


def test_a_broken_resource_file_does_not_stop_the_good_ones(confdir: Confdir) -> None:
    """Exit 1, the fault with file and line, the good one rendered."""
    good = confdir.simple()
    confdir.resource("broken", '[template]\nsrc = "x.j2"\nchekc_cmd = "true"\n')
    done = confdir.once()
    assert done.returncode == 1
    assert good.exists()
    assert "broken.toml:3" in done.stderr
    assert "check_cmd" in done.stderr


@pytest.mark.parametrize("make", ["missing", "empty"])
def test_nothing_to_do_is_an_error_of_usage(tmp_path: Path, store: Path, make: str) -> None:
    """A missing confdir or one without resources exits 2."""
    confdir = Confdir(tmp_path / "empty", "--backend", "file", "--file", str(store))
    if make == "missing":
        done = confdir.once("--confdir", str(tmp_path / "nowhere"))
    else:
        done = confdir.once()
    assert done.returncode == 2
    assert done.stderr.startswith("pyconfd: error:")


def test_noop_writes_nothing_and_shows_the_diff(confdir: Confdir) -> None:
    """Exit 0, or 3 when asked for details; no state, no reload."""
    dest = confdir.simple(reload_cmd='"echo r >> @OUT@/reload.log"')
    dest.write_text("/app/a=0\n")
    done = confdir.once("--noop", "--diff")
    assert done.returncode == 0
    assert dest.read_text() == "/app/a=0\n"
    assert "-/app/a=0\n+/app/a=1\n+/app/b=2\n" in done.stdout
    assert confdir.once("--noop", "--detailed-exitcode").returncode == 3
    assert not (confdir.out / "reload.log").exists()
    assert os.listdir(confdir.out) == ["app.conf"]
    assert confdir.once().returncode == 0
    assert confdir.once("--noop", "--detailed-exitcode").returncode == 0


def test_sync_only_skips_check_and_reload(confdir: Confdir) -> None:
    """As in confd."""
    dest = confdir.simple(check_cmd='"false"', reload_cmd='"echo r >> @OUT@/reload.log"')
    assert confdir.once("--sync-only").returncode == 0
    assert dest.exists()
    assert not (confdir.out / "reload.log").exists()


def test_a_failed_check_leaves_the_live_file_and_says_what_the_checker_said(
    confdir: Confdir,
) -> None:
    """Exit 1; the output of the check is in the log."""
    dest = confdir.simple(check_cmd='"echo bad thing; exit 3"')
    dest.write_text("previous\n")
    done = confdir.once()
    assert done.returncode == 1
    assert dest.read_text() == "previous\n"
    assert "bad thing" in done.stderr
    assert not list(confdir.out.glob(".*"))


def test_the_words_of_commands_that_succeed_are_debug_lines(confdir: Confdir) -> None:
    """Those of a check too: its warnings are worth reading."""
    dest = confdir.simple(
        check_cmd='"echo checked, with a warning"', reload_cmd='"echo reloaded, with a warning"'
    )
    done = confdir.once("--log-level", "debug")
    for words in ("checked, with a warning", "reloaded, with a warning"):
        assert done.stderr.count(f"| {words}") == 1, done.stderr
    dest.unlink()
    assert "| " not in confdir.once().stderr


def test_a_check_that_hangs_is_ended(confdir: Confdir) -> None:
    """The deadline of the resource, not for ever."""
    dest = confdir.simple(check_cmd='"sleep 60"', check_cmd_timeout='"300ms"')
    took = Stopwatch()
    done = confdir.once()
    assert done.returncode == 1
    assert took.within(20.0, 55.0), took
    assert not dest.exists()
    assert "300" in done.stderr or "0.3" in done.stderr


def test_a_check_that_is_absent_is_named(confdir: Confdir) -> None:
    """A typing error in check_cmd is not mistaken for a bad file."""
    confdir.simple(check_cmd='"no-such-checker {{ src }}"')
    done = confdir.once()
    assert done.returncode == 1
    assert "no-such-checker" in done.stderr


def test_a_failed_reload_is_owed_to_the_next_run(confdir: Confdir) -> None:
    """The file is new, exit 1; the next run reloads although nothing differs."""
    dest = confdir.simple(reload_cmd='"test -e @OUT@/ok && echo r >> @OUT@/reload.log"')
    done = confdir.once()
    assert done.returncode == 1
    assert dest.exists()
    assert "reload failed" in done.stderr
    (confdir.out / "ok").touch()
    assert confdir.once().returncode == 0
    assert (confdir.out / "reload.log").read_text() == "r\n"


def test_values_with_newlines_and_a_mebibyte_pass_and_non_utf8_is_named(
    tmp_path: Path, confdir: Confdir
) -> None:
    """Data is data: what cannot be text is refused by the name of its key."""
    folder = tmp_path / "plain"
    (folder / "app").mkdir(parents=True)
    (folder / "app" / "line").write_bytes(b"a\nb")
    (folder / "app" / "large").write_bytes(b"x" * 2**20)
    dest = confdir.simple()
    done = confdir.once("--file", str(folder))
    assert done.returncode == 0, done.stderr
    assert "/app/line=a\nb\n" in dest.read_text()
    assert dest.stat().st_size > 2**20
    (folder / "app" / "raw").write_bytes(b"\xff\xfe")
    done = confdir.once("--file", str(folder))
    assert done.returncode == 1
    assert "/app/raw" in done.stderr
    assert "UTF-8" in done.stderr


def test_a_missing_destination_folder_is_said_with_its_remedy(confdir: Confdir) -> None:
    """Exit 1 and make_dirs named; with make_dirs it works."""
    confdir.template("x.j2", "x\n")
    toml = '[template]\nsrc="x.j2"\ndest="@OUT@/none/x"\nkeys=["/app"]\n'
    confdir.resource("x", toml)
    done = confdir.once()
    assert done.returncode == 1
    assert "make_dirs" in done.stderr
    confdir.resource("x", toml + "make_dirs = true\n")
    assert confdir.once().returncode == 0
    assert (confdir.out / "none" / "x").read_text() == "x\n"


def test_a_symlinked_destination_stays_a_link(confdir: Confdir) -> None:
    """The file behind it is replaced."""
    dest = confdir.simple()
    real = confdir.out / "real.conf"
    real.write_text("old\n")
    dest.symlink_to(real)
    assert confdir.once().returncode == 0
    assert dest.is_symlink()
    assert real.read_text() == "/app/a=1\n/app/b=2\n"


def test_no_store_within_the_timeout_names_the_address(tmp_path: Path) -> None:
    """Exit 1 after the timeout, nothing touched."""
    port = free_ports(1)[0]
    confdir = Confdir(tmp_path / "confdir", "--node", f"127.0.0.1:{port}", "--timeout", "0.5")
    dest = confdir.simple()
    dest.write_text("last good\n")
    took = Stopwatch()
    done = confdir.once()
    assert done.returncode == 1
    assert took.within(8.0), took
    assert f"127.0.0.1:{port}" in done.stderr
    assert dest.read_text() == "last good\n"


def test_a_store_that_accepts_and_says_nothing_times_out_too(tmp_path: Path) -> None:
    """A listener that never answers is not waited for longer than the timeout."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        confdir = Confdir(tmp_path / "confdir", "--node", f"127.0.0.1:{port}", "--timeout", "0.5")
        confdir.simple()
        done = confdir.once()
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr


def test_only_the_named_resource_is_done(confdir: Confdir) -> None:
    """--resource NAME; an unknown name is an error of usage with the nearest one."""
    one, two = confdir.simple("one", "/app"), confdir.simple("two", "/app")
    assert confdir.once("--resource", "one").returncode == 0
    assert one.exists()
    assert not two.exists()
    done = confdir.once("--resource", "tow")
    assert done.returncode == 2
    assert "two" in done.stderr


def test_json_log_lines_are_json(confdir: Confdir) -> None:
    """Every line of standard error is one object with level and message."""
    confdir.simple()
    done = confdir.once("--log-format", "json")
    assert done.returncode == 0
    records = [json.loads(line) for line in done.stderr.splitlines()]
    assert records[-1]["message"] == "done"
    assert records[-1]["rendered"] == 1
    assert {"time", "level", "message"} <= records[0].keys()


def test_faults_of_conf_d_are_json_too(confdir: Confdir) -> None:
    """Exit 2, and whoever reads the log need not understand two languages."""
    confdir.resource("bad", '[template]\nsrc = "x.j2"\n')
    done = confdir.once("--log-format", "json")
    assert done.returncode == 2
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {line["level"] for line in lines} == {"error"}
    assert "dest is missing" in lines[0]["message"]


def test_a_thousand_keys_and_a_hundred_resources(confdir: Confdir, store: Path) -> None:
    """Everything at once, once."""
    put(store, {"app": {f"k{number:04}": str(number) for number in range(1000)}})
    for number in range(100):
        confdir.simple(f"r{number}")
    done = confdir.once()
    assert done.returncode == 0
    assert len((confdir.out / "r99.conf").read_text().splitlines()) == 1000


def test_a_second_pyconfd_on_the_same_confdir_is_refused(confdir: Confdir) -> None:
    """Two daemons would undo each other's work; the message names the one that runs."""
    dest = confdir.simple()
    with confdir.daemon() as daemon:
        daemon.wait_file(dest, "/app/a=1\n/app/b=2\n")
        done = confdir.once("--timeout", "0.3")
        assert done.returncode != 0
        assert str(daemon.process.pid) in done.stderr


def test_a_held_change_is_released_for_the_next_run(confdir: Confdir, store: Path) -> None:
    """Where no daemon runs that could be asked; it holds for that change alone."""
    dest = confdir.simple()
    assert confdir.once().returncode == 0
    put(store, {})
    assert "held: app: all 2 keys are gone" in confdir.once().stderr
    assert confdir.once().returncode == 1
    for word in ("app", "nosuch"):
        done = subprocess.run(
            [sys.executable, "-m", "pyconfd", "release", word, *confdir.argv()[3:]],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == (0 if word == "app" else 1), done.stderr
    assert dest.read_text() != ""
    done = confdir.once()
    assert done.returncode == 0
    assert f"released while no daemon ran resource=app by={user()} at=20" in done.stderr
    assert dest.read_text() == ""
    put(store, {"app": {"a": "1"}})
    done = confdir.once()
    assert done.returncode == 0
    assert "released while" not in done.stderr
    put(store, {})
    assert confdir.once().returncode == 1
