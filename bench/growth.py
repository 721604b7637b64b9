"""
Growth: what a piece of work costs at sizes x1, x2, x4 and x8, and with which power of it.

Cost is CPU time by the operating system's account: of a run, `wait4`; of a daemon, the scheduler's
nanoseconds of its threads, and the ticks of the children that it has waited for. The exponent is
the slope of log(cost) over log(size) between the last two sizes: 0 costs the same at any size, 1
grows with it, 2 with its square.

    python -m bench.growth [--only ROW]... [--sizes N,N,N,N] [--svg FILE] [--json FILE]
"""

from __future__ import annotations

import argparse
import functools
import glob
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from bench.growth_curve import svg
from bench.installed import PROGRAM
from bench.measure import run
from bench.store import private_etcd
from tests.support.daemons.etcd import PrivateEtcd

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PREFIX = "/growth"


@dataclass(frozen=True, slots=True)
class Cost:
    """own_s: CPU seconds of pyconfd; children_s: of the commands it ran."""

    own_s: float
    children_s: float = 0.0


@dataclass(frozen=True, slots=True)
class World:
    """A store of our own and a folder."""

    etcd: PrivateEtcd
    folder: str

    def confdir(self, tables: str, templates: dict[str, str]) -> str:
        """A fresh one with this conf.d."""
        confdir = os.path.join(self.folder, "confdir")
        shutil.rmtree(confdir, ignore_errors=True)
        for name in ("conf.d", "templates", "out"):
            os.makedirs(os.path.join(confdir, name))
        _write(os.path.join(confdir, "conf.d", "all.toml"), tables.replace("CONFDIR", confdir))
        for name, text in templates.items():
            _write(os.path.join(confdir, "templates", name), text)
        return confdir

    def fill(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Exactly these keys, below the prefix."""
        self.etcd.delete(_PREFIX, prefix=True)
        self.etcd.put_many([(_PREFIX + key, value) for key, value in pairs])

    def put(self, key: str, value: str) -> None:
        """One key below the prefix."""
        self.etcd.put(_PREFIX + key, value)

    def argv(self, confdir: str, mode: str) -> list[str]:
        """The command line of a run."""
        options = ["--state-dir", os.path.join(confdir, "state"), "--log-level", "error"]
        words = [PROGRAM, f"--{mode}", "--confdir", confdir]
        return [*words, "--node", self.etcd.endpoint, *options]

    @contextmanager
    def daemon(self, confdir: str, ready: Callable[[], bool], *more: str) -> Iterator[Watched]:
        """A daemon that is up and at rest. more: further options."""
        log = os.path.join(confdir, "log")
        argv = [*self.argv(confdir, "watch"), *more]
        with open(log, "wb") as file:
            process = subprocess.Popen(argv, stdout=file, stderr=file)
        watched = Watched(process, log)
        try:
            watched.wait(ready)
            watched.rest()
            yield watched
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Watched:
    """A running daemon."""

    def __init__(self, process: subprocess.Popen[bytes], log: str) -> None:
        self._process = process
        self._log = log

    def cost(self) -> Cost:
        """Used until now."""
        own = 0
        for path in glob.glob(f"/proc/{self._process.pid}/task/*/schedstat"):
            with open(path, encoding="ascii") as file:
                own += int(file.read().split()[0])
        with open(f"/proc/{self._process.pid}/stat", encoding="ascii") as file:
            ticks = file.read().rpartition(")")[2].split()[13:15]
        return Cost(own / 1e9, sum(map(int, ticks)) * _TICK_S)

    def since(self, before: Cost, times: int = 1) -> Cost:
        """Used since then, for each of so many."""
        now = self.cost()
        return Cost(
            (now.own_s - before.own_s) / times, (now.children_s - before.children_s) / times
        )

    def wait(self, ready: Callable[[], bool], timeout_s: float = 120.0) -> None:
        """Until something is so. RuntimeError with the log when it does not come."""
        end_s = time.monotonic() + timeout_s
        while not ready():
            if self._process.poll() is not None or time.monotonic() > end_s:
                with open(self._log, errors="replace") as file:
                    raise RuntimeError(file.read()[-2000:])
            time.sleep(0.003)

    def rest(self) -> None:
        """Until it uses next to no CPU."""
        for _ in range(600):
            before = self.cost()
            time.sleep(0.3)
            if self.since(before).own_s < 0.004:
                return

    def signal(self, number: int) -> None:
        """As kill(1)."""
        self._process.send_signal(number)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _holds(path: str, text: str) -> bool:
    try:
        with open(path, encoding="utf-8") as file:
            return text in file.read()
    except FileNotFoundError:
        return False


def _count(folder: str) -> int:
    return sum(1 for name in os.listdir(folder) if name[0] != ".")


# Work: each takes a world and a size, and gives what it cost.

_GETS = '{% for key, value in gets("/*") %}\n{{ key }}={{ value }}\n{% endfor %}\n'
_EACH = (
    '{% for key, value in gets("/sites/" ~ name ~ "/*") %}\n{{ key }}={{ value }}\n{% endfor %}\n'
)
_SITE = """server {
  listen 127.0.0.1:18999;
  server_name {{ name }}.{{ getv('/sites/' ~ name ~ '/key0') }};
}
"""


def _table(**fields: object) -> str:
    return "[[template]]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in fields.items())


def _declared(size: int, **more: object) -> str:
    return "".join(
        _table(
            src="keys", dest=f"CONFDIR/out/{n}", prefix=f"{_PREFIX}/sites/{n}", keys=["/"], **more
        )
        for n in range(size)
    )


def _pattern(**more: object) -> str:
    fields = {"dest": "CONFDIR/out/{name}", "prefix": _PREFIX, "keys": ["/sites"], **more}
    return _table(src="keys", each="/sites", **fields)


def _sites(size: int) -> list[tuple[str, str]]:
    return [(f"/sites/{n}/key{k}", f"value-{n}-{k}") for n in range(size) for k in range(3)]


def one_shot(world: World, size: int) -> Cost:
    """One-shot: so many files of one service, three keys each."""
    return _one_shot(world, size, _declared(size, reload_cmd="true"))


def one_shot_each(world: World, size: int) -> Cost:
    """One-shot: one `each` resource with so many names."""
    return _one_shot(world, size, _pattern(reload_cmd="true"))


def _one_shot(world: World, size: int, tables: str) -> Cost:
    world.fill(_sites(size))
    confdir = world.confdir(tables, {"keys": _EACH if "each" in tables else _GETS})
    done = run(world.argv(confdir, "onetime"), world.folder)
    assert _count(os.path.join(confdir, "out")) == size
    return Cost(done.cpu_s)


def each_change(world: World, size: int) -> Cost:
    """Watch: one name's key of an `each` resource with so many names."""
    world.fill(_sites(size))
    confdir = world.confdir(_pattern(), {"keys": _EACH})
    return _changes(world, confdir, size)


def each_change_nginx(world: World, size: int) -> Cost:
    """Watch: one name's key of an `each` resource with check = "nginx", a server for each name."""
    world.fill(_sites(size))
    confdir = _in_nginx(world)
    with _nginx(confdir):
        return _changes(world, confdir, size, times=5)


def _in_nginx(world: World) -> str:
    tables = _pattern(
        dest="CONFDIR/out/{name}.conf",
        check="nginx",
        nginx_conf="CONFDIR/nginx.conf",
        reload_cmd="nginx -s reload -c CONFDIR/nginx.conf",
    )
    confdir = world.confdir(tables, {"keys": ""})
    _write(os.path.join(confdir, "templates", "keys"), _SITE.replace("CONFDIR", confdir))
    conf = f"pid {confdir}/pid;\nerror_log {confdir}/error.log;\nevents {{}}\n"
    conf += "http {\n  access_log off;\n  server_names_hash_max_size 65536;\n"
    conf += f"  server_names_hash_bucket_size 256;\n  include {confdir}/out/*.conf;\n}}\n"
    _write(os.path.join(confdir, "nginx.conf"), conf)
    return confdir


@contextmanager
def _nginx(confdir: str) -> Iterator[None]:
    """An nginx of our own with that configuration."""
    argv = ["nginx", "-c", os.path.join(confdir, "nginx.conf"), "-g", "daemon off;"]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as process:
        try:
            while not os.path.exists(os.path.join(confdir, "pid")):
                time.sleep(0.01)
            yield
        finally:
            process.terminate()


def nginx_alone(world: World, size: int) -> Cost:
    """`nginx -t` of that tree, for comparison."""
    world.fill(_sites(size))
    confdir = _in_nginx(world)
    for n in range(size):
        text = _SITE.replace("{{ name }}", str(n)).replace("{{", "").replace("}}", "")
        _write(os.path.join(confdir, "out", f"{n}.conf"), re.sub(r" getv.*?;", "x;", text))
    done = run(["nginx", "-t", "-c", os.path.join(confdir, "nginx.conf")], world.folder)
    return Cost(done.cpu_s)


def first_start(world: World, size: int) -> Cost:
    """Watch: the first start, one `each` resource with so many names and a reload."""
    world.fill(_sites(size))
    confdir = world.confdir(_pattern(reload_cmd="true"), {"keys": _EACH})
    with world.daemon(confdir, _all_there(confdir, size)) as daemon:
        return daemon.cost()


def first_start_nginx(world: World, size: int) -> Cost:
    """Watch: the first start with check = "nginx", a server for each name."""
    world.fill(_sites(size))
    confdir = _in_nginx(world)
    with _nginx(confdir), world.daemon(confdir, _all_there(confdir, size)) as daemon:
        return daemon.cost()


def restart(world: World, size: int) -> Cost:
    """Watch: a start with nothing to change, so many resources without a service."""
    world.fill(_sites(size))
    confdir = world.confdir(_declared(size), {"keys": _GETS})
    run(world.argv(confdir, "onetime"), world.folder)
    with world.daemon(confdir, _all_there(confdir, size)) as daemon:
        return daemon.cost()


def sighup(world: World, size: int) -> Cost:
    """Watch: SIGHUP with nothing to change, so many resources of one service."""
    world.fill(_sites(size))
    confdir = world.confdir(_declared(size, reload_cmd="true"), {"keys": _GETS})
    with world.daemon(confdir, _all_there(confdir, size)) as daemon:
        before = daemon.cost()
        daemon.signal(signal.SIGHUP)
        time.sleep(0.2)
        daemon.rest()
        return daemon.since(before)


def tree_deleted(world: World, size: int) -> Cost:
    """Watch: a tree of so many names of an `each` resource is deleted."""
    world.fill([*_sites(size), ("/sites/stays/key0", "1")])
    tables = _pattern(reload_cmd="true").replace("/sites/", "/sites/")
    confdir = world.confdir(tables, {"keys": _EACH})
    out = os.path.join(confdir, "out")
    with world.daemon(confdir, _all_there(confdir, size + 1)) as daemon:
        before = daemon.cost()
        for digit in "0123456789":
            world.etcd.delete(f"{_PREFIX}/sites/{digit}", prefix=True)
        daemon.wait(lambda: _count(out) == 1)
        daemon.rest()
        return daemon.since(before)


def wiped(world: World, size: int) -> Cost:
    """Watch: so many files of one service; their keys go, are held back, and return."""
    world.fill(_sites(size))
    confdir = world.confdir(_declared(size, reload_cmd="true"), {"keys": _GETS})
    with world.daemon(confdir, _all_there(confdir, size)) as daemon:
        before = daemon.cost()
        world.etcd.delete(_PREFIX, prefix=True)
        time.sleep(0.2)
        daemon.rest()
        world.etcd.put_many([(_PREFIX + key, value) for key, value in _sites(size)])
        daemon.rest()
        return daemon.since(before)


def beside_failing(world: World, size: int) -> Cost:
    """Watch: a change of one resource beside so many that fail."""
    world.fill([*_sites(size), ("/good/key0", "1")])
    good = _table(src="good", dest="CONFDIR/out/good", prefix=_PREFIX, keys=["/good"])
    confdir = world.confdir(
        _declared(size) + good,
        {"keys": "{{ getv('/absent') }}", "good": "{{ getv('/good/key0') }}"},
    )
    return _changes(world, confdir, 1, key="/good/key0", out="good")


def flat_getv(world: World, size: int) -> Cost:
    """Watch: a change of one key of a flat folder, read by `getv`; so many times 50 keys."""
    world.fill([(f"/flat/key{n}", "0") for n in range(size * 50)])
    table = _table(src="one", dest="CONFDIR/out/one", prefix=_PREFIX, keys=["/flat"])
    confdir = world.confdir(table, {"one": "{{ getv('/flat/key0') }}"})
    return _changes(world, confdir, 1, key="/flat/key0", out="one")


def fleet_change(world: World, size: int) -> Cost:
    """Watch: a member's change in a fleet, service without a rollout; so many members."""
    return _fleet_change(world, size, "")


def gated_change(world: World, size: int) -> Cost:
    """Watch: the same, through a rollout that gates the settings beside the members."""
    return _fleet_change(world, size, f'[service.web.rollout]\nkeys = ["{_PREFIX}/settings"]\n')


def _fleet_change(world: World, size: int, rollout: str) -> Cost:
    pairs = [(f"/members/{n}", "0") for n in range(size)]
    world.fill([*pairs, *((f"/settings/{n}", "1") for n in range(20))])
    world.etcd.delete("/pyconfd", prefix=True)
    keys = ["/members", "/settings"]
    table = _table(src="one", dest="CONFDIR/out/one", prefix=_PREFIX, keys=keys, service="web")
    text = "{{ getv('/members/0') }} {{ getvs('/settings/*') | join(' ') }}"
    service = '[service.web]\nreload_cmd = "true"\n'
    confdir = world.confdir(table + service + rollout, {"one": text})
    more = ("--fleet", "bench", "--node-name", "n")
    return _changes(world, confdir, 1, *more, key="/members/0", out="one", times=150)


def _all_there(confdir: str, size: int) -> Callable[[], bool]:
    out = os.path.join(confdir, "out")
    return lambda: _count(out) >= size


def _changes(
    world: World,
    confdir: str,
    size: int,
    *more: str,
    key: str = "",
    out: str = "",
    times: int = 30,
) -> Cost:
    """The mean of so many changes, one after the other; the first ones are not counted."""
    path = glob.escape(os.path.join(confdir, "out", out or "0"))
    key = key or "/sites/0/key0"
    with world.daemon(confdir, _all_there(confdir, size), *more) as daemon:
        if not out and os.path.exists(path + ".conf"):
            path += ".conf"
        before = daemon.cost()
        for number in range(-3, times):
            if number == 0:
                before = daemon.cost()
            text = f"change{number}x"
            world.put(key, text)
            daemon.wait(functools.partial(_holds, path, text))
            time.sleep(0.02)
        return daemon.since(before, times)


ROWS: dict[str, Callable[[World, int], Cost]] = {
    each.__name__: each
    for each in (
        one_shot, one_shot_each, each_change, each_change_nginx, nginx_alone,
        first_start, first_start_nginx,
        restart, sighup, tree_deleted, wiped, beside_failing, flat_getv, fleet_change, gated_change,
    )
}  # fmt: skip
_SIZES = (500, 1000, 2000, 4000)


@dataclass(frozen=True, slots=True)
class Curve:
    """What one row cost at each size."""

    row: str
    sizes: tuple[int, ...]
    costs: tuple[Cost, ...]

    @property
    def exponent(self) -> float:
        """Between the last two sizes."""
        (n, m), (a, b) = self.sizes[-2:], self.costs[-2:]
        return math.log(max(b.own_s, 1e-6) / max(a.own_s, 1e-6)) / math.log(m / n)

    def line(self) -> str:
        """As a row of a Markdown table, in milliseconds."""
        cells = [
            f"{each.own_s * 1e3:.1f}"
            + (f" + {each.children_s * 1e3:.0f}" if each.children_s else "")
            for each in self.costs
        ]
        what = (ROWS[self.row].__doc__ or "").strip()
        sizes = " / ".join(map(str, self.sizes))
        return f"| {what} | {sizes} | {' / '.join(cells)} | {self.exponent:.2f} |"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth")
    parser.add_argument("--only", action="append", choices=list(ROWS))
    parser.add_argument("--sizes", default=",".join(map(str, _SIZES)))
    parser.add_argument("--json", metavar="FILE", help="write every figure here as well")
    parser.add_argument("--svg", metavar="FILE", help="and the curves as a picture here")
    wanted = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sizes = tuple(map(int, wanted.sizes.split(",")))
    curves = []
    print("| what | sizes | CPU, ms (own + children) | exponent |\n|---|---|---|---|", flush=True)
    with private_etcd() as (etcd, folder):
        for name in wanted.only or ROWS:
            costs = tuple(ROWS[name](World(etcd, folder), size) for size in sizes)
            curves.append(Curve(name, sizes, costs))
            print(curves[-1].line(), flush=True)
    if wanted.svg:
        picture = {
            (ROWS[each.row].__doc__ or "").strip(): [
                (size, cost.own_s * 1e3) for size, cost in zip(each.sizes, each.costs, strict=True)
            ]
            for each in curves
        }
        _write(wanted.svg, svg(picture))
    if wanted.json:
        with open(wanted.json, "w", encoding="utf-8") as file:
            json.dump([asdict(each) for each in curves], file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
