"""Files that are made from the tables of options and keys are those in the repository."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from generate.__main__ import outdated
from tests.support.repository import ROOT

PUBLIC = (ROOT / "generate" / "public.txt").read_text().splitlines()
RELEASED = (ROOT / "generate" / "released.txt").read_text().splitlines()
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()


def test_generated_files_are_current() -> None:
    """`make generated` writes them."""
    assert outdated() == []


@pytest.mark.parametrize(
    "line",
    [
        "pyconfd members drain|down|up SERVICE ID [OPTIONS]",
        "pyconfd --interval wait = 600 PYCONFD_INTERVAL key interval",
        "pyconfd check takes all options of pyconfd",
        "pyconfd 1: at least one resource failed; the others were done",
        "resource: template.dest text required",
        "resource: service.NAME.rollout.pause number or text",
        "services: service[].name text required",
        "getv(key: str, *default)",
        "value | hostport",
        "getv string string... -> string (both)",
        "pyconfd: pyconfd_reloads_total{service} counter",
        "pyconfd register: pyconfd_member_registered{service, member} gauge",
        "pyconfd.Registration.wait(timeout: float | None = None) -> bool",
        "pyconfd.RenderFailed.keys",
        "pytest: fixture pyconfd_template",
    ],
)
def test_what_is_public_is_on_record(line: str) -> None:
    """One of each kind, so that none is left out."""
    assert line in PUBLIC


def unnamed(released: Iterable[str], public: Iterable[str], changelog: str) -> list[str]:
    """Lines that have gone since the last release, and that the newest section does not name."""
    newest = changelog.split("\n## [")[1]
    named = [name for name in re.findall(r"`([^`\n]+)`", newest) if len(name) > 2]
    gone = sorted(set(released) - set(public))
    return [line for line in gone if not any(name in line for name in named)]


def test_what_has_gone_since_the_last_release_is_in_the_changelog() -> None:
    """A removed or changed line of what is public breaks installations."""
    assert unnamed(RELEASED, PUBLIC, CHANGELOG) == []


@pytest.mark.parametrize(
    ("entry", "missing"),
    [
        ("- `--interval` takes seconds alone.", []),
        ("- Something else: `--watch`.", ["pyconfd --interval wait = 600"]),
        ("- interval, without backticks.", ["pyconfd --interval wait = 600"]),
    ],
)
def test_a_line_that_has_gone_has_to_be_named(entry: str, missing: list[str]) -> None:
    """In the newest section: an older one speaks of another release."""
    changelog = f"# Changelog\n\n## [Unreleased]\n\n{entry}\n\n## [1.0.0]\n\n- `--interval`\n"
    before = ["pyconfd --interval wait = 600", "pyconfd --watch flag"]
    now = ["pyconfd --interval number = 600", "pyconfd --watch flag"]
    assert unnamed(before, now, changelog) == missing
