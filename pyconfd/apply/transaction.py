"""
Takes groups from a snapshot to live files: prepares, checks and swaps them.

A group is one or several resources that are swapped together or not at all; a resource declared
alone is a group of its own. Each group fails by itself and does not delay the others.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pyconfd.apply import printed
from pyconfd.apply.context import PassContext
from pyconfd.errors import (
    CheckBroken,
    LeftOut,
    LiveRefused,
    PyconfdError,
    RenderError,
    StageError,
    StateError,
    SwapError,
    SwapTorn,
)
from pyconfd.model.reads import Reads
from pyconfd.model.resources import Nginx, Resource
from pyconfd.model.steps import (
    Checked,
    CommandReport,
    Outcome,
    Refused,
    Rendered,
    Result,
    Staged,
    Swapped,
)
from pyconfd.observe import log
from pyconfd.pipeline import check, stage, swap
from pyconfd.pipeline.store import Snapshot
from pyconfd.reconcile.quarantine import Refusal

if TYPE_CHECKING:
    from pyconfd.apply.group_search import SearchResult

Judged = tuple[Checked, ...] | Refused


@dataclass(slots=True, eq=False)
class Candidate:
    """
    One group of this pass.

    removals: destinations that disappear with it.
    staged: what differs, in the group's order.
    permits: one for each staged file that passed its check.
    outcomes: by destination; complete when the candidate is settled.
    may_go: the removals were checked with other groups.
    aside: destination of a removal that sets a file aside -> why; the file will be tried again.
    """

    name: str
    resources: Sequence[Resource]
    removals: Sequence[Resource] = ()
    staged: list[Staged] = field(default_factory=list)
    permits: list[Checked] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    settled: bool = False
    may_go: bool = False
    aside: Mapping[str, LiveRefused] = field(default_factory=dict)

    @property
    def waiting(self) -> bool:
        """Whether there is anything left to swap."""
        return not self.settled and bool(self.staged or self.removals)

    @property
    def dests(self) -> list[str]:
        """Its destinations."""
        return [one.dest for one in (*self.resources, *self.removals)]

    def begin_again(self) -> None:
        """Forget the results; the staged files are gone."""
        self.staged, self.permits, self.outcomes = [], [], {}
        self.settled = self.may_go = False

    def settle(self, resource: Resource, result: Result, **facts: object) -> None:
        """Note the outcome of one destination."""
        self.outcomes[resource.dest] = Outcome(resource=resource, result=result, **facts)  # type: ignore[arg-type]

    def fail(
        self,
        resource: Resource,
        result: Result,
        *,
        error: PyconfdError | None = None,
        report: CommandReport | None = None,
        reads: Reads | None = None,
    ) -> None:
        """The whole group fails: one destination is to blame, the others are left out."""
        self.settled = True
        if not isinstance(error, SwapTorn):  # then they tell the next start what has happened
            check.discard_all(self.staged)
        blame = LeftOut(
            f"not done, because {resource.name} of the same group failed",
            where=self.name,
            kept="the live file is unchanged",
        )
        for each in self.staged:
            self._left_out(each.rendered, blame)
        for gone in self.removals:
            self.settle(gone, Result.LEFT_OUT, error=blame)
        known = self.outcomes.get(resource.dest)
        self.outcomes[resource.dest] = Outcome(
            resource=resource,
            result=result,
            reads=known.reads if known else reads,
            digest=known.digest if known else "",
            differs=known.differs if known else (),
            revision=known.revision if known else 0,
            error=error,
            report=report,
        )

    def _left_out(self, rendered: Rendered, error: PyconfdError) -> None:
        self.settle(
            rendered.resource,
            Result.LEFT_OUT,
            reads=rendered.reads,
            digest=rendered.digest,
            revision=rendered.revision,
            error=error,
        )


def transact(
    context: PassContext, candidates: Sequence[Candidate], snapshot: Snapshot
) -> list[Candidate]:
    """
    Settle each candidate; afterwards its outcomes are complete. Returns the candidates, and those
    for live files that had to be set aside.
    """
    todo, done = list(candidates), list(candidates)
    while todo:
        for candidate in todo:
            prepare(context, candidate, snapshot)
        for candidate in _waiting(todo):
            _check_alone(context, candidate, snapshot)
        judges = dict.fromkeys(filter(None, map(_nginx, _waiting(todo))))
        with context.nginx_locks.of(judges):
            for nginx in judges:
                aside = _check_in_nginx(context, nginx, todo, snapshot)
                todo += aside
                done += aside
            todo = _swap_all(context, todo, snapshot)
    return done


def _swap_all(
    context: PassContext, candidates: Sequence[Candidate], snapshot: Snapshot
) -> list[Candidate]:
    """Put live what has permits. Returns those that have to be judged again."""
    _will_make(context, candidates)
    again: list[Candidate] = []
    unsynced: set[str] = set()
    for judged in _judged_together(candidates):
        again += _swap(context, judged, unsynced)
    for candidate in _waiting(candidates):
        if candidate not in again:
            _remove_alone(context, candidate, snapshot)
    swap.sync(unsynced)
    return again


def _will_make(context: PassContext, candidates: Sequence[Candidate]) -> None:
    """Note the files of names that are about to go live, and those that already are as wanted."""
    if context.dry_run:
        return
    members = [(candidate, one) for candidate in candidates for one in candidate.resources]
    context.made_files.will_make(
        one
        for candidate, one in members
        if one.item and candidate.outcomes[one.dest].result is Result.UNCHANGED
    )


def _judged_together(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """
    Those with permits, by verdict: what one nginx has judged as a set is swapped as a set.
    """
    sets: dict[object, list[Candidate]] = {}
    for candidate in _waiting(candidates):
        nginx = _nginx(candidate)
        if nginx is None or candidate.staged or candidate.may_go:
            sets.setdefault(nginx or candidate.name, []).append(candidate)
    return list(sets.values())


def prepare(context: PassContext, candidate: Candidate, snapshot: Snapshot) -> None:
    """Render and stage every member; the first failure ends the candidate."""
    refusal = context.quarantine.get(candidate.name)
    if refusal and _was_refused(context, candidate, refusal, snapshot):
        return
    if context.dry_run:
        _compare(context, candidate, snapshot)
        return
    for resource in candidate.resources:
        try:
            rendered = context.renderer.render(resource, snapshot)
        except RenderError as error:
            candidate.fail(resource, Result.RENDER_FAILED, error=error, reads=_reads_of(error))
            return
        candidate.settle(
            resource,
            Result.UNCHANGED,
            reads=rendered.reads,
            digest=rendered.digest,
            revision=rendered.revision,
        )
        context.drift.saw(resource, resource.dest)
        try:
            staged = stage.stage(rendered, keep=context.keep_stage, elsewhere=context.work_dir)
        except StageError as error:
            candidate.fail(resource, Result.STAGE_FAILED, error=error)
            return
        if staged is not None:
            candidate.staged.append(staged)
            if foreign := context.made_files.refuse(rendered, staged.differs):
                candidate.fail(resource, Result.STAGE_FAILED, error=foreign)
                return


def _compare(context: PassContext, candidate: Candidate, snapshot: Snapshot) -> None:
    """
    What would change: like `prepare`, but nothing is staged. When a member fails, the other changes
    of its group are left out.
    """
    failed: Resource | None = None
    for resource in candidate.resources:
        try:
            rendered = context.renderer.render(resource, snapshot)
            live, differs = stage.compare(rendered)
            if foreign := context.made_files.refuse(rendered, differs):
                raise foreign
        except (RenderError, StageError) as error:
            failed = failed or resource
            result = Result.RENDER_FAILED if isinstance(error, RenderError) else Result.STAGE_FAILED
            candidate.settle(resource, result, error=error)
            continue
        candidate.settle(
            resource,
            Result.WOULD_CHANGE if differs else Result.UNCHANGED,
            reads=rendered.reads,
            digest=rendered.digest,
            was=live.digest,
            differs=differs,
            diff=stage.diff(rendered, live) if context.diff and differs else "",
            revision=rendered.revision,
        )
    for gone in candidate.removals:
        candidate.settle(gone, Result.WOULD_CHANGE, differs=("removed",))
    candidate.settled = True
    if failed:
        _would_be_left_out(candidate, failed)


def _would_be_left_out(candidate: Candidate, failed: Resource) -> None:
    blame = LeftOut(
        f"would not be done, because {failed.name} of the same group fails",
        where=candidate.name,
        kept="the live file would stay",
    )
    for outcome in list(candidate.outcomes.values()):
        if outcome.result is Result.WOULD_CHANGE:
            candidate.settle(outcome.resource, Result.LEFT_OUT, error=blame)


def _reads_of(error: RenderError) -> Reads | None:
    if error.read_keys is None:
        return None
    return Reads(error.read_keys, error.read_trees)


def _was_refused(
    context: PassContext, candidate: Candidate, refusal: Refusal, snapshot: Snapshot
) -> bool:
    """
    Whether this version is in quarantine; if so, the candidate is settled, otherwise the quarantine
    ends.
    """
    try:
        made = [context.renderer.render(resource, snapshot) for resource in candidate.resources]
    except RenderError:
        return False  # whoever renders next says so
    if {each.resource.name: each.digest for each in made} != refusal.versions:
        if not context.dry_run:
            context.quarantine.forget(candidate.name)
        return False
    if context.quarantine.is_due(candidate.name):
        if not context.dry_run:
            context.quarantine.begin_trial(candidate.name)
            log.info("a version that was refused is tried once more", name=candidate.name)
        return False
    error = refusal.error(candidate.name)
    for each in made:
        taken_back = each.resource.name in refusal.refused
        candidate.settle(
            each.resource,
            Result.REVERTED if taken_back else Result.UNCHANGED,
            reads=each.reads,
            digest=each.digest,
            revision=each.revision,
            error=error if taken_back else None,
        )
    for gone in candidate.removals:
        candidate.settle(gone, Result.REVERTED, error=error)
    candidate.settled = True
    return True


def _waiting(candidates: Sequence[Candidate]) -> list[Candidate]:
    return [candidate for candidate in candidates if candidate.waiting]


def _nginx(candidate: Candidate) -> Nginx | None:
    """The nginx that judges this group; its members agree on it, config/groups.py sees to that."""
    members = [*candidate.resources, *candidate.removals]
    return next((resource.nginx for resource in members if resource.nginx), None)


def _check_alone(context: PassContext, candidate: Candidate, snapshot: Snapshot) -> None:
    """Run the members' own check commands, each on its staged file."""
    for staged in candidate.staged:
        resource = staged.rendered.resource
        try:
            judged = check.check(staged, context.run)
        except CheckBroken as error:
            printed.name_keys(error, [resource], snapshot)
            candidate.fail(resource, Result.CHECK_BROKEN, error=error)
            return
        if isinstance(judged, Refused):
            report = _with_place(context, judged, snapshot)
            candidate.fail(resource, Result.REFUSED, report=report)
            return
        candidate.permits.append(judged)


