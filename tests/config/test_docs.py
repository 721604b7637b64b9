"""docs/configuration.md says what the code does: tables, keys and examples."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pyconfd.config.confd.options import FOREIGN, REFUSED
from pyconfd.config.option_table import OPTIONS
from pyconfd.config.resource_table import KEYS, SERVICE_KEYS, SHARED_KEYS
from pyconfd.config.resources import load_resources
from pyconfd.config.rollouts import ROLLOUT_KEYS
from pyconfd.config.settings import load_settings
from pyconfd.errors import SettingsError
from tests.support.docs import PAGE, ROOT, with_tables

FENCE = re.compile(r"```toml (\w+)\n(.*?)```", re.DOTALL)
EXAMPLES = FENCE.findall(PAGE.read_text())


def test_the_tables_of_options_are_those_of_the_code() -> None:
    """Made anew by `python -m tests.support.docs`."""
    page = PAGE.read_text()
    assert with_tables(page) == page


def test_every_key_of_a_resource_is_documented_and_no_other() -> None:
    """The first column of the table below "Resources"."""
    page = PAGE.read_text()
    assert keys_of_table(page, "## Resources", "A resource with everything") == set(KEYS)


def test_every_key_of_a_group_is_documented_and_no_other() -> None:
    """The first column of the table below "Groups"."""
    found = keys_of_table(PAGE.read_text(), "### Groups", "### One file for each key")
    assert found == {"resources", *SHARED_KEYS}


def test_every_key_of_a_service_is_documented_and_no_other() -> None:
    """The first column of the table below "Services"."""
    found = keys_of_table(PAGE.read_text(), "### Services", "### Rollouts")
    assert found == {*SERVICE_KEYS}


def test_every_key_of_a_rollout_is_documented_and_no_other() -> None:
    """The first column of the table below "Rollouts"."""
    assert keys_of_table(PAGE.read_text(), "### Rollouts", "### Groups") == {*ROLLOUT_KEYS}


def keys_of_table(page: str, begin: str, end: str) -> set[str]:
    """The words in back quotes in first columns between two headings."""
    section = page[page.index(begin) : page.index(end)]
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


@pytest.mark.parametrize(
    "text",
    [text for kind, text in EXAMPLES if kind in ("resource", "rollout")],
    ids=["first", "full", "nginx", "confirm", "runtime", "rollout", "each"],
)
def test_examples_of_resources_are_good(text: str, tmp_path: Path) -> None:
    """They are loaded without a fault."""
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "x.toml").write_text(text)
    (tmp_path / "templates").mkdir()
    for name in re.findall(r'src = "(.*?)"', text):
        (tmp_path / "templates" / name).touch()
    found = load_resources(str(tmp_path), load_settings([], {}))
    assert len(found.resources) == 1
    assert not found.faults


def test_the_example_of_a_service_is_good(tmp_path: Path) -> None:
    """Two resources, reloaded by one command."""
    (text,) = (text for kind, text in EXAMPLES if kind == "service")
    for name in ("conf.d", "templates"):
        (tmp_path / name).mkdir()
    (tmp_path / "conf.d" / "haproxy.toml").write_text(text)
    for name in re.findall(r'src = "(.*?)"', text):
        (tmp_path / "templates" / name).touch()
    found = load_resources(str(tmp_path), load_settings([], {}))
    assert [one.service_name for one in found.resources] == ["edge", "edge"]
    assert not found.faults


def test_the_example_of_a_group_is_good(tmp_path: Path) -> None:
    """Its members come in its order."""
    (text,) = (text for kind, text in EXAMPLES if kind == "group")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "x.j2").touch()
    for name in ("certificates", "upstreams", "servers"):
        (tmp_path / "conf.d" / f"{name}.toml").write_text(
            f'[template]\nsrc = "x.j2"\ndest = "/x/{name}"\nkeys = ["/"]\n'
        )
    (tmp_path / "conf.d" / "web.toml").write_text(text)
    found = load_resources(str(tmp_path), load_settings([], {}))
    assert [each.name for each in found.resources] == ["certificates", "upstreams", "servers"]
    assert not found.faults


def test_the_example_of_settings_is_good(tmp_path: Path) -> None:
    """It says what the page says."""
    (text,) = (text for kind, text in EXAMPLES if kind == "settings")
    (tmp_path / "c.toml").write_text(text)
    settings = load_settings(["--config-file", str(tmp_path / "c.toml")], {})
    assert settings.watch
    assert len(settings.node) == 2


def test_links_between_pages_lead_somewhere() -> None:
    """Files, and headings of the same page."""
    for name in ("configuration.md", "from-confd.md"):
        page = (ROOT / "docs" / name).read_text()
        headings = {
            re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.*)$", page, re.MULTILINE)
        }
        for target in re.findall(r"\]\(([^)]+)\)", page):
            path, _, anchor = target.partition("#")
            if path:
                assert path.startswith("https://") or (ROOT / "docs" / path).exists(), target
            else:
                assert anchor in headings, target


#: Of classic confd and of its fork, as their programs print them.
CONFD = [
    "app-id",
    "auth-token",
    "auth-type",
    "backend",
    "basic-auth",
    "client-ca-keys",
    "client-cert",
    "client-insecure",
    "client-key",
    "confdir",
    "config-file",
    "file",
    "filter",
    "interval",
    "keep-stage-file",
    "log-level",
    "node",
    "noop",
    "onetime",
    "password",
    "path",
    "prefix",
    "role-id",
    "scheme",
    "secret-id",
    "separator",
    "srv-domain",
    "srv-record",
    "sync-only",
    "table",
    "user-id",
    "username",
    "version",
    "watch",
]
FORK = [
    "n",
    "acm-export-private-key",
    "backend-timeout",
    "batch-interval",
    "check-cmd-timeout",
    "check-config",
    "color",
    "debounce",
    "dial-timeout",
    "diff",
    "diff-context",
    "failure-mode",
    "imds-cache-ttl",
    "log-format",
    "metrics-addr",
    "mock-data",
    "preflight",
    "preflight-timeout",
    "read-timeout",
    "reload-cmd-timeout",
    "resource",
    "retry-base-delay",
    "retry-max-attempts",
    "retry-max-delay",
    "secretsmanager-no-flatten",
    "secretsmanager-version-stage",
    "shutdown-timeout",
    "stat-cache-ttl",
    "systemd-notify",
    "template-cache",
    "validate",
    "watch-error-backoff",
    "watchdog-interval",
    "write-timeout",
]


def confd_rows() -> dict[str, str]:
    """Option of confd -> what the page says pyconfd does with it."""
    page = (ROOT / "docs" / "from-confd.md").read_text()
    table = page[page.index("<!-- confd's options -->") : page.index("<!-- end of confd's opt")]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| `")]
    return {name: row[1] for row in rows for name in re.findall(r"`--?([a-z-]+)`", row[0])}


def test_every_option_of_both_confds_is_in_the_page_for_their_users() -> None:
    """And in no other row than one."""
    assert {*CONFD, *FORK, *REFUSED} == set(confd_rows())


@pytest.mark.parametrize("name", sorted({*CONFD, *FORK} - {"version"}))
def test_the_page_says_what_becomes_of_an_option_of_confd(name: str) -> None:
    """In a tree of the program that has it: taken as the same, without effect, or refused."""
    said = confd_rows()[name]
    compat = "confd" if name in CONFD else "confd-fork"
    flags = {option.name for option in OPTIONS if option.kind == "flag"}
    is_flag = FOREIGN[name].flag if name in FOREIGN else name in flags
    values = {"failure-mode": "best-effort", "scheme": "https", "log-level": "warn"}
    value = values.get(name, {"log-format": "json"}.get(name, "7"))
    words = [f"-{name}"] if is_flag else [f"-{name}", f"h:{value}" if name == "n" else value]
    words = ["-metrics-addr", ":9100"] if name == "metrics-addr" else words
    more = {"client-cert": ["-client-key", "x"], "client-key": ["-client-cert", "x"]}.get(name, [])
    more += ["-username", "u"] if name == "password" else []
    more += ["-noop"] if name == "diff" else []
    argv = ["-compat", compat, *words, *more]
    if said == "refused":
        with pytest.raises(SettingsError, match="not an option of pyconfd"):
            load_settings(argv, {})
    else:
        less = [] if name in ("client-cert", "client-key") else more
        before, after = load_settings(argv[:2] + less, {}), load_settings(argv, {})
        assert (before == after) == ("no effect" in said)
