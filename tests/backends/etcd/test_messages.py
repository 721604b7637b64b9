"""Addresses, errors and ranges of etcd: what is pure, without a server."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from pyconfd.backends.backoff import Backoff
from pyconfd.backends.base import SourceOptions
from pyconfd.backends.etcd.batches import Fenced, PrefixFilter, Single, covering_range
from pyconfd.backends.etcd.endpoints import (
    Endpoint,
    EndpointRing,
    find_endpoints,
    lookup_srv,
    parse_endpoint,
)
from pyconfd.backends.etcd.errors import CallContext, Remedy, shorten, summary, translate
from pyconfd.backends.etcd.listing import Span, decode, encode, key_values
from pyconfd.backends.etcd.protobuf import message
from pyconfd.backends.registry import known_backends, open_source
from pyconfd.errors import (
    LeaseLost,
    ResponseTooLarge,
    RevisionCompacted,
    SettingsError,
    SourceRefused,
    SourceUnavailable,
    StoreFull,
)
from pyconfd.model.keys import KeyValue
from pyconfd.system.dns import SrvRecord


@pytest.mark.parametrize(
    ("text", "address", "tls"),
    [
        ("etcd1", "etcd1:2379", False),
        ("etcd1:4001", "etcd1:4001", False),
        ("http://10.0.0.1:2379", "10.0.0.1:2379", False),
        ("https://etcd1/", "etcd1:2379", True),
        ("[::1]:2379", "[::1]:2379", False),
        ("::1", "[::1]:2379", False),
        ("[fe80::1]", "[fe80::1]:2379", False),
        ("[fe80::1%eth0]:1", "[fe80::1%eth0]:1", False),
        ("2001:db8:1:2:3:4:5:6", "[2001:db8:1:2:3:4:5:6]:2379", False),
    ],
)
def test_nodes_are_read_in_every_spelling(text: str, address: str, tls: bool) -> None:
    """Host, host:port, URL, and IPv6 with and without brackets."""
    assert parse_endpoint(text) == Endpoint(address, tls)


@pytest.mark.parametrize("text", ["", "ftp://a:1", "a:b", "a:99999", "http://a/v3", "u:p@a:1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """With the text and the forms that are."""
    with pytest.raises(SourceRefused, match="host:port"):
        parse_endpoint(text)


def test_the_scheme_is_for_nodes_without_one() -> None:
    """A CA or a client certificate means TLS, as with confd; a URL says for itself."""
    given = find_endpoints(SourceOptions(nodes=("a:1", "http://b:2"), client_ca_keys="ca.pem"))
    assert [each.tls for each in given] == [True, False]
    assert find_endpoints(SourceOptions()) == [Endpoint("127.0.0.1:2379", False)]
    assert len(find_endpoints(SourceOptions(nodes=("a", "a:2379")))) == 1


def test_the_ring_turns_once_for_one_failure() -> None:
    """Two threads that saw the same endpoint fail move on by one, not by two."""
    ring = EndpointRing([Endpoint(f"h{n}:1", False) for n in range(3)])
    first = ring.current
    ring.turn(first)
    second = ring.current
    ring.turn(first)
    assert ring.current == second != first


@pytest.mark.parametrize(
    ("code", "details", "remedy", "kind"),
    [
        ("UNAVAILABLE", "Socket closed", Remedy.ELSEWHERE, SourceUnavailable),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", Remedy.ELSEWHERE, SourceUnavailable),
        ("UNAVAILABLE", "etcdserver: no leader", Remedy.ELSEWHERE, SourceUnavailable),
        (
            "RESOURCE_EXHAUSTED",
            "etcdserver: too many requests",
            Remedy.ELSEWHERE,
            SourceUnavailable,
        ),
        ("UNAUTHENTICATED", "etcdserver: invalid auth token", Remedy.LOG_IN, SourceRefused),
        ("INVALID_ARGUMENT", "etcdserver: user name is empty", Remedy.LOG_IN, SourceRefused),
        (
            "INVALID_ARGUMENT",
            "etcdserver: revision of auth store is old",
            Remedy.LOG_IN,
            SourceRefused,
        ),
        ("PERMISSION_DENIED", "etcdserver: permission denied", Remedy.NONE, SourceRefused),
        (
            "OUT_OF_RANGE",
            "etcdserver: mvcc: required revision has been compacted",
            Remedy.NONE,
            RevisionCompacted,
        ),
        (
            "RESOURCE_EXHAUSTED",
            "etcdserver: mvcc: database space exceeded",
            Remedy.NONE,
            StoreFull,
        ),
        (
            "RESOURCE_EXHAUSTED",
            "Stream removed (CLIENT: Received message larger than max (65 vs. 64))",
            Remedy.NONE,
            ResponseTooLarge,
        ),
        ("NOT_FOUND", "etcdserver: requested lease not found", Remedy.NONE, LeaseLost),
        ("UNIMPLEMENTED", "unknown service", Remedy.NONE, SourceRefused),
    ],
)
def test_what_etcd_says_in_our_words(
    code: str, details: str, remedy: Remedy, kind: type[Exception]
) -> None:
    """Each text has a remedy and a class."""
    fault = translate(code, details, CallContext("h:1", "bob", "/app"))
    assert (fault.remedy, type(fault.error)) == (remedy, kind)


def test_the_innermost_reason_is_told() -> None:
    """grpc wraps it in layers."""
    layers = "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: "
    text = f"{layers}Failed to connect to remote host: Connection refused"
    assert shorten(text) == "Connection refused"
    lookup = "errors resolving x: [hostname lookup error:address lookup failed for x: not found]"
    assert "not known" in translate("UNAVAILABLE", lookup, CallContext("x:1")).error.what


def test_a_round_of_refusals_is_a_refusal_and_a_mixed_one_is_not() -> None:
    """As long as one endpoint may come back, retrying makes sense."""
    refused, away = SourceRefused("expired", hint="renew it"), SourceUnavailable("refused")
    assert isinstance(summary({"b:1": refused, "a:1": refused}), SourceRefused)
    mixed = summary({"b:1": refused, "a:1": away})
    assert isinstance(mixed, SourceUnavailable)
    assert mixed.what.endswith("a:1: refused, b:1: expired")


def test_ranges_hold_the_key_and_what_is_below() -> None:
    """[/app, /app0) and the whole store."""
    assert (Span("/app").start, Span("/app").end) == (b"/app", b"/app0")
    assert (Span("/").start, Span("/").end) == (b"/", b"0")
    assert (Span("/app", below=True).start, Span("/app", below=True).end) == (b"/app/", b"/app0")
    assert covering_range([Span("/web"), Span("/app")]) == (b"/app", b"/web0")


def test_keys_come_back_as_they_were() -> None:
    """Bytes that are not UTF-8 survive; unclean ones become paths."""
    assert encode(decode(b"/a/\xff")) == b"/a/\xff"
    assert decode(b"/a//b/") == "/a/b"


def test_values_made_fast_are_like_those_made_slowly() -> None:
    """Equal, hashed alike, frozen; strangers of the range are dropped."""
    raw = [
        message("mvccpb.KeyValue")(key=key, value=b"v", mod_revision=7, lease=9)
        for key in (b"/app", b"/app-x", b"/app/a", b"/app/b//c/")
    ]
    made = key_values(Span("/app"), raw)
    expected = [KeyValue(key, b"v", 7, 9) for key in ("/app", "/app/a", "/app/b/c")]
    assert made == expected
    assert hash(made[0]) == hash(expected[0])
    with pytest.raises(AttributeError):
        made[0].key = "/other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/app/x\xff", "/app/x\udcff"),
        (b"/app/\xff//y/", "/app/\udcff/y"),
        (b"/app/z/\n/\n", "/app/z/\n/\n"),
        ("/app/\u00fc".encode(), "/app/\u00fc"),
    ],
)
def test_one_odd_key_leaves_its_page_as_it_is(raw: bytes, path: str) -> None:
    """Bytes that are not UTF-8, slashes to be cleaned, line ends: beside keys that are plain."""
    keys = (b"/app/a", raw, b"/app/zz")
    made = key_values(Span("/app"), [message("mvccpb.KeyValue")(key=key) for key in keys])
    assert [each.key for each in made] == ["/app/a", path, "/app/zz"]


def _response(*pairs: tuple[bytes, int], watch: int = 1) -> object:
    kv, event = message("mvccpb.KeyValue"), message("mvccpb.Event")
    events = [event(kv=kv(key=key, value=b"v", mod_revision=rev)) for key, rev in pairs]
    return message("WatchResponse")(events=events, watch_id=watch)


def test_events_of_other_keys_are_counted_and_dropped() -> None:
    """One watch over everything also brings what is between the prefixes."""
    single = Single(PrefixFilter(["/app"]))
    assert single.take(_response()) is None
    whole = single.take(_response((b"/app/a", 5), (b"/app/b", 5), (b"/other", 5)))
    assert whole is not None
    assert [each.key for each in whole.changes] == ["/app/a", "/app/b"]
    assert (whole.revision, whole.foreign_events) == (5, 1)


def test_several_watches_wait_for_the_fence() -> None:
    """What came is held until the server has passed it."""
    fenced = Fenced(PrefixFilter(["/app", "/web"]))
    assert fenced.take(_response((b"/web/a", 6), watch=2)) is None
    assert fenced.take(_response((b"/app/a", 6), (b"/app/a", 7), watch=1)) is None
    assert fenced.newest == 7
    whole = fenced.fenced(6)
    assert whole is not None
    assert sorted(each.key for each in whole.changes) == ["/app/a", "/web/a"]
    assert fenced.take(_response((b"/web/b", 8), watch=2)) is None
    last = fenced.release()
    assert last is not None
    assert (last.revision, fenced.newest) == (8, 0)


def test_the_door_is_on_path_boundaries() -> None:
    """And "/" admits every key that is a path."""
    door = PrefixFilter(["/app", "/web/x"])
    assert [door.admits(key) for key in ("/app", "/app/a/b", "/web/x", "/web/x/y")] == [True] * 4
    assert not any(door.admits(key) for key in ("/apple", "/app-x", "/web", "/", "app"))
    assert PrefixFilter(["/"]).admits("/any/thing")
    assert not PrefixFilter(["/"]).admits("noslash")


def test_pauses_grow_to_the_cap_and_start_again() -> None:
    """Full jitter: anywhere between nothing and the curve."""
    backoff = Backoff(0.1, 2.0)
    pauses = [backoff.next_s() for _ in range(200)]
    assert all(0 <= each <= 2.0 for each in pauses)
    assert max(pauses[:1]) <= 0.1
    assert max(pauses[20:]) > 1.0
    assert len({round(each, 6) for each in pauses[20:]}) > 100
    backoff.reset()
    assert backoff.next_s() <= 0.1


def test_a_thousand_that_lost_the_same_store_do_not_come_back_in_step() -> None:
    """In any tenth of the spread there is at most a third of them (docs/reliability.md)."""
    curves = [Backoff() for _ in range(1000)]
    times = []
    for each in curves:
        now = 0.0
        while now < 10.0:  # the store returns after 10 s
            now += each.next_s()
        times.append(now - 10.0)
    tenths = [0] * 10
    for late_s in times:
        tenths[min(9, int(late_s / 0.2))] += 1
    assert max(times) <= 2.0
    assert max(tenths) < 333


def test_unknown_backends_get_the_nearest_name() -> None:
    """And known ones are listed."""
    with pytest.raises(SettingsError, match="etcd"):
        open_source("etdc", SourceOptions())
    assert {"etcd", "etcdv3", "file", "env"} <= set(known_backends())


def test_options_keep_their_secrets() -> None:
    """They end up in logs and in tracebacks."""
    assert "geheim" not in repr(SourceOptions(password="geheim", environ={"A": "geheim"}))


# SRV records


def _name(text: str) -> bytes:
    return b"".join(bytes([len(part)]) + part.encode() for part in text.split(".")) + b"\0"


class NameServer:
    """Answers every question with the records of `records`; a name that is not there is none."""

    def __init__(self, records: dict[str, list[SrvRecord]]) -> None:
        self.records = records
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        while (question := self.socket.recvfrom(512))[0] != b"end":
            asked, peer = question
            self.socket.sendto(self._answer(asked), peer)

    def _answer(self, asked: bytes) -> bytes:
        found = next((r for name, r in self.records.items() if _name(name) in asked), None)
        code = 0 if found else 3
        head = asked[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(found or ()), 0, 0)
        body = b""
        for each in found or ():
            data = struct.pack(">HHH", each.priority, each.weight, each.port) + _name(
                each.target.rstrip(".")
            )
            # The name by reference to the question.
            body += struct.pack(">HHHIH", 0xC00C, 33, 1, 60, len(data)) + data
        return head + asked[12:] + body

    def close(self) -> None:
        self.socket.sendto(b"end", self.socket.getsockname())
        self.thread.join()
        self.socket.close()


@pytest.fixture
def names() -> Iterator[NameServer]:
    server = NameServer(
        {
            "_etcd-client._tcp.example.com": [
                SrvRecord("b.example.com.", 2379, 10, 5),
                SrvRecord("a.example.com.", 4001, 1, 0),
            ]
        }
    )
    yield server
    server.close()


def test_srv_records_come_by_priority(names: NameServer) -> None:
    """Asked of a name server of our own; a name that does not exist has none."""
    found = lookup_srv("_etcd-client._tcp.example.com", (names.address,))
    assert [(each.target, each.port) for each in found] == [
        ("a.example.com.", 4001),
        ("b.example.com.", 2379),
    ]
    assert lookup_srv("_etcd-client-ssl._tcp.example.com", (names.address,)) == []


def test_a_name_server_that_does_not_answer_is_told(names: NameServer) -> None:
    """The next one is asked; when none answers, the error names the last."""
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.1", 0))
    dead = f"127.0.0.1:{silent.getsockname()[1]}"
    silent.close()
    assert lookup_srv("_etcd-client._tcp.example.com", (dead, names.address))
    with pytest.raises(SourceUnavailable, match=dead):
        lookup_srv("_etcd-client._tcp.example.com", (dead,))
