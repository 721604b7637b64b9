"""What `pyconfd check --format` prints for machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pyconfd.cli import main as cli
from pyconfd.cli.findings import CheckFinding, Rule, Severity, as_github, as_sarif
from pyconfd.errors import PyconfdError

#: The part of SARIF 2.1.0's schema that these logs are made of, with its constraints.
SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"enum": ["2.1.0"]},
        "runs": {"type": "array", "items": {"$ref": "#/$defs/run"}},
    },
    "$defs": {
        "run": {
            "type": "object",
            "required": ["tool"],
            "additionalProperties": False,
            "properties": {
                "tool": {
                    "type": "object",
                    "required": ["driver"],
                    "additionalProperties": False,
                    "properties": {"driver": {"$ref": "#/$defs/toolComponent"}},
                },
                "results": {"type": "array", "items": {"$ref": "#/$defs/result"}},
            },
        },
        "toolComponent": {
            "type": "object",
            "required": ["name"],
            "additionalProperties": False,
            "properties": {
                "name": {"type": "string"},
                "version": {"type": "string"},
                "rules": {
                    "type": "array",
                    "uniqueItems": True,
                    "items": {
                        "type": "object",
                        "required": ["id"],
                        "additionalProperties": False,
                        "properties": {
                            "id": {"type": "string"},
                            "shortDescription": {"$ref": "#/$defs/message"},
                        },
                    },
                },
            },
        },
        "message": {
            "type": "object",
            "required": ["text"],
            "additionalProperties": False,
            "properties": {"text": {"type": "string"}},
        },
        "result": {
            "type": "object",
            "required": ["message"],
            "additionalProperties": False,
            "properties": {
                "ruleId": {"type": "string"},
                "ruleIndex": {"type": "integer", "minimum": -1},
                "level": {"enum": ["none", "note", "warning", "error"]},
                "message": {"$ref": "#/$defs/message"},
                "locations": {"type": "array", "items": {"$ref": "#/$defs/location"}},
            },
        },
        "location": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "physicalLocation": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["artifactLocation"],
                    "properties": {
                        "artifactLocation": {
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {"uri": {"type": "string", "pattern": r"^[!-~]+$"}},
                        },
                        "region": {
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {"startLine": {"type": "integer", "minimum": 1}},
                        },
                    },
                }
            },
        },
    },
}

Check = Callable[..., tuple[int, str, str]]


@pytest.fixture
def check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Check:
    """Of a confdir with a fault of each kind, from within it."""
    for folder in ("conf.d", "templates"):
        (tmp_path / folder).mkdir()
    template = '[template]\nsrc = "{0}.j2"\ndest = "/x/{0}"\nkeys = ["/app"]\n'
    (tmp_path / "conf.d" / "a.toml").write_text(template.format("a"))
    (tmp_path / "conf.d" / "b.toml").write_text(template.format("b") + "modee = 1\n")
    reload = 'reload_cmd = "nosuch-program"\n'
    (tmp_path / "conf.d" / "c.toml").write_text(template.format("c") + reload)
    (tmp_path / "templates" / "a.j2").write_text("x\n{{ getz('/app') }}\n")
    for name in ("b.j2", "c.j2"):
        (tmp_path / "templates" / name).write_text("{{ ls('/app') | join }}\n")
    monkeypatch.chdir(tmp_path)

    def check(*argv: str) -> tuple[int, str, str]:
        status = cli.main(["check", "--confdir", ".", *argv])
        return status, *capsys.readouterr()

    return check


def test_github_shows_faults_at_their_lines(check: Check) -> None:
    """As workflow commands, relative to the folder that the check runs in."""
    status, out, err = check("--format", "github", "--intervall", "5")
    assert (status, err) == (2, "")
    assert out.splitlines() == [
        "::error title=pyconfd settings::--intervall: unknown option (did you mean --interval?)",
        "::error file=conf.d/b.toml,line=5,title=pyconfd resource::unknown key: modee"
        " (did you mean mode?)",
        "::error file=templates/a.j2,line=2,title=pyconfd template::'getz' is undefined"
        " (resource a) (did you mean get?)",
        "::warning file=conf.d/c.toml,line=1,title=pyconfd not-on-this-machine::"
        "reload_cmd: program not found: nosuch-program (it is not on PATH)",
    ]


def test_github_reads_no_more_than_one_command_out_of_a_text() -> None:
    """What has a meaning in a command is escaped, and so is what a terminal would act upon."""
    odd = CheckFinding(Severity.NOTE, Rule.TEMPLATE, "50%\n::error::\x1b[0m", "/a,b:c", 3)
    assert as_github([odd], 0, "/nowhere") == (
        "::notice file=/a%2Cb%3Ac,line=3,title=pyconfd template::50%25%0A::error::\\x1b[0m\n"
    )


def test_sarif_is_of_the_shape_that_its_schema_has(check: Check) -> None:
    """One result for each finding, with rule, level and place."""
    status, out, err = check("--format", "sarif", "--intervall", "5")
    assert (status, err) == (2, "")
    log = json.loads(out)
    jsonschema.validate(log, SARIF)
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    assert [(one["ruleId"], one["level"], place(one)) for one in run["results"]] == [
        ("settings", "error", None),
        ("resource", "error", ("conf.d/b.toml", 5)),
        ("template", "error", ("templates/a.j2", 2)),
        ("not-on-this-machine", "warning", ("conf.d/c.toml", 1)),
    ]


def place(result: dict[str, Any]) -> tuple[str, int] | None:
    for location in result["locations"]:
        where = location["physicalLocation"]
        return where["artifactLocation"]["uri"], where["region"]["startLine"]
    return None


def test_sarif_has_uris() -> None:
    """Of files elsewhere as well, and of names that are no text."""
    found = [
        CheckFinding(Severity.ERROR, Rule.RESOURCE, "x", path) for path in ("/a b/c", "é", "\udcff")
    ]
    log = json.loads(as_sarif(found, 0, "/work"))
    jsonschema.validate(log, SARIF)
    uris = [
        one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for one in log["runs"][0]["results"]
    ]
    assert uris == ["file:///a%20b/c", "%C3%A9", "%FF"]


def test_json_has_every_finding(check: Check) -> None:
    """And how many resources have none."""
    status, out, err = check("--format", "json")
    assert (status, err) == (2, "")
    found = json.loads(out)
    assert found["good_resources"] == 1
    assert [tuple(one.values())[:4] for one in found["findings"]] == [
        ("error", "resource", "conf.d/b.toml", 5),
        ("error", "template", "templates/a.j2", 2),
        ("warning", "not-on-this-machine", "conf.d/c.toml", 1),
    ]
    assert found["findings"][1]["message"].startswith("'getz' is undefined (resource a)")


def test_a_diff_is_text(check: Check) -> None:
    """It does not fit into the other formats."""
    status, out, _ = check("--format", "sarif", "--diff")
    assert status == 2
    assert "--diff: works with --format text only" in out


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("/etc/a.toml:5", ("/etc/a.toml", 5)),
        ("conf/a.j2:12: key", ("conf/a.j2", 12)),
        ("./a", ("./a", 0)),
        ("pyconfd.toml:3", ("pyconfd.toml", 3)),
        ("--confdir", ("", 0)),
        ("127.0.0.1:2379", ("", 0)),
        ("http://h:1", ("", 0)),
        ("", ("", 0)),
    ],
)
def test_a_place_is_a_file_and_a_line(where: str, expected: tuple[str, int]) -> None:
    """Options and addresses are none."""
    assert PyconfdError("x", where=where).place == expected
