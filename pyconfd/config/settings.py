"""
The settings of one run: one table of options, read from four layers.

An option of the command line comes before the environment, that before the config file, that
before the default. `OPTIONS` is the only place where an option is declared; `Settings` repeats
the names to give them types, and a test compares the two. The environment is passed in.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyconfd.config.arguments import Arguments, read_arguments
from pyconfd.config.options import (
    BadValue,
    Given,
    Layer,
    Option,
    did_you_mean,
    from_environment,
    from_toml,
    layered,
    squash,
)
from pyconfd.errors import SettingsError
from pyconfd.model.keys import key_path

if TYPE_CHECKING:
    from pyconfd.model.source import SourceOptions

MODE, FILES, SOURCE, ETCD, TIME, SAY = (
    "What to do",
    "Folders",
    "Where the keys come from",
    "Connection to etcd",
    "Times (seconds, or 500ms, 10s, 5m)",
    "What is said",
)

_LEVELS = ("debug", "info", "warn", "warning", "error", "fatal", "panic")

# How the store is reached; `pyconfd register` takes the same ones.
CONNECTION = (
    Option(
        "node",
        "text",
        (),
        "a member of the store, host:port or URL; may be repeated",
        ETCD,
        "ADDRESS",
        repeatable=True,
        aliases=("nodes",),
        default_text="127.0.0.1:2379",
    ),
    Option(
        "scheme", "text", "http", "for nodes given without one", ETCD, choices=("http", "https")
    ),
    Option(
        "srv-domain",
        "text",
        "",
        "find the nodes in the DNS SRV records of this domain",
        ETCD,
        "DOMAIN",
    ),
    Option(
        "client-ca-keys",
        "text",
        "",
        "CA certificates (PEM) that the store must be signed by",
        ETCD,
        "FILE",
        aliases=("client-cakeys",),
    ),
    Option(
        "client-cert", "text", "", "our certificate (PEM), together with --client-key", ETCD, "FILE"
    ),
    Option(
        "client-key", "text", "", "our private key (PEM), together with --client-cert", ETCD, "FILE"
    ),
    Option(
        "tls-server-name",
        "text",
        "",
        "the name the store's certificate carries, if not the node's",
        ETCD,
        "NAME",
    ),
    Option("username", "text", "", "log in as this user", ETCD, "NAME"),
    Option("password", "text", "", "its password; better: --password-file", ETCD, "WORD"),
    Option(
        "password-file", "text", "", "read the password from the first line of a file", ETCD, "FILE"
    ),
    Option(
        "serializable",
        "flag",
        False,
        "read from one member without asking the others; may be old",
        ETCD,
    ),
    Option(
        "refresh-members", "flag", False, "ask the cluster for its members and use them too", ETCD
    ),
    Option("dial-timeout", "wait", 5.0, "for reaching one node", ETCD),
    Option(
        "timeout",
        "wait",
        10.0,
        "for reading the store once, over all nodes",
        ETCD,
        aliases=("backend-timeout",),
    ),
)

# What is said, the same for every command.
SAYING = (
    Option("log-level", "text", "info", "least level that is logged", SAY, choices=_LEVELS),
    Option(
        "log-format",
        "text",
        "text",
        "text for people, json for machines",
        SAY,
        choices=("text", "json"),
    ),
)

OPTIONS = (
    Option("onetime", "flag", False, "bring every file up to date once, then exit", MODE),
    Option("watch", "flag", False, "follow the store and act on every change", MODE),
    Option("interval", "wait", 600.0, "without --watch: read the store this often", MODE),
    Option("noop", "flag", False, "say what would change, write nothing, then exit", MODE),
    Option("diff", "flag", False, "with --noop: show it as a unified diff", MODE),
    Option("detailed-exitcode", "flag", False, "with --noop: exit 3 if something would change",
           MODE),
    Option("sync-only", "flag", False, "write files without check_cmd and reload_cmd", MODE),
    Option("keep-stage-file", "flag", False, "keep the staged files", MODE),
    Option("resource", "text", (), "do only this resource; may be repeated", MODE, "NAME",
           repeatable=True),
    Option("prefix", "text", "", "put in front of the prefix of every resource", MODE, "PATH"),
    Option("confdir", "text", "/etc/pyconfd", "holds conf.d and templates", FILES, "FOLDER"),
    Option("config-file", "text", "/etc/pyconfd/pyconfd.toml", "settings as TOML", FILES, "FILE",
           in_file=False),
    Option("state-dir", "text", None, "keeps what must survive a restart", FILES, "FOLDER",
           default_text="$STATE_DIRECTORY, else /var/lib/pyconfd as root, else "
           "$XDG_STATE_HOME/pyconfd or ~/.local/state/pyconfd"),
    Option("backend", "text", "etcd", "etcd (also called etcdv3), file, env, or one that a package "
           "adds", SOURCE, "NAME"),
    Option("file", "text", (), "for the file backend: JSON, TOML or YAML, or a folder of files; "
           "may be repeated", SOURCE, "PATH", repeatable=True),
    Option("filter", "text", "*", "for the file backend: the names taken from a folder", SOURCE,
           "PATTERN"),
    *CONNECTION,
    Option("resync", "duration", 60.0, "with --watch: compare live files this often; 0 never",
           TIME),
    Option("check-cmd-timeout", "wait", 30.0, "for a check_cmd that names no other", TIME),
    Option("reload-cmd-timeout", "wait", 60.0, "for a reload_cmd that names no other", TIME),
    Option("shutdown-timeout", "duration", 30.0, "how long SIGTERM waits for a running reload",
           TIME),
    *SAYING,
)  # fmt: skip

_OTHER_BACKEND = "it belongs to a backend that pyconfd does not have"
_AUTOMATIC = "it happens by itself"
_CHECK = "see pyconfd check"

# Options of confd and of its fork that have no equivalent here, and what to do instead.
REFUSED: Mapping[str, str] = {
    "basic-auth": "leave it out: --username is used whenever it is given",
    "client-insecure": "it has no effect in confd; give --client-ca-keys",
    "srv-record": "give --srv-domain",
    **dict.fromkeys(
        ("app-id", "auth-token", "auth-type", "path", "role-id", "secret-id", "separator", "table",
         "user-id", "secret-keyring", "read-timeout", "write-timeout"),
        _OTHER_BACKEND,
    ),
    **dict.fromkeys(("check-config", "validate", "preflight"), _CHECK),
    "mock-data": "see pyconfd check --values FILE",
    "failure-mode": "every good resource is always done",
    **dict.fromkeys(("debounce", "batch-interval"), "set hold_min in the resource"),
    **dict.fromkeys(("systemd-notify", "watchdog-interval", "template-cache"), _AUTOMATIC),
    "stat-cache-ttl": "templates are compared by their time at every render",
    **dict.fromkeys(
        ("retry-max-attempts", "retry-base-delay", "retry-max-delay", "watch-error-backoff"),
        "it retries with back-off until --timeout, and for ever with --watch",
    ),
    "color": "colour follows the terminal and NO_COLOR",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Settings:
    """
    What one run was asked to do. Fields are those of OPTIONS; times in seconds (`_s`).

    prefix: a key path, "/" for none. state_dir: never empty. password: also when it came from a
    file. resource: names, empty for all.
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
    state_dir: str
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
    resync_s: float
    check_cmd_timeout_s: float
    reload_cmd_timeout_s: float
    shutdown_timeout_s: float
    log_level: str
    log_format: str

    def __repr__(self) -> str:
        """Without the password: settings end up in logs."""
        return f"Settings(confdir={self.confdir!r}, backend={self.backend!r}, ...)"

    @property
    def one_shot(self) -> bool:
        """Whether the run ends by itself."""
        return self.onetime or self.noop

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
    """Connection values by field (of CONNECTION, checked) as a backend takes them."""
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
    return settings_from(read_arguments(argv, OPTIONS, REFUSED), environ)


