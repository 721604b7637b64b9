"""What `pyconfd fleet` prints for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyconfd.cli.terminal import Terminal, Tone, printable
from pyconfd.status.summary import utc

Plain = Mapping[str, Any]


def fleet_page(found: Plain, paint: Terminal) -> list[str]:
    """The lines. found: as made by fleet/overview.py."""
    lines = _nodes(found["nodes"], paint)
    for rollout in found["rollouts"]:
        lines += ["", *_rollout(rollout, paint)]
    lines += [
        paint(printable(f"refused: a second node called {one['node']}, on {one['host']}"), Tone.BAD)
        for one in found["refused"]
    ]
    if found["orders"]:
        lines += ["", *map(_order, found["orders"])]
    return lines


def _nodes(nodes: Sequence[Plain], paint: Terminal) -> list[str]:
    if not nodes:
        return ["no node of this fleet is there"]
    rows = [("NODE", "STATE", "REVISION", "VERSION", "SINCE", "PAGE")]
    tones = []
    for one in nodes:
        tones.append(Tone.GOOD if one["kind"] == "ok" else Tone.BAD)
        cells = (one["kind"], one["revision"], one["version"], one["since"], one["page"])
        rows.append((one["node"], *(str(cell or "-") for cell in cells)))
    return paint.table(rows, tones)


def _rollout(rollout: Plain, paint: Terminal) -> list[str]:
    rows: list[Sequence[str]] = [(rollout["service"], "STATE", "USES", "WANTS", "WHY")]
    tones = []
    for one in rollout["nodes"]:
        tones.append(_tone(one))
        cells = (one["revision"], one["wanted"])
        numbers = ["-" if cell is None else str(cell) for cell in cells]
        rows.append((one["node"], one["state"], *numbers, one["why"] or "-"))
    return [*paint.table(rows, tones), *_halts(rollout, paint)]


def _tone(node: Plain) -> Tone:
    if node["halted"] or node["state"].startswith("gone"):
        return Tone.BAD
    return Tone.GOOD if node["state"] == "settled" and not node["why"] else Tone.WAITING


def _halts(rollout: Plain, paint: Terminal) -> list[str]:
    lines = []
    if rollout["pinned"]:
        lines.append(
            paint(printable(f"{rollout['pinned']}; pyconfd unpin ends that"), Tone.WAITING)
        )
    halts = [*rollout["halts"], *([rollout["stopped"]] if rollout["stopped"] else [])]
    for halt in halts:
        revision = f"revision {halt['revision']} " if halt["revision"] else ""
        by = f"{halt['by']} on {halt['where']}" if halt["where"] else halt["by"]
        when = f", {utc(halt['at'])}" if halt["at"] else ""
        lines.append(paint(printable(f"{revision}halted by {by}{when}: {halt['why']}"), Tone.BAD))
    if halts:
        lines.append("change the keys, or: pyconfd fleet resume")
    return lines


def _order(order: Plain) -> str:
    what = " ".join(
        str(order[key]) for key in ("do", "node", "revision") if order.get(key) is not None
    )
    at = order.get("at")
    when = utc(at) if isinstance(at, int | float) else "-"
    services = ", ".join(map(str, order.get("services") or ()))
    return printable(f"{when}  {order.get('by')} on {order.get('where')}: {what} ({services})")