def _check_in_nginx(
    context: PassContext, nginx: Nginx, candidates: Sequence[Candidate], snapshot: Snapshot
) -> list[Candidate]:
    """
    All groups of one nginx together, files that only disappear included; those that do not pass are
    left out. Where the disappearing does not pass with the others, it is judged later, by itself.

    Returns a candidate for each live file that has to go, because nginx refuses it as it is and
    would take nothing else.
    """
    mine = [candidate for candidate in _waiting(candidates) if _nginx(candidate) == nginx]
    going = [candidate for candidate in mine if not candidate.staged]
    groups = {one.name: one.staged for one in mine if one.staged}
    refused: dict[str, Refused | CheckBroken] = {}
    aside: list[Candidate] = []
    while True:
        verdict = _judged_in_nginx(context, nginx, mine, groups, going, aside)
        live = next((why for why in verdict.refused.values() if isinstance(why, LiveRefused)), None)
        if live:  # it is about files of any of these resources
            printed.name_keys(live, _checked_in(context, nginx), snapshot)
        due = _due_aside(context, nginx, live, mine, aside) if live else []
        own = groups.keys() & {one.name for one in due}
        others = {name: staged for name, staged in groups.items() if name not in own}
        if not due or not (others or going):
            break
        aside += due
        groups = others
        refused |= {name: verdict.refused[name] for name in own}
    _settle_judged(context, mine, verdict, refused, snapshot)
    if live:
        return []
    context.set_aside.accepted(nginx)
    return aside if verdict.passed or verdict.more else []


