"""Chooses names in Jinja2 for Go's variables and for the elements of loops. Pure."""

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
        #: Name -> whether it stays what it is until the scope ends.
        self._scopes: list[dict[str, bool]] = [{}]

    def enter(self) -> None:
        """Begin a scope: what is named in it can be named again after it."""
        self._scopes.append({})

    def leave(self) -> None:
        """End the innermost scope."""
        self._scopes.pop()

    def new(self, wanted: str, *, stays: bool = False) -> str:
        """
        A name close to this one that hides no other. The name of a variable that is declared again
        in its own scope is reused. stays: it is also used for something other than a variable.
        """
        word = re.sub(r"\W", "_", wanted.lstrip("$"), flags=re.ASCII) or "value"
        word = f"_{word}" if word[0].isdigit() else word
        if word in _KEYWORDS or word in self._taken:
            word = f"{word}_value"
        name, number = word, 1
        while self._is_taken(name, stays):
            number += 1
            name = f"{word}_{number}"
        self._scopes[-1][name] = stays
        return name

    def keep(self, name: str) -> None:
        """Note that a variable is also used for something else from now on."""
        for scope in self._scopes:
            if name in scope:
                scope[name] = True

    def _is_taken(self, name: str, stays: bool) -> bool:
        inner = self._scopes[-1].get(name)
        return inner or (inner is False and stays) or any(name in one for one in self._scopes[:-1])
