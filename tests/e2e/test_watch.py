"""`pyconfd --watch` as a child process on a real etcd."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemons.etcd import PrivateEtcd, free_ports
from tests.support.pyconfd import Confdir
from tests.support.waiting import Stopwatch, wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[PrivateEtcd]:
    with PrivateEtcd(tmp_path / "etcd") as server:
        yield server


@pytest.fixture
def confdir(tmp_path: Path, etcd: PrivateEtcd) -> Confdir:
    return Confdir(tmp_path / "confdir", "--node", etcd.endpoint, "--log-level", "debug")


def reloads(confdir: Confdir, name: str = "reload.log") -> int:
    path = confdir.out / name
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_puts_and_deletes_reach_the_file_and_each_is_reloaded(
    etcd: PrivateEtcd, confdir: Confdir
) -> None:
    """The first render, a put, a change and a delete."""
    etcd.put("/app/a", "1")
    dest = confdir.simple(reload_cmd='"echo r >> @OUT@/reload.log"')
    with confdir.daemon() as daemon:
        daemon.wait_file(dest, "/app/a=1\n")
        for number, (act, text) in enumerate(
            [
                (lambda: etcd.put("/app/b", "2"), "/app/a=1\n/app/b=2\n"),
                (lambda: etcd.put("/app/a", "9"), "/app/a=9\n/app/b=2\n"),
                (lambda: etcd.delete("/app/a"), "/app/b=2\n"),
            ],
            start=2,
        ):
            act()
            daemon.wait_file(dest, text)
            daemon.wait(lambda n=number: reloads(confdir) == n, f"reload {number}")
        assert daemon.end() == 0
    assert not list(confdir.out.glob(".*")), "no stray file is left"


def test_same_values_and_sibling_prefixes_cause_no_work(
    etcd: PrivateEtcd, confdir: Confdir
) -> None:
    """A heartbeat that rewrites its value and /apple beside /app render nothing."""
    etcd.put("/app/a", "1")
    dest = confdir.simple()
    with confdir.daemon() as daemon:
        daemon.wait_file(dest, "/app/a=1\n")
        daemon.wait_log("updated")
        for _ in range(20):
            etcd.put("/app/a", "1")
            etcd.put("/apple/x", "1")
            etcd.put("/app-x/y", "1")
        etcd.put("/app/a", "2")
        daemon.wait_file(dest, "/app/a=2\n")
        daemon.wait_log("updated", count=2)
        assert "unchanged" not in daemon.log
        assert daemon.log.count("updated") == 2


def test_only_the_resources_that_read_a_key_are_rendered(
    etcd: PrivateEtcd, confdir: Confdir
) -> None:
    """Two resources share keys = ["/app"], but a change of /app/one concerns only its reader."""
    etcd.put_many([("/app/one", "1"), ("/app/two", "2")])
    for name in ("one", "two"):
        confdir.template(f"{name}.j2", f"{{{{ getv('/app/{name}') }}}}\n")
        confdir.resource(name, f'[template]\nsrc="{name}.j2"\ndest="@OUT@/{name}"\nkeys=["/app"]\n')
    with confdir.daemon() as daemon:
        daemon.wait_log("updated", count=2)
        etcd.put("/app/one", "changed")
        daemon.wait_file(confdir.out / "one", "changed\n")
        daemon.wait_log("updated", count=3)
        assert "unchanged" not in daemon.log


def test_a_failed_reload_is_retried_until_it_succeeds(etcd: PrivateEtcd, confdir: Confdir) -> None:
    """No later change is needed to bring the reload about."""
    etcd.put("/app/a", "1")
    flag = confdir.out / "ok"
    dest = confdir.simple(
        reload_cmd='"echo try >> @OUT@/try; test -e @OUT@/ok && echo r >> @OUT@/reload.log"'
    )
    with confdir.daemon() as daemon:
        daemon.wait_file(dest, "/app/a=1\n")
        daemon.wait_log("reload failed")
        flag.touch()
        daemon.wait(lambda: reloads(confdir) == 1, "the retried reload")
        daemon.wait_log("reloaded")
        assert daemon.end() == 0


def test_a_refused_version_leaves_the_live_file_and_a_good_one_passes_later(
    etcd: PrivateEtcd, confdir: Confdir
) -> None:
    """The check's own words are in the log."""
    etcd.put("/app/a", "good")
    dest = confdir.simple(
        check_cmd="'grep -q bad {{ src }} && { echo it is bad; exit 3; } || true'"
    )
    with confdir.daemon() as daemon:
        daemon.wait_file(dest, "/app/a=good\n")
        etcd.put("/app/a", "bad")
        daemon.wait_log("it is bad")
        assert dest.read_text() == "/app/a=good\n"
        etcd.put("/app/a", "better")
        daemon.wait_file(dest, "/app/a=better\n")


