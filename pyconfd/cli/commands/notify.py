"""
`pyconfd notify`: publishes a daemon's states under a lease, and runs the operator's hooks.

Exit status: 0 stopped by a signal; 1 the named pipe cannot be opened; 2 wrong usage.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyconfd.cli.command import expect_words, read_command
from pyconfd.cli.commands.register import opener, store_options
from pyconfd.cli.main import DONE
from pyconfd.config.layers import resolve
from pyconfd.config.option_table import COMMANDS, OPTIONS, SAYING
from pyconfd.config.options import Option
from pyconfd.errors import RegistrationError, SettingsError
from pyconfd.registration.agent.arguments import STORE_OPTIONS
from pyconfd.registration.declaration import DEFAULT_TTL_S, Declaration, check_pattern

if TYPE_CHECKING:
    from pyconfd.registration.notify.state_listener import ListenerPlan
    from pyconfd.registration.registrar.notices import NoticeHandler
    from pyconfd.registration.registrar.registrar import Registrar

NOTIFYING = "Notifying"

NOTIFY_OPTIONS = (
    Option("key-pattern", "text", "", "where the keys go, below --prefix", NOTIFYING, "PATTERN",
           default_text="the daemon's, such as /keepalived/{service}/{id}", in_file=False),
    Option("ttl", "wait", float(DEFAULT_TTL_S), "the keys expire this long after their last "
           "renewal; whole seconds", NOTIFYING, in_file=False),
    Option("hooks", "text", "", "run every executable file of this folder at each new state",
           NOTIFYING, "FOLDER", in_file=False),
    Option("hook-timeout", "wait", 10.0, "for one hook; then it is ended", NOTIFYING,
           in_file=False),
)  # fmt: skip
ALL_OPTIONS = (
    *NOTIFY_OPTIONS,
    *(option for option in OPTIONS if option.name == "node-name"),
    *STORE_OPTIONS,
    *COMMANDS,
    *SAYING,
)

_HELP = """\
usage: pyconfd notify DAEMON FIFO [OPTIONS]

Reads the states that a daemon writes to a named pipe, publishes the newest of each part under a
lease (the id is this node's name), and runs the operator's hooks at each new state. A missing pipe
is created. `pyconfd members --key-pattern PATTERN` lists what is published.

DAEMON selects how the lines are read: keepalived (its vrrp_notify_fifo).
"""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Listen until stopped; returns the exit status. Raises SettingsError for wrong usage."""
    arguments = read_command(argv, _HELP, ALL_OPTIONS)
    if arguments is None:
        return DONE
    expect_words(arguments, 2, least=2, missing="DAEMON and FIFO are needed")
    values = resolve(ALL_OPTIONS, arguments, environ)
    daemon, fifo = arguments.words
    return _run(_plan(values, daemon), fifo, values, environ)


def _plan(values: Mapping[str, Any], daemon: str) -> ListenerPlan:
    from pyconfd.registration.notify.dialects import load
    from pyconfd.registration.notify.state_listener import ListenerPlan

    dialect = load(daemon)
    pattern = values["key_pattern"] or dialect.key_pattern
    node = values["node_name"] or os.uname().nodename
    ttl_s = int(values["ttl_s"])
    try:
        check_pattern(pattern)
        if "{service}" not in pattern:
            raise RegistrationError("has no {service}: all parts would share one key",
                                    where="--key-pattern")  # fmt: skip
        Declaration(service="part", address=node, member_id=node, ttl_s=ttl_s)
    except RegistrationError as error:
        raise SettingsError(error.what, where=error.where, hint=error.hint) from error
    return ListenerPlan(
        dialect=dialect, node=node, key_pattern=pattern, prefix=values["prefix"], ttl_s=ttl_s
    )


def _run(
    plan: ListenerPlan, path: str, values: Mapping[str, Any], environ: Mapping[str, str]
) -> int:
    from pyconfd.observe import log
    from pyconfd.observe.exposure import warn_of_exposed
    from pyconfd.registration.agent.notice_log import NoticeLog
    from pyconfd.registration.notify.hooks import Hooks
    from pyconfd.registration.notify.state_file import StateFile
    from pyconfd.registration.notify.state_listener import StateListener
    from pyconfd.registration.registrar.registrar import Registrar
    from pyconfd.system.fifo import Fifo
    from pyconfd.system.proc import Commands
    from pyconfd.system.sdnotify import Notifier

    log.configure(level=values["log_level"], style=values["log_format"])
    warn_of_exposed((values["hooks"],), secret=(values["password_file"], values["client_key"]))
    commands = Commands(variables=values["command_env"])

    def make_registrar(notify: NoticeHandler) -> Registrar:
        options = store_options(values, environ, plan.ttl_s)
        return Registrar(opener(options), commands.run, notify)

    hooks = Hooks(values["hooks"], commands.run, values["hook_timeout_s"])
    fifo = Fifo(path)
    notifier = Notifier(environ)
    listener = StateListener(
        plan, fifo, StateFile(path), hooks, make_registrar, NoticeLog(), notifier
    )
    try:
        return listener.run()
    finally:
        commands.stop(0.0)
        fifo.close()
