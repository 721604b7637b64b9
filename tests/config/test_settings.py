"""The layers of the settings: every option in every one of them, and every fault at once."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import get_type_hints

import pytest

from pyconfd.config.address import split_listen
from pyconfd.config.arguments import read_arguments
from pyconfd.config.confd.options import REFUSED
from pyconfd.config.layers import resolve
from pyconfd.config.option_table import CONNECTION, OPTIONS, TABLES
from pyconfd.config.options import Option
from pyconfd.config.settings import Settings, default_state_dir, load_settings
from pyconfd.errors import SettingsError
from pyconfd.registration.agent.options import MEMBER_OPTIONS

# What must be given as well so that an option makes sense.
COMPANIONS: Mapping[str, tuple[str, ...]] = {
    "diff": ("--noop",),
    "revision": ("--noop",),
    "detailed-exitcode": ("--noop",),
    "password": ("--username", "u"),
    "password-file": ("--username", "u"),
    "client-cert": ("--client-key", "k"),
    "client-key": ("--client-cert", "c"),
}
IDS = [option.name for option in OPTIONS]


def words(option: Option) -> tuple[str, str, str]:
    """Three spellings of three different values (two for a flag) that are not the default."""
    if option.kind == "flag":
        return ("true", "false", "true")
    if option.kind in ("duration", "wait"):
        return ("1m30s", "7", "500ms")
    if option.kind == "count":
        return ("1", "700", "90000")
    if option.choices:
        first, second, third = (list(option.choices) * 3)[-3:]
        return (first, second, third)
    if option.name in ("node", "metrics-listen"):
        return ("one:1", "two:2", "three:3")
    if option.name == "revision":
        return ("1", "2", "3")
    if option.name in ("node-name", "fleet"):
        return ("one", "two.example", "three-3")
    return ("/one", "/two", "/three")


def expected(option: Option, word: str) -> object:
    if option.kind == "flag":
        return word == "true"
    if option.kind in ("duration", "wait"):
        return {"1m30s": 90.0, "7": 7.0, "500ms": 0.5}[word]
    if option.kind == "count":
        return int(word)
    return (word,) if option.repeatable else word


def in_toml(option: Option, word: str) -> str:
    key = option.name.replace("-", "_")
    return f"{key} = {word if option.kind == 'flag' else json.dumps(word)}\n"


def faults_of(argv: list[str], environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(argv, environ or {})
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize("option", OPTIONS, ids=IDS)
def test_option_beats_environment_beats_file_beats_default(option: Option, tmp_path: Path) -> None:
    """Take the layers away one by one; each time the next one shows."""
    first, second, third = words(option)
    argv = [*COMPANIONS.get(option.name, ())]
    if option.name in ("password-file", "config-file"):
        first, second, third = (str(tmp_path / name) for name in ("one", "two", "three"))
        for path in (first, second, third):
            Path(path).touch()
    if option.in_file:
        (tmp_path / "pyconfd.toml").write_text(in_toml(option, third))
        argv += ["--config-file", str(tmp_path / "pyconfd.toml")]
    environ = {"HOME": "/home/x"}

    def value(given: list[str], variables: Mapping[str, str]) -> object:
        return getattr(load_settings([*argv, *given], {**environ, **variables}), option.field)

    variable = {option.variable: second}
    assert value([f"--{option.name}={first}"], variable) == expected(option, first)
    assert value([], variable) == expected(option, second)
    if option.in_file:
        assert value([], {}) == expected(option, third)
        (tmp_path / "pyconfd.toml").write_text("")
    depends = option.name.startswith("client-") or option.name == "config-file"
    if option.default is not None and not depends:
        default = option.default
        assert value([], {}) == ("/" if option.name == "prefix" else default)


@pytest.mark.parametrize("option", OPTIONS, ids=IDS)
def test_one_dash_is_as_good_as_two(option: Option, tmp_path: Path) -> None:
    """-node X, --node X, -node=X and --node=X are the same."""
    word = words(option)[0]
    if option.name in ("password-file", "config-file"):
        (tmp_path / "f").touch()
        word = str(tmp_path / "f")
    more = COMPANIONS.get(option.name, ())
    forms = [[f"-{option.name}={word}"], [f"--{option.name}={word}"]]
    if option.kind == "flag":
        forms += [[f"-{option.name}"], [f"--{option.name}"]]
    else:
        forms += [[f"-{option.name}", word], [f"--{option.name}", word]]
    found = [load_settings([*form, *more], {}) for form in forms]
    assert {getattr(settings, option.field) for settings in found} == {expected(option, word)}


def test_the_table_and_the_type_name_the_same_fields() -> None:
    """One row for each field, of the type that the row's kind makes."""
    types = {
        "flag": "bool",
        "text": "str",
        "duration": "float",
        "wait": "float",
        "count": "int",
        "table": "Mapping",
    }
    rows = {
        option.field: "tuple" if option.repeatable else types[option.kind]
        for option in (*OPTIONS, *TABLES)
    }
    named = get_type_hints(Settings)
    found = {name: str(getattr(kind, "__name__", kind)) for name, kind in named.items()}
    assert found.pop("command") == "tuple", "what follows `--` is no option"
    assert found.pop("notes") == "tuple", "they are made from what was given"
    assert rows == found
    assert len(rows) == len(OPTIONS) + len(TABLES)
    assert not set(REFUSED) & {option.name for option in OPTIONS}


