"""No decision hangs on the wall clock: a jump of it changes only what is shown."""

from __future__ import annotations

import ast

from tests.support.repository import ROOT

PACKAGE = ROOT / "pyconfd"
WALL = {("time", name) for name in ("time", "time_ns", "localtime", "gmtime", "ctime")}
WALL |= {
    (owner, name)
    for owner in ("datetime", "datetimes", "date")
    for name in ("now", "utcnow", "today")
}
# Where it is looked at, and what for.
SHOWN = {
    "daemon/wiring.py": "started_at of the status",
    "daemon/loop.py": "since when, in the status",
    "daemon/run.py": "when a version went live, in the history",
    "registration/steering.py": "when an order was given, for people",
    "console/orders.py": "when an order was given, for people",
    "console/web.py": "as of when the page is, for people",
    "cli/commands/release.py": "when a change was released, for people",
    "observe/report.py": "that time in words",
    "cli/commands/fleet.py": "when an order was given, for people",
    "fleet/rollouts.py": "since when a node has its version, for people",
    "fleet/node.py": "since when a node is there, for people",
    "apply/quarantine.py": "since when, in the status and the explanation",
    "cli/commands/register.py": "the start that a member's key carries for people",
    "daemon/status_notifier.py": "since when, in the status line",
    "pipeline/render/functions/host.py": "datetime(), for templates",
    "registration/notify/state_listener.py": "since when, in the published states",
    "system/files.py": "the age of a file left by another container, whose stamp is wall time",
}


def looks(tree: ast.AST) -> bool:
    """Whether anything in it reads the wall clock, called or handed on as a function."""
    return any(
        (isinstance(node, ast.Attribute) and (_last_name(node.value), node.attr) in WALL)
        or (
            isinstance(node, ast.ImportFrom)
            and any((node.module or "", alias.name) in WALL for alias in node.names)
        )
        for node in ast.walk(tree)
    )


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def test_only_what_is_shown_looks_at_the_wall_clock() -> None:
    """Every module that does is named here with its reason, and no other one is."""
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if looks(ast.parse(path.read_text()))
    }
    assert found == SHOWN.keys()


def test_the_search_finds_what_it_is_for() -> None:
    """Calls, functions handed on, names imported; and not their monotonic neighbours."""
    for text in (
        "time.time()",
        "clock = time.time_ns",
        "datetime.datetime.now()",
        "from time import time",
    ):
        assert looks(ast.parse(text)), text
    assert not looks(ast.parse("time.monotonic(); from time import monotonic"))
