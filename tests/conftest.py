"""
The order of the suite: what needs no service first, so that a slip shows within seconds; and what
one test would leave behind for the next in the same process.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Tests fork this process (tests/support/steps.py) beside gRPC's threads. Its handlers for that wait
# for them before every fork, and are of no use to children that do not call it. Read at its import.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
import grpc  # noqa: F401

del os.environ["GRPC_ENABLE_FORK_SUPPORT"]

# Scripts that a test starts get this Python, whatever stands on PATH before it: shims of version
# managers are shell scripts, and some recipes start one for every check.
os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))

HERE = Path(__file__).parent
# The program as a child process, or killed at every step: right, but not within seconds.
SLOW_FOLDERS = (HERE / "e2e", HERE / "faults")


# What is slow on a busy machine is no fault of what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_configure(config: pytest.Config) -> None:
    """
    Signals as a terminal has them: a run in the background or under nohup was told to ignore some,
    and every program that a test starts would inherit that.

    And the order of below also side by side: xdist by itself begins with the files that have the
    most tests, and waits in the end for the longest ones, which have few.
    """
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)  # before `-m` picks by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast tests, then the long proofs, so that none of them is waited for alone at the end."""
    for item in items:
        unmarked = not item.get_closest_marker("integration")
        if unmarked and any(folder in item.path.parents for folder in SLOW_FOLDERS):
            item.add_marker("slow")
    items.sort(key=_weight)


def _weight(item: pytest.Item) -> int:
    if item.get_closest_marker("slow"):
        return 1
    return 2 if item.get_closest_marker("integration") else 0


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """A test that runs a command sets up the log of the whole process."""
    log = logging.getLogger("pyconfd")
    before = (log.handlers[:], log.level, log.propagate, logging.raiseExceptions)
    yield
    log.handlers[:], log.level, log.propagate, logging.raiseExceptions = before
