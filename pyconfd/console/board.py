"""The console's knowledge of a fleet, updated by the messages of one watch. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pyconfd.fleet.records import FleetPaths, RecordBook
from pyconfd.model.keys import Changed, Listed, Lost, SourceMessage, covering
from pyconfd.registration.overrides import MemberBook, Places


class FleetBoard:
    """
    One thread owns it.

    book: the fleet's records. members: those of the key pattern.
    revision: of the store, 0 before it was read. lost: why the store is unavailable; "" if it is
    not.
    """

    def __init__(self, paths: FleetPaths, places: Places) -> None:
        self.paths, self.places = paths, places
        self.book = RecordBook(paths)
        self.members = MemberBook(places)
        self.revision = 0
        self.lost = ""

    @property
    def prefixes(self) -> Sequence[str]:
        """The prefixes to watch."""
        return covering((self.paths.root, self.places.root))

    def apply(self, message: SourceMessage) -> bool:
        """Apply a message. Returns whether there may be something new to show."""
        before, self.lost = self.lost, ""
        match message:
            case Lost(_, cause):
                self.lost = str(cause)
            case Listed() | Changed():
                self.revision = message.revision
                self.book.apply(message)
                self.members.apply(message)
                return True
        return before != self.lost
