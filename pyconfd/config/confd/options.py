"""
Options of confd and of its fork that pyconfd does not have by that name. Pure.

Imported only when one of them is given, or for a confd tree. Options that both share with
pyconfd are in option_table.py. docs/from-confd.md has all of them; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pyconfd.config.options import BadValue, Given, Option, from_text, squash
from pyconfd.errors import SettingsError

CLASSIC, FORK = "confd", "confd-fork"
BOTH = (CLASSIC, FORK)

_OTHER_BACKEND = "it belongs to a backend that pyconfd does not have"
_AUTOMATIC = "it happens by itself"
_CHECK = "see pyconfd check"
_RETRIES = "it retries with back-off until --timeout, and for ever with --watch"


class Foreign(NamedTuple):
    """
    One option.

    hint: what to do instead.
    flag: whether it takes no value.
    taken: the confds in whose trees it is accepted; elsewhere it is refused.
    ours: the option of pyconfd that it stands for; "" when it has no effect.
    value: the only value that is accepted, "" for any.
    """

    hint: str
    flag: bool = False
    taken: tuple[str, ...] = ()
    ours: str = ""
    value: str = ""


FOREIGN: Mapping[str, Foreign] = {
    "n": Foreign("write --node", taken=BOTH, ours="node"),
    "basic-auth": Foreign(
        "leave it out: --username is used whenever it is given", flag=True, taken=BOTH
    ),
    "client-insecure": Foreign(
        "it has no effect in confd; give --client-ca-keys", flag=True, taken=(CLASSIC,)
    ),
    "srv-record": Foreign("give --srv-domain"),
    "metrics-addr": Foreign("give --metrics-listen", taken=BOTH, ours="metrics-listen"),
    "failure-mode": Foreign(
        "every good resource is always done", taken=BOTH, value="best-effort"
    ),
    "mock-data": Foreign("see pyconfd check --values FILE"),
    **dict.fromkeys(("check-config", "validate", "preflight"), Foreign(_CHECK, flag=True)),
    "preflight-timeout": Foreign(_CHECK, taken=BOTH),
    **dict.fromkeys(
        ("systemd-notify", "template-cache"), Foreign(_AUTOMATIC, flag=True, taken=BOTH)
    ),
    "watchdog-interval": Foreign(_AUTOMATIC, taken=BOTH),
    "stat-cache-ttl": Foreign(
        "templates are compared by their time at every render", taken=BOTH
    ),
    "color": Foreign("colour follows the terminal and NO_COLOR", flag=True, taken=BOTH),
    "diff-context": Foreign("a diff has three lines of context", taken=BOTH),
    **dict.fromkeys(
        ("retry-max-attempts", "retry-base-delay", "retry-max-delay", "watch-error-backoff"),
        Foreign(_RETRIES, taken=BOTH),
    ),
    **dict.fromkeys(("read-timeout", "write-timeout"), Foreign(_OTHER_BACKEND, taken=BOTH)),
    **dict.fromkeys(
        ("app-id", "auth-token", "auth-type", "path", "role-id", "secret-id", "separator", "table",
         "user-id", "secret-keyring", "secretsmanager-version-stage", "imds-cache-ttl"),
        Foreign(_OTHER_BACKEND),
    ),
    **dict.fromkeys(
        ("acm-export-private-key", "secretsmanager-no-flatten"),
        Foreign(_OTHER_BACKEND, flag=True),
    ),
}  # fmt: skip

#: Option -> hint, of those that have no equivalent in pyconfd.
REFUSED: Mapping[str, str] = {name: row.hint for name, row in FOREIGN.items()}

#: The fork's commands, which name the backend.
BACKENDS = (
    "acm", "consul", "dynamodb", "env", "etcd", "file", "imds", "redis", "secretsmanager", "ssm",
    "vault", "zookeeper",
)  # fmt: skip

#: The options that the fork reads from the environment as CONFD_NAME; confd itself has the last
#: three of them.
_IN_ENVIRONMENT = (
    "confdir", "config-file", "interval", "log-level", "log-format", "noop", "onetime", "prefix",
    "sync-only", "watch", "failure-mode", "keep-stage-file", "srv-domain", "srv-record",
    "debounce", "batch-interval", "template-cache", "stat-cache-ttl", "backend-timeout",
    "check-cmd-timeout", "reload-cmd-timeout", "dial-timeout", "read-timeout", "write-timeout",
    "retry-max-attempts", "retry-base-delay", "retry-max-delay", "watch-error-backoff",
    "preflight-timeout", "shutdown-timeout", "systemd-notify", "watchdog-interval", "metrics-addr",
    "client-cakeys", "client-cert", "client-key",
)  # fmt: skip

#: Variable -> option, of confd's or ours.
VARIABLES: Mapping[str, str] = {
    "CONFD_" + name.upper().replace("-", "_"): name for name in _IN_ENVIRONMENT
}
#: The etcd members where nothing else names any, separated by commas.
PEERS = "ETCDCTL_PEERS"


def take(
    given: Iterable[tuple[str, Given]],
    compat: str,
    known: Sequence[Option],
    faults: list[SettingsError],
) -> dict[str, Given]:
    """
    Confd's options as those of pyconfd, by name. Notes a fault for each that is refused.

    given: name in FOREIGN and its text, in order.
    compat: whose tree it is; "" for pyconfd's own.
    """
    by_name = {option.name: option for option in known}
    taken: dict[str, Given] = {}
    for name, one in given:
        row = FOREIGN[name]
        if compat not in row.taken or (row.value and one.value != row.value):
            what = "not an option of pyconfd"
            faults.append(SettingsError(what, where=one.where, hint=row.hint))
        elif row.ours:
            _put(taken, by_name[row.ours], _adapted(row.ours, one), faults)
    return taken


def from_confd_environment(
    environ: Mapping[str, str], compat: str, known: Sequence[Option], faults: list[SettingsError]
) -> dict[str, Given]:
    """
    The values of CONFD_ variables, by name of pyconfd's option. An empty variable counts as absent.
    """
    spelt = {name: option for option in known for name in (option.name, *option.aliases)}
    layer: dict[str, Given] = {}
    for variable, name in VARIABLES.items():
        text = environ.get(variable, "")
        if not text:
            continue
        given = Given(text, variable)
        if name in spelt:
            _put(layer, spelt[name], given, faults)
        elif name in FOREIGN:
            layer |= take([(name, given)], compat, known, faults)
    return layer


def nodes_of_etcdctl(environ: Mapping[str, str]) -> dict[str, Given]:
    """The nodes of ETCDCTL_PEERS, which counts only when nothing else names nodes."""
    nodes = tuple(filter(None, (one.strip() for one in environ.get(PEERS, "").split(","))))
    return {"node": Given(nodes, PEERS)} if nodes else {}


def foreign_key(key: str) -> str:
    """The option of confd that a key of confd.toml stands for, "" for none."""
    return next((name for name in FOREIGN if squash(name) == squash(key)), "")


def _adapted(ours: str, given: Given) -> Given:
    """`:9100` means all addresses to Go."""
    value = given.value
    if ours == "metrics-listen" and isinstance(value, str) and value.startswith(":"):
        return given._replace(value=f"0.0.0.0{value}")  # noqa: S104 - what was asked for
    return given


def _put(
    layer: dict[str, Given], option: Option, given: Given, faults: list[SettingsError]
) -> None:
    try:
        value = from_text(option, str(given.value))
    except BadValue as error:
        faults.append(SettingsError(str(error), where=given.where))
        return
    if option.repeatable:
        before = layer.get(option.name)
        value = (*before.value, value) if before and isinstance(before.value, tuple) else (value,)
    layer[option.name] = given._replace(value=value)
