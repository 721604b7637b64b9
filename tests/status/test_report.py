"""What the daemon remembers of its work, the picture made of it, and answers to questions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from pyconfd.daemon.control_requests import MOST_KEYS, Access, answer
from pyconfd.errors import HeldBack, PyconfdError, StageError, SwapTorn
from pyconfd.model.debt import Debt
from pyconfd.model.keys import KeyValue, Listed
from pyconfd.model.reads import Reads
from pyconfd.model.resources import Command, Guard, Origin, Resource, Service
from pyconfd.model.steps import (
    CommandReport,
    LaneReport,
    Outcome,
    Reloaded,
    ReloadFailed,
    Result,
)
from pyconfd.pipeline.gated import GatedKeys
from pyconfd.pipeline.store import Snapshot, Store
from pyconfd.reconcile.retry import Retry
from pyconfd.reconcile.service import ServiceState
from pyconfd.status.history import History, gist
from pyconfd.status.report import StatusFacts, picture, summary
from pyconfd.status.summary import kind, line

NGINX_SAYS = """\
nginx: [warn] conflicting server name "a" on 0.0.0.0:80, ignored
nginx: [emerg] unexpected "}" in /etc/nginx/conf.d/web.conf:12
nginx: configuration file /etc/nginx/nginx.conf test failed
"""
RELOAD = "nginx -s reload"


def resource(name: str, **more: Any) -> Resource:
    made = Resource(
        name=name,
        origin=Origin(f"{name}.toml", 1),
        src=f"{name}.j2",
        dest=f"/etc/nginx/conf.d/{name}.conf",
        keys=(f"/{name}",),
        service=Service(reload=Command(RELOAD, 10.0)),
    )
    return replace(made, **more)


WEB, API = resource("web"), resource("api")
SITES = resource("sites", each="/sites", dest="/etc/nginx/sites/{name}.conf")


def said(output: str, status: int = 1) -> CommandReport:
    return CommandReport("nginx -t", status, 0.02, output)


def outcome(of: Resource, result: Result = Result.UPDATED, **more: Any) -> Outcome:
    return Outcome(resource=of, result=result, digest="d", revision=812, **more)


def report(*outcomes: Outcome, names: Iterable[str] = (), **more: Any) -> LaneReport:
    looked_at = frozenset(names) or frozenset(one.resource.declared for one in outcomes)
    return LaneReport(service=RELOAD, generation=1, outcomes=outcomes, names=looked_at, **more)


def facts(history: History, *resources: Resource, **more: Any) -> StatusFacts:
    state = more.pop("state", ServiceState(name=RELOAD))
    known: dict[str, Any] = {
        "now_s": 1000.0,
        "now_at": 1_000_000.0,
        "about": {"version": "1", "pid": 7},
        "source": "etcd",
        "revision": 812,
        "listed": True,
        "lost": "",
        "lost_s": 0.0,
        "watched": ("/web",),
        "resources": {one.name: one for one in resources},
        "unready": (),
        "services": {RELOAD: state},
        "failed": {RELOAD: state} if state.debt and state.debt.attempts else {},
        "history": history,
        "stopping": False,
    }
    return StatusFacts(**{**known, **more})


def row(found: Mapping[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in found["resources"] if one["name"] == name)


def test_a_refusal_keeps_the_checkers_words_and_the_live_version() -> None:
    """The line that says most stands for all of them; nothing of the live version is forgotten."""
    history = History()
    history.note(report(outcome(WEB), outcome(API)), 10.0)
    refused = outcome(WEB, Result.REFUSED, report=said(NGINX_SAYS))
    history.note(report(refused), 20.0)
    history.note(report(refused), 80.0)
    found = picture(facts(history, WEB, API))
    web = row(found, "web")
    assert web["state"] == "refused"
    assert web["since_at"] == "1970-01-01T00:00:20Z"
    assert web["trouble"]["what"] == 'unexpected "}" in /etc/nginx/conf.d/web.conf:12'
    assert web["trouble"]["words"] == NGINX_SAYS.strip()
    assert web["trouble"]["at"] == "1970-01-01T00:01:20Z"
    assert web["live"]["written_at"] == "1970-01-01T00:00:10Z"
    assert row(found, "api")["state"] == "fine"
    assert found["line"].startswith('1 refused (web: unexpected "}"')
    assert found["line"].endswith("1 fine; see pyconfd explain web")
    assert found["ready"], "a refused resource runs with its last good file"


def test_what_was_mended_is_fine_and_remembered() -> None:
    """The last trouble stays for `explain`."""
    history = History()
    history.note(report(outcome(WEB, Result.REFUSED, report=said(NGINX_SAYS))), 20.0)
    history.note(report(outcome(WEB, Result.UNCHANGED)), 30.0)
    web_state = history.states["web"]
    assert web_state.state == "fine"
    assert web_state.since_at == 30.0
    assert web_state.last_trouble
    assert web_state.last_trouble.at == 20.0
    assert not history.bad


@pytest.mark.parametrize(
    ("result", "error", "which", "what"),
    [
        (Result.HELD, HeldBack("all 3 keys are gone", where="web"), "held",
         "all 3 keys are gone"),
        (Result.STAGE_FAILED, StageError("disk full", where="/etc/x"), "failed",
         "/etc/x: disk full"),
        (Result.SWAP_FAILED, SwapTorn("half of it", where="/etc/x"), "torn", "/etc/x: half of it"),
        (Result.REVERTED, PyconfdError("nginx did not take it"), "reverted",
         "nginx did not take it"),
        (Result.LEFT_OUT, PyconfdError("api was refused"), "left out", "api was refused"),
        (Result.CHECK_BROKEN, None, "failed", "check broken"),
    ],
)  # fmt: skip
def test_every_failure_has_its_kind_and_its_reason(
    result: Result, error: PyconfdError | None, which: str, what: str
) -> None:
    """In one line, without what the row says anyway."""
    history = History()
    history.note(report(outcome(WEB, result, error=error)), 1.0)
    (bad,) = history.bad
    assert (bad.name, bad.state, bad.what) == ("web", which, what)
    assert picture(facts(history, WEB))["ready"] is (which != "torn")


def test_the_staged_name_in_a_checkers_words_is_that_of_the_destination() -> None:
    """The staged file is gone by the time somebody looks for it."""
    history = History()
    words = "syntax error in /etc/nginx/conf.d/.web.conf.4026-79-7288-2.pyconfd~:3"
    history.note(report(outcome(WEB, Result.REFUSED, report=said(words))), 1.0)
    assert next(iter(history.bad)).what == "syntax error in /etc/nginx/conf.d/web.conf:3"


def test_items_of_a_pattern_come_and_go_with_their_keys() -> None:
    """One row for each file; a refused name is forgotten with its key."""
    history = History()
    a, b = SITES.for_item("a"), SITES.for_item("b")
    bad = outcome(b, Result.REFUSED, report=said("no"))
    history.note(report(outcome(a), bad), 1.0)
    state = facts(history, SITES, WEB)
    assert [one["name"] for one in picture(state)["resources"]] == ["sites[a]", "sites[b]", "web"]
    assert summary(state).resources == 3
    history.note(report(outcome(a, Result.REMOVED), names=["sites"]), 2.0)
    assert not history.bad
    assert [one["name"] for one in picture(state)["resources"]] == ["sites", "web"]
    assert row(picture(state), "sites")["state"] == "fine"
    assert summary(state).resources == 2


def test_a_pattern_held_as_a_whole_keeps_its_files_until_it_goes_on() -> None:
    """The files are still live."""
    history = History()
    a = SITES.for_item("a")
    history.note(report(outcome(a)), 1.0)
    held = outcome(SITES, Result.HELD, error=HeldBack("gone"))
    history.note(report(held), 2.0)
    state = facts(history, SITES)
    assert [one["state"] for one in picture(state)["resources"]] == ["held", "fine"]
    assert summary(state).resources == 2
    history.note(report(outcome(a, Result.UNCHANGED)), 3.0)
    assert [one["name"] for one in picture(state)["resources"]] == ["sites[a]"]
    assert kind(summary(state)) == "ok"


def test_what_is_no_longer_declared_is_forgotten() -> None:
    """After SIGHUP with another conf.d."""
    history = History()
    history.note(report(outcome(WEB, Result.HELD), outcome(SITES.for_item("a"))), 1.0)
    history.keep([API])
    assert not history.states
    assert not history.bad
    assert history.more == 0


def test_a_failed_reload_is_pending_and_says_when_it_is_tried_again() -> None:
    """The least interval counts as well as the back-off."""
    history = History()
    failed = ReloadFailed(RELOAD, report=CommandReport(RELOAD, 1, 0.1, "no pid"))
    history.note(report(outcome(WEB), reload=failed), 5.0)
    debt = Debt(since_s=988.0, attempts=2, not_before_s=1003.0)
    state = facts(history, WEB, state=ServiceState(name=RELOAD, debt=debt))
    (service,) = picture(state)["services"]
    assert service["pending_reload"] == {
        "since_at": "1970-01-12T13:46:28Z",
        "for_s": 12.0,
        "failed_attempts": 2,
        "next_try_s": 3.0,
    }
    assert service["last_reload"]["what"] == "exit status 1"
    text = line(summary(state), state.now_at)
    assert text == (
        f"reload pending for 12 s ({RELOAD}: exit status 1); 1 fine at revision 812; "
        "see pyconfd status"
    )
    history.note(report(reload=Reloaded(RELOAD, said("", 0)), names=["web"]), 9.0)
    assert history.reloads[RELOAD].ok


def test_a_reload_that_is_only_postponed_is_no_trouble() -> None:
    """It is shown with its service, not in the line."""
    state = ServiceState(name=RELOAD, debt=Debt(since_s=999.0), reloaded_s=999.5)
    found = facts(History(), WEB, state=state)
    assert kind(summary(found)) == "ok"
    assert picture(found)["services"][0]["pending_reload"]["next_try_s"] == 0.0


def test_a_lost_store_is_in_the_picture_with_its_cause() -> None:
    """And since when."""
    found = facts(History(), WEB, lost="connection refused", lost_s=960.0)
    assert picture(found)["source"]["lost"]["for_s"] == 40.0
    assert picture(found)["line"] == (
        "store unavailable for 40 s: connection refused; 1 fine at revision 812; see pyconfd status"
    )


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("", ""),
        ("\n\n", ""),
        ("only this", "only this"),
        (NGINX_SAYS, 'unexpected "}" in /etc/nginx/conf.d/web.conf:12'),
        ("[ALERT] (12) : config : parsing [x.cfg:3]: unknown keyword\nmore",
         "config : parsing [x.cfg:3]: unknown keyword"),
        ("2026/11/28 16:00:01 [notice] 7#7: x\n2026/11/28 16:00:02 [emerg] 1#1: *4 bind() failed",
         "bind() failed"),
        ("[Sat Nov 28 16:00:00.123456 2026] [core:error] [pid 12:tid 34] AH00072: could not bind",
         "AH00072: could not bind"),
        ("Sat Nov 28 16:01:02 2026: (Line 3) (VI_1) fatal: no interface", "(Line 3) (VI_1) fatal:"
         " no interface"),
        ("hello\nAH00526: Syntax error on line 3 of x:\nInvalid command",
         "AH00526: Syntax error on line 3 of x:"),
    ],
)  # fmt: skip
def test_the_gist_is_the_line_that_says_most(output: str, expected: str) -> None:
    """Of any program's words."""
    assert gist(output) == expected


