"""What a pass over a service works with."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import field

from pyconfd.apply.drift import Drift
from pyconfd.apply.guard_state import GuardState
from pyconfd.apply.made_files import MadeFiles
from pyconfd.apply.ownership import Ownership
from pyconfd.apply.quarantine import Quarantine
from pyconfd.apply.set_aside import SetAside
from pyconfd.model.resources import Nginx
from pyconfd.model.values import dataclass
from pyconfd.pipeline.journal import Journal
from pyconfd.pipeline.render.renderer import Renderer
from pyconfd.system.proc import Runner


class NginxLocks:
    """
    One lock for each nginx: what was checked against its live files must be live before anything
    else is checked against them. Resources of different services are on different lanes, but one
    nginx may read them all.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    @contextlib.contextmanager
    def of(self, judges: Iterable[Nginx]) -> Iterator[None]:
        """Hold the locks of all these nginx."""
        with contextlib.ExitStack() as stack:
            for conf in sorted({nginx.conf for nginx in judges}):
                with self._lock:
                    lock = self._locks.setdefault(conf, threading.Lock())
                stack.enter_context(lock)
            yield


@dataclass(frozen=True, slots=True, kw_only=True)
class PassContext:
    """
    work_dir: for shadow trees, and for new versions of files whose folder cannot be written.
    check_timeout_s: for a check of nginx in context.
    stopping: asked between two groups; once it returns True, no further group is begun.
    keep_stage: as the option.
    quarantine: versions that were put live and rolled back.
    ownership: of everything that is declared, whatever its service.
    nginx_locks: shared by the lanes.
    set_aside: live files that nginx refuses.
    dry_run: stop before anything is written.
    in_place: destinations that were already reported as mount points.
    diff: whether the outcomes of a dry run carry one.
    runtime_problems: service -> why it was last reloaded and not changed at run time.
    """

    renderer: Renderer
    journal: Journal
    run: Runner
    drift: Drift
    guards: GuardState
    made_files: MadeFiles
    work_dir: str
    check_timeout_s: float = 30.0
    stopping: Callable[[], bool] = lambda: False
    keep_stage: bool = False
    dry_run: bool = False
    diff: bool = False
    in_place: set[str] = field(default_factory=set)
    runtime_problems: dict[str, str] = field(default_factory=dict)
    quarantine: Quarantine = field(default_factory=Quarantine)
    ownership: Ownership = field(default_factory=Ownership)
    nginx_locks: NginxLocks = field(default_factory=NginxLocks)
    set_aside: SetAside = field(default_factory=SetAside)
