"""The machine of one member's key: the table in its docstring, row by row, and at random."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconfd.registration.registrar import lease_session as s
from pyconfd.registration.registrar import member as m

BARE = m.Member()
READY = m.Member(wanted=True, lease=7)
CLAIMING = replace(READY, phase=m.MemberPhase.CLAIMING)
REGISTERED = replace(READY, phase=m.MemberPhase.REGISTERED, held=7, seen=True)
HOOKED = replace(REGISTERED, before=True, after=True)
WITHDRAWING = replace(HOOKED, phase=m.MemberPhase.WITHDRAWING, wanted=False)
PREPARING = m.Member(before=True, wanted=True, lease=7, phase=m.MemberPhase.PREPARING)
CLEANING = m.Member(after=True, lease=7, phase=m.MemberPhase.CLEANING)


@pytest.mark.parametrize(
    ("member", "message", "phase", "command"),
    [
        pytest.param(BARE, m.Wanted(), "waiting", None, id="no-lease-yet"),
        pytest.param(BARE, s.LeaseUp(7), "waiting", None, id="not-wanted-yet"),
        pytest.param(
            replace(BARE, wanted=True), s.LeaseUp(7), "claiming", m.Claim(7, False), id="claim"
        ),
        pytest.param(
            m.Member(before=True, lease=7), m.Wanted(), "preparing", m.Prepare(), id="prepare"
        ),
        pytest.param(PREPARING, m.Prepared(), "claiming", m.Claim(7, False), id="prepared"),
        pytest.param(PREPARING, m.Prepared("exit 1"), "waiting", None, id="not-prepared"),
        pytest.param(PREPARING, m.Unwanted("sick"), "preparing", None, id="sick-while-preparing"),
        pytest.param(
            replace(PREPARING, wanted=False), m.Prepared(), "waiting", None, id="prepared-in-vain"
        ),
        pytest.param(CLAIMING, m.Claimed(7), "registered", None, id="claimed"),
        pytest.param(
            replace(CLAIMING, wanted=False), m.Claimed(7), "withdrawing", m.Withdraw(7),
            id="claimed-but-sick",
        ),
        pytest.param(
            replace(CLAIMING, lease=0), m.Claimed(7), "waiting", None, id="claimed-on-a-lost-lease"
        ),
        pytest.param(CLAIMING, m.ClaimFailed("down"), "waiting", None, id="claim-unanswered"),
        pytest.param(CLAIMING, m.ClaimFailed("other", True), "taken", None, id="taken"),
        pytest.param(CLAIMING, m.ClaimFailed("no", refused=True), "waiting", None, id="refused"),
        pytest.param(REGISTERED, m.ValueChanged(), "claiming", m.Claim(7, True), id="new-value"),
        pytest.param(REGISTERED, m.KeyGone(7), "claiming", m.Claim(7, True), id="key-removed"),
        pytest.param(REGISTERED, m.KeyGone(6), "registered", None, id="old-key-removed"),
        pytest.param(HOOKED, m.KeyGone(7), "claiming", m.Claim(7, True), id="no-before-for-that"),
        pytest.param(REGISTERED, s.LeaseDown(7, "gone"), "waiting", None, id="lease-lost"),
        pytest.param(REGISTERED, s.LeaseDown(6, "gone"), "registered", None, id="old-lease-lost"),
        pytest.param(
            replace(HOOKED, held=0, lease=0, phase=m.MemberPhase.WAITING),
            s.LeaseUp(8), "preparing",
            m.Prepare(), id="prepare-again-after-a-loss",
        ),
        pytest.param(REGISTERED, m.Unwanted("sick"), "withdrawing", m.Withdraw(7), id="sick"),
        pytest.param(WITHDRAWING, m.Withdrawn(), "cleaning", m.Clean(), id="withdrawn"),
        pytest.param(
            replace(WITHDRAWING, held=0), m.Withdrawn(), "cleaning", m.Clean(), id="by-revocation"
        ),
        pytest.param(WITHDRAWING, m.Withdrawn("down"), "registered", None, id="withdrawal-failed"),
        pytest.param(WITHDRAWING, m.Wanted(), "withdrawing", None, id="well-while-withdrawing"),
        pytest.param(CLEANING, m.Cleaned(), "waiting", None, id="cleaned"),
        pytest.param(
            replace(CLEANING, wanted=True), m.Cleaned(), "claiming", m.Claim(7, False),
            id="well-again-when-cleaned",
        ),
        pytest.param(BARE, m.Claimed(7), "waiting", None, id="outcome-not-waited-for"),
    ],
)  # fmt: skip
def test_step_follows_the_table(
    member: m.Member, message: m.Message, phase: str, command: m.Command | None
) -> None:
    """Each row of the table."""
    after, given_command = m.step(member, message, 0.0, 0.5)
    assert (after.phase, given_command) == (phase, command)


def test_a_key_that_could_not_be_withdrawn_is_withdrawn_again_until_the_lease_ends() -> None:
    """The key of a sick member never stays for want of one answer, and is cleaned up after."""
    member, _ = m.step(WITHDRAWING, m.Withdrawn("down"), 0.0, 1.0)
    assert member.due_at is not None and member.due_at <= 0.25
    again, command = m.step(member, s.Tick(), 0.25, 1.0)
    assert command == m.Withdraw(7)
    member, _ = m.step(again, m.Withdrawn("down"), 1.0, 1.0)
    _, command = m.step(member, s.LeaseDown(7, "expired"), 1.0, 1.0)
    assert command == m.Clean()


def test_an_unanswered_claim_may_have_been_carried_out() -> None:
    """A member that falls sick after one is withdrawn all the same."""
    member, _ = m.step(CLAIMING, m.ClaimFailed("timed out"), 0.0, 0.5)
    _, command = m.step(member, m.Unwanted("sick"), 9.0, 0.5)
    assert command == m.Withdraw(7)


MESSAGES = st.sampled_from(
    [m.Wanted(), m.Unwanted("sick"), m.ValueChanged(), s.Tick(), m.KeyGone(1), "up", "down"]
)


class World:
    """A member, the store and its commands: what the registrar is to the machine."""

    def __init__(self, before: bool, after: bool) -> None:
        self.member = m.Member(before=before, after=after)
        self.now = 0.0
        self.lease = 0
        self.pending: m.Command | None = None

    def feed(self, message: m.Message | str) -> None:
        """One message; "up" and "down" are the lease's."""
        if message == "up":
            if self.member.lease:
                return
            self.lease += 1
            message = s.LeaseUp(self.lease)
        elif message == "down":
            message = s.LeaseDown(self.lease, "lost")
        assert not isinstance(message, str)
        self.member, command = m.step(self.member, message, self.now, 0.5)
        if command is not None:
            assert self.pending is None
            self.pending = command

    def finish(self, result: str) -> None:
        """The outcome of the pending command, if there is one."""
        command, self.pending = self.pending, None
        problem = "" if result == "ok" else "down"
        match command:
            case m.Prepare():
                self.feed(m.Prepared(problem))
            case m.Claim(under, _) if result == "ok":
                self.feed(m.Claimed(under))
            case m.Claim():
                self.feed(m.ClaimFailed("no", result == "taken"))
            case m.Withdraw():
                self.feed(m.Withdrawn(problem))
            case m.Clean():
                self.feed(m.Cleaned())


@settings(max_examples=300)
@given(
    st.booleans(),
    st.booleans(),
    st.lists(st.tuples(MESSAGES, st.sampled_from(["ok", "fail", "taken", "later"])), max_size=40),
)
def test_any_history_ends_where_it_should(
    before: bool, after: bool, history: list[tuple[m.Message | str, str]]
) -> None:
    """
    One command at a time, and once the world is calm a well member is registered under the lease
    and a sick one holds nothing.
    """
    world = World(before, after)
    for message, result in history:
        world.now += 0.3
        world.feed(message)
        if result != "later":
            world.finish(result)
    world.feed("up")
    for _ in range(8):
        while world.pending is not None:
            world.finish("ok")
        world.now += 60.0
        world.feed(s.Tick())
    member = world.member
    if member.wanted:
        assert (member.phase, member.held) == (m.MemberPhase.REGISTERED, member.lease)
    else:
        assert (member.phase, member.held) == (m.MemberPhase.WAITING, 0)
