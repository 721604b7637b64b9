"""Bad input through the command: a clear error, the good ones done, nothing live lost."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.daemons.etcd import PrivateEtcd
from tests.support.pyconfd import Confdir, save
from tests.support.steps import in_child, may_mount, mount, private_mounts, strays_in

READ_ONLY, REMOUNT = 1, 32


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store.json"
    path.write_text(json.dumps({"app": {"a": "1"}}))
    return path


@pytest.fixture
def confdir(tmp_path: Path, store: Path) -> Confdir:
    return Confdir(tmp_path / "confdir", "--backend", "file", "--file", str(store))


def errors_of(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("ERROR")]


# What the operator wrote


def malformed(confdir: Confdir) -> tuple[str, ...]:
    confdir.resource("bad", '[template]\nsrc = "x.j2"\ndest = /out/x\n')
    return ("bad.toml:3",)


def not_text(confdir: Confdir) -> tuple[str, ...]:
    (confdir.folder / "conf.d" / "bad.toml").write_bytes(b'[template]\nsrc = "\xff"\n')
    return ("bad.toml:2", "UTF-8")


def a_link_to_nowhere(confdir: Confdir) -> tuple[str, ...]:
    (confdir.folder / "conf.d" / "bad.toml").symlink_to("nowhere.toml")
    return ("bad.toml",)


def no_template(confdir: Confdir) -> tuple[str, ...]:
    confdir.resource("bad", '[template]\nsrc = "gone.j2"\ndest = "@OUT@/bad"\nkeys = ["/app"]\n')
    return ("gone.j2", "bad")


def a_template_that_does_not_parse(confdir: Confdir) -> tuple[str, ...]:
    confdir.template("bad.j2", "fine\n{% for x in %}\n")
    confdir.resource("bad", '[template]\nsrc = "bad.j2"\ndest = "@OUT@/bad"\nkeys = ["/app"]\n')
    return ("bad.j2:2",)


def a_template_that_includes_nothing(confdir: Confdir) -> tuple[str, ...]:
    confdir.template("bad.j2", "fine\n{% include 'gone.j2' %}\n")
    confdir.resource("bad", '[template]\nsrc = "bad.j2"\ndest = "@OUT@/bad"\nkeys = ["/app"]\n')
    return ("gone.j2", "bad.j2:2")


def a_folder_as_destination(confdir: Confdir) -> tuple[str, ...]:
    (confdir.out / "bad").mkdir()
    confdir.template("bad.j2", "x\n")
    confdir.resource("bad", '[template]\nsrc = "bad.j2"\ndest = "@OUT@/bad"\nkeys = ["/app"]\n')
    return ("bad.toml:3", "folder")


def links_in_a_circle_as_destination(confdir: Confdir) -> tuple[str, ...]:
    (confdir.out / "bad").symlink_to("worse")
    (confdir.out / "worse").symlink_to("bad")
    confdir.template("bad.j2", "x\n")
    confdir.resource("bad", '[template]\nsrc = "bad.j2"\ndest = "@OUT@/bad"\nkeys = ["/app"]\n')
    return ("out/bad", "symbolic links", "the live file is unchanged")


def numbers_without_end(confdir: Confdir) -> tuple[str, ...]:
    confdir.template("bad.j2", "fine\n{{ seq(1, 1000000000000) | length }}\n")
    confdir.resource("bad", '[template]\nsrc = "bad.j2"\ndest = "@OUT@/bad"\nkeys = ["/app"]\n')
    return ("bad.j2:2", "seq")


def more_text_than_there_is_memory(confdir: Confdir) -> tuple[str, ...]:
    confdir.template("bad.j2", "fine\n{{ 'x' * 1000000000000000 }}\n")
    confdir.resource("bad", '[template]\nsrc = "bad.j2"\ndest = "@OUT@/bad"\nkeys = ["/app"]\n')
    return ("bad.j2:2", "more than 10000000 characters")


@pytest.mark.parametrize(
    "make",
    [
        malformed,
        not_text,
        a_link_to_nowhere,
        no_template,
        a_template_that_does_not_parse,
        a_template_that_includes_nothing,
        a_folder_as_destination,
        links_in_a_circle_as_destination,
        numbers_without_end,
        more_text_than_there_is_memory,
    ],
)
def test_a_bad_resource_is_named_and_the_good_one_is_done(
    confdir: Confdir, make: Callable[[Confdir], tuple[str, ...]]
) -> None:
    """Exit 1, one error with file and line, no traceback, and nothing of it is written."""
    good = confdir.simple()
    words = make(confdir)
    done = confdir.once()
    assert done.returncode == 1, done.stderr
    assert good.read_text() == "/app/a=1\n"
    (error,) = errors_of(done.stderr)
    for word in words:
        assert word in error
    assert "Traceback" not in done.stderr
    assert strays_in(confdir.out) == []


def test_two_resources_with_one_destination_name_both_places(confdir: Confdir) -> None:
    """Neither wins by the order of their names; others are done."""
    good = confdir.simple()
    (confdir.out / "same").write_text("previous\n")
    for name in ("one", "two"):
        confdir.template(f"{name}.j2", name)
        confdir.resource(name, f'[template]\nsrc="{name}.j2"\ndest="@OUT@/same"\nkeys=["/app"]\n')
    done = confdir.once()
    assert done.returncode == 1, done.stderr
    (error,) = errors_of(done.stderr)
    assert "one.toml:1" in error
    assert "two.toml:1" in error
    assert good.exists()
    assert (confdir.out / "same").read_text() == "previous\n"


def test_a_running_daemon_lives_with_a_broken_template_until_it_is_mended(
    confdir: Confdir, store: Path
) -> None:
    """The other resource goes on meanwhile; SIGHUP brings the mended one."""
    import signal

    good = confdir.simple()
    a_template_that_does_not_parse(confdir)
    with confdir.daemon() as daemon:
        daemon.wait_file(good, "/app/a=1\n")
        daemon.wait_log("bad.j2:2")
        save(store, json.dumps({"app": {"a": "2"}}))
        daemon.wait_file(good, "/app/a=2\n")
        confdir.template("bad.j2", "mended {{ getv('/app/a') }}\n")
        daemon.signal(signal.SIGHUP)
        daemon.wait_file(confdir.out / "bad", "mended 2\n")


# Commands


@pytest.mark.parametrize(("status", "live"), [(0, "/app/a=1\n"), (3, "previous\n")])
def test_a_check_that_floods_its_output_is_judged_by_its_exit(
    confdir: Confdir, status: int, live: str
) -> None:
    """50 MB of words: both ends are kept, the log stays readable, the verdict counts."""
    dest = confdir.simple(
        check_cmd=f'"echo at first; yes | head -c 50000000; echo at last; exit {status}"'
    )
    dest.write_text("previous\n")
    done = confdir.once()
    assert done.returncode == (1 if status else 0)
    assert dest.read_text() == live
    assert len(done.stderr.splitlines()) < 150
    if status:
        assert "at first" in done.stderr
        assert "at last" in done.stderr


def test_a_reload_that_hangs_is_ended_and_owed(confdir: Confdir) -> None:
    """Exit 1 after its deadline with the option's name; the next run tells the service."""
    dest = confdir.simple(
        reload_cmd='"test -e @OUT@/ok || sleep 60; echo r >> @OUT@/reload.log"',
        reload_cmd_timeout='"300ms"',
    )
    done = confdir.once(timeout_s=30)
    assert done.returncode == 1
    assert "reload_cmd_timeout" in done.stderr
    assert dest.read_text() == "/app/a=1\n"
    (confdir.out / "ok").touch()
    assert confdir.once().returncode == 0
    assert (confdir.out / "reload.log").read_text() == "r\n"


