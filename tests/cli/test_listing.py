"""`-o table|json|yaml|tsv`, and tables whose cells are wider than their characters."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import yaml

from pyconfd.cli.listing import Form, Printout, form_of, form_options, show
from pyconfd.cli.terminal import Terminal
from pyconfd.errors import SettingsError

VALUE: dict[str, Any] = {
    "line": "1 fine",
    "rows": [
        {"name": "a\tb\nc", "live": {"revision": 3}, "ok": True, "keys": ["/x", "/y"]},
        {"name": "é\x1b\udcff", "live": None, "ok": False, "keys": ()},
    ],
}
LISTING = Printout(VALUE, VALUE["rows"], ("name", "live.revision", "ok", "keys", "none"))


def shown(form: Form, capsys: pytest.CaptureFixture[str]) -> str:
    show(form, LISTING, lambda: ["for", "people"])
    return capsys.readouterr().out


def test_each_form_has_the_same_data(capsys: pytest.CaptureFixture[str]) -> None:
    """All of it in JSON and YAML."""
    assert shown(Form.TABLE, capsys) == "for\npeople\n"
    whole = json.loads(json.dumps(VALUE))
    assert json.loads(shown(Form.JSON, capsys)) == whole
    del VALUE["rows"][1]  # half a character, which is not YAML
    assert yaml.safe_load(shown(Form.YAML, capsys)) == {**whole, "rows": whole["rows"][:1]}


def test_tsv_has_a_line_for_each_record(capsys: pytest.CaptureFixture[str]) -> None:
    """And as many cells in each, whatever is in them."""
    rows = [
        {"name": "a\tb\nc", "live": {"revision": 3}, "ok": True, "keys": ["/x", "/y"]},
        {"name": "é\x1b", "live": None, "ok": False, "keys": ()},
    ]
    show(Form.TSV, Printout(rows, rows, LISTING.columns), list)
    assert capsys.readouterr().out.splitlines() == [
        "name\tlive.revision\tok\tkeys\tnone",
        "a\\tb\\nc\t3\ttrue\t/x /y\t",
        "é\\x1b\t\tfalse\t\t",
    ]


def test_nothing_that_moves_a_cursor_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """In whatever form."""
    for form in (Form.JSON, Form.YAML):
        show(form, Printout(["\x1b[2J\u202e\udcff"]), list)
        assert capsys.readouterr().out.isascii()


def test_json_is_another_name_of_a_form() -> None:
    """Unless another form is asked for as well."""
    names = [option.name for option in form_options("x")]
    assert names == ["output", "json"]
    assert form_of({"output": "table", "json": False}) is Form.TABLE
    assert form_of({"output": "table", "json": True}) is Form.JSON
    assert form_of({"output": "json", "json": True}) is Form.JSON
    assert form_of({"output": "yaml", "json": False}) is Form.YAML
    with pytest.raises(SettingsError, match="--json: does not go together with -o tsv"):
        form_of({"output": "tsv", "json": True})


@pytest.mark.parametrize(
    ("cell", "width"),
    [
        ("abc", 3),
        ("日本", 4),
        ("\uff46\uff55", 4),
        ("ｶﾅ", 2),
        ("e\u0301", 1),
        ("n\u0303o", 2),
        ("\u1112\u1161\u11ab", 2),  # 한 in three parts
        ("😀", 2),
        ("a\u200bb", 8),  # written out, as all that is not printable
        ("שלום", 4),
        ("\u05e9\u05c1", 1),
    ],
)
def test_wide_and_combining_characters_align(cell: str, width: int) -> None:
    """As terminals show them: two columns for those of East Asia, none for a mark."""
    paint = Terminal(io.StringIO(), {})
    heading, line, _ = paint.table([("NAME", "X"), (cell, "x"), ("1234567890", "x")])
    assert heading == "NAME        X"
    assert line.endswith(f"{' ' * (12 - width)}x")
    assert len(line.partition(" ")[0]) + 13 - width == len(line)
