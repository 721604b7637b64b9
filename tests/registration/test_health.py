"""The rise and fall machine: when a member counts as well."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyconfd.registration.health import (
    STARTING_INTERVAL_S,
    Health,
    HealthRule,
    HealthVerdict,
    RotationVerdict,
    all_healthy,
    next_probe_in,
    probed,
)
from pyconfd.registration.reason import Reason

RULE = HealthRule(interval_s=2, rise=2, fall=3)


def after(results: str, rule: HealthRule = RULE, start: Health | None = None) -> Health:
    """The health after results at one second's distance: `+` passed, `-` failed."""
    health = start or Health(started_at=0.0)
    for now, result in enumerate(results):
        health = probed(health, rule, result == "+", f"result {now}", float(now))
    return health


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        ("", HealthVerdict.STARTING),
        ("+", HealthVerdict.STARTING),
        ("++", HealthVerdict.HEALTHY),
        ("+-+", HealthVerdict.STARTING),
        ("+-++", HealthVerdict.HEALTHY),
        ("--", HealthVerdict.STARTING),
        ("---", HealthVerdict.FAILING),
        ("++--", HealthVerdict.HEALTHY),
        ("++--+--", HealthVerdict.HEALTHY),
        ("++---", HealthVerdict.FAILING),
        ("++---+", HealthVerdict.FAILING),
        ("++---++", HealthVerdict.HEALTHY),
        ("++---+-+", HealthVerdict.FAILING),
    ],
)
def test_verdict_needs_agreement(results: str, verdict: HealthVerdict) -> None:
    """Rise passes in a row make it healthy, fall failures in a row make it fail."""
    assert after(results).verdict is verdict


def test_failures_in_the_start_period_do_not_count() -> None:
    """A slow starter is not failing before its start period is over, and then it may be."""
    rule = HealthRule(rise=1, fall=2, start_period_s=5)
    assert after("-----", rule).verdict is HealthVerdict.STARTING
    assert after("-------", rule).verdict is HealthVerdict.FAILING
    assert after("---+", rule).verdict is HealthVerdict.HEALTHY


def test_the_start_period_ends_with_the_first_verdict() -> None:
    """Once healthy, failures count even within the start period."""
    assert (
        after("+--", HealthRule(rise=1, fall=2, start_period_s=60)).verdict is HealthVerdict.FAILING
    )


def test_it_is_asked_more_often_until_the_first_verdict() -> None:
    """A start does not cost `rise` whole intervals."""
    assert next_probe_in(after(""), RULE) == STARTING_INTERVAL_S
    assert next_probe_in(after("++"), RULE) == 2
    assert next_probe_in(after("---"), RULE) == 2


def test_all_checks_must_be_healthy_and_the_first_reason_is_given() -> None:
    """One failing check is enough; without checks there is nothing against it."""
    assert all_healthy(()) == RotationVerdict(True, Reason.NONE, "")
    failing = RotationVerdict(False, Reason.UNHEALTHY, "result 2")
    assert all_healthy((after("++"), after("---"))) == failing


@pytest.mark.parametrize("results", ["", "+", "++---+"])
def test_what_passes_or_was_not_probed_yet_is_still_being_checked(results: str) -> None:
    """That is no fault to log."""
    wanted, reason, why = all_healthy((after(results),))
    assert (wanted, reason) == (False, Reason.CHECKING)
    assert why


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5), st.integers(1, 5))
def test_verdict_agrees_with_a_model(results: list[bool], rise: int, fall: int) -> None:
    """It is what the last run of at least rise passes or fall failures said."""
    rule = HealthRule(rise=rise, fall=fall)
    health, expected, run = Health(started_at=0.0), HealthVerdict.STARTING, 0
    last: bool | None = None
    for now, passed in enumerate(results):
        health = probed(health, rule, passed, "", float(now))
        run = run + 1 if passed == last else 1
        last = passed
        if run >= (rise if passed else fall):
            expected = HealthVerdict.HEALTHY if passed else HealthVerdict.FAILING
        assert health.verdict is expected
