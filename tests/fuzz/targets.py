"""
What takes bytes of others, each with the bytes to try and what may come out. A target returns for
every input, or raises one of the errors that its callers expect; anything else is a fault.
"""

from __future__ import annotations

import functools
import os
import socket
import struct
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from pyconfd.apply.expansion import expand
from pyconfd.backends.etcd.batches import Fenced, Single
from pyconfd.backends.etcd.listing import Span, decode, encode, key_values
from pyconfd.backends.etcd.protobuf import message
from pyconfd.backends.file_formats import read_tree
from pyconfd.config.resources import load_resources
from pyconfd.config.settings import load_settings
from pyconfd.errors import ConfigError, RenderError, SourceRefused
from pyconfd.fleet.records import decoded
from pyconfd.model.keys import Changed, KeyValue, Listed, PrefixFilter
from pyconfd.model.resources import Origin, Resource
from pyconfd.model.safe_text import escaped
from pyconfd.observe.http import HttpResponse, Listener
from pyconfd.pipeline.render.formats import format_names
from pyconfd.pipeline.render.renderer import Renderer
from pyconfd.pipeline.store import Store
from pyconfd.registration.declaration import address_of
from pyconfd.registration.notify import dialects
from pyconfd.registration.notify.states import parse_line
from pyconfd.registration.overrides import parse_override
from pyconfd.system import dns
from pyconfd.system.connect import http_get

#: Name -> what to try, what takes it.
TARGETS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], None]]] = {}
Target = Callable[[Any], None]


def target(strategy: st.SearchStrategy[Any]) -> Callable[[Target], Target]:
    """A function of one input, under its name."""

    def add(function: Target) -> Target:
        TARGETS[function.__name__] = (strategy, function)
        return function

    return add


def of(*pieces: bytes, most: int = 30) -> st.SearchStrategy[bytes]:
    """Bytes put together from pieces that mean something, and from any."""
    some = st.sampled_from(pieces) | st.binary(max_size=6)
    many = st.tuples(st.sampled_from(pieces), st.integers(1, 3000)).map(
        lambda pair: pair[0] * pair[1]
    )
    return st.lists(some | many if most > 9 else some, max_size=most).map(b"".join)


HOSTILE = of(
    b";",
    b"{",
    b"}",
    b"'",
    b'"',
    b"$",
    b"#",
    b"\\",
    b"\n",
    b"\r",
    b"\0",
    b"\x1b[2J",
    b"\xff",
    b"|",
    b"%{",
    b"${",
    b"<",
    b">",
    b"../",
    b"/",
    b"`",
    b"$(",
    b"\xe2\x80\xae",
    b"\xc2\x85",
    b" ",
    b"a",
    b"include /etc/passwd",
    b"10.0.0.1:80",
    b"{{",
    b"{%",
)
NAMES = of(b"/", b"..", b".", b"a", b"\xff", b"\n", b"\x1b", b"*", b"[", b"\\", b" ", b"-", b"$(x)")


def resource(**fields: Any) -> Resource:
    """One that reads all keys."""
    plain = {"name": "r", "origin": Origin("r.toml"), "src": "t", "dest": "/none", "keys": ("/",)}
    return Resource(**{**plain, **fields})


@functools.cache
def renderer() -> Renderer:
    """Its template prints a value in three ways."""
    folder = tempfile.mkdtemp()
    text = "{% for k, v in gets('/*') %}a {{ v }} '{{ v | quoted }}' {{ v | words }}\n{% endfor %}"
    Path(folder, "t").write_text(text)
    return Renderer(folder, {})


@target(HOSTILE)
def values_into_formats(value: bytes) -> None:
    """A value is refused or printed, in every format."""
    store = Store()
    store.apply(Listed("x", 1, 5, (KeyValue("/v", value, 5),)))
    for name in format_names():
        with suppress(RenderError):
            renderer().render(resource(format=name), store.snapshot())


