"""
From an address as written to the `host:port` that others can reach. Shell; psutil when needed.

    host:port        unchanged; 0.0.0.0 and other hosts that cannot be connected to are refused
    :port            this machine's address on the route to the store, or of an interface; on the
                     default route when the store is on this machine
    unix:/path       as it is
    pid:N            the port that process N listens on
    port:auto        the port that the started command, or one of its children, listens on
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pyconfd.errors import RegistrationError
from pyconfd.registration.reach import Reach, is_here, reach

_ANY = ("0.0.0.0", "::", "")  # noqa: S104 - recognised, never bound


class NotYet(RegistrationError):
    """The address is not known yet, but may be soon: no route or no listener so far."""


@dataclass(frozen=True, slots=True)
class Written:
    """
    An address as the operator wrote it, taken apart.

    kind: host, port, unix, pid or auto
    host: also the path of a UNIX socket
    port: 0 when it has yet to be found
    pid: of the process whose port is published
    """

    kind: str
    host: str = ""
    port: int = 0
    pid: int = 0


def parse_address(text: str) -> Written:
    """Parse an address. Raises a RegistrationError that shows the valid forms."""
    if text.startswith("unix:"):
        if not text.startswith("unix:/"):
            raise _wrong(text, "a UNIX socket needs an absolute path")
        return Written("unix", host=text[5:])
    if text == "port:auto":
        return Written("auto")
    if text.startswith("pid:"):
        if not text[4:].isdigit():
            raise _wrong(text, "pid: takes a process id")
        return Written("pid", pid=int(text[4:]))
    return _host_and_port(text)


def _host_and_port(text: str) -> Written:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise _wrong(text, "no port between 1 and 65535")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise _wrong(text, f"an IPv6 address goes in brackets: [{host}]:{port}")
    if any(letter.isspace() or letter in "/{}\"'" for letter in host):
        raise _wrong(text, "the host holds a character that no host has")
    if why := _UNUSABLE.get(reach(host)):
        raise RegistrationError(
            f"{text!r} {why}",
            where="address",
            hint=f"write :{port}, which publishes this machine's own address",
        )
    return Written("host" if host else "port", host=host, port=int(port))


#: Why a host cannot be published.
_UNUSABLE = {
    Reach.EVERY_ADDRESS: "is where a program listens, not where others reach it",
    Reach.ONE_LINK: "is a link-local address, which others cannot reach",
    Reach.SEVERAL: "is the address of several machines",
}


def local_only(written: Written, nodes: Sequence[str]) -> RegistrationError | None:
    """
    Why an address must not be published, because others would connect to themselves; None if it
    may.
    nodes: of the store; when it is on this machine too, everything may be here.
    """
    if written.kind != "host" or reach(written.host) is not Reach.THIS_MACHINE or is_here(nodes):
        return None
    return RegistrationError(
        f"{join(written.host, written.port)!r} can be reached from this machine only",
        where="address",
        hint=f"write :{written.port}, or :{written.port} --interface lo if that is intended",
    )


def note(written: Written, published: str, nodes: Sequence[str], interface: str) -> str:
    """A note about the published address for the log; "" for none."""
    if written.kind == "unix" or interface or not is_here(nodes):
        return ""
    if reach(published.rpartition(":")[0].strip("[]")) is Reach.THIS_MACHINE:
        return f"{published} can be reached from this machine only"
    if written.kind == "port":
        return (
            f"publishing {published}, this machine's address on its default route, because etcd is"
            " on this machine; --interface chooses another"
        )
    return ""


def _wrong(text: str, why: str) -> RegistrationError:
    return RegistrationError(
        f"{text!r} is not an address: {why}",
        where="address",
        hint="host:port, :port, unix:/path, pid:N or port:auto",
    )


def join(host: str, port: int) -> str:
    """`host:port`, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def resolve(written: Written, *, nodes: Sequence[str], interface: str = "", child: int = 0) -> str:
    """
    The address to publish. nodes: of the store, `host:port` or URLs. child: pid of the started
    command, 0 for none. Raises NotYet when it may be known later.
    """
    match written.kind:
        case "host":
            return join(written.host, written.port)
        case "unix":
            return f"unix:{written.host}"
        case "port":
            return join(_own_host(nodes, interface), written.port)
    pid = written.pid or child
    if not pid:
        raise RegistrationError(
            "port:auto needs a command", where="address", hint="... port:auto -- COMMAND"
        )
    host, port = _listening(pid)
    if reach(host) is Reach.THIS_MACHINE and not interface and not is_here(nodes):
        raise NotYet(
            f"process {pid} listens on {join(host, port)}, which can be reached from this machine"
            " only",
            where="address",
            hint=f"let it listen on 0.0.0.0, or publish :{port} --interface lo",
        )
    return join(_own_host(nodes, interface) if host in _ANY else host, port)


