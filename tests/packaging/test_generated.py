"""Files that are made from the tables of options and keys are those in the repository."""

from __future__ import annotations

import pytest

from generate.__main__ import outdated
from tests.support.repository import ROOT

PUBLIC = (ROOT / "generate" / "public.txt").read_text().splitlines()


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
