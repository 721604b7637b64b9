"""etcd, broken in every way that can be had on one machine: nothing is lost, torn or silent."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from pyconfd.backends.base import Source, SourceOptions, Watch
from pyconfd.backends.etcd.protobuf import load_grpc
from pyconfd.backends.registry import open_leases, open_source
from pyconfd.errors import SourceError, SourceRefused, SourceUnavailable, StoreFull
from pyconfd.model.keys import Changed, Listed, Lost, Progressed
from tests.support.daemons.etcd import (
    Certificates,
    PrivateCluster,
    PrivateEtcd,
    free_ports,
    frozen,
    server_id,
    servers,
)
from tests.support.source import Inbox
from tests.support.waiting import Stopwatch, wait_until

pytestmark = pytest.mark.integration


def options_for(etcd: PrivateEtcd | PrivateCluster, **more: object) -> SourceOptions:
    nodes = tuple(etcd.endpoints) if isinstance(etcd, PrivateCluster) else (etcd.endpoint,)
    return SourceOptions(**{"nodes": nodes, "probe_interval_s": 1.0, **more})  # type: ignore[arg-type]


@contextlib.contextmanager
def following(
    options: SourceOptions, prefixes: Sequence[str] = ("/app",)
) -> Iterator[tuple[Inbox, Watch]]:
    """A watch that has had its first list."""
    source, inbox = open_source("etcd", options), Inbox()
    watch = source.watch(tuple(prefixes), inbox.put)
    try:
        inbox.wait(lambda box: box.of(Listed) and box.of(Progressed))
        yield inbox, watch
    finally:
        watch.stop()
        source.close()


def used_member(cluster: PrivateCluster, watch: Watch) -> PrivateEtcd:
    """The member that the watch is connected to."""
    address = watch._session.channel.link().endpoint.address  # type: ignore[attr-defined]
    return next(each for each in cluster.members if each.endpoint == address)


# One server: restart, compaction, wipe, restore, hang


def test_a_restart_loses_nothing(each_etcd: PrivateEtcd) -> None:
    """Killed and started: what came before, in between and after is seen, without a new list."""
    each_etcd.put("/app/a", "1")
    with following(options_for(each_etcd)) as (inbox, _):
        each_etcd.put("/app/a", "2")
        each_etcd.restart()
        each_etcd.put("/app/b", "3")
        inbox.wait_mirror({"/app/a": b"2", "/app/b": b"3"})
        assert len(inbox.of(Listed)) == 1


def test_compaction_while_cut_off_leads_to_a_list(etcd: PrivateEtcd) -> None:
    """The history that was missed is gone: everything is listed, the deletion is seen."""
    etcd.put("/app/a", "1")
    etcd.put("/app/b", "1")
    with following(options_for(etcd)) as (inbox, watch):
        stream_is_cut(watch, etcd)
        inbox.wait_mirror({"/app/b": b"9"})
        assert "compacted" in inbox.of(Listed)[-1].reason  # type: ignore[union-attr]


def stream_is_cut(watch: Watch, etcd: PrivateEtcd) -> None:
    """While the watch's connections are dropped: delete, put, compact."""
    channel = watch._session.channel  # type: ignore[attr-defined]
    etcd.freeze()
    channel.drop(channel.link())
    etcd.thaw()
    etcd.delete("/app/a")
    etcd.put("/app/b", "9")
    etcd.compact()


def test_a_wiped_store_is_listed_afresh(each_etcd: PrivateEtcd) -> None:
    """The revision went back; the cluster id is the same, and the old keys are gone."""
    for number in range(5):
        each_etcd.put(f"/app/{number}", "old")
    with following(options_for(each_etcd)) as (inbox, _):
        each_etcd.wipe()
        each_etcd.put("/app/new", "n")
        inbox.wait_mirror({"/app/new": b"n"})


