"""The state of the daemon in one line, and when it is shown."""

from __future__ import annotations

import itertools
import logging
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from pyconfd.daemon.status_notifier import LEAST_S, StatusNotifier
from pyconfd.observe.log import LOG
from pyconfd.status.summary import (
    TROUBLES,
    ConfigFaults,
    FailedReload,
    FileState,
    Outage,
    Summary,
    Troubles,
    Unhealthy,
    brief,
    kind,
    line,
    span,
)
from pyconfd.system.sdnotify import Notifier

NOW = 1_000_000.0
OK = Summary(resources=20, revision=812)
SITES = Unhealthy("sites", FileState.REFUSED, 'unexpected "}" in nginx.conf:12')
HELD = Unhealthy("edge", FileState.HELD, "all 3 keys are gone")
PENDING = FailedReload("nginx -s reload", NOW - 12, "exit status 1")
LOST = Outage("connection refused", NOW - 40)


@pytest.fixture(autouse=True)
def heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log reaches pytest, whatever a test before has configured."""
    monkeypatch.setattr(LOG, "propagate", True)


@pytest.mark.parametrize(
    ("summary", "said", "which"),
    [
        (OK, "ok: 20 resources at revision 812", "ok"),
        (Summary(resources=1), "ok: 1 resource", "ok"),
        (replace(OK, listed=False), "starting: the store has not been read yet", "starting"),
        (replace(OK, waiting=3), "starting: 3 of 20 resources not processed yet", "starting"),
        (
            replace(OK, listed=False, outage=LOST),
            "store unavailable for 40 s: connection refused; it has not been read yet, "
            "20 resources left as found; see pyconfd status",
            "lost",
        ),
        (
            replace(OK, outage=LOST),
            "store unavailable for 40 s: connection refused; 20 fine at revision 812; "
            "see pyconfd status",
            "lost",
        ),
        (
            replace(OK, bad=Troubles((SITES,)), pending=(PENDING,), outage=LOST),
            '1 refused (sites: unexpected "}" in nginx.conf:12), 19 fine; '
            "reload pending for 12 s (nginx -s reload: exit status 1); "
            "store unavailable for 40 s: connection refused; see pyconfd explain sites",
            "refused,pending,lost",
        ),
        (
            replace(
                OK, faulty=ConfigFaults(("app.toml:3: unknown key", "b.j2:1: x"), NOW - 60, True)
            ),
            "2 faults in conf.d for 60 s, not loaded (app.toml:3: unknown key; b.j2:1: x); "
            "20 fine at revision 812; see pyconfd check",
            "faulty",
        ),
        (
            replace(OK, faulty=ConfigFaults(("app.toml:3: x",), NOW - 200, False), outage=LOST),
            "new configuration refused for 3 min, the previous one stays in use "
            "(1 fault: app.toml:3: x); store unavailable for 40 s: connection refused; "
            "20 fine at revision 812; see pyconfd check",
            "faulty,lost",
        ),
        (
            replace(OK, pending=(PENDING, FailedReload("apachectl graceful", NOW - 200, ""))),
            "2 reloads pending for 3 min (nginx -s reload: exit status 1; apachectl graceful); "
            "20 fine at revision 812; see pyconfd status",
            "pending",
        ),
        (
            replace(OK, bad=Troubles((HELD, SITES)), waiting=2),
            '1 refused (sites: unexpected "}" in nginx.conf:12), '
            "1 held (edge: all 3 keys are gone), 16 fine, 2 not processed yet; "
            "see pyconfd explain sites",
            "refused,held",
        ),
        (
            replace(OK, bad=Troubles(replace(SITES, name=f"s{n}", what="x") for n in range(5))),
            "5 refused (s0: x; s1: x; s2: x; and 2 more), 15 fine; see pyconfd explain s0",
            "refused",
        ),
        (
            replace(OK, bad=Troubles((HELD,))),
            "1 held (edge: all 3 keys are gone), 19 fine; see pyconfd explain edge; "
            "let it through: pyconfd release edge",
            "held",
        ),
        (
            Summary(resources=1, bad=Troubles((Unhealthy("a", FileState.TORN, ""),))),
            "1 torn (a); see pyconfd explain a",
            "torn",
        ),
    ],
)
def test_the_line_says_what_is_wrong_and_what_is_fine(
    summary: Summary, said: str, which: str
) -> None:
    """Trouble first, with its place and its reason."""
    assert line(summary, NOW) == said
    assert kind(summary) == which


def test_every_combination_of_troubles_is_one_line_that_names_each() -> None:
    """No trouble hides another, whatever comes together."""
    several = (LOST, None), ((PENDING,), ()), (True, False), (0, 2)
    for count in range(len(TROUBLES) + 1):
        for names in itertools.combinations(TROUBLES, count):
            bad = Troubles(Unhealthy(f"r-{name}", name, f"why\n{name}") for name in names)
            for outage, pending, listed, waiting in itertools.product(*several):
                summary = Summary(
                    resources=9,
                    listed=listed,
                    waiting=waiting,
                    bad=bad,
                    pending=pending,
                    outage=outage,
                )
                text, which = line(summary, NOW), kind(summary)
                assert text.isprintable()
                assert all(f"1 {name} (r-{name}: why {name})" in text for name in names)
                assert ("reload pending for 12 s" in text) is bool(pending) is ("pending" in which)
                assert ("store unavailable for 40 s" in text) is bool(outage) is ("lost" in which)
                assert ("ok" in which) is text.startswith("ok")
                assert ("starting" in which) <= text.startswith("starting")


def test_a_reader_who_comes_later_gets_the_time_instead_of_the_age() -> None:
    """What systemd shows may be hours old."""
    said = line(replace(OK, outage=LOST), NOW, ages=False)
    assert said.startswith("store unavailable since 1970-01-12T13:46:00Z: connection refused")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1, "0 s"), (0.9, "0 s"), (119, "119 s"), (120, "2 min"), (3599, "59 min"), (3600, "1 h"),
     (7500, "2 h 5 min"), (86400, "1 d"), (273600, "3 d 4 h")],
)  # fmt: skip
def test_spans_are_for_people(seconds: float, said: str) -> None:
    """Two units at most."""
    assert span(seconds) == said


def test_words_of_others_are_one_short_printable_line() -> None:
    """Escape sequences and floods do not reach the terminal."""
    assert brief("a\x1b[31m\n\tb") == "a [31m b"
    assert len(brief("x" * 10_000)) == 240


def test_systemd_gets_each_change_and_the_log_each_new_kind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A busy store does not flood either: revisions alone are shown once a second."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        systemd.settimeout(60)
        notifier = StatusNotifier(Notifier({"NOTIFY_SOCKET": path}))
        with caplog.at_level(logging.INFO, "pyconfd"):
            notifier.show(OK, 100.0)
            notifier.show(replace(OK, revision=813), 100.1)
            assert notifier.due_s == 100.0 + LEAST_S
            notifier.show(replace(OK, revision=814), 100.0 + LEAST_S)
            assert notifier.due_s is None
            notifier.show(replace(OK, revision=814, bad=Troubles((SITES,))), 101.1)
        assert [systemd.recv(4096).decode() for _ in range(3)] == [
            "STATUS=ok: 20 resources at revision 812",
            "STATUS=ok: 20 resources at revision 814",
            'STATUS=1 refused (sites: unexpected "}" in nginx.conf:12), 19 fine; '
            "see pyconfd explain sites",
        ]
    assert [record.message for record in caplog.records] == [
        "status: ok: 20 resources at revision 812",
        'status: 1 refused (sites: unexpected "}" in nginx.conf:12), 19 fine; '
        "see pyconfd explain sites",
    ]


def test_without_systemd_only_a_new_kind_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """And nothing is held back that would wake the loop."""
    notifier = StatusNotifier(Notifier({}))
    with caplog.at_level(logging.INFO, "pyconfd"):
        for number in range(3):
            notifier.show(replace(OK, revision=number + 1), float(number) / 10)
    assert notifier.due_s is None
    assert len(caplog.records) == 1


def test_a_set_that_is_loaded_again_is_no_news_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """SIGHUP: all is processed again, and comes out as before."""
    notifier = StatusNotifier(Notifier({}))
    with caplog.at_level(logging.INFO, "pyconfd"):
        for summary in (replace(OK, listed=False), OK, replace(OK, waiting=20), OK):
            notifier.show(summary, 1.0)
    assert [record.message for record in caplog.records] == [
        "status: ok: 20 resources at revision 812"
    ]
