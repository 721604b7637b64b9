"""An outage is said once, and again when there is something new to know."""

from __future__ import annotations

import pytest

from pyconfd.daemon.outage import OutageTracker
from pyconfd.errors import SourceRefused, SourceUnavailable

HUNG = SourceUnavailable("no etcd node answers: a:1: no answer in time")
DOWN = SourceUnavailable("no etcd node answers: a:1: Connection refused")
DENIED = SourceRefused("wrong password for user bob")
FOREIGN = SourceRefused("the server's certificate comes from an unknown authority")


@pytest.mark.parametrize(
    ("causes", "said"),
    [
        pytest.param([DOWN, DOWN, DOWN], [True, False, False], id="the-same"),
        pytest.param([DOWN, HUNG, DOWN], [True, False, False], id="the-nodes-reasons-change"),
        pytest.param([HUNG, DENIED, DENIED], [True, True, False], id="it-answers-no"),
        pytest.param([DENIED, DOWN], [True, True], id="it-no-longer-answers"),
        pytest.param([DENIED, DOWN, DENIED, HUNG], [True, True, False, False], id="in-turns"),
        pytest.param([FOREIGN, DENIED], [True, True], id="one-mended-the-next-found"),
    ],
)
def test_only_what_is_new_is_said(causes: list[SourceUnavailable], said: list[bool]) -> None:
    """In the order in which the causes are heard; the newest is always there to be asked for."""
    away = OutageTracker()
    assert [away.heard(cause, float(number)) for number, cause in enumerate(causes)] == said
    assert (away.cause, away.since_s) == (str(causes[-1]), 0.0)


def test_the_next_outage_is_said_again() -> None:
    """Also for the same reason; and an end that ends nothing is no news."""
    away = OutageTracker()
    assert not away.ended()
    assert away.heard(DOWN, 1.0)
    assert away.ended()
    assert not away.cause
    assert away.heard(DOWN, 9.0)
    assert away.since_s == 9.0