def taken_by(address: str) -> str:
    """
    The process that already listens on an address of this machine, in words; "" for none, or for an
    address of another machine.

    Another machine may answer at an address that this one does not have, such as a shared address.
    """
    host, _, port = address.rpartition(":")
    target = (host.strip("[]"), int(port))
    try:
        family = socket.getaddrinfo(*target, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as own:
            own.bind((target[0], 0))
        socket.create_connection(target, timeout=0.5).close()
    except OSError:
        return ""
    return _listener(target[1]) or "a process that cannot be seen from here"


def _listener(port: int) -> str:
    import psutil

    try:
        found: list[Any] = [each for each in psutil.net_connections("tcp") if each.laddr]
        for each in found:
            if each.status == psutil.CONN_LISTEN and each.laddr.port == port and each.pid:
                return f"process {each.pid} ({psutil.Process(each.pid).name()})"
    except psutil.Error:  # other users' sockets are theirs to see
        pass
    return ""


def _own_host(nodes: Sequence[str], interface: str) -> str:
    return _interface_host(interface) if interface else _route_host(nodes)


def _route_host(nodes: Sequence[str]) -> str:
    """
    This machine's address as the store sees it; the one on the default route when the store is
    here.
    """
    why = ""
    for node in nodes or ("127.0.0.1:2379",):
        host, port = _node(node)
        try:
            found = _source_address(host, port)
        except OSError as error:
            why = f"there is no route to the store: {node}: {error.strerror or error}"
            continue
        if reach(found) is Reach.OTHERS:
            return found
        why = "the store is on this machine, and there is no default route"
        for far in _FAR_AWAY:
            with suppress(OSError):
                if reach(found := _source_address(far, 53)) is Reach.OTHERS:
                    return found
    raise NotYet(
        f"this machine's own address is not known: {why}",
        where="address",
        hint="write host:port, or --interface",
    )


#: a.root-servers.net: behind the default route of every machine.
_FAR_AWAY = ("198.41.0.4", "2001:503:ba3e::2:30")


def _source_address(host: str, port: int) -> str:
    """
    This machine's address on the route to a host. Nothing is sent: the kernel only chooses the
    route.
    """
    family, kind, protocol, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.connect(target)
        return str(probe.getsockname()[0])


def _node(node: str) -> tuple[str, int]:
    bare = node.partition("://")[2] or node
    host, _, port = bare.rstrip("/").rpartition(":")
    if not host or not port.isdigit():
        host, port = bare.rstrip("/"), "2379"
    return host.strip("[]"), int(port)


def _interface_host(interface: str) -> str:
    import psutil

    found: dict[str, list[Any]] = psutil.net_if_addrs()
    if interface not in found:
        from pyconfd.config.options import did_you_mean

        hint = did_you_mean(interface, found) or f"there are {', '.join(sorted(found))}"
        raise NotYet(f"no interface {interface}", where="address", hint=hint)
    for family in (socket.AF_INET, socket.AF_INET6):
        for each in found[interface]:
            if each.family == family and not str(each.address).startswith("fe80:"):
                return str(each.address).partition("%")[0]
    raise NotYet(f"the interface {interface} has no address", where="address")


def _listening(pid: int) -> tuple[str, int]:
    """The address at which a process or one of its descendants listens; all must use one port."""
    import psutil

    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        raise NotYet(f"process {pid} does not run", where="address") from None
    found = sorted(set(_sockets(family)))
    ports = {port for _, port in found}
    if not ports:
        raise NotYet(f"process {pid} listens on no TCP port yet", where="address")
    if len(ports) > 1:
        listed = ", ".join(str(port) for port in sorted(ports))
        raise NotYet(
            f"process {pid} listens on several ports: {listed}",
            where="address",
            hint="say which: :port",
        )
    return found[0]


def _sockets(family: Iterable[Any]) -> Iterable[tuple[str, int]]:
    import psutil

    for process in family:
        try:
            ask = getattr(process, "net_connections", None) or process.connections
            sockets = ask(kind="tcp")
        except psutil.Error:
            continue
        for each in sockets:
            if each.status == psutil.CONN_LISTEN:
                yield str(each.laddr.ip), int(each.laddr.port)
