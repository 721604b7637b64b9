"""The log of an outage, by the loop."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyconfd.errors import SourceRefused, SourceUnavailable
from pyconfd.model.keys import Listed, Lost
from pyconfd.model.source import too_much
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


def test_a_mirror_that_would_outgrow_its_bound_stays_until_the_store_holds_less(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One line that says which prefix and what to do; afterwards what was missed is seen."""
    caplog.set_level("INFO", "pyconfd")
    world, limit = World(tmp_path), 10_000
    world.resource()
    with world.running(listing_limit=limit):
        world.settle()
        first = world.source.put("/app/b", "2")
        world.settle()
        world.source.refusal = too_much("/app", limit)  # as the listing that follows
        world.source.put("/app/big", "x" * limit)
        world.until(lambda said: said["source"]["lost"])
        world.source.put("/app/b", "3")
        world.source.delete("/app/a")
        said = world.settle()
        assert f"/app: the store has more than listing_limit = {limit}" in str(said["source"])
        assert said["source"]["revision"] == first
        assert world.live() == "/app/a=1\n/app/b=2\n"
        world.source.delete("/app/big")
        world.source.recover()
        world.until(lambda said: not said["source"]["lost"])
        world.settle()
        assert world.live() == "/app/b=3\n"
    error = f"""/app: the store has more than listing_limit = {limit} bytes of keys and values
(delete keys, watch fewer, or raise --listing-limit); the live files are kept and it is tried again
""".replace("\n", " ")
    assert caplog.text.count(error.strip()) == 1
