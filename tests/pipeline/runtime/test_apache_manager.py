"""A manager that cannot be believed: why, in words, so that Apache is reloaded instead."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from pyconfd.model.resources import Runtime
from pyconfd.pipeline.runtime import apache
from tests.support.daemons.etcd import free_ports

FILE = """\
<VirtualHost *>
ServerName www.example.com
<Proxy balancer://web>
BalancerMember http://10.0.0.1 route=a loadfactor=@LOAD@
</Proxy>
</VirtualHost>
"""
MEMBER = (
    "<httpd:manager><httpd:name>balancer://web</httpd:name><httpd:nonce>@COUNT@</httpd:nonce>"
    "<httpd:name>http://10.0.0.1</httpd:name><httpd:loadfactor>1.00</httpd:loadfactor>"
    "<httpd:status>Init Ok </httpd:status><httpd:route>a</httpd:route></httpd:manager>"
)


def answered(status: str, body: str) -> str:
    """An answer as it is sent."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}"


@contextlib.contextmanager
def listening(answer: str | None) -> Iterator[int]:
    """A port where each request is answered so; @COUNT@ is its number. None: with nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as held:

        def serve() -> None:
            with contextlib.suppress(OSError):
                for count in range(100):
                    stream = held.enter_context(server.accept()[0])
                    stream.recv(65536)
                    if answer is not None:
                        stream.sendall(answer.replace("@COUNT@", str(count)).encode())
                        stream.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(60)


def problem_of(port: int) -> str:
    """Why a change of the share from 1 to 7 was not made at run time."""
    runtime = Runtime(by="apache", at=f"http://127.0.0.1:{port}/balancer-manager")
    texts = [[FILE.replace("@LOAD@", load) for load in ("1", "7")]]
    files, reason = apache.compare(texts)
    assert reason == ""
    found = apache.survey(runtime, files, reason)
    return found.problem or apache.change(runtime, found)[1]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "timed out"),
        ("", "did not answer in HTTP"),
        ("\x00\xff\n" * 100, "did not answer in HTTP"),
        (answered("401 Unauthorized", ""), "for www.example.com is 401 Unauthorized"),
        (answered("302 Found", ""), "is 302 Found"),
        (answered("200 OK", "<html>hello</html>"), "the answer is no list of balancers"),
        (answered("200 OK", "<httpd:manager></httpd:manager>"), "shows no member web/http://10.0"),
        (answered("200 OK", MEMBER.replace("1.00", "x")), "could not convert string to float"),
        (answered("200 OK", MEMBER.replace("1.00", "inf")), "a loadfactor is inf"),
        (answered("200 OK", MEMBER), "reloaded by another program meanwhile"),
        (answered("200 OK", MEMBER.replace("@COUNT@", "1")), "web/http://10.0.0.1 runs with load"),
    ],
    ids=["hangs", "nothing", "garbage", "login", "moved", "page", "unknown", "number", "endless",
         "reloaded", "deaf"],
)  # fmt: skip
def test_what_is_wrong_with_the_manager_is_named(answer: str | None, says: str) -> None:
    """Whatever answers there."""
    with listening(answer) as port:
        assert says in problem_of(port)


def test_a_manager_that_is_absent_is_named() -> None:
    """With its address."""
    port = free_ports(1)[0]
    assert problem_of(port) == f"http://127.0.0.1:{port}/balancer-manager: Connection refused"


def test_a_site_that_is_not_at_that_port_is_not_asked_for() -> None:
    """Another site would answer for it."""
    text = FILE.replace("<VirtualHost *>", "<VirtualHost *:80>").replace("@LOAD@", "1")
    files, _ = apache.compare([[text]])
    found = apache.survey(Runtime(by="apache", at="http://127.0.0.1:1/m"), files, "")
    assert found.problem == "http://127.0.0.1:1/m: the site www.example.com is not at port 1"
