"""The filter for paths that come from keys: below the folders that the node allows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyconfd.pipeline.render.function_errors import FunctionFault
from pyconfd.pipeline.render.functions.paths import path_below
from pyconfd.pipeline.render.node_facts import NodeFacts
from pyconfd.pipeline.render.value_checks import key_text

NO_PATHS = [
    "",
    "a",
    "var/log/a",
    "../a",
    "/var/log/../../etc/cron.d/a",
    "/..",
    "/var/log/a\n",
    None,
]
NO_PATHS += [
    "/var/log/a\0",
    "/var/log/a\x1b",
    "/var/log/\udcff",
    "/var/log/a\u202e",
    1,
    ["/var/log"],
]
NO_PATHS += ["/var/log/" + "a" * 1_000_000, "/var/log/\x85", "|/bin/sh", "file:///var/log/a"]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("/var/log/a", "/var/log/a"),
        ("/var/log", "/var/log"),
        ("//var//log/./a/", "/var/log/a"),
        ("/var/log/a..b", "/var/log/a..b"),
    ],
)
def test_a_path_below_a_folder_is_normalized(given: str, found: str) -> None:
    """The daemon reads the text that was checked."""
    assert path_below(given, ["/srv", "/var/log/"]) == found


@pytest.mark.parametrize("value", NO_PATHS)
def test_what_is_no_path_is_refused(value: Any) -> None:
    """By its kind, without the value."""
    with pytest.raises(FunctionFault, match=r"^the value is not an absolute path without .. below"):
        path_below(value, "/var/log")


@pytest.mark.parametrize("value", ["/", "/etc/cron.d/a", "/var", "/var/logs/a", "/var/log.d"])
def test_a_path_elsewhere_is_refused_with_the_setting(value: str) -> None:
    """Key, folders and setting are in the message, the value is not."""
    folders = NodeFacts("n", {"log_folders": ["/var/log/apache2", "/srv/log"]}).names()["vars"]
    with pytest.raises(FunctionFault) as caught:
        path_below(key_text(value, "/site/log"), folders["log_folders"])
    refusal = "the value of /site/log is not a path below /var/log/apache2 or /srv/log"
    assert str(caught.value) == refusal
    assert caught.value.hint == "vars.log_folders says which folders are allowed"  # type: ignore[attr-defined]


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    """As the last part, before it, and where the target is missing; one that stays is fine."""
    allowed, other = tmp_path / "allowed", tmp_path / "other"
    (allowed / "real").mkdir(parents=True)
    other.mkdir()
    (allowed / "out").symlink_to(other)
    (allowed / "up").symlink_to("..")
    (allowed / "missing").symlink_to(other / "missing")
    (allowed / "in").symlink_to("real")
    assert path_below(f"{allowed}/in/a", str(allowed)) == f"{allowed}/in/a"
    for name in ("out", "out/a", "up", "up/other/a", "missing"):
        with pytest.raises(FunctionFault, match="leads through a link out of"):
            path_below(f"{allowed}/{name}", str(allowed))
    both = [str(allowed), str(other)]
    assert path_below(f"{allowed}/out/a", both) == f"{allowed}/out/a"


def test_an_allowed_folder_may_be_a_link(tmp_path: Path) -> None:
    """What it leads to is what the operator meant."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert path_below(f"{tmp_path}/link/a", f"{tmp_path}/link") == f"{tmp_path}/link/a"
    assert path_below(f"{tmp_path}/real/a", f"{tmp_path}/real")


def test_no_folder_allows_nothing() -> None:
    """An empty list is how a node forbids a key; relative folders allow nothing either."""
    with pytest.raises(FunctionFault, match="is not a path: no folder is allowed"):
        path_below("/a", [])
    with pytest.raises(FunctionFault):
        path_below("/a", ["a", ""])