def test_a_wiped_store_that_has_passed_our_revision_is_found_out(etcd: PrivateEtcd) -> None:
    """Its revision and cluster id look well; its history does not."""
    etcd.put("/app/a", "old")
    with following(options_for(etcd)) as (inbox, _):
        inbox.wait_mirror({"/app/a": b"old"})
        etcd.kill()
        # Filled up before the watch can reach it: on another port, then moved back.
        port, etcd.client_port = etcd.client_port, free_ports(1)[0]
        etcd.start()
        etcd.wipe()
        for number in range(20):
            etcd.put("/app/b", str(number))
        etcd.kill()
        etcd.client_port = port
        etcd.start()
        inbox.wait_mirror({"/app/b": b"19"})
        assert "history" in inbox.of(Listed)[-1].reason  # type: ignore[union-attr]


def test_a_restored_backup_is_found_out(etcd: PrivateEtcd, tmp_path: Path) -> None:
    """What was written after the backup is gone from the mirror too."""
    etcd.put("/app/a", "kept")
    etcd.snapshot(tmp_path / "backup")
    etcd.put("/app/b", "lost")
    with following(options_for(etcd)) as (inbox, _):
        inbox.wait_mirror({"/app/a": b"kept", "/app/b": b"lost"})
        etcd.restore(tmp_path / "backup")
        inbox.wait_mirror({"/app/a": b"kept"})


def test_a_hung_server_is_noticed_and_survived(etcd: PrivateEtcd) -> None:
    """SIGSTOP: told as Lost within seconds, and followed again when it goes on."""
    etcd.put("/app/a", "1")
    with following(options_for(etcd)) as (inbox, _):
        with frozen(etcd):
            took = Stopwatch()
            inbox.wait(lambda box: box.lost_now())
            assert took.within(10.0), took
            assert inbox.mirror == {"/app/a": b"1"}
        etcd.put("/app/a", "2")
        inbox.wait_mirror({"/app/a": b"2"})


def test_stopping_while_the_server_hangs_is_prompt(etcd: PrivateEtcd) -> None:
    """In every phase: listing, following, verifying."""
    etcd.put("/app/a", "1")
    for wait_s in (0.0, 0.5, 3.0, 6.0):
        source, inbox = open_source("etcd", options_for(etcd)), Inbox()
        if wait_s:
            watch = source.watch(("/app",), inbox.put)
            inbox.wait(lambda box: box.of(Listed))
        with frozen(etcd):
            if not wait_s:
                watch = source.watch(("/app",), inbox.put)
            time.sleep(wait_s)  # the phases of an outage, not a wait for anything
            took = Stopwatch()
            watch.stop()
            assert took.within(1.0), f"{took} after {wait_s} s"
        source.close()


def test_whole_revisions_also_when_they_are_larger_than_a_message(etcd: PrivateEtcd) -> None:
    """A transaction of 9 MB that was missed is delivered as one."""
    big = b"x" * 1_200_000
    etcd.kill()
    etcd.extra = ["--max-request-bytes=20000000"]
    etcd.start()
    etcd.put("/app/00", "small")
    with following(options_for(etcd)) as (inbox, watch):
        channel = watch._session.channel  # type: ignore[attr-defined]
        channel.drop(channel.link())
        etcd.txn([(f"/app/{number:02d}", big) for number in range(8)])
        inbox.wait(lambda box: box.mirror.get("/app/07") == big)
        for message in inbox.of(Changed):
            assert len(message.changes) == 8  # type: ignore[union-attr]


def test_a_hundred_thousand_deletions_at_once_arrive_as_one_change(each_etcd: PrivateEtcd) -> None:
    """In fragments etcd would need half a minute for them, and the watch would give it up."""
    keys = 100_000
    each_etcd.put_many([(f"/app/{n // 100:04d}/{n:06d}", "v") for n in range(keys)])
    each_etcd.put("/app0", "beside them")
    with following(options_for(each_etcd), ["/app", "/app0"]) as (inbox, _):
        assert each_etcd.delete("/app/", prefix=True) == keys
        inbox.wait_mirror({"/app0": b"beside them"})
        assert [len(each.changes) for each in inbox.of(Changed)] == [keys]  # type: ignore[union-attr]
        assert len(inbox.of(Listed)) == 1, "not listed again"


