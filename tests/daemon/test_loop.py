"""The loop on sources that lie and commands that are only remembered: no process, no service."""

from __future__ import annotations

import queue
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyconfd.daemon.control_socket import ControlRequest
from pyconfd.errors import ConfigError, SourceUnavailable
from pyconfd.model.keys import Changed, KeyChange, KeyValue, Listed, Lost, SourceMessage
from pyconfd.model.resources import Command, Guard, Service
from pyconfd.model.steps import CommandReport
from pyconfd.pipeline.journal import Journal
from tests.support.loop import Gate, Hand, World
from tests.support.steps import strays_in
from tests.support.waiting import wait_until


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def listed(revision: int, **keys: str) -> Listed:
    """/app/NAME = value for each; a name with "__" is a path of its own."""
    items = tuple(
        KeyValue("/" + name.replace("__", "/"), value.encode(), revision)
        for name, value in keys.items()
    )
    return Listed("fake", 1, revision, items)


def changed(revision: int, key: str, value: str) -> Changed:
    return Changed("fake", revision, (KeyChange(key, value.encode(), revision),))


# Messages that come as they should, twice, late, or never


def test_a_change_is_rendered_and_reloaded_once(world: World) -> None:
    """The first render and one change: two files, two reloads, no strays."""
    world.resource()
    with world.running():
        world.settle()
        assert world.live() == "/app/a=1\n"
        world.source.put("/app/a", "2")
        world.settle()
        assert world.live() == "/app/a=2\n"
    assert world.reloads == ["reload app", "reload app"]
    assert strays_in(world.out) == []


def test_messages_said_twice_cause_no_work(world: World) -> None:
    """The last revision again, a value written again, and signs of life."""
    world.resource()
    with world.running():
        world.settle()
        world.source.put("/app/a", "2")
        world.settle()
        written = (world.out / "app").stat().st_mtime_ns
        jobs = world.lanes.jobs
        world.source.repeat()
        world.source.put("/app/a", "2")
        world.source.progress()
        world.settle()
        assert world.lanes.jobs == jobs
    assert (world.out / "app").stat().st_mtime_ns == written
    assert world.reloads == ["reload app"] * 2


def test_changes_told_late_come_out_in_one_pass(world: World) -> None:
    """Three revisions at once: the newest state, told the service once or once for each batch."""
    world.resource()
    with world.running():
        world.settle()
        world.source.late()
        world.source.put("/app/a", "2")
        world.source.put("/app/b", "1")
        world.source.delete("/app/a")
        world.settle()
        assert world.live() == "/app/a=1\n"
        world.source.catch_up()
        world.settle()
        assert world.live() == "/app/b=1\n"
    assert 2 <= len(world.reloads) <= 4


def test_an_outage_keeps_the_last_good_and_misses_nothing(world: World) -> None:
    """While lost nothing moves and the state says so; afterwards deletions are seen as well."""
    world.resource()
    with world.running():
        world.settle()
        world.source.lose()
        world.source.txn({"/app/b": "2"}, deletes=["/app/a"])
        said = world.settle()
        assert said["source"]["lost"]["cause"]
        assert world.live() == "/app/a=1\n"
        world.source.recover()
        said = world.settle()
        assert said["source"]["lost"] is None
        assert world.live() == "/app/b=2\n"


def test_a_change_nobody_told_is_found_by_the_next_listing(world: World) -> None:
    """Told of neither the put nor the delete, the loop sees both once the history is compacted."""
    world.resource()
    with world.running():
        world.settle()
        world.source.put("/app/b", "2", notify=False)
        world.source.delete("/app/a", notify=False)
        world.settle()
        assert world.live() == "/app/a=1\n"
        world.source.lose()
        world.source.compact()
        world.source.recover()
        world.settle()
        assert world.live() == "/app/b=2\n"


def test_a_store_that_is_absent_at_start_is_waited_for(world: World) -> None:
    """Nothing is rendered from nothing, and a reload owed from before is paid all the same."""
    (world.out / "app").write_text("last good\n")
    world.resource()
    world.source.refusal = SourceUnavailable("no answer (pretended)")
    with world.running(pending=["reload app"]):
        said = world.settle()
        assert not said["ready"]
        assert world.live() == "last good\n"
        assert world.reloads == ["reload app"]
        world.source.recover()
        said = world.settle()
        assert said["ready"]
        assert world.live() == "/app/a=1\n"


