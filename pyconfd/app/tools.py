"""What a pass over a service works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pyconfd.app.claims import Claims
from pyconfd.app.drift import Drift
from pyconfd.app.each import Made
from pyconfd.app.guards import Guards
from pyconfd.app.quarantine import Quarantine
from pyconfd.pipeline.journal import Journal
from pyconfd.pipeline.render import Renderer
from pyconfd.system.proc import Runner


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """
    work_dir: for shadow trees. check_timeout_s: for a check of nginx in context. stopping: asked
    between two groups; once it says yes, no further one is begun. keep_stage: as the option.
    quarantine: versions that were put live and reverted. claims: of everything that is declared,
    whatever its service.
    """

    renderer: Renderer
    journal: Journal
    run: Runner
    drift: Drift
    guards: Guards
    made: Made
    work_dir: str
    check_timeout_s: float = 30.0
    stopping: Callable[[], bool] = lambda: False
    keep_stage: bool = False
    quarantine: Quarantine = field(default_factory=Quarantine)
    claims: Claims = field(default_factory=Claims)
