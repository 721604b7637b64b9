"""
`pyconfd register`: publish services in etcd under leases, beside a backend or around it.

Exit status: that of the command when there is one; 0 stopped by a signal; 2 wrong usage; 127 and
126 the command is not there or cannot be run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyconfd.app.cli import DONE, say_error
from pyconfd.config.arguments import Arguments, read_arguments
from pyconfd.config.layers import resolve
from pyconfd.config.option_table import CONNECTION, OPTIONS, SAYING
from pyconfd.config.options import Option
from pyconfd.config.settings import source_options
from pyconfd.errors import RegistrationError, SettingsError
from pyconfd.registration.options import MEMBER_OPTIONS, declaration
from pyconfd.registration.service import Declaration

if TYPE_CHECKING:
    from pyconfd.backends.base import KeptAlive, LeaseRegistry
    from pyconfd.model.source import SourceOptions
    from pyconfd.registration.registrar import Registrar
    from pyconfd.registration.status import Tell

RUN = "Running a command"

RUN_OPTIONS = (
    Option("services-file", "text", "", "register every [[service]] of this TOML file", RUN, "FILE",
           aliases=("file",), in_file=False),
    Option("drain", "duration", 3.0, "from the withdrawal to the stop of the command", RUN,
           in_file=False),
    Option("stop-timeout", "wait", 30.0, "for the command to stop; then it is killed", RUN,
           in_file=False),
    Option("start-anyway", "flag", False, "start the command before the store answers", RUN,
           in_file=False),
)  # fmt: skip

# `--timeout` is that of a check here; calls to the store are bounded by the lease client.
STORE_OPTIONS = (
    *(option for option in CONNECTION if option.name != "timeout"),
    *(option for option in OPTIONS if option.name in ("prefix", "config-file")),
)
ALL_OPTIONS = (*RUN_OPTIONS, *MEMBER_OPTIONS, *STORE_OPTIONS, *SAYING)

_HELP = """\
usage: pyconfd register SERVICE ADDRESS [OPTIONS] [-- COMMAND ARGUMENT...]
       pyconfd register --file services.toml [OPTIONS]

Publishes a member of a service in etcd under a lease: the key is there while the member is well,
and goes by itself when it, this process or the machine ends. With a COMMAND, starts it, registers
it once it is healthy, passes signals on, withdraws it before it is stopped, and leaves with its
exit status.

ADDRESS is host:port, :port (this machine's address on the route to etcd), unix:/path, pid:N, or
port:auto (the port on which COMMAND listens).
"""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Register until stopped; returns the exit status. Raises SettingsError for wrong usage."""
    arguments = read_arguments(argv, ALL_OPTIONS)
    if arguments.help:
        from pyconfd.app.help import grouped

        sys.stdout.write("\n".join([_HELP, *grouped(ALL_OPTIONS)]))
        return DONE
    values = resolve(ALL_OPTIONS, arguments, environ)
    declarations = read_declarations(values, arguments)
    if os.getpid() == 1:
        from pyconfd.registration.supervise import become_init

        become_init()  # before any thread
    return _run(values, declarations, arguments, environ)


def read_declarations(values: Mapping[str, Any], arguments: Arguments) -> Sequence[Declaration]:
    """What is to be registered: one member from the words, or those of a services file."""
    words = arguments.words
    file = str(values["services_file"])
    if file:
        if words:
            raise SettingsError("comes with --file, which names its own", where=words[0])
        if arguments.rest:
            raise SettingsError("a command is one member; it cannot come with --file", where="--")
        from pyconfd.registration.services_file import read_services

        return read_services(file, values)
    if len(words) != 2:
        wanted = "SERVICE and ADDRESS are needed" if len(words) < 2 else "too many words"
        hint = "options of the command come after --" if len(words) > 2 else "see --help"
        raise SettingsError(wanted, where="pyconfd register", hint=hint)
    if arguments.rest is not None and not arguments.rest:
        raise SettingsError("no command follows", where="--")
    from pyconfd.registration.address import parse_address

    try:
        if parse_address(words[1]).kind == "auto" and not arguments.rest:
            raise RegistrationError("port:auto needs a command", hint="port:auto -- COMMAND")
        return (declaration(words[0], words[1], values, values["prefix"]),)
    except RegistrationError as error:
        raise SettingsError(error.what, where=error.where, hint=error.hint) from error


def opener(
    options: SourceOptions,
) -> Callable[[KeptAlive, Callable[[], None]], LeaseRegistry]:
    """What a Registrar needs to reach the store."""

    def open_registry(answered: KeptAlive, broken: Callable[[], None]) -> LeaseRegistry:
        from pyconfd.backends.registry import open_leases

        return open_leases("etcd", options, answered, broken)

    return open_registry


def store_options(
    values: Mapping[str, Any], environ: Mapping[str, str], ttl_s: float
) -> SourceOptions:
    """How the store is reached. ttl_s: the shortest; a call that hangs must not outlast it."""
    limit_s = max(0.5, min(3.0, ttl_s / 3))
    dial_s = min(limit_s, values["dial_timeout_s"])
    return source_options({**values, "timeout_s": limit_s, "dial_timeout_s": dial_s}, environ)


def _run(
    values: Mapping[str, Any],
    declarations: Sequence[Declaration],
    arguments: Arguments,
    environ: Mapping[str, str],
) -> int:
    import socket
    from datetime import UTC, datetime

    from pyconfd.observe import log
    from pyconfd.registration.companion import Companion, Plan
    from pyconfd.registration.registrar import Registrar
    from pyconfd.registration.report import Report
    from pyconfd.registration.supervise import CannotStart
    from pyconfd.system.proc import Commands
    from pyconfd.system.sdnotify import Notifier

    log.configure(level=values["log_level"], style=values["log_format"])
    commands = Commands()
    ttl_s = min(declared.ttl_s for declared in declarations)

    def make_registrar(tell: Tell) -> Registrar:
        return Registrar(opener(store_options(values, environ, ttl_s)), commands.run, tell)

    plan = Plan(
        declarations=declarations,
        nodes=values["node"],
        command=arguments.rest or (),
        drain_s=values["drain_s"],
        stop_timeout_s=values["stop_timeout_s"],
        start_anyway=values["start_anyway"],
        read_again=(lambda: read_declarations(values, arguments))
        if values["services_file"]
        else None,
    )
    companion = Companion(
        plan,
        make_registrar,
        Report(),
        Notifier(environ),
        host=socket.gethostname(),
        started=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    )
    try:
        return companion.run()
    except CannotStart as error:
        say_error(str(error))
        return error.exit_status
    finally:
        commands.stop(0.0)
