"""A private etcd, filled, and the bare watch client that is the floor."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.subjects import PREFIX
from tests.support.daemons.etcd import PrivateEtcd


@contextmanager
def private_etcd() -> Iterator[tuple[PrivateEtcd, str]]:
    """A server of our own and a folder for everything else."""
    with (
        tempfile.TemporaryDirectory(prefix="pyconfd-bench-") as folder,
        PrivateEtcd(Path(folder)) as etcd,
    ):
        yield etcd, folder


def fill(etcd: PrivateEtcd, resources: int, keys: int) -> None:
    """Exactly these keys: /bench/RESOURCE/KEY, each with a value of twenty characters."""
    etcd.delete(PREFIX, prefix=True)
    pairs = [
        (f"{PREFIX}/{resource}/key{key:05}", f"value-{resource:06}-{key:07}")
        for resource in range(resources)
        for key in range(keys)
    ]
    etcd.put_many(pairs)


class Floor:
    """A process that does nothing but watch, and says when each event arrived."""

    def __init__(self, etcd: PrivateEtcd) -> None:
        self._etcd = etcd

    def latencies_s(self, puts: int) -> list[float]:
        """From just before each put to its arrival in the other process."""
        argv = [sys.executable, "-m", "bench.floor", self._etcd.endpoint]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            try:
                assert process.stdout.readline() == "watching\n"
                found = []
                for number in range(puts):
                    began_s = time.perf_counter()
                    self._etcd.put(f"{PREFIX}/0/key00000", f"floor-{number}")
                    found.append(float(process.stdout.readline()) - began_s)
                    time.sleep(0.02)
            finally:
                process.terminate()
        return found
