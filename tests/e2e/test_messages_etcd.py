"""The words for each message in docs/etcd.md, on real servers, compared with tests/messages."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from tests.support.daemons.etcd import Certificates, PrivateEtcd, free_ports
from tests.support.http import answering
from tests.support.messages import RENEW, Golden, said
from tests.support.repository import ROOT

pytestmark = pytest.mark.integration

GOLDEN = Golden("etcd")

#: What the command line alone cannot bring about, and where it is proved.
ELSEWHERE = {
    "no watch stays open: R": "tests/backends/etcd/test_streams.py",
    "the installed etcd3 package has a shape that is not known here": "test_protobuf.py",
    "the server there is not etcd: ...": "below, with a web server",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A confdir with one resource that reads /app."""
    for name in ("etc/conf.d", "etc/templates"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "etc/templates/app.j2").write_text("{{ gets('/app/*') | length }}\n")
    (tmp_path / "etc/conf.d/app.toml").write_text(
        f'[template]\nsrc = "app.j2"\ndest = "{tmp_path}/app.conf"\nkeys = ["/app"]\n'
    )
    return tmp_path


def once(folder: Path, node: str, *more: str) -> str:
    words = ("--onetime", "--node", node, "--timeout", "3s", *more)
    return said(words, folder, shown=" ".join(("--onetime", "--node", "NODE", *more)))


def test_no_node_answers(folder: Path) -> None:
    """Refused, unknown, and silent."""
    (closed,) = free_ports(1)
    GOLDEN.check("a closed port", once(folder, f"127.0.0.1:{closed}"))
    GOLDEN.check("a host that is not known", once(folder, "nosuch.invalid:2379"))
    with PrivateEtcd(folder) as etcd:
        etcd.freeze()
        GOLDEN.check("a server that is silent", once(folder, etcd.endpoint))
        etcd.thaw()


def test_users_and_rights(folder: Path) -> None:
    """No user, a wrong password, a user of few rights."""
    with PrivateEtcd(folder) as etcd:
        etcd.enable_auth()
        etcd.add_user("bob", "bobpw", prefixes=["/other/"])
        GOLDEN.check("no user", once(folder, etcd.endpoint))
        bob = ("--username", "bob", "--password")
        GOLDEN.check("a wrong password", once(folder, etcd.endpoint, *bob, "x"))
        GOLDEN.check("no permission", once(folder, etcd.endpoint, *bob, "bobpw"))


def test_certificates(folder: Path) -> None:
    """Of another authority, for another name, expired, demanded, or spoken to the wrong port."""
    tls, other = Certificates(folder / "tls"), Certificates(folder / "other")
    ours = ("--client-ca-keys", str(tls.ca))
    with PrivateEtcd(folder, tls=tls) as etcd:
        theirs = ("--client-ca-keys", str(other.ca))
        GOLDEN.check("an unknown authority", once(folder, etcd.url, *theirs))
        name = ("--tls-server-name", "etcd.example")
        GOLDEN.check("a certificate for another name", once(folder, etcd.url, *ours, *name))
        GOLDEN.check("plain HTTP to TLS", once(folder, etcd.endpoint))
        etcd.kill()
        tls.issue("server", hosts=["IP:127.0.0.1"], days=-1)
        etcd.launch()
        etcd_is_up(etcd)
        GOLDEN.check("an expired certificate", once(folder, etcd.url, *ours))
    fresh = Certificates(folder / "fresh")
    ours = ("--client-ca-keys", str(fresh.ca))
    with PrivateEtcd(folder, name="mutual", tls=fresh, client_auth=True) as etcd:
        GOLDEN.check("a client certificate is demanded", once(folder, etcd.url, *ours))
    with PrivateEtcd(folder, name="plain") as etcd:
        GOLDEN.check("TLS to plain HTTP", once(folder, f"https://{etcd.endpoint}", *ours))
        none = ("--client-ca-keys", "/none/ca.pem")
        GOLDEN.check(
            "a TLS file that is not there", once(folder, f"https://{etcd.endpoint}", *none)
        )


def etcd_is_up(etcd: PrivateEtcd) -> None:
    """Wait until it accepts connections; its certificate does not matter."""
    from tests.support.waiting import wait_until

    def accepts() -> bool:
        try:
            socket.create_connection(("127.0.0.1", etcd.client_port), 1).close()
        except OSError:
            return False
        return True

    wait_until(accepts, what="etcd")


def test_servers_that_cannot_be_used(folder: Path) -> None:
    """Full, of the second version, or no etcd at all."""
    with PrivateEtcd(folder) as etcd:
        etcd.put("/nginx/www/upstream/a", "10.0.0.5:80")
        etcd.alarm(on=True)
        words = ("members", "drain", "www", "a", "--node", etcd.endpoint)
        shown = "members drain www a --node NODE"
        GOLDEN.check("a full store", said(words, folder, shown=shown))
        GOLDEN.check("a full store is read", once(folder, etcd.endpoint))
    version = b'{"etcdserver":"2.3.8","etcdcluster":"2.3.0"}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with answering(head % len(version) + version) as node:
        GOLDEN.check("an etcd 2 server", once(folder, node))
    with answering(b"HTTP/1.1 404 Not Found\r\nServer: nginx/1.22.1\r\n\r\n") as node:
        GOLDEN.check("a web server", once(folder, node))


def test_every_message_of_the_table_is_in_the_list() -> None:
    """docs/etcd.md says no other words than those that are printed."""
    page = (ROOT / "docs" / "etcd.md").read_text()
    table = page.split("## Messages")[1].split("\n## ")[0]
    rows = [row.split("|")[1].strip() for row in table.splitlines() if row.startswith("| ")][1:]
    assert len(rows) > 10
    text = " ".join(GOLDEN.expected().values())
    for row in rows:
        # Letters that stand for a name, and what is different each time, after a colon.
        words = re.split(r"\b[A-Z]\b(?!\w)|: A|\.\.\.", row)
        missing = [part.strip(" :,") for part in words if part.strip(" :,") not in text]
        assert RENEW or row in ELSEWHERE or not missing, (row, missing)
