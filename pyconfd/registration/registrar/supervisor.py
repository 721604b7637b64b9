"""Replaces the registrar, with all its members, when its thread fails. Shell."""

from __future__ import annotations

import time
from collections.abc import Callable

from pyconfd.registration.declaration import Announcement
from pyconfd.registration.registrar.notices import NoticeHandler
from pyconfd.registration.registrar.registrar import Registrar
from pyconfd.system.sdnotify import Notifier

RESTART_PAUSE_S = 1.0
TURN_LIMIT_S = 30.0  # a call on a hung store takes seconds; a stuck thread takes for ever


class RegistrarSupervisor:
    """
    The registrar of a main thread, and its members by key.

    make_registrar: gets the handler of notices, which is called from the registrar's thread.
    """

    def __init__(
        self, make_registrar: Callable[[NoticeHandler], Registrar], notify: NoticeHandler
    ) -> None:
        self._make_registrar = make_registrar
        self._notify = notify
        self.members: dict[str, Announcement] = {}
        self.registrar = make_registrar(notify)

    def add(self, announced: Announcement) -> None:
        """Keep this member registered, also by a later registrar."""
        self.members[announced.key] = announced
        self.registrar.add(announced)

    def remove(self, key: str) -> None:
        """Withdraw this member for good."""
        if self.members.pop(key, None):
            self.registrar.remove(key)

    def restart(self) -> None:
        """Restart after RegistrarDied: a fault of pyconfd must not remove the members for good."""
        time.sleep(RESTART_PAUSE_S)
        self.registrar = self._make_registrar(self._notify)
        self.registrar.start()
        for announced in self.members.values():
            self.registrar.add(announced)

    def feed_watchdog(self, notifier: Notifier) -> None:
        """Feed systemd's watchdog, if there is one, while the registrar's thread is alive."""
        if not notifier.watchdog_s:
            return
        if self.registrar.alive and self.registrar.idle_s() < TURN_LIMIT_S:
            notifier.watchdog()
        self.registrar.turn()
