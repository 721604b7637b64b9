"""Reading the store every interval: what a thread of its own must not keep to itself."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from pyconfd.backends.interval import Poll
from pyconfd.model.keys import Listed, Lost
from tests.support.source import Inbox


class Faulty:
    """A source with a fault that is none of our errors."""

    name = "faulty"

    def list(self, prefixes: Sequence[str], *, timeout_s: float) -> Listed:
        raise ZeroDivisionError

    def close(self) -> None:
        """Nothing is held open."""


def test_the_death_of_the_polling_is_heard(caplog: pytest.LogCaptureFixture) -> None:
    """A fault of ours ends the thread, and the daemon learns that it follows nothing any more."""
    caplog.set_level(logging.CRITICAL)
    inbox = Inbox()
    poll = Poll(Faulty(), ["/app"], inbox.put, interval_s=60, timeout_s=1)  # type: ignore[arg-type]
    poll.start()
    try:
        inbox.wait(lambda box: box.of(Lost))
    finally:
        poll.stop()
    assert "the polling ended" in str(inbox.of(Lost)[0].cause)  # type: ignore[union-attr]
