"""Reloading: confirmed, failed, or not finished."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from pyconfd.errors import ReloadError
from pyconfd.model.resources import Command, Confirm
from pyconfd.model.steps import CommandReport, Ending, Reloaded, ReloadFailed
from pyconfd.pipeline.reload import reload, reload_confirmed
from pyconfd.system.proc import Runner
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
    assert "the reload is pending" in text
    assert "reload_cmd_timeout above 9 s" in text


def confirmed_by(
    run: Runner, timeout_s: float = 5.0, text: str = "probe {{ dest }}"
) -> Reloaded | ReloadFailed:
    confirm = Confirm(command=text, timeout_s=timeout_s)
    return reload_confirmed("x", COMMAND, dest="/d", run=run, confirm=confirm)


def after(times: int, say: CommandReport) -> Callable[[str], CommandReport]:
    """Exit status 0 when this was said so often."""
    left = [times]

    def answer(text: str) -> CommandReport:
        left[0] -= 1
        return say if left[0] >= 0 else CommandReport(text, 0, 0.0, "here it is\n")

    return answer


def test_a_confirming_command_is_repeated_until_it_succeeds() -> None:
    """With the destination filled in; what it said last is in the report."""
    run = FakeRunner({"probe": after(2, CommandReport("probe", 1, 0.0, "not yet\n"))})
    outcome = confirmed_by(run)
    assert isinstance(outcome, Reloaded)
    assert run.commands[1:] == ["probe /d"] * 3
    assert all(0 < seconds <= 5.0 for seconds in run.timeouts_s[1:])
    assert outcome.report.command == run.commands[0]
    assert outcome.report.output == "here it is\n"


def test_a_confirming_command_that_never_succeeds_fails_the_reload() -> None:
    """At the end of its time, with what it said last."""
    run = FakeRunner({"probe": said("nobody answers", 7)})
    outcome = confirmed_by(run, timeout_s=0.3)
    assert isinstance(outcome, ReloadFailed)
    assert outcome.report is not None
    assert outcome.report.output == "nobody answers"
    assert len(run.commands) >= 3
    text = str(outcome.error)
    assert "/d: confirm_cmd did not succeed within 0.3 s: exit status 7" in text
    assert "the reload is pending" in text


def test_nothing_is_confirmed_when_the_reload_itself_failed() -> None:
    """The confirming command would only see the old files."""
    run = FakeRunner({"reload": 3})
    assert isinstance(confirmed_by(run), ReloadFailed)
    assert len(run.commands) == 1


@pytest.mark.parametrize("what", ["stopped", "not started: pyconfd is stopping"])
def test_a_stop_ends_the_confirmation(what: str) -> None:
    """At once; the reload is owed to the next run."""
    run = FakeRunner({"probe": problem(what, Ending.STOPPED)})
    outcome = confirmed_by(run, timeout_s=60.0)
    assert isinstance(outcome, ReloadFailed)
    assert len(run.commands) == 2
    assert f"confirm_cmd did not succeed within 60 s: {what}" in str(outcome.error)


def test_a_try_that_the_deadline_cuts_short_does_not_hide_the_reason() -> None:
    """What the one before it said is in the error."""

    def answer(text: str) -> CommandReport:
        if len(run.commands) < 3:
            return said("nobody answers", 7)(text)
        time.sleep(run.timeouts_s[-1])
        return problem("timed out")(text)

    run = FakeRunner({"probe": answer})
    outcome = confirmed_by(run, timeout_s=0.2)
    assert isinstance(outcome, ReloadFailed)
    assert outcome.report is not None
    assert outcome.report.output == "nobody answers"
    assert "within 0.2 s: exit status 7" in str(outcome.error)