def test_a_daemon_ends_a_reload_that_hangs_and_tries_again(confdir: Confdir) -> None:
    """Without any further change of the store."""
    confdir.simple(
        reload_cmd='"test -e @OUT@/ok || sleep 60; echo r >> @OUT@/reload.log"',
        reload_cmd_timeout='"300ms"',
    )
    with confdir.daemon() as daemon:
        daemon.wait_log("reload failed")
        (confdir.out / "ok").touch()
        daemon.wait((confdir.out / "reload.log").exists, "the retried reload")


def test_a_corrected_reload_command_is_told_by_the_next_run(confdir: Confdir) -> None:
    """The file is live since the run with the typing error, and the service has not heard."""
    dest = confdir.simple(reload_cmd='"no-such-reload-command"')
    done = confdir.once()
    assert done.returncode == 1
    assert "no-such-reload-command" in done.stderr
    assert dest.exists()
    confdir.simple(reload_cmd='"echo r >> @OUT@/reload.log"')
    assert confdir.once().returncode == 0
    assert (confdir.out / "reload.log").read_text() == "r\n"
    assert confdir.once().returncode == 0
    assert (confdir.out / "reload.log").read_text() == "r\n", "paid once"


# Disks and folders


@pytest.fixture
def mounting() -> None:
    """Only where a child may have mounts of its own."""
    if not may_mount():
        pytest.skip("a small or read-only file system of one's own needs CAP_SYS_ADMIN")


def on_a_disk_of(size: str, folder: Path, work: Callable[[], None]) -> None:
    """Run `work` in a child for which `folder` is a file system of this size."""

    def in_private() -> None:
        private_mounts()
        mount("tmpfs", folder, "tmpfs", 0, f"size={size}")
        work()

    assert in_child(in_private, timeout_s=60) == 0


