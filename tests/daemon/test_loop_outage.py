"""The log of an outage, by the loop."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyconfd.errors import SourceRefused, SourceUnavailable
from pyconfd.model.keys import Listed, Lost
from tests.support.loop import Hand, World
from tests.support.waiting import wait_until


def test_an_outage_is_logged_once_whatever_each_attempt_says(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Again when the store answers, with a no; then its return, once."""
    caplog.set_level("INFO", "pyconfd")
    world, hand = World(tmp_path), Hand()
    world.resource()
    with world.running(follow=hand.follow):
        wait_until(lambda: hand.puts)
        for reason in ("Connection refused", "no answer in time", "Connection refused"):
            hand.puts[0](Lost("fake", SourceUnavailable(f"no node answers: {reason}")))
        hand.puts[0](Lost("fake", SourceRefused("wrong password")))
        hand.puts[0](Listed("fake", 1, 1, ()))
        wait_until(lambda: "the store is back" in caplog.text)
    assert caplog.text.count("no node answers") == 1
    assert caplog.text.count("wrong password") == 1
    assert caplog.text.count("the store is back") == 1
