"""
`pyconfd fleet`: shows the nodes of a fleet and their turns, and gives orders to it.

Exit status: 0 done; 1 the store does not answer, or there was nothing to do; 2 wrong usage.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pyconfd.cli.command import read_command
from pyconfd.cli.listing import Printout, form_of, form_options, show
from pyconfd.cli.main import DONE
from pyconfd.cli.operator import user
from pyconfd.cli.terminal import Terminal
from pyconfd.config.layers import resolve
from pyconfd.config.option_table import CONNECTION, OPTIONS
from pyconfd.config.options import Option
from pyconfd.config.settings import source_options
from pyconfd.errors import SettingsError
from pyconfd.fleet.order_writer import carry_out
from pyconfd.fleet.orders import FleetOrder, Verb
from pyconfd.fleet.overview import book_of, overview
from pyconfd.fleet.records import FleetPaths
from pyconfd.model.safe_text import escaped

if TYPE_CHECKING:
    from pyconfd.backends.base import LeaseRegistry

FLEET = "Fleet"
VERBS = (Verb.HALT, Verb.RESUME, Verb.PROMOTE, Verb.SKIP)
SERVICE = Option("service", "text", (), "only of this service; may be repeated", FLEET, "NAME",
                 repeatable=True, in_file=False)  # fmt: skip
FLEET_OPTIONS = (
    SERVICE,
    *form_options(FLEET),
)
#: Read apart: the daemon's option of this name may stand in the config file and the environment.
_WATCH = Option("watch", "flag", False, "show it again whenever it has changed", FLEET)
STORE_OPTIONS = (
    *(option for option in OPTIONS if option.name in ("fleet", "config-file")),
    *CONNECTION,
)
_WATCH_S = 0.5
_COLUMNS = ("node", "kind", "revision", "version", "since", "page")

_HELP = """\
usage: pyconfd fleet [NAME] [--watch] [-o FORM] [OPTIONS]
       pyconfd fleet halt|resume|promote [OPTIONS]
       pyconfd fleet skip NODE [OPTIONS]

Shows the nodes of a fleet, what each of them uses and wants, and why it waits. halt lets no further
turn begin; resume ends that, and lets versions be tried again that a node has refused. promote
lets the others begin without waiting for canaries; skip lets a version go on without a node. Each
order is kept with who gave it, where and when.
"""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Show or order; returns the exit status."""
    options = (*FLEET_OPTIONS, *STORE_OPTIONS)
    arguments = read_command(argv, _HELP, (*options, _WATCH))
    if arguments is None:
        return DONE
    values = resolve(options, arguments, environ)
    given = arguments.given.get(_WATCH.name)
    values["watch"] = bool(given and given.value)
    verb, name, node = _words(arguments.words)
    paths = FleetPaths(named(name or values["fleet"]))
    with opened(values, environ) as registry:
        if verb is None:
            _show(registry, paths, values, environ)
        else:
            give(registry, paths, order(verb, node=node), values["service"])
    return DONE


def named(fleet: str) -> str:
    """The name of the fleet. Raises SettingsError without one."""
    if not fleet:
        raise SettingsError("no fleet is named", where="--fleet", hint="pyconfd fleet NAME")
    return fleet


class opened:  # noqa: N801 - used as a function
    """The store's records, closed at the end."""

    def __init__(self, values: Mapping[str, Any], environ: Mapping[str, str]) -> None:
        from pyconfd.backends.registry import open_leases

        self._registry = open_leases("etcd", source_options(values, environ), lambda *_: None)

    def __enter__(self) -> LeaseRegistry:
        return self._registry

    def __exit__(self, *exc: object) -> None:
        self._registry.close()


def order(verb: Verb, *, node: str = "", revision: int = 0) -> FleetOrder:
    """An order of the user who runs this."""
    where = os.uname().nodename
    return FleetOrder(
        verb=verb, by=user(), where=where, at=time.time(), node=node, revision=revision
    )


def _words(words: Sequence[str]) -> tuple[Verb | None, str, str]:
    """Verb, name of the fleet, node."""
    if words and words[0] in VERBS:
        verb, rest = Verb(words[0]), words[1:]
        wanted = 1 if verb is Verb.SKIP else 0
        if len(rest) != wanted:
            usage = f"pyconfd fleet {verb}" + " NODE" * wanted + " --fleet NAME"
            what = "is not complete" if len(rest) < wanted else "too many words"
            raise SettingsError(what, where=f"pyconfd fleet {verb}", hint=usage)
        return verb, "", rest[0] if rest else ""
    if len(words) > 1:
        from pyconfd.config.options import did_you_mean

        hint = did_you_mean(words[0], list(map(str, VERBS))) or "see --help"
        raise SettingsError("too many words", where="pyconfd fleet", hint=hint)
    return None, words[0] if words else "", ""


def give(
    registry: LeaseRegistry, paths: FleetPaths, order: FleetOrder, services: Sequence[str]
) -> None:
    """Carry an order out and print what has been done."""
    lines = carry_out(registry, paths, order, services)
    sys.stdout.write("".join(f"{escaped(each)}\n" for each in lines))


def _show(
    registry: LeaseRegistry,
    paths: FleetPaths,
    values: Mapping[str, Any],
    environ: Mapping[str, str],
) -> None:
    from pyconfd.cli.fleet_page import fleet_page

    paint, form = Terminal(sys.stdout, environ), form_of(values)
    last = None
    while True:
        found = overview(paths.fleet, book_of(paths, registry.list(paths.root)))
        if values["service"]:
            wanted = [one for one in found["rollouts"] if one["service"] in values["service"]]
            found["rollouts"] = wanted
        if found != last:
            if values["watch"] and sys.stdout.isatty():
                sys.stdout.write("\x1b[H\x1b[2J")
            show(form, Printout(found, found["nodes"], _COLUMNS), partial(fleet_page, found, paint))
        last = found
        if not values["watch"]:
            return
        time.sleep(_WATCH_S)
