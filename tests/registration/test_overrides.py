"""What operators say about members, and how both are listed together."""

import pytest

from pyconfd.model.keys import KeyValue
from pyconfd.registration.declaration import KEY_PATTERN, override_pattern
from pyconfd.registration.overrides import Override, Places, changed, parse_override


def kv(key: str, value: str, lease: int = 7) -> KeyValue:
    return KeyValue(key, value.encode(), 1, lease)


@pytest.mark.parametrize(
    ("verbs", "value"),
    [
        ([("drain", None)], b'{"state":"drain"}'),
        ([("weight", 5)], b'{"weight":5}'),
        ([("weight", 5), ("drain", None)], b'{"state":"drain","weight":5}'),
        ([("drain", None), ("down", None)], b'{"state":"down"}'),
        ([("weight", 0)], b'{"weight":0}'),
        ([("weight", 5), ("drain", None), ("up", None)], b""),
    ],
)
def test_verbs_add_up_until_up(verbs: list[tuple[str, int | None]], value: bytes) -> None:
    """A weight and a state stand beside each other; up ends both."""
    override = Override()
    for verb, weight in verbs:
        override = changed(override, verb, weight)
    assert override.value() == value
    assert parse_override(value) == override


@pytest.mark.parametrize("value", [b"", b"[]", b"nonsense", b'{"state":"x","weight":true}'])
def test_what_cannot_be_read_says_nothing(value: bytes) -> None:
    """A hand-written override never breaks the listing."""
    assert parse_override(value) == Override()


@pytest.mark.parametrize(
    ("pattern", "place"),
    [
        (KEY_PATTERN, "/nginx/{service}/override/{id}"),
        ("/lb/{service}/{id}", "/lb/{service}/override/{id}"),
        ("/lb/svc-{service}/members/{id}", "/lb/svc-{service}/override/{id}"),
        ("/lb/members/{id}", "/lb/override/{id}"),
    ],
)
def test_overrides_are_beside_the_members(pattern: str, place: str) -> None:
    """Never in a member's own key, never below it."""
    assert override_pattern(pattern) == place


def test_rows_join_members_and_overrides() -> None:
    """Plain and JSON members, an override without its member, and keys that are neither."""
    places = Places(KEY_PATTERN, "/")
    assert places.root == "/nginx"
    rows = places.rows(
        [
            kv("/nginx/b/upstream/x", '{"addr":"1.1.1.1:1","weight":4,"started":"2026-01-01Z"}'),
            kv("/nginx/a/upstream/y", "2.2.2.2:2"),
            kv("/nginx/a/override/y", '{"state":"drain","weight":9}', 0),
            kv("/nginx/a/override/gone", '{"state":"down"}', 0),
            kv("/nginx/a/server_name", "a.example"),
            kv("/nginx/a/upstream/y/deeper", "no"),
        ]
    )
    seen = [(row.service, row.member_id, row.address, row.weight, row.state) for row in rows]
    assert seen == [
        ("a", "gone", "", None, "absent"),
        ("a", "y", "2.2.2.2:2", 9, "drain"),
        ("b", "x", "1.1.1.1:1", 4, "up"),
    ]
    assert rows[2].since == "2026-01-01Z"


def test_rows_of_one_service_below_a_prefix() -> None:
    """The prefix of the store is not part of the pattern."""
    places = Places(KEY_PATTERN, "/prod")
    keys = [kv("/prod/nginx/a/upstream/1", "x:1"), kv("/prod/nginx/b/upstream/1", "y:1")]
    assert [row.service for row in places.rows(keys, "b")] == ["b"]
    assert places.override_key("a", "1") == "/prod/nginx/a/override/1"


def test_a_member_that_tells_its_own_state_is_listed_with_it() -> None:
    """As `pyconfd notify` publishes them; what operators say still comes first."""
    value = b'{"addr":"lb1","state":"MASTER","priority":150,"since":"2026-01-01T00:00:00Z"}'
    places = Places("/keepalived/{service}/{id}", "/")
    key = KeyValue("/keepalived/VI_1/lb1", value, 1, 7)
    (row,) = places.rows([key])
    assert (row.service, row.member_id, row.address, row.state) == ("VI_1", "lb1", "lb1", "MASTER")
    assert row.since == "2026-01-01T00:00:00Z"
    said = KeyValue("/keepalived/VI_1/override/lb1", b'{"state":"down"}', 2, 0)
    (row,) = places.rows([key, said])
    assert row.state == "down"
