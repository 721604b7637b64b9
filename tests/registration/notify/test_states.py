"""What a daemon's lines make of its states."""

from __future__ import annotations

import pytest

from pyconfd.errors import SettingsError
from pyconfd.registration.notify.dialects import daemons, load
from pyconfd.registration.notify.states import (
    LOST,
    PublishedState,
    StateLine,
    after,
    gone_since,
    hook_arguments,
    is_gone,
    is_unheard,
    lost,
    parse_line,
)

KEEPALIVED = load("keepalived")
MASTER = PublishedState(service="VI_1", state="MASTER", number=150, since="t0", was="BACKUP")


@pytest.mark.parametrize(
    ("line", "reported"),
    [
        ('INSTANCE "VI_1" MASTER 150\n', StateLine("VI_1", "MASTER", 150)),
        ('INSTANCE "a b" BACKUP_PRIORITY 7', StateLine("a b", "BACKUP_PRIORITY", 7)),
        ('GROUP "G" MASTER 0', None),
        ('INSTANCE "VI_1" MASTER_RX_LOWER_PRI 100', None),
        ("INSTANCE VI_1", None),
        ("", None),
    ],
)
def test_lines_of_keepalived_are_parsed(line: str, reported: StateLine | None) -> None:
    """As its manual and vrrp_notify.c have them; what is no state is left out."""
    assert parse_line(line, KEEPALIVED) == reported


def test_another_state_begins_now_and_knows_the_one_before() -> None:
    """That is a transition."""
    new = after(MASTER, StateLine("VI_1", "FAULT", 150), KEEPALIVED, "t1")
    assert new == PublishedState(
        service="VI_1", state="FAULT", number=150, since="t1", was="MASTER"
    )


def test_the_first_state_has_none_before_it() -> None:
    """It is not known."""
    new = after(None, StateLine("VI_1", "BACKUP", 100), KEEPALIVED, "t1")
    assert new == PublishedState(service="VI_1", state="BACKUP", number=100, since="t1")


def test_the_same_state_reported_again_is_no_transition() -> None:
    """keepalived repeats its states at a reload."""
    assert after(MASTER, StateLine("VI_1", "MASTER", 150), KEEPALIVED, "t1") == MASTER


@pytest.mark.parametrize("word", ["MASTER", "MASTER_PRIORITY"])
def test_another_priority_changes_the_number_alone(word: str) -> None:
    """The state goes on, since when it did."""
    new = after(MASTER, StateLine("VI_1", word, 90), KEEPALIVED, "t1")
    assert new == PublishedState(
        service="VI_1", state="MASTER", number=90, since="t0", was="BACKUP"
    )


def test_a_priority_gives_the_state_when_none_is_known() -> None:
    """As after a start in the middle of everything."""
    new = after(None, StateLine("VI_1", "BACKUP_PRIORITY", 90), KEEPALIVED, "t1")
    assert new is not None
    assert (new.state, new.number) == ("BACKUP", 90)


def test_what_is_deleted_is_forgotten() -> None:
    """An instance that a reload has taken away."""
    assert after(MASTER, StateLine("VI_1", "DELETED", 150), KEEPALIVED, "t1") is None


def test_a_daemon_that_goes_without_a_stop_is_lost() -> None:
    """Its address may still be on the interface."""
    gone = lost(MASTER, KEEPALIVED, "t1")
    assert (gone.state, gone.was, gone.since) == (LOST, "MASTER", "t1")
    assert lost(gone, KEEPALIVED, "t2") == gone


def test_a_daemon_that_has_stopped_stays_so() -> None:
    """STOP is the last state it reports."""
    stopped = PublishedState(service="VI_1", state="STOP", number=150, since="t0", was="MASTER")
    assert lost(stopped, KEEPALIVED, "t1") == stopped


def test_what_is_published_and_what_hooks_are_called_with() -> None:
    """Hooks are called as keepalived calls its notify scripts."""
    assert MASTER.fields(KEEPALIVED) == {
        "state": "MASTER",
        "priority": 150,
        "was": "BACKUP",
        "since": "t0",
    }
    assert hook_arguments(MASTER, KEEPALIVED) == ["INSTANCE", "VI_1", "MASTER", "150"]


def test_an_unknown_daemon_is_refused_with_the_known_ones() -> None:
    """A typing error is answered with them."""
    assert "keepalived" in daemons()
    with pytest.raises(SettingsError, match="unknown daemon") as caught:
        load("keepalive")
    assert "keepalived" in caught.value.hint


def test_a_daemon_is_gone_when_its_pipe_stays_closed_for_longer_than_a_reload() -> None:
    """Opening it again in between begins a new count."""
    since = gone_since(None, False, 5.0)
    assert gone_since(since, False, 6.0) == 5.0
    assert [is_gone(since, now) for now in (5.0, 6.9, 7.0)] == [False, False, True]
    assert gone_since(since, True, 6.0) is None
    assert not is_gone(None, 99.0)
    assert [is_unheard(since, now) for now in (9.9, 10.0)] == [False, True]
    assert not is_unheard(None, 99.0)