def _judged_in_nginx(
    context: PassContext,
    nginx: Nginx,
    mine: Sequence[Candidate],
    groups: Mapping[str, Sequence[Staged]],
    going: Sequence[Candidate],
    aside: Sequence[Candidate],
) -> SearchResult:
    """What nginx says of these groups, and of the files that only go."""
    from pyconfd.apply.group_search import SearchResult, sort_out

    out = [gone.dest for candidate in aside for gone in candidate.removals]

    def judge(files: Sequence[Staged], also: Sequence[Candidate] = ()) -> Judged:
        members = set(map(id, files))
        with_files = (one for one in mine if any(id(staged) in members for staged in one.staged))
        removed = [gone.dest for one in (*with_files, *also) for gone in one.removals]
        return _ask(context, nginx, files, removed, out)

    def with_going(files: Sequence[Staged]) -> Judged:
        return judge(files, going)

    if groups:
        return sort_out(groups, judge, more=with_going if going else None)
    try:
        judge((), going)
    except LiveRefused as broken:
        return SearchResult({}, {one.name: broken for one in going})
    except CheckBroken:
        return SearchResult({}, {})
    return SearchResult({}, {}, more=True)


def _due_aside(
    context: PassContext,
    nginx: Nginx,
    live: LiveRefused,
    mine: Sequence[Candidate],
    aside: Sequence[Candidate],
) -> list[Candidate]:
    """Files of this service's patterns that nginx refuses as they are."""
    from pyconfd.apply.set_aside import why

    members = (one for each in mine for one in (*each.resources, *each.removals))
    service = next(members).service_name
    out = {gone.dest for candidate in (*mine, *aside) for gone in candidate.removals}
    made = (
        one
        for resource in _checked_in(context, nginx)
        if resource.each and resource.service_name == service
        for one in context.made_files.known(resource)
        if one.dest not in out and context.made_files.has(one)
    )
    due = context.set_aside.due(nginx, live, made, time.monotonic())
    return [
        Candidate(one.name, (), (one,), may_go=True, aside={one.dest: why(one, live)})
        for one in due
    ]


