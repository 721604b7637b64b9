"""
`pyconfd explain`: why a destination is as it is.

Exit status: 0 explained; 1 no daemon runs, or nothing has that name; 2 wrong usage.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pyconfd.cli.daemon_query import read_query
from pyconfd.cli.listing import Form, Printout, form_of, form_options, show
from pyconfd.cli.main import DONE
from pyconfd.cli.status_page import file_tone, last_reload, service_state
from pyconfd.cli.terminal import Terminal, Tone, printable
from pyconfd.model.reads import ChangedKeys
from pyconfd.model.safe_text import escaped
from pyconfd.status.summary import FileState, span

EXPLAIN = "Explain"
EXPLAIN_OPTIONS = form_options(EXPLAIN, (Form.TABLE, Form.JSON, Form.YAML))

_HELP = """\
usage: pyconfd explain RESOURCE|GROUP|DESTINATION [-o FORM] [OPTIONS]

Shows why a destination is as it is: the live version and whether it was changed by hand since, the
newest version and the output of its check, the keys that were read and their revisions, the guard,
the last reload and the pending one. Values of keys are never shown.
"""

Plain = Mapping[str, Any]


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Ask and show; returns the exit status. Raises StateError."""
    query = read_query(argv, environ, _HELP, EXPLAIN_OPTIONS, words=1)
    if query is None:
        return DONE
    from pyconfd.daemon.control_socket import ask

    word = query.words[0]
    question = {"do": "explain", "name": word, "path": os.path.abspath(word)}
    answer = ask(query.settings.state_folder, question)
    paint = Terminal(sys.stdout, environ)
    show(form_of(query.flags), Printout(answer), lambda: _pages(answer, paint))
    return DONE


def _pages(answer: Plain, paint: Terminal) -> list[str]:
    """The lines for all destinations, with an empty line between two of them."""
    pages = ["\n".join(page(one, answer["source"], paint)) for one in answer["explained"]]
    if more := answer.get("left_out"):
        pages.append(f"and {more} more; pyconfd explain DESTINATION shows one of them")
    return ["\n\n".join(pages)]


def page(one: Plain, source: Plain, paint: Terminal) -> list[str]:
    """The lines for one destination. one: as made by daemon/control_requests.py."""
    lines = [paint(escaped(f"{one['name']}: {one['dest']}"), Tone.HEADING)]
    for name, texts in (
        ("state", _state(one, paint)),
        ("live", _live(one)),
        ("declared", _declared(one)),
        ("keys", _keys(one["keys"], source, one["reload"])),
        ("orders", _orders(one)),
        ("check", _check(one)),
        ("guard", _guard(one["guard"])),
        ("reload", _reload(one)),
    ):
        for place, text in enumerate(texts):
            lines.append(f"  {name if place == 0 else '':<10}{text}")
    return lines


def _state(one: Plain, paint: Terminal) -> list[str]:
    since = f" since {one['since_at']}" if one["since_at"] else ""
    lines = [paint(one["state"], file_tone(one["state"])) + since]
    trouble = one["trouble"]
    if trouble:
        at = f" (revision {trouble['revision']})" if trouble["revision"] else ""
        lines[0] += printable(f": {trouble['what']}{at}")
        lines += _changed(trouble)
        lines += [f"| {line}" for line in printable(trouble["words"]).splitlines()]
    if one["retry_s"] is not None:
        lines.append(f"retried in {span(one['retry_s'])}, or when its keys change")
    if held := one.get("quarantine"):
        at = f" at revision {held['revision']}" if held["revision"] else ""
        lines.append(escaped(f"quarantine since {held['since_at']}{at}: {held['why']}"))
        often = "once" if held["times"] == 1 else f"{held['times']} times"
        lines.append(f"refused {often}; tried again in {span(held['trial_s'])}, or now with:")
        lines.append(f"pyconfd release {one['group'] or one['name']}")
    if one["state"] == FileState.HELD:
        lines.append(f"let it through: pyconfd release {one['group'] or one['name']}")
    return lines


def _live(one: Plain) -> list[str]:
    live = one["live"]
    if not live:
        return ["no good version was found or written since pyconfd started"]
    written = f"written {live['written_at']}" if live["written_at"] else "found up to date"
    revision = f"revision {live['revision']}, " if live["revision"] else ""
    first = f"{revision}{written}, last verified {live['verified_at']}"
    return [first, *_changed(live), *_released(one), *_by_hand(one, live)]


def _changed(version: Plain) -> list[str]:
    """The line of the changed keys."""
    keys = ChangedKeys(tuple(version.get("keys", ())), version.get("more_keys", 0))
    return [escaped(f"changed by {keys.line()}")] if keys.names else []


def _released(one: Plain) -> list[str]:
    released = one.get("released")
    if not released:
        return []
    at = f" (revision {released['revision']})" if released["revision"] else ""
    by = released["by"] or "an unknown user"
    return [escaped(f"released by {by} {released['at']}{at}"), *_changed(released)]


