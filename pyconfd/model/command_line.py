"""
The operator's command lines, which get paths as environment variables. Pure.

confd replaces `{{ .src }}` by the bare path. Here a quoted reference to a variable replaces it, so
that no shell parses the path. A command line that passes its text to a second interpreter would
undo that; `refusal` finds those when the configuration is read.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping

from pyconfd.model.shell_words import PLACEHOLDER, CommandLine, SimpleCommand, Unsafe, Word

#: The variables that hold the paths.
VARIABLES = {"src": "PYCONFD_SRC", "dest": "PYCONFD_DEST"}

_SHELLS = frozenset((
    "sh", "bash", "dash", "ash", "ksh", "ksh93", "mksh", "pdksh", "yash", "zsh", "fish", "csh",
    "tcsh",
))  # fmt: skip
#: All their arguments are code, or become code elsewhere.
_EVALUATE = frozenset((
    "eval", "trap", "alias", "ssh", "rsh", "watch", "parallel", "make", "gmake",
))  # fmt: skip
#: Take code from the argument after -c, -e or another such option.
_OPTION_IS_CODE = re.compile(r"(python|perl|ruby|php|node|lua|tclsh|pypy)[0-9.]*")
_CODE_OPTION = re.compile(r"-[A-Za-z]*[ceErS]|--(command|eval|session-command|exec|split-string)")
#: Their option -c (-S) may stand anywhere.
_ANYWHERE = frozenset(("su", "runuser", "script", "flock", "env", "setpriv"))
#: The program is one of the operands, so a placeholder must be a whole word.
_PROGRAMS = re.compile(r"([gmn]?awk|g?sed|ed|ex|vi|vim|jq|sqlite3|psql|mysql|mariadb|gdb|bc|find)")
_WHOLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*=|--?[A-Za-z0-9-]+=)?\0+")


#: Paths that no shell and no interpreter reads as more than text.
_HARMLESS = re.compile(r"/[A-Za-z0-9_@%+./~-]*")


class CannotExpand(ValueError):
    """A command line that cannot be run with these paths. str() says why."""


def names_file(text: str) -> bool:
    """Whether the command line has a placeholder: it is about one file."""
    return bool(PLACEHOLDER.search(text))


def has_actions(text: str) -> bool:
    """Whether it has actions of Go's text/template other than the two placeholders."""
    return "{{" in PLACEHOLDER.sub("", text) or "{{-" in text or "-}}" in text


def fill(text: str, *, src: str, dest: str) -> str:
    """The command line with its paths, for people to read and to paste."""
    values = {"src": src, "dest": dest}
    return PLACEHOLDER.sub(lambda found: shlex.quote(values[found[1]]), text)


def bare(text: str, *, src: str, dest: str) -> str:
    """The command line with bare paths, as confd has it."""
    values = {"src": src, "dest": dest}
    return PLACEHOLDER.sub(lambda found: values[found[1]], text)


def expand_as_confd(
    text: str, render: Callable[[str, Mapping[str, str]], str], *, src: str, dest: str
) -> str:
    """
    The command line to run for one that is a Go template of src and dest.

    render: the text of a template with this data. A path that the template leaves as it is becomes
    a reference, as by `reference`; one that it changes, or that stands where a reference cannot
    be one word, is put in only where all its characters are harmless. Raises CannotExpand, and
    what `render` raises.
    """
    line = text
    if has_actions(text):
        marks = {"src": "/pyconfd-mark-of-src", "dest": "/pyconfd-mark-of-dest"}
        line, wanted = render(text, marks), render(text, {"src": src, "dest": dest})
        for name, mark in marks.items():
            line = line.replace(mark, f"{{{{ {name} }}}}")
    else:
        wanted = bare(text, src=src, dest=dest)
    if bare(line, src=src, dest=dest) == wanted:
        why = refusal(line)
        if not why:
            return reference(line)
    else:
        why = "where the template changes its path"
    if _HARMLESS.fullmatch(src) and _HARMLESS.fullmatch(dest):
        return wanted
    raise CannotExpand(
        f"a placeholder stands {why}, and a shell may read this path as more: {dest}"
    )


def reference(text: str) -> str:
    """The command line to run, with references to VARIABLES. Raises ValueError as `refusal`."""
    return CommandLine(text, VARIABLES).text if names_file(text) else text


def environment(*, src: str, dest: str) -> dict[str, str]:
    """The variables that a command line from `reference` refers to."""
    return {VARIABLES["src"]: src, VARIABLES["dest"]: dest}


def refusal(text: str) -> str:
    """The place of a placeholder that might not stay one word; "" when all do."""
    if not names_file(text):
        return ""
    try:
        line = CommandLine(text, VARIABLES)
    except Unsafe as error:
        return str(error)
    return next(filter(None, map(_code_of, line.commands)), "") or _piped_into_shell(line.commands)


def _code_of(command: SimpleCommand) -> str:
    """Where a command would run a path as code; "" when it does not."""
    for index, word in enumerate(command.words):
        name = word.literal.rpartition("/")[2]
        after = command.words[index + 1 :]
        if name in _EVALUATE and any(each.holds or each.expands for each in after):
            return f"in the arguments of {name}"
        if _PROGRAMS.fullmatch(name) and any(map(_is_mixed, after)):
            return f"in the program of {name}"
        if name in _SHELLS or name in _ANYWHERE or _OPTION_IS_CODE.fullmatch(name):
            code = _code_words(after, anywhere=name in _ANYWHERE)
            if any(each.holds or each.expands for each in code):
                return f"in the code of {name}"
    return ""


def _is_mixed(word: Word) -> bool:
    return word.holds and not _WHOLE.fullmatch(word.literal)


def _code_words(words: list[Word], *, anywhere: bool) -> list[Word]:
    """The arguments that an interpreter runs as code."""
    found: list[Word] = []
    option = ""
    for word in words:
        if _CODE_OPTION.fullmatch(option):
            found.append(word)
        elif word.literal.startswith("-") and _is_mixed(word):
            found.append(word)  # the code stands in the same word
        elif not (anywhere or word.literal[:1] in ("-", "+") or option in ("-o", "+o", "-O")):
            break
        option = word.literal
    return found


def _piped_into_shell(commands: Iterable[SimpleCommand]) -> str:
    """A path that a shell reads as its input."""
    holds = False
    for command in commands:
        holds = (holds and command.piped) or any(word.holds for word in command.words)
        names = [word.literal.rpartition("/")[2] for word in command.words]
        shells = [index for index, name in enumerate(names) if name in _SHELLS]
        operands = [name for name in names[shells[0] + 1 :] if name[:1] != "-"] if shells else []
        if command.piped and holds and shells and (not operands or "xargs" in names):
            return f"in the input of {names[shells[0]]}"
    return ""
