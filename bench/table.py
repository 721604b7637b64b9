"""How figures are printed: Markdown tables, one per scenario, and the targets at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.scenarios import Figure


def startup(spans: Sequence[tuple[str, float]]) -> str:
    """The parts of a one-shot run."""
    rows = [(name, f"{taken_ms:.1f}") for name, taken_ms in spans]
    rows.append(("all of it", f"{sum(taken_ms for _, taken_ms in spans):.1f}"))
    return _table(["start-up of a one-shot run", "ms"], rows)


def scenario(figures: Sequence[Figure]) -> str:
    """The figures of one scenario: a row for each subject."""
    columns = list(dict.fromkeys((each.figure, each.unit) for each in figures))
    subjects = list(dict.fromkeys(each.subject for each in figures))
    values = {(each.subject, each.figure): each.value for each in figures}
    heads = [f"{name}, {unit}" if unit else name for name, unit in columns]
    rows = [(who, *(_number(values.get((who, name))) for name, _ in columns)) for who in subjects]
    return _table([figures[0].scenario, *heads], rows)


@dataclass(frozen=True, slots=True)
class Target:
    """What pyconfd's figure should be at most, as a multiple of others'. against: picks it."""

    scenario: str
    figure: str
    limit: float
    of: str
    against: Callable[[dict[str, float]], float | None]
    subject: str = "pyconfd"


def targets(figures: Sequence[Figure], peers: Sequence[str]) -> str:
    """Each target with what was measured; missed ones are marked."""
    rows = []
    for target in _targets(peers):
        values = {
            each.subject: each.value
            for each in figures
            if each.scenario.startswith(target.scenario) and each.figure == target.figure
        }
        ours, theirs = values.get(target.subject), target.against(values)
        if ours is None or not theirs:
            continue
        ratio = ours / theirs
        kept = "met" if ratio <= target.limit else "MISSED"
        name = f"{target.scenario}: {target.figure}"
        limit = f"at most {target.limit:g} x {target.of}"
        rows.append((name, limit, f"{ratio:.2f} x", kept))
    if not rows:
        return "No target can be checked: they are ratios to others (--peer NAME=PATH).\n"
    return _table(["target", "limit", "measured", ""], rows)


def _targets(peers: Sequence[str]) -> list[Target]:
    def best(values: dict[str, float]) -> float | None:
        return min((values[name] for name in peers if name in values), default=None)

    def first(values: dict[str, float]) -> float | None:
        return values.get(peers[0]) if peers else None

    def floor(values: dict[str, float]) -> float | None:
        return values.get("bare watch")

    classic = peers[0] if peers else "confd"
    apart, held = "pyconfd, reloads 1 s apart", "pyconfd, held 250 ms"
    return [
        Target("one-shot 1x10", "wall", 10, classic, first),
        Target("one-shot 100x1000", "wall", 1, "the best confd", best),
        Target("put to file 1x10", "p50", 1.7, "the bare watch", floor),
        Target("put to file 1x10", "p50", 1, classic, first),
        Target("put to file 10x10000", "p50", 0.2, "the best confd", best),
        *(
            Target("burst", figure, limit, f"the best confd{note}", best, subject)
            for figure, limit in (("CPU", 0.5), ("reloads", 0.1))
            for subject, note in (("pyconfd", ""), (apart, " (1 s apart)"), (held, " (held)"))
        ),
        *_STORE,
    ]


def _bare(values: dict[str, float]) -> float | None:
    return values.get("bare stub")


# What the store layer may cost, and the CPU of one core that 10,000 events a second may take.
_STORE = [
    Target("list 100000 keys", "CPU", 1.5, "the bare stub", _bare),
    Target("put to message", "p50 over the bare watch", 1, "0.3 ms", lambda _: 0.3),
    Target("10000 events in", "at 10,000 a second", 1, "25 % of a core", lambda _: 25.0,
           "pyconfd, mirror and index"),
    Target("10000 events one", "at 10,000 a second", 1, "25 % of a core", lambda _: 25.0,
           "pyconfd, mirror and index"),
    Target("a change that one", "ratio", 1, "1.2", lambda _: 1.2),
]  # fmt: skip


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[place]) for row in [heads, *rows]) for place in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = "|".join("-" * (width + 2) for width in widths)
    return "\n".join([line(heads), f"|{rule}|", *map(line, rows), ""])
