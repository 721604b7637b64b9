"""`make release` on a copy of this tree: what it makes, and that it makes the same again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.repository import ROOT

pytestmark = pytest.mark.integration

EPOCH = "1800000000"
VERSION = "9.8.7"


def _git(tree: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=tree, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _make(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "packaging/release.py", "--no-sbom", *words]
    environ = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
    return subprocess.run(
        program, cwd=tree, env=environ, capture_output=True, text=True, timeout=280, check=False
    )


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This tree as a repository of its own, with one commit."""
    tree = tmp_path_factory.mktemp("release") / "tree"
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split()]
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", *ignored), symlinks=True)
    _git(tree, "init", "--quiet", "--initial-branch=main")
    for name in ("user.name", "user.email"):
        _git(tree, "config", name, "nn@example.com")
    _git(tree, "add", "--all")
    _git(tree, "commit", "--quiet", "-m", "All")
    return tree


@pytest.fixture(scope="module")
def made(tree: Path) -> Mapping[str, Path]:
    """The files of a dry run and of the release after it, by what was called."""
    found = {}
    for name, words in (("dry", ["--dry-run"]), ("real", [])):
        out = found[name] = tree.parent / name
        done = _make(tree, VERSION, "--out", str(out), *words)
        assert done.returncode == 0, done.stdout + done.stderr
        tags = _git(tree, "tag", "--list")
        assert tags == ("" if words else f"v{VERSION}")
        assert _git(tree, "status", "--porcelain") == ""
    return found


def test_a_dry_run_makes_what_the_release_makes(made: Mapping[str, Path]) -> None:
    """Byte for byte, at the same time and commit."""
    names = {path.name for path in made["real"].iterdir()}
    assert names == {
        "SHA256SUMS",
        f"pyconfd_etcd-{VERSION}.tar.gz",
        f"pyconfd_etcd-{VERSION}-py3-none-any.whl",
    }
    for name in names:
        assert (made["dry"] / name).read_bytes() == (made["real"] / name).read_bytes(), name
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=made["dry"], check=True)


def test_the_commit_has_version_and_changelog_and_the_tag_its_text(
    tree: Path, made: Mapping[str, Path]
) -> None:
    """The manual too names the version."""
    assert made
    assert f'__version__ = "{VERSION}"' in (tree / "pyconfd" / "__init__.py").read_text()
    assert (
        f"\n## [Unreleased]\n\n## [{VERSION}] - 2027-01-15\n" in (tree / "CHANGELOG.md").read_text()
    )
    assert (
        f'"2027-01-15" "pyconfd {VERSION}"' in (tree / "packaging/man/man1/pyconfd.1").read_text()
    )
    assert _git(tree, "rev-parse", "HEAD") == _git(tree, "rev-parse", f"v{VERSION}^{{commit}}")
    assert "### Added" in _git(tree, "tag", "--list", "--format=%(contents)", f"v{VERSION}")


@pytest.mark.parametrize(("words", "why"), [([VERSION], "is there already"), (["1"], "such as")])
def test_what_cannot_be_released_changes_nothing(
    tree: Path, made: Mapping[str, Path], words: list[str], why: str, tmp_path: Path
) -> None:
    """One line says why."""
    assert made
    before = _git(tree, "rev-parse", "HEAD")
    done = _make(tree, *words, "--out", str(tmp_path / "out"))
    assert (done.returncode, why in done.stderr, done.stderr.count("\n")) == (1, True, 1)
    assert _git(tree, "rev-parse", "HEAD") == before
    assert not (tmp_path / "out").exists()


def test_uncommitted_changes_are_not_released(tree: Path) -> None:
    """They would not be in what is published."""
    (tree / "README.md").write_text("other")
    try:
        done = _make(tree, "99.0.0")
    finally:
        _git(tree, "checkout", "--quiet", "README.md")
    assert (done.returncode, done.stderr) == (
        1, "release: there are uncommitted changes: git status\n"
    )  # fmt: skip


def test_the_sdist_is_complete(made: Mapping[str, Path], tmp_path: Path) -> None:
    """The wheel was made from it; all of the repository's files are there, and tests run."""
    (sdist,) = made["real"].glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    files = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    wanted = {
        str(path.relative_to(made["real"].parent / "tree"))
        for path in (made["real"].parent / "tree").rglob("*")
        if path.is_file()
    }
    assert {name for name in wanted - files if not name.startswith((".git/", ".ci/"))} == set()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/packaging", "-m",
         "not integration"],
        cwd=unpacked, env={**os.environ, "PYTHONPATH": str(unpacked)}, capture_output=True,
        text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_the_wheel_holds_what_users_need_and_no_fakes(made: Mapping[str, Path]) -> None:
    """Neither tests nor what they pretend."""
    (wheel,) = made["real"].glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
    assert "Author: pyconfd maintainers\n" in text
    assert not [name for name in names if name.startswith(("tests/", "pyconfd/testing/", "bench/"))]
    for wanted in (
        "pyconfd/shipped/systemd/pyconfd.service",
        "pyconfd/schema/resource.schema.json",
        "pyconfd/recipes/nginx-sites/recipe.toml",
        "pyconfd/docs/index.md",
        f"pyconfd_etcd-{VERSION}.data/data/share/man/man1/pyconfd.1",
    ):
        assert wanted in names
