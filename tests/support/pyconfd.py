"""The command as a child process, on a confdir of its own: what an operator runs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pyconfd.daemon import control_socket
from pyconfd.errors import StateError
from tests.support.waiting import PATIENCE_S, wait_until


def save(path: Path, text: str) -> None:
    """As editors save: who reads at the same time sees the file of before or the new one, whole."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text)
    os.replace(beside, path)


class Confdir:
    """A folder with conf.d, templates and out, and the command that runs on it."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.arguments = arguments
        self.out = folder / "out"
        for name in ("conf.d", "templates", "out"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def resource(self, name: str, toml: str) -> Path:
        """Write conf.d/NAME.toml; @OUT@ stands for the output folder."""
        path = self.folder / "conf.d" / f"{name}.toml"
        path.write_text(textwrap.dedent(toml).replace("@OUT@", str(self.out)))
        return path

    def template(self, name: str, text: str) -> Path:
        """Write templates/NAME."""
        path = self.folder / "templates" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def simple(self, name: str = "app", keys: str = "/app", **more: str) -> Path:
        """A resource that prints `key=value` lines of everything directly below `keys`."""
        self.template(
            f"{name}.j2",
            "{% for key, value in gets('" + keys + "/*') %}\n{{ key }}={{ value }}\n{% endfor %}\n",
        )
        extra = "\n".join(f"{key} = {value}" for key, value in more.items())
        self.resource(
            name,
            f'[template]\nsrc = "{name}.j2"\ndest = "@OUT@/{name}.conf"\n'
            f'keys = ["{keys}"]\n{extra}\n',
        )
        return self.out / f"{name}.conf"

    def argv(self, *more: str) -> list[str]:
        """The command line, with this confdir and a state folder beside it."""
        base = ["--confdir", str(self.folder), "--state-dir", str(self.folder / "state")]
        return [sys.executable, "-m", "pyconfd", *base, *self.arguments, *more]

    def once(
        self, *more: str, environ: Mapping[str, str] | None = None, timeout_s: float = 180.0
    ) -> subprocess.CompletedProcess[str]:
        """Run --onetime and return what it said."""
        return subprocess.run(
            self.argv("--onetime", *more),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env={**os.environ, **(environ or {})},
            check=False,
        )

    @contextlib.contextmanager
    def daemon(
        self, *more: str, environ: Mapping[str, str] | None = None, watch: bool = True
    ) -> Iterator[Daemon]:
        """A running `pyconfd --watch`, ended with SIGTERM."""
        log = self.folder / f"log-{time.monotonic_ns()}.txt"
        flags = ["--watch"] if watch else []
        with log.open("wb") as stream:
            process = subprocess.Popen(
                self.argv(*flags, *more),
                stdout=stream,
                stderr=stream,
                env={**os.environ, **(environ or {})},
                start_new_session=True,
            )
        daemon = Daemon(process, log, self.folder / "state")
        try:
            yield daemon
        finally:
            daemon.end()


class Daemon:
    """A running pyconfd, its log and, where it has one, its state folder."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, state: Path = Path()) -> None:
        self.process = process
        self.log_path = log
        self._state = state

    @property
    def log(self) -> str:
        """Everything it has said so far."""
        return self.log_path.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait_log(self, text: str, timeout_s: float = PATIENCE_S, count: int = 1) -> str:
        """Wait until the log says `text` this often."""
        self.wait(lambda: self.log.count(text) >= count, f"log line {text!r}", timeout_s)
        return self.log

    def wait(self, true: Callable[[], object], what: str, timeout_s: float = PATIENCE_S) -> None:
        """Wait for something to become true while the daemon lives."""
        wait_until(lambda: true() or self._ended(), timeout_s, lambda: f"{what}; log:\n{self.log}")

    def settled(self, revision: int) -> None:
        """Wait until it has this revision, and no service waits, runs or has to be reloaded."""
        self.wait(lambda: self._is_settled(revision), f"done with revision {revision}")

    def _is_settled(self, revision: int) -> bool:
        try:
            (folder,) = {path.parent for path in self._state.glob("*/control.sock")}
            status = control_socket.ask(str(folder), {"do": "status"})
        except (StateError, ValueError):  # while it starts
            return False
        busy = ("running", "waiting", "pending_reload")
        at: int = status["source"]["revision"]
        return at >= revision and not any(one[word] for one in status["services"] for word in busy)

    def _ended(self) -> bool:
        """False; AssertionError once the daemon is gone."""
        if self.process.poll() is not None:
            raise AssertionError(f"pyconfd ended with {self.process.returncode}:\n{self.log}")
        return False

    def wait_file(self, path: Path, text: str, timeout_s: float = PATIENCE_S) -> None:
        """Wait until the file holds exactly this."""
        self.wait(
            lambda: path.exists() and path.read_text() == text,
            f"{text!r} in {path.name}",
            timeout_s,
        )

    def end(self, timeout_s: float = PATIENCE_S) -> int:
        """SIGTERM, and its exit status; killed if it does not go."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"pyconfd did not end on SIGTERM:\n{self.log}") from None