class Asking:
    """Questions to a daemon with a store of three keys, one of them secret."""

    def __init__(self, *resources: Resource, held: Iterable[str] = ()) -> None:
        self.history = History()
        self.facts = facts(self.history, *resources)
        self.held = set(held)
        self.store = Store()
        keys = [KeyValue("/web/a", b"topsecret", 5), KeyValue("/web/b", b"topsecret", 9)]
        self.store.apply(Listed("etcd", 1, 812, tuple(keys)))
        self.reads = Reads(keys=frozenset(("/web/a", "/web/no")), trees=frozenset(("/web",)))
        self.gated: GatedKeys | None = None
        self.waits = False

    def view(self, _: str, live: Snapshot) -> Snapshot | None:
        """What the service's files are made from."""
        if self.waits:
            return None
        return self.gated.over(live) if self.gated else live

    def __call__(self, **question: Any) -> tuple[dict[str, Any], list[str]]:
        access = Access(
            lambda _: self.reads,
            self.store.snapshot,
            lambda names, _by: [name for name in names if name in self.held],
            view=self.view,
        )
        answered = answer(question, self.facts, access)
        return json.loads(json.dumps(answered.answer)), list(answered.dirty)


def test_an_explanation_names_keys_and_revisions_and_no_values() -> None:
    """By resource and by destination."""
    asking = Asking(replace(WEB, guard=Guard(min_keys=2)), API)
    asking.history.note(report(outcome(WEB)), 1.0)
    for question in ({"name": "web"}, {"name": "web.conf", "path": WEB.dest}):
        found, dirty = asking(do="explain", **question)
        (web,) = found["explained"]
        assert web["keys"]["keys"] == {"/web/a": 5, "/web/no": None}
        assert web["keys"]["trees"] == {"/web": {"keys": 2, "newest_revision": 9}}
        assert web["guard"]["min_keys"] == 2
        assert web["reload"]["name"] == RELOAD
        assert web["origin"] == "web.toml:1"
        assert "topsecret" not in json.dumps(found)
        assert not dirty


