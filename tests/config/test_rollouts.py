"""[service.NAME.rollout]: what it says, and every fault with its line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pyconfd.config.settings import load_settings
from pyconfd.errors import SettingsError
from pyconfd.model.resources import Command, Resource, Rollout

Write = Callable[[str, str], None]
Add = Callable[..., None]
Load = Callable[..., tuple[dict[str, Resource], list[str]]]


def rollout(add: Add, write: Write, text: str) -> None:
    add("a", 'service = "web"\n')
    add("b", 'service = "web"\nprefix = "/b"\n')
    write("web", f'[service.web]\nreload_cmd = "r"\n[service.web.rollout]\n{text}')


def test_it_holds_for_all_resources_of_the_service(add: Add, write: Write, load: Load) -> None:
    rollout(
        add,
        write,
        """\
        keys = ["/a/settings", "b/a"]
        max_parallel = "25%"
        canary = ["web1", "web2"]
        pause = "1m"
        verify_cmd = "probe"
        timeout = 20
        on_failure = "halt"
        """,
    )
    resources, faults = load()
    assert not faults
    wanted = Rollout(
        keys=("/a/settings", "/b/a"),
        max_parallel=0.25,
        canaries=frozenset(("web1", "web2")),
        pause_s=60.0,
        verify=Command("probe", 30.0),
        timeout_s=20.0,
    )
    assert [resources[name].service.rollout for name in "ab"] == [wanted] * 2


def test_without_keys_all_that_is_read_is_gated(add: Add, write: Write, load: Load) -> None:
    """One node at a time."""
    rollout(add, write, "canary = 2\n")
    assert load()[0]["a"].service.rollout == Rollout(
        keys=("/a", "/b/a"), canary_count=2, timeout_s=300.0
    )


def test_a_verify_cmd_has_a_pause(add: Add, write: Write, load: Load) -> None:
    rollout(add, write, 'verify_cmd = "probe"\n')
    found = load()[0]["a"].service.rollout
    assert found
    assert found.pause_s == 10.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("keys = []", "web.toml:4: the rollout gates nothing: keys is empty"),
        ('keys = ["/c"]', "web.toml:4: the rollout gates nothing with /c: no resource of"),
        ('keys = "/a"', "web.toml:4: keys is not a list of strings"),
        ("max_parallel = 0", "web.toml:4: max_parallel is neither a number of nodes nor a share"),
        ("max_parallel = 1.5", "web.toml:4: max_parallel is neither"),
        ('max_parallel = "many"', "web.toml:4: max_parallel is neither"),
        ('canary = ["a/b"]', "web.toml:4: canary is neither a list of node names nor a number"),
        ("canary = 0", "web.toml:4: canary is not a whole number of 1 or more"),
        ("canary = []", "web.toml:4: canary is neither"),
        ('on_failure = "go on"', "web.toml:4: on_failure 'go on' is not known"),
        ('verify_cmd = "x"\npause = 0', "web.toml:5: verify_cmd has no time"),
        ('verify_cmd = "x {{ dest }}"', "web.toml:4: verify_cmd cannot name a single file"),
        ("timeout = 0", "web.toml:4: timeout: must be above 0"),
        ('paus = "1s"', "web.toml:4: unknown key: paus"),
    ],
)
def test_every_fault_has_its_line(
    add: Add, write: Write, load: Load, text: str, words: str
) -> None:
    """And the resources of the service are left out: they would not be gated."""
    add("c")
    rollout(add, write, text)
    resources, faults = load()
    assert any(words in fault for fault in faults), faults
    assert list(resources) == ["c"]


def test_one_that_is_no_table_is_a_fault(add: Add, write: Write, load: Load) -> None:
    add("a", 'service = "web"\n')
    add("c")
    write("web", '[service.web]\nreload_cmd = "r"\nrollout = 1\n')
    resources, faults = load()
    assert "web.toml:3: rollout is not a table" in faults[0]
    assert list(resources) == ["c"]


def test_a_service_without_keys_gates_nothing(add: Add, write: Write, load: Load) -> None:
    add("c")
    write("a", '[template]\nsrc = "a.j2"\ndest = "/x/a"\nkeys = []\nservice = "web"\n')
    write("web", '[service.web]\nreload_cmd = "r"\n[service.web.rollout]\n')
    _, faults = load()
    assert "web.toml:3: the rollout gates nothing" in faults[0]


def test_the_fleets_own_keys_cannot_be_gated(add: Add, write: Write, load: Load) -> None:
    """Each turn would be a change that asks for turns."""
    add("c")
    write("a", '[template]\nsrc = "a.j2"\ndest = "/x/a"\nkeys = ["/"]\nservice = "web"\n')
    write("web", '[service.web]\nreload_cmd = "r"\n[service.web.rollout]\n')
    resources, faults = load()
    assert "web.toml:3: the rollout gates /pyconfd/fleets, where the nodes" in faults[0]
    assert list(resources) == ["c"]


@pytest.mark.parametrize("name", ["a/b", "", "a b", "ü"])
def test_a_fleet_is_a_part_of_a_key(name: str) -> None:
    """An empty name means none."""
    if not name:
        assert load_settings(["--fleet", name], {}).fleet == ""
        return
    with pytest.raises(SettingsError, match="is no name of a fleet"):
        load_settings(["--fleet", name], {})