@target(NAMES)
def names_into_paths(name: bytes) -> None:
    """A file stays in its folder, and its name is printable."""
    key = decode(b"/each/" + name)
    store = Store()
    store.apply(Listed("x", 1, 5, (KeyValue(key, b"v", 5), KeyValue("/each/b", b"v", 5))))
    pattern = resource(each="/each", dest="/out/{name}.conf", keys=("/each",), each_names="any")
    for one in expand(pattern, store.snapshot()).resources:
        assert os.path.normpath(one.dest) == one.dest
        assert os.path.dirname(one.dest) == "/out"
        assert one.dest.isprintable()


@target(
    st.tuples(
        st.sampled_from(["f.json", "f.toml", "f.yaml"]),
        of(
            b"{",
            b"}",
            b"[",
            b"]",
            b":",
            b",",
            b'"',
            b"'",
            b"a",
            b"1",
            b"\n",
            b" ",
            b"- ",
            b"? ",
            b"&a ",
            b"*a",
            b"<<: ",
            b"=",
            b".",
            b"[[",
            b"]]",
            b"!!python/object:os.system ",
            b"1e999",
            b"nan",
            b"|\n",
            b"\xff",
            b"\xef\xbb\xbf",
            b"\\ud800",
            b"0x",
            b"1979-05-27",
            b"true",
            b"null",
            b"%YAML 9.9\n",
        ),
    )
)
def tree_files(given: tuple[str, bytes]) -> None:
    """Keys that are text, or a fault with the file."""
    with suppress(SourceRefused):
        for key in read_tree(*given):
            assert key.startswith("/")
            key.encode()


@target(
    of(
        b"[template]\n",
        b"[[template]]\n",
        b"[service.x]\n",
        b"[group.g]\n",
        b'src = "t"\n',
        b"keys = [",
        b'"/a"',
        b"]\n",
        b'dest = "/tmp/x"\n',
        b"each = ",
        b"mode = ",
        b'"0644"\n',
        b"check_cmd = ",
        b'"""',
        b"{{ src }}",
        b"'",
        b"$(",
        b"\n",
        b"=",
        b"1",
        b"render_timeout = ",
        b"-1\n",
        b"\xff",
        b"\0",
        b"inf\n",
    )
)
def resource_files(raw: bytes) -> None:
    """Resources, or faults that say where."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("conf.d", "templates"):
            Path(folder, name).mkdir()
        Path(folder, "templates", "t").touch()
        Path(folder, "conf.d", "r.toml").write_bytes(raw)
        try:
            found = load_resources(folder, load_settings([], {}))
        except ConfigError as error:
            assert str(error)
        else:
            assert all(str(fault) for fault in found.faults)


EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.integers(0, 1),
            "kv": st.fixed_dictionaries(
                {
                    "key": NAMES.map(lambda name: b"/" + name) | NAMES,
                    "value": st.binary(max_size=8),
                    "mod_revision": st.integers(-(2**63), 2**63 - 1) | st.integers(0, 20),
                    "lease": st.integers(-(2**63), 2**63 - 1),
                }
            ),
        }
    ),
    min_size=1,
    max_size=8,
)


@target(st.tuples(EVENTS, st.integers(0, 30)))
def stream_messages(given: tuple[list[dict[str, Any]], int]) -> None:
    """What a store may say of its keys, however odd, is taken in."""
    events, fence = given
    response = message("WatchResponse")(events=events)
    store = Store()
    store.apply(
        Listed("x", 1, 1, tuple(key_values(Span("/"), [each.kv for each in response.events])))
    )
    wanted = PrefixFilter(["/a", "/"])
    fenced = Fenced(wanted)
    fenced.take(response)
    for batch in (Single(wanted).take(response), fenced.fenced(fence), fenced.release()):
        if batch:
            store.apply(Changed("x", batch.revision, batch.changes))
    for item in store.snapshot().subtree():
        assert decode(encode(item.key)) == item.key


@target(st.binary(max_size=200))
def raw_messages(raw: bytes) -> None:
    """Bytes that are no message are an error of the parser, and of nothing behind it."""
    for name in ("WatchResponse", "RangeResponse", "TxnResponse", "MemberListResponse"):
        with suppress(Exception):  # the parser's own
            message(name).FromString(raw)


REQUESTS = of(
    b"GET ",
    b"/a",
    b" HTTP/1.1\r\n",
    b"HTTP/9",
    b"Host: x\r\n",
    b"Content-Length: ",
    b"-1",
    b"\r\n",
    b"\n",
    b"\r\n\r\n",
    b"POST ",
    b"Transfer-Encoding: chunked\r\n",
    b": ",
    b"A",
    b"\0",
    b"\xff",
    b"?",
)


@functools.cache
def listener() -> Listener:
    """One for all inputs."""
    return Listener("127.0.0.1", 0, {"/a": lambda: HttpResponse(200, "x/y", b"hello")}).__enter__()


@target(REQUESTS)
def http_requests(raw: bytes) -> None:
    """Whatever a client sends, the next one is answered."""
    for request in (raw, b"GET /a HTTP/1.0\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", listener().port), 20) as client:
            with suppress(OSError):  # it may hang up in the middle
                client.sendall(request)
                client.shutdown(socket.SHUT_WR)
            answer = b""
            with suppress(ConnectionError):
                while part := client.recv(65536):
                    answer += part
    assert answer.endswith(b"hello")


class Peer:
    """A socket that answers with these bytes, some at a time."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def settimeout(self, _: float) -> None:
        """As of a socket."""

    def sendall(self, _: bytes) -> None:
        """As of a socket."""

    def recv(self, size: int) -> bytes:
        """As of a socket."""
        part, self._raw = self._raw[: min(size, 700)], self._raw[min(size, 700) :]
        return part


