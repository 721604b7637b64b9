"""Names of Jinja2 for Go's variables and for what a loop goes over. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection

_KEYWORDS = frozenset((
    "and", "block", "break", "call", "caller", "continue", "do", "elif", "else", "endfor",
    "endif", "extends", "false", "filter", "for", "from", "if", "import", "in", "include",
    "is", "loop", "macro", "namespace", "node", "none", "not", "or", "range", "raw",
    "recursive", "self", "set", "super", "true", "vars", "with", "False", "None", "True",
))  # fmt: skip


class Names:
    """
    The names in use, by scope. taken: what templates can call, which a name must not hide.
    """

    def __init__(self, taken: Collection[str]) -> None:
        self._taken = taken
        self._scopes: list[set[str]] = [set()]

    def enter(self) -> None:
        """Begin a scope: what is named in it can be named again after it."""
        self._scopes.append(set())

    def leave(self) -> None:
        """End the innermost scope."""
        self._scopes.pop()

    def new(self, wanted: str) -> str:
        """A name that is free, close to this one."""
        word = re.sub(r"\W", "_", wanted.lstrip("$"), flags=re.ASCII) or "value"
        word = f"_{word}" if word[0].isdigit() else word
        if word in _KEYWORDS or word in self._taken:
            word = f"{word}_value"
        name, number = word, 1
        while any(name in scope for scope in self._scopes):
            number += 1
            name = f"{word}_{number}"
        self._scopes[-1].add(name)
        return name
