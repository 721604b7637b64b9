"""
Probes of a member: http, https, tcp, grpc, exec, pid, and the machine's load and memory. Shell.

A probe passes, or fails with a reason, within its timeout; health.py counts the results.
Certificates are not verified: a probe finds out whether the member answers, not who it is.
"""

from __future__ import annotations

import os
import re
import time
from urllib.parse import urlsplit

from pyconfd.errors import RegistrationError
from pyconfd.model.command_line import refusal
from pyconfd.model.shell_words import CommandLine
from pyconfd.registration.declaration import Check
from pyconfd.system.connect import Address, connect, http_get, left_s
from pyconfd.system.proc import Runner

KINDS = ("http", "https", "tcp", "grpc", "exec", "pid", "load", "memory")
# The name a target uses for the member's own address.
ADDRESS = "{addr}"
# How a command gets it, and what stands for it while its shell words are taken apart.
_VARIABLE = "PYCONFD_ADDR"
_PLACEHOLDER = "{{ dest }}"

Answer = tuple[bool, str]


class Machine:
    """The load, memory and files of this machine. psutil is imported when first needed."""

    def load(self) -> float:
        """Runnable processes per processor over the last minute."""
        import psutil

        return float(psutil.getloadavg()[0]) / (os.cpu_count() or 1)

    def memory(self) -> float:
        """Share of the memory that is in use, 0 to 1."""
        import psutil

        return float(psutil.virtual_memory().percent) / 100

    def exists(self, path: str) -> bool:
        """Whether the path exists, as a file or anything else."""
        return os.path.lexists(path)


def parse_check(text: str) -> Check:
    """
    A check as an operator writes it: `http://host/path`, `http:/path`, `tcp`, `exec:COMMAND`, ...

    Without a host the member's own address is used; ` host=NAME` after a URL sets the Host header.
    Raises RegistrationError.
    """
    kind, _, rest = text.strip().partition(":")
    if kind not in KINDS:
        from pyconfd.config.options import did_you_mean

        hint = did_you_mean(kind, KINDS) or f"one of {', '.join(KINDS)}"
        raise RegistrationError(f"unknown kind of check {kind!r}", where=text, hint=hint)
    if kind in ("http", "https"):
        if not re.fullmatch(r"\S*( host=[\w.-]+)?", rest, re.ASCII):
            hint = "write http:/path, or http:/path host=www.example.com"
            raise RegistrationError("the check is not a URL", where=text, hint=hint)
        return Check(kind, _url(kind, rest))
    if kind in ("tcp", "grpc"):
        return Check(kind, rest.removeprefix("//") or ADDRESS)
    if kind in ("load", "memory"):
        _limit(text, rest)
    elif not rest:
        raise RegistrationError(f"the check has nothing after {kind}:", where=text)
    if kind == "exec" and ADDRESS in rest and (why := refusal(rest.replace(ADDRESS, _PLACEHOLDER))):
        hint = f'let the command read the variable {_VARIABLE}: "${_VARIABLE}"'
        raise RegistrationError(f"{ADDRESS} stands {why}", where=text, hint=hint)
    return Check(kind, rest)


def _url(kind: str, rest: str) -> str:
    target = rest if rest.startswith("//") else f"//{ADDRESS}/{rest.lstrip('/')}"
    if not target[2:].split("/", 1)[0]:
        target = f"//{ADDRESS}{target[2:]}"
    return f"{kind}:{target}"


def _limit(text: str, number: str) -> None:
    try:
        good = 0 < float(number) < 1e6
    except ValueError:
        good = False
    if not good:
        raise RegistrationError(f"{number!r} is not a limit above 0", where=text)


