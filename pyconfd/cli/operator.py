"""Who runs a command."""

from __future__ import annotations

import os


def user() -> str:
    """The user who runs this; under sudo, the user who called it."""
    import pwd

    try:
        return os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
