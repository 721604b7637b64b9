"""
Golden lists of messages: what the real command prints for a mistake, word by word.

A list is a file of `tests/messages`; PYCONFD_RENEW_GOLDEN=1 writes it anew, so that a change of
words is a change of that file, and is seen in review.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.repository import ROOT

FOLDER = ROOT / "tests" / "messages"
RENEW = bool(os.environ.get("PYCONFD_RENEW_GOLDEN"))

# What differs from run to run.
_NORMAL = (
    (r"127\.0\.0\.1:\d{4,5}", "127.0.0.1:PORT"),
    (r"\[::1\]:\d{4,5}", "[::1]:PORT"),
    (r"process \d+", "process PID"),
    (r"\b\d+(\.\d+)? m?s\b", "TIME"),
    (r"/state/[0-9a-f]{12}\b", "/state/ID"),
    (r"\((?:ssl|tls)v\w+_alert_\w+\)", "(ALERT)"),
    (r"duration_s=[\d.]+", "duration_s=TIME"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "MOMENT"),
)


class Golden:
    """One list. Every case is asked for once; the last one writes the list where it is renewed."""

    def __init__(self, name: str) -> None:
        self.path = FOLDER / f"{name}.txt"
        self.found: dict[str, str] = {}

    def expected(self) -> dict[str, str]:
        """Name of the case -> its text."""
        if not self.path.exists():
            return {}
        parts = re.split(r"^## (.*)\n", self.path.read_text(), flags=re.MULTILINE)
        return dict(zip(parts[1::2], (text.strip("\n") for text in parts[2::2]), strict=True))

    def check(self, name: str, text: str) -> None:
        """The text is what the list has for this case."""
        if RENEW:
            self.found[name] = text
            lines = [f"## {one}\n{said}\n" for one, said in self.found.items()]
            self.path.parent.mkdir(exist_ok=True)
            self.path.write_text("\n".join(lines))
            return
        wanted = self.expected().get(name, "")
        assert text == wanted, f"{name}: the words differ; PYCONFD_RENEW_GOLDEN=1 renews the list"


def said(
    words: Sequence[str],
    folder: Path,
    *,
    environ: Mapping[str, str] | None = None,
    shown: str = "",
) -> str:
    """The command line, its exit status and what it printed; `folder` is shown as /DIR."""
    done = subprocess.run(
        [sys.executable, "-m", "pyconfd", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=folder,
        env={
            **{name: one for name, one in os.environ.items() if not name.startswith("PYCONFD_")},
            "PYCONFD_CONFDIR": str(folder / "etc"),
            "PYCONFD_STATE_DIR": str(folder / "state"),
            "PYTHONPATH": str(ROOT),
            **(environ or {}),
        },
    )
    variables = "".join(f"{name}={text} " for name, text in (environ or {}).items())
    command = f"$ {variables}pyconfd {shown or ' '.join(words)}"
    lines = [command, *(done.stdout + done.stderr).splitlines(), f"exit status {done.returncode}"]
    return _normal("\n".join(lines), folder)


def _normal(text: str, folder: Path) -> str:
    text = text.replace(str(folder), "/DIR").replace(sys.prefix, "/PYTHON")
    for pattern, shown in _NORMAL:
        text = re.sub(pattern, shown, text)
    return text