def _settle_judged(
    context: PassContext,
    mine: Sequence[Candidate],
    verdict: SearchResult,
    refused: Mapping[str, Refused | CheckBroken],
    snapshot: Snapshot,
) -> None:
    """The permits of those that passed; those that did not have failed."""
    due = {candidate.name: candidate for candidate in mine if candidate.staged}
    for name, permits in verdict.passed.items():
        due[name].permits = list(permits)
    if verdict.more:
        for candidate in mine:
            candidate.may_go = candidate.may_go or not candidate.staged
    for name, why in {**verdict.refused, **refused}.items():
        if name not in due:
            continue  # a file that only goes, which is checked by itself
        candidate = due[name]
        if isinstance(why, CheckBroken):
            first = candidate.staged[0].rendered.resource
            printed.name_keys(why, [first], snapshot)
            candidate.fail(first, Result.CHECK_BROKEN, error=why)
        else:
            # what nginx names, or the first when it names nothing, may be of another group
            own = why.staged if any(why.staged is each for each in candidate.staged) else None
            blamed = (own or candidate.staged[0]).rendered.resource
            candidate.fail(blamed, Result.REFUSED, report=_with_place(context, why, snapshot))


def _with_place(context: PassContext, why: Refused, snapshot: Snapshot) -> CommandReport:
    """The checker's output, with the template line and the keys that made the line it names."""
    resource = why.staged.rendered.resource
    report = printed.of_failure(why.report, [resource], snapshot)
    place = context.renderer.place(resource, snapshot, why.line) if why.line else None
    if place is None:
        return report
    words = report.output.rstrip("\n")
    made = f"{resource.dest}:{why.line} comes from {place}"
    return replace(report, output=f"{words}\n{made}\n")


def _checked_in(context: PassContext, nginx: Nginx) -> list[Resource]:
    """The declared resources whose files this nginx reads."""
    return [one for one in context.ownership.declared if one.nginx == nginx]


