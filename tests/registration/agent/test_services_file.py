"""A services file: what is read, and that all faults are said with their lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyconfd.errors import SettingsError
from pyconfd.registration.agent.arguments import read_register_arguments
from pyconfd.registration.agent.services_file import read_services
from pyconfd.registration.declaration import Declaration


def read(tmp_path: Path, text: str) -> tuple[Declaration, ...]:
    file = tmp_path / "s.toml"
    file.write_text(text)
    _, values = read_register_arguments(["--file", str(file), "--rise", "4"], {})
    return read_services(str(file), values)


def faults(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        read(tmp_path, text)
    return [str(each).replace(f"{tmp_path}/", "") for each in raised.value.faults]


def test_the_table_comes_before_the_top_and_that_before_the_command_line(tmp_path: Path) -> None:
    """And what the file does not say is as on the command line."""
    one, two = read(
        tmp_path,
        """
        ttl = "20s"
        fall = 7
        [[service]]
        name = "a"
        address = "x:1"
        ttl = 5
        [[service]]
        name = "b"
        address = "x:1"
        weight = "auto:50"
        field = { max_fails = 2, zone = "a" }
        """,
    )
    assert (one.ttl_s, two.ttl_s) == (5, 20)
    assert (one.rule.rise, one.rule.fall) == (4, 7)
    assert (two.weight, two.auto_weight) == (50, True)
    assert two.fields == {"max_fails": 2, "zone": "a"}


def test_all_faults_are_said_with_their_lines(tmp_path: Path) -> None:
    """Not only the first."""
    said = faults(
        tmp_path,
        '[[service]]\nname = "a"\naddress = "x"\n'
        '[[service]]\nname = "a"\naddress = "x:1"\nttll = 5\n'
        '[[service]]\nname = "a/b"\naddress = "x:1"\n'
        '[[service]]\naddress = "x:1"\n'
        '[[service]]\nname = "c"\naddress = "x:1"\nttl = 0.5\n',
    )
    assert [line.split(": ")[0] for line in said] == [
        "s.toml:3", "s.toml:7", "s.toml:8", "s.toml:11", "s.toml:16",
    ]  # fmt: skip
    assert "did you mean ttl?" in said[1]
    assert "would escape its prefix" in said[2]
    assert "name: is missing" in said[3]


def test_two_members_with_one_key_are_refused(tmp_path: Path) -> None:
    """With the place of both."""
    table = '[[service]]\nname = "a"\naddress = "x:1"\n'
    (said,) = faults(tmp_path, table * 2)
    assert said == "s.toml:4: id: x:1 is taken by " + f"{tmp_path}/s.toml:1"[len(f"{tmp_path}/") :]


@pytest.mark.parametrize("text", ["", "ttl = 5\n", "service = 3\n"])
def test_a_file_without_services_is_refused(tmp_path: Path, text: str) -> None:
    """An empty file would withdraw everything on SIGHUP."""
    assert "declares no service" in faults(tmp_path, text)[0]
