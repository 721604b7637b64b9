"""
The last states, in a file beside the pipe, for a listener that is restarted.

Shell. A daemon reports a state once: keepalived does not repeat that it is master at a reload
(vrrp_scheduler.c, vrrp_init_state, up to 2.4), although fifo_write_vrrp_states_on_reload says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

from pyconfd.observe import log
from pyconfd.registration.notify.states import PublishedState
from pyconfd.system.json_file import write_json
from pyconfd.system.state_format import format_of, marked


class StateFile:
    """The file of one pipe: `FIFO.states`. Like the pipe, it need not survive a reboot."""

    def __init__(self, fifo: str) -> None:
        self._path = f"{fifo}.states"

    def read(self) -> dict[str, PublishedState]:
        """
        The states by service; none when there is no readable file. Raises StateError for a file of
        a newer pyconfd.
        """
        try:
            with open(self._path, encoding="utf-8") as stream:
                found = json.load(stream)
            format_of(found, where=self._path, lost="the states until they are reported again")
            states = found["states"] if isinstance(found, dict) else found
            return {each["service"]: PublishedState(**each) for each in states}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError) as error:
            log.warn(f"the states of the last run cannot be read: {error}", file=self._path)
            return {}

    def write(self, states: Mapping[str, PublishedState]) -> None:
        """Replace the file atomically."""
        try:
            write_json(self._path, marked({"states": [asdict(each) for each in states.values()]}))
        except OSError as error:
            log.warn(f"the states cannot be saved: {error.strerror}", file=self._path)
