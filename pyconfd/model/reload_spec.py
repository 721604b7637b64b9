"""How a service with all its resources is reloaded. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pyconfd.model.resources import Command, Confirm, Nginx, Resource, Runtime
from pyconfd.model.values import dataclass


@dataclass(frozen=True, slots=True)
class ReloadSpec:
    """
    How one service is reloaded for all of its resources. Made once for each set of resources.

    command: the reload command.
    dest: what `{{ dest }}` in it stands for.
    confirm: what proves that the new files were taken; None when the exit status is believed.
    nginx: whose configuration shows where it can be asked.
    revert: whether the old files come back when the service does not take the new ones.
    min_interval_s: least time between two reloads.
    runtime: what is changed without a reload where that can be; None for nothing.
    """

    command: Command
    dest: str
    confirm: Confirm | None = None
    nginx: Nginx | None = None
    revert: bool = False
    min_interval_s: float = 0.0
    runtime: Runtime | None = None

    @staticmethod
    def of(resources: Sequence[Resource]) -> ReloadSpec | None:
        """How a service with these resources is reloaded; None when it has no reload command."""
        first = resources[0] if resources else None
        if first is None or first.reload is None:
            return None
        confirming = next((one for one in resources if one.service.confirm), first)
        return ReloadSpec(
            first.reload,
            first.dest,
            confirm=confirming.service.confirm,
            nginx=confirming.nginx,
            revert=any(one.service.on_reload_failure == "revert" for one in resources),
            min_interval_s=max(one.service.min_reload_interval_s for one in resources),
            runtime=next((one.service.runtime for one in resources if one.service.runtime), None),
        )