def test_of_a_gated_service_the_keys_in_use_are_explained() -> None:
    """Not those that wait for their turn; none while it has nothing to start from."""
    asking = Asking(WEB)
    asking.gated = GatedKeys.holding(6, [KeyValue("/web/a", b"old", 3)], ["/web/a", "/web/c"])
    (web,) = asking(do="explain", name="web")[0]["explained"]
    assert web["keys"]["keys"] == {"/web/a": 3, "/web/no": None}
    asking.waits = True
    (web,) = asking(do="explain", name="web")[0]["explained"]
    assert web["keys"]["keys"] == web["keys"]["trees"] == {}


def test_an_explanation_stays_readable_however_many_keys_were_read() -> None:
    """The rest is counted."""
    asking = Asking(WEB)
    asking.reads = Reads(keys=frozenset(f"/web/{number}" for number in range(MOST_KEYS + 50)))
    found, _ = asking(do="explain", name="web")
    assert len(found["explained"][0]["keys"]["keys"]) == MOST_KEYS
    assert found["explained"][0]["keys"]["left_out"] == 50


def test_a_group_a_pattern_and_an_item_are_explained() -> None:
    """Everything that the word stands for."""
    members = replace(WEB, group="edge"), replace(API, group="edge")
    asking = Asking(*members, SITES)
    item = SITES.for_item("a")
    asking.history.note(report(outcome(item)), 1.0)

    def names(word: str) -> list[str]:
        return [one["name"] for one in asking(do="explain", name=word)[0]["explained"]]

    assert names("edge") == ["web", "api"]
    assert names("sites") == ["sites[a]"]
    assert names("sites[a]") == names(item.dest) == names("a") == ["sites[a]"]


