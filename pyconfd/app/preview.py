"""What a pass would do, without writing anything (`--noop`)."""

from __future__ import annotations

from collections.abc import Iterator

from pyconfd.app.each import Made, expand
from pyconfd.errors import RenderError, StageError
from pyconfd.model.resources import Resource
from pyconfd.model.steps import Outcome, Result
from pyconfd.pipeline import stage
from pyconfd.pipeline.render import Renderer
from pyconfd.pipeline.store import Snapshot


def preview(
    renderer: Renderer, resource: Resource, snapshot: Snapshot, made: Made, *, diff: bool
) -> Iterator[Outcome]:
    """One outcome for each destination of a declared resource, those that would go included."""
    if not resource.each:
        yield _preview_one(renderer, resource, snapshot, diff)
        return
    found = expand(resource, snapshot)
    for one, fault in found.faults:
        yield Outcome(resource=one, result=Result.RENDER_FAILED, error=fault)
    for one in found.resources:
        yield _preview_one(renderer, one, snapshot, diff)
    for gone in made.gone(resource, (*found.resources, *(one for one, _ in found.faults))):
        yield Outcome(resource=gone, result=Result.WOULD_CHANGE, differs=("removed",))


def _preview_one(renderer: Renderer, resource: Resource, snapshot: Snapshot, diff: bool) -> Outcome:
    try:
        rendered = renderer.render(resource, snapshot)
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
        diff=stage.diff(rendered, live) if diff and differs else "",
        revision=rendered.revision,
    )
