"""
Every parser of foreign bytes, for a minute in all; `make fuzz SECONDS=600` gives it more.
"""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.targets import TARGETS

SECONDS = float(os.environ.get("PYCONFD_FUZZ_SECONDS") or 60)
#: No input may hold its parser up for longer; a busy machine needs some of it.
LONGEST_S = 5.0


@pytest.mark.slow
@pytest.mark.timeout(SECONDS / len(TARGETS) + 60)  # before an endless input takes all memory
@pytest.mark.parametrize("name", TARGETS)
def test_foreign_bytes_are_taken_or_refused(
    name: str, record_property: pytest.RecordProperty
) -> None:
    """In a moment, with an expected error at most."""
    strategy, target = TARGETS[name]
    tried = 0

    @settings(
        max_examples=100,
        deadline=None,
        derandomize=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def try_some(given: Any) -> None:
        nonlocal tried
        tried += 1
        begun = time.monotonic()
        target(given)
        assert time.monotonic() - begun < LONGEST_S

    end = time.monotonic() + SECONDS / len(TARGETS)
    while time.monotonic() < end:
        try_some()
    record_property("inputs", tried)
    print(f"{name}: {tried} inputs")