@pytest.mark.parametrize("program", servers(), ids=server_id)
def test_a_full_store_is_still_read(program: str, tmp_path: Path) -> None:
    """Several prefixes too, which are asked for in a transaction; a write is told why at once."""
    quota = ["--quota-backend-bytes=1000000"]
    with PrivateEtcd(tmp_path, program=program, extra=quota) as etcd:
        etcd.put("/app/a", "1")
        etcd.put("/web/a", "2")
        with pytest.raises(load_grpc().RpcError, match="space exceeded"):
            for number in range(100):
                etcd.put(f"/fill/{number}", "x" * 200_000)
        source = open_source("etcd", options_for(etcd))
        assert len(source.list(["/app", "/web"], timeout_s=5).keys) == 2
        source.close()
        leases = open_leases("etcd", options_for(etcd), lambda *_: None)
        with pytest.raises(StoreFull, match="alarm disarm"):
            leases.put("/app/b", b"x" * 200_000)
        leases.close()


def test_a_megabyte_value_and_many_keys_are_listed_in_pages(etcd: PrivateEtcd) -> None:
    """20,000 keys and a value of 1 MiB, all at one revision."""
    etcd.put_many([(f"/app/{number:05d}", "v") for number in range(20_000)])
    etcd.put("/app/big", b"y" * 1_048_576)
    source = open_source("etcd", options_for(etcd))
    listed = source.list(["/app"], timeout_s=20)
    source.close()
    assert len(listed.keys) == 20_001
    assert listed.revision == etcd.revision
    assert len({each.key for each in listed.keys}) == 20_001


def test_keys_that_are_not_text_or_not_clean_do_no_harm(etcd: PrivateEtcd) -> None:
    """Bytes that are not UTF-8 come through; a//b/ is /a/b; keys without a slash are no keys."""
    from pyconfd.backends.etcd.protobuf import message

    for raw in (b"/app/\xff\xfe", b"/app//double/", b"noslash", b"/app/nul\0l"):
        etcd.call("KV/Put", message("PutRequest")(key=raw, value=b"v"))
    source = open_source("etcd", options_for(etcd))
    keys = {each.key for each in source.list(["/"], timeout_s=5).keys}
    source.close()
    assert keys == {"/app/\udcff\udcfe", "/app/double", "/app/nul\0l"}


# Several members


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[PrivateCluster]:
    with PrivateCluster(tmp_path) as three:
        yield three


def test_the_connected_member_dies(cluster: PrivateCluster) -> None:
    """Another one is used within 3 s, without a new list and without a word of loss."""
    cluster.members[0].put("/app/a", "1")
    with following(options_for(cluster)) as (inbox, watch):
        inbox.wait_mirror({"/app/a": b"1"})
        used_member(cluster, watch).kill()
        wait_until(lambda: written(cluster, "/app/a", "2"))
        took = Stopwatch()
        inbox.wait_mirror({"/app/a": b"2"})
        assert took.within(3.0), took
        assert len(inbox.of(Listed)) == 1


def written(cluster: PrivateCluster, key: str, value: str) -> bool:
    """Whether some running member took the put (a leader may have to be found first)."""
    from pyconfd.backends.etcd.protobuf import load_grpc

    for member in cluster.running:
        with contextlib.suppress(load_grpc().RpcError):
            member.put(key, value)
            return True
    return False


def test_the_connected_member_hangs(cluster: PrivateCluster) -> None:
    """The probe finds it out before the transport does; no list, nothing lost."""
    cluster.members[0].put("/app/a", "1")
    with following(options_for(cluster)) as (inbox, watch):
        inbox.wait_mirror({"/app/a": b"1"})
        hung = used_member(cluster, watch)
        hung.freeze()
        others = [each for each in cluster.members if each is not hung]
        wait_until(lambda: written_by(others, "/app/a", "2"))
        took = Stopwatch()
        inbox.wait_mirror({"/app/a": b"2"})
        assert took.within(8.0), took
        hung.thaw()
        assert len(inbox.of(Listed)) == 1


def written_by(members: Sequence[PrivateEtcd], key: str, value: str) -> bool:
    from pyconfd.backends.etcd.protobuf import load_grpc

    for member in members:
        with contextlib.suppress(load_grpc().RpcError):
            member.put(key, value)
            return True
    return False


