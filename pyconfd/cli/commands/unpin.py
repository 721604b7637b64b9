"""`pyconfd unpin`; see pin.py."""

from __future__ import annotations

from pyconfd.cli.commands.pin import unpin as main

__all__ = ["main"]
