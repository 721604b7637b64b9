"""What happens in the demo, step by step. Each step has a deadline; a missed one ends it."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from pyconfd.cli.demo.load import Traffic, ask

if TYPE_CHECKING:
    from pyconfd.cli.demo.sandbox import Sandbox
    from pyconfd.cli.demo.timeline import Timeline

_T = TypeVar("_T")
DEADLINE_S = 20.0
# The lease of a killed backend may live this long: its TTL, and what etcd takes to notice.
LEASE_DEADLINE_S = 10.0
_CALM_S = 1.0


class Interrupted(Exception):
    """A signal asked for the end."""


class NotInTime(Exception):
    """A step did not happen within its deadline, or a request failed."""


def play(sandbox: Sandbox, timeline: Timeline) -> None:
    """Play the whole scenario."""
    _store_and_first_render(sandbox, timeline)
    traffic = _three_backends(sandbox, timeline)
    try:
        _one_dies(sandbox, timeline, traffic)
        _one_joins(sandbox, timeline, traffic)
        _bad_value(sandbox, timeline, traffic)
    finally:
        traffic.stop()
    timeline.chapter("Done")
    timeline.fact(f"{traffic.asked} requests through nginx, {len(traffic.failures)} failed")
    if traffic.failures:
        raise NotInTime(f"requests failed: {', '.join(traffic.failures[:5])}")


def _store_and_first_render(sandbox: Sandbox, timeline: Timeline) -> None:
    timeline.chapter("A private etcd, a private nginx, and the first render")
    began_s = time.monotonic()
    sandbox.start_etcd()
    _until(sandbox, lambda: _reachable(sandbox), "etcd answering")
    etcd = _version([sandbox.etcd, "--version"], r"etcd Version: (\S+)")
    timeline.fact(
        f"etcd {etcd} answers on 127.0.0.1:{sandbox.etcd_port}", time.monotonic() - began_s
    )
    sandbox.listen()
    sandbox.put("server_name", sandbox.site)
    sandbox.put("listen", f"127.0.0.1:{sandbox.nginx_port}")
    began_s = time.monotonic()
    sandbox.render_once()
    timeline.fact("first render: pyconfd --onetime wrote nginx.conf", time.monotonic() - began_s)
    began_s = time.monotonic()
    sandbox.start_nginx()
    _until(sandbox, lambda: ask(sandbox.nginx_port, sandbox.site)[0] == 503, "nginx answering 503")
    nginx = _version([sandbox.nginx, "-v"], r"nginx/(\S+)")
    timeline.fact(
        f"nginx {nginx} answers on 127.0.0.1:{sandbox.nginx_port}: 503, no backend is registered",
        time.monotonic() - began_s,
    )
    sandbox.follow()


def _three_backends(sandbox: Sandbox, timeline: Timeline) -> Traffic:
    timeline.chapter("Three backends publish themselves under leases of 2 s (pyconfd register)")
    began_s = time.monotonic()
    names = ["server01", "server02", "server03"]
    for name, port in zip(names, sandbox.backend_ports, strict=False):
        sandbox.register(name, port)
    _until(sandbox, lambda: _answering(sandbox) in names, "a registered backend answering")
    traffic = Traffic(sandbox.nginx_port, sandbox.site)
    traffic.start()
    _until(sandbox, lambda: len(traffic.first) == 3, "all three backends answering")
    timeline.fact("all three answer through nginx", max(traffic.first.values()) - began_s)
    for name, at_s in sorted(traffic.first.items()):
        timeline.fact(f"{name}, from its key to its first answer", at_s - _key_s(sandbox, name))
    # Workers of before the last reload know fewer backends, or none and say 503, until they go.
    calm_s = time.monotonic() + _CALM_S / 4
    _until(
        sandbox,
        lambda: time.monotonic() > calm_s and traffic.well_for_s() > _CALM_S / 4,
        "an end of answers from before",
    )
    traffic.reset_counts()
    return traffic


def _one_dies(sandbox: Sandbox, timeline: Timeline, traffic: Traffic) -> None:
    timeline.chapter("server02 dies (SIGKILL to it and to the process that registered it)")
    asked = traffic.asked
    killed_s = sandbox.kill("server02")
    gone = f"server 127.0.0.1:{sandbox.backend_ports[1]}"
    _until(
        sandbox, lambda: gone not in _live(sandbox), "server02 leaving nginx.conf", LEASE_DEADLINE_S
    )
    gone_s = _key_s(sandbox, "server02", killed_s)
    timeline.fact("its lease has ended and the key is gone", gone_s - killed_s)
    timeline.fact("nginx.conf is without it, from the end of the key", time.monotonic() - gone_s)
    _until(sandbox, lambda: time.monotonic() - gone_s > _CALM_S / 4, "a while of requests")
    timeline.fact(f"{traffic.asked - asked} requests meanwhile, {len(traffic.failures)} failed")


def _one_joins(sandbox: Sandbox, timeline: Timeline, traffic: Traffic) -> None:
    timeline.chapter("server04 joins")
    began_s = time.monotonic()
    sandbox.register("server04", sandbox.backend_ports[3])
    came_s = _until(sandbox, lambda: traffic.first.get("server04", 0.0), "server04 answering")
    timeline.fact("answers through nginx, from the start of its process", came_s - began_s)
    timeline.fact("answers through nginx, from its key", came_s - _key_s(sandbox, "server04"))


def _bad_value(sandbox: Sandbox, timeline: Timeline, traffic: Traffic) -> None:
    timeline.chapter("A bad value: upstream/server05 = 127.0.0.1:99999")
    before = _live(sandbox)
    asked = traffic.asked
    put_s = sandbox.put("upstream/server05", "127.0.0.1:99999")
    words = _until(sandbox, lambda: _refusal(sandbox), "nginx refusing the bad value")
    timeline.fact("refused; nginx says:", time.monotonic() - put_s)
    timeline.quote(words.replace(f"{sandbox.folder}/", ""))
    _until(sandbox, lambda: time.monotonic() - put_s > _CALM_S, "a while of requests")
    if _live(sandbox) != before:
        raise NotInTime("the refused value reached nginx.conf")
    timeline.fact(f"{traffic.asked - asked} requests answered from the last good nginx.conf")

    timeline.chapter("The value is corrected")
    port = sandbox.backend_ports[4]
    sandbox.backend("server05", port)
    _until(sandbox, lambda: ask(port, sandbox.site)[0] == 200, "server05 listening")
    put_s = sandbox.put("upstream/server05", f"127.0.0.1:{port}")
    came_s = _until(sandbox, lambda: traffic.first.get("server05", 0.0), "server05 answering")
    timeline.fact("server05 answers through nginx, from the put", came_s - put_s)


def _until(
    sandbox: Sandbox, condition: Callable[[], _T], what: str, deadline_s: float = DEADLINE_S
) -> _T:
    """The first truthy answer. Raises NotInTime after the deadline, or when a process has died."""
    end_s = time.monotonic() + deadline_s
    while not (result := condition()):
        if sandbox.asked_to_stop():
            raise Interrupted
        dead = sandbox.dead()
        if dead:
            raise NotInTime(f"{what}: {dead}")
        if time.monotonic() > end_s:
            raise NotInTime(f"not within {deadline_s:.0f} s: {what}\n{sandbox.end_of_log()}")
        time.sleep(0.001)
    return result


def _reachable(sandbox: Sandbox) -> bool:
    from pyconfd.backends.registry import open_source
    from pyconfd.errors import SourceUnavailable

    source = open_source("etcd", sandbox.options)
    try:
        source.list(["/nginx"], timeout_s=0.5)
    except SourceUnavailable:
        return False
    finally:
        source.close()
    return True


def _answering(sandbox: Sandbox) -> str:
    status, body = ask(sandbox.nginx_port, sandbox.site)
    return body if status == 200 else ""


def _key_s(sandbox: Sandbox, name: str, after_s: float = 0.0) -> float:
    """When a member's key last changed, as the demo's own watch saw it; not before `after_s`."""
    key = sandbox.key(f"upstream/{name}")

    def changed() -> bool:
        return sandbox.changed_s.get(key, 0.0) > after_s

    _until(sandbox, changed, f"the key of {name} changing")
    return sandbox.changed_s[key]


def _live(sandbox: Sandbox) -> str:
    with open(f"{sandbox.folder}/nginx.conf", encoding="utf-8") as file:
        return file.read()


def _refusal(sandbox: Sandbox) -> str:
    found = re.search(r"\[emerg\] (?:\d+#\d+: )?(.*)", sandbox.log("pyconfd"))
    return found.group(1) if found else ""


def _version(argv: list[str], pattern: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    found = re.search(pattern, done.stdout + done.stderr)
    return found.group(1) if found else ""
