"""
Carries out an operator's order: reads the fleet's records and writes them in one transaction.
Shell.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from pyconfd.backends.base import LeaseRegistry
from pyconfd.errors import SourceUnavailable
from pyconfd.fleet.orders import FleetOrder, nothing_to_do, order_value, writes
from pyconfd.fleet.overview import book_of
from pyconfd.fleet.records import FleetPaths
from pyconfd.model.keys import KeyValue

#: Of the orders that are kept.
MOST_ORDERS = 50
_TRIES = 5


def carry_out(
    registry: LeaseRegistry, paths: FleetPaths, order: FleetOrder, services: Sequence[str]
) -> list[str]:
    """
    Carry it out for these services, or for all of the fleet. Returns what was done, in words.
    Raises RegistrationError when there is nothing to do.
    """
    for _ in range(_TRIES):
        keys = registry.list(paths.root)
        book = book_of(paths, keys)
        wanted = list(services) or book.services
        done = {
            service: found
            for service in wanted
            if (found := writes(order, paths, service, book.records(service)))
        }
        if not done:
            raise nothing_to_do(order, wanted)
        puts = {_order_key(paths, order.at): order_value(order, done)}
        deletes = _too_old(paths, keys)
        for found in done.values():
            puts.update(found.puts)
            deletes += found.deletes
        fences = {paths.of(name, "fence"): book.records(name).fence for name in done}
        if registry.commit(fences, [(key, value, 0) for key, value in puts.items()], deletes):
            return [found.words for found in done.values()]
    raise SourceUnavailable("the fleet's records change too fast", where=paths.root)


def _order_key(paths: FleetPaths, at: float) -> str:
    """The key of an order given now (seconds since 1970)."""
    return paths.order(datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%S.%fZ"))


def _too_old(paths: FleetPaths, keys: Iterable[KeyValue]) -> list[str]:
    """The keys of old orders, which are removed when another one is added."""
    found = sorted(item.key for item in keys if item.key.startswith(paths.order("")))
    return found[: max(0, len(found) - MOST_ORDERS)]