def test_flags_are_switched_off_by_their_negation_too() -> None:
    """--no-watch beats a variable that says watch."""
    assert not load_settings(["--no-watch"], {"PYCONFD_WATCH": "1"}).watch
    assert faults_of(["--no-node"]) == ["--no-node: unknown option (did you mean --node?)"]


def test_repeated_options_add_and_the_layer_above_replaces() -> None:
    """Nodes of the environment are not mixed with those of the command line."""
    environ = {"PYCONFD_NODE": "c:1, d:1"}
    assert load_settings([], environ).node == ("c:1", "d:1")
    assert load_settings(["-node", "a:1", "--node=b:1"], environ).node == ("a:1", "b:1")


def test_an_empty_variable_says_nothing(tmp_path: Path) -> None:
    """Compose files pass variables that were not set as empty ones."""
    assert load_settings([], {"PYCONFD_INTERVAL": "", "PYCONFD_PREFIX": ""}).interval_s == 600.0


def test_the_spellings_of_confd_are_read(tmp_path: Path) -> None:
    """Keys of a confd.toml, with its dashes, underscores, plurals and capitals."""
    path = tmp_path / "confd.toml"
    path.write_text(
        'backend = "etcdv3"\nnodes = ["a:1", "b:2"]\nclient_cakeys = "ca"\nsrv_domain = "d"\n'
        'log-level = "debug"\nsync-only = true\nKeepStageFile = true\ninterval = 5\n'
        'prefix = "prod/"\nscheme = ""\n'
    )
    settings = load_settings(["-config-file", str(path)], {})
    assert settings.node == ("a:1", "b:2")
    assert settings.client_ca_keys == "ca"
    assert settings.srv_domain == "d"
    assert (settings.log_level, settings.sync_only, settings.keep_stage_file) == (
        "debug",
        True,
        True,
    )
    assert (settings.interval_s, settings.prefix, settings.scheme) == (5.0, "/prod", "http")


def test_every_fault_of_every_layer_is_said_with_its_place(tmp_path: Path) -> None:
    """Command line, environment and file in one go, each with the nearest name."""
    path = tmp_path / "c.toml"
    path.write_text('# comment\nintervall = 3\nwatch = "yes"\n[nodes]\na = 1\n')
    faults = faults_of(
        [
            "--config-file",
            str(path),
            "--nod",
            "x",
            "--noop=maybe",
            "-interval",
            "soon",
            "-srv-domain",
        ],
        {"PYCONFD_LOG_LEVEL": "inf", "PYCONFD_INTERVALL": "3"},
    )
    assert faults == [
        "--nod: unknown option (did you mean --node?)",
        "--noop: 'maybe' is not true or false",
        "--interval: 'soon' is not a duration; write seconds or 500ms, 10s, 5m",
        "--srv-domain: needs a value",
        "PYCONFD_LOG_LEVEL: 'inf' is not one of debug, info, warn, warning, error, fatal, panic; "
        "did you mean info?",
        "PYCONFD_INTERVALL: unknown variable (did you mean PYCONFD_INTERVAL?)",
        f"{path}:2: intervall: unknown key (did you mean interval?)",
        f"{path}:3: watch: 'yes' is not true or false",
        f"{path}:4: nodes: a table is not text; write it in quotes",
    ]


def test_no_name_is_abbreviated_or_guessed() -> None:
    """--one is an error although only --onetime begins so; -noop is not -n -o -o -p."""
    assert faults_of(["--one"]) == ["--one: unknown option (did you mean --onetime?)"]
    assert faults_of(["-hx"]) == ["-hx: unknown option (see --help)"]
    assert load_settings(["-noop"], {}).noop


def test_a_forgotten_value_does_not_swallow_the_next_option() -> None:
    """--node --watch is an error and not a node called --watch."""
    assert faults_of(["--node", "--watch"]) == ["--node: needs a value, but --watch follows"]
    assert load_settings(["--username", "u", "--password", "-x"], {}).password == "-x"


