"""The systemd unit: what it promises, and that systemd accepts it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyconfd.config.arguments import read_arguments
from pyconfd.config.option_table import OPTIONS
from pyconfd.config.settings import load_settings
from tests.support.daemons.nginx_trees import nginx_binary
from tests.support.pyconfd import Confdir
from tests.support.repository import ROOT

UNIT = ROOT / "packaging" / "pyconfd.service"


def value(key: str) -> str:
    (found,) = re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)
    return found


def test_the_command_line_of_the_unit_is_understood() -> None:
    """It watches, and no option is misspelt."""
    program, *argv = value("ExecStart").split()
    assert program == "pyconfd"
    assert not read_arguments(argv, OPTIONS).faults
    assert load_settings(argv, {}).watch


def test_a_running_reload_has_time_to_end() -> None:
    """systemd waits longer than we do, and leaves the children to us."""
    assert int(value("TimeoutStopSec")) > load_settings([], {}).shutdown_timeout_s
    assert value("KillMode") == "mixed"


def test_state_and_signals_fit_the_program() -> None:
    """The state folder that systemd makes is the one that is used, and found by the reload."""
    folder = f"/var/lib/{value('StateDirectory')}"
    assert load_settings([], {"STATE_DIRECTORY": folder}).state_dir == folder
    assert value("ExecReload") == "pyconfd reload"
    assert value("RestartPreventExitStatus") == "2"
    assert value("Type") == "notify"


def test_a_reload_is_reported_in_both_ways() -> None:
    """
    The drop-in for systemd 253 changes the type alone: an older systemd would take an unknown type
    for `simple`, and without ExecReload= a refused configuration would be a success.
    """
    drop_in = (UNIT.parent / "pyconfd-notify-reload.conf").read_text()
    lines = [line for line in drop_in.splitlines() if line and not line.startswith("#")]
    assert lines == ["[Service]", "Type=notify-reload"]
    assert value("Type") == "notify" and value("ExecReload")


@pytest.mark.parametrize(("version", "installed"), [("252 (252.38-1)", 0), ("253 (253.1)", 1)])
def test_the_drop_in_is_installed_where_systemd_knows_the_type(
    tmp_path: Path, version: str, installed: int
) -> None:
    """By the command of docs/installation.md."""
    page = (ROOT / "docs" / "installation.md").read_text()
    (block,) = re.findall(r"^if .*?^fi$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "systemctl").write_text(f"#!/bin/sh\necho 'systemd {version}'\n")
    (tmp_path / "systemctl").chmod(0o755)
    subprocess.run(
        ["sh", "-ec", block.replace("/etc/", f"{tmp_path}/etc/")],
        cwd=UNIT.parent,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        timeout=30,
        check=True,
    )
    assert len(list(tmp_path.rglob("notify-reload.conf"))) == installed


def test_nginx_may_open_as_many_files_as_it_has_logs() -> None:
    """systemd's own soft limit is 1024, which 500 sites reach."""
    assert int(value("LimitNOFILE")) >= 65536


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """Verified by systemd itself on a machine that has it; the rest of this file holds anyway."""
    if shutil.which("systemd-analyze") is None:
        return
    copy = tmp_path / "pyconfd.service"
    copy.write_text(UNIT.read_text().replace("=pyconfd ", "=/bin/true "))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False
    )
    ours = [line for line in done.stderr.splitlines() if "pyconfd.service" in line]
    assert not ours, done.stderr


@pytest.mark.parametrize("name", ["pyconfd", "pyconfd-register@", "pyconfd-notify@"])
def test_the_units_have_little_that_can_be_exposed(tmp_path: Path, name: str) -> None:
    """At most 2.0 by the measure of systemd, without a drop-in."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here")
    copy = tmp_path / f"{name.replace('@', '@x')}.service"
    copy.write_text((UNIT.parent / f"{name}.service").read_text())
    words = ("security", "--offline=true", "--threshold=20", "--no-pager", str(copy))
    done = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


def test_root_is_a_drop_in(tmp_path: Path) -> None:
    """That systemd accepts beside the unit."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here")
    copy = tmp_path / "pyconfd.service"
    copy.write_text(UNIT.read_text().replace("=pyconfd ", "=/bin/true "))
    (tmp_path / "pyconfd.service.d").mkdir()
    shutil.copy(UNIT.parent / "pyconfd-root.conf", tmp_path / "pyconfd.service.d" / "root.conf")
    done = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False
    )
    assert "root.conf" not in done.stderr and "pyconfd.service" not in done.stderr, done.stderr


