"""
The daemon in numbers, in the format of Prometheus. Only this module imports prometheus_client, at
the first request for metrics: the import takes longer than all the rest of a start.

It keeps no state: each answer is made from what the loop reports at that moment. Labels are names
of resources, groups, services and guards, which the operator has given; never keys or values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from pyconfd.model.safe_text import escaped, escaped_all

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Plain = Mapping[str, Any]
#: Every state that a destination can be in, so that a series is there before its first trouble.
STATES = ("fine", "waiting", "refused", "left out", "held", "reverted", "failed", "torn")
GUARDS = ("allow_empty", "max_shrink", "min_keys", "require")


def exposition(measures: Plain) -> bytes:
    """The page of /metrics. measures: as made by status/measurements.py."""
    return generate_latest(_registry(escaped_all(measures)))


def members_exposition(
    members: Iterable[tuple[str, str, bool]], declared: int, *, connected: bool
) -> bytes:
    """
    The page of /metrics of `pyconfd register`. members: service, id, and whether it is registered.
    """
    return generate_latest(_registry_of(MemberMetrics(tuple(members), declared, connected)))


class MemberMetrics(Collector):
    """The members at one moment."""

    def __init__(
        self, members: Sequence[tuple[str, str, bool]], declared: int, connected: bool
    ) -> None:
        self._members = members
        self._declared = declared
        self._connected = connected

    def collect(self) -> Iterable[Metric]:
        yield _gauge("pyconfd_store_connected", "Whether the store answers.", self._connected)
        yield _gauge("pyconfd_members", "Members that are to be registered.", self._declared)
        family = GaugeMetricFamily(
            "pyconfd_member_registered",
            "Whether the key of the member is there.",
            labels=["service", "member"],
        )
        for service, member, registered in self._members:
            family.add_metric([escaped(service), escaped(member)], float(registered))
        yield family


class DaemonMetrics(Collector):
    """The measures at one moment."""

    def __init__(self, measures: Plain) -> None:
        self._measures = measures

    def collect(self) -> Iterable[Metric]:
        yield from _store(self._measures)
        yield from _resources(self._measures["resources"])
        yield from _services(self._measures["services"], self._measures["bounds_s"])


def _registry(measures: Plain) -> CollectorRegistry:
    return _registry_of(DaemonMetrics(measures))


def _registry_of(collector: Collector) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    ProcessCollector(registry=registry)
    return registry


def _store(found: Plain) -> Iterator[Metric]:
    """The daemon as a whole and its source."""
    build = GaugeMetricFamily("pyconfd_build_info", "Which release runs.", labels=["version"])
    build.add_metric([found["version"]], 1)
    yield build
    yield _gauge(
        "pyconfd_ready",
        "Whether the store was read, every resource was processed and no swap is torn.",
        found["ready"],
    )
    yield _gauge("pyconfd_store_connected", "Whether the store answers.", found["connected"])
    yield _gauge("pyconfd_store_revision", "Revision of the mirror.", found["revision"])
    yield _gauge("pyconfd_store_keys", "Keys in the mirror.", found["keys"])
    if found["message_age_s"] is not None:
        yield _gauge(
            "pyconfd_store_last_message_age_seconds",
            "Since the last message of the store: a change, or that there is none.",
            found["message_age_s"],
        )
    kinds = CounterMetricFamily(
        "pyconfd_store_messages",
        "Messages of the source: listed, changed (a batch), progressed, lost.",
        labels=["kind"],
    )
    for kind in ("listed", "changed", "progressed", "lost"):
        kinds.add_metric([kind], found["messages"].get(kind, 0))
    yield kinds
    yield CounterMetricFamily(
        "pyconfd_store_changes", "Keys that became different.", value=found["changes"]
    )
    yield _gauge(
        "pyconfd_configuration_faults",
        "Faults of conf.d and its templates at the start or the last SIGHUP.",
        found["faults"],
    )


def _resources(rows: Sequence[Plain]) -> Iterator[Metric]:
    """By declared resource."""
    labels = ["resource"]
    for key, name, text in (
        ("rendered", "pyconfd_renders", "Files rendered."),
        ("changed", "pyconfd_changed_files", "Files put live or removed."),
        ("refused", "pyconfd_refused_checks", "Versions refused by the check."),
    ):
        counter = CounterMetricFamily(name, text, labels=labels)
        for row in rows:
            counter.add_metric([row["name"]], row[key])
        yield counter
    failed = CounterMetricFamily(
        "pyconfd_failures", "Versions that did not go live.", labels=["resource", "result"]
    )
    states = GaugeMetricFamily(
        "pyconfd_files", "Destinations by state.", labels=["resource", "group", "state"]
    )
    held = GaugeMetricFamily(
        "pyconfd_held_changes", "Changes that a guard holds back.", labels=["group", "guard"]
    )
    quarantined = GaugeMetricFamily(
        "pyconfd_quarantined_files", "Versions that their service refused.", labels=labels
    )
    for row in rows:
        for result, count in row["failed"].items():
            failed.add_metric([row["name"], result], count)
        for state in STATES:
            states.add_metric([row["name"], row["group"], state], row["states"].get(state, 0))
        quarantined.add_metric([row["name"]], row["quarantined"])
    for group, guards in _by_group(rows).items():
        for guard in GUARDS:
            held.add_metric([group, guard], guards.get(guard, 0))
    yield from (failed, states, held, quarantined)


def _by_group(rows: Sequence[Plain]) -> dict[str, dict[str, int]]:
    """
    Group -> guard -> held changes. A group is held as a whole, so one of its members is enough.
    """
    groups: dict[str, dict[str, int]] = {}
    for row in rows:
        guards = groups.setdefault(row["group"], {})
        for guard, count in row["held"].items():
            guards[guard] = max(guards.get(guard, 0), count)
    return groups


def _services(rows: Sequence[Plain], bounds_s: Sequence[float]) -> Iterator[Metric]:
    """By service: its reload command, or the group or resource that has none."""
    for key, name, text in (
        ("reloaded", "pyconfd_reloads", "Reloads that succeeded and were confirmed."),
        ("failed", "pyconfd_reloads_failed", "Reloads that failed; they stay pending."),
        ("run_time", "pyconfd_runtime_changes", "Changes at run time, without a reload."),
    ):
        counter = CounterMetricFamily(name, text, labels=["service"])
        for row in rows:
            counter.add_metric([row["name"]], row[key])
        yield counter
    gauges: tuple[tuple[str, str, Callable[[Plain], float | None]], ...] = (
        ("pyconfd_reload_pending", "Whether a reload is pending.",
         lambda row: row["pending_s"] is not None),
        ("pyconfd_reload_pending_seconds", "For how long a reload has been pending; 0: none is.",
         lambda row: row["pending_s"] or 0.0),
        ("pyconfd_reload_pending_attempts", "How often the pending reload has failed.",
         lambda row: row["attempts"]),
        ("pyconfd_old_workers", "Workers of nginx that reloads have left and that still serve.",
         lambda row: row.get("old_workers")),
        ("pyconfd_pinned", "Whether an operator keeps the service at an earlier revision.",
         lambda row: row["pinned"]),
        ("pyconfd_rollout_held", "Whether a change of gated keys waits for this node's turn.",
         lambda row: row["gated"]["held"]),
        ("pyconfd_rollout_halted", "Whether that change goes no further.",
         lambda row: row["gated"]["halted"]),
        ("pyconfd_rollout_in_turn", "Whether this node is between begin and verdict.",
         lambda row: row["gated"]["in_turn"]),
        ("pyconfd_last_success_timestamp_seconds", "When a pass last ended well.",
         lambda row: row["good_at"]),
    )  # fmt: skip
    for name, text, value in gauges:
        gauge = GaugeMetricFamily(name, text, labels=["service"])
        for row in rows:
            number = value(row)
            if number is not None:
                gauge.add_metric([row["name"]], float(number))
        yield gauge
    for key, name, text in (
        ("pass", "pyconfd_pass_duration_seconds", "A pass: render, check, swap and reload."),
        ("reload", "pyconfd_reload_duration_seconds", "A reload command that succeeded."),
        ("live", "pyconfd_change_to_live_seconds",
         "From a change of the keys to the end of the pass that put it live."),
    ):  # fmt: skip
        yield _histogram(name, text, rows, key, bounds_s)


def _histogram(
    name: str, text: str, rows: Sequence[Plain], key: str, bounds_s: Sequence[float]
) -> Metric:
    family = HistogramMetricFamily(name, text, labels=["service"])
    for row in rows:
        spread = row[key]
        if spread is None:
            continue
        total, buckets = 0, []
        for bound, count in zip((*bounds_s, None), spread["counts"], strict=True):
            total += count
            buckets.append(("+Inf" if bound is None else str(bound), float(total)))
        family.add_metric([row["name"]], buckets, spread["sum_s"])
    return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))
