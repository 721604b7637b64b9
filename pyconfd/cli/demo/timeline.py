"""Prints the timeline for people: when, what, and how long it took. Colour on a terminal only."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyconfd.cli.demo.sandbox import Sandbox

_BOLD, _GREEN, _RED, _DIM, _OFF = "\033[1m", "\033[32m", "\033[31m", "\033[2m", "\033[0m"


class Timeline:
    """Prints the lines, each with the seconds since the demo began."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._began_s = time.monotonic()
        self._colour = sys.stdout.isatty() and not environ.get("NO_COLOR")

    def chapter(self, text: str) -> None:
        """What is about to be shown."""
        self._print(f"{self._in(_BOLD, text)}", "\n")

    def fact(self, text: str, took_s: float | None = None) -> None:
        """Something that happened, and how long it took."""
        took = "" if took_s is None else self._in(_GREEN, _duration(took_s).rjust(9))
        self._print(f"  {took or ' ' * 9}  {text}")

    def quote(self, text: str) -> None:
        """Output of another program."""
        self._print(f"  {'':9}  {self._in(_DIM, text)}")

    def failed(self, text: str) -> None:
        """The end that should not be."""
        self._print(f"{self._in(_RED, 'FAILED')}  {text}", "\n")

    def interrupted(self) -> None:
        """Ctrl-C."""
        self._print("interrupted; everything is ended and removed", "\n")

    def cleaned(self) -> None:
        """After the last process has gone."""
        self._print("everything is ended and removed")

    def addresses(self, sandbox: Sandbox) -> None:
        """Where to look while it stays up."""
        self.chapter("It stays up until Ctrl-C")
        self.fact(f"curl -H 'Host: {sandbox.site}' http://127.0.0.1:{sandbox.nginx_port}/")
        self.fact(
            f"ETCDCTL_API=3 etcdctl --endpoints=127.0.0.1:{sandbox.etcd_port} get --prefix /nginx"
        )
        self.fact(f"{sandbox.folder}: nginx.conf, pyconfd.log, templates")

    def _print(self, text: str, before: str = "") -> None:
        at = self._in(_DIM, f"{time.monotonic() - self._began_s:7.2f} s")
        print(f"{before}{at}  {text}", flush=True)

    def _in(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_OFF}" if self._colour else text


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"
