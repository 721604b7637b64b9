"""
The daemon's own page: its state for a browser, without scripts, images or external resources. Pure.

It shows names and messages, no values; everything is escaped. It is made from the same data as
`pyconfd status`.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from pyconfd.model.safe_text import escaped
from pyconfd.status.summary import FileState, tone_of, utc

Plain = Mapping[str, Any]

#: So many destinations are shown, those in trouble first; the rest is counted.
MOST_ROWS = 200
_REFRESH_S = 5

_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 1rem auto; max-width: 70rem; padding: 0 1rem; }
h1 { font-size: 1.2rem; } h2 { font-size: 1rem; margin-top: 1.5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #8884;
  vertical-align: top; overflow-wrap: anywhere; }
.line { font-weight: 600; padding: .6rem .8rem; border-left: .4rem solid #777; }
.good { border-color: #2a8a3e; } .waiting { border-color: #b58900; } .bad { border-color: #c0392b; }
td.good::before { content: "\\25CF "; color: #2a8a3e; }
td.waiting::before { content: "\\25CF "; color: #b58900; }
td.bad::before { content: "\\25CF "; color: #c0392b; }
pre, code { font-family: ui-monospace, monospace; white-space: pre-wrap; }
"""


def headers() -> Mapping[str, str]:
    """Headers that allow a browser to show the page, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }


def html_page(picture: Plain, versions: Sequence[Plain] = ()) -> str:
    """
    picture: as made by status/report.py. versions: the last ones that went live, newest first.
    """
    about = [picture.get("node") or picture["confdir"], picture.get("fleet")]
    title = f"pyconfd {' in '.join(str(each) for each in about if each)}"
    body = [
        _element("h1", title),
        _element("p", picture["line"], f"line {tone_of(picture['kind'])}"),
        _element("p", _about(picture)),
        *_held(picture),
        *_table(
            "Services", ("SERVICE", "STATE", "LAST RELOAD"), map(_service, picture["services"])
        ),
        *_resources(picture["resources"]),
        *_words(picture),
        *_table("Last versions", ("WHEN", "RESOURCE", "REVISION", "RESULT", "KEYS"),
                map(_version, versions)),
    ]  # fmt: skip
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="refresh" content="{_REFRESH_S}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _text(value: object) -> str:
    return escape(escaped(str(value), "\n"))


def _element(name: str, text: object, kind: str = "") -> str:
    attribute = f' class="{escape(kind)}"' if kind else ""
    return f"<{name}{attribute}>{_text(text)}</{name}>"


def _about(picture: Plain) -> str:
    source = picture["source"]
    revision = f", revision {source['revision']}" if source["revision"] else ""
    return (
        f"pyconfd {picture['version']}, since {picture['started_at']}, "
        f"store {source['name']}{revision}, as of {picture['now_at']}"
    )


def _table(
    title: str, heading: Sequence[str], rows: Iterable[Sequence[tuple[str, str]]]
) -> list[str]:
    """rows: of cells, each a text and its class."""
    lines = [
        f"<tr>{''.join(_element('td', text, kind) for text, kind in row)}</tr>" for row in rows
    ]
    if not lines:
        return []
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in heading)
    return [_element("h2", title), f"<table><tr>{head}</tr>", *lines, "</table>"]


def _service(one: Plain) -> list[tuple[str, str]]:
    state, tone = "ok", "good"
    rollout = one.get("rollout") or {}
    if pending := one["pending_reload"]:
        state, tone = f"reload pending for {pending['for_s']:g} s", "waiting"
        if pending["failed_attempts"]:
            state, tone = f"{state}, {pending['failed_attempts']} failed", "bad"
    elif one["running"]:
        state, tone = "running", "waiting"
    elif one.get("pinned"):
        state, tone = one["pinned"], "waiting"
    elif rollout.get("held"):
        what = "halted" if rollout["halted"] else "held"
        state, tone = f"settings {what}", "bad" if rollout["halted"] else "waiting"
    elif rollout.get("phase", "settled") != "settled":
        state, tone = f"in its turn: {rollout['phase']}", "waiting"
    last = one["last_reload"]
    reload = "-" if not last else last["at"] + ("" if last["ok"] else f", {last['what']}")
    return [(one["name"], ""), (state, tone), (reload, "")]


def _resources(rows: Sequence[Plain]) -> list[str]:
    order = {"bad": 0, "waiting": 1, "good": 2}
    ordered = sorted(rows, key=lambda one: order[tone_of(one["state"])])
    cells = [
        [
            (one["name"], ""),
            (one["state"], tone_of(one["state"])),
            (str(one["live"]["revision"] or "-") if one["live"] else "-", ""),
            (one["dest"], ""),
        ]
        for one in ordered[:MOST_ROWS]
    ]
    found = _table("Resources", ("RESOURCE", "STATE", "LIVE REVISION", "DESTINATION"), cells)
    if more := len(ordered) - MOST_ROWS:
        found += [_element("p", f"and {more} more")] if more > 0 else []
    return found


def _held(picture: Plain) -> list[str]:
    """The held changes, each with the command that releases it."""
    lines = []
    for one in picture["services"]:
        rollout = one.get("rollout") or {}
        name = shlex.quote(one["name"])
        if one.get("pinned"):
            whole = " --fleet NAME" if "whole fleet" in one["pinned"] else ""
            lines.append((f"{one['name']}: {one['pinned']}", f"pyconfd unpin {name}{whole}"))
        elif rollout.get("held"):
            command = "pyconfd fleet resume" if rollout["halted"] else "pyconfd fleet"
            lines.append((f"{one['name']}: {rollout['held']}", command))
    for one in picture["resources"]:
        if one["state"] in (FileState.HELD, FileState.REVERTED) and one["trouble"]:
            name = shlex.quote(one["group"] or one["name"])
            lines.append((f"{one['name']}: {one['trouble']['what']}", f"pyconfd release {name}"))
    if not lines:
        return []
    items = "".join(
        f"<li>{_text(what)}<br>{_element('code', command)}</li>"
        for what, command in lines[:MOST_ROWS]
    )
    return [_element("h2", "Held changes"), f"<ul>{items}</ul>"]


def _words(picture: Plain) -> list[str]:
    """The output of checks and services that refused a version; faults of conf.d."""
    found: list[str] = []
    for one in picture["resources"]:
        if (trouble := one["trouble"]) and trouble["words"] and len(found) < MOST_ROWS:
            found += [_element("h2", f"{one['name']}: {trouble['what']}"),
                      _element("pre", trouble["words"])]  # fmt: skip
    if faults := picture["configuration"]["faults"]:
        found += [_element("h2", "Faults of conf.d"), _element("pre", "\n".join(faults))]
    return found


def _version(one: Plain) -> list[tuple[str, str]]:
    keys = " ".join(map(str, one.get("keys") or ())) or "-"
    if one.get("more"):
        keys += f" and {one['more']} more"
    texts = (utc(float(one.get("at") or 0)), one.get("name"), one.get("revision"),
             one.get("result"), keys)  # fmt: skip
    return [(str(text), "") for text in texts]
