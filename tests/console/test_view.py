"""What the console shows of records, whatever is in them, and the HTML that is made of it."""

from __future__ import annotations

import html.parser
import json
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pyconfd.console.board import FleetBoard
from pyconfd.console.pages import page, sections
from pyconfd.console.view import PAGE_ROWS, ViewQuery, fleet_view
from pyconfd.errors import SourceUnavailable
from pyconfd.fleet.records import FleetPaths, halt_value, version_value
from pyconfd.model.keys import Changed, KeyChange, KeyValue, Listed, Lost
from pyconfd.reconcile.turns import Halt, Version
from pyconfd.registration.overrides import Places, parse_order

PATHS = FleetPaths("edges")
PLACES = Places("/nginx/{service}/upstream/{id}", "/")
NOW = 1_800_000_000.0
OLD, NEW = Version("v1", 10), Version("v2", 20)
ORDER = b'{"verb":"weight","by":"alice","host":"h","at":"2026-03-01T12:00:00Z"}'
HOSTILE = "\"><script>alert(1)</script><img src=x onerror='x'>\x1b]0;\u202e{{ 7*7 }}"


def board(keys: Mapping[str, bytes]) -> FleetBoard:
    """keys: written at revisions 1, 2, ... in their order."""
    found = FleetBoard(PATHS, PLACES)
    items = (KeyValue(key, value, number, 7) for number, (key, value) in enumerate(keys.items(), 1))
    found.apply(Listed("", 0, len(keys), tuple(items)))
    return found


def node(revision: int = 1, **more: object) -> bytes:
    record = {"kind": "ok", "revision": revision, "version": "1", "reads": ["/nginx"], **more}
    return json.dumps(record).encode()


def rollout(
    proved: Mapping[str, Version], asked: Sequence[str] = (), begun: Sequence[str] = ()
) -> dict[str, bytes]:
    found = {PATHS.of("web", "nodes", name): version_value(one) for name, one in proved.items()}
    found |= {PATHS.node(name): node() for name in proved}
    found |= {PATHS.of("web", "asked", name): version_value(NEW) for name in asked}
    return found | {PATHS.of("web", "begun", name): version_value(NEW) for name in begun}


def view(keys: Mapping[str, bytes], **query: Any) -> dict[str, Any]:
    return fleet_view(board(keys), ViewQuery(**query), NOW)


def test_a_rollout_goes_from_waiting_over_turns_to_done() -> None:
    """The bar says the same."""
    names = ("a", "b", "c")
    waiting = view(rollout(dict.fromkeys(names, OLD), asked=names))["rollouts"][0]
    assert (waiting["stage"], waiting["revision"]) == ("0 of 3 done: waiting", 20)
    half = rollout({"a": NEW, "b": OLD, "c": OLD}, asked=("c",), begun=("b",))
    turn = view(half)["rollouts"][0]
    assert turn["stage"] == "1 of 3 done: b beginning"
    assert [(part["tone"], part["count"]) for part in turn["segments"]] == [
        ("good", 1), ("busy", 1), ("waiting", 1)
    ]  # fmt: skip
    done = view(rollout(dict.fromkeys(names, NEW)))["rollouts"][0]
    assert (done["stage"], done["tone"]) == ("done on all nodes", "good")


def test_the_node_that_refused_is_in_trouble_and_the_others_wait() -> None:
    """The words of the checker are there once."""
    keys = rollout(dict.fromkeys("abc", OLD), asked="abc")
    keys[PATHS.of("web", "halts", "v2")] = halt_value(Halt(why="no", by="b", revision=20))
    found = view(keys)
    (one,) = found["rollouts"]
    assert one["stage"] == "halted by b"
    assert [(row["node"], row["tone"], row["state"]) for row in one["nodes"]] == [
        ("a", "waiting", "halted"), ("b", "bad", "refused"), ("c", "waiting", "halted")
    ]  # fmt: skip
    assert found["tone"] == "bad"
    assert [row["node"] for row in found["nodes"]["rows"]] == ["b", "a", "c"]


def test_a_member_is_seen_by_the_nodes_that_read_as_far() -> None:
    """Those that read other keys do not count, and a drain has to be seen anew."""
    keys = {
        PATHS.node("fast"): node(9),
        PATHS.node("slow"): node(4),
        PATHS.node("mail"): node(9, reads=["/mail"]),
        "/nginx/www/upstream/a": b"10.0.0.1:80",
        "/nginx/www/override/a": b'{"state":"drain"}',
    }
    found = view(keys)
    (row,) = found["members"]["rows"]
    assert (row["state"], row["seen"], row["nodes"], row["late"]) == ("drain", 1, 2, "slow")
    lags = {one["node"]: one["behind"] for one in found["nodes"]["rows"]}
    assert lags == {"fast": 0, "slow": 5, "mail": 0}


def test_a_board_that_follows_is_as_one_that_lists() -> None:
    """Members and their overrides come and go in any order."""
    follower = board({"/nginx/www/upstream/a": b"10.0.0.1:80"})
    changes = (
        KeyChange("/nginx/www/override/b", b'{"weight":3}', 2),
        KeyChange("/nginx/www/upstream/b", b"10.0.0.2:80", 3, 7),
        KeyChange("/nginx/www/override/b/order", ORDER, 3),
        KeyChange("/nginx/www/upstream/a", None, 4),
        KeyChange("/nginx/www/other", b"x", 5),
    )
    follower.apply(Changed("", 5, changes))
    listed = board(
        {
            "/x": b"",
            "/nginx/www/override/b": b'{"weight":3}',
            "/nginx/www/upstream/b": b"10.0.0.2:80",
            "/nginx/www/override/b/order": ORDER,
        }
    )
    assert follower.members.rows == listed.members.rows
    assert list(follower.members.rows) == [("www", "b")]
    (row,) = follower.members.rows.values()
    assert row.order == parse_order(ORDER)


