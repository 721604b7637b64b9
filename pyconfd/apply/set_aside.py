"""
Set aside: a live file of a pattern that nginx no longer accepts, for instance because its
certificate was deleted, would block every later reload; the other names must not wait for it.

The removed file is rendered again every minute, and is back once nginx accepts it.
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
    Which live files nginx refuses, and since when. For one nginx, one lane at a time calls it.

    grace_s: how long a refused file stays live; 0 when there is no later pass.
    """

    def __init__(self, grace_s: float = 0.0) -> None:
        self._grace_s = grace_s
        self._waits: dict[str, Patience] = {}

    def accepted(self, nginx: Nginx) -> None:
        """Note that nginx accepts the live files."""
        self._waits.pop(nginx.conf, None)

    def due(
        self, nginx: Nginx, refused: LiveRefused, made: Iterable[Resource], now: float
    ) -> tuple[Resource, ...]:
        """
        The files to remove. None while the cause may still pass, or when a file that no pattern
        made is to blame. made: the files of this service's patterns.
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
