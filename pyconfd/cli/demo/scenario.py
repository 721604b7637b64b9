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


def tell(stage: Sandbox, told: Timeline) -> None:
    """The whole story."""
    _store_and_first_render(stage, told)
    traffic = _three_backends(stage, told)
    try:
        _one_dies(stage, told, traffic)
        _one_joins(stage, told, traffic)
        _bad_value(stage, told, traffic)
    finally:
        traffic.stop()
    told.chapter("Done")
    told.fact(f"{traffic.asked} requests through nginx, {len(traffic.failures)} failed")
    if traffic.failures:
        raise NotInTime(f"requests failed: {', '.join(traffic.failures[:5])}")


def _store_and_first_render(stage: Sandbox, told: Timeline) -> None:
    told.chapter("A private etcd, a private nginx, and the first render")
    began_s = time.monotonic()
    stage.start_etcd()
    _until(stage, lambda: _reachable(stage), "etcd answering")
    etcd = _version([stage.etcd, "--version"], r"etcd Version: (\S+)")
    told.fact(f"etcd {etcd} answers on 127.0.0.1:{stage.etcd_port}", time.monotonic() - began_s)
    stage.listen()
    stage.put("server_name", stage.site)
    stage.put("listen", f"127.0.0.1:{stage.nginx_port}")
    began_s = time.monotonic()
    stage.render_once()
    told.fact("first render: pyconfd --onetime wrote nginx.conf", time.monotonic() - began_s)
    began_s = time.monotonic()
    stage.start_nginx()
    _until(stage, lambda: ask(stage.nginx_port, stage.site)[0] == 503, "nginx answering 503")
    nginx = _version([stage.nginx, "-v"], r"nginx/(\S+)")
    told.fact(
        f"nginx {nginx} answers on 127.0.0.1:{stage.nginx_port}: 503, no backend is registered",
        time.monotonic() - began_s,
    )
    stage.follow()


def _three_backends(stage: Sandbox, told: Timeline) -> Traffic:
    told.chapter("Three backends publish themselves under leases of 2 s (pyconfd register)")
    began_s = time.monotonic()
    names = ["server01", "server02", "server03"]
    for name, port in zip(names, stage.backend_ports, strict=False):
        stage.register(name, port)
    _until(stage, lambda: _answering(stage) in names, "a registered backend answering")
    traffic = Traffic(stage.nginx_port, stage.site)
    traffic.start()
    _until(stage, lambda: len(traffic.first) == 3, "all three backends answering")
    told.fact("all three answer through nginx", max(traffic.first.values()) - began_s)
    for name, at_s in sorted(traffic.first.items()):
        told.fact(f"{name}, from its key to its first answer", at_s - _key_s(stage, name))
    # Workers of before the last reload know fewer backends, or none and say 503, until they go.
    calm_s = time.monotonic() + _CALM_S / 4
    _until(
        stage,
        lambda: time.monotonic() > calm_s and traffic.well_for_s() > _CALM_S / 4,
        "an end of answers from before",
    )
    traffic.count_anew()
    return traffic


def _one_dies(stage: Sandbox, told: Timeline, traffic: Traffic) -> None:
    told.chapter("server02 dies (SIGKILL to it and to the process that registered it)")
    asked = traffic.asked
    killed_s = stage.kill("server02")
    gone = f"server 127.0.0.1:{stage.backend_ports[1]}"
    _until(stage, lambda: gone not in _live(stage), "server02 leaving nginx.conf", LEASE_DEADLINE_S)
    gone_s = _key_s(stage, "server02", killed_s)
    told.fact("its lease has ended and the key is gone", gone_s - killed_s)
    told.fact("nginx.conf is without it, from the end of the key", time.monotonic() - gone_s)
    _until(stage, lambda: time.monotonic() - gone_s > _CALM_S / 4, "a while of requests")
    told.fact(f"{traffic.asked - asked} requests meanwhile, {len(traffic.failures)} failed")


