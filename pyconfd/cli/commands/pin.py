"""
`pyconfd pin` and `pyconfd unpin`: keeps a service's keys at an earlier revision of the store.

Exit status: 0 done; 1 etcd does not have the revision, no daemon runs, or nothing is pinned; 2
wrong usage.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pyconfd.cli.daemon_query import DaemonQuery, read_query
from pyconfd.cli.main import DONE
from pyconfd.cli.operator import user
from pyconfd.config.option_table import CONNECTION
from pyconfd.config.options import Option
from pyconfd.errors import SettingsError, StateError

if TYPE_CHECKING:
    from pyconfd.fleet.orders import Verb

PIN = "Pin"
#: Those of the main program, with the words of this command.
REVISION = Option("revision", "text", "", "the revision of the store", PIN, "N", in_file=False)
FLEET = Option("fleet", "text", "", "on every node of this fleet", PIN, "NAME")

_HELP = """\
usage: pyconfd pin RESOURCE|SERVICE --revision N [--fleet NAME] [OPTIONS]

Makes the files of a service from its keys as they were at revision N of the store, until pyconfd
unpin. With a rollout, only the gated keys of the service are taken from that revision, else all
that it reads. A resource is pinned with its whole service. On this node it happens at once. With
--fleet it holds for every node; a service with a rollout goes there in turn. Status, page and
metrics say so as long as it lasts. pyconfd history RESOURCE lists revisions.
"""
_UNPIN_HELP = """\
usage: pyconfd unpin RESOURCE|SERVICE [--fleet NAME] [OPTIONS]

Ends pyconfd pin: the newest keys count again, those of a service with a rollout in turn.
"""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Pin; returns the exit status."""
    query = read_query(argv, environ, _HELP, (REVISION, FLEET), words=1, listed=CONNECTION)
    if query is None:
        return DONE
    text = query.flags["revision"]
    if not (text.isdecimal() and int(text)):
        what = f"{text!r} is not a revision" if text else "is missing"
        raise SettingsError(what, where="--revision", hint="pyconfd pin NAME --revision N")
    _must_be_there(query, int(text))
    if fleet := _fleet(argv, query):
        from pyconfd.fleet.orders import Verb

        return _order(query, environ, fleet, Verb.PIN, int(text))
    question = {"do": "pin", "revision": int(text), "by": user()}
    pinned = _ask(query, question)["pinned"]
    sys.stdout.write(f"pinned at revision {text}: {', '.join(pinned)}\n")
    return DONE


def unpin(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Unpin; returns the exit status."""
    query = read_query(argv, environ, _UNPIN_HELP, (FLEET,), words=1, listed=CONNECTION)
    if query is None:
        return DONE
    if fleet := _fleet(argv, query):
        from pyconfd.fleet.orders import Verb

        return _order(query, environ, fleet, Verb.UNPIN, 0)
    unpinned = _ask(query, {"do": "unpin"})["unpinned"]
    sys.stdout.write(f"not pinned any more: {', '.join(unpinned)}\n")
    return DONE


def _fleet(argv: Sequence[str], query: DaemonQuery) -> str:
    """The fleet named on the command line, else in the node's settings."""
    given = any(word.lstrip("-").partition("=")[0] == "fleet" for word in argv if word[:1] == "-")
    return query.settings.fleet if given else ""


def _ask(query: DaemonQuery, question: Mapping[str, object]) -> Mapping[str, Sequence[str]]:
    from pyconfd.daemon.control_socket import ask

    word = query.words[0]
    return ask(
        query.settings.state_folder, {**question, "name": word, "path": os.path.abspath(word)}
    )


def _must_be_there(query: DaemonQuery, revision: int) -> None:
    """Raises RevisionCompacted when etcd does not have the revision, or no longer has it."""
    from pyconfd.backends.base import SourceWithPast
    from pyconfd.daemon import wiring

    source = wiring.source(query.settings)
    try:
        if not isinstance(source, SourceWithPast):
            what = f"{source.name} keeps no earlier revisions"
            raise SettingsError(what, where="--backend", hint="--backend etcd")
        found = wiring.load(query.settings._replace(onetime=True))
        paths = found.resources[0].watched or ("/pyconfd",)
        source.list_at(paths, revision, timeout_s=query.settings.timeout_s)
    finally:
        source.close()


def _order(
    query: DaemonQuery, environ: Mapping[str, str], fleet: str, verb: Verb, revision: int
) -> int:
    from pyconfd.backends.registry import open_leases
    from pyconfd.cli.commands.fleet import give, order
    from pyconfd.fleet.records import FleetPaths

    registry = open_leases("etcd", query.settings.source_options(environ), lambda *_: None)
    try:
        service = _service(query)
        give(registry, FleetPaths(fleet), order(verb, revision=revision), [service])
    finally:
        registry.close()
    return DONE


def _service(query: DaemonQuery) -> str:
    """The service that is meant, from this node's conf.d."""
    from pyconfd.daemon import wiring

    word = query.words[0]
    found = wiring.load(query.settings._replace(onetime=True)).resources
    services = {one.service_name for one in found}
    if word in services:
        return word
    for one in found:
        if word in (one.name, one.group, one.dest):
            return one.service_name
    raise StateError("no such resource or service", where=word, hint="pyconfd status lists them")
