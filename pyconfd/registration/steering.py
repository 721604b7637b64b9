"""Carries out an operator's order to a member: writes its override. Shell."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pyconfd.backends.base import LeaseRegistry
from pyconfd.config.options import did_you_mean
from pyconfd.errors import RegistrationError
from pyconfd.model.values import dataclass
from pyconfd.registration.overrides import MemberOrder, Places, Row, changed

MOST_WEIGHT = 65535
#: An `up` leaves nothing but who gave it, for so long.
_UP_KEPT_S = 30 * 86400


@dataclass(frozen=True, slots=True)
class SteerRequest:
    """
    What to set for a member.

    verb: of VERBS.
    service, member_id: the member.
    weight: for the verb weight, 0 to MOST_WEIGHT; None otherwise.
    """

    verb: str
    service: str
    member_id: str
    weight: int | None = None

    @property
    def setting(self) -> str:
        """In words."""
        return f"weight {self.weight}" if self.verb == "weight" else self.verb


def order_now(verb: str, by: str, host: str) -> MemberOrder:
    """The order to record for a request made now."""
    return MemberOrder(verb, by, host, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))


def steer(
    registry: LeaseRegistry,
    places: Places,
    request: SteerRequest,
    given: MemberOrder,
    *,
    force: bool = False,
) -> str:
    """
    Write the override. Returns what was done, in words. Raises RegistrationError if there is no
    such member.

    given: the order, written in the same transaction.
    force: also for a member that is not registered now.
    """
    name = (request.service, request.member_id)
    rows = places.rows(registry.list(places.root), request.service)
    row = next((each for each in rows if each.member_id == request.member_id), None)
    if row is None or not row.address:
        _absent(rows, request, row, force)
    before = (row or Row(service="", member_id="")).override
    key, order = places.override_key(*name), (places.order_key(*name), given.value())
    if value := changed(before, request.verb, request.weight).value():
        registry.commit({}, [(key, value, 0), (*order, 0)])
    else:
        registry.commit({}, [(*order, registry.grant(_UP_KEPT_S))], [key])
    return f"{request.service} {request.member_id}: {request.setting}"


def _absent(rows: Sequence[Row], request: SteerRequest, row: Row | None, force: bool) -> None:
    """A member that is not there: a typing error, unless it is up'ed or forced."""
    if force or (request.verb == "up" and row is not None):
        return
    known = [each.member_id for each in rows if each.address]
    hint = did_you_mean(request.member_id, known)
    if not hint:
        hint = f"there are {', '.join(known[:10])}" if known else "see pyconfd members"
    where = f"{request.service} {request.member_id}"
    raise RegistrationError("no such member is registered", where=where, hint=f"{hint}; or --force")