def test_an_explanation_of_a_pattern_is_bounded_and_begins_with_trouble() -> None:
    """However many files it has made: the rest is counted."""
    asking = Asking(SITES)
    items = [SITES.for_item(f"n{number:03}") for number in range(100)]
    bad = outcome(items[90], Result.STAGE_FAILED, error=StageError("disk full"))
    asking.history.note(report(*map(outcome, items[:90]), bad), 1.0)
    found, _ = asking(do="explain", name="sites")
    names = [one["name"] for one in found["explained"]]
    assert names == ["sites[n090]", *(f"sites[n{number:03}]" for number in range(19))]
    assert found["left_out"] == 71


def test_a_release_concerns_the_whole_group_and_is_looked_at_again() -> None:
    """A group is held by one member, and any word for it will do."""
    members = replace(WEB, group="edge"), replace(API, group="edge")
    asking = Asking(*members, SITES, held=["api"])
    for word in ("web", "api", "edge", WEB.dest):
        found, dirty = asking(do="release", name=word)
        assert found == {"released": ["api"]}
        assert dirty == ["web", "api"]
    found, dirty = asking(do="release", name="sites")
    assert found["error"] == "nothing is held back"
    assert not dirty


@pytest.mark.parametrize(
    "question",
    [{}, {"do": 3}, {"do": []}, {"do": "explain"}, {"do": "release", "name": ["web"]},
     {"do": "explain", "name": {"a": 1}, "path": 7}, {"do": "explain", "name": ""}],
)  # fmt: skip
def test_a_senseless_question_gets_an_error(question: dict[str, Any]) -> None:
    """And never ends the daemon."""
    assert "error" in Asking(WEB)(**question)[0]


def test_an_unknown_name_gets_the_nearest_known_one() -> None:
    """As everywhere."""
    found, _ = Asking(WEB, API)(do="explain", name="wbe")
    assert found["error"] == "no such resource, group or destination"
    assert found["hint"] == "did you mean web?"


def test_a_retry_is_shown_with_what_is_in_trouble() -> None:
    """And not with its neighbours."""
    history = History()
    history.note(report(outcome(WEB, Result.HELD), outcome(API)), 1.0)
    state = ServiceState(name=RELOAD, retries={"web": Retry(3, 1030.0)})
    found = picture(facts(history, WEB, API, state=state))
    assert row(found, "web")["retry_s"] == 30.0
    assert row(found, "api")["retry_s"] is None
