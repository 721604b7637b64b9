"""What HAProxy is sent in the place of a reload: decided from files and states alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyconfd.pipeline.runtime.haproxy_commands import (
    State,
    adopted,
    by_hand,
    commands,
    states,
    unlike,
    wanted,
)
from pyconfd.pipeline.runtime.haproxy_config import Key, read, reload_reason

HEAD = """\
global
    maxconn 2000
defaults
    mode http
    default-server init-addr libc inter 2s
backend web
    balance roundrobin
"""
A, B = "server a 10.0.0.1:80 weight 1 check\n", "server b 10.0.0.2:80 weight 1 check\n"

KEYS = st.tuples(st.sampled_from(["web", "api"]), st.sampled_from(["a", "b", "c", "weight"]))
SERVERS = st.dictionaries(
    KEYS,
    st.builds(
        State,
        weight=st.integers(0, 256),
        maint=st.booleans(),
        drain=st.just(False),
        address=st.sampled_from(["10.0.0.1 80", "10.0.0.2 80", "::1 8080"]),
    ),
    max_size=6,
)
MODES = st.sampled_from([(False, False), (True, False), (False, True)])


def config(servers: Mapping[Key, State]) -> str:
    """A file with these servers."""
    lines = ["defaults", "default-server inter 1s disabled"]
    for backend in ("web", "api"):
        lines.append(f"backend {backend}")
        for (of, name), state in servers.items():
            if of == backend:
                ip, port = state.address.split()
                word = "disabled" if state.maint else "enabled"
                lines.append(f"  server {name} {ip}:{port} check weight {state.weight} {word}")
    return "\n".join(lines) + "\n"


def carried_out(lines: list[str], running: Mapping[Key, State]) -> dict[Key, State]:
    """A HAProxy that obeys."""
    result = dict(running)
    for line in lines:
        verb, kind, name, *words = line.split()
        key = (name.split("/")[0], name.split("/")[1])
        match verb, kind, words:
            case "add", "server", [at, "weight", weight, *_]:
                ip, _, port = at.rpartition(":")
                assert key not in result
                result[key] = State(int(weight), True, False, f"{ip} {port}")
            case "del", "server", []:
                assert result.pop(key).maint, "only one in maintenance can be removed"
            case "enable", "server", []:
                result[key] = replace(result[key], maint=False)
            case "enable", "health", []:
                pass
            case "set", "server", ["weight", weight]:
                result[key] = replace(result[key], weight=int(weight))
            case "set", "server", ["addr", ip, "port", port]:
                result[key] = replace(result[key], address=f"{ip} {port}")
            case "set", "server", ["state", mode]:
                result[key] = replace(result[key], maint=mode == "maint", drain=mode == "drain")
            case _:
                raise AssertionError(line)
    return result


@given(SERVERS, SERVERS)
def test_the_old_file_and_the_commands_are_the_new_file(
    old: dict[Key, State], new: dict[Key, State]
) -> None:
    """Whatever the servers of two files are: the state afterwards is that of the second."""
    versions = [read(config(old)), read(config(new))]
    assert reload_reason(*versions) == ""
    assert wanted(versions[1]) == new
    after = carried_out(commands(old, new, versions), old)
    assert after == new
    assert unlike(after, new, versions[1].backends) == ""
    assert commands(after, new, versions) == []


@given(SERVERS, SERVERS, st.data())
def test_what_a_human_set_is_seen_and_stays_or_is_overwritten(
    old: dict[Key, State], new: dict[Key, State], data: st.DataObject
) -> None:
    """It stays where the files say the same, and gives way where the new one says something."""
    running = dict(old)
    for key in old:
        maint, drain = data.draw(MODES)
        weight = data.draw(st.integers(0, 256))
        running[key] = replace(old[key], weight=weight, maint=maint, drain=drain)
    versions = [read(config(old)), read(config(new))]
    assert carried_out(commands(running, new, versions), running) == new
    hand = by_hand(running, versions)
    same = {key for key in old.keys() & new.keys() if old[key] == new[key]}
    assert {key for key in same if running[key] != old[key]} == hand.keys() & same
    target = adopted({key: hand[key] for key in hand if key in new}, versions)
    after = carried_out(commands(running, target, versions), running)
    assert unlike(after, target, ()) == ""
    for key in same:
        assert (after[key].weight, after[key].mode) == (running[key].weight, running[key].mode)
    for key in new.keys() & old.keys():
        if new[key].weight != old[key].weight:
            assert after[key].weight == new[key].weight


@pytest.mark.parametrize(
    "new",
    [
        HEAD.replace("2000", "3000") + A + B,
        HEAD.replace("inter 2s", "inter 3s") + A + B,
        HEAD + A + B.replace("check", "check backup"),
        HEAD + A + B.replace("check", ""),
        HEAD + A + B.replace("10.0.0.2:80", "b.example.com:80"),
        HEAD + A + B.replace("10.0.0.2:80", "unix@/run/b.sock"),
        HEAD + A + B + "server c c.example.com:80\n",
        HEAD + A + B + 'server c 10.0.0.3:80 cookie "c d"\n',
        HEAD + A + B + "server-template c 3 10.0.0.3:80\n",
        HEAD + A + B + ".if defined(X)\nserver c 10.0.0.3:80\n.endif\n",
        HEAD + A + "use-server a if TRUE\n" + B,
        HEAD + A + B + "peers p\n server c 10.0.0.3:80\n",
        HEAD.replace("backend web", "backend other") + A + B,
    ],
)
def test_any_other_difference_is_a_reload(new: str) -> None:
    """In both directions."""
    old = read(HEAD + A + B)
    assert reload_reason(old, read(new))
    assert reload_reason(read(new), old)


@pytest.mark.parametrize("balance", ["source", "first", "uri", "static-rr"])
def test_where_the_order_of_servers_counts_none_is_added(balance: str) -> None:
    """A reload would give it another place than the running HAProxy does; weights are changed."""
    head = HEAD.replace("roundrobin", balance)
    assert "cannot be added" in reload_reason(read(head + A), read(head + A + B))
    assert reload_reason(read(head + A), read(head + A.replace("weight 1", "weight 2"))) == ""


def test_options_of_default_server_are_said_to_an_added_server() -> None:
    """HAProxy does not take them from the section; `init-addr` is not accepted there."""
    versions = [read(HEAD + A), read(HEAD + A + B)]
    lines = commands(wanted(versions[0]), wanted(versions[1]), versions)
    assert lines == [
        "add server web/b 10.0.0.2:80 weight 1 inter 2s check",
        "enable health web/b",
        "enable server web/b",
    ]


def test_a_value_with_the_name_of_an_option_is_a_value() -> None:
    """`cookie weight` sets no weight, `cookie disabled` disables nothing."""
    text = (
        HEAD + "server a 10.0.0.1:80 cookie weight\nserver b 10.0.0.2:80 cookie disabled weight 3\n"
    )
    assert wanted(read(text)) == {
        ("web", "a"): State(1, False, False, "10.0.0.1 80"),
        ("web", "b"): State(3, False, False, "10.0.0.2 80"),
    }


@pytest.mark.parametrize("text", ["", "HTTP/1.1 400 Bad Request\r\n\r\n", "\x00\xff", "2\n# be_id"])
def test_an_answer_that_is_no_list_of_servers_is_refused(text: str) -> None:
    """Of another program, or of a version of the list that is not known."""
    with pytest.raises(ValueError, match="no list of servers"):
        states(text)
