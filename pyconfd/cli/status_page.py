"""The output of `pyconfd status` for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyconfd.cli.terminal import Terminal, Tone, printable
from pyconfd.status.summary import DaemonState, FileState, span

if TYPE_CHECKING:
    from pyconfd.backends.base import StoreStatus

Plain = Mapping[str, Any]
#: What is not here is bad.
_TONES: Mapping[str, Tone] = {
    DaemonState.OK: Tone.GOOD,
    DaemonState.STARTING: Tone.WAITING,
    FileState.FINE: Tone.GOOD,
    FileState.WAITING: Tone.WAITING,
    DaemonState.HALTED: Tone.WAITING,
    DaemonState.PINNED: Tone.WAITING,
    FileState.HELD: Tone.WAITING,
    FileState.LEFT_OUT: Tone.WAITING,
}


def page(picture: Plain, paint: Terminal) -> list[str]:
    """The lines for people. picture: as made by status/report.py."""
    tone = _TONES.get(picture["kind"], Tone.BAD)
    services, resources = _reloading(picture["services"]), _worst_first(picture["resources"])
    lines = [
        paint(printable(picture["line"]), tone),
        "",
        f"pyconfd {picture['version']}, process {picture['pid']}, since {picture['started_at']}, "
        f"{picture['confdir']}",
        _source_line(picture["source"], picture["mode"]),
        "",
        *paint.table(_service_rows(services), [service_state(one)[1] for one in services]),
        "",
        *paint.table(_resource_rows(resources), [file_tone(one["state"]) for one in resources]),
    ]
    return [
        *lines,
        *_troubles(resources),
        *_failed_reloads(services),
        *_orphaned(picture.get("orphaned", ())),
        *_configuration(picture.get("configuration", {})),
    ]


def _configuration(found: Plain) -> list[str]:
    """Faults of conf.d and the templates, and edited templates that are not in use yet."""
    lines: list[str] = []
    if faults := found.get("faults"):
        previous = "the previous configuration stays in use"
        what = previous if found["previous_in_use"] else "not loaded"
        lines += ["", f"{what}; fix these and send SIGHUP:"]
        lines += [printable(fault) for fault in faults]
    if edited := found.get("edited_templates"):
        named = printable(", ".join(edited))
        lines += ["", f"edited and not loaded yet; SIGHUP loads them: {named}"]
    return lines


def _orphaned(services: Sequence[Plain]) -> list[str]:
    """Reloads that pyconfd will not run, and what an operator can do about each."""
    from pyconfd.apply.orphaned_debts import shortened

    lines = []
    for one in services:
        dests = shortened(one["dests"])
        lines += ["", printable(f"a reload is pending for {dests}: {one['service']}")]
        lines.append(
            "no resource has this command any more, so it is not run: declare it again, or"
        )
        name = next(iter(one["dests"]), one["service"])
        lines.append(printable(f"reload the service by hand, then: pyconfd release {name}"))
    return lines


def _source_line(source: Plain, mode: str) -> str:
    below = ", ".join(source["watched"][:5]) or "no keys"
    more = len(source["watched"]) - 5
    text = f"store {source['name']}, {mode}: {below}" + (f" and {more} more" if more > 0 else "")
    if source["lost"]:
        text += f", unavailable for {span(source['lost']['for_s'])}"
    elif not source["listed"]:
        text += ", not read yet"
    return text + (f", revision {source['revision']}" if source["revision"] else "")


def _reloading(services: Sequence[Plain]) -> list[Plain]:
    """The services that reload, or have work."""
    return [one for one in services if one["reloads"] or one["running"] or one["waiting"]]


def _service_rows(services: Sequence[Plain]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("SERVICE", "STATE", "FILES", "LAST RELOAD")]
    for one in services:
        count = str(len(one["resources"]))
        rows.append((printable(one["name"]), service_state(one)[0], count, last_reload(one)))
    return rows if len(rows) > 1 else [*rows, ("-", "-", "-", "nothing is reloaded")]


def service_state(service: Plain) -> tuple[str, Tone]:
    """What the service does or waits for, and its tone."""
    pending = service["pending_reload"]
    if pending and pending["failed_attempts"]:
        next_try = pending["next_try_s"]
        then = "trying now" if next_try is None else f"next try in {span(next_try)}"
        failed = f"{pending['failed_attempts']} failed"
        return f"pending for {span(pending['for_s'])}, {failed}, {then}", Tone.BAD
    if service["running"]:
        return "running", Tone.WAITING
    rollout = service.get("rollout") or {}
    if service.get("pinned"):
        return service["pinned"], Tone.WAITING
    if rollout.get("held"):
        what = "halted" if rollout["halted"] else "held"
        return f"settings {what}: {rollout['held']}", (
            Tone.BAD if rollout["halted"] else Tone.WAITING
        )
    if pending:
        return f"due in {span(pending['next_try_s'] or 0)}", Tone.WAITING
    return ("waiting (hold_min)", Tone.WAITING) if service["waiting"] else ("ok", Tone.GOOD)


def last_reload(service: Plain) -> str:
    """How the last reload ended."""
    last = service["last_reload"]
    if not last:
        return "none yet"
    if last["ok"]:
        return f"{last['at']}, {last['duration_s']:.2f} s"
    return printable(f"{last['at']}, {last['what']}")


def _resource_rows(resources: Sequence[Plain]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("RESOURCE", "STATE", "SINCE", "LIVE REVISION", "DESTINATION")]
    for one in resources:
        revision = str(one["live"]["revision"] or "-") if one["live"] else "-"
        cells = (one["name"], one["state"], one["since_at"] or "-", revision, one["dest"])
        rows.append(tuple(printable(cell) for cell in cells))
    return rows


def _worst_first(resources: Sequence[Plain]) -> list[Plain]:
    order = list(Tone)
    return sorted(resources, key=lambda one: order.index(file_tone(one["state"])))


def file_tone(state: str) -> Tone:
    """The tone of a destination's state; an unknown state is bad."""
    return _TONES.get(state, Tone.BAD)


