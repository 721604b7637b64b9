"""Files that are made to be too much: refused with file and limit, in a moment."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyconfd.backends.base import SourceOptions
from pyconfd.backends.file import FileSource
from pyconfd.backends.file_formats import DEEPEST, LARGEST_FILE, read_tree
from pyconfd.errors import SourceRefused

DEEP = 50_000
NAMES = "abcdefghij"
BOMB = "a: &a [" + ", ".join("x" * 9) + "]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in itertools.pairwise(NAMES)
)  # fmt: skip
MERGES = "a: &a {x: 1, y: 2}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 9)}]}}\n"
    for before, name in itertools.pairwise(NAMES)
)


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("f.yaml", "[" * DEEP + "]" * DEEP, "nested deeper than 100 levels|max"),
        ("f.yaml", "{a: " * DEEP + "1" + "}" * DEEP, "nested deeper than 100 levels|max"),
        ("f.yaml", "- " * DEEP + "1", "nested deeper than 100 levels|max"),
        ("f.yaml", "? " * DEEP + "1", "nested deeper than 100 levels|max"),
        ("f.yaml", "".join(" " * n + "a:\n" for n in range(200)), "nested deeper than 100 levels"),
        ("f.yaml", BOMB, "more than 1000000 values"),
        ("f.yaml", MERGES, "more than 1000000 values"),
        ("f.yaml", "a: &a [*a]", "."),
        ("f.yaml", "? {" * 60 + "a: 1" + "}" * 60, "a name is a list or a map"),
        ("f.yaml", "? [" * 60 + "'" + "]" * 60, "not YAML|a name is a list or a map"),
        ("f.yaml", 'a: 1\n? ["\'"]\n: 1', "a name is a list or a map"),
        ("f.json", f'{{"{"n" * 10**6}": [{"1," * 10**5}1]}}', "more than .* bytes of keys"),
        ("f.json", "[" * DEEP + "]" * DEEP, "nested too deeply"),
        ("f.toml", "a = " + "[" * DEEP + "]" * DEEP, "nested too deeply|not TOML"),
        ("f.toml", "a = " + "{a=" * DEEP + "1" + "}" * DEEP, "nested too deeply|not TOML"),
        ("f.toml", ".".join("a" * DEEP) + " = 1", "nested too deeply"),
        ("f.toml", "[" + ".".join("a" * DEEP) + "]\nb = 1", "nested too deeply"),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else "",
)
def test_what_is_too_much_is_refused_in_a_moment(
    tmp_path: Path, name: str, text: str, what: str
) -> None:
    """In a process of its own, which would die with its stack."""
    (tmp_path / name).write_text(text)
    program = (
        "import sys, threading\n"
        "from pyconfd.backends.base import SourceOptions\n"
        "from pyconfd.backends.file import FileSource\n"
        "from pyconfd.errors import SourceError\n"
        "def read():\n"
        "    source = FileSource(SourceOptions(files=(sys.argv[1],)))\n"
        "    try: print(len(source.list(['/'], timeout_s=1).keys))\n"
        "    except SourceError as error: print(error)\n"
        "thread = threading.Thread(target=read); thread.start(); thread.join()\n"
    )
    begun = time.monotonic()
    argv = [sys.executable, "-c", program, str(tmp_path / name)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begun < 10
    assert re.search(what, done.stdout), done.stdout
    assert name in done.stdout


def test_what_is_not_too_much_is_read() -> None:
    """Aliases and merges, and as many levels as there may be."""
    assert read_tree("f.yaml", b"a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: *a\n") == {
        "/a/x": b"1", "/b/x": b"1", "/b/y": b"2", "/c/x": b"1",
    }  # fmt: skip
    levels = DEEPEST - 2
    assert len(read_tree("f.yaml", b"[" * levels + b"x" + b"]" * levels)) == 1


def test_a_file_has_a_largest_size(tmp_path: Path) -> None:
    """Of trees and of plain files in a folder."""
    for name in ("tree.json", "plain"):
        folder = tmp_path / name
        folder.mkdir()
        with (folder / name).open("wb") as file:
            file.truncate(LARGEST_FILE + 1)
        with pytest.raises(SourceRefused, match=f"{name}: larger than {LARGEST_FILE} bytes"):
            FileSource(SourceOptions(files=(str(folder),))).list(["/"], timeout_s=1)
