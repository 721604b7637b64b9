"""A shadow of a tree with many files: neighbours are read once, and one more costs one more."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from pyconfd.model.resources import Nginx
from pyconfd.pipeline.nginx import shadow
from pyconfd.pipeline.nginx.file_words import FileNames, WordsOfFiles
from tests.support.work import calls

SITE = "server {{ server_name {}; access_log off; }}\n"


def plant(folder: Path, sites: Sequence[int]) -> Nginx:
    """A main file that includes so many sites."""
    (folder / "sites").mkdir(parents=True)
    conf = folder / "nginx.conf"
    conf.write_text(f"events {{}}\nhttp {{\n include {folder}/sites/*.conf;\n}}\n")
    for site in sites:
        (folder / f"sites/{site}.conf").write_text(SITE.format(site))
    return Nginx(conf=str(conf))


def build(nginx: Nginx, folder: Path, sites: Sequence[int]) -> None:
    """Make a shadow with new versions of these, and take it away."""
    staged = {}
    for site in sites:
        new = folder / f"sites/.{site}.new"
        new.write_text(SITE.format(f"new{site}"))
        staged[str(folder / f"sites/{site}.conf")] = str(new)
    with shadow.build(nginx, staged, work_dir=str(folder / "work")) as tree:
        assert len(tree.expected) >= len(staged)


def test_a_first_start_costs_twice_as_much_with_twice_as_many_files(tmp_path: Path) -> None:
    """Every file is new: none is compared with all others."""

    def work(size: int) -> int:
        folder = tmp_path / str(size)
        nginx = plant(folder, ())
        return calls(lambda: build(nginx, folder, range(size)))

    assert work(400) < 2.3 * work(200)


@pytest.mark.parametrize("name", ["open", "findall"])
def test_the_neighbours_of_a_change_are_read_once(tmp_path: Path, name: str) -> None:
    """After that one look at each says that it is the same."""
    nginx = plant(tmp_path, range(100))
    build(nginx, tmp_path, [1])
    assert calls(lambda: build(nginx, tmp_path, [2]), name) < 15


def test_a_neighbour_that_changes_is_read_again(tmp_path: Path) -> None:
    """It includes by now what it did not: its copy leads to the new version."""
    nginx = plant(tmp_path, range(3))
    snippet = tmp_path / "snippet"
    snippet.write_text("# old\n")
    build(nginx, tmp_path, [1])
    (tmp_path / "sites/0.conf").write_text(f"server {{ include {snippet}; }}\n")
    new = tmp_path / ".snippet.new"
    new.write_text("# new\n")
    with shadow.build(nginx, {str(snippet): str(new)}, work_dir=str(tmp_path / "work")) as tree:
        assert str(new) in tree.expected


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        ("ssl_certificate /etc/a.pem;", "a.pem", True),
        ('ssl_certificate "/etc/a.pem";', "a.pem", True),
        ("ssl_certificate a.pem;", "a.pem", True),
        ("ssl_certificate /etc/ba.pem;", "a.pem", False),
        ('ssl_certificate "/etc/my own.pem";', "my own.pem", True),
        ("ssl_certificate /etc/my\\ own.pem;", "my own.pem", True),
        ("server{include /etc/a;}", "a", True),
    ],
)
def test_a_name_is_found_as_the_last_part_of_a_path(
    tmp_path: Path, text: str, name: str, found: bool
) -> None:
    """Among few names and among many."""
    file = tmp_path / "file"
    file.write_text(text)
    words = WordsOfFiles()(str(file))
    others = [b"other%d" % n for n in range(20)]
    assert words.any_of(FileNames({name.encode()})) is found
    assert words.any_of(FileNames({name.encode(), *others})) is found


def test_a_neighbour_of_a_change_is_asked_for_once(tmp_path: Path) -> None:
    """One look at the facts of each file tells that it is the same, no link, and how long it is."""
    plant(tmp_path, range(100))
    nginx = Nginx(conf=str(tmp_path / "nginx.conf"))
    build(nginx, tmp_path, [1])

    def check() -> None:
        new = tmp_path / "sites/.2.new"
        new.write_text(SITE.format("new"))
        staged = {str(tmp_path / "sites/2.conf"): str(new)}
        with shadow.build(nginx, staged, work_dir=str(tmp_path / "work")) as tree:
            listing = b"".join(
                b"# configuration file %b:\n%b\n" % (os.fsencode(path), Path(path).read_bytes())
                for path in (*tree.expected, tree.main)
            )
            Path(tree.listing).write_bytes(listing)
            assert tree.unproven() == ""

    asked = sum(calls(check, name) for name in ("lstat", "stat", "islink", "getsize"))
    assert asked < 100 * 1.3
