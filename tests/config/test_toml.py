"""Reading TOML: what is not valid is reported with its place, and keys are found again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyconfd.config.toml import MAX_BYTES, read_toml
from pyconfd.errors import ResourceError


def fault(path: Path) -> str:
    with pytest.raises(ResourceError) as caught:
        read_toml(str(path), ResourceError)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a = 1\nb = \n", ":2: is not valid TOML: Invalid value, column 5"),
        (b"a = 1\na = 2\n", ":2: is not valid TOML: a key is given twice, column 6"),
        (b'x = "open\n', ":1: is not valid TOML: "),
        (b'x = """open\n', ":1: is not valid TOML: "),
        (b"mode = 0644\n", ':1: is not valid TOML: Expected newline or end of document after a '
         'statement, column 9 (a number cannot begin with 0; write it in quotes: "0644")'),
        (b"a = 1\nb = '\xff'\n", ":2: byte 0xff is not UTF-8 (save the file as UTF-8)"),
        (b"x = " + b"[" * 5000, ": "),
    ],
    ids=["value", "twice", "string", "fence", "octal", "utf8", "deep"],
)  # fmt: skip
def test_malformed_files_name_the_line(tmp_path: Path, content: bytes, said: str) -> None:
    """And what is wrong there."""
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    assert fault(path).startswith(f"{path}{said}")


def test_what_is_no_file_says_what_it_is(tmp_path: Path) -> None:
    """Missing, a folder, a broken link, a FIFO (without hanging), a huge file."""
    assert fault(tmp_path / "none.toml").endswith("none.toml: does not exist")
    assert fault(tmp_path).endswith(": is a folder, not a file")
    (tmp_path / "link.toml").symlink_to("/nowhere/x")
    assert fault(tmp_path / "link.toml").endswith("is a link to /nowhere/x, which does not exist")
    os.mkfifo(tmp_path / "fifo.toml")
    assert fault(tmp_path / "fifo.toml").endswith("is not a regular file")
    with (tmp_path / "huge.toml").open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    assert fault(tmp_path / "huge.toml").endswith(f"is larger than {MAX_BYTES} bytes")


def test_what_the_system_refuses_is_said_in_its_words(tmp_path: Path) -> None:
    """Here a path that leads through a file; permission and disk errors go the same way."""
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "x.toml"
    assert fault(path) == f"{path}: cannot be read: Not a directory"


def test_lines_are_found_by_table_and_key(tmp_path: Path) -> None:
    """Also past comments, strings over several lines that look like keys, and quoted keys."""
    path = tmp_path / "x.toml"
    path.write_text(
        "top = 1\n"  # 1
        "# [no] table\n"
        "[[template]] # first\n"  # 3
        'text = """\n'
        "src = not a key\n"
        "[[template]]\n"
        '"""\n'
        '"quoted" = 1\n'  # 8
        "keys = [\n"
        '  "a = b",\n'
        "]\n"
        "[[ template ]]\n"  # 12
        "  src='x'\n"  # 13
        "[group.web]\n"  # 14
        "order = []\n"
    )
    lines = read_toml(str(path), ResourceError).lines()
    assert lines["", 0]["top"] == 1
    assert lines["template", 0] == {"": 3, "text": 4, "quoted": 8, "keys": 9}
    assert lines["template", 1] == {"": 12, "src": 13}
    assert lines["group.web", 0] == {"": 14, "order": 15}
