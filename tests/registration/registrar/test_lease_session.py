"""The lease session machine: the table in its docstring, row by row, and at random."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconfd.registration.registrar import lease_session as s

TTL = 9
IDLE = s.Lease(asked_ttl_s=TTL)
GRANTING = replace(IDLE, phase=s.LeasePhase.GRANTING, wanted=True)
HELD = replace(
    GRANTING, phase=s.LeasePhase.HELD, lease=7, ttl_s=float(TTL), renewed_at=100.0, due_at=103.0
)
BEATEN = replace(HELD, beat_sent_at=103.0)
SUSPECT = replace(BEATEN, phase=s.LeasePhase.SUSPECT)
REVOKING = replace(HELD, phase=s.LeasePhase.REVOKING, wanted=False, due_at=None)


@pytest.mark.parametrize(
    ("lease", "message", "now", "phase", "commands"),
    [
        pytest.param(IDLE, s.Acquire(), 0, "granting", "Grant", id="wanted"),
        pytest.param(GRANTING, s.Acquire(), 0, "granting", "", id="wanted-twice"),
        pytest.param(GRANTING, s.Granted(7, 9.0, 1.0), 1, "held", "LeaseUp", id="granted"),
        pytest.param(
            replace(GRANTING, wanted=False), s.Granted(7, 9.0, 1.0), 1, "revoking", "Revoke",
            id="granted-but-no-longer-wanted",
        ),
        pytest.param(
            GRANTING, s.Granted(7, 9.0, 1.0), 11, "idle", "LeaseDown", id="granted-in-our-sleep"
        ),
        pytest.param(HELD, s.Granted(8, 9.0, 1.0), 101, "held", "Revoke", id="granted-unasked"),
        pytest.param(GRANTING, s.Failed("no"), 1, "idle", "", id="grant-failed"),
        pytest.param(HELD, s.Tick(), 102.9, "held", "", id="not-due"),
        pytest.param(HELD, s.Tick(), 103, "held", "KeepAlive", id="heartbeat-due"),
        pytest.param(BEATEN, s.KeptAlive(7, 9.0), 103.1, "held", "", id="kept-alive"),
        pytest.param(BEATEN, s.KeptAlive(8, 0.0), 103.1, "held", "", id="another-lease"),
        pytest.param(BEATEN, s.KeptAlive(7, 0.0), 103.1, "idle", "LeaseDown", id="ttl-zero"),
        pytest.param(HELD, s.Gone(7), 101, "idle", "LeaseDown", id="not-found-at-a-put"),
        pytest.param(HELD, s.Gone(6), 101, "held", "", id="an-old-lease-not-found"),
        pytest.param(BEATEN, s.Tick(), 106, "suspect", "KeepAlive", id="silent-for-two-thirds"),
        pytest.param(SUSPECT, s.KeptAlive(7, 4.0), 107, "held", "", id="suspect-answered"),
        pytest.param(SUSPECT, s.Tick(), 109, "idle", "LeaseDown", id="silent-for-the-whole-ttl"),
        pytest.param(HELD, s.Tick(), 900, "idle", "LeaseDown", id="woke-after-a-long-sleep"),
        pytest.param(HELD, s.Release(), 101, "revoking", "Revoke", id="unwanted"),
        pytest.param(SUSPECT, s.Release(), 107, "revoking", "Revoke", id="suspect-unwanted"),
        pytest.param(REVOKING, s.Revoked(7), 101, "idle", "LeaseDown", id="revoked"),
        pytest.param(
            replace(REVOKING, wanted=True), s.Revoked(7), 101, "granting", "LeaseDown Grant",
            id="revoked-and-wanted-again",
        ),
        pytest.param(REVOKING, s.Failed("no"), 101, "revoking", "", id="revocation-failed"),
        pytest.param(
            replace(REVOKING, due_at=101.0), s.Tick(), 101, "revoking", "Revoke", id="revoke-again"
        ),
        pytest.param(REVOKING, s.Tick(), 109, "idle", "LeaseDown", id="revoking-until-expired"),
        pytest.param(REVOKING, s.KeptAlive(7, 9.0), 101, "revoking", "", id="late-answer"),
    ],
)  # fmt: skip
def test_step_follows_the_table(
    lease: s.Lease, message: s.Message, now: float, phase: str, commands: str
) -> None:
    """Each row of the table."""
    after, given_commands = s.step(lease, message, now, 0.5)
    assert after.phase == phase
    assert [type(command).__name__ for command in given_commands] == commands.split()


def test_a_heartbeat_counts_from_when_it_was_sent() -> None:
    """The server may have counted from then: a late answer gives less time, never more."""
    after, _ = s.step(BEATEN, s.KeptAlive(7, 9.0), 104.5, 0.5)
    assert after.renewed_at == 103.0
    assert after.expires_at == 112.0


def test_a_second_heartbeat_does_not_make_the_first_younger() -> None:
    """Answers carry no number: the oldest unanswered heartbeat is what an answer proves."""
    twice, _ = s.step(replace(BEATEN, due_at=104.0), s.Tick(), 104.0, 0.5)
    assert twice.beat_sent_at == 103.0


def test_heartbeats_keep_a_third_of_the_ttl_with_jitter() -> None:
    """No two processes beat in step, and none beats much more often than it must."""
    early, _ = s.step(BEATEN, s.KeptAlive(7, 9.0), 103.0, 0.0)
    late, _ = s.step(BEATEN, s.KeptAlive(7, 9.0), 103.0, 1.0)
    assert early.due_at == pytest.approx(105.7)
    assert late.due_at == pytest.approx(106.3)


def test_after_a_loss_it_is_granted_again_within_a_second() -> None:
    """First try within a tenth of a second, later tries no more than half a second apart."""
    lease, _ = s.step(HELD, s.KeptAlive(7, 0.0), 103.0, 1.0)
    lease, _ = s.step(BEATEN, s.KeptAlive(7, 0.0), 103.0, 1.0)
    assert lease.due_at is not None and lease.due_at - 103.0 <= 0.1
    for failures in range(12):
        failed, _ = s.step(replace(GRANTING, failures=failures), s.Failed("down"), 0.0, 1.0)
        assert failed.due_at is not None and 0.05 <= failed.due_at <= 0.5


def test_a_broken_stream_is_asked_about_soon_but_not_in_a_tight_loop() -> None:
    """A store that came back empty is noticed long before the next regular heartbeat."""
    after, commands = s.step(HELD, s.StreamBroken(), 100.5, 0.5)
    assert commands == ()
    assert after.due_at == pytest.approx(100.7)


MESSAGES = st.one_of(
    st.sampled_from([s.Acquire(), s.Release(), s.StreamBroken(), s.Failed("down"), s.Tick()]),
    st.builds(s.KeptAlive, st.just(-1), st.sampled_from([0.0, 3.0, 9.0])),
    st.builds(s.Gone, st.just(-1)),
    st.builds(s.Revoked, st.just(-1)),
    st.builds(s.Granted, st.just(-2), st.just(9.0), st.just(-1.0)),
)


@settings(max_examples=300)
@given(st.lists(st.tuples(MESSAGES, st.floats(0, 5), st.floats(0, 1)), max_size=40))
def test_any_history_keeps_the_promises(history: list[tuple[s.Message, float, float]]) -> None:
    """
    Never believed in beyond its TTL; members are notified once of each lease's start and end;
    something is always due while it is wanted and nothing is under way.
    """
    lease, now, up, fresh = IDLE, 0.0, 0, 100
    for message, pause, jitter in history:
        now += pause
        if isinstance(message, s.Granted):
            fresh += 1
            message = s.Granted(fresh, 9.0, now - 0.1)
        elif isinstance(message, s.KeptAlive):
            message = s.KeptAlive(lease.lease, message.left_s)
        elif isinstance(message, s.Gone | s.Revoked):
            message = type(message)(lease.lease)
        lease, commands = s.step(lease, message, now, jitter)
        lease, more = s.step(lease, s.Tick(), now, jitter)
        for command in commands + more:
            if isinstance(command, s.LeaseUp):
                assert up == 0
                up = command.lease
            elif isinstance(command, s.LeaseDown):
                assert up in (0, command.lease)
                up = 0
        assert (lease.lease != 0) == (lease.phase not in (s.LeasePhase.IDLE, s.LeasePhase.GRANTING))
        if lease.lease:
            assert now < lease.expires_at <= now + 9.0
        if lease.wanted and lease.phase is not s.LeasePhase.GRANTING:
            assert s.next_due(lease) is not None
