"""Who may give orders: tokens from a file, and the sessions of browsers that have shown one."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Mapping

from pyconfd.errors import SettingsError
from pyconfd.system import files

#: Of a token, and of the life of a session in seconds.
LEAST_LENGTH = 16
SESSION_S = 12 * 3600.0
_MOST_SESSIONS = 1000


def read_tokens(path: str) -> Mapping[str, str]:
    """
    Users by the digests of their tokens. Each line of the file is `USER TOKEN`. Raises
    SettingsError.
    """
    hint = "one line for each user: NAME TOKEN (openssl rand -hex 24), mode 600"
    if exposure := files.exposed(path, secret=True):
        raise SettingsError(
            f"{exposure.path}: {exposure.why}", where="--token-file", hint="chmod 600"
        )
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text"
        raise SettingsError(f"{path}: {reason}", where="--token-file", hint=hint) from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if len(words) != 2 or len(words[1]) < LEAST_LENGTH:
            what = f"no user with a token of {LEAST_LENGTH} characters or more"
            raise SettingsError(what, where=f"{path}:{number}", hint=hint)
        found[_digest(words[1])] = words[0]
    if not found:
        raise SettingsError(f"{path}: holds no token", where="--token-file", hint=hint)
    return found


class Sessions:
    """tokens: from `read_tokens`; empty when no orders are accepted. One thread owns it."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._tokens = tokens
        self._sessions: dict[str, tuple[str, float]] = {}
        self._notices: dict[str, str] = {}

    @property
    def allowed(self) -> bool:
        """Whether orders are accepted at all."""
        return bool(self._tokens)

    def user_of(self, token: str) -> str | None:
        """The user of a token."""
        digest, user = _digest(token), None
        for each, name in self._tokens.items():  # all of them, in the same time
            if hmac.compare_digest(each, digest):
                user = name
        return user

    def open(self, user: str) -> str:
        """Open a session of a user. Returns the value of its cookie."""
        while len(self._sessions) >= _MOST_SESSIONS:
            self.close(next(iter(self._sessions)))
        made = secrets.token_urlsafe(32)
        self._sessions[made] = (user, time.monotonic() + SESSION_S)
        return made

    def user_in(self, session: str) -> str | None:
        """The user of a session."""
        user, end_s = self._sessions.get(session, (None, 0.0))
        if user is not None and time.monotonic() > end_s:
            self.close(session)
            return None
        return user

    def close(self, session: str) -> None:
        """End a session."""
        self._sessions.pop(session, None)
        self._notices.pop(session, None)

    def leave_notice(self, session: str, text: str) -> None:
        """Leave a notice that the next page of a session shows once."""
        if session in self._sessions:
            self._notices[session] = text

    def take_notice(self, session: str) -> str:
        """Take the notice, "" for none."""
        return self._notices.pop(session, "")


def _digest(token: str) -> str:
    return hashlib.sha256(os.fsencode(token)).hexdigest()