def test_changes_during_a_reload_are_one_more_pass(world: World) -> None:
    """A hundred puts while the service is being told: the newest wins, one reload for all."""
    world.resource()
    gate = Gate()
    world.runner.answers["reload"] = gate
    with world.running():
        assert gate.begun.wait(60)
        for number in range(100):
            world.source.put("/app/a", str(number))
        world.source.settle()
        world.status()
        gate.go.set()
        world.settle()
        assert world.live() == "/app/a=99\n"
    assert world.reloads == ["reload app"] * 2


def test_only_readers_of_a_key_are_looked_at(world: World) -> None:
    """Same watched tree, other keys read: no job for the one that does not read the key."""
    world.resource("one")
    world.resource("two")
    world.template("one", "{{ getv('/app/a') }}\n")
    world.template("two", "{{ getv('/app/b', 'none') }}\n")
    with world.running():
        world.settle()
        world.source.put("/app/b", "2")
        world.settle()
        assert (world.live("one"), world.live("two")) == ("1\n", "2\n")
    assert sorted(world.reloads) == ["reload one", "reload two", "reload two"]


# Stores that are suddenly empty, or others


def test_a_wiped_store_empties_nothing(world: World) -> None:
    """All keys gone at once is held back, also as single deletes; keys that come back pass."""
    world.resource()
    with world.running():
        world.settle()
        world.source.wipe()
        said = world.settle()
        assert world.live() == "/app/a=1\n"
        (row,) = said["resources"]
        assert row["trouble"]["kind"] == "held"
        world.source.put("/app/z", "9")
        world.settle()
        assert world.live() == "/app/z=9\n"
    assert world.reloads == ["reload app"] * 2


def test_a_held_change_goes_through_when_it_is_released(world: World) -> None:
    """The operator says that it is meant."""
    world.resource()
    with world.running():
        world.settle()
        world.source.delete("/app/a")
        world.settle()
        assert world.live() == "/app/a=1\n"
        said: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        world.inbox.put(ControlRequest({"do": "release", "name": "app"}, said.put))
        assert said.get(timeout=120) == {"released": ["app"]}
        world.settle()
        assert world.live() == ""


def test_a_half_restored_store_is_held_until_it_is_whole(world: World) -> None:
    """max_shrink compares with the last good version, however often the store is listed anew."""
    for number in range(9):
        world.source.put(f"/app/k{number}", "x")
    world.resource(guard=Guard(max_shrink=0.5))
    with world.running():
        world.settle()
        before = world.live()
        world.source.wipe({"/app/k0": "x"})
        world.source.put("/app/k1", "x")
        world.settle()
        assert world.live() == before
        world.source.txn({f"/app/k{number}": "y" for number in range(9)})
        world.settle()
        assert world.live() == "".join(f"/app/k{number}=y\n" for number in range(9))


# Other prefixes


def test_a_new_prefix_is_never_rendered_from_half_a_store(world: World) -> None:
    """Between SIGHUP and the first listing of the new watch nothing is rendered at all."""
    world.resource("app", "/app")
    hand = Hand()
    with world.running(follow=hand.follow):
        hand.puts[0](listed(5, app__a="1"))
        world.settle()
        world.resource("new", "/new")
        (world.out / "app").unlink()
        world.hup()
        said = world.settle()
        assert hand.prefixes == [("/app",), ("/app", "/new")]
        assert not said["ready"]
        assert (world.live("app"), world.live("new")) == (None, None)
        hand.puts[1](listed(6, app__a="1", new__x="9"))
        said = world.settle()
        assert said["ready"]
        assert (world.live("app"), world.live("new")) == ("/app/a=1\n", "/new/x=9\n")


@pytest.mark.parametrize("when", ["before its listing", "after its listing"])
def test_what_an_older_watch_still_says_is_ignored(world: World, when: str) -> None:
    """Listings, changes and losses of a stopped watch touch nothing."""
    world.resource("app", "/app")
    hand = Hand()
    late: list[SourceMessage] = [
        changed(90, "/app/a", "old watch"),
        listed(91, app__a="old watch"),
        Lost("fake", SourceUnavailable("the old watch is lost")),
    ]
    new = listed(6, app__a="2", new__x="9")
    with world.running(follow=hand.follow):
        hand.puts[0](listed(5, app__a="1"))
        world.settle()
        world.resource("new", "/new")
        world.hup()
        world.settle()
        for message in [new, *late] if when == "after its listing" else [*late, new]:
            hand.puts[0 if message in late else 1](message)
        said = world.settle()
        assert said["source"]["lost"] is None
        assert (world.live("app"), world.live("new")) == ("/app/a=2\n", "/new/x=9\n")
        hand.puts[1](changed(7, "/app/a", "3"))
        world.settle()
        assert world.live("app") == "/app/a=3\n"


