"""What Apache is sent in the place of a reload: decided from files and its own page alone."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyconfd.pipeline.runtime.apache_config import Key, read, reload_reason
from pyconfd.pipeline.runtime.apache_members import (
    MemberChange,
    MemberState,
    adopted,
    by_hand,
    changes,
    shown,
    unlike,
    wanted,
)

HEAD, FOOT = (
    """\
Listen 127.0.0.1:8081
<VirtualHost *:80 127.0.0.1:8081>
    ServerName www.example.com
    <Proxy "balancer://web">
""",
    """\
        ProxySet lbmethod=byrequests
    </Proxy>
    ProxyPass "/" "balancer://web/"
</VirtualHost>
""",
)
A = '        BalancerMember "http://10.0.0.1:80" route=a loadfactor=1 timeout=60\n'
B = '        BalancerMember "http://10.0.0.2:8080" route=b loadfactor=3 timeout=60\n'
KEY = ("www.example.com", "web", "http://10.0.0.1")

KEYS = st.tuples(
    st.sampled_from(["www.example.com", "b.test"]),
    st.sampled_from(["web", "my.cluster_1"]),
    st.sampled_from(["http://10.0.0.1", "http://10.0.0.1:8080", "ajp://[::1]", "https://n-1.test"]),
)
STATES = st.builds(
    MemberState,
    load=st.integers(100, 10_000),
    flags=st.frozensets(st.sampled_from("INDSHR")),
    route=st.sampled_from(["", "a", "node-1"]),
)
MEMBERS = st.dictionaries(KEYS, STATES, max_size=6)
LETTERS = {"I": "Ign", "N": "Drn", "D": "Dis", "S": "Stop", "H": "Stby", "R": "Spar"}


def config(members: Mapping[Key, MemberState]) -> str:
    """A file with these members."""
    return "".join(line for site in ("www.example.com", "b.test") for line in _site(site, members))


def _site(site: str, members: Mapping[Key, MemberState]) -> Iterator[str]:
    yield f"<VirtualHost *:80>\nServerName {site}\n"
    for balancer in ("web", "my.cluster_1"):
        yield f"<Proxy balancer://{balancer}>\n"
        for key, state in members.items():
            if key[:2] == (site, balancer):
                words = [
                    f'BalancerMember "{key[2]}" keepalive=On loadfactor={state.load / 100:.2f}'
                ]
                words += [f"route={state.route}"] if state.route else []
                words += [f"status=+{''.join(sorted(state.flags))}"] if state.flags else []
                yield " ".join(words) + "\n"
        yield "</Proxy>\n"
    yield "</VirtualHost>\n"


def page(site: str, members: Mapping[Key, MemberState]) -> str:
    """What the manager of this site shows."""
    parts = ["<?xml version='1.0' encoding='UTF-8' ?>\n<httpd:manager xmlns:httpd='x'>"]
    for balancer in ("web", "my.cluster_1"):
        parts.append(f"<httpd:name>balancer://{balancer}</httpd:name>")
        parts.append("<httpd:nonce>0-1</httpd:nonce>")
        for key, state in members.items():
            if key[:2] == (site, balancer):
                words = " ".join(["Init", *(LETTERS[one] for one in state.flags), "Ok "])
                parts.append(f"<httpd:name>{html.escape(key[2])}</httpd:name>")
                parts.append(f"<httpd:loadfactor>{state.load / 100:.2f}</httpd:loadfactor>")
                parts.append(f"<httpd:status>{words}</httpd:status>")
                parts.append(f"<httpd:route>{state.route}</httpd:route>")
    return "\n".join(parts) + "</httpd:manager>\n"


def carried_out(
    wanted_changes: list[MemberChange], running: Mapping[Key, MemberState]
) -> dict[Key, MemberState]:
    """An Apache that obeys."""
    result = dict(running)
    for one in wanted_changes:
        for name, value in one.fields:
            state = result[one.key]
            letter = name[-1]
            if name == "w_lf":
                state = replace(state, load=round(float(value) * 100))
            elif name == "w_wr":
                state = replace(state, route=value)
            elif value == "1":
                assert letter not in state.flags
                state = replace(state, flags=state.flags | {letter})
            else:
                state = replace(state, flags=state.flags - {letter})
            result[one.key] = state
    return result


@given(MEMBERS, st.data())
def test_the_old_file_and_the_changes_are_the_new_file(
    old: dict[Key, MemberState], data: st.DataObject
) -> None:
    """Whatever shares, states and routes are: what runs afterwards is what the second says."""
    new = {key: data.draw(STATES) for key in old}
    versions = [read(config(old)), read(config(new))]
    assert reload_reason(*versions) == ""
    assert (wanted(versions[0]), wanted(versions[1])) == (old, new)
    running: dict[Key, MemberState] = {}
    for site in ("www.example.com", "b.test"):
        running.update(shown(site, page(site, old))[0])
    assert running == old
    after = carried_out(changes(running, new), running)
    assert after == new
    assert unlike(after, new, versions[1].balancers) == ""
    assert changes(after, new) == []


@given(MEMBERS, st.data())
def test_what_a_human_set_is_seen_and_stays_or_is_overwritten(
    old: dict[Key, MemberState], data: st.DataObject
) -> None:
    """It stays where the files say the same, and gives way where the new one says something."""
    new = {key: data.draw(st.one_of(st.just(state), STATES)) for key, state in old.items()}
    running = {key: data.draw(STATES) for key in old}
    versions = [read(config(old)), read(config(new))]
    assert carried_out(changes(running, new), running) == new
    hand = by_hand(running, versions)
    assert {key for key in old if running[key] not in (old[key], new[key])} == hand.keys()
    target = adopted(hand, versions)
    for key in hand:
        for field in ("load", "flags", "route"):
            stays = getattr(old[key], field) == getattr(new[key], field)
            source = running[key] if stays else new[key]
            assert getattr(target[key], field) == getattr(source, field)


@pytest.mark.parametrize(
    "new",
    [
        HEAD.replace("*:80", "*:81") + A + B + FOOT,
        HEAD + A + B + FOOT.replace("byrequests", "bytraffic"),
        HEAD + A + B.replace("timeout=60", "timeout=59") + FOOT,
        HEAD + A + B + B.replace("10.0.0.2", "10.0.0.3") + FOOT,
        HEAD + A + FOOT,
        HEAD + A + B.replace("b loadfactor=3", "${ROUTE}") + FOOT,
        HEAD + A + B.replace("loadfactor=3", "loadfactor=0") + FOOT,
        HEAD + A + B.replace("loadfactor=3", "status=+E") + FOOT,
        HEAD + A + B.replace("=b ", "=b.1 ") + FOOT,
        HEAD + A + B.replace("=3", "=\\\n3") + FOOT,
        HEAD + A + "<IfDefine x>\n" + B + "</IfDefine>\n" + FOOT,
        (HEAD + A + B + FOOT).replace("balancer://web", "balancer://other"),
        (HEAD + A + B + FOOT).replace("www.example.com", "other.example.com"),
    ],
)
def test_any_other_difference_is_a_reload(new: str) -> None:
    """In both directions."""
    old = read(HEAD + A + B + FOOT)
    assert reload_reason(old, read(new))
    assert reload_reason(read(new), old)


@pytest.mark.parametrize(
    "text",
    [
        (HEAD + A + FOOT).replace("    ServerName www.example.com\n", ""),
        "<Proxy balancer://web>\n" + A + "</Proxy>\n",
        "<Macro x>\n" + HEAD + A + FOOT + "</Macro>\n",
        (HEAD + A + FOOT).replace("10.0.0.1:80", "%{HTTP_HOST}:80"),
        (HEAD + A + FOOT).replace('Proxy "', 'ProxyMatch "').replace("</Proxy>", "</ProxyMatch>"),
    ],
)
def test_what_no_manager_shows_for_sure_is_not_understood(text: str) -> None:
    """A member outside of a site with a name, in a macro, or with variables."""
    assert read(text).members == {}


def test_a_site_of_the_same_name_is_the_first_ones() -> None:
    """Apache asks the first, and so would the manager."""
    both = read(HEAD + A + FOOT + HEAD + A.replace("=1 ", "=9 ") + FOOT)
    assert {key: one.load for key, one in both.members.items()} == {KEY: 100}
    assert both.balancers == frozenset()


@pytest.mark.parametrize(
    ("line", "state"),
    [
        (A, MemberState(100, frozenset(), "a")),
        (A.replace("loadfactor=1 ", ""), MemberState(100, frozenset(), "a")),
        (A.replace("=1 ", "=1.5 status=+N status=h-n "), MemberState(150, frozenset("H"), "a")),
        (A.replace("BalancerMember", "balancermember"), MemberState(100, frozenset(), "a")),
        (A.replace("route=a ", ""), MemberState(100, frozenset(), "")),
    ],
)
def test_a_member_is_read_as_apache_does(line: str, state: MemberState) -> None:
    """Defaults, letters with and without signs, in any case."""
    assert wanted(read(HEAD + line + FOOT)) == {KEY: state}


def test_a_member_comes_into_service_before_another_leaves_it() -> None:
    """So that there is always one."""
    old = {
        KEY: MemberState(100, frozenset(), "a"),
        (*KEY[:2], "http://b"): MemberState(100, frozenset("N"), "b"),
    }
    new = {
        KEY: MemberState(100, frozenset("D"), "a"),
        (*KEY[:2], "http://b"): MemberState(100, frozenset(), "b"),
    }
    assert [one.text for one in changes(old, new)] == [
        "set member web/http://b no state",
        "set member web/http://10.0.0.1 disabled",
    ]


@pytest.mark.parametrize(
    ("address", "port", "reached"),
    [("*:80", 80, True), ("*:80", 81, False), ("*", 81, True), ("*:*", 81, True),
     ("10.0.0.1", 81, True), ("[::1]", 81, True), ("[::1]:81", 81, True), ("${A}", 81, False),
     ("*:80 127.0.0.1:8081", 8081, True)],
)  # fmt: skip
def test_a_site_is_reached_at_its_ports(address: str, port: int, reached: bool) -> None:
    """Another site would be asked in its place."""
    made = read((HEAD + A + FOOT).replace("*:80 127.0.0.1:8081", address))
    assert made.reached_at("www.example.com", port) is reached


@pytest.mark.parametrize(
    "text", ["", "<html>", "\x00\xff", "<httpd:name>", "<httpd:manager><httpd:name>x</httpd:name>"]
)
def test_an_answer_that_is_no_list_of_members_shows_none(text: str) -> None:
    """Of another program, or cut off: refused, or without the member that is looked for."""
    try:
        found = shown("x", text)[0]
    except ValueError as error:
        assert "no list of balancers" in str(error)
    else:
        assert KEY not in found
        assert unlike(found, {KEY: MemberState(100, frozenset(), "a")}, ())
