"""
Putting back: a service did not take its new files, and its resources say on_reload_failure =
"revert".

The refusal may come passes after the swap, when the reload was postponed; so what was swapped is
read from the journal and not from the pass that hears the refusal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from pyconfd.app.each import made_from
from pyconfd.app.tools import Tools
from pyconfd.errors import SwapError
from pyconfd.model.resources import Resource
from pyconfd.model.steps import LaneReport, Outcome, ReloadFailed, Result
from pyconfd.pipeline import swap


def put_back(
    tools: Tools, done: LaneReport, failed: ReloadFailed, resources: Sequence[Resource]
) -> LaneReport:
    """
    Put the old files back, and see to it that these versions are not tried once more.

    done: the pass that ended with `failed`; the very same is returned when no old versions were
    kept. resources: all of the service, as declared. What was put back counts as failed, also
    when an earlier pass swapped it. Raises SwapTorn.
    """
    digests: dict[str, str] = {}
    for entry in swap.revert(done.service, journal=tools.journal):
        digests.setdefault(entry.dest, entry.digest)
    if not digests:
        return done
    for one, digest in _owners(resources, digests):
        tools.drift.forget(one)
        if digest:
            tools.quarantine[one.name] = digest
        elif one.item:
            # its file stands again, so it has to be known as one that can go
            tools.made.will_make(replace(one, name=one.declared, item=""), [one])
    outcomes = tuple(_outcomes(done, failed, resources, digests))
    reverted = (one.resource.declared for one in outcomes if one.result is Result.REVERTED)
    return replace(done, outcomes=outcomes, names=done.names.union(reverted))


def _owners(
    resources: Sequence[Resource], digests: Mapping[str, str]
) -> Iterator[tuple[Resource, str]]:
    """The resource of each destination; none for one that is no longer declared."""
    for dest, digest in digests.items():
        found = (made_from(resource, dest) for resource in resources)
        if one := next(filter(None, found), None):
            yield one, digest


def _outcomes(
    done: LaneReport,
    failed: ReloadFailed,
    resources: Sequence[Resource],
    digests: Mapping[str, str],
) -> Iterator[Outcome]:
    """Those of the pass, and one for each file that an earlier pass swapped."""
    why = failed.error.what if failed.error else "its reload command failed"
    error = SwapError(
        f"the service did not take the new version: {why}",
        kept="the version before it is live again",
    )
    seen = set()
    for outcome in done.outcomes:
        dest = outcome.resource.dest
        seen.add(dest)
        if dest in digests and not outcome.result.failed:
            outcome = replace(outcome, result=Result.REVERTED, error=error, report=failed.report)
        yield outcome
    for one, digest in _owners(resources, digests):
        if one.dest not in seen:
            yield Outcome(
                resource=one,
                result=Result.REVERTED,
                digest=digest,
                error=error,
                report=failed.report,
            )
