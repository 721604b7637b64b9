"""
The programs that a shell command line runs, as far as its text alone says so. Pure.

Names that the shell makes, looks for or defines itself are left out: a missing program is reported
for those that are certain.
"""

from __future__ import annotations

import re

from pyconfd.model.command_line import VARIABLES
from pyconfd.model.shell_words import CommandLine, SimpleCommand, Unsafe

#: A command follows them.
_BEFORE = frozenset(("if", "then", "elif", "else", "while", "until", "do", "{", "!", "exec"))
#: The shell does them itself, or they close what a keyword has begun.
_BUILT_IN = frozenset((
    ":", "[", "break", "cd", "continue", "done", "echo", "esac", "exit", "export", "false", "fi",
    "for", "getopts", "kill", "printf", "pwd", "read", "readonly", "return", "set", "shift", "test",
    "times", "trap", "true", "ulimit", "umask", "unset", "wait", "}",
))  # fmt: skip
#: After one of them, a name may be a function, an alias, or looked for before it is called.
_DEFINES = frozenset((
    ".", "alias", "case", "command", "eval", "function", "hash", "select", "source", "type",
    "which",
))  # fmt: skip
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=", re.ASCII)
_LOOKS_FOR_IT = re.compile(r"(^|\s)(\[|test)\s[^;&|]*-[efx]\s|\bPATH=|\(\s*\)|<<")


def programs(text: str) -> tuple[str, ...]:
    """The names, each once: an absolute path, or a word without / that is found on PATH."""
    try:
        line = CommandLine(text, VARIABLES)
    except Unsafe:
        return ()
    if line.lost or _LOOKS_FOR_IT.search(text):
        return ()
    if any(word.literal in _DEFINES for one in line.commands for word in one.words[:2]):
        return ()
    return tuple(dict.fromkeys(filter(None, map(_program, line.commands))))


def _program(command: SimpleCommand) -> str:
    """The program of one command; "" when there is none, or it is not certain."""
    for word in command.words:
        if word.redirects or word.literal in _BEFORE or _ASSIGNMENT.match(word.literal):
            continue
        name = word.literal
        if word.expands or word.holds or name in _BUILT_IN or name.startswith("~"):
            return ""
        return "" if "/" in name and not name.startswith("/") else name
    return ""