def settings_from(arguments: Arguments, environ: Mapping[str, str]) -> Settings:
    """The settings for a command line that was read against OPTIONS (and maybe more)."""
    settings, faults = settings_and_faults(arguments, environ)
    _raise(faults)
    return settings


def settings_and_faults(
    arguments: Arguments, environ: Mapping[str, str], known: Sequence[Option] = OPTIONS
) -> tuple[Settings, list[SettingsError]]:
    """
    The settings and everything that is wrong; a faulty value is as if it had not been given.

    known: all options of the command, OPTIONS among them.
    """
    values, faults = _resolve(OPTIONS, arguments, environ, known)
    values["prefix"] = key_path(values["prefix"])
    values["state_dir"] = values["state_dir"] or default_state_dir(environ, os.geteuid())
    return Settings(**values), faults


def resolve(
    options: Sequence[Option],
    arguments: Arguments,
    environ: Mapping[str, str],
    *,
    known: Sequence[Option] = OPTIONS,
) -> dict[str, Any]:
    """
    The value of each of `options` by field, over all layers and checked together.

    known: what the config file and the environment may also hold without being asked for here.
    Raises SettingsError with every fault as `faults`. Words that are no option are the caller's.
    """
    values, faults = _resolve(options, arguments, environ, known)
    _raise(faults)
    return values