RULE = """
var rule; var polkit = { Result: { YES: "yes" }, addRule: function (given) { rule = given; } };
%s
function ask(id, verb, unit, user) {
    var details = { verb: verb, unit: unit };
    var action = { id: id, lookup: function (name) { return details[name]; } };
    print(rule(action, { user: user }) === "yes");
}
"""
UNITS = "org.freedesktop.systemd1.manage-units"


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ((UNITS, "reload", "nginx.service", "pyconfd"), True),
        ((UNITS, "reload", "haproxy.service", "pyconfd"), True),
        ((UNITS, "reload", "nginx.service", "www-data"), False),
        ((UNITS, "restart", "nginx.service", "pyconfd"), False),
        ((UNITS, "start", "nginx.service", "pyconfd"), False),
        ((UNITS, "reload", "ssh.service", "pyconfd"), False),
        ((UNITS, None, None, "pyconfd"), False),
        (
            ("org.freedesktop.systemd1.manage-unit-files", "reload", "nginx.service", "pyconfd"),
            False,
        ),
    ],
)
def test_polkit_lets_the_user_reload_and_nothing_else(
    tmp_path: Path, asked: tuple[str, str, str, str], granted: bool
) -> None:
    """The rule, run by the interpreter that polkit has."""
    if shutil.which("duk") is None:
        pytest.skip("duktape is not here")
    rules = (UNIT.parent / "pyconfd.rules").read_text()
    words = ", ".join(json.dumps(word) for word in asked)
    (tmp_path / "test.js").write_text(f"{RULE % rules}\nask({words});\n")
    done = subprocess.run(
        ["duk", str(tmp_path / "test.js")], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == str(granted).lower(), done.stderr


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that another user can reach, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="pyconfd-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


AS_NOBODY = (
    "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
    "--inh-caps=-all,+net_bind_service", "--ambient-caps=+net_bind_service",
    "--bounding-set=-all,+net_bind_service",
)  # fmt: skip


@pytest.mark.integration
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_nginx_is_checked_in_context_with_the_rights_of_the_unit(public: Path) -> None:
    """Another user, who may bind ports below 1024 and nothing else."""
    started = subprocess.run([*AS_NOBODY, sys.executable, "-c", ""], check=False)
    if started.returncode:
        pytest.skip("another user cannot run this Python")
    shutil.copytree("/etc/nginx", public / "nginx", symlinks=True, ignore=_sites)
    main = public / "nginx" / "nginx.conf"
    main.write_text(main.read_text().replace("/etc/nginx/", f"{public}/nginx/"))
    # As its unit does before a start: only root can make nginx's folders below /var.
    subprocess.run([nginx_binary(), "-t", "-q"], check=True)
    confdir = Confdir(public / "confdir", "--backend", "env")
    confdir.template("t", "server { listen 81; }\n")
    dest = public / "nginx" / "conf.d" / "site.conf"
    confdir.resource(
        "r",
        f'[template]\nsrc = "t"\ndest = "{dest}"\nkeys = []\ncheck = "nginx"\n'
        f'nginx_conf = "{main}"\nreload_cmd = "true"\nconfirm = false\n',
    )
    subprocess.run(["chown", "-R", "nobody", str(public)], check=True)
    done = subprocess.run(
        [*AS_NOBODY, *confdir.argv("--onetime")],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert dest.read_text() == "server { listen 81; }\n"


def _sites(folder: str, names: list[str]) -> list[str]:
    return names if folder.endswith(("sites-enabled", "conf.d")) else []


@pytest.mark.skipif(not shutil.which("systemd-tmpfiles"), reason="systemd is not here")
def test_the_folder_of_the_states_is_there_from_boot_on(tmp_path: Path) -> None:
    """systemd's own program makes it below another root."""
    argv = [
        "systemd-tmpfiles",
        "--create",
        f"--root={tmp_path}",
        str(UNIT.parent / "pyconfd.tmpfiles"),
    ]
    subprocess.run(argv, check=True)
    assert (tmp_path / "run" / "pyconfd-notify").stat().st_mode & 0o777 == 0o755


def test_the_image_is_not_roots_and_its_base_is_one_image() -> None:
    """The base by its digest: a tag can be given to another image."""
    lines = (ROOT / "packaging" / "docker" / "Dockerfile").read_text().splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert all(re.fullmatch(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", base) for base in bases)
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users and users[-1] not in ("root", "0")
