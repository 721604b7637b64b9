"""
`make deb`: the package is installed over an older one, and removed without a trace, by Debian's own
dpkg in a root file system that is this machine's, seen through an overlay that is thrown away.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from pyconfd import __version__
from tests.support.repository import ROOT

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("dpkg-deb"),
        reason="root alone may install packages, of Debian",
    ),
]

#: Arguments: a folder, the older package, the newer one. Prints a line `== NAME` before each part.
STEPS = """\
set -e
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/system"
mount -t overlay overlay "$1/system" -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" || exit 77
mount --bind /proc "$1/system/proc"
mount --bind /dev "$1/system/dev"
cp "$2" "$1/system/older.deb"
cp "$3" "$1/system/newer.deb"
cat >"$1/system/steps" <<'END'
set -e
package() { dpkg --no-triggers --force-confold "$@" >/log 2>&1 || { cat /log; exit 1; }; }
package -i older.deb
echo == older
pyconfd --version
echo 'log_level = "debug"' >>/etc/pyconfd/pyconfd.toml
pyconfd init nginx-sites /etc/pyconfd >/dev/null
install -d -o pyconfd -g pyconfd -m 0700 /var/lib/pyconfd
touch /var/lib/pyconfd/state
package -i newer.deb
echo == newer
pyconfd --version
echo == reaches
pyconfd status --store --node 127.0.0.1:1 || true
echo == kept
tail -n 1 /etc/pyconfd/pyconfd.toml
ls /etc/pyconfd/conf.d /var/lib/pyconfd
echo == differs
dpkg --verify pyconfd || true
echo == files
find -P /usr/lib/pyconfd -name '*.py[co]' | grep -c .
find /usr/lib/pyconfd -name '*former*'
stat -c '%a %U %n' /etc/default/pyconfd /etc/pyconfd /var/lib/pyconfd
for page in pyconfd pyconfd-register pyconfd.toml pyconfd-resource; do man -w "$page"; done
bash -c '. /usr/share/bash-completion/completions/pyconfd; complete -p pyconfd'
systemd-analyze verify --man=no /lib/systemd/system/pyconfd.service
package -r pyconfd
echo == removed
find / -xdev -path '/usr/*pyconfd*' -not -path '/usr/src/*' | head
ls /etc/pyconfd/pyconfd.toml
package -P pyconfd
rm -f older.deb newer.deb log
END
chroot "$1/system" sh steps
echo == left
cd "$1/upper"
rm -f steps
find . -name '*pyconfd*'
for file in passwd group; do cmp "etc/$file" "/etc/$file"; done
"""


def _deb(folder: Path) -> Path:
    environ = {**os.environ, "PYTHON": sys.executable, "COMPRESSION": "none"}
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    words = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run([*pip, *words], check=True, timeout=250)
    (wheel,) = folder.glob("*.whl")
    build = [str(ROOT / "packaging" / "deb.sh"), str(wheel), str(folder)]
    subprocess.run(build, env=environ, check=True, timeout=280)
    (deb,) = folder.glob("*.deb")
    return deb


def _older(deb: Path, folder: Path) -> Path:
    """A version before: other settings, a file that has gone since, not all that it needs."""
    tree = folder / "older"
    subprocess.run(["dpkg-deb", "-R", str(deb), str(tree)], check=True, timeout=100)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"Version: .*", "Version: 0.0.1-1", control.read_text()))
    (tree / "etc/pyconfd/pyconfd.toml").write_text('node = ["127.0.0.1:4001"]\n')
    (site,) = tree.glob("usr/lib/pyconfd/lib/python3*/site-packages")
    (site / "pyconfd" / "former.py").touch()
    (site / "pyconfd" / "__init__.py").write_text(
        (site / "pyconfd" / "__init__.py").read_text().replace(__version__, "0.0.1")
    )
    shutil.rmtree(site / "grpc")
    made = folder / "older.deb"
    build = ["dpkg-deb", "--root-owner-group", "-Znone", "-b", str(tree), str(made)]
    subprocess.run(build, check=True, timeout=100, stdout=subprocess.DEVNULL)
    return made


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """What the steps have printed, by part."""
    folder = tmp_path_factory.mktemp("deb")
    newer = _deb(folder)
    (folder / "mount").mkdir()
    words = [str(folder / "mount"), str(_older(newer, folder)), str(newer)]
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", STEPS, "steps", *words],
        capture_output=True,
        text=True,
        timeout=280,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"},
    )
    if done.returncode == 77:
        pytest.skip(f"no overlay may be mounted here: {done.stderr}")
    assert done.returncode == 0, done.stdout + done.stderr
    pieces = re.split(r"^== (\w+)\n", done.stdout, flags=re.MULTILINE)[1:]
    return dict(zip(pieces[::2], pieces[1::2], strict=True))


def test_it_runs_and_reaches_out(parts: Mapping[str, str]) -> None:
    """The older one and, after it, the newer one with its compiled dependencies."""
    assert parts["older"] == "pyconfd 0.0.1\n"
    assert parts["newer"] == f"pyconfd {__version__}\n"
    assert "Connection refused" in parts["reaches"]


def test_an_upgrade_keeps_settings_resources_and_state(parts: Mapping[str, str]) -> None:
    """A changed file of settings stays as it is; dpkg finds no other difference."""
    assert parts["kept"].split() == [
        "log_level", "=", '"debug"', "/etc/pyconfd/conf.d:", "sites.toml", "/var/lib/pyconfd:",
        "state",
    ]  # fmt: skip
    assert re.fullmatch(r"\S+ c /etc/pyconfd/pyconfd.toml\n", parts["differs"]), parts["differs"]


def test_what_it_brings_is_where_debian_has_it(parts: Mapping[str, str]) -> None:
    """Byte code of the newer one alone; units that systemd reads, manual, completion."""
    count, *lines = parts["files"].splitlines()
    assert int(count) > 500
    assert lines == [
        "600 root /etc/default/pyconfd",
        "755 root /etc/pyconfd",
        "700 pyconfd /var/lib/pyconfd",
        "/usr/share/man/man1/pyconfd.1.gz",
        "/usr/share/man/man1/pyconfd-register.1.gz",
        "/usr/share/man/man5/pyconfd.toml.5.gz",
        "/usr/share/man/man5/pyconfd-resource.5.gz",
        *[line for line in lines if line.startswith("complete ")],
    ]
    assert lines[-1].startswith("complete ")


def test_removed_it_leaves_settings_and_purged_nothing(parts: Mapping[str, str]) -> None:
    """User and group are gone too."""
    assert parts["removed"] == "/etc/pyconfd/pyconfd.toml\n"
    assert parts["left"] == ""
