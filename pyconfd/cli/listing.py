"""
`-o table|json|yaml|tsv` of the commands that list: one answer in the requested form.

A table is for people and may change. The others have the same data: JSON and YAML all of it, TSV
some columns of the records.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

from pyconfd.config.options import Option
from pyconfd.errors import SettingsError
from pyconfd.model.safe_text import escaped
from pyconfd.model.values import dataclass

#: Characters of a line of YAML: none is broken.
_WIDE = 1 << 30


class Form(Enum):
    """The forms, by their names for -o."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    TSV = "tsv"


@dataclass(frozen=True, slots=True)
class Printout:
    """
    The answer of a command.

    value: all of it, of JSON types.
    records: the rows of TSV.
    columns: their members; `live.revision` is one of a member.
    """

    value: Any
    records: Sequence[Mapping[str, Any]] = ()
    columns: Sequence[str] = ()


def form_options(group: str, forms: Iterable[Form] = Form) -> tuple[Option, Option]:
    """The options that choose a form. group: their heading in the help."""
    choices = tuple(form.value for form in forms)
    text = f"{', '.join(choices)} (-o)"
    return (
        Option("output", "text", Form.TABLE.value, text, group, "FORM", choices=choices,
               aliases=("o",), in_file=False),
        Option("json", "flag", False, "the same as -o json", group, in_file=False),
    )  # fmt: skip


def form_of(values: Mapping[str, Any]) -> Form:
    """The requested form. values: of the options, by field. Raises SettingsError."""
    form = Form(values["output"])
    if not values["json"]:
        return form
    if form not in (Form.TABLE, Form.JSON):
        raise SettingsError(f"does not go together with -o {form.value}", where="--json")
    return Form.JSON


def show(form: Form, printout: Printout, table: Callable[[], Iterable[str]]) -> None:
    """Print the answer. table: makes the lines for people."""
    lines = table() if form is Form.TABLE else _lines(form, printout)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def _lines(form: Form, printout: Printout) -> Iterable[str]:
    """
    The lines of a form. JSON and YAML escape all but ASCII, so that no key can move the cursor.
    """
    if form is Form.TSV:
        return _tsv(printout)
    text = json.dumps(printout.value, indent=2)
    if form is Form.JSON:
        return (text,)
    import yaml

    # libyaml is four times as fast, and does not take bytes that are not UTF-8.
    is_text = "\\ud" not in text
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper) if is_text else yaml.SafeDumper
    # from JSON: of plain types, whatever a text or a list was
    dumped: str = yaml.dump(
        json.loads(text), Dumper=dumper, sort_keys=False, explicit_start=True, width=_WIDE
    )
    return (dumped.removesuffix("\n"),)


def _tsv(printout: Printout) -> Iterator[str]:
    """A heading, then a line for each record; missing members are empty."""
    yield "\t".join(printout.columns)
    for record in printout.records:
        yield "\t".join(_cell(_member(record, column)) for column in printout.columns)


def _member(record: Mapping[str, Any], path: str) -> Any:
    found: Any = record
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _cell(value: Any) -> str:
    """A text without tabs and line breaks."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return " ".join(map(_cell, value))
    return escaped(str(value))
