"""
pyconfd keeps configuration files true to a live store, and publishes services in it.

Public names: `register` and what it gives, `Registration`. They are imported at first use, so that
the command line does not pay for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyconfd.registration.api import Registration, register

__all__ = ["Registration", "__version__", "register"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name in ("Registration", "register"):
        from pyconfd.registration import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
