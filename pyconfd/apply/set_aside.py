"""
Set aside: a live file of a pattern that nginx no longer takes, such as one whose certificate was
deleted, would keep nginx from every later reload; the other names of the pattern must not wait.

What is taken away is rendered again every minute, and is back once nginx takes it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from pyconfd.errors import LiveRefused
from pyconfd.model.resources import Nginx, Resource
from pyconfd.reconcile.patience import Patience

#: A certificate that is replaced in two steps is missing for a moment.
GRACE_S = 5.0


class SetAside:
    """
    Since when nginx refuses which live files. One lane at a time asks about one nginx.

    grace_s: so long a file stays that nginx refuses; 0 where there is no later pass.
    """

    def __init__(self, grace_s: float = 0.0) -> None:
        self._grace_s = grace_s
        self._waits: dict[str, Patience] = {}

    def accepted(self, nginx: Nginx) -> None:
        """It takes what is live."""
        self._waits.pop(nginx.conf, None)

    def due(
        self, nginx: Nginx, refused: LiveRefused, made: Iterable[Resource], now: float
    ) -> tuple[Resource, ...]:
        """
        Those of the files that are to go; none while another reason may pass, or where a file that
        no pattern has made is to blame. made: the files of the patterns of this service.
        """
        wait = self._waits.get(nginx.conf, Patience()).seen(refused.blamed, now)
        self._waits[nginx.conf] = wait
        real = {os.path.realpath(one.dest): one for one in made}
        if not refused.blamed or not real.keys() >= set(refused.blamed):
            return ()
        over = all(wait.lasted_s(path, now) >= self._grace_s for path in refused.blamed)
        return tuple(real[path] for path in refused.blamed) if over else ()


def why(one: Resource, refused: LiveRefused) -> LiveRefused:
    """What is reported of a file that was set aside."""
    error = LiveRefused(
        f"nginx refuses it as it is live, which would hold up every other reload: {refused.reason}",
        where=one.dest,
        kept="the others are live; this file is out of nginx until it passes",
        hint="put back what is missing; it is tried again every minute, and at once by "
        "pyconfd reload",
    )
    error.reason = refused.reason
    return error
