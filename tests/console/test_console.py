"""`pyconfd console` as browsers and programs reach it: who may order what, and its errors."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.support.daemons.etcd import PrivateEtcd
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

TOKEN = "a-token-of-the-tests-0001"


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEtcd]:
    with PrivateEtcd(tmp_path_factory.mktemp("etcd")) as server:
        server.put("/nginx/www/upstream/a", "10.0.0.1:80", lease=server.grant(600))
        server.put("/pyconfd/fleets/edges/rollouts/web/nodes/n1", '{"digest":"v","revision":1}')
        yield server


def argv(etcd: PrivateEtcd, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "pyconfd", "console", "edges", "--listen", "127.0.0.1:0"),
        *("--node", etcd.endpoint, *more),
    ]


@contextlib.contextmanager
def running(etcd: PrivateEtcd, *more: str) -> Iterator[Browser]:
    command = argv(etcd, *more)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        try:
            port = re.search(rb"127\.0\.0\.1:(\d+)/", process.stdout.readline())
            assert port, process.stderr.read()
            yield Browser(int(port[1]))
        finally:
            process.terminate()
            assert process.wait(20) == 0


@pytest.fixture(scope="module")
def ordering(etcd: PrivateEtcd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    tokens = token_file(tmp_path_factory.mktemp("tokens"))
    with running(etcd, "--allow-orders", "--token-file", str(tokens)) as found:
        yield found


def token_file(folder: Path, text: str = f"# who\nalice {TOKEN}\n") -> Path:
    path = folder / "tokens"
    path.write_text(text)
    path.chmod(0o600)
    return path


class Browser:
    """One request each, on a connection of its own."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.origin = f"http://127.0.0.1:{port}"

    def ask(
        self,
        path: str,
        form: Mapping[str, str] | None = None,
        **headers: str,
    ) -> tuple[int, str, Mapping[str, str]]:
        """Status, text and headers. headers: `_` stands for `-`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        body = None if form is None else urlencode(form)
        connection.request("GET" if form is None else "POST", path, body, names)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text, dict(answer.getheaders())

    def cookie(self) -> str:
        """Of one that has logged in."""
        status, _, headers = self.ask("/login", {"token": TOKEN}, Origin=self.origin)
        assert status == 303
        given = headers["set-cookie"]
        assert "HttpOnly" in given
        assert "SameSite=strict" in given
        return given.partition(";")[0]


DRAIN = {"do": "drain", "service": "www", "member": "a"}


def override(etcd: PrivateEtcd) -> bytes | None:
    return etcd.get("/nginx/www/override/a")


def test_the_page_allows_a_browser_its_own_files_alone(ordering: Browser) -> None:
    """No inline script or style, no foreign address, no frame."""
    status, text, headers = ordering.ask("/")
    assert status == 200
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'")
    assert "unsafe" not in policy
    assert not re.search(r"<style|style=|<script>|(?:src|href)=.(?:https?:)?//", text)
    for name in ("console.css", "console.js", "icon.svg"):
        assert f"/{name}" in text
        assert ordering.ask(f"/{name}")[0] == 200


def test_a_change_comes_as_an_event(ordering: Browser, etcd: PrivateEtcd) -> None:
    """Only the sections that differ; nothing when the page has them already."""
    with socket.create_connection(("127.0.0.1", ordering.port), timeout=20) as client:
        client.sendall(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        stream = client.makefile("rb")
        first = next(line for line in stream if line.startswith(b"data: "))
        assert {"summary", "members"} <= json.loads(first[6:]).keys()
        for address in ("10.0.0.2:80", "10.0.0.3:80"):
            etcd.put("/nginx/www/upstream/b", address)
            found: dict[str, str] = {}
            while address not in found.get("members", ""):  # the first may come with the listing
                found = json.loads(next(one for one in stream if one.startswith(b"data: "))[6:])
        assert "rollouts" not in found
    etcd.delete("/nginx/www/upstream/b")


def test_no_order_without_a_token(ordering: Browser, etcd: PrivateEtcd) -> None:
    """Nor with a wrong one."""
    assert ordering.ask("/orders", DRAIN, Origin=ordering.origin)[0] == 403
    assert ordering.ask("/orders", DRAIN, Authorization="Bearer wrong")[0] == 403
    assert ordering.ask("/login", {"token": "wrong"}, Origin=ordering.origin)[0] == 403
    assert override(etcd) is None


def test_no_order_from_another_page(ordering: Browser, etcd: PrivateEtcd) -> None:
    """A browser that has logged in and is led to post by another site."""
    cookie = ordering.cookie()
    for origin in ({}, {"Origin": "null"}, {"Origin": "http://evil.example"}):
        status, text, _ = ordering.ask("/orders", DRAIN, Cookie=cookie, **origin)
        assert (status, text) == (403, "an order from another page\n")
    assert override(etcd) is None


def test_no_page_by_a_name_that_is_not_ours(ordering: Browser) -> None:
    """A foreign name that leads to 127.0.0.1 does not reach it."""
    assert ordering.ask("/", Host=f"evil.example:{ordering.port}")[0] == 421
    assert ordering.ask("/", Host=f"localhost:{ordering.port}")[0] == 200


def test_orders_are_kept_with_who_where_and_when(ordering: Browser, etcd: PrivateEtcd) -> None:
    """By form and by program; logging out ends them."""
    cookie = ordering.cookie()
    here = {"Origin": ordering.origin, "Cookie": cookie}
    assert ordering.ask("/orders", DRAIN, **here)[0] == 303
    assert override(etcd) == b'{"state":"drain"}'
    assert "www a: drain" in ordering.ask("/", Cookie=cookie)[1]
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    weight = {**DRAIN, "do": "weight", "weight": "7"}
    assert ordering.ask("/orders", weight, **bearer)[:2] == (200, "www a: weight 7\n")
    halt = {"do": "halt", "service": "web"}
    assert ordering.ask("/orders", halt, **bearer)[:2] == (200, "web: no turn begins\n")
    kept = [json.loads(one) for one in etcd.all("/pyconfd/fleets/edges/orders/").values()]
    assert [one["do"] for one in kept] == ["halt"]
    member = json.loads(etcd.get("/nginx/www/override/a/order") or b"")
    assert member["verb"] == "weight"
    assert {one["by"] for one in (*kept, member)} == {"alice"}
    begin = "127.0.0.1, by the console on "
    assert all(where.startswith(begin) for where in (kept[0]["where"], member["host"]))
    assert all(one["at"] for one in (*kept, member))
    wait_until(lambda: "weight a 7" in ordering.ask("/")[1], what="the order on the page")
    page = ordering.ask("/")[1]
    assert page.index("Last orders") < page.index("weight a 7")
    assert ordering.ask("/logout", {}, **here)[0] == 303
    assert ordering.ask("/orders", DRAIN, **here)[0] == 403


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"do": "drain", "service": "www", "member": "zz"}, "no such member is registered"),
        ({"do": "weight", "service": "www", "member": "a", "weight": "-1"}, "not a number"),
        ({"do": "pin", "service": "web", "revision": "9" * 9}, "has not come to it yet"),
        ({"do": "pin", "service": "web", "revision": ""}, "not a number"),
        ({"do": "resume", "service": "none"}, "nothing is halted"),
        ({"do": "skip", "service": "web"}, "is none that can be given here"),
        ({}, "names no service"),
    ],
    ids=["member", "weight", "future", "pin", "resume", "verb", "empty"],
)
def test_an_order_that_cannot_be_says_why(
    ordering: Browser, form: Mapping[str, str], words: str
) -> None:
    """And changes nothing."""
    status, text, _ = ordering.ask("/orders", form, Authorization=f"Bearer {TOKEN}")
    assert (status, words in text) == (409, True), text


def test_without_allow_orders_it_is_read_only(etcd: PrivateEtcd) -> None:
    """No button, no login, no order."""
    with running(etcd) as browser:
        text = wait_until(lambda: "10.0.0.1" in (it := browser.ask("/")[1]) and it, 20, "members")
        assert "read-only" in text
        assert "<button" not in text
        assert browser.ask("/login")[0] == 403
        bearer = f"Bearer {TOKEN}"
        assert browser.ask("/orders", DRAIN, Authorization=bearer)[0] == 403


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--allow-orders",), "--allow-orders: needs --token-file"),
        (("--token-file", "TOKENS"), "--token-file: needs --allow-orders"),
        (("--allow-orders", "--token-file", "/nowhere"), "No such file"),
        (("--allow-orders", "--token-file", "SHORT"), "a token of 16 characters or more"),
        (("--allow-orders", "--token-file", "OPEN"), "other users may read it"),
        (("--listen", "nonsense"), "no address to listen on"),
        (("--key-pattern", "nonsense"), "the key pattern does not begin with /"),
    ],
    ids=["no-file", "no-orders", "absent", "short", "readable", "listen", "pattern"],
)
def test_wrong_usage_is_one_line(
    etcd: PrivateEtcd, tmp_path: Path, more: tuple[str, ...], words: str
) -> None:
    """With what to do."""
    (tmp_path / "short").mkdir()
    (tmp_path / "open").mkdir()
    files = {
        "TOKENS": token_file(tmp_path),
        "SHORT": token_file(tmp_path / "short", "alice x\n"),
        "OPEN": token_file(tmp_path / "open"),
    }
    files["OPEN"].chmod(0o604)
    command = argv(etcd, *(str(files.get(word, word)) for word in more))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert words in done.stderr


def test_without_its_packages_it_says_what_to_install(etcd: PrivateEtcd, tmp_path: Path) -> None:
    """One line, and the daemon needs none of them."""
    (tmp_path / "starlette.py").write_text("raise ModuleNotFoundError('gone', name='starlette')\n")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(argv(etcd), capture_output=True, text=True, timeout=60, env=environ)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "pip install 'pyconfd-etcd[console]'" in done.stderr
