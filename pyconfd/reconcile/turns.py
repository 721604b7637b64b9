"""
Whose turn it is, decided from the records that all nodes of a fleet share. Pure.

Each node decides for itself, from the records at one revision. It may begin only if no other node
has begun or halted anything since that revision (the store compares `fence`), so the result is the
same as if the nodes decided one after the other.

    asked    under the node's lease; removed when it begins
    begun    stays until the verdict; if the node is gone, it counts as a failed turn
    nodes    under the node's lease; the version that the node has proved
"""

from __future__ import annotations

import enum
import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import field

from pyconfd.model.first_few import first_few
from pyconfd.model.resources import Rollout
from pyconfd.model.values import dataclass

#: The words for a node that others are before. Their names are no part of them: a node publishes
#: and logs its words, and each of a thousand waiting nodes would do so at every turn of another.
QUEUED = "waits for its turn"
#: Of versions that no node wants any more; they are kept in case the keys come back to them.
MOST_HALTS = 50


@dataclass(frozen=True, slots=True)
class Version:
    """
    The contents of the gated keys.

    digest: of the keys and their values; the same on every node, "" before anything was read.
    revision: of the store, at which a node saw it.
    """

    digest: str
    revision: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Turn:
    """
    A node that asks for a turn, or has begun one.

    node: its name.
    version: the one it asks for.
    order: revision of the store at which it asked or began.
    """

    node: str
    version: Version
    order: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """
    Why a version, or everything, goes no further.

    why: in words.
    by: the node on which it failed, or the user who gave the order.
    where: the host of the user, "" for a node.
    at: seconds since 1970, by the clock of `by`.
    revision: of the version.
    """

    why: str
    by: str = ""
    where: str = ""
    at: float = 0.0
    revision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRecords:
    """
    The records of one service at one revision.

    fence: revision of the last begin, halt or order.
    nodes: node -> the version that it has proved, None before the first.
    asked: node -> what it asks for.
    begun: node -> what it has begun, without a verdict yet.
    halts: digest of a version -> why it goes no further.
    stopped: an operator's order to begin nothing.
    promoted: digests of versions that wait for no canary any more.
    skipped: node -> digest of the version that goes on without it.
    """

    fence: int = 0
    nodes: Mapping[str, Version | None] = field(default_factory=dict)
    asked: Mapping[str, Turn] = field(default_factory=dict)
    begun: Mapping[str, Turn] = field(default_factory=dict)
    halts: Mapping[str, Halt] = field(default_factory=dict)
    stopped: Halt | None = None
    promoted: frozenset[str] = frozenset()
    skipped: Mapping[str, str] = field(default_factory=dict)


class Answer(enum.Enum):
    """What a node may do now."""

    BEGIN = enum.auto()
    WAIT = enum.auto()
    HALTED = enum.auto()


@dataclass(frozen=True, slots=True)
class TurnDecision:
    """The answer; if it is no, why in words."""

    answer: Answer
    why: str = ""


def decide(records: TurnRecords, rollout: Rollout, node: str, version: Version) -> TurnDecision:
    """Whether this node may begin this version now."""
    if halt := halted(records, version.digest):
        return TurnDecision(Answer.HALTED, halt.why)
    if records.skipped.get(node) == version.digest:
        return TurnDecision(Answer.HALTED, "this node is skipped")
    ask = records.asked.get(node)
    if ask is None or ask.version != version:
        return TurnDecision(Answer.WAIT, QUEUED)
    missing = {digest: _missing(records, rollout, digest) for digest in _asked_for(records)}
    if missing[version.digest] and node not in rollout.canaries:
        return TurnDecision(Answer.WAIT, _waits_for_canaries(records, missing[version.digest]))
    free = _free(records, rollout, version.digest)
    before = [
        turn
        for turn in records.asked.values()
        if turn.order < ask.order
        and (digest := turn.version.digest) in missing
        and (turn.node in rollout.canaries or not missing[digest])
        and records.skipped.get(turn.node) != digest
    ]
    if free > 0 and not before:  # each begins alone, so none undoes another's decision
        return TurnDecision(Answer.BEGIN)
    return TurnDecision(Answer.WAIT, QUEUED)