class Prober:
    """Runs one check; may be called from any thread."""

    def __init__(self, run: Runner, machine: Machine) -> None:
        self._run = run
        self._machine = machine

    def ask(self, check: Check, address: str, timeout_s: float) -> Answer:
        """Whether the member passes, and what was seen. Takes little longer than `timeout_s`."""
        target = check.target.replace(ADDRESS, _host_port(address))
        unix = address[5:] if address.startswith("unix:") and ADDRESS in check.target else ""
        name = _name(check.kind, target, unix)
        deadline = time.monotonic() + timeout_s
        try:
            if check.kind == "exec":
                passed, why = self._ask_command(check.target, address, timeout_s)
            else:
                passed, why = self._ask(check.kind, target, unix, deadline)
        except TimeoutError:
            passed, why = False, f"no answer within {timeout_s:g} s"
        except (OSError, ValueError) as error:
            passed, why = False, getattr(error, "strerror", None) or str(error)
        return passed, f"{name}: {why}"

    def _ask_command(self, text: str, address: str, timeout_s: float) -> Answer:
        """Run a command. It gets the address as a variable, so that no shell parses it."""
        line = CommandLine(text.replace(ADDRESS, _PLACEHOLDER), {"dest": _VARIABLE})
        report = self._run(line.text, timeout_s=timeout_s, env={_VARIABLE: _host_port(address)})
        return report.ok, report.reason

    def _ask(self, kind: str, target: str, unix: str, deadline: float) -> Answer:
        match kind:
            case "http" | "https":
                return _ask_http(target, unix, deadline)
            case "tcp":
                connect(Address(*_split(target, 0), unix), deadline).close()
                return True, "accepts connections"
            case "grpc":
                return _ask_grpc(target, unix, deadline)
            case "pid":
                return _ask_pid(target)
            case "load":
                return _below("load per processor", self._machine.load(), float(target))
            case _:
                return _below("memory in use", self._machine.memory() * 100, float(target))


def _name(kind: str, target: str, unix: str) -> str:
    """What was asked, for people."""
    if unix and kind == "tcp":
        return f"unix:{unix}"
    name = target if kind in ("http", "https") else f"{kind}:{target}"
    return f"{name} (unix:{unix})" if unix and kind != "exec" else name


def _below(what: str, value: float, limit: float) -> Answer:
    return value <= limit, f"{what} is {value:.3g}, the limit is {limit:g}"


def _host_port(address: str) -> str:
    return "localhost" if address.startswith("unix:") else address


def _split(target: str, default_port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{target}" if "//" not in target else target)
    port = parts.port or default_port
    if not parts.hostname or (not port and not target.startswith("localhost")):
        raise ValueError(f"{target} is not host:port")
    return parts.hostname, port


def _ask_http(url: str, unix: str, deadline: float) -> Answer:
    """
    Read only the status line, because a slow or endless body does not mean that the member is
    unhealthy. url: followed by ` host=NAME` if the Host header differs from its host.
    """
    url, _, site = url.partition(" host=")
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host, port = _split(parts.netloc, 443 if secure else 80)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    tls = (site or host) if secure else ""
    with connect(Address(host, port, unix, tls, verify=False), deadline) as stream:
        response = http_get(stream, path, site or parts.netloc, deadline, status_only=True)
    return 200 <= response.status < 400, f"answered {response.status}"


def _ask_grpc(target: str, unix: str, deadline: float) -> Answer:
    """The standard health service (grpc.health.v1); a path after the address names the service."""
    from pyconfd.backends.etcd.protobuf import load_grpc

    grpc = load_grpc()
    address, _, service = target.partition("/")
    name = service.encode()
    request = b"\x0a" + bytes([len(name)]) + name if name else b""
    with grpc.insecure_channel(f"unix:{unix}" if unix else address) as channel:
        call = channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            answer = call(request, timeout=left_s(deadline), wait_for_ready=False)
        except grpc.RpcError as error:
            return False, f"{error.code().name.lower()}: {error.details()}"
    serving = answer == b"\x08\x01"  # field 1, the status, is SERVING
    return serving, "serving" if serving else "not serving"


def _ask_pid(target: str) -> Answer:
    """target: a process id, or the path of a file that holds one."""
    import psutil

    if not target.isdigit():
        with open(target, encoding="ascii", errors="replace") as file:
            target = file.read(32).strip()
    try:
        status = psutil.Process(int(target)).status()
    except psutil.Error:
        return False, f"process {target} does not run"
    dead = status in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    return not dead, f"process {target} is {status}"
