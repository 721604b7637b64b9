"""The daemon in numbers: what is counted, under which names, and how Prometheus reads it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pyconfd.daemon.control_requests import Access, answer
from pyconfd.daemon.http_endpoints import health, metrics
from pyconfd.errors import HeldBack, SourceUnavailable
from pyconfd.model.debt import Debt
from pyconfd.model.keys import Changed, Listed, Lost, Progressed
from pyconfd.model.reads import Reads
from pyconfd.model.resources import Command, Origin, Resource, Service
from pyconfd.model.steps import (
    CommandReport,
    LaneReport,
    Outcome,
    Reloaded,
    ReloadFailed,
    Result,
)
from pyconfd.pipeline.store import Store
from pyconfd.reconcile.service import Job, ServiceState
from pyconfd.status.counters import BOUNDS_S, Counters
from pyconfd.status.history import History
from pyconfd.status.measurements import measures
from pyconfd.status.report import StatusFacts
from pyconfd.status.summary import ConfigFaults

RELOAD = "nginx -s reload"
WEB = Resource(
    name="web",
    origin=Origin("web.toml", 1),
    src="web.j2",
    dest="/web",
    service=Service(reload=Command(RELOAD, 1.0)),
)
SITES = replace(WEB, name="sites", each="/sites", dest="/sites/{name}")
HELD = HeldBack("all 4 keys are gone")
HELD.guard = "allow_empty"
Sample = dict[tuple[str, frozenset[tuple[str, str]]], float]


def passed(*outcomes: Outcome, generation: int = 1, **more: Any) -> LaneReport:
    names = frozenset(one.resource.declared for one in outcomes)
    return LaneReport(service=RELOAD, generation=generation, outcomes=outcomes, names=names, **more)


def outcome(result: Result, of: Resource = WEB, **more: Any) -> Outcome:
    return Outcome(resource=of, result=result, digest="d", revision=7, **more)


def facts(history: History, **more: Any) -> StatusFacts:
    state = more.pop("state", ServiceState(name=RELOAD))
    known: dict[str, Any] = {
        "now_s": 1000.0, "now_at": 1_000_000.0, "about": {"version": "1.2"}, "source": "etcd",
        "revision": 812, "listed": True, "lost": "", "lost_s": 0.0, "watched": ("/web",),
        "resources": {"web": WEB, "sites": SITES}, "unready": (), "services": {RELOAD: state},
        "failed": {RELOAD: state} if state.debt and state.debt.attempts else {},
        "history": history, "stopping": False,
    }  # fmt: skip
    return StatusFacts(**{**known, **more})


def samples(counts: Counters, of: StatusFacts, keys: int = 3) -> Sample:
    """What Prometheus reads: (name, labels) -> value."""
    page = metrics(measures(of, counts, keys))
    assert page.status == 200
    return {
        (one.name, frozenset(one.labels.items())): one.value
        for family in text_string_to_metric_families(page.body.decode())
        for one in family.samples
    }


def value(found: Sample, name: str, **labels: str) -> float | None:
    return found.get((f"pyconfd_{name}", frozenset(labels.items())))


def noted(counts: Counters, history: History, report: LaneReport, now_s: float = 10.0) -> None:
    """As the loop does it."""
    counts.ended(report, now_s, now_s + 500_000)
    history.note(report, now_s + 500_000)


def test_what_the_store_says_is_counted() -> None:
    """Messages by kind, keys that changed, and the age of the last one that was heard."""
    counts = Counters()
    counts.heard(Listed("etcd", 1, 1, ()), 900.0)
    counts.heard(Changed("etcd", 2, ()), 980.0)
    counts.heard(Progressed("etcd", 2), 990.0)
    counts.heard(Lost("etcd", SourceUnavailable("away")), 999.0)
    counts.changes = 5
    found = samples(counts, facts(History(), lost="away", lost_s=999.0))
    for kind in ("listed", "changed", "progressed", "lost"):
        assert value(found, "store_messages_total", kind=kind) == 1
    assert value(found, "store_changes_total") == 5
    assert value(found, "configuration_faults") == 0
    faulty = facts(History(), faulty=ConfigFaults(("a", "b"), 0.0, taken=False))
    assert value(samples(Counters(), faulty), "configuration_faults") == 2
    assert value(found, "store_last_message_age_seconds") == 10
    assert value(found, "store_connected") == 0
    assert value(found, "store_revision") == 812
    assert value(found, "store_keys") == 3
    assert value(found, "ready") == 1
    assert value(found, "build_info", version="1.2") == 1
    assert value(samples(Counters(), facts(History())), "store_last_message_age_seconds") is None


def test_a_held_change_shows_with_its_group_and_guard() -> None:
    """And no longer once it is let through; a group of two members is one held change."""
    counts, history = Counters(), History()
    one, other = replace(WEB, group="edge"), replace(WEB, name="api", dest="/api", group="edge")
    held = passed(outcome(Result.HELD, one, error=HELD), outcome(Result.HELD, other, error=HELD))
    noted(counts, history, held)
    of = facts(history, resources={"web": one, "api": other})
    found = samples(counts, of)
    assert value(found, "held_changes", group="edge", guard="allow_empty") == 1
    assert value(found, "held_changes", group="edge", guard="max_shrink") == 0
    assert value(found, "files", resource="web", group="edge", state="held") == 1
    assert value(found, "failures_total", resource="web", result="held") == 1
    noted(counts, history, passed(outcome(Result.UPDATED, one), outcome(Result.UPDATED, other)))
    found = samples(counts, of)
    assert value(found, "held_changes", group="edge", guard="allow_empty") == 0
    assert value(found, "files", resource="web", group="edge", state="fine") == 1


def test_what_became_of_files_is_counted_by_resource() -> None:
    """The destinations of a pattern under its name: names below a key are no labels."""
    counts, history = Counters(), History()
    one, other = SITES.for_item("secret-one"), SITES.for_item("secret-two")
    noted(counts, history, passed(outcome(Result.UPDATED, one), outcome(Result.REFUSED, other)))
    noted(counts, history, passed(outcome(Result.UNCHANGED, one), outcome(Result.REFUSED, other)))
    noted(counts, history, passed(outcome(Result.RENDER_FAILED)))
    of = facts(history)
    found = samples(counts, of)
    assert value(found, "renders_total", resource="sites") == 4
    assert value(found, "changed_files_total", resource="sites") == 1
    assert value(found, "refused_checks_total", resource="sites") == 2
    assert value(found, "renders_total", resource="web") == 0
    assert value(found, "failures_total", resource="web", result="render failed") == 1
    assert value(found, "files", resource="sites", group="sites", state="fine") == 1
    assert value(found, "files", resource="sites", group="sites", state="refused") == 1
    assert b"secret" not in metrics(measures(of, counts, 0)).body


def test_reloads_debts_and_the_last_success_are_told_by_service() -> None:
    """With how long a reload took."""
    counts, history = Counters(), History()
    done = CommandReport(RELOAD, 0, 0.07)
    noted(counts, history, passed(outcome(Result.UPDATED), reload=Reloaded(RELOAD, done)), 20.0)
    noted(counts, history, passed(reload=ReloadFailed(RELOAD)), 30.0)
    owing = ServiceState(name=RELOAD, debt=Debt(since_s=988.0, attempts=3))
    found = samples(counts, facts(history, state=owing))
    assert value(found, "reloads_total", service=RELOAD) == 1
    assert value(found, "reloads_failed_total", service=RELOAD) == 1
    assert value(found, "reload_pending", service=RELOAD) == 1
    assert value(found, "reload_pending_seconds", service=RELOAD) == 12
    assert value(found, "reload_pending_attempts", service=RELOAD) == 3
    assert value(found, "last_success_timestamp_seconds", service=RELOAD) == 500_020
    assert value(found, "reload_duration_seconds_count", service=RELOAD) == 1
    assert value(found, "reload_duration_seconds_bucket", service=RELOAD, le="0.05") == 0
    assert value(found, "reload_duration_seconds_bucket", service=RELOAD, le="0.1") == 1
    assert value(found, "reload_duration_seconds_bucket", service=RELOAD, le="+Inf") == 1
    assert value(samples(counts, facts(history)), "reload_pending", service=RELOAD) == 0


def test_the_time_from_a_change_to_live_is_measured() -> None:
    """From the first change of a burst to the end of the pass; not for passes that changed none."""
    counts = Counters()
    for generation, result in ((1, Result.UPDATED), (2, Result.UNCHANGED)):
        job = Job(service=RELOAD, generation=generation, changed_s=100.0)
        counts.began([job], 102.0)
        counts.ended(passed(outcome(result), generation=generation), 102.3, 0.0)
    found = samples(counts, facts(History()))
    assert value(found, "change_to_live_seconds_count", service=RELOAD) == 1
    assert value(found, "change_to_live_seconds_sum", service=RELOAD) == pytest.approx(2.3)
    assert value(found, "pass_duration_seconds_count", service=RELOAD) == 2
    assert value(found, "pass_duration_seconds_sum", service=RELOAD) == pytest.approx(0.6)


def test_a_spread_has_every_number_in_its_bucket() -> None:
    """A number that equals a bound is below it, as Prometheus has it."""
    counts = Counters()
    for number, seconds in enumerate((*BOUNDS_S, 1000.0)):
        counts.began([Job(service=RELOAD, generation=number)], 0.0)
        counts.ended(passed(generation=number), seconds, 0.0)
    assert counts.pass_s[RELOAD].counts == [1] * (len(BOUNDS_S) + 1)


def test_the_loop_answers_with_plain_data() -> None:
    """On the control socket too; where nothing is counted there is no such question."""
    store = Store()
    access = Access(lambda _: Reads(), store.snapshot, lambda names: names, Counters())
    said = answer({"do": "measure"}, facts(History()), access).answer
    assert json.loads(json.dumps(said))["revision"] == 812
    said = answer({"do": "measure"}, facts(History()), access._replace(counts=None)).answer
    assert said["error"] == "no such question"


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        ({}, 200, "ok: 2 resources at revision 812\n"),
        ({"unready": ("web",)}, 503, "starting: 1 of 2 resources not processed yet\n"),
        ({"lost": "no answer", "lost_s": 960.0}, 503,
         "store unavailable for 40 s: no answer; 2 fine at revision 812; "
         "see pyconfd status\n"),
        ({"listed": False}, 503, "starting: the store has not been read yet\n"),
    ],
    ids=["well", "starting", "away", "not-listed"],
)  # fmt: skip
def test_health_says_what_is_wrong(more: dict[str, Any], status: int, said: str) -> None:
    """200 when it is ready and the store answers."""
    page = health(measures(facts(History(), **more), Counters(), 0))
    assert (page.status, page.body.decode()) == (status, said)


def test_a_refused_file_is_no_reason_to_be_unwell() -> None:
    """What runs, runs with its last good file."""
    counts, history = Counters(), History()
    noted(counts, history, passed(outcome(Result.REFUSED)))
    assert health(measures(facts(history), counts, 0)).status == 200


def test_a_loop_that_gives_no_answer_is_unwell() -> None:
    """On both pages."""
    assert (health(None).status, metrics(None).status) == (503, 503)


def test_old_workers_are_counted_of_the_master_of_the_last_reload() -> None:
    """No series before the first reload, and none once that master has ended."""
    counts, history = Counters(), History()
    own = psutil.Process()
    assert value(samples(counts, facts(history)), "old_workers", service=RELOAD) is None
    for started, expected in ((own.create_time(), 0), (own.create_time() - 1, None)):
        report = CommandReport(RELOAD, 0, 0.1)
        reloaded = Reloaded(RELOAD, report, master=("nginx", own.pid, started))
        noted(counts, history, passed(outcome(Result.UPDATED), reload=reloaded))
        assert value(samples(counts, facts(history)), "old_workers", service=RELOAD) == expected
