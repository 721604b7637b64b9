"""Options, variables and keys of both confds, in trees of theirs and in ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from pyconfd.config.settings import Settings, load_settings
from pyconfd.errors import SettingsError

TREE = ("-compat", "confd-fork", "-config-file", "/no/such/file")


def settings(*argv: str, environ: Mapping[str, str] | None = None) -> Settings:
    return load_settings([*TREE, *argv], environ or {})


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("CONFD_PREFIX", "/x", "prefix", "/x"),
        ("CONFD_INTERVAL", "30", "interval_s", 30.0),
        ("CONFD_WATCH", "true", "watch", True),
        ("CONFD_ONETIME", "1", "onetime", True),
        ("CONFD_CLIENT_CAKEYS", "/ca", "client_ca_keys", "/ca"),
        ("CONFD_BACKEND_TIMEOUT", "7s", "timeout_s", 7.0),
        ("CONFD_DEBOUNCE", "2s", "hold_min_s", 2.0),
        ("CONFD_METRICS_ADDR", ":9100", "metrics_listen", "0.0.0.0:9100"),
        ("CONFD_SYNC_ONLY", "true", "sync_only", True),
        ("CONFD_LOG_LEVEL", "debug", "log_level", "debug"),
        ("CONFD_CONFDIR", "/srv/tree", "confdir", "/srv/tree"),
        ("ETCDCTL_PEERS", "http://a:1, b:2", "node", ("http://a:1", "b:2")),
    ],
)
def test_variables_of_both_confds_count_in_their_trees(
    variable: str, text: str, field: str, value: object
) -> None:
    """Where nothing of pyconfd's own is given; in a tree of ours they are not read."""
    environ = {variable: text}
    assert getattr(settings(environ=environ), field) == value
    own = load_settings(["-confdir", "/srv/own"], environ)
    assert getattr(own, field) == getattr(load_settings(["-confdir", "/srv/own"], {}), field)


def test_what_is_pyconfds_own_comes_first() -> None:
    """The command line and PYCONFD_ variables, before CONFD_ and ETCDCTL_PEERS."""
    environ = {"CONFD_PREFIX": "/theirs", "PYCONFD_PREFIX": "/ours", "ETCDCTL_PEERS": "a:1"}
    assert settings(environ=environ).prefix == "/ours"
    assert settings("-prefix", "/given", environ=environ).prefix == "/given"
    assert settings("-node", "b:2", environ=environ).node == ("b:2",)
    assert settings(environ={**environ, "PYCONFD_NODE": "c:3"}).node == ("c:3",)


def test_a_bad_variable_is_a_fault_with_its_name() -> None:
    """As one of ours is."""
    with pytest.raises(SettingsError, match="CONFD_INTERVAL"):
        settings(environ={"CONFD_INTERVAL": "often"})
    with pytest.raises(SettingsError, match="CONFD_FAILURE_MODE"):
        settings(environ={"CONFD_FAILURE_MODE": "fail-fast"})


def test_options_without_effect_are_taken_in_their_trees_alone() -> None:
    """A unit of confd starts as it is; elsewhere the hint says what to do."""
    words = ["-basic-auth", "--retry-max-attempts", "5", "--no-template-cache", "--color"]
    assert settings(*words) == settings()
    for word in ("-basic-auth", "--color"):
        with pytest.raises(SettingsError, match="not an option of pyconfd"):
            load_settings(["-confdir", "/srv/own", word], {})


def test_several_nodes_in_each_form() -> None:
    """-n, --node, -node, with and without the equals sign."""
    argv = ["-n", "a:1", "--node=b:2", "-node", "c:3"]
    assert set(settings(*argv[2:]).node) == {"b:2", "c:3"}
    assert settings("-n", "a:1", "-n=b:2").node == ("a:1", "b:2")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('nodes = ["a:1"]\nsync_only = true\nkeep_stage_file = true\n', ""),
        ("basic_auth = true\ntemplate_cache = false\n", ""),
        ('auth_token = ""\ntable = ""\n', ""),
        ('auth_token = "x"\n', "auth_token: not a key of pyconfd (it belongs to a backend"),
        ("interval = [1]\n", "interval: a list is not a duration"),
    ],
)
def test_keys_of_confd_toml(text: str, fault: str, tmp_path: Path) -> None:
    """Taken, or a fault with its line."""
    (tmp_path / "confd.toml").write_text(text)
    argv = ["-compat", "confd-fork", "-confdir", str(tmp_path)]
    if not fault:
        assert load_settings(argv, {}).confdir == str(tmp_path)
        return
    with pytest.raises(SettingsError) as caught:
        load_settings(argv, {})
    assert f"confd.toml:1: {fault}" in str(caught.value)


def test_a_tree_of_ours_imports_nothing_for_confd(tmp_path: Path) -> None:
    """A normal start pays for none of it."""
    for name in ("conf.d", "templates"):
        (tmp_path / name).mkdir()
    (tmp_path / "templates" / "a.j2").write_text("{{ getv('/k') }}\n")
    (tmp_path / "conf.d" / "a.toml").write_text(
        f'[template]\nsrc = "a.j2"\ndest = "{tmp_path}/out"\nkeys = ["/k"]\n'
    )
    (tmp_path / "keys.json").write_text('{"/k": "v"}')
    words = ["--onetime", "--confdir", str(tmp_path), "--backend", "file"]
    words += ["--file", f"{tmp_path}/keys.json", "--state-dir", f"{tmp_path}/state"]
    program = (
        "import sys\nfrom pyconfd.cli.main import main\n"
        f"status = main({words})\n"
        "print(status, sorted(name for name in sys.modules if 'config.confd.' in name"
        " or 'gotemplate' in name))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "0 ['pyconfd.config.confd.detection']\n", done.stderr
