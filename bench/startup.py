"""Where the milliseconds of a one-shot run go: each part in its order, in fresh processes."""

from __future__ import annotations

import json
import statistics
import subprocess
import time

from bench.installed import PYTHON

# Each part imports or does what a one-shot run does at that point, and no more.
_PARTS = """
import time
began = time.perf_counter()
spans = []
def done(name):
    global began
    now = time.perf_counter()
    spans.append((name, (now - began) * 1e3))
    began = time.perf_counter()

import pyconfd.cli.main, pyconfd.config.settings, pyconfd.config.arguments
done("command line and settings")
import pyconfd.config.resources
done("reading of resources")
from pyconfd.backends.etcd.protobuf import load_grpc, message, method
load_grpc()
done("grpc")
message("RangeRequest"); method("KV/Range")
done("protobuf and etcd's messages")
from pyconfd.backends.registry import open_source
from pyconfd.model.source import SourceOptions
source = open_source("etcd", SourceOptions(nodes=(NODE,), environ={}))
done("the etcd source")
listed = source.list(["/bench"], timeout_s=10)
done("connecting, and listing ten keys")
import jinja2
done("jinja2")
import pyconfd.daemon.run
done("the rest of the program")
import json, sys
print(json.dumps(spans))
sys.stdout.flush()
import os
os._exit(0)
"""


def split(node: str, repeats: int) -> list[tuple[str, float]]:
    """(part, milliseconds), medians; Python's own start first."""
    parts: dict[str, list[float]] = {}
    for _ in range(repeats):
        began_s = time.perf_counter()
        subprocess.run([PYTHON, "-c", "pass"], check=True)
        parts.setdefault("Python", []).append((time.perf_counter() - began_s) * 1e3)
        code = _PARTS.replace("NODE", repr(node))
        done = subprocess.run([PYTHON, "-P", "-c", code], check=True, capture_output=True)
        for name, taken_ms in json.loads(done.stdout):
            parts.setdefault(name, []).append(taken_ms)
    return [(name, statistics.median(values)) for name, values in parts.items()]
