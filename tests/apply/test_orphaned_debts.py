"""A reload owed to a service that conf.d no longer has: said, not run, paid when it is back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pyconfd.apply.orphaned_debts import OrphanedDebts
from pyconfd.model.resources import Command
from pyconfd.observe.log import LOG
from tests.support.loop import World
from tests.support.steps import a_resource
from tests.support.waiting import wait_until


@pytest.fixture
def owing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Two services, of which `app` will refuse to be reloaded."""
    monkeypatch.setattr(LOG, "propagate", True)
    world = World(tmp_path)
    world.resource()
    world.resource("other", "/other")
    world.source.put("/other/a", "1")
    world.runner.answers["reload app"] = 1
    return world


def without(world: World, name: str = "app") -> None:
    """It is no longer declared."""
    world.resources = tuple(one for one in world.resources if one.name != name)


def orphaned(status: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the status says of such services."""
    return list(status["orphaned"])


def test_what_is_no_longer_declared_is_said_and_not_run(
    owing: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Also after a restart; the files stay as they are."""
    caplog.set_level("WARNING", LOG.name)
    with owing.running():
        wait_until(lambda: "reload app" in owing.reloads)
        owing.settle()
        without(owing)
        owing.hup()
        told = owing.settle()
        assert orphaned(told) == [{"service": "reload app", "dests": [str(owing.out / "app")]}]
        assert (
            "reload pending, but no resource has its command any more (reload app)" in told["line"]
        )
        assert told["kind"] == "orphaned"
        before = owing.reloads.count("reload app")
        owing.hup()
        owing.settle()
    assert owing.reloads.count("reload app") == before
    said = [one for one in caplog.messages if "no resource has its command" in one]
    assert len(said) == 1, "once"
    assert owing.live() == "/app/a=1\n"
    owing.journal.recover()
    again = OrphanedDebts(owing.journal)
    again.refresh({"reload other"})
    assert list(again.services) == ["reload app"]


def test_it_is_paid_when_the_resource_is_back(owing: World) -> None:
    """No key changes and no file differs; the journal knows."""
    kept = owing.resources
    with owing.running():
        wait_until(lambda: "reload app" in owing.reloads)
        owing.settle()
        without(owing)
        owing.hup()
        owing.settle()
        del owing.runner.answers["reload app"]
        before = owing.reloads.count("reload app")
        owing.resources = kept
        owing.hup()
        wait_until(lambda: owing.reloads.count("reload app") == before + 1)
        assert orphaned(owing.settle()) == []
    assert (owing.state / "journal").read_text() == ""


def test_it_is_let_go_when_somebody_says_so(owing: World) -> None:
    """By the destination or the service; then nothing is owed, over a restart too."""
    with owing.running():
        wait_until(lambda: "reload app" in owing.reloads)
        owing.settle()
        without(owing)
        owing.hup()
        owing.settle()
        assert "error" in owing.ask("release", "nonsense")
        assert owing.ask("release", str(owing.out / "app")) == {"released": ["reload app"]}
        assert orphaned(owing.settle()) == []
    assert (owing.state / "journal").read_text() == ""


@pytest.mark.parametrize("by", ["hand", "deletion"])
def test_it_ends_when_the_file_is_not_what_was_written(owing: World, by: str) -> None:
    """Somebody else has taken over; what the service should be told of is not ours."""
    with owing.running():
        wait_until(lambda: "reload app" in owing.reloads)
        owing.settle()
        without(owing)
        if by == "hand":
            (owing.out / "app").write_text("mine")
        else:
            (owing.out / "app").unlink()
        owing.hup()
        assert orphaned(owing.settle()) == []
    assert (owing.state / "journal").read_text() == ""


def test_a_run_that_does_not_know_of_all_services_says_nothing(owing: World) -> None:
    """With --resource or --sync-only."""
    owing.journal.recover()
    entry = a_resource(owing.out / "app", reload=Command("reload app", 5.0))
    owing.journal.intend(entry.service_name, "reload app", ())
    partial = OrphanedDebts(owing.journal, partial=True)
    assert partial.refresh(()) == frozenset()
    assert partial.services == {}
    assert owing.journal.services == {"reload app"}
