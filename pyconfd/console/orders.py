"""Reads orders from forms, and carries them out. Shell."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from pyconfd.backends.base import LeaseRegistry, Source, SourceWithPast
from pyconfd.errors import PyconfdError, RegistrationError
from pyconfd.fleet.order_writer import carry_out
from pyconfd.fleet.orders import FleetOrder, Verb
from pyconfd.fleet.records import FleetPaths
from pyconfd.registration.overrides import VERBS, Places
from pyconfd.registration.steering import MOST_WEIGHT, SteerRequest, order_now, steer

FLEET_VERBS = (Verb.HALT, Verb.RESUME, Verb.PIN, Verb.UNPIN)
#: Of a call to etcd.
_CALL_S = 10.0


class BadOrder(PyconfdError):
    """A form that is not an order."""


def order_of(
    form: Mapping[str, str], *, by: str, where: str, at: float
) -> FleetOrder | SteerRequest:
    """
    The order of a form: `do`, `service`, and `member`, `weight` or `revision` by what is done.
    Raises BadOrder.
    """
    verb, service = form.get("do", ""), form.get("service", "")
    if not service:
        raise BadOrder("names no service")
    if verb in VERBS:
        member = form.get("member", "")
        if not member:
            raise BadOrder(f"{verb}: names no member")
        weight = _number(form, "weight", MOST_WEIGHT) if verb == "weight" else None
        return SteerRequest(verb, service, member, weight)
    if verb not in FLEET_VERBS:
        raise BadOrder("is none that can be given here")
    revision = _number(form, "revision", 2**63 - 1, least=1) if verb == Verb.PIN else 0
    return FleetOrder(verb=Verb(verb), by=by, where=where, at=at, revision=revision)


def _number(form: Mapping[str, str], name: str, most: int, least: int = 0) -> int:
    text = form.get(name, "")
    if not (text.isascii() and text.isdigit() and least <= int(text[:20]) <= most):
        raise BadOrder(f"{name} is not a number from {least} to {most}")
    return int(text)


class OrderDesk:
    """
    Safe to call from any thread.

    source: the store, to check that it has a revision to pin.
    """

    def __init__(
        self,
        open_registry: Callable[[], LeaseRegistry],
        source: Source,
        paths: FleetPaths,
        places: Places,
    ) -> None:
        self._open, self._source, self._paths, self._places = open_registry, source, paths, places

    def take(self, form: Mapping[str, str], by: str, client: str) -> str:
        """
        Carry out an order. Returns what was done, in words. Raises PyconfdError. client: the
        address of the browser.
        """
        where = f"{client}, by the console on {os.uname().nodename}"
        order = order_of(form, by=by, where=where, at=time.time())
        registry = self._open()
        try:
            if isinstance(order, SteerRequest):
                given = order_now(order.verb, by, where)
                return steer(registry, self._places, order, given)
            if order.revision:
                self._must_be_there(order.revision)
            return "; ".join(carry_out(registry, self._paths, order, [form["service"]]))
        finally:
            registry.close()

    def _must_be_there(self, revision: int) -> None:
        """Raises RevisionCompacted when etcd does not have the revision, or no longer has it."""
        if not isinstance(self._source, SourceWithPast):
            raise RegistrationError("the store keeps no earlier revisions")
        self._source.list_at([self._paths.root], revision, timeout_s=_CALL_S)