def test_an_isolated_member_is_left(cluster: PrivateCluster) -> None:
    """Two of three are gone: the third has no leader, which is told; then all is well again."""
    cluster.members[0].put("/app/a", "1")
    with following(options_for(cluster)) as (inbox, watch):
        used = used_member(cluster, watch)
        others = [each for each in cluster.members if each is not used]
        for each in others:
            each.kill()
        inbox.wait(lambda box: box.lost_now())
        cluster.start()
        wait_until(lambda: written(cluster, "/app/a", "2"))
        inbox.wait_mirror({"/app/a": b"2"})


def test_members_are_learned_from_the_cluster(cluster: PrivateCluster) -> None:
    """One node is named; when it dies, the others are known."""
    first = cluster.members[0]
    first.put("/app/a", "1")
    options = SourceOptions(nodes=(first.endpoint,), refresh_members=True, probe_interval_s=1)
    with following(options) as (inbox, _):
        first.kill()
        wait_until(lambda: written(cluster, "/app/a", "2"))
        inbox.wait_mirror({"/app/a": b"2"})


# Several ranges


def test_a_user_of_two_prefixes_never_sees_a_torn_pair(each_etcd: PrivateEtcd) -> None:
    """One watch over everything is refused to this user; two watches still give whole revisions."""
    each_etcd.txn([("/app/pair", "0"), ("/web/pair", "0")])
    each_etcd.add_user("bob", "pw", prefixes=["/app", "/web"])
    each_etcd.enable_auth()
    options = options_for(each_etcd, username="bob", password="pw")
    torn: list[tuple[bytes | None, bytes | None]] = []

    class Watching(Inbox):
        def _apply(self, message: object) -> None:
            super()._apply(message)  # type: ignore[arg-type]
            pair = self.mirror.get("/app/pair"), self.mirror.get("/web/pair")
            if pair[0] != pair[1]:
                torn.append(pair)

    source, inbox = open_source("etcd", options), Watching()
    watch = source.watch(("/app", "/web"), inbox.put)
    inbox.wait(lambda box: box.of(Progressed))
    for number in range(1, 200):
        each_etcd.txn([("/app/pair", str(number)), ("/web/pair", str(number))])
    inbox.wait_mirror({"/app/pair": b"199", "/web/pair": b"199"})
    assert watch._session.separate  # type: ignore[attr-defined]
    watch.stop()
    source.close()
    assert torn == []


def test_a_flood_of_strangers_leads_to_a_watch_for_each_prefix(etcd: PrivateEtcd) -> None:
    """Keys between two prefixes that change all the time are not worth carrying."""
    etcd.put("/app/a", "1")
    with following(options_for(etcd), ("/app", "/zoo")) as (inbox, watch):
        flood = [(f"/middle/{number}", "x") for number in range(3000)]
        session = watch._session  # type: ignore[attr-defined]
        wait_until(lambda: etcd.put_many(flood) and session.separate)
        etcd.txn([("/app/a", "2"), ("/zoo/a", "2")])
        inbox.wait_mirror({"/app/a": b"2", "/zoo/a": b"2"})
        assert len(inbox.of(Listed)) == 1


# Users and passwords


def refused_by(options: SourceOptions, prefix: str = "/app") -> SourceError:
    source: Source = open_source("etcd", options)
    took = Stopwatch()
    try:
        with pytest.raises(SourceError) as refused:
            source.list([prefix], timeout_s=3)
    finally:
        source.close()
    if isinstance(refused.value, SourceRefused):
        assert took.within(2.5), f"{took}: what no retry can mend is told at once"
    return refused.value


@pytest.fixture
def guarded(etcd: PrivateEtcd) -> PrivateEtcd:
    """Authentication on; bob may see what starts with /app/."""
    etcd.put("/app/a", "1")
    etcd.put("/secret", "s")
    etcd.add_user("bob", "pw", prefixes=["/app/"])
    etcd.enable_auth()
    return etcd


def test_refusals_of_users_are_clear(guarded: PrivateEtcd) -> None:
    """None given, wrong password, no permission: each names what is missing."""
    none = refused_by(options_for(guarded))
    assert isinstance(none, SourceRefused)
    assert "no user was given" in str(none)
    wrong = refused_by(options_for(guarded, username="bob", password="no"))
    assert isinstance(wrong, SourceRefused)
    assert "wrong password for user bob" in str(wrong)
    denied = refused_by(options_for(guarded, username="bob", password="pw"), "/secret")
    assert isinstance(denied, SourceRefused)
    assert "/secret" in str(denied)
    assert "bob" in str(denied)
    assert "pw" not in str(denied)