def _troubles(resources: Sequence[Plain]) -> list[str]:
    lines = []
    for one in resources:
        if one["trouble"]:
            retry = f" (retried in {span(one['retry_s'])})" if one["retry_s"] else ""
            lines.append(printable(f"{one['name']}: {one['trouble']['what']}{retry}"))
            if one["state"] == FileState.HELD:
                name = one["group"] or one["name"]
                lines.append(printable(f"  let it through: pyconfd release {name}"))
    return ["", *lines] if lines else []


def _failed_reloads(services: Sequence[Plain]) -> list[str]:
    """Why each reload failed, and where the output of its command is."""
    lines = []
    for one in services:
        last = one["last_reload"]
        if one["pending_reload"] and last and not last["ok"]:
            lines.append(printable(f"{one['name']}: {last['what']}"))
            if one["resources"]:
                lines.append(printable(f"  its output: pyconfd explain {one['resources'][0]}"))
    return ["", *lines] if lines else []


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1_000_000 else f"{size_bytes // 1000} kB"


def _member(one: StoreStatus) -> tuple[str, str, str, str, str, str]:
    if one.error:
        return (printable(one.error), "-", "-", "-", "-", "-")
    state = f"alarm {', '.join(one.alarms)}" if one.alarms else "ok"
    leader = "leader" if one.leader else "-"
    return (state, one.member, one.version, leader, str(one.revision), _size(one.db_size))


def member_lines(members: Sequence[StoreStatus], paint: Terminal) -> list[str]:
    """The members of etcd as a table; nothing when there are none."""
    if not members:
        return []
    rows = [("ETCD", "STATE", "MEMBER", "VERSION", "LEADER", "REVISION", "SIZE")]
    rows += [(one.endpoint, *_member(one)) for one in members]
    tones = [Tone.BAD if one.error or one.alarms else Tone.GOOD for one in members]
    return ["", *paint.table(rows, tones)]