@target(
    of(
        b"HTTP/1.1 ",
        b"200",
        b" OK",
        b"\r\n",
        b"\n",
        b"\r\n\r\n",
        b"Content-Length: ",
        b"5",
        b"-2",
        b"ff",
        b"Transfer-Encoding: chunked\r\n",
        b"0\r\n\r\n",
        b";",
        b":",
        b"\xb2",
        b"\0",
        b"99999999999999999999",
    ).map(lambda raw: b"HTTP/1.1 200 OK\r\n" + raw)
    | HOSTILE
)
def http_answers(raw: bytes) -> None:
    """An answer, or that it is not HTTP; never more than was asked for."""
    with suppress(ValueError, OSError):
        found = http_get(Peer(raw), "/", "x", time.monotonic() + 60, most_body=5000)
        assert len(found.body) <= len(raw)


QUESTION = dns._question("a.example")


@target(
    of(b"\xc0\x0c", b"\0", b"\0\x21", b"\x01a", b"\xff", b"\x3f", b"\0\x06", b"\xc0\x00", most=40)
)
def dns_answers(raw: bytes) -> None:
    """Records, or one of the errors that are a server's fault."""
    header = QUESTION[:2] + struct.pack(">HHHHH", 0x8180, 1, 3, 0, 0)
    for answer in (raw, header + QUESTION[12:] + raw):
        with suppress(OSError, struct.error, IndexError, ValueError):
            dns._parse(answer, QUESTION)


@target(
    of(b"INSTANCE", b'"', b"VI_1", b" ", b"MASTER", b"100", b"9" * 5000, b"\n", b"\xff", b"GROUP")
)
def state_lines(raw: bytes) -> None:
    """A line of a daemon's pipe is about a part or not."""
    for name in dialects.daemons():
        parse_line(raw.decode(errors="replace"), dialects.load(name))


@target(
    of(
        b'{"state":',
        b'{"addr":',
        b'"drain"',
        b"}",
        b',"weight":',
        b"1",
        b"9" * 5000,
        b"[",
        b"]",
        b"null",
        b"\xff",
    )
)
def json_values(raw: bytes) -> None:
    """What cannot be read sets nothing: overrides, addresses, the records of a fleet."""
    parse_override(raw)
    address_of(raw)
    decoded(raw)


@target(HOSTILE)
def printed_texts(raw: bytes) -> None:
    """No control character leaves the process."""
    text = escaped(raw.decode(errors="surrogateescape"))
    assert text.isprintable()
    text.encode()
