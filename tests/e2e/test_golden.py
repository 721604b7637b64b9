"""
A confd user's command line gives what the classic confd gave: exit status, files, modes, effects.

What confd did is recorded in tests/golden; each thing that pyconfd does otherwise on purpose is
in one of the tables below, with its reason. The cases need only keys, so a file holds them; some
are run on a real etcd as well. (The bytes of every template are in
tests/pipeline/render/test_golden.py.)
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemons.etcd import PrivateEtcd
from tests.support.repository import ROOT

CASES = ROOT / "tests" / "golden"
NAMES = sorted(path.name for path in CASES.iterdir() if path.is_dir())

# Exit status and files afterwards where they differ from confd's.
OTHERWISE: dict[str, tuple[int, dict[str, Any]]] = {
    # The global prefix and the resource's combine, as in confd's active fork: "replaces" makes a
    # resource read another service's keys. So the key is looked for below /stage/prod.
    "14-prefix-flag-beats-toml": (1, {}),
    # Asking for keys that the resource does not name is a fault; confd takes them for absent.
    "16-single-leaf-key": (1, {}),
    # --noop writes nothing at all; what would be staged is shown by --diff.
    "20-keep-stage-file-noop": (0, {}),
}
# What a user must be told where it fails.
FAILURES = {
    "03-seed-missing-server-name": ("/nginx/www.example.com/server_name", "case.j2:1"),
    "08-check-cmd-fails": ("bad thing", "exit_status=3", "case.out"),
    "09-reload-cmd-fails": ("oops", "exit status 4"),
    "14-prefix-flag-beats-toml": ("/stage/prod/app/x",),
    "16-single-leaf-key": ("do not cover /app/y", "case.j2:1"),
    "21-template-syntax-error": ("case.j2:1",),
    "22-unknown-function": ("nosuch", "case.j2:1"),
    "23-dest-directory-missing": ("out/none", "make_dirs"),
}
# Staged names end in "~", which no include pattern ends in; confd's are `.case.out` and a number.
STAGED = (re.compile(r"^\.case\.out\S*$", re.M), ".case.outNNN")
ON_ETCD = ("01-seed-verbatim", "05-values-special", "13-prefix", "30-ls-lsdir-gets")


@dataclass
class Case:
    """One recorded case, laid out as confd's confdir in `folder`."""

    name: str
    folder: Path
    flags: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.source = CASES / self.name
        self.out = self.folder / "out"
        for name in ("conf.d", "templates", "out"):
            (self.folder / name).mkdir(parents=True)
        if (self.source / "flags.json").exists():
            self.flags = json.loads((self.source / "flags.json").read_text())
        toml = (self.source / "case.toml").read_text().replace("@OUT@", str(self.out))
        (self.folder / "conf.d" / "case.toml").write_text(toml)
        (self.folder / "templates" / "case.j2").write_bytes((self.source / "case.j2").read_bytes())
        for name, before in self.flags.get("before", {}).items():
            (self.out / name).write_text(before["text"])
            (self.out / name).chmod(int(before.get("mode", "0644"), 8))

    @property
    def keys(self) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.source / "keys.json").read_text())
        return found

    def run(self, *backend: str) -> subprocess.CompletedProcess[str]:
        """The command with confd's own words, one dash each."""
        words = ["-onetime", "-confdir", str(self.folder), *backend, *self.flags.get("args", [])]
        state = {"PYCONFD_STATE_DIR": str(self.folder / "state")}
        return subprocess.run(
            [sys.executable, "-m", "pyconfd", *words],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, **state},
            umask=0o022,
            check=False,
        )

    def expected(self) -> tuple[int, dict[str, Any]]:
        """Exit status and files: confd's, or ours where we mean it."""
        if self.name in OTHERWISE:
            return OTHERWISE[self.name]
        wanted = json.loads((self.source / "expected.json").read_text())
        return wanted["exit"], wanted["files"]

    def files(self) -> dict[str, Any]:
        """What is in the output folder, told as in expected.json."""
        return {
            path.relative_to(self.out).as_posix(): {
                "mode": oct(path.stat().st_mode & 0o7777),
                "text": STAGED[0].sub(STAGED[1], path.read_text()),
            }
            for path in self.out.rglob("*")
            if path.is_file()
        }

    def check(self, done: subprocess.CompletedProcess[str]) -> None:
        """Exit status, which files, their modes, and their bytes as far as they are recorded."""
        status, wanted = self.expected()
        assert done.returncode == status, done.stderr
        found = self.files()
        assert found.keys() == wanted.keys(), done.stderr
        for name, facts in wanted.items():
            assert found[name]["mode"] == facts["mode"], name
            assert len(found[name]["text"].encode()) == facts["bytes"], name
            assert found[name]["text"] == facts.get("text", found[name]["text"]), name
        if "case.out" in wanted:
            expected = (self.source / "expected.out").read_bytes()
            assert (self.out / "case.out").read_bytes() == expected


@pytest.mark.parametrize("name", NAMES)
def test_the_same_effects_as_confd(name: str, tmp_path: Path) -> None:
    """The live file, its mode, what check and reload left behind, the exit status, no strays."""
    case = Case(name, tmp_path / "confdir")
    done = case.run("-backend", "file", "-file", str(case.source / "keys.json"))
    case.check(done)
    for words in FAILURES.get(name, ()):
        assert words in done.stderr


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEtcd]:
    with PrivateEtcd(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.mark.integration
@pytest.mark.parametrize("name", ON_ETCD)
def test_the_same_effects_from_a_real_etcd(name: str, tmp_path: Path, etcd: PrivateEtcd) -> None:
    """With confd's name of the backend and its way to give a node."""
    etcd.delete("/", prefix=True)
    case = Case(name, tmp_path / "confdir")
    etcd.put_many(list(case.keys.items()))
    case.check(case.run("-backend", "etcdv3", "-node", f"http://{etcd.endpoint}"))


def test_every_failure_is_explained() -> None:
    """No case in which a user is left without a cause, and no table names what is not there."""
    failing = {
        name
        for name in NAMES
        if json.loads((CASES / name / "expected.json").read_text())["exit"] != 0
    }
    failing |= {name for name, (status, _) in OTHERWISE.items() if status}
    assert failing == set(FAILURES)
    assert {*FAILURES, *OTHERWISE, *ON_ETCD} <= set(NAMES)
