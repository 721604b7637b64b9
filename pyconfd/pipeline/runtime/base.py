"""The interface to daemons that can be changed while they run, and its implementations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from pyconfd.model.resources import Runtime

#: Daemon -> the module that speaks to it; imported for a service that has it.
_MODULES = {
    "apache": "pyconfd.pipeline.runtime.apache",
    "haproxy": "pyconfd.pipeline.runtime.haproxy",
}


class Surveyed(Protocol):
    """What is to change, and what runs before."""

    @property
    def reason(self) -> str:
        """Why a reload is needed in any case; "" when commands may be enough."""

    @property
    def problem(self) -> str:
        """Why the daemon cannot be asked; "" when it can."""

    @property
    def hand(self) -> Mapping[tuple[str, ...], Any]:
        """What was changed by hand: each name, in parts."""

    def by_hand(self) -> list[str]:
        """The same in words, one line for each."""


class RuntimeDaemon(Protocol):
    """A module for one daemon. The types of files and surveys are its own."""

    def compare(self, texts: Sequence[Sequence[str]]) -> tuple[Any, str]:
        """
        The files taken apart, and why a reload is needed, "" when it is not. texts: of each file
        its versions since the last reload, the oldest first, what is live last.
        """

    def survey(self, runtime: Runtime, files: Any, reason: str) -> Surveyed:
        """Ask the daemon for its state. files, reason: from `compare`."""

    def change(self, runtime: Runtime, found: Any) -> tuple[list[str], str]:
        """
        Send what makes it run as the files say. Returns the commands that were sent, the name as
        their third word, and why it does not run so; "" when it does.
        """

    def restore(self, runtime: Runtime, before: Any) -> str:
        """After a reload: send what was changed by hand before. Returns why that failed."""


def runtime_daemon(by: str) -> RuntimeDaemon:
    """The module for this daemon."""
    return cast(RuntimeDaemon, import_module(_MODULES[by]))