@pytest.mark.parametrize("name", REFUSED)
def test_options_of_confd_without_an_equivalent_say_what_to_do(name: str, tmp_path: Path) -> None:
    """On the command line and in the file."""
    (fault,) = faults_of([f"-{name}"])
    assert fault == f"-{name}: not an option of pyconfd ({REFUSED[name]})"
    path = tmp_path / "confd.toml"
    path.write_text(f'{name.replace("-", "_")} = "x"\n')
    (fault,) = faults_of(["--config-file", str(path)])
    assert fault.endswith(f"unknown key ({REFUSED[name]})")


def test_variables_of_others_below_our_name_are_left_alone() -> None:
    """An orchestrator describes a service called pyconfd by variables of this form."""
    environ = {
        "PYCONFD_SERVICE_HOST": "10.0.0.1",
        "PYCONFD_PORT_80_TCP": "tcp://10.0.0.1:80",
        **{option.variable: "x" for option in MEMBER_OPTIONS if option not in OPTIONS},
    }
    for option in OPTIONS:
        environ.pop(option.variable, None)
    assert load_settings([], environ).watch is False


@pytest.mark.parametrize(
    ("variable", "meant"),
    [("NODES", "NODE"), ("INTERVALL", "INTERVAL"), ("LOGLEVEL", "LOG_LEVEL"), ("FILES", "FILE")],
)
def test_near_misses_of_variables_are_named(variable: str, meant: str) -> None:
    """Plurals, other spellings and slips."""
    assert faults_of([], {f"PYCONFD_{variable}": "1"}) == [
        f"PYCONFD_{variable}: unknown variable (did you mean PYCONFD_{meant}?)"
    ]


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [("10", 10.0), ("0.5", 0.5), ("500ms", 0.5), ("10s", 10.0), ("5m", 300.0), ("1h30m", 5400.0)],
)
def test_durations_are_seconds_or_have_units(raw: str, seconds: float) -> None:
    """As confd writes them (a bare number) and as Go writes them."""
    assert load_settings(["--timeout", raw], {}).timeout_s == seconds


@pytest.mark.parametrize("raw", ["", "-1", "nan", "inf", "5 m", "m", "1d", "0", "1e12"])
def test_durations_that_are_none_are_refused(raw: str) -> None:
    """Also those that no timer can wait for."""
    assert len(faults_of([f"--timeout={raw}"])) == 1


def test_values_that_need_each_other() -> None:
    """Half a key pair, a password without a user, a file backend without a file."""
    assert faults_of(["--client-cert", "c"]) == ["--client-cert: needs --client-key too"]
    assert faults_of(["--client-key", "k"]) == ["--client-key: needs --client-cert too"]
    assert faults_of([], {"PYCONFD_PASSWORD": "x"}) == ["PYCONFD_PASSWORD: needs --username too"]
    assert faults_of(["--backend", "file"]) == ["--backend: needs a file to read (give --file)"]
    assert faults_of(["--diff"]) == ["--diff: works with --noop only"]
    assert not load_settings([], {"PYCONFD_DIFF": "1"}).noop, "a preference, not an error"


@pytest.mark.parametrize(
    "node", ["http://", "127.0.0.1:99999", "ftp://a:1", "[::1", "bad node:1", "a:1:2", "[a]:1"]
)
def test_a_node_that_is_no_address_is_wrong_usage(node: str, tmp_path: Path) -> None:
    """In every layer, with its place; to the other backends the nodes mean nothing."""
    says = f"not the address of an etcd node: {node!r}; write host:port, "
    assert faults_of(["--node", "a:1", "--node", node])[0].startswith(f"--node: {says}")
    assert faults_of([], {"PYCONFD_NODE": node})[0].startswith(f"PYCONFD_NODE: {says}")
    file = tmp_path / "pyconfd.toml"
    file.write_text(f"nodes = [{json.dumps(node)}]\n")
    assert faults_of(["--config-file", str(file)])[0].startswith(f"{file}:1: nodes: {says}")
    assert load_settings(["--backend", "env", "--node", node], {}).node == (node,)


def test_the_password_comes_from_the_closest_layer(tmp_path: Path) -> None:
    """A password file on the command line beats a password in the environment."""
    secret = tmp_path / "secret"
    secret.write_text("from file\nsecond line\n")
    argv = ["--username", "u", "--password-file", str(secret)]
    assert load_settings(argv, {"PYCONFD_PASSWORD": "env"}).password == "from file"
    environ = {"PYCONFD_PASSWORD": "env", "PYCONFD_USERNAME": "u"}
    assert load_settings([], environ).password == "env"
    both = faults_of([*argv, "--password", "x"])
    assert both == ["--password-file: is given together with a password"]
    (missing,) = faults_of(["--username", "u", "--password-file", str(tmp_path / "none")])
    assert "cannot be read: No such file" in missing


def test_settings_do_not_show_the_password() -> None:
    """They end up in logs and tracebacks."""
    settings = load_settings(["--username", "u", "--password", "hunter2"], {})
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in repr(settings.source_options({}))


