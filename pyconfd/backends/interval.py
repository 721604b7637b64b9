"""Reads the store at an interval instead of watching it (confd's default mode)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from pyconfd.backends.base import Put, Source
from pyconfd.errors import SourceError, SourceUnavailable
from pyconfd.model.keys import Listed, ListOccasion, Lost


class Poll:
    """
    A watch made of listings. Each replaces the former contents, so a change is missed for at most
    `interval_s`; an outage is reported as by a watch.
    """

    def __init__(
        self,
        source: Source,
        prefixes: Sequence[str],
        put: Put,
        *,
        interval_s: float,
        timeout_s: float,
    ) -> None:
        self._source = source
        self._prefixes = prefixes
        self._put = put
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poll", daemon=True)

    def start(self) -> Poll:
        """Begin with a listing."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End it. It does not wait for a listing under way, whose answer is dropped."""
        self._stopping.set()
        self._thread.join(0.5)

    def _run(self) -> None:
        try:
            self._follow()
        except Exception as error:
            # The top of the thread: its death must be reported.
            import logging

            name = self._source.name
            logging.getLogger(__name__).exception("the polling of %s ended", name)
            self._send(Lost(name, SourceUnavailable(f"the polling ended: {error!r}")))

    def _follow(self) -> None:
        reason, occasion = "start", ListOccasion.START
        while not self._stopping.is_set():
            try:
                listed = self._source.list(self._prefixes, timeout_s=self._timeout_s)
            except SourceError as error:
                error.kept = ""  # the daemon adds what it keeps
                self._send(Lost(self._source.name, error))
            else:
                self._send(replace(listed, reason=reason, occasion=occasion))
                reason, occasion = "interval", ListOccasion.INTERVAL
            self._stopping.wait(self._interval_s)

    def _send(self, message: Lost | Listed) -> None:
        if not self._stopping.is_set():
            self._put(message)
