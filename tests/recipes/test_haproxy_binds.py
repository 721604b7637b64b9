"""Two binds of one address, in whatever form it is written."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest

import pyconfd
from tests.support.repository import ROOT

RECIPE = ROOT / "pyconfd" / "recipes" / "haproxy"


def binds(*given: str) -> list[str]:
    """The binds of a configuration with frontends of these."""
    keys: dict[str, Any] = json.loads((RECIPE / "keys.json").read_text())
    del keys["/haproxy/frontends/http_in"]
    for number, bind in enumerate(given):
        value = {"bind": bind, "default_backend": "web"}
        keys[f"/haproxy/frontends/f{number}"] = json.dumps(value)
    settings = tomllib.loads((RECIPE / "vars.toml").read_text())
    made = pyconfd.render("haproxy", keys, confdir=RECIPE, vars=settings.get("vars", settings))
    return [line.split()[1] for line in made.splitlines() if line.startswith("    bind ")]


@pytest.mark.parametrize(
    "bind",
    [
        "127.1:80",
        "0.0:80",
        "0x7f.1:80",
        "0127.0.0.1:80",
        "2130706433:80",
        "[0:0::1]:80",
        "[::0001]:80",
        "[0:0:0:0:0:0:0:1]:80",
        "[::ffff:127.0.0.1]:80",
        "[::0]:80",
    ],
)
def test_an_address_in_another_form_is_refused(bind: str) -> None:
    """HAProxy takes it, and would share the connections with the frontend that has it already."""
    with pytest.raises(pyconfd.RenderFailed, match="in its usual form"):
        binds(bind)


def test_the_usual_forms_are_taken() -> None:
    """Names, addresses of both kinds, and all of them at once."""
    given = ["127.0.0.1:80", "[::1]:80", "10.0.0.1:80", "[2001:db8::1:0]:80", "[fe80::a0]:80"]
    given += ["lb1.example.com:80", "lb-2:81", "*:82", "[::]:83", "[1:0:0:2::5]:80"]
    assert set(given) <= set(binds(*given))
