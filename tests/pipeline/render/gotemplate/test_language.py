"""
Small templates for one detail of the language each: language.json, made by Go 1.27's own
text/template with the functions of both confds. null is a refusal; what the fork gave stands
there where it differs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jinja2
import pytest

from pyconfd.pipeline.render.function_errors import FunctionFault
from tests.pipeline.render.gotemplate.rendering import as_bytes, render_folder

DATA: dict[str, Any] = json.loads((Path(__file__).parent / "language.json").read_text())


@pytest.mark.parametrize("compat", ["confd", "confd-fork"])
@pytest.mark.parametrize("row", DATA["rows"], ids=lambda row: row["template"][:60])
def test_is_what_go_makes_of_it(row: dict[str, Any], compat: str, tmp_path: Path) -> None:
    """The same bytes, or a refusal of ours where Go refuses."""
    (tmp_path / "case.tmpl").write_bytes(row["template"].encode())
    expected = row.get(compat, row["confd"])
    if expected is None:
        with pytest.raises((FunctionFault, RecursionError, jinja2.TemplateSyntaxError)):
            render_folder(tmp_path, DATA["keys"], compat)
        return
    assert render_folder(tmp_path, DATA["keys"], compat) == as_bytes(expected)
