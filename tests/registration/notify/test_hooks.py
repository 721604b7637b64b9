"""The operator's hooks: in order, each for itself."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pyconfd.registration.notify.hooks import MAX_WAITING, Event, Hooks
from pyconfd.system.proc import Commands

WRITES = '#!/bin/sh\necho "$0" "$@" "$EVENT_STATE" "$PYCONFD_PASSWORD" >>"$OUT"\n'


def event(state: str, out: Path) -> Event:
    """As the listener makes them."""
    environ = {"EVENT_STATE": state, "OUT": str(out)}
    return Event(["INSTANCE", "VI 1", state], environ, {"state": state})


def hook(folder: Path, name: str, text: str, mode: int = 0o755) -> None:
    """Write a hook."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(mode)


def test_every_executable_file_is_run_for_every_event_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With arguments and variables as they are, and without the store's password."""
    monkeypatch.setenv("PYCONFD_PASSWORD", "secret")
    folder, out = tmp_path / "hooks", tmp_path / "out"
    hook(folder, "a", WRITES)
    hook(folder, ".hidden", WRITES)
    hook(folder, "old~", WRITES)
    hook(folder, "readme", WRITES, 0o644)
    hooks = Hooks(str(folder), Commands().run, 60.0)
    for state in ("BACKUP", "MASTER", "FAULT"):
        hooks.run(event(state, out))
    assert hooks.finish(60.0)
    ran = f"{folder / 'a'} INSTANCE VI 1"
    assert out.read_text().splitlines() == [
        f"{ran} {s} {s} " for s in ("BACKUP", "MASTER", "FAULT")
    ]


def test_one_that_fails_or_hangs_holds_up_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is ended at its deadline; everything is logged."""
    folder, out = tmp_path / "hooks", tmp_path / "out"
    hook(folder, "1-hangs", "#!/bin/sh\nsleep 60\n")
    hook(folder, "2-fails", "#!/bin/sh\necho no mail server >&2\nexit 3\n")
    hook(folder, "3-works", WRITES)
    commands = Commands()
    hooks = Hooks(str(folder), commands.run, 2.0)
    with caplog.at_level(logging.INFO, "pyconfd"):
        hooks.run(event("MASTER", out))
        assert hooks.finish(60.0)
    logged = {record.fields["hook"]: record.getMessage() for record in caplog.records}  # type: ignore[attr-defined]
    assert "timed out after 2 s" in logged["1-hangs"]
    assert logged["2-fails"] == "the hook failed: exit status 3: no mail server"
    assert logged["3-works"] == "the hook is done"
    assert out.exists()


def test_what_a_hook_cannot_keep_up_with_is_left_out_from_the_oldest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The newest event is never the one that is missed."""
    folder, out, go = tmp_path / "hooks", tmp_path / "out", tmp_path / "go"
    wait = f"while [ ! -e {go} ]; do sleep 0.01; done\n"
    hook(folder, "slow", f'#!/bin/sh\n{wait}echo "$EVENT_STATE" >>{out}\n')
    hooks = Hooks(str(folder), Commands().run, 30.0)
    with caplog.at_level(logging.WARNING, "pyconfd"):
        for number in range(MAX_WAITING + 3):
            hooks.run(event(str(number), out))
    assert "an event is left out" in caplog.text
    go.touch()
    assert hooks.finish(60.0)
    assert out.read_text().splitlines()[-1] == str(MAX_WAITING + 2)


def test_a_folder_that_is_not_there_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The states are published all the same."""
    hooks = Hooks(str(tmp_path / "none"), Commands().run, 1.0)
    hooks.run(event("MASTER", tmp_path))
    assert "the hooks cannot be read" in caplog.text
    assert hooks.finish(0.0)