@pytest.mark.usefixtures("mounting")
def test_a_read_only_folder_is_named_and_heals(confdir: Confdir) -> None:
    """Exit 1, the folder and the remedy named; the live file stays; later all is well."""
    dest = confdir.simple(reload_cmd='"true"')

    def work() -> None:
        dest.write_text("previous\n")
        mount("tmpfs", confdir.out, "tmpfs", READ_ONLY | REMOUNT, "size=64k")
        done = confdir.once()
        assert done.returncode == 1, done.stderr
        (error,) = errors_of(done.stderr)
        assert "read-only" in error
        assert str(confdir.out) in error
        assert dest.read_text() == "previous\n"
        mount("tmpfs", confdir.out, "tmpfs", REMOUNT, "size=64k")
        assert confdir.once().returncode == 0
        assert dest.read_text() == "/app/a=1\n"

    on_a_disk_of("64k", confdir.out, work)


@pytest.mark.usefixtures("mounting")
def test_a_full_disk_heals_by_itself_under_a_running_daemon(confdir: Confdir, store: Path) -> None:
    """Said with the folder, the live file whole, no strays; with room again no event is needed."""
    dest = confdir.simple()
    large = "x" * 48_000

    def work() -> None:
        with confdir.daemon() as daemon:
            daemon.wait_file(dest, "/app/a=1\n")
            filler = confdir.out / "filler"
            try:
                filler.write_bytes(b"x" * 2**17)
            except OSError as error:
                assert error.errno == errno.ENOSPC
            save(store, json.dumps({"app": {"a": large}}))
            daemon.wait_log("no space is left")
            assert dest.read_text() == "/app/a=1\n"
            assert strays_in(confdir.out) == []
            filler.unlink()
            daemon.wait_file(dest, f"/app/a={large}\n")

    on_a_disk_of("96k", confdir.out, work)


def test_a_folder_put_in_place_of_the_file_is_said_and_healed_when_it_is_gone(
    confdir: Confdir, store: Path
) -> None:
    """Nothing of the operator's is removed to make room."""
    dest = confdir.simple()
    with confdir.daemon("--resync", "0.2") as daemon:
        daemon.wait_file(dest, "/app/a=1\n")
        dest.unlink()
        dest.mkdir()
        (dest / "precious").touch()
        daemon.wait_log("ERROR")
        assert (dest / "precious").exists()
        (dest / "precious").unlink()
        dest.rmdir()
        daemon.wait_file(dest, "/app/a=1\n")
    assert "Traceback" not in daemon.log


# Large and strange values on a real store


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEtcd]:
    with PrivateEtcd(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.mark.integration
def test_a_hundred_thousand_keys(etcd: PrivateEtcd, tmp_path: Path) -> None:
    """All of them, in order, at one revision."""
    names = [f"/many/{number:06}" for number in range(100_000)]
    etcd.put_many([(name, name[-2:]) for name in names])
    confdir = Confdir(tmp_path / "confdir", "--node", etcd.endpoint)
    dest = confdir.simple("many", "/many")
    done = confdir.once()
    assert done.returncode == 0, done.stderr
    assert dest.read_text().splitlines() == [f"{name}={name[-2:]}" for name in names]


@pytest.mark.integration
def test_values_of_a_mebibyte_are_listed_and_followed(etcd: PrivateEtcd, tmp_path: Path) -> None:
    """Twelve of them are three times what gRPC takes in one message if nobody tells it."""
    for number in range(12):
        etcd.put(f"/large/{number:02}", f"{number:x}" * 2**20)
    confdir = Confdir(tmp_path / "confdir", "--node", etcd.endpoint)
    dest = confdir.simple("large", "/large")

    def has(last: str) -> bool:
        return dest.exists() and dest.read_bytes().endswith(f"{last * 64}\n".encode())

    with confdir.daemon() as daemon:
        daemon.wait(lambda: has("b"), "twelve values")
        assert dest.stat().st_size == 12 * 2**20 + 12 * len("/large/00=\n")
        etcd.put("/large/11", "z" * 2**20)
        daemon.wait(lambda: has("z"), "the changed value")


@pytest.mark.integration
def test_a_value_that_is_no_text_is_named_and_the_last_good_stays(
    etcd: PrivateEtcd, tmp_path: Path
) -> None:
    """Its key, never its bytes; others are rendered; a corrected value comes through."""
    etcd.put_many([("/odd/a", "1"), ("/even/a", "1")])
    confdir = Confdir(tmp_path / "confdir", "--node", etcd.endpoint)
    odd, even = confdir.simple("odd", "/odd"), confdir.simple("even", "/even")
    with confdir.daemon() as daemon:
        daemon.wait_file(odd, "/odd/a=1\n")
        etcd.put("/odd/a", b"secret\xff\xfe")
        daemon.wait_log("/odd/a")
        assert "UTF-8" in daemon.log
        assert "secret" not in daemon.log
        assert odd.read_text() == "/odd/a=1\n"
        etcd.put("/even/a", "two\nlines")
        daemon.wait_file(even, "/even/a=two\nlines\n")
        etcd.put("/odd/a", "3")
        daemon.wait_file(odd, "/odd/a=3\n")
