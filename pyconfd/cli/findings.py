"""
The findings of `pyconfd check` for machines: GitHub's annotations, SARIF 2.1.0, JSON. Pure.

Paths below the folder in which the check was started are relative to it, as CI services expect.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any
from urllib.parse import quote

from pyconfd import __version__
from pyconfd.errors import MissingKey, PyconfdError, RenderError, ResourceError, SettingsError
from pyconfd.model.safe_text import escaped
from pyconfd.model.values import dataclass


class Severity(Enum):
    """How bad it is. Only errors count for the exit status."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Rule(Enum):
    """What a finding is about; the value is public."""

    SETTINGS = "settings"
    RESOURCE = "resource"
    STORE = "store"
    TEMPLATE = "template"
    MISSING_KEY = "missing-key"
    UNREAD_KEY = "unread-key"
    NOT_HERE = "not-on-this-machine"


_MEANINGS = {
    Rule.SETTINGS: "Options, variables and the config file are valid",
    Rule.RESOURCE: "Files below conf.d are valid",
    Rule.STORE: "The keys can be read",
    Rule.TEMPLATE: "Templates compile and render",
    Rule.MISSING_KEY: "Keys that templates ask for exist, or have a default",
    Rule.UNREAD_KEY: "Keys that resources declare are read by their templates",
    Rule.NOT_HERE: "Programs and files that are named are on this machine",
}


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """
    One finding.

    text: what is wrong and where, in one sentence, without the place in a file.
    file, line: "" and 0 where there is none.
    """

    level: Severity
    rule: Rule
    text: str
    file: str = ""
    line: int = 0


def finding(level: Severity, error: PyconfdError, rule: Rule | None = None) -> CheckFinding:
    """An error as a finding. rule: if the kind of error does not determine it."""
    file, line = error.place
    text = error.what if file or not error.where else f"{error.where}: {error.what}"
    if isinstance(error, RenderError):
        text += f" (resource {error.resource})"
    if error.hint:
        text += f" ({error.hint})"
    return CheckFinding(level, rule or _rule_of(error), text, file, line)


def _rule_of(error: PyconfdError) -> Rule:
    match error:
        case MissingKey():
            return Rule.MISSING_KEY
        case RenderError():
            return Rule.TEMPLATE
        case ResourceError():
            return Rule.RESOURCE
        case SettingsError():
            return Rule.SETTINGS
        case _:
            return Rule.STORE


def as_github(findings: Iterable[CheckFinding], _: int, folder: str) -> str:
    """Workflow commands, one per line, which GitHub shows at the lines of a pull request."""
    return "".join(f"{line}\n" for line in _github(findings, folder))


def _github(findings: Iterable[CheckFinding], folder: str) -> Iterator[str]:
    for one in findings:
        kind = "notice" if one.level is Severity.NOTE else one.level.value
        fields = {"file": _path(one.file, folder), "line": str(one.line or "")}
        fields["title"] = f"pyconfd {one.rule.value}"
        given = ",".join(
            f"{name}={_escaped(value).replace(':', '%3A').replace(',', '%2C')}"
            for name, value in fields.items()
            if value
        )
        yield f"::{kind} {given}::{_escaped(one.text)}"


def _escaped(text: str) -> str:
    """A text escaped for GitHub; control characters for terminals are written out."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return escaped(text)


def as_json(findings: Sequence[CheckFinding], good: int, folder: str) -> str:
    """All findings in one object."""
    found = [
        {
            "level": one.level.value,
            "rule": one.rule.value,
            "file": _path(one.file, folder) or None,
            "line": one.line or None,
            "message": one.text,
        }
        for one in findings
    ]
    return json.dumps({"good_resources": good, "findings": found}, indent=2) + "\n"


def as_sarif(findings: Sequence[CheckFinding], _: int, folder: str) -> str:
    """A log with one run, for code scanning and editors."""
    rules = list(Rule)
    driver = {
        "name": "pyconfd",
        "version": __version__,
        "rules": [{"id": one.value, "shortDescription": {"text": _MEANINGS[one]}} for one in rules],
    }
    results = [
        {
            "ruleId": one.rule.value,
            "ruleIndex": rules.index(one.rule),
            "level": one.level.value,
            "message": {"text": one.text},
            "locations": _locations(one, folder),
        }
        for one in findings
    ]
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }
    return json.dumps(log, indent=2) + "\n"


def _locations(one: CheckFinding, folder: str) -> list[dict[str, Any]]:
    if not one.file:
        return []
    path = _path(one.file, folder)
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(path)}}
    if one.line:
        place["region"] = {"startLine": one.line}
    return [{"physicalLocation": place}]


def _uri(path: str) -> str:
    encoded = quote(path.encode(errors="surrogateescape"))
    return f"file://{encoded}" if path.startswith("/") else encoded


def _path(file: str, folder: str) -> str:
    """The path, relative to the folder if it is below it."""
    path = posixpath.normpath(posixpath.join(folder, file)) if file else ""
    below = f"{folder.rstrip('/')}/"
    return path.removeprefix(below) if path.startswith(below) else path


#: How --format calls them -> what makes a text of findings, the number of resources without a
#: fault, and the folder that the check was started in.
FORMATS: Mapping[str, Callable[[Sequence[CheckFinding], int, str], str]] = {
    "github": as_github,
    "json": as_json,
    "sarif": as_sarif,
}
