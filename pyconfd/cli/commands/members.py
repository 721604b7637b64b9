"""
`pyconfd members`: lists the registered members, and steers them on all nodes through the store.

Exit status: 0 done; 1 the store does not answer, or there is no such member or service; 2 wrong
usage.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pyconfd.cli.command import read_command
from pyconfd.cli.listing import Form, Printout, form_of, form_options, show
from pyconfd.cli.main import DONE
from pyconfd.cli.operator import user
from pyconfd.cli.terminal import Terminal
from pyconfd.config.layers import resolve
from pyconfd.config.option_table import CONNECTION, OPTIONS
from pyconfd.config.options import Option, did_you_mean
from pyconfd.config.settings import source_options
from pyconfd.errors import RegistrationError, SettingsError
from pyconfd.model.safe_text import escaped
from pyconfd.registration.declaration import KEY_PATTERN, check_pattern
from pyconfd.registration.overrides import VERBS, Places, Row
from pyconfd.registration.steering import MOST_WEIGHT, SteerRequest, order_now, steer

if TYPE_CHECKING:
    from pyconfd.backends.base import LeaseRegistry

MEMBERS = "Members"
_COLUMNS = (
    "service", "id", "address", "weight", "state", "lease_ttl_s", "since", "order.verb", "order.by",
    "order.host", "order.at",
)  # fmt: skip

MEMBERS_OPTIONS = (
    Option("key-pattern", "text", KEY_PATTERN, "where the keys of members are, below --prefix",
           MEMBERS, "PATTERN", in_file=False, aliases=("key",)),
    *form_options(MEMBERS),
    Option("force", "flag", False, "steer a member that is not registered now", MEMBERS,
           in_file=False),
)  # fmt: skip
ALL_OPTIONS = (
    *MEMBERS_OPTIONS,
    *CONNECTION,
    *(option for option in OPTIONS if option.name in ("prefix", "config-file")),
)

_HELP = """\
usage: pyconfd members [SERVICE] [-o FORM] [OPTIONS]
       pyconfd members drain|down|up SERVICE ID [OPTIONS]
       pyconfd members weight SERVICE ID NUMBER [OPTIONS]

Lists who is registered: address, weight, state, what is left of the lease, since when. drain takes
a member out for new sessions, down takes it out entirely, weight gives it another share, up ends
all of that. The setting is kept in the store beside the member's own key (override/ID): it holds
for everyone, and a restart of the member does not undo it. Who gave the last order, where and when,
is listed with it.
"""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """List or steer; returns the exit status."""
    arguments = read_command(argv, _HELP, ALL_OPTIONS)
    if arguments is None:
        return DONE
    values = resolve(ALL_OPTIONS, arguments, environ)
    try:
        check_pattern(values["key_pattern"])
    except RegistrationError as error:
        raise SettingsError(error.what, where=error.where, hint=error.hint) from error
    places = Places(values["key_pattern"], values["prefix"])
    order, form = _order(arguments.words), form_of(values)
    from pyconfd.backends.registry import open_leases

    registry = open_leases("etcd", source_options(values, environ), lambda *_: None)
    try:
        if order is None:
            terminal = Terminal(sys.stdout, environ)
            _list(registry, places, arguments.words, form, terminal)
        else:
            given = order_now(order.verb, values["username"] or user(), os.uname().nodename)
            done = steer(registry, places, order, given, force=values["force"])
            sys.stdout.write(f"{escaped(done)}\n")
    finally:
        registry.close()
    return DONE


def _order(words: Sequence[str]) -> SteerRequest | None:
    """The order of the words; None when they ask for the list."""
    if not words or words[0] not in VERBS:
        if len(words) > 1:
            hint = did_you_mean(words[0], VERBS) or "see --help"
            raise SettingsError("too many words", where="pyconfd members", hint=hint)
        return None
    verb, *rest = words
    wanted = 3 if verb == "weight" else 2
    if len(rest) != wanted:
        usage = f"pyconfd members {verb} SERVICE ID" + " NUMBER" * (verb == "weight")
        raise SettingsError("is not complete" if len(rest) < wanted else "too many words",
                            where=f"pyconfd members {verb}", hint=usage)  # fmt: skip
    if verb != "weight":
        return SteerRequest(verb, rest[0], rest[1])
    if not rest[2].isdigit() or int(rest[2]) > MOST_WEIGHT:
        raise SettingsError(f"{rest[2]!r} is not a number from 0 to 65535", where="weight")
    return SteerRequest(verb, rest[0], rest[1], int(rest[2]))


def _list(
    registry: LeaseRegistry, places: Places, words: Sequence[str], form: Form, terminal: Terminal
) -> None:
    every = places.rows(registry.list(places.root), "")
    rows = [row for row in every if not words or row.service == words[0]]
    left = {lease: registry.life(lease).ttl_s for lease in {row.lease for row in rows} if lease}
    if rows or not words or form is not Form.TABLE:
        records = [_record(row, left) for row in rows]
        printout = Printout(records, records, _COLUMNS)
        show(form, printout, lambda: terminal.table(_table(rows, left)))
    if words and not rows:
        _no_service(words[0], {row.service for row in every}, places)


def _table(rows: Sequence[Row], left: Mapping[int, int]) -> list[tuple[str, ...]]:
    head = ("SERVICE", "ID", "ADDRESS", "WEIGHT", "STATE", "LEASE", "SINCE")
    table: list[tuple[str, ...]] = [head, *(_line(row, left) for row in rows)]
    if any(row.order for row in rows):
        lasts = ["ORDER", *(row.order.line() if row.order else "-" for row in rows)]
        table = [(*line, last) for line, last in zip(table, lasts, strict=True)]
    return table


def _no_service(service: str, known: Collection[str], places: Places) -> None:
    """The error for a service without members: a typing error, or all members are gone."""
    hint = did_you_mean(service, known)
    if not hint:
        some = ", ".join(sorted(known)[:10])
        hint = f"there are {some}" if known else f"none has members below {places.root}"
    raise RegistrationError("no member is registered", where=service, hint=hint)


def _line(row: Row, left: Mapping[int, int]) -> tuple[str, str, str, str, str, str, str]:
    weight = "-" if row.weight is None else str(row.weight)
    if row.override.weight is not None:
        weight += "*"
    lease = f"{left[row.lease]}s" if row.lease else ("none" if row.address else "-")
    state = row.state
    return (row.service, row.member_id, row.address or "-", weight, state, lease, row.since or "-")


def _record(row: Row, left: Mapping[int, int]) -> dict[str, Any]:
    return {
        "service": row.service,
        "id": row.member_id,
        "address": row.address or None,
        "weight": row.weight,
        "own_weight": row.own_weight,
        "state": row.state,
        "override": {"state": row.override.state or None, "weight": row.override.weight},
        "order": asdict(row.order) if row.order else None,
        "lease_ttl_s": left.get(row.lease),
        "since": row.since or None,
    }
