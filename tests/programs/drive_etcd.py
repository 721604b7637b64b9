"""
Drives the etcd layer once through everything, in whatever environment it is run in:

    python -W error -m tests.programs.drive_etcd ENDPOINT

Prints the versions it ran on and "ok". Used by the test on the lowest allowed versions, and by
anybody who wonders whether a combination works.
"""

from __future__ import annotations

import sys
import threading
from importlib.metadata import version
from queue import SimpleQueue
from typing import Any

from pyconfd.backends.base import SourceOptions
from pyconfd.backends.etcd.protobuf import own_this_process
from pyconfd.backends.etcd.status import etcd_status
from pyconfd.backends.registry import open_leases, open_source
from pyconfd.errors import SourceUnavailable
from pyconfd.model.keys import Changed, Listed, SourceMessage

WAIT_S = 60.0


def drive(endpoint: str) -> None:
    """List, follow, lease, claim, status; AssertionError when one fails."""
    options = SourceOptions(nodes=(endpoint,), probe_interval_s=0.2)
    beats: SimpleQueue[tuple[int, int]] = SimpleQueue()
    leases = open_leases("etcd", options, lambda lease, ttl: beats.put((lease, ttl)))
    lease = leases.grant(30)
    leases.claim("/drive/a", b"1", lease, lambda _: False)
    leases.keep_alive([lease])
    assert beats.get(timeout=WAIT_S) == (lease, 30)

    said: SimpleQueue[SourceMessage] = SimpleQueue()
    source = open_source("etcd", options)
    assert [each.value for each in source.list(["/drive"], timeout_s=WAIT_S).keys] == [b"1"]
    watch = source.watch(("/drive",), said.put)
    assert _next(said, Listed).keys[0].key == "/drive/a"
    leases.put("/drive/b", b"2")
    assert _next(said, Changed).changes[0].key == "/drive/b"
    leases.revoke(lease)
    assert _next(said, Changed).changes[0].value is None
    watch.stop()
    source.close()
    leases.close()

    assert etcd_status(options)[0].version.startswith("3.")

    gone = open_source("etcd", SourceOptions(nodes=("127.0.0.1:1",)))  # needs the back-off
    try:
        gone.list(["/"], timeout_s=0.5)
    except SourceUnavailable as error:
        assert "refused" in str(error).lower()
    gone.close()


def _next(said: SimpleQueue[SourceMessage], kind: type) -> Any:
    while True:
        message = said.get(timeout=WAIT_S)
        if isinstance(message, kind):
            return message


if __name__ == "__main__":
    own_this_process()  # as the command line does: grpc without asyncio
    drive(sys.argv[1])
    left = [each.name for each in threading.enumerate() if not each.daemon][1:]
    assert not left, left
    packages = ("etcd3", "grpcio", "protobuf")
    print(f"ok: {', '.join(f'{name} {version(name)}' for name in packages)}")
