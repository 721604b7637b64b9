"""The log of versions, whatever its file holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyconfd.apply.guard_state import GuardState
from pyconfd.daemon import version_log
from pyconfd.daemon.version_log import FILE, VersionLog
from pyconfd.status.versions import VersionEntry
from pyconfd.system.json_file import write_json

ENTRY = VersionEntry("app", "/d", 0.0, 7, 7, ("/app/k",), 0, "changed")


@pytest.mark.parametrize("damage", [b"\x8d\xff\n", b"[" * 5_000 + b"\n", b"null\n", b"{\n"])
def test_a_damaged_line_costs_that_line_alone(tmp_path: Path, damage: bytes) -> None:
    """As a power cut or another program leaves it: the next run reads the others."""
    VersionLog(str(tmp_path)).note([ENTRY])
    with (tmp_path / FILE).open("ab") as stream:
        stream.write(damage)
    VersionLog(str(tmp_path)).note([ENTRY])
    log = VersionLog(str(tmp_path))
    assert log.revision("app") == 7
    assert len(list(log.read())) == 2
    assert len(log.last(5)) == 2


def test_a_damaged_log_is_cut_to_its_newer_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And goes on."""
    (tmp_path / FILE).write_bytes(b"\x8d\xff\n" * 10)
    monkeypatch.setattr(version_log, "MOST_BYTES", 10)
    VersionLog(str(tmp_path)).note([ENTRY])
    assert [one["name"] for one in VersionLog(str(tmp_path)).read()] == ["app"]


def test_counts_of_keys_that_are_no_numbers_are_none(tmp_path: Path) -> None:
    """JSON has numbers that no count can be."""
    write_json(str(tmp_path / "keys.json"), {"app": float("inf")})
    GuardState(str(tmp_path / "keys.json"))
