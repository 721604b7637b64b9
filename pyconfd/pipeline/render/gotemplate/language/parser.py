"""
Parses the text of a Go template to a tree. Pure.

After text/template/parse/parse.go, quirks included. Faults that Go finds only at execution (a
variable that is assigned but never declared, a call with too many arguments) stay in the tree.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from types import MappingProxyType
from typing import NoReturn, TypeVar

from pyconfd.pipeline.render.gotemplate.errors import GoSyntaxError
from pyconfd.pipeline.render.gotemplate.language.constants import number, unquoted
from pyconfd.pipeline.render.gotemplate.language.lexer import Kind, LineIndex, Token, tokens
from pyconfd.pipeline.render.gotemplate.language.syntax import (
    Action,
    Body,
    Bool,
    Branch,
    Call,
    Chain,
    Dot,
    Identifier,
    Jump,
    Literal,
    Nil,
    Operand,
    Pipeline,
    Stage,
    Statement,
    Text,
    Tree,
    Variable,
)

#: Python nests no deeper: blocks are indented, and it has room for 20 loops in each other.
MOST_BLOCKS = 40
MOST_LOOPS = 18
MOST_PARENTHESES = 30
#: More of them are no template but a mistake, and compiling them would hold up everything else.
MOST_ACTIONS = 20_000
MOST_OPERANDS = 250

_STARTS_OPERAND = frozenset(
    {
        Kind.BOOL,
        Kind.CHAR_CONSTANT,
        Kind.DOT,
        Kind.FIELD,
        Kind.IDENTIFIER,
        Kind.NUMBER,
        Kind.NIL,
        Kind.RAW_STRING,
        Kind.STRING,
        Kind.VARIABLE,
        Kind.OPEN,
    }
)
_Made = TypeVar("_Made")


def parse(
    source: str, functions: Container[str], elsewhere: Mapping[str, str] = MappingProxyType({})
) -> Tree:
    """
    The tree of a template that may call these functions.

    Raises GoSyntaxError for the first fault, with all others that can be found after it.

    elsewhere: functions of the other confd, with the message for a template that calls one.
    """
    return _Parser(source, functions, elsewhere).tree()


class _Scope:
    """
    The variables of one template in the order of their declaration.

    A slot of None is a name that Go's parser knows but its executor does not find.
    """

    def __init__(self) -> None:
        self.known: list[tuple[str, int | None]] = [("$", 0)]
        self.loops = 0
        self.blocks = 0

    def slot(self, name: str) -> int | None:
        """The latest declaration in scope; LookupError if there is no such name."""
        slots = [slot for known, slot in self.known if known == name]
        if not slots:
            raise LookupError(name)
        return next((slot for slot in reversed(slots) if slot is not None), None)

    def lose(self, after: int) -> None:
        """Variables declared in a body that has ended can be named, but are not found."""
        self.known[after:] = [(name, None) for name, _ in self.known[after:]]


class _Parser:
    def __init__(
        self, source: str, functions: Container[str], elsewhere: Mapping[str, str]
    ) -> None:
        self._places = LineIndex(source)
        self._tokens = tokens(source, self._places)
        self._ahead: list[Token] = []
        self._functions = functions
        self._elsewhere = elsewhere
        self._defined: dict[str, Body] = {}
        self._scope = _Scope()
        self._slots = 0
        self._assigned: set[int] = set()
        self._parentheses = 0
        self._actions = 0
        self._faults: list[GoSyntaxError] = []

    def tree(self) -> Tree:
        """The whole file."""
        try:
            made = self._file()
        except GoSyntaxError as error:
            self._faults.append(error)
        if self._faults:
            first, *more = self._faults
            first.more = tuple(more)
            raise first
        return made

    def _file(self) -> Tree:
        body: list[Statement] = []
        while (token := self._next()).kind is not Kind.END:
            if token.kind is Kind.LEFT and self._peek_word().text == "define":
                self._next_word()
                self._define()
                continue
            made = self._statement(token)
            if isinstance(made, Token):
                self._fail(made, f"unexpected {{{{{made.text}}}}}")
            body.append(made)
        return Tree(tuple(body), self._defined, frozenset(self._assigned))

    # Tokens

    def _next(self) -> Token:
        return self._ahead.pop(0) if self._ahead else next(self._tokens)

    def _peek(self, at: int = 0) -> Token:
        while len(self._ahead) <= at:
            self._ahead.append(next(self._tokens))
        return self._ahead[at]

    def _skip_space(self) -> None:
        while self._peek().kind is Kind.SPACE:
            self._next()

    def _next_word(self) -> Token:
        self._skip_space()
        return self._next()

    def _peek_word(self) -> Token:
        self._skip_space()
        return self._peek()

    def _fail(self, token: Token, what: str) -> NoReturn:
        raise GoSyntaxError(what, self._places.position(token.at))

    def _note(self, token: Token, what: str) -> None:
        """Note a fault after which parsing can continue."""
        self._faults.append(GoSyntaxError(what, self._places.position(token.at)))

    def _unexpected(self, token: Token, context: str) -> NoReturn:
        self._fail(token, f"unexpected {token} in {context}")

    def _expect_end_of(self, context: str) -> None:
        token = self._next_word()
        if token.kind is not Kind.RIGHT:
            self._unexpected(token, context)

    # Statements

    def _define(self) -> None:
        token = self._next_word()
        name = self._name(token, "define clause")
        self._expect_end_of("define clause")
        self._template(token, name)

    def _template(self, token: Token, name: str) -> None:
        """The body of a define or block action, with variables of its own."""
        outer, self._scope = self._scope, _Scope()
        self._scope.blocks = outer.blocks
        body, end = self._body()
        if end.text != "end":
            self._fail(end, f"unexpected {{{{{end.text}}}}} in define clause")
        self._scope = outer
        if _is_empty(body) and name in self._defined:
            return
        if not _is_empty(self._defined.get(name, ())):
            self._fail(token, f'multiple definition of template "{name}"')
        self._defined[name] = body

    def _name(self, token: Token, context: str) -> str:
        if token.kind not in (Kind.STRING, Kind.RAW_STRING):
            self._unexpected(token, context)
        return self._constant(token, unquoted)

    def _body(self) -> tuple[Body, Token]:
        """Statements until an else or end, and that token."""
        body: list[Statement] = []
        while True:
            token = self._next_word()
            if token.kind is Kind.END:
                self._fail(token, "unexpected EOF: an {{end}} is missing")
            made = self._statement(token)
            if isinstance(made, Token):
                return tuple(body), made
            body.append(made)

    def _statement(self, token: Token) -> Statement | Token:
        """
        A text or an action; or the token of an end or else, which belongs to the statement around
        it.
        """
        if token.kind is Kind.TEXT:
            return Literal(token.at, token.text)
        if token.kind is not Kind.LEFT:
            self._unexpected(token, "input")
        self._count(token)
        word = self._peek_word()
        if word.kind is not Kind.KEYWORD:
            return Action(token.at, self._pipeline("command", Kind.RIGHT))
        self._next()
        match word.text:
            case "if" | "with" | "range":
                return self._control(word)
            case "break" | "continue":
                return self._jump(word)
            case "template" | "block":
                return self._call(word)
            case "end":
                self._expect_end_of("end")
            case "else":
                if self._peek_word().text not in ("if", "with"):
                    self._expect_end_of("else")
            case _:
                self._unexpected(word, "command")
        return word

    def _count(self, action: Token) -> None:
        self._actions += 1
        if self._actions > MOST_ACTIONS:
            self._fail(action, f"the template has more than {MOST_ACTIONS} actions")

    def _jump(self, word: Token) -> Jump:
        self._expect_end_of(f"{{{{{word.text}}}}}")
        if not self._scope.loops:
            self._fail(word, f"{{{{{word.text}}}}} outside {{{{range}}}}")
        return Jump(word.at, word.text)

    def _call(self, word: Token) -> Call:
        context = f"{word.text} clause"
        token = self._next_word()
        name = self._name(token, context)
        pipe = None
        if word.text == "block" or self._peek_word().kind is not Kind.RIGHT:
            pipe = self._pipeline(context, Kind.RIGHT)
        else:
            self._next()
        if word.text == "block":
            self._enter(word)
            self._template(token, name)
            self._scope.blocks -= 1
        return Call(word.at, name, pipe)

    def _enter(self, word: Token) -> None:
        self._scope.blocks += 1
        if self._scope.blocks > MOST_BLOCKS:
            self._fail(word, f"blocks are nested more than {MOST_BLOCKS} deep")

    def _control(self, word: Token) -> Branch:
        """if, with and range, with every `else if` and `else with` of theirs."""
        scope, before = self._scope, len(self._scope.known)
        self._enter(word)
        parts: list[tuple[Token, Pipeline, Body]] = []
        other: Body | None = None
        while True:
            pipe = self._pipeline(word.text, Kind.RIGHT)
            declared = len(scope.known)
            body, end = self._looped(word)
            scope.lose(declared)
            parts.append((word, pipe, body))
            if end.text == "end":
                break
            follows = self._peek_word()
            if follows.kind is Kind.KEYWORD and follows.text == word.text != "range":
                word = self._next()
                continue
            other = self._else(follows)
            break
        scope.blocks -= 1
        del scope.known[before:]
        return _nested(parts, other)

    def _else(self, follows: Token) -> Body:
        if follows.kind is Kind.KEYWORD and follows.text in ("if", "with"):
            self._unexpected(follows, "else")
        body, end = self._body()
        if end.text != "end":
            self._fail(end, f"expected end; found {{{{{end.text}}}}}")
        return body

    def _looped(self, word: Token) -> tuple[Body, Token]:
        """A body, which is a loop's after range."""
        is_loop = word.text == "range"
        self._scope.loops += is_loop
        if self._scope.loops > MOST_LOOPS:
            self._fail(word, f"ranges are nested more than {MOST_LOOPS} deep")
        body, end = self._body()
        self._scope.loops -= is_loop
        return body, end

    # Pipelines

    def _pipeline(self, context: str, end: Kind) -> Pipeline:
        first = self._peek_word()
        names, assigns = self._declarations(context)
        if names and end is Kind.CLOSE:
            what = "a variable is declared inside parentheses, which cannot be carried over:"
            self._fail(first, f"{what} declare it in an action of its own")
        known = self._scope.known
        before = len(known)
        known += [(name.text, None) for name in names]
        commands = self._commands(context, end)
        del known[before:]
        declared = tuple(self._declared(name, assigns) for name in names)
        return Pipeline(first.at, tuple(commands), declared, assigns)

    def _declarations(self, context: str) -> tuple[list[Token], bool]:
        """The variables that a pipeline begins with, and whether they already exist."""
        names: list[Token] = []
        while self._peek_word().kind is Kind.VARIABLE:
            after = 2 if self._peek(1).kind is Kind.SPACE else 1
            follows = self._peek(after)
            if follows.kind in (Kind.ASSIGN, Kind.DECLARE):
                names.append(self._next())
                self._next_word()
                return names, follows.kind is Kind.ASSIGN
            if follows.kind is not Kind.CHAR or follows.text != ",":
                break
            names.append(self._next())
            self._next_word()
            if context != "range" or len(names) > 1:
                self._fail(names[0], f"too many declarations in {context}")
            if self._peek_word().kind not in (Kind.VARIABLE, Kind.RIGHT, Kind.CLOSE):
                self._fail(names[0], "range can only initialize variables")
        return names, False

    def _declared(self, name: Token, assigns: bool) -> Variable:
        if assigns:
            try:
                slot = self._scope.slot(name.text)
            except LookupError:
                slot = None
                self._scope.known.append((name.text, None))
            self._assigned |= {slot} if slot is not None else set()
            return Variable(name.at, name.text, slot)
        self._slots += 1
        self._scope.known.append((name.text, self._slots))
        return Variable(name.at, name.text, self._slots)

    def _commands(self, context: str, end: Kind) -> list[Stage]:
        commands: list[Stage] = []
        while (token := self._peek_word()).kind is not end:
            if token.kind not in _STARTS_OPERAND:
                self._unexpected(token, context)
            commands.append(self._command())
            if len(commands) > MOST_PARENTHESES:
                self._fail(token, f"a pipeline has more than {MOST_PARENTHESES} stages")
        if not commands:
            self._fail(token, f"missing value for {context}")
        self._next()
        for stage, command in enumerate(commands[1:], 2):
            if not isinstance(command.args[0], (Identifier, Variable, Chain, Pipeline)):
                self._fail(token, f"non executable command in pipeline stage {stage}")
        return commands

    def _command(self) -> Stage:
        """Operands until a pipe, which is consumed, or the end of the pipeline."""
        at = self._peek_word().at
        args: list[Operand] = []
        while True:
            token = self._peek_word()
            if token.kind in _STARTS_OPERAND:
                args.append(self._operand())
                if len(args) > MOST_OPERANDS:
                    self._fail(token, f"a command has more than {MOST_OPERANDS} operands")
            token = self._peek()
            if token.kind is Kind.SPACE:
                continue
            if token.kind is Kind.PIPE:
                self._next()
            elif token.kind not in (Kind.RIGHT, Kind.CLOSE):
                self._unexpected(token, "operand")
            return Stage(at, tuple(args))

    def _operand(self) -> Operand:
        token = self._peek()
        term = self._term()
        fields: list[str] = []
        while self._peek().kind is Kind.FIELD:
            fields.append(self._next().text[1:])
            if len(fields) > MOST_PARENTHESES:
                self._fail(token, f"a value has more than {MOST_PARENTHESES} fields in a row")
        if not fields:
            return term
        if not isinstance(term, (Chain, Variable, Identifier, Pipeline)):
            self._fail(token, f"unexpected . after term {token}")
        if isinstance(term, Chain):
            return Chain(term.at, term.of, (*term.fields, *fields))
        return Chain(token.at, term, tuple(fields))

    def _term(self) -> Operand:
        token = self._next()
        match token.kind:
            case Kind.IDENTIFIER:
                if token.text not in self._functions:
                    known = self._elsewhere.get(token.text, "")
                    self._note(token, f'function "{token.text}" not defined{known}')
                return Identifier(token.at, token.text)
            case Kind.VARIABLE:
                return self._variable(token)
            case Kind.FIELD:
                return Chain(token.at, Dot(token.at), (token.text[1:],))
            case Kind.OPEN:
                return self._parenthesis(token)
            case Kind.NUMBER | Kind.CHAR_CONSTANT:
                return self._constant(token, lambda written: number(token.at, written))
            case Kind.STRING | Kind.RAW_STRING:
                return Text(token.at, self._constant(token, unquoted), token.text)
            case Kind.BOOL:
                return Bool(token.at, token.text == "true")
            case Kind.NIL:
                return Nil(token.at)
            case _:
                return Dot(token.at)

    def _variable(self, token: Token) -> Variable:
        try:
            return Variable(token.at, token.text, self._scope.slot(token.text))
        except LookupError:
            self._note(token, f'undefined variable "{token.text}"')
            return Variable(token.at, token.text, None)

    def _parenthesis(self, token: Token) -> Pipeline:
        self._parentheses += 1
        if self._parentheses > MOST_PARENTHESES:
            self._fail(token, f"parentheses are nested more than {MOST_PARENTHESES} deep")
        pipe = self._pipeline("parenthesized pipeline", Kind.CLOSE)
        self._parentheses -= 1
        return pipe

    def _constant(self, token: Token, read: Callable[[str], _Made]) -> _Made:
        try:
            return read(token.text)
        except ValueError as error:
            self._fail(token, f"{error}: {token.text}" if "'" not in str(error) else str(error))


def _nested(parts: list[tuple[Token, Pipeline, Body]], other: Body | None) -> Branch:
    """`else if` chains as branches in each other's else."""
    for word, pipe, body in reversed(parts):
        branch = Branch(word.at, word.text, pipe, body, other)
        other = (branch,)
    return branch


def _is_empty(body: Body) -> bool:
    """Whether a template has nothing but space, which Go checks when it is defined twice."""
    return all(isinstance(part, Literal) and not part.text.strip() for part in body)
