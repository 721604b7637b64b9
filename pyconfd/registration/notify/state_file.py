"""
The states that were heard last, in a file beside the pipe, for a listener that is started again.

Shell. A daemon tells a state once: keepalived does not repeat that it is master at a reload
(vrrp_scheduler.c, vrrp_init_state, up to 2.4), although fifo_write_vrrp_states_on_reload says so.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict

from pyconfd.observe import log
from pyconfd.registration.notify.states import PublishedState


class StateFile:
    """The file of one pipe: `FIFO.states`. Like the pipe, it is for the running system alone."""

    def __init__(self, fifo: str) -> None:
        self._path = f"{fifo}.states"

    def recall(self) -> dict[str, PublishedState]:
        """What was kept, by service; nothing when there is no file or it cannot be read."""
        try:
            with open(self._path, encoding="utf-8") as stream:
                kept = json.load(stream)
            return {each["service"]: PublishedState(**each) for each in kept}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError) as error:
            log.warn(f"the states of before cannot be read: {error}", file=self._path)
            return {}

    def keep(self, states: Mapping[str, PublishedState]) -> None:
        """Replace the file at once."""
        new = f"{self._path}~"
        try:
            with open(new, "w", encoding="utf-8") as stream:
                json.dump([asdict(each) for each in states.values()], stream)
            os.replace(new, self._path)
        except OSError as error:
            log.warn(f"the states cannot be kept: {error.strerror}", file=self._path)