def test_the_last_orders_are_those_of_services_and_of_members() -> None:
    """The newest first; a weight with its number."""
    keys = {
        PATHS.order(
            "1"
        ): b'{"do":"halt","by":"bob","where":"h","at":1767225600,"services":["web"]}',
        "/nginx/www/upstream/b": b"10.0.0.2:80",
        "/nginx/www/override/b": b'{"weight":3}',
        "/nginx/www/override/b/order": ORDER,
    }
    found = view(keys)["orders"]
    assert [(one["what"], one["by"], one["services"]) for one in found] == [
        ("weight b 3", "alice", ["www"]), ("halt", "bob", ["web"])
    ]  # fmt: skip


def test_a_large_fleet_comes_in_pages_and_can_be_searched() -> None:
    """A page that does not exist is the last one."""
    keys = {f"/nginx/www/upstream/m{number:03}": b"10.0.0.1:80" for number in range(250)}
    found = view(keys, members=99)["members"]
    assert (found["page"], found["pages"], len(found["rows"])) == (3, 3, 250 - 2 * PAGE_ROWS)
    assert view(keys, text="m12")["members"]["rows"][0]["id"] == "m120"


def test_an_outage_is_shown_until_it_is_over() -> None:
    """With the cause; what was last seen stays."""
    found = board({PATHS.node("a"): node()})
    assert found.apply(Lost("etcd", SourceUnavailable("refused", where="etcd")))
    lost = fleet_view(found, ViewQuery(), NOW)
    assert (lost["tone"], lost["total"]) == ("bad", 1)
    assert "refused" in sections(lost, ViewQuery(), orders=False)["summary"]
    assert found.apply(Changed("etcd", 9, ()))
    assert not found.lost


class Tags(html.parser.HTMLParser):
    """Tags, attributes and addresses of a page, as a browser reads them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def whole(keys: Mapping[str, bytes], query: ViewQuery) -> str:
    parts = sections(fleet_view(board(keys), query, NOW), query, orders=True)
    return page(
        parts, query, fleet="edges", version="v", user=HOSTILE, may_log_in=True, notice=HOSTILE
    )


def test_hostile_keys_and_values_stay_text() -> None:
    """In texts, attributes and addresses; and control characters are spelled out."""
    evil = HOSTILE.replace("/", "|")
    text = {"kind": evil, "line": evil, "version": evil, "since": evil, "page": "javascript:x()"}
    services = {evil: {"rollout": {"revision": evil, "held": evil, "canary": 1}, "reload": evil}}
    keys = {
        PATHS.node(evil): json.dumps({**text, "services": services, "revision": evil}).encode(),
        PATHS.of(evil, "nodes", evil): version_value(OLD),
        PATHS.of(evil, "asked", evil): version_value(NEW),
        PATHS.of(evil, "halts", "v2"): halt_value(Halt(why=evil, by=evil, where=evil, at=1.0)),
        PATHS.of(evil, "pinned"): json.dumps({"revision": 5, "by": evil}).encode(),
        PATHS.order("1"): json.dumps({"do": evil, "by": evil, "services": [evil]}).encode(),
        PATHS.refused(evil): json.dumps({"host": evil}).encode(),
        f"/nginx/{evil}/upstream/{evil}": json.dumps({"addr": evil, "state": evil}).encode(),
        f"/nginx/{evil}/override/{evil}/order": json.dumps(
            {"verb": "up", "by": evil, "host": evil, "at": evil}
        ).encode(),
    }
    found = whole(keys, ViewQuery(text=""))
    tags = Tags(found).found
    assert [attributes for tag, attributes in tags if tag == "script"] == [
        {"src": "/console.js", "defer": None}
    ]
    assert "img" not in {tag for tag, _ in tags}
    assert not any(name.startswith("on") for _, attributes in tags for name in attributes)
    assert not any((each.get("href") or "").startswith("javascript") for _, each in tags)
    assert "\x1b" not in found
    assert "\u202e" not in found
    assert "<script" not in whole({}, ViewQuery(text=HOSTILE)).replace('<script src="/c', "")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    ("kind", "line", "revision", "reads", "services", "at", "do", "by", "digest", "state", "page",
     "weight", "addr", "verb", "since", "host", "node", "where", "why")
)  # fmt: skip
KEYS = (
    PATHS.node("a"), PATHS.refused("a"), PATHS.order("1"), PATHS.of("w", "nodes", "a"),
    PATHS.of("w", "asked", "a"), PATHS.of("w", "begun", "b"), PATHS.of("w", "halts", "v"),
    PATHS.of("w", "stopped"), PATHS.of("w", "pinned"), PATHS.of("w", "skipped", "a"),
    "/nginx/w/upstream/a", "/nginx/w/override/a",
    "/nginx/w/override/a/order",
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), st.dictionaries(FIELDS, VALUES, max_size=8)))
def test_records_of_any_content_are_shown(records: Mapping[str, Any]) -> None:
    """Whatever the types of the fields: there is always a page."""
    assert whole({key: json.dumps(it).encode() for key, it in records.items()}, ViewQuery())
