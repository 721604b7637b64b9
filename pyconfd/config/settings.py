"""
The settings of one run.

The command line wins over the environment, the environment over the config file, and the file over
the default (config/layers.py). Options are declared in config/option_table.py and nowhere else;
`Settings` repeats the names to give them types, and a test compares the two.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pyconfd.config.arguments import Arguments, read_arguments
from pyconfd.config.confd.detection import which_tree
from pyconfd.config.layers import raise_faults, resolve_all
from pyconfd.config.option_table import CONNECTION, OPTIONS, TABLES
from pyconfd.config.options import Option
from pyconfd.errors import SettingsError
from pyconfd.model.keys import key_path

if TYPE_CHECKING:
    from pyconfd.model.source import SourceOptions


class Settings(NamedTuple):
    """
    What one run was asked to do. Fields are those of OPTIONS and TABLES; times in seconds (`_s`).

    A named tuple, because making a data class of this size costs 2 ms of every start.

    prefix: a key path, "/" for none. state_dir: "" when none was given and this user has no home.
    node_name: never empty. password: also when it came from a file. resource: names, empty for all.
    vars: the table of the config file. command: is started once the files are there; empty for
    none. notes: what the operator should know.
    """

    onetime: bool
    watch: bool
    interval_s: float
    noop: bool
    diff: bool
    detailed_exitcode: bool
    sync_only: bool
    keep_stage_file: bool
    resource: tuple[str, ...]
    prefix: str
    confdir: str
    config_file: str
    template_engine: str
    compat: str
    node_name: str
    state_dir: str
    command_env: tuple[str, ...]
    backend: str
    file: tuple[str, ...]
    filter: str
    node: tuple[str, ...]
    scheme: str
    srv_domain: str
    client_ca_keys: str
    client_cert: str
    client_key: str
    tls_server_name: str
    username: str
    password: str
    password_file: str
    serializable: bool
    refresh_members: bool
    dial_timeout_s: float
    timeout_s: float
    listing_limit: int
    hold_min_s: float
    resync_s: float
    check_cmd_timeout_s: float
    reload_cmd_timeout_s: float
    render_timeout_s: float
    value_limit: int
    output_limit: int
    shutdown_timeout_s: float
    metrics_listen: str
    log_level: str
    log_format: str
    vars: Mapping[str, object]
    reload_signal: str = ""
    wait_for_store_s: float = 0.0
    fleet: str = ""
    revision: str = ""
    command: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Without the password: settings end up in logs."""
        return f"Settings(confdir={self.confdir!r}, backend={self.backend!r}, ...)"

    @property
    def one_shot(self) -> bool:
        """Whether the run ends by itself."""
        return self.onetime or self.noop

    @property
    def state_folder(self) -> str:
        """
        The part of the state folder for this confdir. A confdir has one pyconfd.

        Raises SettingsError when no folder was given and this user has no home.
        """
        import hashlib

        if not self.state_dir:
            raise SettingsError(
                "no folder for what must survive a restart: HOME is not set and user "
                f"{os.geteuid()} has no home",
                where="--state-dir",
                hint="--state-dir FOLDER; --sync-only and --noop need none",
            )

        name = hashlib.sha256(os.path.realpath(self.confdir).encode()).hexdigest()[:12]
        return os.path.join(self.state_dir, name)

    def source_options(self, environ: Mapping[str, str]) -> SourceOptions:
        """How the store is reached. environ: what the env backend reads."""
        return source_options(
            {option.field: getattr(self, option.field) for option in CONNECTION},
            environ,
            files=self.file,
            filter=self.filter,
        )


def source_options(
    values: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    files: tuple[str, ...] = (),
    filter: str = "*",  # noqa: A002 - the option's name
) -> SourceOptions:
    """The options of a backend, from checked connection values by field (of CONNECTION)."""
    from pyconfd.model.source import SourceOptions

    same = (
        "scheme",
        "client_ca_keys",
        "client_cert",
        "client_key",
        "tls_server_name",
        "username",
        "password",
        "srv_domain",
        "serializable",
        "refresh_members",
        "dial_timeout_s",
        "listing_limit",
    )
    return SourceOptions(
        nodes=values["node"],
        request_timeout_s=values["timeout_s"],
        files=files,
        filter=filter,
        environ=environ,
        **{name: values[name] for name in same},
    )


def load_settings(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """The settings of the main program. Raises SettingsError with every fault as `faults`."""
    return settings_from(read_arguments(argv, OPTIONS, foreign=True), environ)


def settings_from(arguments: Arguments, environ: Mapping[str, str]) -> Settings:
    """The settings for a command line that was read with OPTIONS, and possibly more options."""
    settings, faults = settings_and_faults(arguments, environ)
    raise_faults(faults)
    return settings


def settings_and_faults(
    arguments: Arguments,
    environ: Mapping[str, str],
    known: Sequence[Option] = OPTIONS,
    *,
    program: str = "",
) -> tuple[Settings, list[SettingsError]]:
    """
    The settings and all faults; a faulty value counts as not given.

    known: all options of the command, OPTIONS among them. program: as in `which_tree`.
    """
    tree = which_tree(arguments, environ, program or sys.argv[0])
    values, faults = resolve_all((*OPTIONS, *TABLES), arguments, environ, known, tree)
    values["node_name"] = values["node_name"] or os.uname().nodename
    values["prefix"] = key_path(values["prefix"])
    state_dir = values["state_dir"] or default_state_dir(environ, os.geteuid())
    # To nginx, whose files of the check are there, a relative path is one below its prefix.
    values["state_dir"] = state_dir and os.path.abspath(state_dir)
    command = tuple(arguments.rest or ())
    return Settings(**values, command=command, notes=tuple(tree.notes)), faults


#: Where the state of a pyconfd is that runs as root.
SYSTEM_STATE = "/var/lib/pyconfd"


def default_state_dir(environ: Mapping[str, str], uid: int) -> str:
    """
    The default state folder: systemd's StateDirectory= (the first of several), else the
    system's for root and the XDG one for others; "" for a user without a home.
    """
    if given := environ.get("STATE_DIRECTORY", "").split(":")[0]:
        return given
    if uid == 0:
        return SYSTEM_STATE
    if os.path.isabs(xdg := environ.get("XDG_STATE_HOME", "")):
        return os.path.join(xdg, "pyconfd")
    if os.path.isabs(home := environ.get("HOME", "") or _home_of(uid)):
        return os.path.join(home, ".local/state/pyconfd")
    return ""


def _home_of(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:  # containers run as any number
        return ""
