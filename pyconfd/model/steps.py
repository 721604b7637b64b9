"""
The result of each step of the pipeline, in the order of the steps. Pure.

Each step takes the value that the step before it made, so that an unchecked file cannot be
handed to the swap: `swap` takes a `Checked`, and only `pipeline/check.py` makes one.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import field

from pyconfd.errors import PyconfdError, forget_frames
from pyconfd.model.debt import Debt
from pyconfd.model.reads import NO_KEYS, ChangedKeys, Reads
from pyconfd.model.resources import Resource
from pyconfd.model.values import dataclass


@dataclass(frozen=True, slots=True)
class Rendered:
    """
    The bytes that a destination should have.

    digest: sha-256 in hex.
    revision: the store's.
    """

    resource: Resource
    content: bytes
    digest: str
    reads: Reads
    revision: int


@dataclass(frozen=True, slots=True)
class LiveFile:
    """
    A destination as it is now; all but `path` are None when it does not exist.

    path: with symlinks followed, so that a link stays a link.
    digest: sha-256 in hex.
    mode: permission bits.
    """

    path: str
    digest: str | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


@dataclass(frozen=True, slots=True)
class Staged:
    """
    A new version of one destination, complete and synced to disk, beside the live file.

    path: of the staged file; no include pattern matches its name (see system/files.py).
    mode, uid, gid: what the staged file already has.
    differs: which of "missing", "content", "mode", "owner" differ; never empty.
    keep: a refused one stays for the operator to look at.
    """

    rendered: Rendered
    path: str
    live: LiveFile
    mode: int
    uid: int
    gid: int
    differs: tuple[str, ...]
    keep: bool = False


class Ending(enum.Enum):
    """How a command came to its end."""

    EXITED = "exited"
    TIMED_OUT = "timed out"
    SIGNALLED = "signalled"
    #: Ended, or kept from starting, because pyconfd stops.
    STOPPED = "stopped"
    #: The system could not start it.
    NOT_STARTED = "not started"


#: What a shell exits with when it cannot execute the command, or finds none (XCU 2.8.2).
NOT_EXECUTABLE, NOT_FOUND = 126, 127


@dataclass(frozen=True, slots=True)
class CommandReport:
    """
    What a command did.

    exit_status: None unless it exited by itself.
    output: both streams as they came, bounded.
    truncated: whether some of the output is missing.
    ending: how it ended.
    problem: the same in words ("timed out after 30 s", "killed by signal 9"); "" when it exited.
    """

    command: str
    exit_status: int | None
    duration_s: float
    output: str = ""
    truncated: bool = False
    ending: Ending = Ending.EXITED
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Whether it exited by itself with status 0."""
        return self.ending is Ending.EXITED and self.exit_status == 0

    @property
    def reason(self) -> str:
        """How it ended, in words: "timed out after 30 s", "exit status 1"."""
        return self.problem or f"exit status {self.exit_status}"

    @property
    def ran(self) -> bool:
        """Whether it was found and started, and not ended because pyconfd stops."""
        stopped = self.ending in (Ending.STOPPED, Ending.NOT_STARTED)
        return not stopped and self.exit_status not in (NOT_EXECUTABLE, NOT_FOUND)


@dataclass(frozen=True, slots=True)
class Checked:
    """
    The permit to swap exactly these files.

    report: of the check; None when there was no check to run.
    """

    staged: Staged
    report: CommandReport | None


@dataclass(frozen=True, slots=True)
class Refused:
    """
    The check refused it; the live file was never touched.

    named: whether the check named this file; False where it checked a set and named none of it.
    line: the line of it that the check named, 1-based; 0 for none.
    """

    staged: Staged
    report: CommandReport
    named: bool = True
    line: int = 0


@dataclass(frozen=True, slots=True)
class Swapped:
    """
    The new version is live; its service has not been notified yet.

    in_place: written into the live file, which is a mount point, and not renamed over it.
    """

    checked: Checked
    in_place: bool = False


