"""What is built and installed is what is tested: the wheel holds the data files and runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pyconfd import __version__
from pyconfd.config.recipes import recipe_names
from tests.support.repository import ROOT

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, unpacked as an installer would."""
    folder = tmp_path_factory.mktemp("wheel")
    words = ["--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *words, str(ROOT)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("pyconfd_etcd-*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder / "site")
    return folder / "site"


def run(site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Python with the unpacked wheel in front of everything, away from the sources."""
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=site.parent,
        env={**os.environ, "PYTHONPATH": str(site)},
    )


def test_the_program_runs_from_the_wheel(site: Path) -> None:
    """Its own files, not those of the checkout, say the version."""
    where = run(site, "-c", "import pyconfd; print(pyconfd.__file__)")
    assert where.stdout.strip() == str(site / "pyconfd" / "__init__.py")
    assert run(site, "-m", "pyconfd", "--version").stdout == f"pyconfd {__version__}\n"


def test_another_distribution_with_the_same_files_is_noticed(site: Path) -> None:
    """`pip install pyconfd` beside ours gives what belongs to neither; one line says what to do."""
    assert run(site, "-m", "pyconfd", "--version").stderr == ""
    other = site / "pyconfd-0.0.7.dist-info"
    other.mkdir()
    try:
        done = run(site, "-m", "pyconfd", "--version")
    finally:
        other.rmdir()
    (line,) = done.stderr.splitlines()
    assert line.startswith("pyconfd: warning: another distribution, pyconfd 0.0.7, has its files")
    assert line.endswith("pip uninstall pyconfd, then pip install --force-reinstall pyconfd-etcd")
    assert done.stdout == f"pyconfd {__version__}\n"


def test_every_data_file_of_the_package_is_in_the_wheel(site: Path) -> None:
    """Recipes, formats, the demo's template, the marker of types."""
    package = ROOT / "pyconfd"
    data = [
        path.relative_to(package)
        for path in package.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    ]
    assert Path("py.typed") in data
    assert [path for path in data if not (site / "pyconfd" / path).is_file()] == []


def test_manual_and_completion_are_in_the_data_of_the_wheel(site: Path) -> None:
    """Below share, where pip and pipx put them for man and the shells."""
    (share,) = site.glob("pyconfd_etcd-*.data/data/share")
    found = {str(path.relative_to(share)) for path in share.rglob("*") if path.is_file()}
    assert found == {
        "bash-completion/completions/pyconfd",
        "fish/vendor_completions.d/pyconfd.fish",
        "zsh/site-functions/_pyconfd",
        "man/man1/pyconfd.1",
        "man/man1/pyconfd-register.1",
        "man/man5/pyconfd.toml.5",
        "man/man5/pyconfd-resource.5",
    }


def test_the_shipped_configuration_is_in_the_wheel_and_valid(site: Path) -> None:
    """conf.d and templates, as the demo uses them."""
    shipped = site / "pyconfd" / "shipped"
    done = run(site, "-m", "pyconfd", "check", "--confdir", str(shipped))
    assert done.returncode == 0, done.stderr


def test_the_recipes_are_in_the_wheel(site: Path, tmp_path: Path) -> None:
    """All of them, and one is written from there."""
    done = run(site, "-m", "pyconfd", "recipes", "--json")
    assert done.returncode == 0, done.stderr
    assert [one["name"] for one in json.loads(done.stdout)] == list(recipe_names())
    done = run(site, "-m", "pyconfd", "init", recipe_names()[0], str(tmp_path / "here"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "here" / "keys.json").exists()
