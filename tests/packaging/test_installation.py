"""docs/installation.md, followed below a folder that stands for /."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pyconfd.registration.agent.arguments import read_declarations, read_register_arguments
from tests.support.repository import ROOT

pytestmark = pytest.mark.integration

PAGE = (ROOT / "docs" / "installation.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
UNITS = {path.name for path in (ROOT / "packaging").glob("*.service")}


def _below(block: str, root: Path) -> str:
    """The block with its absolute paths below root, and with our Python's venv."""
    block = re.sub(r"(?<![\w.*])/(opt|usr|etc|run|var)(?=/)", rf"{root}/\1", block)
    return block.replace("python3 -m venv", f"{sys.executable} -m venv --system-site-packages")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stands for / after all blocks were run."""
    root = tmp_path_factory.mktemp("root")
    for folder in ("opt", "usr/local", "etc/default", "run", "fake"):
        (root / folder).mkdir(parents=True)
    # systemctl only notes what it is asked; pip has no network: the page's own source is enough.
    log = root / "systemctl.log"
    (root / "fake" / "systemctl").write_text(
        '#!/bin/sh\n[ "$1" = --version ] && { echo "systemd 254 (254.5-1)"; exit; }\n'
        f'echo "$*" >>{log}\n'
    )
    (root / "fake" / "systemctl").chmod(0o755)
    (root / "fake" / "systemd-sysusers").symlink_to("/bin/true")
    (root / "fake" / "systemd-tmpfiles").symlink_to("/bin/true")
    script = "".join(_below(block, root) for block in BLOCKS)
    script = re.sub(r"pip install (--upgrade )?\.", rf"pip install \1{_OFFLINE} .", script)
    script = script.replace("pyconfd status\n", "")
    environ = {
        **os.environ,
        "PATH": f"{root}/usr/local/bin:{root}/fake:{os.environ['PATH']}",
        "PYCONFD_CONFDIR": f"{root}/etc/pyconfd",
        "PYCONFD_CONFIG_FILE": f"{root}/etc/pyconfd/pyconfd.toml",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONPATH": ":".join(path for path in sys.path if path.endswith("site-packages")),
    }
    done = subprocess.run(
        ["bash", "-ec", script], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return root


_OFFLINE = "--quiet --no-deps --no-build-isolation --no-index"


def test_the_program_and_its_check_work(root: Path) -> None:
    """pyconfd --version and pyconfd check are in the page, and have succeeded."""
    assert (root / "usr/local/bin/pyconfd").is_symlink()
    assert (root / "etc/pyconfd/conf.d/motd.toml").is_file()


def test_manual_and_completion_are_where_man_and_shells_look(root: Path) -> None:
    """From the wheel, below /usr/local/share."""
    share = root / "usr/local/share"
    assert {path.name for path in share.glob("man/man*/*")} == {
        path.name for path in (ROOT / "packaging/man").glob("man*/*")
    }
    for path in (
        "bash-completion/completions/pyconfd",
        "zsh/site-functions/_pyconfd",
        "fish/vendor_completions.d/pyconfd.fish",
    ):
        assert (share / path).is_file()


def test_every_unit_is_installed_as_it_is_shipped(root: Path) -> None:
    """From the installed package, not from the repository."""
    installed = root / "etc/systemd/system"
    drop_ins = installed / "pyconfd.service.d"
    assert {path.name for path in installed.iterdir()} == {*UNITS, drop_ins.name}
    shipped = (ROOT / "packaging" / "pyconfd-notify-reload.conf").read_bytes()
    assert (drop_ins / "notify-reload.conf").read_bytes() == shipped
    for name in UNITS:
        assert (installed / name).read_bytes() == (ROOT / "packaging" / name).read_bytes()
        assert f"`{name}`" in PAGE or name.removesuffix(".service") in PAGE


def test_modes_are_those_of_the_table(root: Path) -> None:
    """The file that may hold a password is closed to others."""
    assert (root / "etc/default/pyconfd").stat().st_mode & 0o777 == 0o600
    assert (root / "etc/pyconfd").stat().st_mode & 0o777 == 0o755


def test_what_systemctl_is_asked_exists(root: Path) -> None:
    """Each unit that is enabled is one that was installed."""
    asked = (root / "systemctl.log").read_text().splitlines()
    assert "enable --now pyconfd" in asked
    for line in asked:
        for word in line.split()[1:]:
            if not word.startswith("--"):
                assert re.sub(r"@\w+", "@", word) + ".service" in UNITS, line


def test_the_registered_service_is_understood(root: Path) -> None:
    """By `pyconfd register --file`."""
    path = root / "etc/pyconfd/register/www.toml"
    arguments, values = read_register_arguments(["--file", str(path)], {})
    (declared,) = read_declarations(values, arguments)
    assert (declared.service, declared.address) == ("www.example.com", ":8080")


def test_the_documentation_is_installed(root: Path) -> None:
    """`pyconfd recipes show` names a page that is there."""
    program = str(root / "usr/local/bin/pyconfd")
    environ = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    environ["PYTHONPATH"] = ":".join(path for path in sys.path if path.endswith("site-packages"))
    done = subprocess.run(
        [program, "recipes", "show", "keepalived"],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
        env=environ,
    )
    (page,) = re.findall(r"^page +(.*)$", done.stdout, re.MULTILINE)
    assert page.startswith(str(root)) and Path(page).is_file()
