"""A destination that a container has mounted by itself, as /etc/hosts and Kubernetes' subPath."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pyconfd import Confdir, save
from tests.support.steps import in_child, may_mount, mount, private_mounts

READ_ONLY, REMOUNT, BIND = 1, 32, 0x1000


@pytest.mark.parametrize("read_only", [False, True], ids=["", "in-a-read-only-folder"])
def test_it_is_written_in_place_and_reported_once(tmp_path: Path, read_only: bool) -> None:
    """Every change arrives in the mounted file, is reloaded, and leaves nothing beside it."""
    if not may_mount():
        pytest.skip("mounts of one's own need CAP_SYS_ADMIN")
    keys = tmp_path / "keys.toml"
    keys.write_text('[app]\na = "1"\n')
    confdir = Confdir(tmp_path / "confdir", "--backend", "file", "--file", str(keys))
    dest = confdir.simple(reload_cmd=f'"echo reloaded >>{tmp_path}/reloads"')
    source = tmp_path / "volume"
    source.write_text("")
    dest.write_text("")

    def work() -> None:
        private_mounts()
        mount(str(confdir.out), confdir.out, "", BIND)
        mount(str(source), dest, "", BIND)
        if read_only:
            mount("", confdir.out, "", BIND | REMOUNT | READ_ONLY)
        with confdir.daemon() as daemon:
            for value in ("1", "a much longer value", "2"):
                save(keys, f'[app]\na = "{value}"\n')
                daemon.wait_file(source, f"/app/a={value}\n")
            daemon.wait(lambda: (tmp_path / "reloads").read_text().count("\n") == 3, "3 reloads")
            assert daemon.log.count("is a mount point of its own: it is written in place") == 1
            assert daemon.log.count("ERROR") == 0
        assert [path.name for path in confdir.out.iterdir()] == [dest.name]
        assert "unchanged=1" in confdir.once().stderr

    assert in_child(work) == 0
