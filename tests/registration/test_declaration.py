"""Keys, ids and values of members."""

import json

import pytest

from pyconfd.errors import RegistrationError
from pyconfd.model.keys import KeyValue
from pyconfd.registration.declaration import (
    Declaration,
    address_of,
    announce,
    check_pattern,
    make_key,
)


def test_the_default_key_and_value() -> None:
    """A stable id of host and port, the address alone as the value."""
    announced = announce(Declaration(service="www", address=":80"), "10.0.0.5:80")
    assert announced.key == "/nginx/www/upstream/10.0.0.5:80"
    assert announced.value() == b"10.0.0.5:80"


def test_a_unix_socket_has_an_id_of_machine_and_path() -> None:
    """Slashes do not make further segments."""
    announced = announce(Declaration(service="w", address="x"), "unix:/run/app.sock", host="web1")
    assert announced.key == "/nginx/w/upstream/web1:run-app.sock"


def test_json_is_used_when_there_is_more_to_say() -> None:
    """In a fixed order, so that the same member always has the same bytes."""
    declared = Declaration(
        service="w", address="a:1", weight=3, labels={"b": "2", "a": "1"}, fields={"backup": True}
    )
    value = announce(declared, "a:1", started="now").value()
    assert value == (
        b'{"addr":"a:1","weight":3,"labels":{"a":"1","b":"2"},"started":"now","backup":true}'
    )
    assert json.loads(announce(declared, "a:1").value(9))["weight"] == 9


@pytest.mark.parametrize(
    ("value", "address"),
    [
        (b"a:1\n", "a:1"),
        (b'{"addr": "a:1"}', "a:1"),
        (b"{broken", ""),
        (b'{"addr": 5}', ""),
        (b"\xff", "\ufffd"),
    ],
)
def test_the_address_of_a_value(value: bytes, address: str) -> None:
    """Whatever stands there, nothing is raised."""
    assert address_of(value) == address


def test_a_key_without_a_lease_is_never_our_earlier_life() -> None:
    """A person or another program has put it."""
    announced = announce(Declaration(service="w", address="a:1"), "a:1")
    assert announced.is_same_member(KeyValue(announced.key, b"a:1", 1, lease=5))
    assert not announced.is_same_member(KeyValue(announced.key, b"a:1", 1, lease=0))


@pytest.mark.parametrize(
    "pattern",
    ["x/{id}", "/x", "/x/{id}/{name}", "/x//{id}", "/x/../{id}", "/{id}/", "/x/{id", "/x y/{id}"],
)
def test_patterns_that_cannot_be_right_are_refused(pattern: str) -> None:
    """With the reason."""
    with pytest.raises(RegistrationError, match="key pattern"):
        check_pattern(pattern)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "a\n", "{id}"])
def test_names_never_change_where_a_key_goes(name: str) -> None:
    """A service or an id is one segment."""
    with pytest.raises(RegistrationError):
        make_key("/x/{service}/{id}", name, "a")
    with pytest.raises(RegistrationError):
        make_key("/x/{service}/{id}", "a", name)


@pytest.mark.parametrize("ttl_s", [0, -1, 86401])
def test_there_is_always_a_ttl(ttl_s: int) -> None:
    """Neither none nor one that is hardly an end."""
    with pytest.raises(RegistrationError, match="TTL"):
        Declaration(service="w", address="a:1", ttl_s=ttl_s)
