"""What a pass would do, without writing anything (`--noop`). No command is run either."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from pyconfd.apply.expansion import MadeFiles, expand
from pyconfd.apply.guard_state import GuardState
from pyconfd.apply.ownership import Ownership
from pyconfd.apply.quarantine import Quarantine
from pyconfd.errors import HeldBack, LeftOut, RenderError, StageError
from pyconfd.model.resources import Resource
from pyconfd.model.steps import Outcome, Result
from pyconfd.pipeline import stage
from pyconfd.pipeline.render.renderer import Renderer
from pyconfd.pipeline.store import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """
    diff: whether outcomes carry one. guards, made, quarantine: as the last real run left them.
    claims: of everything that is declared.
    """

    renderer: Renderer
    guards: GuardState
    made: MadeFiles
    diff: bool
    claims: Ownership = field(default_factory=Ownership)
    quarantine: Quarantine = field(default_factory=Quarantine)

    def group(self, members: Sequence[Resource], snapshot: Snapshot) -> list[Outcome]:
        """
        One outcome for each destination of a group, those that would go included. As in a pass:
        it is held back as a whole, and a member that fails leaves out the others.
        """
        for resource in members:
            try:
                self.guards.ask(resource, snapshot, self.renderer, self.made.count(resource))
            except HeldBack as error:
                return [Outcome(resource=one, result=Result.HELD, error=error) for one in members]
        if members[0].each:
            return list(self._each(members[0], snapshot))
        outcomes = [self._one(resource, snapshot) for resource in members]
        failed = [outcome for outcome in outcomes if outcome.result.failed]
        if failed:
            return [self._left_out(one, failed[0]) for one in outcomes]
        return self._but_refused(members[0].group or members[0].name, outcomes)

    def _each(self, resource: Resource, snapshot: Snapshot) -> Iterator[Outcome]:
        found = expand(resource, snapshot, self.claims.other)
        for one, fault in found.faults:
            yield Outcome(resource=one, result=Result.RENDER_FAILED, error=fault)
        for one in found.resources:
            yield from self._but_refused(one.name, [self._one(one, snapshot)])
        keep = (*found.resources, *(one for one, _ in found.faults))
        for gone in self.made.gone(resource, keep):
            if not self.claims.other(gone, snapshot):
                yield Outcome(resource=gone, result=Result.WOULD_CHANGE, differs=("removed",))

    def _but_refused(self, name: str, outcomes: list[Outcome]) -> list[Outcome]:
        """The same, but for a version that its service has refused before."""
        refusal = self.quarantine.get(name)
        versions = {one.resource.name: one.digest for one in outcomes}
        if refusal is None or versions != refusal.versions:
            return outcomes
        return [
            replace(one, result=Result.REVERTED, error=refusal.error(name), diff="")
            if one.resource.name in refusal.refused
            else one
            for one in outcomes
        ]

    def _one(self, resource: Resource, snapshot: Snapshot) -> Outcome:
        try:
            rendered = self.renderer.render(resource, snapshot)
            live, differs = stage.compare(rendered)
        except RenderError as error:
            return Outcome(resource=resource, result=Result.RENDER_FAILED, error=error)
        except StageError as error:
            return Outcome(resource=resource, result=Result.STAGE_FAILED, error=error)
        return Outcome(
            resource=resource,
            result=Result.WOULD_CHANGE if differs else Result.UNCHANGED,
            reads=rendered.reads,
            digest=rendered.digest,
            was=live.digest,
            differs=differs,
            diff=stage.diff(rendered, live) if self.diff and differs else "",
            revision=rendered.revision,
        )

    @staticmethod
    def _left_out(outcome: Outcome, failed: Outcome) -> Outcome:
        """What would change, but for a member that failed."""
        if outcome.result is not Result.WOULD_CHANGE:
            return outcome
        blame = LeftOut(
            f"would not be done, because {failed.resource.name} of the same group fails",
            where=outcome.resource.group,
            kept="the live file would stay",
        )
        return Outcome(resource=outcome.resource, result=Result.LEFT_OUT, error=blame)
