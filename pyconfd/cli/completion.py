"""
The completions of the last word of a command line.

A candidate is a word, or a word, a tab and its description. `:files` and `:folders` leave it to the
shell. What is not known (a store that does not answer, a faulty conf.d) is left out silently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain

from pyconfd.cli.command_pages import page_of
from pyconfd.cli.main import COMMANDS
from pyconfd.config.arguments import read_arguments
from pyconfd.config.option_table import LOG_LEVELS, OPTIONS
from pyconfd.config.options import Given, Option
from pyconfd.errors import PyconfdError

FILES, FOLDERS = ":files", ":folders"
#: For a store that does not answer: whoever presses Tab waits for it.
STORE_S = 0.4

Names = Callable[[Sequence[str], Mapping[str, str]], Iterator[str]]


def typed_words(line: str) -> list[str]:
    """The words after the name of the program; the last one is "" after a space."""
    import shlex

    for closing in ("", "'", '"'):
        try:
            words = shlex.split(line + closing)
        except ValueError:
            continue
        ended = not closing and (not line or line[-1].isspace())
        return [*words[1:], ""] if ended else words[1:]
    return [""]


def candidates(words: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """The candidates for the last of the words."""
    *before, current = words or [""]
    if "--" in before:
        return [FILES]  # words of another command
    command = before[0] if before and before[0] in COMMANDS else ""
    typed = before[1:] if command else before
    options = page_of(command).options
    name, equals, text = current.partition("=")
    if equals and name.startswith("-"):
        found = _values(_option(options, name), typed, environ)
        return _matching((f"{name}={one}" if one[0] != ":" else one for one in found), current)
    if typed and (option := _option(options, typed[-1])) and option.kind != "flag":
        return _matching(_values(option, typed[:-1], environ), text or current)
    if current.startswith("-"):
        return _matching(_of_options(options, current), current)
    at_first = not before
    commands = (f"{each}\t{row.help}" for each, row in COMMANDS.items()) if at_first else ()
    done = read_arguments(typed, (*options, *OPTIONS)).words
    return _matching(chain(commands, _arguments(command, done, typed, environ)), current)


def _matching(found: Iterator[str] | chain[str], current: str) -> list[str]:
    return [one for one in dict.fromkeys(found) if one.startswith((current, ":"))]


def _option(options: Sequence[Option], word: str) -> Option | None:
    bare = word.lstrip("-")
    if not word.startswith("-") or "=" in word:
        return None
    return next((one for one in options if bare in (one.name, *one.aliases)), None)


def _of_options(options: Sequence[Option], current: str) -> Iterator[str]:
    dashes = "-" if current.startswith("-") and not "--".startswith(current[:2]) else "--"
    for option in options:
        yield f"{dashes}{option.name}\t{option.help}"
        if option.kind == "flag" and current.startswith("--no"):
            yield f"{dashes}no-{option.name}\tnot: {option.help}"
    yield f"{dashes}help\tall options"


def _values(
    option: Option | None, typed: Sequence[str], environ: Mapping[str, str]
) -> Iterator[str]:
    """Values of an option."""
    if option is None:
        return
    if option.kind == "flag":
        yield from ("true", "false")
    yield from option.choices
    if option.name in _OF_OPTIONS:
        yield from _OF_OPTIONS[option.name](typed, environ)
    elif option.metavar in ("FILE", "PATH"):
        yield FILES
    elif option.metavar == "FOLDER":
        yield FOLDERS


def _arguments(
    command: str, done: Sequence[str], typed: Sequence[str], environ: Mapping[str, str]
) -> Iterator[str]:
    """The candidates for the next argument. done: the arguments before it."""
    if command == "members":
        yield from _members_words(done, typed, environ)
        return
    rows = _OF_COMMANDS.get(command, ())
    at = len(done)
    if command == "recipes" and at and done[0] == "test":
        at = 1
    if at < len(rows):
        yield from rows[at](typed, environ)


def _words(*words: str) -> Names:
    return lambda _typed, _environ: iter(words)


def _recipes(typed: Sequence[str], environ: Mapping[str, str]) -> Iterator[str]:
    from pyconfd.config.recipes import load_recipe, recipe_names

    given = read_arguments(typed, page_of("recipes").options).given
    root = str(given["from"].value) if "from" in given else environ.get("PYCONFD_FROM", "")
    try:
        for name in recipe_names(root) if root else recipe_names():
            recipe = load_recipe(name, root) if root else load_recipe(name)
            yield f"{name}\t{recipe.title}"
    except PyconfdError:
        return


def _conf_d(typed: Sequence[str], environ: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Name, destination and named service of each good resource of the confdir that is meant."""
    from pyconfd.config.resources import load_resources
    from pyconfd.config.settings import settings_and_faults

    arguments = read_arguments(typed, OPTIONS)
    arguments.given.pop("resource", None)
    try:
        settings = settings_and_faults(arguments, environ)[0]
        found = load_resources(settings.confdir, settings).resources
    except PyconfdError:
        return
    for one in found:
        yield one.name, one.dest, one.service.name


