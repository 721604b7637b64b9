"""The command: `python -m bench [--peer NAME=PATH]... [--only SCENARIO]... [--json FILE]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict

from bench import startup, table
from bench.go_rows import GO_SCENARIOS
from bench.scenarios import SCENARIOS, Bench, Figure
from bench.store import fill, private_etcd
from bench.store_rows import STORE_SCENARIOS
from bench.subjects import Subject, peer

ALL = SCENARIOS | STORE_SCENARIOS | GO_SCENARIOS


def main() -> int:
    """Measure, print, and write the JSON that was asked for."""
    wanted = _arguments()
    # An installed program has its byte code on disk; without it, compiling would be measured.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    subjects = [Subject("pyconfd"), *wanted.peer]
    figures: list[Figure] = []
    with private_etcd() as (etcd, folder):
        bench = Bench(etcd, folder, subjects, wanted.quick)
        fill(etcd, 1, 10)
        spans = startup.split(etcd.endpoint, bench.times(20))
        print(table.startup(spans), flush=True)
        for name in wanted.only or ALL:
            print(f"measuring: {name}", file=sys.stderr, flush=True)
            measured = ALL[name](bench)
            figures += measured
            print(table.scenario(measured), flush=True)
    print(table.targets(figures, [each.name for each in wanted.peer]))
    if wanted.json:
        result = {
            "python": platform.python_version(),
            "startup_ms": dict(spans),
            "figures": [asdict(figure) for figure in figures],
        }
        with open(wanted.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--peer", action="append", type=peer, default=[], metavar="NAME=PATH")
    parser.add_argument("--only", action="append", choices=list(ALL))
    parser.add_argument("--json", metavar="FILE", help="write every figure here as well")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the repetitions")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
