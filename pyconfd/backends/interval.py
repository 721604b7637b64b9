"""Reading the store every interval instead of watching it (confd's default mode)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from pyconfd.backends.base import Put, Source
from pyconfd.errors import SourceError, SourceUnavailable
from pyconfd.model.keys import Listed, Lost


class Poll:
    """
    A watch made of listings. Each one replaces what was held, so nothing can be missed for longer
    than `interval_s`; an outage is told like a watch tells it.
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
        self._wake = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="poll", daemon=True)

    def start(self) -> Poll:
        """Begin; the first listing is asked for at once."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End it. A listing under way is not waited for; its answer is thrown away."""
        self._stopped = True
        self._wake.set()
        self._thread.join(0.5)

    def relist(self) -> None:
        """Read now."""
        self._wake.set()

    def _run(self) -> None:
        try:
            self._follow()
        except Exception as error:
            # The top of the thread: its death must be heard.
            import logging

            name = self._source.name
            logging.getLogger(__name__).exception("the polling of %s ended", name)
            self._say(Lost(name, SourceUnavailable(f"the polling ended: {error!r}")))

    def _follow(self) -> None:
        reason = "start"
        while not self._stopped:
            self._wake.clear()
            try:
                listed = self._source.list(self._prefixes, timeout_s=self._timeout_s)
            except SourceError as error:
                error.kept = ""  # the daemon has its own words for that
                self._say(Lost(self._source.name, error))
            else:
                self._say(replace(listed, reason=reason))
                reason = "interval"
            self._wake.wait(self._interval_s)

    def _say(self, message: Lost | Listed) -> None:
        if not self._stopped:
            self._put(message)
