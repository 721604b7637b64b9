"""
Parses a shell command line as far as its placeholders need it. Pure.

`{{ src }}` becomes a reference to a variable of the environment, so that no shell ever parses a
path: whatever it holds, it stays one word and is never code. Where a reference cannot promise that
(code for a second shell, a here-document, backquotes) the command line is refused, with the reason.
Grammar: POSIX.1-2017, Shell Command Language, 2.2 Quoting and 2.6 Word Expansions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

PLACEHOLDER = re.compile(r"\{\{-?[ \t]*\.?(src|dest)[ \t]*-?\}\}")

_SPACE, _OPERATORS = " \t", "\n;&|()<>"


class Unsafe(ValueError):
    """A placeholder stands where its path might not stay one word. str() says where."""


@dataclass(slots=True)
class Word:
    """
    One word of a command.

    literal: its text without quotes; a placeholder is a NUL in it.
    holds: whether a placeholder is in it, at any depth.
    expands: whether the shell puts something else in it.
    redirects: whether it is the file or the number of a redirection.
    """

    literal: str = ""
    holds: bool = False
    expands: bool = False
    redirects: bool = False


@dataclass(slots=True)
class SimpleCommand:
    """
    The words of a command.

    piped: whether the output of the command before it is its input.
    """

    words: list[Word] = field(default_factory=list)
    piped: bool = False


class CommandLine:
    """
    A command line with references in the place of its placeholders. Raises Unsafe.

    references: the name of a placeholder -> the name of its variable.
    text: the command line to run.
    commands: what it consists of, those of substitutions first.
    lost: why the text after some point may be parsed differently by the shell; else "".
    """

    def __init__(self, text: str, references: dict[str, str]) -> None:
        self.commands: list[SimpleCommand] = []
        self._in = text
        self._at = 0
        self._out: list[str] = []
        self._references = references
        self.lost = ""
        self._list(nested=False)
        self.text = "".join(self._out)

    def _peek(self, length: int = 1) -> str:
        return self._in[self._at : self._at + length]

    def _take(self, length: int = 1) -> str:
        part = self._peek(length)
        self._at += length
        self._out.append(part)
        return part

    def _list(self, *, nested: bool) -> None:
        """Commands up to the end, or to the parenthesis that closes a substitution."""
        command, depth, redirects = SimpleCommand(), 0, False
        while char := self._peek():
            if nested and char == ")" and not depth:
                break
            if char in _SPACE:
                self._take()
            elif char == "#":
                self._comment()
            elif char in "<>":
                self._redirection()
                redirects = True
            elif char in _OPERATORS:
                depth += {"(": 1, ")": -1}.get(char, 0)
                command = self._next(command, self._operator())
            else:
                command.words.append(self._word())
                number = command.words[-1].literal.isdigit() and self._peek() in ("<", ">")
                command.words[-1].redirects, redirects = redirects or number, False
                if nested and command.words[-1].literal == "case":
                    self.lost = "after a case in a substitution"
        self._next(command, "")

    def _next(self, command: SimpleCommand, operator: str) -> SimpleCommand:
        if command.words:
            self.commands.append(command)
        return SimpleCommand(piped=operator in ("|", "|&") or (operator == "(" and command.piped))

    def _operator(self) -> str:
        two = self._peek(2)
        if two == "((":
            self.lost = "after an arithmetic command ((...))"
        return self._take(2 if two in ("&&", "||", ";;", "|&") else 1)

    def _comment(self) -> None:
        end = self._in.find("\n", self._at)
        self._at = len(self._in) if end < 0 else end  # left out: it may hold a placeholder

    def _redirection(self) -> None:
        if self._take() == "<" and self._peek() == "<":
            self.lost = "after the beginning of a here-document (<<)"
        if self._peek() in ("&", "|"):  # >&2, >|file
            self._take()

    def _word(self) -> Word:
        word = Word()
        while (char := self._peek()) and char not in _SPACE + _OPERATORS:
            if name := self._placeholder(word):
                self._out.append(f'"${{{name}}}"')
            elif char == "'":
                self._single(word)
            elif char == '"':
                self._double(word)
            else:
                self._plain(word)
        return word

    def _placeholder(self, word: Word) -> str:
        """The variable of the placeholder that stands here, "" when there is none."""
        found = PLACEHOLDER.match(self._in, self._at)
        if not found:
            return ""
        if self.lost:
            raise Unsafe(self.lost)
        self._at = found.end()
        word.literal += "\0"
        word.holds = True
        return self._references[found[1]]

    def _plain(self, word: Word) -> None:
        """One character outside quotes or in double quotes, or what it begins."""
        char = self._take()
        if char == "\\":
            self._escaped(word)
        elif char == "`":
            self._span(r"(?:[^`\\]|\\.)*`", "in backquotes", word)
        elif char == "$":
            self._dollar(word)
        else:
            word.literal += char

    def _escaped(self, word: Word) -> None:
        if PLACEHOLDER.match(self._in, self._at):
            raise Unsafe("after a backslash")
        char = self._take()
        word.literal += "" if char == "\n" else char

    def _dollar(self, word: Word) -> None:
        word.expands = True
        if self._peek(2) == "((":
            self._span(r"\(\((?:[^()'\"`\\]|\([^()'\"`\\]*\))*\)\)", "in arithmetic $((...))", word)
        elif self._peek() == "(":
            self._substitution(word)
        elif self._peek() == "{" and not PLACEHOLDER.match(self._in, self._at):
            self._span(r"\{[^{}'\"`\\$]*\}", "in a parameter ${...}", word)
        elif self._peek() in ("'", '"'):
            self.lost = self.lost or "after $' or $\", which shells disagree about,"

    def _substitution(self, word: Word) -> None:
        self._take()
        before = len(self.commands)
        self._list(nested=True)
        if self._take() != ")":
            self.lost = self.lost or "in a substitution that is not closed"
        word.holds |= any(each.holds for one in self.commands[before:] for each in one.words)

    def _span(self, pattern: str, where: str, word: Word) -> None:
        """Text that is copied and must hold no placeholder."""
        word.expands = True
        found = re.compile(pattern, re.DOTALL).match(self._in, self._at)
        if not found:  # nested deeper than is followed here
            self.lost = self.lost or f"{where}, or after it"
            return
        if PLACEHOLDER.search(found[0]):
            raise Unsafe(where)
        self._take(len(found[0]))

    def _single(self, word: Word) -> None:
        self._take()
        while (char := self._peek()) and char != "'":
            if name := self._placeholder(word):
                self._out.append(f"'\"${{{name}}}\"'")
            else:
                word.literal += self._take()
        self._close(word)

    def _double(self, word: Word) -> None:
        self._take()
        while (char := self._peek()) and char != '"':
            if name := self._placeholder(word):
                self._out.append(f"${{{name}}}")
            else:
                self._plain(word)
        self._close(word)

    def _close(self, word: Word) -> None:
        if not self._take() and word.holds:
            raise Unsafe("in quotes that are not closed")
