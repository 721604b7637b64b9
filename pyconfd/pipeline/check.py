"""
Check: runs the operator's check on a staged file before anything live changes. Shell.

The only place that makes a `Checked`, which is the permit to swap.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pyconfd.errors import CheckBroken, LiveRefused
from pyconfd.model.command_line import CannotExpand
from pyconfd.model.resources import Command, Nginx
from pyconfd.model.steps import (
    NOT_EXECUTABLE,
    NOT_FOUND,
    Checked,
    CommandReport,
    Ending,
    Refused,
    Staged,
)
from pyconfd.pipeline import exhausted, stage
from pyconfd.pipeline.exhausted import Exhausted
from pyconfd.pipeline.operator_command import run_on
from pyconfd.system.proc import Runner

if TYPE_CHECKING:
    from pyconfd.pipeline.nginx.shadow import Finding

#: A shell exits with this plus the number of the signal that ended its command.
_SIGNALLED = 128
_LAST_SIGNAL = 64

#: How checkers name a line: "path:12", "path: Line 12", "path line 12"; "line 12 of path".
_AFTER = r"{}(?::\s*|,?\s+)(?:[Ll]ine )?([0-9]+)"
_BEFORE = r"[Ll]ine ([0-9]+) (?:of|in)(?: file)? {}"

_KEPT = "the live file is unchanged"
#: So many files that nginx may mean are named.
_NAMED_PLACES = 3


def unchecked(staged: Staged) -> Checked:
    """The permit for a file without a check: no check_cmd, or --sync-only."""
    return Checked(staged, None)


def check(staged: Staged, run: Runner) -> Checked | Refused:
    """
    Run the resource's check command on the staged file; exit status 0 accepts it.

    A refused staged file is removed, unless it was staged to be kept; the output in the report then
    has the name of the destination instead. Raises CheckBroken when there was no verdict: the
    command does not exist, timed out, was killed or stopped, or met a limit of this host. The
    staged file is removed then too.
    """
    resource = staged.rendered.resource
    command = resource.check
    if command is None:
        return unchecked(staged)
    try:
        report = run_on(run, command, src=staged.path, dest=resource.dest)
    except CannotExpand as error:
        stage.discard(staged)
        what = f"check_cmd was not run: {error}"
        raise CheckBroken(what, where=str(resource.origin), kept=_KEPT) from error
    if report.ok:
        return Checked(staged, report)
    stage.discard(staged)
    limit = exhausted.in_output(report.problem or report.output)
    what = limit.what if limit else _no_verdict(report)
    if what:
        raise CheckBroken(
            f"the check gave no verdict: {what}",
            where=resource.dest,
            kept=_KEPT,
            hint=_limit_hint(limit) if limit else _hint(command, report),
        )
    line = _line_named(report.output, staged.path)
    output = report.output.replace(staged.path, resource.dest)
    return Refused(staged, replace(report, output=output), line=line)


def _line_named(output: str, path: str) -> int:
    """The first line number that the output of a check names for this file, 1-based; 0 for none."""
    named = re.escape(path)
    found = re.search(_AFTER.format(named), output) or re.search(_BEFORE.format(named), output)
    return int(found[1]) if found else 0


def check_in_nginx(
    staged: Sequence[Staged],
    nginx: Nginx,
    run: Runner,
    *,
    timeout_s: float,
    work_dir: str,
    removed: Collection[str] = (),
    aside: Collection[str] = (),
) -> tuple[Checked, ...] | Refused:
    """
    Let nginx check these files together, in the places where its configuration reads them. The
    `removed` destinations are left out, and so are those to set `aside` because nginx refuses them
    as they are. work_dir: for the shadow tree, below the state folder.

    A refusal has the staged file that nginx named, or the first (`named` is False then). The staged
    files stay, so that the others can be checked without it; see `discard_all`.
    Raises CheckBroken when there was no verdict: nginx does not exist, hangs or meets a limit of
    this host, or the configuration does not include one of the files. Raises LiveRefused when the
    live configuration is refused even without them.
    """
    gone = (*removed, *aside)
    report, finding, _ = _run_nginx(staged, nginx, run, timeout_s, work_dir, gone)
    if report.ok:
        return _not_claimed(staged, report) or tuple(Checked(each, report) for each in staged)
    offender = _named(staged, finding)
    if offender is None:
        _raise_if_live_is_refused(nginx, run, timeout_s, work_dir, aside, finding)
    if not staged:
        raise CheckBroken(
            f"nginx refuses its configuration without the files to be removed: {_text(finding)}",
            where=f"{finding.path}:{finding.line}" if finding and finding.path else nginx.conf,
            kept="the live files are unchanged",
            hint="something else still needs them",
        )
    if offender is None or finding is None:
        return Refused(staged[0], report, named=False)
    return Refused(offender, report, line=finding.line)


def _not_claimed(staged: Sequence[Staged], report: CommandReport) -> Refused | None:
    """The refusal of a file that takes the server name of another one."""
    if "conflicting server name" not in report.output:
        return None
    from pyconfd.pipeline.nginx.server_names import claimed

    found = claimed(staged, report.output)
    if found is None:
        return None
    offender, line, name = found
    what = f"{offender.rendered.resource.dest}:{line}: another server has the name {name} there"
    words = f"{report.output.rstrip()}\n{what}: nginx would send requests to one of them alone\n"
    return Refused(offender, replace(report, output=words), line=line)


def _run_nginx(
    staged: Sequence[Staged],
    nginx: Nginx,
    run: Runner,
    timeout_s: float,
    work_dir: str,
    removed: Collection[str],
) -> tuple[CommandReport, Finding | None, tuple[tuple[str, int], ...]]:
    """
    A run without new files: the report, why nginx refuses, and where.

    Raises CheckBroken when there was no reliable verdict.
    """
    from pyconfd.pipeline.nginx import (
        paths as nginx_live,  # only a check of nginx in context needs them
    )
    from pyconfd.pipeline.nginx import shadow

    def prefix() -> str:
        return nginx_live.built_in_prefix(nginx, run)

    new = {each.rendered.resource.dest: each.path for each in staged}
    with shadow.build(
        nginx, new, removed=removed, work_dir=work_dir, built_in_prefix=prefix
    ) as tree:
        raw = run(tree.argv, timeout_s=timeout_s)
        report, findings = tree.report(raw), tree.findings(raw)
        what = _no_verdict(report) or (tree.unproven() if report.ok else "")
        refusal = next((finding for finding in findings if finding.refuses), None)
        places = tree.blamed(refusal) if refusal and not staged else ()
    limit = _limit(report, refusal)
    if what or limit:
        lines = report.output.strip().splitlines()
        ended = f"its output ends: {lines[-1]}" if lines else ""
        broken = CheckBroken(
            f"nginx gave no verdict: {limit.what if limit else what}",
            where=staged[0].rendered.resource.dest if staged and not limit else nginx.conf,
            kept="the live files are unchanged",
            hint=_limit_hint(limit) if limit else ended,
        )
        absent = report.exit_status in (NOT_EXECUTABLE, NOT_FOUND)
        broken.hopeless = absent or (limit is not None and not limit.of_disk)
        raise broken
    return report, refusal, places


def _limit(report: CommandReport, refusal: Finding | None) -> Exhausted | None:
    """The limit of this host that prevented a verdict of nginx, or its start."""
    if report.ok:
        return None
    if refusal is not None:
        return exhausted.in_message(refusal.text)
    return exhausted.in_output(report.problem or report.output)


def _limit_hint(limit: Exhausted) -> str:
    return f"a limit of this host, no fault of the files: {limit.hint}"


def _text(finding: Finding | None) -> str:
    return finding.text if finding else "it gives no reason"


def _named(staged: Sequence[Staged], finding: Finding | None) -> Staged | None:
    """The staged file that the finding concerns."""
    if finding is None:
        return None
    for each in staged:
        if os.path.realpath(finding.path) == os.path.realpath(each.live.path):
            return each
    return None


def _raise_if_live_is_refused(
    nginx: Nginx,
    run: Runner,
    timeout_s: float,
    work_dir: str,
    aside: Collection[str],
    finding: Finding | None,
) -> None:
    """
    nginx may refuse for a reason other than the new files; then it names none of them.

    Raises LiveRefused when the live configuration is refused for the same reason.
    """
    try:
        report, live, places = _run_nginx((), nginx, run, timeout_s, work_dir, aside)
    except CheckBroken:
        return
    if report.ok or live is None or live != finding:
        return
    named = ", ".join(f"{path}:{line}" for path, line in places[:_NAMED_PLACES])
    broken = LiveRefused(
        f"the live nginx configuration is refused already, without this change: {live.text}",
        where=named or nginx.conf,
        kept="the live files are unchanged",
        hint="repair it first; what is rendered here does not touch it",
    )
    broken.reason = live.text
    broken.blamed = tuple(os.path.realpath(path) for path, _ in places)
    raise broken


def discard_all(staged: Iterable[Staged]) -> None:
    """Remove the staged files of a set that will not be swapped."""
    for each in staged:
        stage.discard(each)


def _no_verdict(report: CommandReport) -> str:
    """Why the report is not a verdict; "" if it is."""
    if report.ending is not Ending.EXITED:
        return report.problem
    status = report.exit_status or 0
    if status == NOT_FOUND:
        return f"command not found (exit status {status})"
    if status == NOT_EXECUTABLE:
        return f"command cannot be executed (exit status {status})"
    if _SIGNALLED < status <= _SIGNALLED + _LAST_SIGNAL:
        return f"killed by signal {status - _SIGNALLED} (exit status {status})"
    return ""


def _hint(command: Command, report: CommandReport) -> str:
    if report.ending is Ending.TIMED_OUT:
        return f"see check_cmd, or raise check_cmd_timeout above {command.timeout_s:g} s"
    lines = report.output.strip().splitlines()
    return f"check_cmd {command.text!r}" + (f" printed: {lines[-1]}" if lines else "")