class Result(enum.StrEnum):
    """How a resource came out of a pass."""

    UNCHANGED = "unchanged"
    UPDATED = "updated"
    REMOVED = "removed"
    WOULD_CHANGE = "would change"
    HELD = "held"
    RENDER_FAILED = "render failed"
    STAGE_FAILED = "stage failed"
    REFUSED = "refused"
    CHECK_BROKEN = "check broken"
    SWAP_FAILED = "swap failed"
    LEFT_OUT = "left out"
    #: The live file was taken away, so that the service takes the others.
    SET_ASIDE = "set aside"
    REVERTED = "reverted"

    @property
    def failed(self) -> bool:
        """Whether it counts against the exit status."""
        return self not in _GOOD


_GOOD = frozenset((Result.UNCHANGED, Result.UPDATED, Result.REMOVED, Result.WOULD_CHANGE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """
    The result of one resource in one pass.

    reads: what to watch for; None when it is not known (the render never started).
    digest: of what was rendered, "" when nothing was.
    was: the digest of the live file before; None when there was none.
    differs: as in Staged.
    error: why it failed.
    report: of the check that refused it; of an updated one the report of its check.
    diff: a unified diff, where it was wanted.
    revision: of the store, that it was rendered from.
    changed: what differs from the version before; named by the loop.
    """

    resource: Resource
    result: Result
    reads: Reads | None = None
    digest: str = ""
    was: str | None = None
    differs: tuple[str, ...] = ()
    error: PyconfdError | None = None
    report: CommandReport | None = None
    diff: str = ""
    revision: int = 0
    changed: ChangedKeys = NO_KEYS

    def __post_init__(self) -> None:
        if self.error is not None:
            forget_frames(self.error)


@dataclass(frozen=True, slots=True)
class Reloaded:
    """
    The service took the new files.

    report: of the reload command.
    evidence: what the daemon did ("confirmed: new worker 7 of master 5"); "" when it was not asked.
    unconfirmed: why there is no proof but the exit status; "" when no other was required.
    at_run_time: the service was changed while it ran, without a reload.
    master: the daemon's name (recipes/daemons), and pid and start time of its first process, where
    it has workers; None when that is not known.
    """

    service: str
    report: CommandReport
    evidence: str = ""
    unconfirmed: str = ""
    at_run_time: bool = False
    master: tuple[str, int, float] | None = None


@dataclass(frozen=True, slots=True)
class NotRunning:
    """
    The service provably does not run: it reads the new files when it starts, and no reload is
    pending.

    text: how that was found.
    """

    service: str
    text: str


@dataclass(frozen=True, slots=True)
class ReloadFailed:
    """
    The service did not take the new files; the reload stays pending.

    report: of the reload command; None when it was not run.
    error: why it could not be run, was not let finish, or was not confirmed.
    """

    service: str
    report: CommandReport | None = None
    error: PyconfdError | None = None

    @property
    def refused(self) -> bool:
        """
        Whether the service was notified and did not take the new files. It was not when the command
        was not run, was not found, or was ended because pyconfd stops.
        """
        return self.report is not None and self.report.ran


ReloadResult = Reloaded | NotRunning | ReloadFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneReport:
    """
    What one pass over a service did; the only thing that comes back from a lane.

    service: its name.
    generation: the number of the job.
    revision: of the store, that the pass worked on.
    outcomes: one for each destination of the pass.
    names: the declared resources of the pass.
    partly: those of which only some destinations were in the pass.
    reads: declared name -> what to watch for; missing where it is not known.
    items: the same for names of patterns: all names, or those in the pass when it was partial.
    debt: the reload that was pending after the swaps, before any reload.
    reload: None when none was due or allowed.
    """

    service: str
    generation: int
    revision: int = 0
    outcomes: tuple[Outcome, ...] = field(default=())
    names: frozenset[str] = frozenset()
    partly: frozenset[str] = frozenset()
    reads: Mapping[str, Reads] = field(default_factory=dict)
    items: Mapping[str, Mapping[str, Reads]] = field(default_factory=dict)
    debt: Debt | None = None
    reload: ReloadResult | None = None
