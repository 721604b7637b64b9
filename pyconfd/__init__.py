"""
pyconfd keeps configuration files up to date with a live store, and publishes services in it.

Public names: `register` and its result `Registration`; `render`, for tests of templates, and its
exception `RenderFailed`. They are imported at first use, so that they cost the command line
nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyconfd.errors import RenderFailed
    from pyconfd.registration.api import Registration, register
    from pyconfd.template_testing.render import render

__all__ = ["Registration", "RenderFailed", "__version__", "register", "render"]
__version__ = "0.1.0"


#: Where each is made.
_PUBLIC = {
    "Registration": "pyconfd.registration.api",
    "RenderFailed": "pyconfd.errors",
    "register": "pyconfd.registration.api",
    "render": "pyconfd.template_testing.render",
}


def __getattr__(name: str) -> object:
    if name in _PUBLIC:
        from importlib import import_module

        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
