"""What functions raise at templates; the template language adds file and line. Pure."""

from __future__ import annotations


class FunctionFault(ValueError):
    """A function cannot answer. The text says why and never holds the value of a key."""


class NoSuchKey(FunctionFault):
    """
    `key`, a key path in the store, does not exist. hint: what to do when it is not simply to put
    the key; else empty.
    """

    def __init__(self, key: str, hint: str = "") -> None:
        super().__init__(f"key does not exist: {key}")
        self.key = key
        self.hint = hint


class NotText(FunctionFault):
    """The value of `key` is not UTF-8; only raised when it is read."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the value of {key} is not UTF-8 text")
        self.key = key
