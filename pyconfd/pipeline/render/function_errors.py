"""The errors of template functions; the template language adds file and line. Pure."""

from __future__ import annotations

SLASH_HINT = 'keys start with "/"'


class FunctionFault(ValueError):
    """A function cannot answer. The text is the reason and never has the value of a key."""


class NoSuchKey(FunctionFault):
    """
    A key does not exist.

    key: its path in the store.
    hint: what to do, if that is not simply to put the key; else "".
    """

    def __init__(self, key: str, hint: str = "") -> None:
        super().__init__(f"key does not exist: {key}")
        self.key = key
        self.hint = hint


class NotCovered(FunctionFault):
    """
    A template asks for keys that its resource does not declare, so any answer could be wrong.

    path: as the template knows it.
    """

    def __init__(self, path: str) -> None:
        if path.startswith("/"):
            what, self.hint = f"the keys of this resource do not cover {path}", "add it to keys"
        else:
            what, self.hint = f"{path!r} is not a key path", SLASH_HINT
        super().__init__(what)
        self.path = path


class Slashless(FunctionFault):
    """
    A path has no keys, but the store has keys of that name without the leading slash.

    path: as the store would have it.
    """

    def __init__(self, path: str) -> None:
        super().__init__(f"the store has nothing at {path}, only keys without the slash in front")
        self.hint = (
            "pyconfd reads keys that start with /, as confd does: write them a second time with it"
        )


class NotText(FunctionFault):
    """The value of `key` is not UTF-8; only raised when it is read."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the value of {key} is not UTF-8 text")
        self.key = key
