"""
The command line: finds the command, prints errors, and sets the exit status.

Exit status: 0 done; 1 at least one resource failed, the others were done; 2 wrong usage or
configuration, nothing was done; 3 `--noop --detailed-exitcode` and something would change;
130 and 143 ended by Ctrl-C and SIGTERM before it was done.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pyconfd.cli.usage_errors import say_error, say_fault, say_faults, say_warning, style_asked
from pyconfd.errors import (
    ConfigError,
    PyconfdError,
    SettingsError,
    SourceCause,
    SourceError,
)

if TYPE_CHECKING:
    from pyconfd.config.arguments import Arguments

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


class SubCommand(NamedTuple):
    """
    module: has `main(argv, environ) -> int`, which may raise pyconfd's errors. help: one line.
    """

    module: str
    help: str


COMMANDS: Mapping[str, SubCommand] = {
    "check": SubCommand("pyconfd.cli.commands.check", "validate settings, resources and templates"),
    "status": SubCommand("pyconfd.cli.commands.status", "state of a running daemon and its etcd"),
    "explain": SubCommand("pyconfd.cli.commands.explain", "why a destination is as it is"),
    "history": SubCommand("pyconfd.cli.commands.history", "versions of a resource that went live"),
    "diff": SubCommand("pyconfd.cli.commands.diff", "a resource's files at two revisions"),
    "pin": SubCommand("pyconfd.cli.commands.pin", "keep a service at an earlier revision"),
    "unpin": SubCommand("pyconfd.cli.commands.unpin", "let a pinned service go on"),
    "release": SubCommand("pyconfd.cli.commands.release", "let a change through that is held back"),
    "reload": SubCommand("pyconfd.cli.commands.reload", "read conf.d and templates again, now"),
    "log-level": SubCommand("pyconfd.cli.commands.log_level", "what a running daemon logs"),
    "register": SubCommand(
        "pyconfd.cli.commands.register", "publish a service in etcd under a lease"
    ),
    "members": SubCommand("pyconfd.cli.commands.members", "list and steer registered members"),
    "fleet": SubCommand("pyconfd.cli.commands.fleet", "nodes that take turns: show, halt, resume"),
    "console": SubCommand("pyconfd.cli.commands.console", "a fleet on a page, live, with orders"),
    "notify": SubCommand("pyconfd.cli.commands.notify", "publish a daemon's states, run hooks"),
    "migrate": SubCommand("pyconfd.cli.commands.migrate", "write a tree of confd as pyconfd's own"),
    "recipes": SubCommand("pyconfd.cli.commands.recipes", "ready configurations: list, show, test"),
    "init": SubCommand("pyconfd.cli.commands.init", "write a recipe as a confdir"),
    "schema": SubCommand("pyconfd.cli.commands.schema", "JSON Schemas of the TOML files"),
    "completion": SubCommand("pyconfd.cli.commands.completion", "for bash, zsh and fish"),
    "probe": SubCommand("pyconfd.cli.commands.probe", "does it answer? for keepalived and Nagios"),
    "demo": SubCommand("pyconfd.cli.demo", "see it work: a private etcd, nginx and backends"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command of the arguments (default: the process's own); returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    style = style_asked(arguments, os.environ)
    try:
        status = _dispatch(arguments, os.environ)
        sys.stdout.flush()
    except ConfigError as error:
        say_faults(error, style)
        return WRONG_USAGE
    except PyconfdError as error:
        say_fault(error, style)
        cause = error.cause if isinstance(error, SourceError) else None
        return WRONG_USAGE if cause is SourceCause.TLS_FILES else FAILED
    except BrokenPipeError:
        _forget_stdout()
        return FAILED
    except OSError as error:
        if not _stdout_fails():
            raise
        say_error(f"standard output cannot be written: {error.strerror}", style)
        _forget_stdout()
        return FAILED
    except KeyboardInterrupt:
        say_error("interrupted", style)
        return INTERRUPTED
    return status


def _stdout_fails() -> bool:
    """Whether standard output cannot be written, for instance to a full disk."""
    try:
        sys.stdout.flush()
        os.write(sys.stdout.fileno(), b"\n")
    except OSError:
        return True
    return False


def _dispatch(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    if argv and argv[0] in COMMANDS:
        from importlib import import_module

        module = import_module(COMMANDS[argv[0]].module)
        status: int = module.main(list(argv[1:]), environ)
        return status
    # not at the top: a command such as `probe` needs none of it
    from pyconfd.config.arguments import read_arguments
    from pyconfd.config.option_table import OPTIONS
    from pyconfd.config.settings import settings_from

    arguments = read_arguments(argv, OPTIONS, foreign=True)
    if arguments.help or arguments.version:
        sys.stdout.write(_help() if arguments.help else version())
        if not arguments.help:
            _warn_of_clash(style_asked(argv, environ))
        return DONE
    if arguments.words:
        from pyconfd.config.confd.detection import take_backend

        take_backend(arguments, environ, sys.argv[0])
    _refuse_words(arguments)
    settings = settings_from(arguments, environ)
    from pyconfd.daemon.run import run

    return run(settings)


def _refuse_words(arguments: Arguments) -> None:
    """
    Refuse a word that is not an option: a command in the wrong place, or one that does not exist.
    """
    if arguments.rest == []:
        what, hint = "names no command", "pyconfd --watch -- COMMAND ..."
        arguments.faults.append(SettingsError(what, where="--", hint=hint))
    for word in arguments.words:
        if word in COMMANDS:
            what, hint = "the command comes first", f"pyconfd {word} ..."
        else:
            what, hint = "unknown command", _hint(word)
        arguments.faults.append(SettingsError(what, where=word, hint=hint))


def _hint(word: str) -> str:
    from pyconfd.config.confd.options import BACKENDS

    if word not in BACKENDS:
        from pyconfd.config.options import did_you_mean

        return did_you_mean(word, COMMANDS) or "see --help"
    from pyconfd.backends.registry import known_backends

    known = known_backends()
    if word in known:
        return f"did you mean pyconfd --backend {word}?"
    return f"a backend that pyconfd does not have; there are {', '.join(known)}"


def version() -> str:
    """The output of --version."""
    from pyconfd import __version__

    return f"pyconfd {__version__}\n"


def _warn_of_clash(style: str) -> None:
    from pyconfd.system.clash import clash

    if found := clash():
        say_warning(found, style)


def _help() -> str:
    from pyconfd.cli.help import main_page

    return main_page({name: command.help for name, command in COMMANDS.items()})


def _forget_stdout() -> None:
    """The reader of standard output is gone; prevent a second failure at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
