"""
The command line of `pyconfd register`: its options, and the members that they declare. The packages
that know the config file and the services file read these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyconfd.config.arguments import Arguments, read_arguments
from pyconfd.config.layers import resolve
from pyconfd.config.option_table import COMMANDS, CONNECTION, OPTIONS, SAYING
from pyconfd.config.options import Option
from pyconfd.errors import RegistrationError, SettingsError
from pyconfd.registration.agent.options import MEMBER_OPTIONS, declaration
from pyconfd.registration.declaration import Declaration

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
    Option("control-fd", "text", "", "for programs: take orders from this open file; leave at its"
           " end", RUN, "N", in_file=False),
    Option("status-fd", "text", "", "for programs: one JSON line on this open file for each change",
           RUN, "N", in_file=False),
    # Not from the config file, where it is the daemon's.
    Option("metrics-listen", "text", "", "serve /metrics (Prometheus) and /health here", RUN,
           "HOST:PORT", in_file=False),
)  # fmt: skip

# `--timeout` is that of a check here; calls to the store are bounded by the lease client.
STORE_OPTIONS = (
    *(option for option in CONNECTION if option.name != "timeout"),
    *(option for option in OPTIONS if option.name in ("prefix", "config-file")),
)
ALL_OPTIONS = (*RUN_OPTIONS, *MEMBER_OPTIONS, *COMMANDS, *STORE_OPTIONS, *SAYING)


def read_register_arguments(
    argv: Sequence[str], environ: Mapping[str, str]
) -> tuple[Arguments, dict[str, Any]]:
    """
    The command line, and the values of all options by field. When help was asked for there are no
    values. Raises SettingsError with every fault.
    """
    arguments = read_arguments(argv, ALL_OPTIONS)
    return arguments, {} if arguments.help else resolve(ALL_OPTIONS, arguments, environ)


def read_declarations(values: Mapping[str, Any], arguments: Arguments) -> Sequence[Declaration]:
    """The members to register: one from the words, or those of a services file."""
    words = arguments.words
    file = str(values["services_file"])
    if file:
        if words:
            raise SettingsError("comes with --file, which names its own", where=words[0])
        if arguments.rest:
            raise SettingsError("a command is one member; it cannot come with --file", where="--")
        from pyconfd.registration.agent.services_file import read_services

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