def test_the_same_prefixes_go_on_with_the_same_watch(world: World) -> None:
    """SIGHUP with new templates renders at once from what is held."""
    world.resource()
    hand = Hand()
    with world.running(follow=hand.follow):
        hand.puts[0](listed(5, app__a="1"))
        world.settle()
        world.template("app", "other {{ getv('/app/a') }}\n")
        world.hup()
        world.settle()
        assert len(hand.puts) == 1
        assert world.live() == "other 1\n"


def test_a_broken_new_configuration_keeps_the_running_one(world: World) -> None:
    """And changes go on being followed."""
    world.resource()
    with world.running():
        world.settle()
        world.fault = ConfigError("cannot be read", where="app.toml:1")
        world.resource("new", "/new")
        world.hup()
        world.source.put("/app/a", "2")
        world.settle()
        assert (world.live("app"), world.live("new")) == ("/app/a=2\n", None)


def test_a_report_of_the_old_template_does_not_narrow_what_the_new_one_reads(
    world: World,
) -> None:
    """A job that was under way at SIGHUP reports afterwards; the new template's keys count."""
    world.resource()
    world.template("app", "{{ getv('/app/a') }}\n")
    gate = Gate()
    world.runner.answers["reload"] = gate
    with world.running():
        assert gate.begun.wait(60)
        world.template("app", "{{ getv('/app/b', '-') }}\n")
        world.hup()
        world.status()
        gate.go.set()
        world.settle()
        world.source.put("/app/b", "2")
        world.settle()
        assert world.live() == "2\n"


def test_a_job_of_a_service_that_is_gone_does_not_have_the_last_word(world: World) -> None:
    """Its check was under way at SIGHUP; it may not leave the old template's file behind."""
    app = world.resource(check=Command("slow check", 5.0))
    world.template("app", "old {{ getv('/app/a') }}\n")
    gate = Gate()
    world.runner.answers["slow check"] = gate
    with world.running():
        assert gate.begun.wait(60)
        world.template("app", "new {{ getv('/app/a') }}\n")
        fresh = replace(
            app, check=Command("quick check", 5.0), service=Service(reload=Command("other", 5.0))
        )
        world.resources = (fresh,)
        world.hup()
        wait_until(lambda: world.live() == "new 1\n")
        gate.go.set()
        wait_until(lambda: not gate.waiting)
        world.settle()
        assert world.live() == "new 1\n"
    assert world.reloads[-1] == "other"


# Reloads owed


def test_a_stop_pays_a_postponed_reload(world: World) -> None:
    """Swapped within the least interval, then SIGTERM: the service is told before the end."""
    world.resource(min_reload_interval_s=3600.0)
    with world.running():
        world.settle()
        world.source.put("/app/a", "2")
        said = world.settle()
        assert world.live() == "/app/a=2\n"
        assert world.reloads == ["reload app"]
        assert said["services"][0]["pending_reload"]["failed_attempts"] == 0
    assert world.reloads == ["reload app"] * 2
    assert Journal(str(world.state)).recover().pending == ()


def test_a_stop_does_not_start_what_has_failed_and_the_next_start_owes_it(world: World) -> None:
    """A reload in back-off is left to the next run."""
    world.resource()
    world.runner.answers["reload"] = 1
    with world.running():
        failed = world.settle()["services"][0]["pending_reload"]["failed_attempts"]
        assert failed >= 1  # a slow machine tries again
    assert world.reloads == ["reload app"] * failed
    assert list(Journal(str(world.state)).recover().pending) == ["reload app"]


def test_a_stop_waits_for_what_runs_and_begins_nothing_new(world: World) -> None:
    """A change that came during the last reload is left to the next start."""
    world.resource()
    gate = Gate()
    world.runner.answers["reload"] = gate
    with world.running():
        assert gate.begun.wait(60)
        world.source.put("/app/a", "2")
        world.source.settle()
        world.inbox.put(signal.SIGTERM)
        assert world.status()["stopping"]
        gate.go.set()
    assert world.live() == "/app/a=1\n"
    assert world.reloads == ["reload app"]