def test_a_permission_for_what_is_below_a_prefix_is_enough(guarded: PrivateEtcd) -> None:
    """Granted on /app/, asked for /app: listed and followed, over plain HTTP."""
    with following(options_for(guarded, username="bob", password="pw")) as (inbox, _):
        guarded.put("/app/b", "2")
        inbox.wait_mirror({"/app/a": b"1", "/app/b": b"2"})


def test_tokens_that_the_server_has_forgotten_are_renewed(guarded: PrivateEtcd) -> None:
    """A restart makes every token worthless; the watch goes on."""
    with following(options_for(guarded, username="bob", password="pw")) as (inbox, _):
        guarded.restart()
        guarded.put("/app/b", "2")
        inbox.wait_mirror({"/app/a": b"1", "/app/b": b"2"})


def test_tokens_that_are_too_old_are_renewed(each_etcd: PrivateEtcd) -> None:
    """The token ends while the stream is cut: the new watch must not be silent for ever."""
    each_etcd.kill()
    each_etcd.extra = ["--auth-token-ttl=1"]
    each_etcd.start()
    each_etcd.put("/app/a", "1")
    each_etcd.add_user("bob", "pw", prefixes=["/app"])
    each_etcd.enable_auth()
    options = options_for(each_etcd, username="bob", password="pw", probe_interval_s=60.0)
    with following(options) as (inbox, watch):
        time.sleep(2.5)  # the token's life
        channel = watch._session.channel  # type: ignore[attr-defined]
        channel.drop(channel.link())
        each_etcd.put("/app/a", "2")
        inbox.wait_mirror({"/app/a": b"2"}, 45)  # before a probe would find it


def test_a_right_that_is_taken_away_is_told_and_taken_up_again(etcd: PrivateEtcd) -> None:
    """A watch that the server refuses is not a quiet store."""
    etcd.put("/app/a", "1")
    with following(options_for(etcd)) as (inbox, _):
        etcd.add_user("bob", "pw", prefixes=["/app"])
        etcd.enable_auth()
        etcd.restart()
        inbox.wait(lambda box: box.lost_now())
        assert "no user was given" in str(inbox.of(Lost)[-1].cause)  # type: ignore[union-attr]
        etcd.put("/app/a", "2")
        etcd.disable_auth()
        inbox.wait_mirror({"/app/a": b"2"})


# TLS


def test_tls_faults_are_told_apart(tmp_path: Path) -> None:
    """Unknown authority, wrong name, expired, no client certificate, plain and TLS mixed up."""
    right = Certificates(tmp_path / "tls")
    other = Certificates(tmp_path / "other")
    with PrivateEtcd(tmp_path, tls=right) as etcd:
        ca = str(right.ca)
        cases: list[tuple[dict[str, object], str]] = [
            ({"client_ca_keys": str(other.ca)}, "unknown authority"),
            ({"client_ca_keys": ca, "tls_server_name": "other.example"}, "not for the name"),
            ({}, "plain HTTP was spoken to a port that speaks TLS"),
            ({"client_ca_keys": str(tmp_path / "none.pem")}, "none.pem"),
        ]
        for more, words in cases:
            told = refused_by(options_for(etcd, **more))
            assert isinstance(told, SourceRefused), told
            assert words in str(told)
        source = open_source("etcd", options_for(etcd, client_ca_keys=ca))
        assert source.list(["/app"], timeout_s=5).keys == ()
        source.close()
        etcd.kill()
        right.issue("server", hosts=["IP:127.0.0.1"], days=-1)
        etcd.launch()
        told = wait_until(lambda: refusal_with("expired", options_for(etcd, client_ca_keys=ca)))
        assert isinstance(told, SourceRefused)


def refusal_with(words: str, options: SourceOptions) -> SourceError | None:
    told = refused_by(options)
    return told if words in str(told) else None


