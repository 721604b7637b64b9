"""Reloading: confirmed, failed, or not finished."""

from __future__ import annotations

from pyconfd.errors import ReloadError
from pyconfd.model.resources import Command
from pyconfd.model.steps import Reloaded, ReloadFailed
from pyconfd.pipeline.reload import reload
from pyconfd.testing.fake_runner import FakeRunner, problem, said

COMMAND = Command("service x reload {{ dest }} {{.src}}", 9.0)


def test_status_zero_is_reloaded() -> None:
    """Both placeholders mean the destination."""
    run = FakeRunner()
    assert isinstance(reload("x", COMMAND, dest="/d", run=run), Reloaded)
    assert run.commands == ["service x reload /d /d"]
    assert run.timeouts_s == [9.0]


def test_another_status_is_a_failure_with_the_report() -> None:
    """A value, not an error."""
    outcome = reload("x", COMMAND, dest="/d", run=FakeRunner(default=said("no", 2)))
    assert isinstance(outcome, ReloadFailed)
    assert outcome.report is not None
    assert (outcome.report.exit_status, outcome.report.output) == (2, "no")
    assert outcome.error is None


def test_a_reload_that_does_not_finish_says_what_stays_owed() -> None:
    """Timed out: how to give it longer."""
    run = FakeRunner(default=problem("timed out after 9 s"))
    outcome = reload("x", COMMAND, dest="/d", run=run)
    assert isinstance(outcome, ReloadFailed)
    assert isinstance(outcome.error, ReloadError)
    text = str(outcome.error)
    assert "/d: the reload did not finish: timed out after 9 s" in text
    assert "still owed" in text
    assert "reload_cmd_timeout above 9 s" in text