@pytest.mark.parametrize("verdict", [0, 1], ids=["passes", "refuses"])
def test_a_stop_during_a_check_ends_with_a_service_that_runs_what_is_live(
    world: World, verdict: int
) -> None:
    """Either nothing was swapped, or the service was told of it; nothing is left lying about."""
    (world.out / "app").write_text("previous\n")
    world.resource(check=Command("check", 5.0))
    gate = Gate(verdict)
    world.runner.answers["check"] = gate
    with world.running():
        assert gate.begun.wait(60)
        world.inbox.put(signal.SIGTERM)
        assert world.status()["stopping"]
        gate.go.set()
    told = world.reloads.count("reload app")
    assert (world.live(), told) in [("previous\n", 0), ("/app/a=1\n", 1)][: 1 if verdict else 2]
    assert strays_in(world.out) == []
    assert Journal(str(world.state)).recover().pending == ()


def test_a_corrected_reload_command_pays_what_the_wrong_one_owes(world: World) -> None:
    """The file is live already, so nothing but the debt can bring the reload about."""
    app = world.resource()
    world.runner.answers["reload"] = 1
    with world.running():
        world.settle()
        world.resources = (replace(app, service=Service(reload=Command("right app", 5.0))),)
        world.hup()
        world.settle()
        assert world.reloads == ["reload app", "right app"]
    assert Journal(str(world.state)).recover().pending == ()


def test_a_corrected_command_of_a_named_service_is_the_same_service(world: World) -> None:
    """It is not reassigned, and does not wait for the back-off of the wrong command."""

    def edge(command: str) -> Service:
        return Service(name="edge", reload=Command(command, 5.0))

    app = world.resource(service=edge("wrong"))
    world.runner.answers["wrong"] = 1
    with world.running():
        world.until(lambda status: len(world.reloads) >= 3)
        assert world.journal.services == {"edge"}
        world.resources = (replace(app, service=edge("right")),)
        world.hup()
        world.until(lambda status: "right" in world.reloads)
        status = world.settle()
        assert [one["name"] for one in status["services"]] == ["edge"]
        assert world.reloads.count("right") == 1
    assert Journal(str(world.state)).recover().pending == ()


def test_a_damaged_journal_costs_a_service_without_reload_command_nothing(world: World) -> None:
    """A pending reload that can never happen kept its lane busy for ever."""
    world.resource(service=Service())
    with world.running(pending=["resource app"]):
        world.until(lambda status: world.live() == "/app/a=1\n")
        world.settle()
        jobs = world.lanes.jobs
        for _ in range(20):
            world.status()
        assert world.lanes.jobs == jobs


def test_a_fault_of_ours_in_a_pass_does_not_end_the_loop(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """It counts as failed, and the next change goes through."""
    world.resource()

    def broken(text: str) -> CommandReport:
        raise RuntimeError("a fault of ours")

    world.runner.answers["reload"] = broken
    with world.running():
        said = world.settle()
        assert (
            said["services"][0]["pending_reload"]["failed_attempts"] >= 1
        )  # a slow machine tries again
        world.runner.answers["reload"] = 0
        world.source.put("/app/a", "2")
        said = world.settle()
        assert said["services"][0]["pending_reload"] is None
        assert world.live() == "/app/a=2\n"
    assert len(world.reloads) >= 2


# Looking again


def changed_by_hand(path: Path) -> None:
    path.write_text("by hand\n")


def removed_by_hand(path: Path) -> None:
    path.unlink()


def linked_by_hand(path: Path) -> None:
    other = path.with_name("other")
    other.write_text("by hand\n")
    path.unlink()
    path.symlink_to(other)


def shown_to_others(path: Path) -> None:
    path.chmod(0o666)


@pytest.mark.parametrize("act", [changed_by_hand, removed_by_hand, linked_by_hand, shown_to_others])
def test_the_slow_comparison_repairs_what_others_did(
    world: World, act: Callable[[Path], None]
) -> None:
    """Without any message of the source, and the service is told."""
    world.resource(mode=0o640)
    with world.running(resync_s=0.02):
        world.settle()
        act(world.out / "app")
        wait_until(lambda: len(world.reloads) == 2)
        assert world.live() == "/app/a=1\n"
        assert (world.out / "app").stat().st_mode & 0o777 == 0o640


def test_the_slow_comparison_leaves_what_is_right(world: World) -> None:
    """Many looks: no render, no write, no reload."""
    world.resource()
    with world.running(resync_s=0.001):
        world.settle()
        facts = (world.out / "app").stat()
        jobs = world.lanes.jobs
        wait_until(lambda: world.lanes.jobs > jobs + 10)
        after = (world.out / "app").stat()
        assert (after.st_ino, after.st_mtime_ns) == (facts.st_ino, facts.st_mtime_ns)
    assert world.reloads == ["reload app"]
