"""--node that leads to something else than etcd: said in plain words."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyconfd.backends.base import SourceOptions
from pyconfd.backends.etcd.errors import CallContext, translate
from pyconfd.backends.registry import open_source
from pyconfd.errors import SourceError, SourceRefused, SourceUnavailable
from tests.support.http import answering
from tests.support.pyconfd import Confdir


def fault(node: str) -> SourceError:
    source = open_source("etcd", SourceOptions(nodes=(node,)))
    try:
        with pytest.raises(SourceError) as raised:
            source.list(["/a"], timeout_s=3.0)
        return raised.value
    finally:
        source.close()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            b"HTTP/1.1 404 Not Found\r\nServer: nginx/1.22.1\r\nContent-Length: 0\r\n\r\n",
            "nginx/1.22.1 answers with HTTP status 404",
        ),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it answers with HTTP status 400"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "it does not speak etcd's protocol (gRPC)"),
        (b"-ERR unknown command\r\n", "it does not speak etcd's protocol (gRPC)"),
    ],
    ids=["nginx", "http", "ssh", "redis"],
)
def test_another_server_is_not_etcd(answer: bytes, said: str) -> None:
    """What it is as far as it says so, and what --node should name; none of gRPC's jargon."""
    with answering(answer) as node:
        found = fault(node)
    assert isinstance(found, SourceRefused)
    assert found.what == f"no etcd found: {node}: the server there is not etcd: {said}"
    assert found.hint == "--node names etcd's client port, 2379 by default"


def test_a_server_that_closes_may_be_starting() -> None:
    """It is tried again: a proxy closes so while etcd is away."""
    with answering(b"") as node:
        assert isinstance(fault(node), SourceUnavailable)


@pytest.mark.parametrize(
    ("code", "details", "kind", "said"),
    [
        ("UNIMPLEMENTED", "Received http2 header with status: 404", SourceRefused, "status 404"),
        (
            "PERMISSION_DENIED",
            "Received http2 header with status: 403",
            SourceRefused,
            "status 403",
        ),
        ("UNAVAILABLE", "Received http2 header with status: 502", SourceUnavailable, "status 502"),
        ("UNIMPLEMENTED", "unknown service etcdserverpb.KV", SourceRefused, "etcd's v3 API"),
    ],
)
def test_web_servers_that_speak_http2(
    code: str, details: str, kind: type[SourceError], said: str
) -> None:
    """A right that a proxy refuses is no right of etcd; one that has no backend may get one."""
    error = translate(code, details, CallContext("h:1", "bob", "/app")).error
    assert isinstance(error, kind)
    assert said in error.what
    assert "permission" not in error.what


def test_a_tls_file_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    """Exit status 2 of a one-shot run and of commands; a warning of check, made elsewhere."""
    from tests.cli.test_main import run

    nodes = ("--node", "https://127.0.0.1:1", "--client-ca-keys", "/none/ca.pem")
    confdir = Confdir(tmp_path / "c", *nodes)
    confdir.simple()
    done = confdir.once()
    assert done.returncode == 2
    assert "No such file or directory (/none/ca.pem)" in done.stderr
    assert run("members", *nodes).returncode == 2
    checked = run("check", "--confdir", str(confdir.folder), *nodes)
    assert checked.returncode == 0
    assert "warning: --client-ca-keys: does not exist: /none/ca.pem" in checked.stderr
