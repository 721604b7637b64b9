"""Whatever is written in a configuration, the answer is a value or a fault with a place."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyconfd.config.arguments import read_arguments
from pyconfd.config.option_table import OPTIONS
from pyconfd.config.options import BadValue, seconds
from pyconfd.config.resource_table import KEYS, SHARED_KEYS
from pyconfd.config.resources import load_resources
from pyconfd.config.settings import load_settings, settings_and_faults
from pyconfd.config.toml import read_toml
from pyconfd.errors import ConfigError, ResourceError

DEFAULTS = load_settings([], {})
words = st.one_of(
    st.text(max_size=12).filter(lambda word: "\0" not in word),
    st.sampled_from([f"--{option.name}" for option in OPTIONS]),
    st.sampled_from([f"-{option.name}=x" for option in OPTIONS]),
    st.sampled_from(["--", "-", "=", "--=", "--no-", "--no-watch", "-h", "10s", "true"]),
)
values = st.one_of(
    st.none().map(lambda _: "[]"),
    st.booleans().map(lambda flag: str(flag).lower()),
    st.integers(-(2**40), 2**40).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda number: f"{number:f}"),
    st.text(st.characters(codec="ascii", min_codepoint=32), max_size=8).map(json.dumps),
    st.lists(st.sampled_from(["/a", "", "b/"]), max_size=3).map(json.dumps),
    st.just("1979-05-27"),
    st.just("{a = 1}"),
)


@given(st.lists(words, max_size=6), st.dictionaries(st.sampled_from(["NODE", "X"]), words))
def test_any_command_line_is_settings_or_faults(argv: list[str], environ: dict[str, str]) -> None:
    """Nothing else is raised, and every fault has a place."""
    variables = {f"PYCONFD_{name}": word for name, word in environ.items()}
    arguments = read_arguments(["--config-file=/dev/null/none", *argv], OPTIONS)
    _, faults = settings_and_faults(arguments, variables)
    assert all(fault.where for fault in faults)


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_a_bad_value(text: str) -> None:
    """And a good one is a finite number of seconds that a timer can wait for."""
    try:
        value = seconds(text)
    except BadValue:
        return
    assert 0 <= value <= 1e9


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(st.dictionaries(st.sampled_from([*KEYS, "what"]), values, max_size=8))
def test_any_table_is_a_resource_or_faults_with_lines(
    tmp_path: Path, table: dict[str, str]
) -> None:
    """Types and values at random; the line of a fault is that of its key or of the table."""
    (tmp_path / "conf.d").mkdir(exist_ok=True)
    lines = ["[template]", *(f"{key} = {value}" for key, value in table.items())]
    path = tmp_path / "conf.d" / "a.toml"
    path.write_text("\n".join(lines) + "\n")
    try:
        faults = load_resources(str(tmp_path), DEFAULTS).faults
    except ResourceError as error:
        faults = error.faults
    for fault in faults:
        file, _, line = fault.where.rpartition(":")
        assert file == str(path)
        assert 1 <= int(line) <= len(lines)


members = st.lists(st.sampled_from(["a", "b", "c", "x", "a.toml", ""]), max_size=4)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(
    members,
    st.dictionaries(st.sampled_from([*SHARED_KEYS, "what"]), values, max_size=3),
    st.dictionaries(st.sampled_from(SHARED_KEYS), values, max_size=2),
)
def test_any_group_is_done_whole_or_not_at_all(
    tmp_path: Path, names: list[str], group: dict[str, str], member: dict[str, str]
) -> None:
    """Whatever group and member say; every fault has the line of its key or table."""
    (tmp_path / "conf.d").mkdir(exist_ok=True)
    (tmp_path / "templates").mkdir(exist_ok=True)
    (tmp_path / "templates" / "a.j2").touch()
    for name in "abc":
        lines = ["[template]", 'src = "a.j2"', f'dest = "/x/{name}"', "keys = []"]
        lines += [f"{key} = {value}" for key, value in member.items() if name == "a"]
        (tmp_path / "conf.d" / f"{name}.toml").write_text("\n".join(lines) + "\n")
    lines = ["[group.web]", f"resources = {json.dumps(names)}"]
    lines += [f"{key} = {value}" for key, value in group.items()]
    (tmp_path / "conf.d" / "web.toml").write_text("\n".join(lines) + "\n")
    try:
        found = load_resources(str(tmp_path), DEFAULTS)
    except ResourceError as error:
        assert all(int(fault.where.rpartition(":")[2]) >= 1 for fault in error.faults)
        return
    done = [resource.name for resource in found.resources]
    together = [resource.name for resource in found.resources if resource.group]
    assert not {*names} & {*done} or together == [name.removesuffix(".toml") for name in names]
    assert all(int(fault.where.rpartition(":")[2]) >= 1 for fault in found.faults)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(st.binary(max_size=60))
def test_any_bytes_are_toml_or_a_fault(tmp_path: Path, raw: bytes) -> None:
    """And the lines of what could be read are found without complaint."""
    path = tmp_path / "x.toml"
    path.write_bytes(raw)
    try:
        read_toml(str(path), ResourceError).lines()
    except ConfigError as error:
        assert error.where.startswith(str(path))
