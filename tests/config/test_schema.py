"""The JSON Schemas accept what pyconfd reads, refuse what it refuses, and are those shipped."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from generate import schemas
from pyconfd.cli.commands import schema as command
from pyconfd.config import shipped
from pyconfd.config.option_table import OPTIONS
from pyconfd.config.options import BadValue, from_toml
from pyconfd.config.recipes import load_recipe, recipe_names
from pyconfd.config.resource_table import KEYS
from pyconfd.config.resources import load_resources
from pyconfd.config.rollouts import ROLLOUT_KEYS
from pyconfd.config.settings import load_settings
from pyconfd.errors import PyconfdError, SettingsError
from pyconfd.registration.agent.options import MEMBER_OPTIONS
from pyconfd.registration.agent.services_file import _as_text
from tests.support.repository import ROOT

SCHEMAS = {name: Draft7Validator(make()) for name, make in schemas.SCHEMAS.items()}

#: Given to each key, to the reader and to the schema alike.
VALUES: list[object] = [
    "", "a", "/a/b", "10", "500ms", "1m30s", "0644", "644", "9", "4755", "-1", "nginx", "nginz",
    "go", "jinja2", "any", "revert", "25%", "halt", 0, 1, 2, 0.25, 1.5, -1, 2**33, 2e9 + 0.5,
    True, False, [],
    ["/a"], ["/a", 1], [1], {}, {"a": 1},
    {"by": "apache", "at": "http://127.0.0.1/server-status?auto"},
    {"by": "haproxy", "socket": "/run/haproxy.sock"}, {"by": "haproxy", "socket": "x"},
    {"by": "apache", "at": 1}, {"by": "apache", "of": "x"},
]  # fmt: skip


def of_file(path: str, data: Mapping[str, Any]) -> str:
    """The schema of a shipped file, or of an example by what is in it."""
    if path.endswith("recipe.toml"):
        return "recipe"
    if isinstance(data.get("service"), list):
        return "services"
    return "resource" if {"template", "group", "service"} & data.keys() else "pyconfd"


def toml_files() -> dict[str, str]:
    """Every TOML file for people, shipped or in a page: its place -> its text."""
    found = {
        str(path.relative_to(ROOT)): path.read_text()
        for folder in ("conf.d", "pyconfd/recipes")
        for path in (ROOT / folder).rglob("*.toml")
        if path.parent.name not in ("formats", "daemons", "notices", "places")
    }
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    for page in pages:
        for number, text in enumerate(
            re.findall(
                r"^```toml(?! pyproject)[^\n]*\n(.*?)^```",
                page.read_text(),
                re.MULTILINE | re.DOTALL,
            )
        ):
            found[f"{page.relative_to(ROOT)}:{number}"] = text
    return found


FILES = toml_files()


@pytest.mark.parametrize("place", FILES)
def test_every_toml_file_and_example_is_valid(place: str) -> None:
    """Shipped ones, and those in the pages."""
    data = tomllib.loads(FILES[place])
    faults = [one.message for one in SCHEMAS[of_file(place, data)].iter_errors(data)]
    assert faults == []


def test_the_schemas_are_schemas_and_describe_every_key() -> None:
    """Each property has a description."""
    for validator in SCHEMAS.values():
        Draft7Validator.check_schema(validator.schema)
    tables = schemas.resource_schema()["$defs"].values()
    for table in [*tables, schemas.settings_schema(), schemas.recipe_schema()]:
        undescribed = [
            name for name, one in table["properties"].items()
            if not one.get("description") and name not in ("template", "group", "service")
        ]  # fmt: skip
        assert undescribed == []


def test_a_shipped_schema_is_the_one_that_is_generated(capsys: pytest.CaptureFixture[str]) -> None:
    """Printed by name and by file name; without a name they are listed."""
    for name, make in schemas.SCHEMAS.items():
        assert command.main([name], {}) == 0
        assert json.loads(capsys.readouterr().out) == make()
    command.main(["services.toml", "--path"], {})
    assert Path(capsys.readouterr().out.strip()).name == "services.schema.json"
    command.main([], {})
    lines = capsys.readouterr().out.splitlines()[1:]
    assert len(lines) == len(schemas.SCHEMAS) == len(command.SCHEMAS)
    with pytest.raises(SettingsError, match="no such schema"):
        command.main(["resourc"], {})


@pytest.mark.parametrize("key", [key for key in KEYS if key not in ("src", "dest")])
def test_a_key_of_a_resource_takes_what_the_schema_says(key: str, tmp_path: Path) -> None:
    """
    The same values are read and checked. Values that are of the right kind and mean nothing on this
    machine (a user that does not exist, a relative path) are for pyconfd check alone.
    """
    for name in ("conf.d", "templates"):
        (tmp_path / name).mkdir()
    (tmp_path / "templates" / "a").touch()
    differ = []
    for value in VALUES:
        table = {"src": "a", "dest": "/x/a", "keys": ["/a"], **_beside(key), key: value}
        given = {"service": {"a": {"reload_cmd": "x"}}} if key == "service" else {}
        whole = {"template": table, **given}
        valid = SCHEMAS["resource"].is_valid(whole)
        fault = _fault(tmp_path, key, whole)
        if valid == bool(fault) and not (valid and re.search(_HERE, fault)):
            differ.append((value, valid, fault))
    assert differ == []


#: Faults of values that a schema cannot know.
_HERE = (
    "no user|no group|there is no|not an absolute path|no service is called|is given|not below|"
    "each holds|no \\{name\\}|without each|hold_max is less|pattern|is of use with"
    "|empty path|at is not|needs max_shrink|must be above|user called|group called"
)


def _beside(key: str) -> dict[str, object]:
    """What else the table needs so that the key is of use."""
    if key in ("runtime", "adopt_runtime"):
        socket = {"by": "haproxy", "socket": "/run/haproxy.sock"}
        return {"reload_cmd": "x", **({"runtime": socket} if key == "adopt_runtime" else {})}
    if key.startswith("nginx_"):
        return {"check": "nginx"}
    if key in ("confirm", "confirm_cmd", "confirm_timeout", "on_reload_failure"):
        return {"reload_cmd": "x", **({"confirm_cmd": "true"} if key == "confirm_timeout" else {})}
    if key in ("each_names", "each_limit", "adopt"):
        return {"each": "/a", "dest": "/x/{name}"}
    return {"shrink_in": {"max_shrink": 0.5}, "each": {"dest": "/x/{name}"}}.get(key, {})


def _fault(confdir: Path, key: str, whole: Mapping[str, Any]) -> str:
    (confdir / "conf.d" / "a.toml").write_text(_toml(whole))
    try:
        found = load_resources(str(confdir), load_settings([], {}))
    except PyconfdError as error:
        return "; ".join(map(str, getattr(error, "faults", ()))) or str(error)
    return "; ".join(map(str, found.faults))


def _toml(data: Mapping[str, Any]) -> str:
    lines = []
    for name, value in data.items():
        if name == "service":
            lines += [f"[service.{each}]\n{_pairs(keys)}" for each, keys in value.items()]
        else:
            lines.append(f"[{name}]\n{_pairs(value)}")
    return "\n".join(lines)


def _pairs(table: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {_value(value)}\n" for key, value in table.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)


@pytest.mark.parametrize(
    "option", [one for one in OPTIONS if one.in_file], ids=lambda one: one.name
)
def test_an_option_takes_what_the_schema_says(option: Any) -> None:
    """The reader takes more in two ways: an empty text as absent, and numbers in quotes."""
    for value in VALUES:
        valid = SCHEMAS["pyconfd"].is_valid({option.name.replace("-", "_"): value})
        try:
            from_toml(option, value)
        except BadValue:
            taken = False
        else:
            taken = True
        lenient = value == "" or (option.kind == "count" and isinstance(value, str))
        assert valid == taken or (taken and lenient) or value == ["/a", 1] or value == [1], value


@pytest.mark.parametrize("option", MEMBER_OPTIONS, ids=lambda one: one.name)
def test_a_key_of_a_services_file_takes_what_the_schema_says(option: Any) -> None:
    """Numbers and tables stand for texts there."""
    for value in VALUES:
        service = {"name": "a", "address": ":1", option.name.replace("-", "_"): value}
        valid = SCHEMAS["services"].is_valid({"service": [service]})
        try:
            from_toml(option, _as_text(option, value))
        except BadValue:
            taken = False
        else:
            taken = True
        assert valid == taken or (taken and value == ""), (value, valid, taken)


@pytest.mark.parametrize("key", ROLLOUT_KEYS)
def test_a_key_of_a_rollout_takes_what_the_schema_says(key: str, tmp_path: Path) -> None:
    """As for a resource."""
    for name in ("conf.d", "templates"):
        (tmp_path / name).mkdir()
    (tmp_path / "templates" / "a").touch()
    beside = {"verify_cmd": "true"} if key == "verify_cmd_timeout" else {}
    differ = []
    for value in VALUES:
        service = {"reload_cmd": "x", "rollout": {**beside, key: value}}
        table = {"src": "a", "dest": "/x/a", "keys": ["/a"], "service": "a"}
        valid = SCHEMAS["resource"].is_valid({"template": table, "service": {"a": service}})
        text = (
            f"[service.a]\nreload_cmd = 'x'\n[service.a.rollout]\n{_pairs({**beside, key: value})}"
            f"[template]\n{_pairs(table)}"
        )
        fault = _text_fault(tmp_path, text)
        if valid == bool(fault) and not (valid and re.search(_HERE, fault)):
            differ.append((value, valid, fault))
    assert differ == []


def _text_fault(confdir: Path, text: str) -> str:
    (confdir / "conf.d" / "a.toml").write_text(text)
    try:
        found = load_resources(str(confdir), load_settings([], {}))
    except PyconfdError as error:
        return "; ".join(map(str, getattr(error, "faults", ()))) or str(error)
    return "; ".join(map(str, found.faults))


def test_unknown_keys_and_missing_ones_are_refused_everywhere() -> None:
    """As by pyconfd."""
    good = {"src": "a", "dest": "/a", "keys": []}
    assert SCHEMAS["resource"].is_valid({"template": [good, good]})
    for bad in (
        {"template": {**good, "chek_cmd": "x"}},
        {"template": {"src": "a", "dest": "/a"}},
        {"group": {"a": {"check": "nginx"}}},
        {"service": {"a": {"reload_cmd": "x", "rollout": {"kanary": 1}}}},
        {"templates": good},
    ):
        assert not SCHEMAS["resource"].is_valid(bad)
    assert not SCHEMAS["pyconfd"].is_valid({"wach": True})
    assert SCHEMAS["pyconfd"].is_valid({"log-level": "info", "node": "a:1", "vars": {"x": [1]}})
    assert not SCHEMAS["services"].is_valid({"service": []})
    for name in recipe_names():
        assert load_recipe(name)  # what the reader takes
    assert not SCHEMAS["recipe"].is_valid({"title": "a"})
    assert shipped.names("formats")
