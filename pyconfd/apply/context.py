"""What a pass over a service works with."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from pyconfd.apply.drift import Drift
from pyconfd.apply.expansion import MadeFiles
from pyconfd.apply.guard_state import GuardState
from pyconfd.apply.ownership import Ownership
from pyconfd.apply.quarantine import Quarantine
from pyconfd.model.resources import Nginx
from pyconfd.pipeline.journal import Journal
from pyconfd.pipeline.render.renderer import Renderer
from pyconfd.system.proc import Runner


class NginxLocks:
    """
    Whose turn it is with an nginx: what was judged against its live files must be live before
    something else is judged against them. Resources with different reload commands are on
    different lanes, and may be read by one nginx all the same.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: dict[str, threading.Lock] = {}

    @contextlib.contextmanager
    def of(self, judges: Iterable[Nginx]) -> Iterator[None]:
        """Wait for the turn with all of these, and keep it."""
        with contextlib.ExitStack() as stack:
            for conf in sorted({nginx.conf for nginx in judges}):
                with self._lock:
                    turn = self._taken.setdefault(conf, threading.Lock())
                stack.enter_context(turn)
            yield


@dataclass(frozen=True, slots=True, kw_only=True)
class PassContext:
    """
    work_dir: for shadow trees. check_timeout_s: for a check of nginx in context. stopping: asked
    between two groups; once it says yes, no further one is begun. keep_stage: as the option.
    quarantine: versions that were put live and reverted. claims: of everything that is declared,
    whatever its service. turns: of the lanes with each nginx.
    """

    renderer: Renderer
    journal: Journal
    run: Runner
    drift: Drift
    guards: GuardState
    made: MadeFiles
    work_dir: str
    check_timeout_s: float = 30.0
    stopping: Callable[[], bool] = lambda: False
    keep_stage: bool = False
    quarantine: Quarantine = field(default_factory=Quarantine)
    claims: Ownership = field(default_factory=Ownership)
    turns: NginxLocks = field(default_factory=NginxLocks)
