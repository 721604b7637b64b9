"""
Makes a release: version, changelog, commit, tag, sdist, wheel, what is in them, checksums.

    python packaging/release.py VERSION [--dry-run] [--no-sbom] [--out FOLDER]

All of it is made in a clone of HEAD. Only when everything is there, the branch goes forward to the
new commit and gets the tag; with --dry-run it stays as it is. The wheel is built from the sdist, so
that the sdist is known to be complete. The same commit and SOURCE_DATE_EPOCH (the time of the
release, default: now) make the same files, byte for byte.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
INIT = "pyconfd/__init__.py"
CHANGELOG = "CHANGELOG.md"
#: What is public now, and what was in the last release.
PUBLIC, RELEASED = "generate/public.txt", "generate/released.txt"
_VERSION = re.compile(r'^__version__ = "(.*)"$', re.MULTILINE)
_HEADING = re.compile(r"^## \[(.*?)\].*\n", re.MULTILINE)


class CannotRelease(Exception):
    """Why not, and what to do."""


def parts(version: str) -> tuple[int, int, int]:
    """Of x.y.z. Raises CannotRelease."""
    found = re.fullmatch(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", version)
    if not found:
        raise CannotRelease(f"{version!r} is not a version such as 1.2.3")
    return int(found[1]), int(found[2]), int(found[3])


def released(init: str, version: str) -> str:
    """pyconfd/__init__.py with the new version. Raises CannotRelease for one that is not newer."""
    found = _VERSION.search(init)
    if not found:
        raise CannotRelease(f"{INIT} has no version")
    if parts(version) <= parts(found[1]):
        raise CannotRelease(f"{version} is not newer than {found[1]}")
    return f'{init[: found.start()]}__version__ = "{version}"{init[found.end() :]}'


def section(changelog: str, version: str, day: str) -> str:
    """
    The changelog with what was unreleased as the section of this version, below an empty one.
    Raises CannotRelease where nothing has changed.
    """
    headings = list(_HEADING.finditer(changelog))
    unreleased = headings[0]
    if unreleased[1] != "Unreleased":
        raise CannotRelease(f"{CHANGELOG} does not begin with Unreleased")
    end = headings[1].start() if len(headings) > 1 else len(changelog)
    if not changelog[unreleased.end() : end].strip():
        raise CannotRelease(f"{CHANGELOG} has nothing below Unreleased")
    if any(each[1] == version for each in headings):
        raise CannotRelease(f"{CHANGELOG} has a section {version} already")
    cut = unreleased.end()
    return f"{changelog[:cut]}\n## [{version}] - {day}\n{changelog[cut:]}"


def notes(changelog: str, version: str) -> str:
    """The text of a version's section."""
    headings = list(_HEADING.finditer(changelog))
    at = next(number for number, each in enumerate(headings) if each[1] == version)
    end = headings[at + 1].start() if at + 1 < len(headings) else len(changelog)
    return changelog[headings[at].end() : end].strip() + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description="Makes a release.")
    parser.add_argument("version")
    parser.add_argument("--dry-run", action="store_true", help="leave the repository as it is")
    parser.add_argument("--no-sbom", action="store_true", help="which needs a package index")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    given = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory(prefix="pyconfd-release-") as folder:
            _release(given, Path(folder))
    except CannotRelease as error:
        sys.stderr.write(f"release: {error}\n")
        return 1
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"{error.stderr}release: {' '.join(error.cmd)}: exit {error.returncode}\n")
        return 1
    return 0


def _release(given: argparse.Namespace, folder: Path) -> None:
    version, tag = given.version, f"v{given.version}"
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or str(int(time.time()))
    clone, made = folder / "clone", folder / "made"
    if _run("git", "status", "--porcelain", cwd=ROOT):
        raise CannotRelease("there are uncommitted changes: git status")
    if _run("git", "tag", "--list", tag, cwd=ROOT):
        raise CannotRelease(f"the tag {tag} is there already")
    _run("git", "clone", "--quiet", "--no-local", ROOT, clone, cwd=folder)
    for name in ("user.name", "user.email"):
        _run("git", "config", name, _run("git", "config", name, cwd=ROOT), cwd=clone)
    _edit(clone, version, epoch)
    stamp = {"GIT_AUTHOR_DATE": f"@{epoch} +0000", "GIT_COMMITTER_DATE": f"@{epoch} +0000"}
    _run("git", "commit", "--quiet", "-am", f"Release {version}", cwd=clone, more=stamp)
    text = notes((clone / CHANGELOG).read_text(), version)
    _run("git", "tag", "-a", tag, "--cleanup=whitespace", "-m", f"pyconfd {version}\n\n{text}",
         cwd=clone, more=stamp)  # fmt: skip
    _build(clone, folder / "unpacked", made, epoch)
    if not given.no_sbom:
        (wheel,) = made.glob("*.whl")
        _run(HERE / "sbom.sh", wheel, cwd=clone, more={"PYTHON": sys.executable})
    _checksums(made)
    given.out.mkdir(parents=True, exist_ok=True)
    for path in sorted(made.iterdir()):
        shutil.copy(path, given.out)
        sys.stdout.write(f"{given.out / path.name}\n")
    if given.dry_run:
        sys.stdout.write(f"nothing was committed or tagged (--dry-run)\n\n{text}")
        return
    _run("git", "fetch", "--quiet", "--no-tags", clone, f"refs/tags/{tag}:refs/tags/{tag}",
         cwd=ROOT)  # fmt: skip
    _run("git", "merge", "--quiet", "--ff-only", tag, cwd=ROOT)
    sys.stdout.write(f"released {tag}; to publish it: git push origin HEAD {tag}\n")


def _edit(clone: Path, version: str, epoch: str) -> None:
    init, changelog = clone / INIT, clone / CHANGELOG
    day = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC).date().isoformat()
    init.write_text(released(init.read_text(), version))
    changelog.write_text(section(changelog.read_text(), version, day))
    _run(sys.executable, "-m", "generate", cwd=clone, more={"PYTHONPATH": str(clone)})
    (clone / RELEASED).write_text((clone / PUBLIC).read_text())


def _build(clone: Path, unpacked: Path, made: Path, epoch: str) -> None:
    """sdist, and from that the wheel."""
    build = (sys.executable, "-m", "hatchling", "build", "-d", made, "-t")
    stamp = {"SOURCE_DATE_EPOCH": epoch}
    _run(*build, "sdist", cwd=clone, more=stamp)
    (sdist,) = made.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (tree,) = unpacked.iterdir()
    _run(*build, "wheel", cwd=tree, more=stamp)


def _checksums(made: Path) -> None:
    """As `sha256sum --check` reads them."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(made.iterdir())
    ]
    (made / "SHA256SUMS").write_text("".join(lines))


def _run(*words: object, cwd: Path, more: Mapping[str, str] | None = None) -> str:
    """Its output, without the last end of line. Raises CalledProcessError."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**os.environ, **(more or {})},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.rstrip("\n")


if __name__ == "__main__":
    sys.exit(main())
