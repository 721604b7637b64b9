"""
What both confds printed or refused: cases.json, in which each case names the programs that it
was made by. The words of a refusal are ours; that there is one, and its line, are confd's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jinja2
import pytest

from pyconfd.model.resources import Origin, Resource
from pyconfd.pipeline.render.function_errors import FunctionFault
from pyconfd.pipeline.render.template_errors import fault_of
from tests.pipeline.render.gotemplate.rendering import as_bytes, render_folder

CASES: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "cases.json").read_text())
EVERY = [(name, compat) for name, case in CASES.items() for compat in case["compat"]]


def _rendered(name: str, compat: str, folder: Path) -> bytes:
    case = CASES[name]
    for file, text in {"case.tmpl": case["template"], **case.get("files", {})}.items():
        (folder / file).write_bytes(text.encode())
    return render_folder(
        folder,
        case.get("keys", {"/k": "v"}),
        compat,
        case.get("environ"),
        tuple(case.get("allowed", ["/"])),
        case.get("prefix", "/"),
    )


@pytest.mark.parametrize(("name", "compat"), [one for one in EVERY if "output" in CASES[one[0]]])
def test_gives_the_bytes_that_confd_gave(name: str, compat: str, tmp_path: Path) -> None:
    """Byte by byte."""
    assert _rendered(name, compat, tmp_path) == as_bytes(CASES[name]["output"])


@pytest.mark.parametrize(
    ("name", "compat"), [one for one in EVERY if "output" not in CASES[one[0]]]
)
def test_fails_in_the_line_in_which_confd_failed(name: str, compat: str, tmp_path: Path) -> None:
    """A refusal in words of ours, at that line of the template."""
    with pytest.raises((FunctionFault, jinja2.TemplateSyntaxError)) as caught:
        _rendered(name, compat, tmp_path)
    resource = Resource(name="case", origin=Origin("case.toml"), src="case.tmpl", dest="/none")
    fault = fault_of(caught.value, resource, {})
    assert fault.line == CASES[name]["line"], (str(fault), CASES[name]["confd"])


def test_every_case_was_made_by_one_of_the_programs() -> None:
    """The data is whole: 205 cases, each with an output or the line of an error."""
    assert len(CASES) == 205
    assert all(("output" in case) != ("line" in case) for case in CASES.values())
    assert {compat for case in CASES.values() for compat in case["compat"]} == {
        "confd",
        "confd-fork",
    }