def _resources(typed: Sequence[str], environ: Mapping[str, str]) -> Iterator[str]:
    return (f"{name}\t{dest}" for name, dest, _ in _conf_d(typed, environ))


def _services(typed: Sequence[str], environ: Mapping[str, str]) -> Iterator[str]:
    return (f"{service}\tservice" for _, _, service in _conf_d(typed, environ) if service)


def _pinned(typed: Sequence[str], environ: Mapping[str, str]) -> Iterator[str]:
    yield from _services(typed, environ)
    yield from _resources(typed, environ)


def _backends(_typed: Sequence[str], _environ: Mapping[str, str]) -> Iterator[str]:
    from pyconfd.backends.registry import known_backends

    return iter(known_backends())


def _members_words(
    done: Sequence[str], typed: Sequence[str], environ: Mapping[str, str]
) -> Iterator[str]:
    from pyconfd.registration.overrides import VERBS

    steered = bool(done) and done[0] in VERBS
    if not done:
        yield from VERBS
    if len(done) == int(steered):
        yield from (service for service, _ in _members(typed, environ))
    elif steered and len(done) == 2:
        yield from (name for service, name in _members(typed, environ) if service == done[1])


def _members(typed: Sequence[str], environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Service and id of the members in the store."""
    from pyconfd.backends.registry import open_leases
    from pyconfd.cli.commands.members import ALL_OPTIONS
    from pyconfd.config.layers import resolve
    from pyconfd.config.settings import source_options
    from pyconfd.registration.overrides import Places

    arguments = read_arguments(typed, ALL_OPTIONS)
    quick = {name: Given(STORE_S, "") for name in ("timeout", "dial-timeout")}
    arguments.given.update(quick)
    try:
        values = resolve(ALL_OPTIONS, arguments, environ)
        places = Places(values["key_pattern"], values["prefix"])
        registry = open_leases("etcd", source_options(values, environ), lambda *_: None)
        try:
            rows = places.rows(registry.list(places.root))
        finally:
            registry.close()
    except PyconfdError:
        return
    yield from ((row.service, row.member_id) for row in rows)


def _schemas(_typed: Sequence[str], _environ: Mapping[str, str]) -> Iterator[str]:
    from pyconfd.cli.commands.schema import SCHEMAS

    return (f"{name}\t{about}" for name, about in SCHEMAS.items())


_NAMED = (_resources,)
#: Command -> what its words are, in order.
_OF_COMMANDS: Mapping[str, Sequence[Names]] = {
    "explain": _NAMED,
    "release": _NAMED,
    "history": _NAMED,
    "diff": _NAMED,
    "pin": (_pinned,),
    "unpin": (_pinned,),
    "log-level": (_words(*LOG_LEVELS),),
    "fleet": (_words("halt", "resume", "promote", "skip"),),
    "recipes": (_words("show", "test"), _recipes),
    "init": (_recipes, _words(FOLDERS)),
    "migrate": (_words(FOLDERS), _words(FOLDERS)),
    "notify": (_words("keepalived"), _words(FILES)),
    "schema": (_schemas,),
    "completion": (_words("bash", "zsh", "fish"),),
    "probe": (_words("http://", "https://", "tcp://", "unix:/", "pid:/"),) * 9,
}
_OF_OPTIONS: Mapping[str, Names] = {
    "resource": _resources,
    "service": _services,
    "backend": _backends,
}