def test_a_burst_is_coalesced_and_the_newest_wins(etcd: PrivateEtcd, confdir: Confdir) -> None:
    """500 puts while a slow reload runs become a handful of reloads, the last one included."""
    etcd.put("/app/a", "0")
    dest = confdir.simple(reload_cmd='"sleep 0.2; echo r >> @OUT@/reload.log"')
    with confdir.daemon() as daemon:
        daemon.wait(lambda: reloads(confdir) == 1, "first reload")
        took = Stopwatch()
        for number in range(1, 501):
            etcd.put("/app/a", str(number))
        daemon.wait_file(dest, "/app/a=500\n")
        # A slow disk takes longer for so many puts, and each reload sleeps 0.2 s.
        most = max(50.0, 5 + took.wall_s / 0.2)
        text = dest.read_text()
        daemon.wait_log("reloaded", count=2)
        assert daemon.end() == 0
    assert text == "/app/a=500\n"
    assert reloads(confdir) < most


def test_one_reload_for_resources_that_share_the_command(
    etcd: PrivateEtcd, confdir: Confdir
) -> None:
    """Three files change in one transaction; the service is told once."""
    etcd.put("/app/a", "1")
    for name in ("x", "y", "z"):
        confdir.simple(name, reload_cmd='"echo r >> @OUT@/reload.log"')
    with confdir.daemon() as daemon:
        daemon.wait(lambda: reloads(confdir) == 1, "first reload")
        etcd.put("/app/a", "2")
        for name in ("x", "y", "z"):
            daemon.wait_file(confdir.out / f"{name}.conf", "/app/a=2\n")
        daemon.wait_log("reloaded", count=2)
        assert daemon.end() == 0
    assert reloads(confdir) == 2


def test_a_slow_reload_of_one_service_does_not_hold_up_another(
    etcd: PrivateEtcd, confdir: Confdir
) -> None:
    """Services are independent lanes."""
    etcd.put_many([("/slow/a", "1"), ("/fast/a", "1")])
    confdir.simple("slow", "/slow", reload_cmd='"sleep 30"')
    fast = confdir.simple("fast", "/fast", reload_cmd='"echo r >> @OUT@/reload.log"')
    with confdir.daemon("--shutdown-timeout", "1") as daemon:
        daemon.wait(lambda: reloads(confdir) == 1, "first reload")
        etcd.put("/fast/a", "2")
        daemon.wait_file(fast, "/fast/a=2\n", timeout_s=25)


def test_sigterm_lets_a_running_reload_end(etcd: PrivateEtcd, confdir: Confdir) -> None:
    """A stop in the middle of a reload waits for it and leaves no orphan."""
    etcd.put("/app/a", "1")
    confdir.simple(reload_cmd='"touch @OUT@/begun; sleep 1; echo r >> @OUT@/reload.log"')
    with confdir.daemon() as daemon:
        daemon.wait((confdir.out / "begun").exists, "begun reload")
        assert daemon.end() == 0
    assert reloads(confdir) == 1


def test_sigterm_ends_a_reload_that_hangs_within_its_bound(
    etcd: PrivateEtcd, confdir: Confdir
) -> None:
    """The whole process group goes, the reload stays owed and is paid by the next run."""
    etcd.put("/app/a", "1")
    marker = f"{31_000_000 + free_ports(1)[0]}"
    confdir.simple(
        reload_cmd='"touch @OUT@/begun; test -e @OUT@/ok || '
        f'sleep {marker}; echo r >> @OUT@/reload.log"'
    )
    with confdir.daemon("--shutdown-timeout", "0.5") as daemon:
        daemon.wait((confdir.out / "begun").exists, "begun reload")
        took = Stopwatch()
        daemon.end()
        assert took.within(8.0), took
    gone = ["pgrep", "-f", f"sleep {marker}"]
    wait_until(lambda: subprocess.run(gone, check=False).returncode == 1)
    assert reloads(confdir) == 0
    (confdir.out / "ok").touch()
    with confdir.daemon() as daemon:
        daemon.wait(lambda: reloads(confdir) == 1, "reload owed by the killed run")


def test_sigkill_between_swap_and_reload_leaves_a_debt_that_the_next_run_pays(
    etcd: PrivateEtcd, confdir: Confdir
) -> None:
    """The file is already new, so only the journal knows."""
    etcd.put("/app/a", "1")
    dest = confdir.simple(
        reload_cmd='"touch @OUT@/begun; test -e @OUT@/ok || sleep 20; echo r >> @OUT@/reload.log"'
    )
    with confdir.daemon() as daemon:
        daemon.wait((confdir.out / "begun").exists, "begun reload")
        daemon.process.kill()
        daemon.process.wait()
    subprocess.run(["pkill", "-f", str(confdir.out)], check=False)
    assert dest.read_text() == "/app/a=1\n"
    assert reloads(confdir) == 0
    (confdir.out / "ok").touch()
    done = confdir.once()
    assert done.returncode == 0, done.stderr
    assert reloads(confdir) == 1
    assert confdir.once().returncode == 0
    assert reloads(confdir) == 1, "paid once, not for ever"


