"""
`pyconfd console`: shows a fleet live on a web page, and takes orders by click.

Exit status: 0 ended by a signal; 1 it cannot listen; 2 wrong usage.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pyconfd.cli.command import expect_words, read_command
from pyconfd.cli.commands.fleet import named
from pyconfd.cli.commands.members import MEMBERS_OPTIONS
from pyconfd.cli.main import DONE
from pyconfd.config.address import split_listen
from pyconfd.config.layers import resolve
from pyconfd.config.option_table import CONNECTION, OPTIONS
from pyconfd.config.options import BadValue, Option
from pyconfd.config.settings import source_options
from pyconfd.errors import RegistrationError, SettingsError, StateError
from pyconfd.registration.declaration import check_pattern

CONSOLE = "Console"
LISTEN = "127.0.0.1:8088"
CONSOLE_OPTIONS = (
    Option("listen", "text", LISTEN, "serve the page here", CONSOLE, "HOST:PORT", in_file=False),
    Option("allow-orders", "flag", False, "take orders from those who have a token; else it is "
           "read-only", CONSOLE, in_file=False),
    Option("token-file", "text", "", "with --allow-orders: lines of NAME TOKEN, mode 600", CONSOLE,
           "FILE", in_file=False),
    Option("allow-host", "text", (), "a name that browsers call it by, behind a proxy; may be "
           "repeated", CONSOLE, "NAME", repeatable=True, in_file=False),
    *(option for option in MEMBERS_OPTIONS if option.name == "key-pattern"),
)  # fmt: skip
ALL_OPTIONS = (
    *CONSOLE_OPTIONS,
    *(option for option in OPTIONS if option.name in ("fleet", "prefix", "config-file")),
    *CONNECTION,
)

_HELP = """\
usage: pyconfd console [FLEET] [--listen HOST:PORT] [OPTIONS]
       pyconfd console [FLEET] --allow-orders --token-file FILE [OPTIONS]

Serves a page with the nodes of a fleet, its rollouts and its members, live. It is read-only;
with --allow-orders, who gives a token of the file may drain, weigh, take down and bring up members,
and halt, resume, pin and unpin services. Anyone who reaches the address sees the page: put a proxy
with TLS in front to open it to other machines. Needs pip install 'pyconfd-etcd[console]'.
"""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Serve until a signal; returns the exit status."""
    arguments = read_command(argv, _HELP, ALL_OPTIONS)
    if arguments is None:
        return DONE
    expect_words(arguments, 1)
    values = resolve(ALL_OPTIONS, arguments, environ)
    fleet = named(arguments.words[0] if arguments.words else values["fleet"])
    try:
        check_pattern(values["key_pattern"])
        address = split_listen(values["listen"])
    except RegistrationError as error:
        raise SettingsError(error.what, where=error.where, hint=error.hint) from error
    except BadValue as error:
        raise SettingsError(str(error), where="--listen") from error
    tokens = _tokens(values)
    _extra()
    _run(fleet, address, tokens, values, environ)
    return DONE


def _extra() -> None:
    """Raises SettingsError unless what the page needs is installed."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        what = f"the console needs a package that is not installed: {error.name}"
        raise SettingsError(what, hint="pip install 'pyconfd-etcd[console]'") from error


def _tokens(values: Mapping[str, Any]) -> Mapping[str, str]:
    if values["allow_orders"] != bool(values["token_file"]):
        given, missing = "--token-file", "--allow-orders"
        if values["allow_orders"]:
            given, missing = missing, given
        raise SettingsError(f"needs {missing}", where=given)
    if not values["allow_orders"]:
        return {}
    from pyconfd.console.sessions import read_tokens

    return read_tokens(values["token_file"])


def _run(
    fleet: str,
    address: tuple[str, int],
    tokens: Mapping[str, str],
    values: Mapping[str, Any],
    environ: Mapping[str, str],
) -> None:
    from pyconfd.backends.registry import open_leases, open_source
    from pyconfd.console.board import FleetBoard
    from pyconfd.console.orders import OrderDesk
    from pyconfd.console.serve import serve
    from pyconfd.console.sessions import Sessions
    from pyconfd.console.web import names_of
    from pyconfd.fleet.records import FleetPaths
    from pyconfd.registration.overrides import Places

    options = source_options(values, environ)
    paths, places = FleetPaths(fleet), Places(values["key_pattern"], values["prefix"])
    listener = _listener(address)
    source = open_source("etcd", options)
    desk = OrderDesk(lambda: open_leases("etcd", options, lambda *_: None), source, paths, places)
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    mode = "takes orders" if tokens else "read-only"

    def ready() -> None:
        port = listener.getsockname()[1]
        sys.stdout.write(f"console of {fleet}: http://{host}:{port}/ ({mode})\n")
        sys.stdout.flush()

    try:
        hosts = names_of(address[0], list(values["allow_host"]))
        board = FleetBoard(paths, places)
        serve(listener, board, source, Sessions(tokens), desk.take, hosts, ready)
    finally:
        listener.close()
        source.close()


def _listener(address: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        return socket.create_server(address, family=family, backlog=512)
    except OSError as error:
        place = ":".join(map(str, address))
        raise StateError(f"cannot listen: {error.strerror}", where=place) from error
