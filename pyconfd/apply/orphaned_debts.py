"""
Pending reloads of services that conf.d no longer has.

A command that is not declared is not run: it may have been removed because it did harm. The pending
reload stays in the journal and in the status. It ends when a resource of that service or with that
destination is declared again, which reloads it; when the files are gone, or something else has
changed them; or when the operator gives it up (`pyconfd release`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from pyconfd.errors import StateError
from pyconfd.model.first_few import first_few
from pyconfd.observe import log
from pyconfd.pipeline.journal import Journal
from pyconfd.pipeline.journal_entries import Intent, Progress
from pyconfd.system import files

_NAMED = 3


class OrphanedDebts:
    """Owned by one thread. partial: not all services are known, so none counts as removed."""

    def __init__(self, journal: Journal, *, partial: bool = False) -> None:
        self._journal = journal
        self._partial = partial
        self._services: Mapping[str, tuple[str, ...]] = {}

    @property
    def services(self) -> Mapping[str, tuple[str, ...]]:
        """Service -> the destinations that it was not reloaded for."""
        return self._services

    def refresh(self, declared: Collection[str]) -> frozenset[str]:
        """
        Note which services are declared. Returns those that are declared again and still pending.
        Services that are newly found to be no longer declared are logged once.
        """
        if self._partial:
            return frozenset()
        pending = self._journal.services
        back = pending.intersection(self._services, declared)
        found: dict[str, tuple[str, ...]] = {}
        for service in sorted(pending.difference(declared)):
            dests = tuple(_unchanged(self._journal.unsettled(service)))
            if dests or not self._settle(service):
                found[service] = dests
            else:
                log.info("its files are not ours any more: no reload is pending", service=service)
        for service in found.keys() - self._services.keys():
            log.warn(
                "a reload is pending, and no resource has its command any more: it is not run;"
                " declare the resource again, or reload the service by hand and give this reload up"
                " with pyconfd release DESTINATION",
                service=service,
                dest=shortened(found[service]),
            )
        self._services = found
        return back

    def give_up(self, names: Collection[str]) -> tuple[str, ...]:
        """Forget the pending reloads of these services or destinations; returns the services."""
        gone = tuple(
            service
            for service, dests in self._services.items()
            if (service in names or not set(dests).isdisjoint(names)) and self._settle(service)
        )
        self._services = {one: dests for one, dests in self._services.items() if one not in gone}
        return gone

    def _settle(self, service: str) -> bool:
        """
        Settle a pending reload. False when the journal cannot be written; then it stays pending.
        """
        try:
            self._journal.settle(service)
        except StateError:
            return False
        return True


def shortened(dests: Sequence[str]) -> str:
    """The first few of them, and how many more there are."""
    return first_few(dests, _NAMED)


def _unchanged(intents: Collection[Intent]) -> Iterator[str]:
    """The destinations that are unchanged since the last swap."""
    left: dict[str, str] = {}
    for intent in intents:
        for each in intent.files:
            back = intent.progress is Progress.REVERTED
            left[each.dest] = (each.was if back else each.digest) or ""
    for dest, digest in left.items():
        try:
            if (files.live(dest).digest or "") == digest:
                yield dest
        except OSError:
            continue