def test_a_missing_client_certificate_is_told(tmp_path: Path) -> None:
    """And with it everything works; TLS spoken to a plain port is told too."""
    right = Certificates(tmp_path / "tls")
    ca, cert, key = str(right.ca), str(right.client_cert), str(right.client_key)
    with PrivateEtcd(tmp_path, tls=right, client_auth=True) as etcd:
        etcd.put("/app/a", "1")
        told = refused_by(options_for(etcd, client_ca_keys=ca))
        assert "client certificate" in str(told)
        options = options_for(etcd, client_ca_keys=ca, client_cert=cert, client_key=key)
        source = open_source("etcd", options)
        assert [each.key for each in source.list(["/app"], timeout_s=5).keys] == ["/app/a"]
        source.close()
    with PrivateEtcd(tmp_path, name="plain") as plain:
        told = refused_by(options_for(plain, client_ca_keys=ca))
        assert isinstance(told, SourceRefused)
        assert "plain HTTP" in str(told)


def test_renewed_certificates_are_taken_up(tmp_path: Path) -> None:
    """The authority and the server's certificate are exchanged while the watch is running."""
    tls = Certificates(tmp_path / "tls")
    with PrivateEtcd(tmp_path, tls=tls) as etcd:
        etcd.put("/app/a", "1")
        with following(options_for(etcd, client_ca_keys=str(tls.ca))) as (inbox, _):
            etcd.kill()
            tls.ca.unlink()
            fresh = Certificates(tmp_path / "tls")
            etcd.tls = fresh
            etcd.start()
            etcd.put("/app/a", "2")
            inbox.wait_mirror({"/app/a": b"2"})


# Nobody there


def test_no_store_names_every_endpoint_and_its_error() -> None:
    """After the timeout, each address with its own reason."""
    ports = free_ports(2)
    nodes = (f"127.0.0.1:{ports[0]}", f"127.0.0.1:{ports[1]}", "no.such.host.invalid:2379")
    source = open_source("etcd", SourceOptions(nodes=nodes))
    took = Stopwatch()
    with pytest.raises(SourceUnavailable) as told:
        source.list(["/app"], timeout_s=1)
    assert took.wall_s > 0.8
    assert took.within(4.0), took
    source.close()
    assert all(node in str(told.value) for node in nodes)
    assert "refused" in str(told.value)
    assert "not known" in str(told.value)


def test_one_dead_node_among_three_is_not_noticed(etcd: PrivateEtcd) -> None:
    """Whatever the order, a list succeeds at once."""
    etcd.put("/app/a", "1")
    dead = tuple(f"127.0.0.1:{port}" for port in free_ports(2))
    for _ in range(4):
        source = open_source("etcd", SourceOptions(nodes=(*dead, etcd.endpoint)))
        took = Stopwatch()
        assert len(source.list(["/app"], timeout_s=5).keys) == 1
        assert took.within(2.0), took
        source.close()


def test_an_etcd_2_server_is_told(v2_server: str) -> None:
    """It answers HTTP and knows nothing of the v3 API."""
    told = refused_by(SourceOptions(nodes=(v2_server,)))
    assert isinstance(told, SourceRefused)
    assert "etcd 2" in str(told)


@pytest.fixture
def v2_server() -> Iterator[str]:
    """What an etcd 2.3 answers to GET /version, on a port of our own."""
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"etcdserver":"2.3.8","etcdcluster":"2.3.0"}')

        log_message: Callable[..., None] = lambda *_: None  # type: ignore[assignment]

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_token_of_a_store_that_was_wiped_does_not_hang_every_call(etcd: PrivateEtcd) -> None:
    """The new store would wait for the index in the token; a new login comes soon."""
    for number in range(100):
        etcd.put("/app/a", str(number))
    etcd.add_user("bob", "pw", prefixes=["/app"])
    etcd.enable_auth()
    with following(options_for(etcd, username="bob", password="pw")) as (inbox, _):
        etcd.user = None
        etcd.wipe()
        etcd.add_user("bob", "pw", prefixes=["/app"])
        etcd.enable_auth()
        etcd.put("/app/a", "new")
        took = Stopwatch()
        inbox.wait_mirror({"/app/a": b"new"})
        assert took.within(6.0), took
