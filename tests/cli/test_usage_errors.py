"""Errors of usage speak the language that the log was asked for."""

from __future__ import annotations

import json

import pytest

from pyconfd.cli.main import main
from pyconfd.cli.usage_errors import style_asked


@pytest.mark.parametrize(
    ("argv", "environ", "style"),
    [
        ([], {}, "text"),
        (["--log-format", "json"], {}, "json"),
        (["-log-format=json"], {}, "json"),
        (["--log-format=json", "--log-format", "text"], {}, "text"),
        (["--onetime"], {"PYCONFD_LOG_FORMAT": "json"}, "json"),
        (["--log-format", "text"], {"PYCONFD_LOG_FORMAT": "json"}, "text"),
        (["--log-format"], {}, "text"),
        (["--log-format", "jsn"], {}, "text"),
        (["log-format", "json"], {}, "text"),
    ],
)
def test_the_style_is_known_before_the_settings_are(
    argv: list[str], environ: dict[str, str], style: str
) -> None:
    """The last option counts, before the environment; anything else is text."""
    assert style_asked(argv, environ) == style


@pytest.mark.parametrize(
    "argv",
    [
        ["--onetim", "--log-format", "json", "--interval", "soon"],
        ["check", "--log-format=json", "--confdir", "/nonexistent"],
        ["register", "--log-format", "json", "--tll", "3"],
    ],
)
def test_each_fault_is_one_json_object(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong options, a missing confdir, those of commands too; exit 2 as ever."""
    assert main(argv) == 2
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert lines
    assert all(line["level"] == "error" and line["message"] for line in lines)
