"""
Reloads that are owed to services which conf.d no longer has.

What is not declared is not run: its command may have been taken away because it did harm. The debt
stays in the journal and is said. It ends when a resource with that command or that destination is
declared again, which pays it; when the files are gone or were changed by somebody else; or when the
operator lets it go (`pyconfd release`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from pyconfd.errors import StateError
from pyconfd.observe import log
from pyconfd.pipeline.journal import Journal
from pyconfd.pipeline.journal_entries import Intent, Progress
from pyconfd.system import files

_NAMED = 3


class OrphanedDebts:
    """Owned by one thread. blind: not all services are known, so nothing is found."""

    def __init__(self, journal: Journal, *, blind: bool = False) -> None:
        self._journal = journal
        self._blind = blind
        self._services: Mapping[str, tuple[str, ...]] = {}

    @property
    def services(self) -> Mapping[str, tuple[str, ...]]:
        """The service -> the destinations that it was not told of."""
        return self._services

    def look(self, declared: Collection[str]) -> frozenset[str]:
        """
        These services are declared now. Returns those that are declared again and still owed; new
        ones that are not declared any more are logged, once.
        """
        if self._blind:
            return frozenset()
        owed = self._journal.services
        back = owed.intersection(self._services, declared)
        found: dict[str, tuple[str, ...]] = {}
        for service in sorted(owed.difference(declared)):
            dests = tuple(_as_left(self._journal.unsettled(service)))
            if dests or not self._settle(service):
                found[service] = dests
            else:
                log.info("its files are not ours any more: no reload is owed", service=service)
        for service in found.keys() - self._services.keys():
            log.warn(
                "a reload is owed, and no resource has its command any more: it is not run; declare"
                " the resource again, or tell the service by hand and let it go with pyconfd"
                " release DESTINATION",
                service=service,
                dest=some(found[service]),
            )
        self._services = found
        return back

    def let_go(self, words: Collection[str]) -> tuple[str, ...]:
        """Forget what is owed to services, or for destinations, of these names; the services."""
        gone = tuple(
            service
            for service, dests in self._services.items()
            if (service in words or not set(dests).isdisjoint(words)) and self._settle(service)
        )
        self._services = {one: dests for one, dests in self._services.items() if one not in gone}
        return gone

    def _settle(self, service: str) -> bool:
        """False where the journal cannot be written: then it is owed as before."""
        try:
            self._journal.settle(service)
        except StateError:
            return False
        return True


def some(dests: Sequence[str]) -> str:
    """The first few of them, and how many more there are."""
    more = len(dests) - _NAMED
    return ", ".join(dests[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _as_left(intents: Collection[Intent]) -> Iterator[str]:
    """Destinations that are as the last swap has left them."""
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