def test_source_options_carry_the_connection() -> None:
    """What a backend is opened with."""
    settings = load_settings(
        ["--node", "a:1", "--timeout", "3", "--serializable", "--tls-server-name", "n"], {}
    )
    options = settings.source_options({"A": "b"})
    assert (options.nodes, options.request_timeout_s) == (("a:1",), 3.0)
    assert (options.serializable, options.tls_server_name) == (True, "n")
    assert options.environ == {"A": "b"}


def test_a_config_file_that_was_named_must_exist(tmp_path: Path) -> None:
    """Only the default one may be absent."""
    path = str(tmp_path / "none.toml")
    assert faults_of(["--config-file", path]) == [f"{path}: does not exist"]
    assert faults_of([], {"PYCONFD_CONFIG_FILE": path}) == [f"{path}: does not exist"]


def test_a_key_given_twice_in_two_spellings_is_a_fault(tmp_path: Path) -> None:
    """Nobody can say which one is meant."""
    path = tmp_path / "c.toml"
    path.write_text('log_level = "info"\nlog-level = "debug"\n')
    (fault,) = faults_of(["--config-file", str(path)])
    assert fault.startswith(f"{path}:2: log-level: is given twice; see {path}:1")


def test_where_state_goes_when_nobody_says() -> None:
    """systemd's folder, the system's for root, the XDG one for others."""
    assert default_state_dir({"STATE_DIRECTORY": "/a:/b"}, 0) == "/a"
    assert default_state_dir({}, 0) == "/var/lib/pyconfd"
    assert default_state_dir({"HOME": "/h"}, 7) == "/h/.local/state/pyconfd"
    assert default_state_dir({"XDG_STATE_HOME": "/x", "HOME": "/h"}, 7) == "/x/pyconfd"
    assert (
        default_state_dir({"XDG_STATE_HOME": "rel", "HOME": "/h"}, 7) == "/h/.local/state/pyconfd"
    )


def test_vars_are_a_table_of_the_config_file(tmp_path: Path) -> None:
    """Any names in it; other commands that read the file know it too."""
    file = tmp_path / "c.toml"
    file.write_text(
        'node_name = "web1"\n[vars]\nport = 80\nlist = [1, "a"]\n[vars.deep]\nodd = 1\n'
    )
    settings = load_settings(["--config-file", str(file)], {})
    assert settings.node_name == "web1"
    assert settings.vars == {"port": 80, "list": [1, "a"], "deep": {"odd": 1}}
    assert load_settings([], {}).vars == {}
    assert load_settings([], {}).node_name == os.uname().nodename
    resolve(CONNECTION, read_arguments([], CONNECTION), {"PYCONFD_CONFIG_FILE": str(file)})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("vars = 1\n", "{file}:1: vars: 1 is not a table"),
        ("vars = [1]\n", "{file}:1: vars: a list is not a table"),
        (
            "\n[vars]\nday = 2026-01-01\n",
            "{file}:2: vars: day is a date or a time; write it in quotes",
        ),
        ("[var]\nport = 1\n", "{file}:1: var: unknown key (did you mean vars?)"),
        ("[other]\nport = 1\n", "{file}:1: other: unknown key"),
        (
            'node_name = "a/b"\n',
            "{file}:1: node_name: 'a/b' is no name of a node (use letters, digits, _ - .)",
        ),
    ],
)
def test_faults_of_vars_and_node_name(text: str, says: str, tmp_path: Path) -> None:
    """Other tables are as unknown as before."""
    file = tmp_path / "c.toml"
    file.write_text(text)
    assert faults_of(["--config-file", str(file)]) == [says.format(file=file)]


def test_a_name_given_on_the_command_line_is_judged_too() -> None:
    """With the option's name."""
    (fault,) = faults_of(["--node-name", "a b"])
    assert fault.startswith("--node-name: 'a b' is no name of a node")


@pytest.mark.parametrize("text", ["9414", ":9414", "127.0.0.1", "127.0.0.1:x", "::1:9414",
                                  "127.0.0.1:99999", "http://127.0.0.1:9414"])  # fmt: skip
def test_an_address_to_listen_on_has_host_and_port(text: str) -> None:
    """Nothing listens on every address because a host was forgotten."""
    (said,) = faults_of(["--metrics-listen", text])
    assert said.startswith(f"--metrics-listen: no address to listen on: '{text}'")
    assert split_listen("[::1]:9414") == ("::1", 9414)


@pytest.mark.parametrize(("given", "becomes"), [("state", "{}/state"), ("/a/../b", "/b")])
def test_a_relative_state_folder_is_below_the_current_one(given: str, becomes: str) -> None:
    """Programs that are given paths below it have folders of their own."""
    settings = load_settings(["--state-dir", given], {})
    assert settings.state_dir == becomes.format(os.getcwd())
