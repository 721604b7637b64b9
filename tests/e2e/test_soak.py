"""The short, seeded run of the soak (`make soak` runs it for as long as you like)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.soak import FAULTS, Soak, table

pytestmark = [pytest.mark.integration, pytest.mark.slow]
SECONDS = 45.0


def test_a_broken_cluster_never_shows_what_was_not_and_always_converges(tmp_path: Path) -> None:
    """Every kind of fault in a seeded order, as far as the time goes; no violation."""
    until = time.monotonic() + SECONDS
    soak = Soak(tmp_path, seed=5)
    tally = soak.run(lambda count: count >= len(FAULTS) or time.monotonic() > until, pause_s=0.1)
    assert tally.violations == [], table(tally)
    assert len(tally.converged_s) > 3
