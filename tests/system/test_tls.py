"""Which servers' certificates are trusted: the same on every Python, as grpc and curl trust."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from pyconfd.system.tls import verifying
from tests.support.daemons.etcd import Certificates


def shaken(authorities: Path, server: Certificates, name: str = "localhost") -> None:
    """A handshake in memory; raises what the client finds wrong."""
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(server.server_cert, server.server_key)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = verifying(str(authorities)).wrap_bio(down, up, server_hostname=name)
    answering = served.wrap_bio(up, down, server_side=True)
    for side in (client, answering, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue


@pytest.fixture
def private(tmp_path: Path) -> Certificates:
    """What `openssl req -x509` makes: an authority without the key usage extension."""
    return Certificates(tmp_path / "private")


def test_an_authority_without_key_usage_is_trusted(private: Certificates) -> None:
    """Python 3.13 alone would refuse it."""
    shaken(private.ca, private)


def test_an_intermediate_authority_may_be_the_anchor(private: Certificates, tmp_path: Path) -> None:
    """Its root is not given; Python before 3.13 alone would refuse it."""
    folder = tmp_path / "between"
    folder.mkdir()
    (folder / "ext").write_text("basicConstraints=CA:TRUE\n")
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=between")
    signed = ("-CA", private.ca, "-CAkey", private.ca_key, "-CAcreateserial", "-days", "2")
    made = ("-out", "ca.pem", "-extfile", "ext")
    for words in (
        ("req", *new, "-keyout", "ca.key", "-out", "request"),
        ("x509", "-req", "-in", "request", *signed, *made),
    ):
        subprocess.run(
            ["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=120
        )
    shaken(folder / "ca.pem", Certificates(folder))


def test_a_stranger_and_a_wrong_name_are_not_trusted(private: Certificates, tmp_path: Path) -> None:
    """Nothing is taken lightly but what is said above."""
    other = Certificates(tmp_path / "other")
    with pytest.raises(ssl.SSLCertVerificationError, match="issuer"):
        shaken(other.ca, private)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"[Hh]ostname mismatch"):
        shaken(private.ca, private, "other.example")