def _by_hand(one: Plain, live: Plain) -> list[str]:
    """Whether the file was changed by hand; nothing if this user may not read it."""
    import hashlib

    try:
        with open(one["dest"], "rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        return ["the file is gone; the next comparison restores it"]
    except OSError:
        return []
    if digest == live["digest"]:
        return []
    return ["the file was changed outside pyconfd; the next comparison restores it"]


def _declared(one: Plain) -> list[str]:
    group = f", group {one['group']}" if one["group"] else ""
    return [escaped(f"{one['origin']}, template {one['template']}{group}")]


def _keys(keys: Plain, source: Plain, service: Plain | None) -> list[str]:
    """Names and revisions of what was read."""
    lost = f"; the store is unavailable: {escaped(source['lost'])}" if source["lost"] else ""
    lines = [f"store {source['name']} at revision {keys['revision']}{lost}"]
    if other := _other_revision(service):
        lines.append(escaped(other))
    for key, revision in keys["keys"].items():
        lines.append(escaped(f"{key}  {_revision(revision)}"))
    for path, tree in keys["trees"].items():
        plural = "s" * (tree["keys"] != 1)
        newest = f", the newest at revision {tree['newest_revision']}" if tree["keys"] else ""
        lines.append(printable(f"below {path}  {tree['keys']} key{plural}{newest}"))
    if keys["left_out"]:
        lines.append(f"and {keys['left_out']} more")
    return lines


def _other_revision(service: Plain | None) -> str:
    """The earlier revision at which an operator or a rollout keeps the keys; "" for none."""
    if service and service.get("pinned"):
        return str(service["pinned"])
    rollout = service.get("rollout") if service else None
    if not rollout:
        return ""
    if rollout["revision"] is None:
        return "none is in use until its turn"
    return f"below {', '.join(rollout['keys'])} as of revision {rollout['revision']}"


def _orders(one: Plain) -> list[str]:
    """What operators have set for members, and who did."""
    return [
        escaped(f"{each['key']}  {each['verb']} by {each['by']}@{each['host']} {each['at']}")
        for each in one.get("orders", ())
    ]


def _revision(revision: int | None) -> str:
    return "does not exist" if revision is None else f"revision {revision}"


def _check(one: Plain) -> list[str]:
    lines = [printable(one["check"] or "none")]
    if check := one.get("last_check"):
        verdict = "passed" if check["ok"] else "refused"
        lines.append(f"last: {verdict} {check['at']}, {check['duration_s']:.2f} s")
    last = one["last_trouble"]
    if last and not one["trouble"]:
        lines.append(printable(f"last trouble: {last['at']}, {last['kind']}: {last['what']}"))
    return lines


def _guard(guard: Plain) -> list[str]:
    words = ["allow_empty" if guard["allow_empty"] else "an emptied store is held back"]
    if guard["min_keys"]:
        words.append(f"min_keys = {guard['min_keys']}")
    if guard["max_shrink"] < 1:
        folders = f" (also in {', '.join(guard['shrink_in'])})" if guard.get("shrink_in") else ""
        words.append(f"max_shrink = {guard['max_shrink']:g}{folders}")
    if guard["require"]:
        words.append(f"require {', '.join(guard['require'])}")
    if guard["timeout_s"] is not None:
        words.append(f"guard_timeout = {span(guard['timeout_s'])}")
    return [printable(", ".join(words))]


def _reload(one: Plain) -> list[str]:
    service = one["reload"]
    if not one["reload_command"] or not service:
        return ["none"]
    lines = [printable(one["reload_command"]), f"state: {service_state(service)[0]}"]
    lines.append(f"last: {last_reload(service)}")
    last = service["last_reload"]
    if last and not last["ok"]:
        lines += [f"| {line}" for line in printable(last["words"]).splitlines()]
    if one.get("runtime"):
        lines += _at_run_time(one)
    return lines


def _at_run_time(one: Plain) -> list[str]:
    """Whether the daemon can be changed while it runs, and what was changed there by hand."""
    from pyconfd.model.resources import Runtime
    from pyconfd.pipeline.runtime.base import runtime_daemon

    runtime = Runtime(**one["runtime"])
    daemon = runtime_daemon(runtime.by)
    try:
        with open(one["dest"], encoding="utf-8") as stream:
            files, _ = daemon.compare([[stream.read()]])
    except (OSError, UnicodeDecodeError):
        return []
    found = daemon.survey(runtime, files, "")
    if found.problem:
        return [printable(f"not changed at run time: {found.problem}")]
    kept = "adopt_runtime keeps it" if runtime.adopt else "the next change overwrites it"
    return [
        f"changed at run time by {runtime.by} at {runtime.socket or runtime.at}, where that can be",
        *(printable(f"by hand: {words}; {kept}") for words in found.by_hand()),
    ]