def halted(records: TurnRecords, digest: str) -> Halt | None:
    """Why no node may begin this version; None if nodes may."""
    return records.stopped or _refused(records, digest)


def _refused(records: TurnRecords, digest: str) -> Halt | None:
    """The node on which the version failed, and why."""
    if digest in records.halts:
        return records.halts[digest]
    for turn in records.begun.values():
        lost = turn.node not in records.nodes and turn.version.digest == digest
        if lost and records.skipped.get(turn.node) != digest:
            why = f"{turn.node} went away in its turn"
            return Halt(why=why, by=turn.node, revision=turn.version.revision)
    return None


def approved(records: TurnRecords) -> tuple[Version, ...]:
    """
    What a new node may start with, best first: the version that most nodes have proved, and of
    several the newest. The others that no node has refused follow, in case its keys are gone from
    the store.
    """
    counts = Counter(version for version in records.nodes.values() if version)
    newest: dict[Version, int] = {}
    for version in filter(None, records.nodes.values()):
        newest[version] = max(newest.get(version, 0), version.revision)
    order = sorted(counts, key=lambda one: (counts[one], newest[one]), reverse=True)
    kept = order[:1] + [one for one in order[1:] if _refused(records, one.digest) is None]
    return tuple(Version(one.digest, newest[one]) for one in kept)


def most_at_once(rollout: Rollout, nodes: int) -> int:
    """How many of this many nodes may have a turn at once; at least one."""
    limit = rollout.max_parallel
    return max(1, math.floor(limit * nodes) if limit < 1 else int(limit))


def wanted(records: TurnRecords) -> frozenset[str]:
    """The digests of the versions that nodes ask for or have begun."""
    turns = (*records.asked.values(), *records.begun.values())
    return frozenset(turn.version.digest for turn in turns)


def forgotten_halts(records: TurnRecords) -> list[str]:
    """The digests of the oldest halts, which are removed when another one is added."""
    over = sorted(records.halts.keys() - wanted(records), key=lambda one: records.halts[one].at)
    return over[: max(0, len(over) - MOST_HALTS)]


def working(records: TurnRecords) -> list[Turn]:
    """
    The turns under way, in the order of their beginning, without those of nodes that are gone.
    """
    found = (turn for turn in records.begun.values() if turn.node in records.nodes)
    return sorted(found, key=lambda turn: turn.order)


def _asked_for(records: TurnRecords) -> list[str]:
    """The digests that nodes ask for, without halted ones."""
    digests = {turn.version.digest for turn in records.asked.values()}
    return [digest for digest in digests if not halted(records, digest)]


def _proved(records: TurnRecords, digest: str) -> set[str]:
    """The nodes that a version no longer has to wait for."""
    proved = {name for name, found in records.nodes.items() if found and found.digest == digest}
    return proved.union(name for name, skipped in records.skipped.items() if skipped == digest)


def _missing(records: TurnRecords, rollout: Rollout, digest: str) -> Collection[str]:
    """The named canaries that have not proved a version yet."""
    if digest in records.promoted or not rollout.canaries:
        return ()
    return sorted(rollout.canaries - _proved(records, digest))


def _free(records: TurnRecords, rollout: Rollout, digest: str) -> int:
    """How many turns may begin now."""
    under_way = working(records)
    free = most_at_once(rollout, len(records.nodes)) - len(under_way)
    if rollout.canary_count and digest not in records.promoted:
        first = min(rollout.canary_count, len(records.nodes))
        proved = len(_proved(records, digest))
        if proved < first:
            same = sum(turn.version.digest == digest for turn in under_way)
            free = min(free, first - proved - same)
    return free


def _waits_for_canaries(records: TurnRecords, missing: Collection[str]) -> str:
    absent = [name for name in missing if name not in records.nodes]
    if absent:
        return f"waits for canary {', '.join(absent)}, which is not there"
    return f"waits for canary {', '.join(missing)}"


def waits_for(records: TurnRecords, node: str) -> str:
    """The nodes that a queued node comes after, in words."""
    asked = sorted(records.asked.values(), key=lambda turn: turn.order)
    names = [turn.node for turn in (*working(records), *asked)]
    before = names[: names.index(node)] if node in names else names
    return f"waits for {first_few(before, 3)}" if before else QUEUED
