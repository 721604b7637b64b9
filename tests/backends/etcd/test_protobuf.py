"""The one door to grpc and protobuf."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pyconfd.backends.etcd.protobuf import message, method
from tests.support.daemons.etcd import PrivateEtcd


def test_the_added_fields_have_etcds_numbers() -> None:
    """Numbers and types as in etcd's rpc.proto; a server that is real is asked below."""
    create = message("WatchCreateRequest")(watch_id=5)
    assert create.SerializeToString() == bytes([7 << 3, 5])
    assert message("WatchRequest")(progress_request={}).SerializeToString() == b"\x1a\x00"


def test_methods_have_their_paths() -> None:
    """grpc's path of a call, with the classes of request and response."""
    watch = method("Watch/Watch")
    assert watch.path == "/etcdserverpb.Watch/Watch"
    assert watch.request.DESCRIPTOR.name == "WatchRequest"


def test_the_hot_path_imports_neither_etcd3_nor_tenacity() -> None:
    """A one-shot read pays for grpc and protobuf alone."""
    code = (
        "import sys, pyconfd.backends.etcd.source as e;"
        "from pyconfd.backends.base import SourceOptions;"
        "from pyconfd.backends.etcd.protobuf import load_grpc, method;"
        "from pyconfd.backends.etcd.protobuf import own_this_process;"
        "own_this_process();"
        "load_grpc(); method('KV/Range'); e.EtcdSource(SourceOptions());"
        "print([m for m in ('etcd3', 'tenacity', 'asyncio', 'grpc.aio', 'psutil', 'jinja2', 'yaml')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_the_process_to_itself_grpc_is_whole() -> None:
    """In somebody else's program the asynchronous half must work."""
    code = (
        "from pyconfd.backends.etcd.protobuf import load_grpc;"
        "import sys; load_grpc(); import asyncio, grpc.aio;"
        "print(asyncio.run.__module__, grpc.aio.Channel.__module__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["asyncio.runners", "grpc.aio._base_channel"]


def test_importing_a_backend_imports_no_grpc() -> None:
    """The table of backends, files and the environment cost no protobuf."""
    code = (
        "import sys, pyconfd.backends.registry, pyconfd.backends.etcd.source,"
        "pyconfd.backends.file, pyconfd.backends.env;"
        "print([m for m in ('grpc', 'google.protobuf', 'logging', 'asyncio', 'ssl', 'json')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.integration
def test_a_real_server_understands_the_added_fields(each_etcd: PrivateEtcd) -> None:
    """A watch with our number, and an answer to a progress request."""
    import queue

    from pyconfd.backends.base import SourceOptions
    from pyconfd.backends.etcd.channel import EtcdChannel

    channel = EtcdChannel(SourceOptions(nodes=(each_etcd.endpoint,)))
    requests: queue.SimpleQueue[object] = queue.SimpleQueue()
    request, create = message("WatchRequest"), message("WatchCreateRequest")
    made = create(key=b"/a", range_end=b"/b", watch_id=41, progress_notify=True)
    requests.put(request(create_request=made))
    call = channel.open_stream(channel.link(), "Watch/Watch", iter(requests.get, None))
    created = next(call)
    assert (created.created, created.watch_id, created.canceled) == (True, 41, False)
    revision = each_etcd.put("/a/1", "x")
    event = next(call)
    assert (event.watch_id, event.events[0].kv.key) == (41, b"/a/1")
    requests.put(request(progress_request={}))
    answer = next(call)
    assert (len(answer.events), answer.watch_id) == (0, -1)
    assert answer.header.revision == revision
    requests.put(None)
    call.cancel()
    channel.close()


def test_threads_that_come_first_together_get_one_class() -> None:
    """In a process that has made none yet: two watches begin at the same time."""
    program = """
import sys, threading
sys.setswitchinterval(1e-5)
from pyconfd.backends.etcd.protobuf import load_grpc, message
found = []
start = threading.Barrier(8)
def make():
    start.wait()
    assert load_grpc().insecure_channel
    found.append(message("RangeRequest"))
threads = [threading.Thread(target=make) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(found) == 8 and len(set(found)) == 1, found
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