def test_a_store_that_is_absent_at_start_is_said_once_and_waited_for(
    etcd: PrivateEtcd, confdir: Confdir
) -> None:
    """Live files are untouched; the render follows when the store comes."""
    etcd.put("/app/a", "1")
    etcd.stop()
    dest = confdir.simple()
    dest.write_text("last good\n")
    with confdir.daemon() as daemon:
        daemon.wait_log("tried again")
        assert daemon.process.poll() is None
        assert dest.read_text() == "last good\n"
        etcd.start()
        daemon.wait_file(dest, "/app/a=1\n")
        assert daemon.log.count("ERROR") == 1, daemon.log


def test_an_outage_and_a_compaction_lose_nothing(etcd: PrivateEtcd, confdir: Confdir) -> None:
    """Changes made while the watch was away arrive after it, deletions included."""
    etcd.put_many([("/app/a", "1"), ("/app/b", "1")])
    dest = confdir.simple()
    with confdir.daemon() as daemon:
        daemon.wait_file(dest, "/app/a=1\n/app/b=1\n")
        daemon.signal(signal.SIGSTOP)
        etcd.delete("/app/b")
        etcd.put("/app/c", "3")
        etcd.restart()
        etcd.compact()
        daemon.signal(signal.SIGCONT)
        daemon.wait_file(dest, "/app/a=1\n/app/c=3\n")


def test_sighup_takes_a_good_set_and_keeps_the_old_one_when_the_new_is_broken(
    etcd: PrivateEtcd, confdir: Confdir
) -> None:
    """New prefixes are watched, and a broken file changes nothing."""
    etcd.put_many([("/app/a", "1"), ("/new/a", "1")])
    dest = confdir.simple()
    with confdir.daemon() as daemon:
        daemon.wait_file(dest, "/app/a=1\n")
        broken = confdir.resource("broken", "[template]\nsrc = 1\n")
        daemon.signal(signal.SIGHUP)
        daemon.wait_log("the running one is kept")
        etcd.put("/app/a", "2")
        daemon.wait_file(dest, "/app/a=2\n")
        broken.unlink()
        new = confdir.simple("new", "/new")
        daemon.signal(signal.SIGHUP)
        daemon.wait_file(new, "/new/a=1\n")
        etcd.put_many([("/app/a", "3"), ("/new/a", "3")])
        daemon.wait_file(dest, "/app/a=3\n")
        daemon.wait_file(new, "/new/a=3\n")


def test_a_destination_changed_or_removed_by_hand_is_repaired(
    etcd: PrivateEtcd, confdir: Confdir
) -> None:
    """The slow comparison finds what no event tells."""
    etcd.put("/app/a", "1")
    dest = confdir.simple()
    with confdir.daemon("--resync", "0.3") as daemon:
        daemon.wait_file(dest, "/app/a=1\n")
        dest.write_text("by hand")
        daemon.wait_file(dest, "/app/a=1\n")
        dest.unlink()
        daemon.wait_file(dest, "/app/a=1\n")


def test_interval_polling_is_the_default_mode(etcd: PrivateEtcd, confdir: Confdir) -> None:
    """Without --watch the store is read every interval."""
    etcd.put("/app/a", "1")
    dest = confdir.simple()
    with confdir.daemon("--interval", "0.2", watch=False) as daemon:
        daemon.wait_file(dest, "/app/a=1\n")
        etcd.put("/app/a", "2")
        daemon.wait_file(dest, "/app/a=2\n")
        etcd.stop()
        said = daemon.wait_log("tried again")
        assert "unchanged" not in said.replace("DEBUG unchanged", "")  # kept: that is said once
        etcd.start()
        etcd.put("/app/a", "3")
        daemon.wait_file(dest, "/app/a=3\n")


def test_pairs_written_in_one_transaction_are_never_seen_apart(
    etcd: PrivateEtcd, confdir: Confdir
) -> None:
    """Every state of the file was a state of the store."""
    confdir.template("app.j2", "{{ getv('/app/a') }}-{{ getv('/app/b') }}\n")
    confdir.resource(
        "app",
        '[template]\nsrc="app.j2"\ndest="@OUT@/app"\nkeys=["/app"]\n'
        'reload_cmd="cat @OUT@/app >> @OUT@/seen"\n',
    )
    etcd.put_many([("/app/a", "0"), ("/app/b", "0")])
    with confdir.daemon() as daemon:
        daemon.wait_file(confdir.out / "app", "0-0\n")
        for number in range(1, 101):
            etcd.put_many([("/app/a", str(number)), ("/app/b", str(number))])
        daemon.wait_file(confdir.out / "app", "100-100\n")
        daemon.end()
    for line in (confdir.out / "seen").read_text().split():
        one, other = line.split("-")
        assert one == other
