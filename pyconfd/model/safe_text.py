"""
Escapes all text that leaves the process: logs, status, health, tables. Pure.

Keys, values and the output of commands may hold bytes that are not UTF-8, escape sequences of
terminals, line breaks that forge a row, and controls of the text direction.
"""

from __future__ import annotations

from typing import Any


def escaped(text: str, keep: str = "") -> str:
    r"""
    The text with every character that is not printable written as `\n`, `\x1b`, `\u202e`; bytes
    that are not UTF-8 as `\xff`. keep: those that stay, such as the line breaks of a report.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else _code(char) for char in text)


def shortened(text: str, most: int) -> str:
    """A text of about `most` characters at most: of a longer one, such as a name, both ends."""
    left_out = len(text) - most
    if left_out <= 0:
        return text
    half = most // 2
    return f"{text[:half]}... {left_out} characters ...{text[-half:]}"


def _code(char: str) -> str:
    if "\udc80" <= char <= "\udcff":  # as surrogateescape has it
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def escaped_all(value: Any) -> Any:
    """The texts in lists and mappings, names included, with their line breaks kept."""
    if isinstance(value, str):
        return escaped(value, "\n")
    if isinstance(value, dict):
        return {escaped_all(name): escaped_all(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [escaped_all(item) for item in value]
    return value
