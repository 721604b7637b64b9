"""
Programs that run another one named on their command line: `timeout 10 nginx -t`. Pure.

In doubt (an option that the shell fills in, another search path), nothing counts as run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pyconfd.model.shell_words import Word
from pyconfd.model.values import dataclass

ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=", re.ASCII)


@dataclass(frozen=True, slots=True)
class Wrapper:
    """
    How a program names the one that it runs. Options are letters, and long names with dashes.

    valued: options that take the next word.
    hides: options with which nothing is run, or the program is searched in another way.
    operands: how many words stand before the program.
    assigns: NAME=VALUE may stand before it.
    code: the option after which shell code follows; "" for none.
    """

    valued: frozenset[str] = frozenset()
    hides: frozenset[str] = frozenset()
    operands: int = 0
    assigns: bool = False
    code: str = ""


_SHELL = Wrapper(
    valued=frozenset(("o", "O", "--init-file", "--rcfile")),
    hides=frozenset(("i", "l", "s", "--login")),
    code="c",
)
_WRAPPERS = {
    "ash": _SHELL,
    "bash": _SHELL,
    "dash": _SHELL,
    "env": Wrapper(
        valued=frozenset(("C", "u", "--chdir", "--unset")),
        hides=frozenset(("i", "S", "--ignore-environment", "--split-string")),
        assigns=True,
    ),
    "flock": Wrapper(
        valued=frozenset(("E", "w", "--conflict-exit-code", "--timeout", "--wait")),
        operands=1,
        code="c",
    ),
    "nice": Wrapper(valued=frozenset(("n", "--adjustment"))),
    "nohup": Wrapper(),
    "sh": _SHELL,
    "sudo": Wrapper(
        valued=frozenset((
            "C", "D", "g", "h", "p", "R", "r", "T", "t", "U", "u", "--chdir", "--chroot",
            "--close-from", "--command-timeout", "--group", "--host", "--other-user", "--prompt",
            "--role", "--type", "--user",
        )),
        hides=frozenset((
            "e", "i", "K", "l", "s", "V", "v", "--edit", "--list", "--login", "--shell",
            "--validate", "--version",
        )),
        assigns=True,
    ),
    "timeout": Wrapper(valued=frozenset(("k", "s", "--kill-after", "--signal")), operands=1),
}  # fmt: skip


def inner_command(name: str, words: Sequence[Word]) -> Sequence[Word] | str:
    """
    What a program runs: the words of a command, or code for a shell; no words when it runs
    nothing, or when that is not certain.

    name: of the program, without its folder. words: behind it.
    """
    wrapper = _WRAPPERS.get(name)
    at, has_code = _behind_options(wrapper, words) if wrapper else (-1, False)
    if wrapper is None or at < 0:
        return ()
    operands = words[at : at + wrapper.operands]
    if any(word.expands for word in operands):
        return ()
    rest = words[at + wrapper.operands :]
    if operands and wrapper.code and rest and rest[0].literal in ("-c", "--command"):
        rest, has_code = rest[1:], True
    if has_code:
        return rest[0].literal if rest and not (rest[0].expands or rest[0].holds) else ()
    if wrapper is _SHELL:
        return ()  # a script
    while wrapper.assigns and rest and ASSIGNMENT.match(rest[0].literal):
        rest = rest[1:]
    return rest


def _behind_options(wrapper: Wrapper, words: Sequence[Word]) -> tuple[int, bool]:
    """Where the operands begin, -1 for nowhere; and whether the first one is code."""
    at, has_code = 0, False
    while at < len(words) and words[at].literal[:1] in ("-", "+"):
        option = words[at].literal
        at += 1
        if option == "--":
            break
        if option == "-" or words[at - 1].expands:
            return -1, False
        name, _, value = option.partition("=")
        letters = [name] if name.startswith("--") else list(option[1:])
        for index, letter in enumerate(letters):
            if letter in wrapper.hides:
                return -1, False
            has_code = has_code or (letter == wrapper.code and not wrapper.operands)
            if letter in wrapper.valued:
                is_last = index == len(letters) - 1
                at += is_last and not (value and letter == name)
                break
    return at, has_code
