"""
`pyconfd register`: publishes services in etcd under leases, beside a backend or around it.

Exit status: that of the command, if there is one; 0 stopped by a signal; 2 wrong usage; 127 the
command does not exist; 126 it cannot be run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from pyconfd.cli.main import DONE
from pyconfd.cli.usage_errors import say_error
from pyconfd.config.settings import source_options
from pyconfd.errors import SettingsError
from pyconfd.registration.agent.arguments import (
    ALL_OPTIONS,
    read_declarations,
    read_register_arguments,
)

if TYPE_CHECKING:
    from pyconfd.backends.base import KeptAlive, LeaseRegistry
    from pyconfd.config.arguments import Arguments
    from pyconfd.model.source import SourceOptions
    from pyconfd.registration.declaration import Declaration
    from pyconfd.registration.registrar.notices import NoticeHandler
    from pyconfd.registration.registrar.registrar import Registrar

_HELP = """\
usage: pyconfd register SERVICE ADDRESS [OPTIONS] [-- COMMAND ARGUMENT...]
       pyconfd register --file services.toml [OPTIONS]

Publishes a member of a service in etcd under a lease: the key is there while the member is healthy,
and vanishes by itself when it, this process or the machine ends. With a COMMAND, starts it,
registers it once it is healthy, passes signals on, withdraws it before it is stopped, and leaves
with its exit status.

ADDRESS is host:port, :port (this machine's address on the route to etcd), unix:/path, pid:N, or
port:auto (the port on which COMMAND listens).
"""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Register until stopped; returns the exit status. Raises SettingsError for wrong usage."""
    arguments, values = read_register_arguments(argv, environ)
    if arguments.help:
        from pyconfd.cli.help import show_help

        show_help(_HELP, ALL_OPTIONS)
        return DONE
    declarations = read_declarations(values, arguments)
    if os.getpid() == 1:
        from pyconfd.system.child import become_init

        become_init()  # before any thread
    return _run(values, declarations, arguments, environ)


def _descriptor(name: str, text: str) -> int | None:
    if not text:
        return None
    try:
        os.fstat(int(text))
    except (ValueError, OverflowError, OSError):
        raise SettingsError(f"{text!r} is not an open file", where=f"--{name}") from None
    return int(text)


def opener(
    options: SourceOptions,
) -> Callable[[KeptAlive, Callable[[], None]], LeaseRegistry]:
    """The function with which a Registrar reaches the store."""

    def open_registry(answered: KeptAlive, broken: Callable[[], None]) -> LeaseRegistry:
        from pyconfd.backends.registry import open_leases

        return open_leases("etcd", options, answered, broken)

    return open_registry


def store_options(
    values: Mapping[str, Any], environ: Mapping[str, str], ttl_s: float
) -> SourceOptions:
    """How the store is reached. ttl_s: the shortest TTL, which a hanging call must not outlast."""
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
    from pyconfd.observe.exposure import warn_of_exposed
    from pyconfd.registration.agent.agent import Agent, AgentPlan
    from pyconfd.registration.agent.notice_log import NoticeLog
    from pyconfd.registration.registrar.registrar import Registrar
    from pyconfd.system.child import CannotStart
    from pyconfd.system.proc import Commands
    from pyconfd.system.sdnotify import Notifier

    log.configure(level=values["log_level"], style=values["log_format"])
    trusted = (values["services_file"],)
    warn_of_exposed(trusted, secret=(values["password_file"], values["client_key"]))
    commands = Commands(variables=values["command_env"])
    ttl_s = min(declared.ttl_s for declared in declarations)

    def make_registrar(notify: NoticeHandler) -> Registrar:
        return Registrar(opener(store_options(values, environ, ttl_s)), commands.run, notify)

    plan = AgentPlan(
        declarations=declarations,
        nodes=values["node"],
        command=arguments.rest or (),
        drain_s=values["drain_s"],
        stop_timeout_s=values["stop_timeout_s"],
        start_anyway=values["start_anyway"],
        control_fd=_descriptor("control-fd", values["control_fd"]),
        status_fd=_descriptor("status-fd", values["status_fd"]),
        reload=(lambda: read_declarations(values, arguments)) if values["services_file"] else None,
    )
    agent = Agent(
        plan,
        make_registrar,
        NoticeLog(),
        Notifier(environ),
        host=socket.gethostname(),
        started=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    )
    pages: AbstractContextManager[object] = nullcontext()
    if values["metrics_listen"]:
        from pyconfd.registration.agent.health_pages import listener

        pages = listener(values["metrics_listen"], agent.health)
    try:
        with pages:
            return agent.run()
    except CannotStart as error:
        say_error(str(error), values["log_format"])
        return error.exit_status
    finally:
        commands.stop(0.0)
