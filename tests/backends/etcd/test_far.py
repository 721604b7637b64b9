"""Stores that are far, late, or only half there: waited for as long as was said, and found."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyconfd.backends.base import SourceOptions
from pyconfd.backends.etcd.listing import FIRST_PAGE
from pyconfd.backends.registry import open_source
from pyconfd.errors import SourceUnavailable
from pyconfd.model.keys import Listed
from tests.backends.etcd.test_faults import following, options_for
from tests.support.daemons.etcd import PrivateCluster, PrivateEtcd, free_ports, frozen
from tests.support.source import Inbox
from tests.support.waiting import Stopwatch, wait_until

pytestmark = pytest.mark.integration


@contextlib.contextmanager
def far(port: int, delay_s: float) -> Iterator[str]:
    """An address of the server at which every byte takes so long, in each direction."""
    listener = socket.create_server(("127.0.0.1", 0))
    everybody: list[socket.socket] = [listener]

    def carry(source: socket.socket, target: socket.socket) -> None:
        late: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()

        def deliver() -> None:
            with contextlib.suppress(OSError):
                while True:
                    due_s, data = late.get()
                    time.sleep(max(0.0, due_s - time.monotonic()))
                    if not data:
                        target.shutdown(socket.SHUT_WR)
                        return
                    target.sendall(data)

        threading.Thread(target=deliver, daemon=True).start()
        data = b"-"
        while data:
            try:
                data = source.recv(65536)
            except OSError:
                data = b""
            late.put((time.monotonic() + delay_s, data))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                there = socket.create_connection(("127.0.0.1", port))
                everybody.extend((near, there))
                threading.Thread(target=carry, args=(near, there), daemon=True).start()
                threading.Thread(target=carry, args=(there, near), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        for each in everybody:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def test_a_far_store_with_several_nodes_is_reached(etcd: PrivateEtcd) -> None:
    """A second each is too short for them at first; whoever asks again waits longer."""
    etcd.put("/app/a", "1")
    with contextlib.ExitStack() as stack:
        nodes = tuple(stack.enter_context(far(etcd.client_port, 0.4)) for _ in range(3))
        source, inbox = open_source("etcd", SourceOptions(nodes=nodes)), Inbox()
        watch = source.watch(["/app"], inbox.put)
        try:
            inbox.wait_mirror({"/app/a": b"1"})
            etcd.put("/app/a", "2")
            inbox.wait_mirror({"/app/a": b"2"})
        finally:
            watch.stop()
            source.close()


def test_serializable_reads_need_no_quorum_in_a_watch_either(tmp_path: Path) -> None:
    """Listed from the one member that is left, and followed when the others are back."""
    with PrivateCluster(tmp_path) as cluster:
        cluster.members[0].put("/app/a", "1")
        wait_until(lambda: all(each.get("/app/a") for each in cluster.members))
        for each in cluster.members[1:]:
            each.kill()
        source, inbox = open_source("etcd", options_for(cluster, serializable=True)), Inbox()
        watch = source.watch(["/app"], inbox.put)
        try:
            inbox.wait_mirror({"/app/a": b"1"})
            inbox.wait(lambda box: box.lost_now(), what="that there is no quorum")
            cluster.start()
            cluster.members[1].put("/app/a", "2")
            inbox.wait_mirror({"/app/a": b"2"})
            assert len(inbox.of(Listed)) == 1
        finally:
            watch.stop()
            source.close()


def test_a_login_has_no_longer_than_the_list(etcd: PrivateEtcd) -> None:
    """A store that hangs at the login is told after the timeout of the list."""
    etcd.enable_auth()
    options = options_for(etcd, username="root", password="rootpw")
    source = open_source("etcd", options)
    with frozen(etcd), contextlib.closing(source):
        took = Stopwatch()
        with pytest.raises(SourceUnavailable, match="no answer in time"):
            source.list(["/app"], timeout_s=1.0)
        assert took.within(3.0), took


def test_a_long_listing_tells_how_far_it_is(
    etcd: PrivateEtcd, caplog: pytest.LogCaptureFixture
) -> None:
    """When it takes longer than a second, with a line a second at most."""
    etcd.put_many([(f"/app/{number}", "x") for number in range(FIRST_PAGE + 1)])
    with far(etcd.client_port, 0.4) as node, caplog.at_level("INFO"):
        source = open_source("etcd", SourceOptions(nodes=(node,)))
        with contextlib.closing(source):
            assert len(source.list(["/app"], timeout_s=60).keys) == FIRST_PAGE + 1
    told = [each.getMessage() for each in caplog.records if "reading etcd" in each.getMessage()]
    assert told
    assert all("keys so far" in each for each in told)


def test_a_proxy_is_for_others_and_named_when_it_fails(
    etcd: PrivateEtcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """grpc sends every connection to http_proxy; this machine is reached without."""
    etcd.put("/app/a", "1")
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    monkeypatch.setenv("http_proxy", nobody)
    monkeypatch.delenv("no_proxy", raising=False)
    with contextlib.closing(open_source("etcd", options_for(etcd))) as source:
        assert source.list(["/app"], timeout_s=10).keys
    remote = open_source("etcd", options_for(etcd, nodes=("192.0.2.1:2379",)))
    with contextlib.closing(remote), pytest.raises(SourceUnavailable, match="proxy in http_proxy"):
        remote.list(["/app"], timeout_s=1)


def test_a_member_that_moves_while_nothing_is_listed_is_learned(tmp_path: Path) -> None:
    """One node is named and stays connected; another gets a new address; then the first dies."""
    with PrivateCluster(tmp_path) as cluster:
        first, second, third = cluster.members
        first.put("/app/a", "1")
        options = options_for(
            cluster, nodes=(first.endpoint,), refresh_members=True, probe_interval_s=0.1
        )
        with following(options) as (inbox, watch):
            ring = watch._session.channel._ring  # type: ignore[attr-defined]
            former = [second.endpoint, third.endpoint]
            for member in (second, third):
                member.kill()
                member.client_port = free_ports(1)[0]
                member.start()
            now = {first.endpoint, second.endpoint, third.endpoint}
            wait_until(lambda: {str(each) for each in ring} == now, what=f"{now} without {former}")
            first.kill()
            wait_until(lambda: _written(second), what="a leader")
            inbox.wait_mirror({"/app/a": b"2"})
            assert len(inbox.of(Listed)) == 1


def _written(member: PrivateEtcd) -> bool:
    from pyconfd.backends.etcd.protobuf import load_grpc

    with contextlib.suppress(load_grpc().RpcError):
        member.put("/app/a", "2")
        return True
    return False
