"""
The programs that a shell command line runs, as far as its text shows. Pure.

Names that the shell makes, looks for or defines itself are left out: only a program that is
certainly run is reported as missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pyconfd.model.command_line import VARIABLES
from pyconfd.model.shell_words import CommandLine, Unsafe, Word
from pyconfd.model.wrappers import ASSIGNMENT, inner_command

#: A command follows them.
_BEFORE = frozenset(("if", "then", "elif", "else", "while", "until", "do", "{", "!", "exec"))
#: The shell does them itself, or they close what a keyword has begun.
_BUILT_IN = frozenset((
    ":", "[", "break", "cd", "continue", "done", "echo", "esac", "exit", "export", "false", "fi",
    "for", "getopts", "kill", "printf", "pwd", "read", "readonly", "return", "set", "shift", "test",
    "times", "trap", "true", "ulimit", "umask", "unset", "wait", "}",
))  # fmt: skip
#: Further ones of the shells that a command line may name.
_BUILT_IN_ELSEWHERE = frozenset((
    "((", "[[", "bind", "builtin", "compgen", "complete", "declare", "dirs", "disown", "enable",
    "help", "history", "let", "local", "logout", "mapfile", "popd", "pushd", "readarray", "shopt",
    "suspend", "typeset",
))  # fmt: skip
#: After one of them, a name may be a function, an alias, or looked for before it is called.
_DEFINES = frozenset((
    ".", "alias", "case", "command", "eval", "function", "hash", "select", "source", "type",
    "which",
))  # fmt: skip
_LOOKS_FOR_IT = re.compile(r"(^|\s)(\[|test)\s[^;&|]*-[efx]\s|\bPATH=|\(\s*\)|<<")


def programs(text: str) -> tuple[str, ...]:
    """
    The names, each once: an absolute path, or a word without / that is found on PATH. Those that
    `env`, `timeout`, `sh -c` and the like run are among them.
    """
    return tuple(dict.fromkeys(_programs(text)))


def _programs(text: str) -> Iterator[str]:
    try:
        line = CommandLine(text, VARIABLES)
    except Unsafe:
        return
    if line.lost or _LOOKS_FOR_IT.search(text):
        return
    if any(word.literal in _DEFINES for one in line.commands for word in one.words[:2]):
        return
    for command in line.commands:
        yield from _of_command([word for word in command.words if not word.redirects])


def _of_command(words: Sequence[Word]) -> Iterator[str]:
    """The program of one command and what that runs; nothing where it is not certain."""
    for index, word in enumerate(words):
        name = word.literal
        if name in _BEFORE or ASSIGNMENT.match(name):
            continue
        if word.expands or word.holds or name in _BUILT_IN or name[:1] in ("~", "-"):
            return
        folder, _, base = name.rpartition("/")
        if folder and not name.startswith("/"):
            return
        yield name
        inner = inner_command(base, words[index + 1 :])
        if isinstance(inner, str):
            yield from (each for each in _programs(inner) if each not in _BUILT_IN_ELSEWHERE)
        else:
            yield from _of_command(inner)
        return