def _ask(
    context: PassContext,
    nginx: Nginx,
    files: Sequence[Staged],
    removed: Sequence[str],
    aside: Sequence[str] = (),
) -> Judged:
    return check.check_in_nginx(
        files,
        nginx,
        context.run,
        timeout_s=context.check_timeout_s,
        work_dir=context.work_dir,
        removed=removed,
        aside=aside,
    )


def _remove_alone(context: PassContext, candidate: Candidate, snapshot: Snapshot) -> None:
    """Files that only disappear, judged against what is live by now."""
    nginx = _nginx(candidate)
    first = candidate.removals[0]
    if nginx is not None:
        try:
            _ask(context, nginx, (), [gone.dest for gone in candidate.removals])
        except CheckBroken as error:
            printed.name_keys(error, _checked_in(context, nginx), snapshot)
            candidate.fail(first, Result.CHECK_BROKEN, error=error)
            return
    _swap(context, [candidate], set())  # a removal is synced with its set


def _swap(context: PassContext, judged: Sequence[Candidate], unsynced: set[str]) -> list[Candidate]:
    """
    Put the files of one verdict live, whole or not at all. When one of them cannot be put in place,
    its group is off; the others are as they were, and have to be judged without it: these.
    """
    for candidate in judged:
        for staged in candidate.staged:
            context.drift.saw(staged.rendered.resource, staged.path)
        for gone in candidate.removals:
            context.drift.forget(gone)
    try:
        _swap_files(context, judged, unsynced)
    except SwapError as error:
        return _not_swapped(judged, error)
    for candidate in judged:
        _swapped(context, candidate)
    return []


def _swap_files(context: PassContext, judged: Sequence[Candidate], unsynced: set[str]) -> None:
    permits = [permit for candidate in judged for permit in candidate.permits]
    removals = [gone for candidate in judged for gone in candidate.removals]
    revertible = any(
        resource.service.on_reload_failure == "revert" or resource.service.runtime
        for candidate in judged
        for resource in (*candidate.resources, *candidate.removals)
    )
    if len(permits) == 1 and not removals and not revertible:
        done: Sequence[Swapped] = [
            swap.swap(permits[0], journal=context.journal, unsynced=unsynced)
        ]
    else:
        done = swap.swap_all(
            permits, journal=context.journal, removals=removals, keep_old=revertible
        )
    for each in done:
        _say_once_in_place(context, each)


def _say_once_in_place(context: PassContext, done: Swapped) -> None:
    dest = done.checked.staged.rendered.resource.dest
    if done.in_place and dest not in context.in_place:
        context.in_place.add(dest)
        log.warn(
            "the destination is a mount point of its own: it is written in place, so a reader may "
            "see half of a new version; mount its folder to have it replaced whole",
            dest=dest,
        )


def _not_swapped(judged: Sequence[Candidate], error: SwapError) -> list[Candidate]:
    """The group that the error is about fails; without one that is known, all of them do."""
    offenders = [each for each in judged if error.where in each.dests]
    if isinstance(error, SwapTorn) or isinstance(error.__cause__, StateError) or not offenders:
        offenders = list(judged)
    for candidate in offenders:
        members = [*candidate.resources, *candidate.removals]
        named = (each for each in members if each.dest == error.where)
        candidate.fail(next(named, members[0]), Result.SWAP_FAILED, error=error)
    again = [each for each in judged if each not in offenders]
    for candidate in again:
        candidate.begin_again()
    return again


def _swapped(context: PassContext, candidate: Candidate) -> None:
    reports = {permit.staged.path: permit.report for permit in candidate.permits}
    for staged in candidate.staged:
        candidate.settle(
            staged.rendered.resource,
            Result.UPDATED,
            reads=staged.rendered.reads,
            digest=staged.rendered.digest,
            was=staged.live.digest,
            differs=staged.differs,
            revision=staged.rendered.revision,
            report=reports.get(staged.path),
        )
    for gone in candidate.removals:
        if error := candidate.aside.get(gone.dest):
            context.made_files.has_removed(gone.declared, (gone.item,))
            candidate.settle(gone, Result.SET_ASIDE, error=error)
        else:
            candidate.settle(gone, Result.REMOVED, was="removed")
    candidate.settled = True
