"""
Reads a command line against a table of options. Pure.

Long options take one dash or two (`-onetime`, `--onetime`), as confd's do, and are never
abbreviated. Flags: `--watch`, `--watch=false`, `--no-watch`. Others: `--node X`, `--node=X`.
`--` ends the options. The standard argparse is not used: it guesses abbreviations for one dash,
reads `-noop` as `-n -o -o -p`, and costs several milliseconds of every start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyconfd.config.options import BadValue, Given, Option, did_you_mean, from_text
from pyconfd.errors import SettingsError

_HELP = frozenset(("-h", "-help", "--help"))


class Arguments:
    """
    A command line that was read. given: by name of option; a repeatable option has a tuple.

    foreign: options of confd that pyconfd does not have by that name, with their text, in order.
    words: the words that are not options. rest: what follows `--`, None without one. help, version:
    whether they were requested; faults are ignored then. faults: everything that is wrong.
    """

    def __init__(self) -> None:
        self.given: dict[str, Given] = {}
        self.foreign: list[tuple[str, Given]] = []
        self.words: list[str] = []
        self.rest: list[str] | None = None
        self.help = False
        self.version = False
        self.faults: list[SettingsError] = []


def read_arguments(
    argv: Sequence[str], options: Sequence[Option], *, foreign: bool = False
) -> Arguments:
    """
    The options and words of a command line.

    foreign: whether confd's options are known; the caller decides what becomes of them.
    """
    known = {name: option for option in options for name in (option.name, *option.aliases)}
    read = Arguments()
    todo = list(reversed(argv))
    while todo:
        word = todo.pop()
        if word == "--":
            read.rest = todo[::-1]
            break
        if word in _HELP:
            read.help = True
        elif word in ("-version", "--version"):
            read.version = True
        elif word.startswith("-") and len(word) > 1:
            _option(read, word, todo, known, foreign)
        else:
            read.words.append(word)
    return read


def _option(
    read: Arguments,
    word: str,
    todo: list[str],
    known: Mapping[str, Option],
    foreign: bool,
) -> None:
    """Read one option, with its value from behind the `=` or from the next word."""
    name, equals, text = _bare(word).partition("=")
    option = known.get(name)
    if option is None and not equals and name.startswith("no-"):
        option = known.get(name[3:])
        if option is not None and option.kind == "flag":
            read.given[option.name] = Given(False, f"--{name}")
            return
    if option is None or (name.startswith("no-") and name not in known):
        if foreign and _foreign(read, word, todo):
            return
        _unknown(read, word.partition("=")[0], known)
        if todo and not equals and not todo[-1].startswith("-"):
            todo.pop()  # most likely its value; a second fault about it would only confuse
        return
    if not equals:
        if option.kind == "flag":
            text = "true"
        elif not todo or (todo[-1].startswith("-") and _bare(todo[-1]) in known):
            follows = f", but {todo[-1]} follows" if todo else ""
            read.faults.append(SettingsError(f"needs a value{follows}", where=f"--{option.name}"))
            return
        else:
            text = todo.pop()
    _keep(read, option, text)


def _bare(word: str) -> str:
    return word[2:] if word.startswith("--") else word[1:]


def _keep(read: Arguments, option: Option, text: str) -> None:
    where = f"--{option.name}"
    try:
        value = from_text(option, text)
    except BadValue as error:
        read.faults.append(SettingsError(str(error), where=where))
        return
    if option.repeatable:
        before = read.given.get(option.name)
        earlier = before.value if before else ()
        value = (*earlier, value) if isinstance(earlier, tuple) else (value,)
    read.given[option.name] = Given(value, where)


def _foreign(read: Arguments, word: str, todo: list[str]) -> bool:
    """Read one option of confd; False when confd has none of that name either."""
    from pyconfd.config.confd.options import FOREIGN  # for people who come from confd only

    name, equals, text = _bare(word).partition("=")
    row = FOREIGN.get(name)
    if row is None and name.startswith("no-") and not equals:
        name = name[3:]
        row = FOREIGN.get(name)
        row, text = (row, "false") if row and row.flag else (None, "")
    if row is None:
        return False
    if not (row.flag or equals) and todo and not todo[-1].startswith("-"):
        text = todo.pop()
    read.foreign.append((name, Given(text, word.partition("=")[0])))
    return True


def _unknown(read: Arguments, word: str, known: Mapping[str, Option]) -> None:
    hint = did_you_mean(f"--{_bare(word)}", [f"--{option.name}" for option in known.values()])
    read.faults.append(SettingsError("unknown option", where=word, hint=hint or "see --help"))