def _raise(faults: Sequence[SettingsError]) -> None:
    if faults:
        what = str(faults[0]) if len(faults) == 1 else f"{len(faults)} faults"
        raise SettingsError(what, faults=tuple(faults))


def _resolve(
    options: Sequence[Option],
    arguments: Arguments,
    environ: Mapping[str, str],
    known: Sequence[Option],
) -> tuple[dict[str, Any], list[SettingsError]]:
    faults = list(arguments.faults)
    everything = tuple({option.name: option for option in (*known, *options)}.values())
    variables = from_environment(everything, environ, faults)
    place = layered(everything, arguments.given, variables).get("config-file")
    stored = _config_file(place, everything, faults) if place else {}
    found = layered(options, arguments.given, variables, stored)
    _together(found, (arguments.given, variables, stored), faults)
    return {option.field: found[option.name].value for option in options}, faults


def default_state_dir(environ: Mapping[str, str], uid: int) -> str:
    """
    Where state goes when nobody says: systemd's StateDirectory= (the first, when there are
    several), else the system's place for root and the XDG place for others.
    """
    if given := environ.get("STATE_DIRECTORY", "").split(":")[0]:
        return given
    if uid == 0:
        return "/var/lib/pyconfd"
    home = environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(home):
        home = os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".local/state")
    return os.path.join(home, "pyconfd")


def _config_file(place: Given, known: Sequence[Option], faults: list[SettingsError]) -> Layer:
    """What the config file says, by name of option; it may be absent only when nobody named it."""
    path = str(place.value)
    if not place.where and not os.path.lexists(path):
        return {}
    from pyconfd.config.toml import read_toml

    try:
        file = read_toml(path, SettingsError)
    except SettingsError as error:
        faults.append(error)
        return {}
    spelt = {
        squash(name): option
        for option in known
        if option.in_file
        for name in (option.name, *option.aliases)
    }
    lines = file.lines()
    layer: dict[str, Given] = {}
    for key, raw in file.data.items():
        number = lines[("", 0)].get(key) or lines.get((key, 0), {}).get("", 0)
        where = f"{path}:{number}" if number else path
        option = spelt.get(squash(key))
        try:
            if option is None:
                raise BadValue("unknown key")
            if option.name in layer:
                raise BadValue(f"is given twice; see {layer[option.name].where}")
            value = from_toml(option, raw)
        except BadValue as error:
            hint = "" if option else _key_hint(key, spelt.values())
            faults.append(SettingsError(f"{key}: {error}", where=where, hint=hint))
        else:
            if value is not None and option is not None:
                layer[option.name] = Given(value, f"{where}: {key}")
    return layer


def _key_hint(key: str, known: Any) -> str:
    for name, hint in REFUSED.items():
        if squash(name) == squash(key):
            return hint
    if squash(key) == "configfile":
        return "name it with --config-file or PYCONFD_CONFIG_FILE"
    return did_you_mean(key.lower(), [option.name.replace("-", "_") for option in known])


def _together(
    found: dict[str, Given], layers: Sequence[Layer], faults: list[SettingsError]
) -> None:
    """Faults of values that are each good but do not go together; reads the password file."""
    for one, other in (("client-cert", "client-key"), ("client-key", "client-cert")):
        if one in found and found[one].value and not found[other].value:
            faults.append(SettingsError(f"needs --{other} too", where=found[one].where))
    for name in ("diff", "detailed-exitcode"):
        if name in layers[0] and found[name].value and not found["noop"].value:
            faults.append(SettingsError("works with --noop only", where=found[name].where))
    if "backend" in found and found["backend"].value == "file" and not found["file"].value:
        faults.append(
            SettingsError("needs a file to read", where=found["backend"].where, hint="give --file")
        )
    if "password" in found:
        _password(found, layers, faults)


def _password(
    found: dict[str, Given], layers: Sequence[Layer], faults: list[SettingsError]
) -> None:
    """The password from whichever of --password and --password-file was given closer to us."""
    for layer in layers:
        if "password" in layer and "password-file" in layer:
            where = layer["password-file"].where
            faults.append(SettingsError("is given together with a password", where=where))
            return
        if "password" in layer:
            break
        if "password-file" in layer:
            found["password"] = _read_password(layer["password-file"], faults)
            break
    if found["password"].value and not found["username"].value:
        faults.append(SettingsError("needs --username too", where=found["password"].where))


def _read_password(place: Given, faults: list[SettingsError]) -> Given:
    try:
        with open(str(place.value), encoding="utf-8") as stream:
            return Given(stream.readline().rstrip("\r\n"), place.where)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        faults.append(SettingsError(f"{place.value} cannot be read: {reason}", where=place.where))
        return Given("", place.where)