def _one_joins(stage: Sandbox, told: Timeline, traffic: Traffic) -> None:
    told.chapter("server04 joins")
    began_s = time.monotonic()
    stage.register("server04", stage.backend_ports[3])
    came_s = _until(stage, lambda: traffic.first.get("server04", 0.0), "server04 answering")
    told.fact("answers through nginx, from the start of its process", came_s - began_s)
    told.fact("answers through nginx, from its key", came_s - _key_s(stage, "server04"))


def _bad_value(stage: Sandbox, told: Timeline, traffic: Traffic) -> None:
    told.chapter("A bad value: somebody puts upstream/server05 = 127.0.0.1:99999")
    before = _live(stage)
    asked = traffic.asked
    put_s = stage.put("upstream/server05", "127.0.0.1:99999")
    words = _until(stage, lambda: _refusal(stage), "nginx refusing the bad value")
    told.fact("refused; nginx says:", time.monotonic() - put_s)
    told.said(words.replace(f"{stage.folder}/", ""))
    _until(stage, lambda: time.monotonic() - put_s > _CALM_S, "a while of requests")
    if _live(stage) != before:
        raise NotInTime("the refused value reached nginx.conf")
    told.fact(f"{traffic.asked - asked} requests answered from the last good nginx.conf")

    told.chapter("The value is corrected")
    port = stage.backend_ports[4]
    stage.backend("server05", port)
    _until(stage, lambda: ask(port, stage.site)[0] == 200, "server05 listening")
    put_s = stage.put("upstream/server05", f"127.0.0.1:{port}")
    came_s = _until(stage, lambda: traffic.first.get("server05", 0.0), "server05 answering")
    told.fact("server05 answers through nginx, from the put", came_s - put_s)


def _until(stage: Sandbox, true: Callable[[], _T], what: str, deadline_s: float = DEADLINE_S) -> _T:
    """The first truthy answer. Raises NotInTime after the deadline, or when a process has died."""
    end_s = time.monotonic() + deadline_s
    while not (answer := true()):
        if stage.asked_to_stop():
            raise Interrupted
        dead = stage.dead()
        if dead:
            raise NotInTime(f"{what}: {dead}")
        if time.monotonic() > end_s:
            log = stage.log("pyconfd")[-2000:] if what else ""
            raise NotInTime(
                f"not within {deadline_s:.0f} s: {what}\npyconfd's log ends with:\n{log}"
            )
        time.sleep(0.001)
    return answer


def _reachable(stage: Sandbox) -> bool:
    from pyconfd.backends.registry import open_source
    from pyconfd.errors import SourceUnavailable

    source = open_source("etcd", stage.options)
    try:
        source.list(["/nginx"], timeout_s=0.5)
    except SourceUnavailable:
        return False
    finally:
        source.close()
    return True


def _answering(stage: Sandbox) -> str:
    status, body = ask(stage.nginx_port, stage.site)
    return body if status == 200 else ""


def _key_s(stage: Sandbox, name: str, after_s: float = 0.0) -> float:
    """When a member's key changed last, as a watch of our own saw it; not before `after_s`."""
    key = stage.key(f"upstream/{name}")

    def changed() -> bool:
        return stage.changed_s.get(key, 0.0) > after_s

    _until(stage, changed, f"the key of {name} changing")
    return stage.changed_s[key]


def _live(stage: Sandbox) -> str:
    with open(f"{stage.folder}/nginx.conf", encoding="utf-8") as file:
        return file.read()


def _refusal(stage: Sandbox) -> str:
    found = re.search(r"\[emerg\] (?:\d+#\d+: )?(.*)", stage.log("pyconfd"))
    return found.group(1) if found else ""


def _version(argv: list[str], pattern: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    found = re.search(pattern, done.stdout + done.stderr)
    return found.group(1) if found else ""
