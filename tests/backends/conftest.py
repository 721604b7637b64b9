"""Private etcd servers for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemons.etcd import PrivateEtcd, server_id, servers


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[PrivateEtcd]:
    """A server of the test's own."""
    with PrivateEtcd(tmp_path) as server:
        yield server


@pytest.fixture(params=servers(), ids=server_id)
def each_etcd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PrivateEtcd]:
    """A server of the test's own, of every release found here."""
    with PrivateEtcd(tmp_path, program=request.param) as server:
        yield server


@pytest.fixture(scope="module")
def calm_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEtcd]:
    """A server that the tests of one file share; they do not break it."""
    with PrivateEtcd(tmp_path_factory.mktemp("etcd")) as server:
        yield server
