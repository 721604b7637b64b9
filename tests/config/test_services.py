"""[service.NAME]: one place for how a service is reloaded, and every fault with its line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pyconfd.model.resources import Command, Confirm, Resource, Service

Write = Callable[[str, str], None]
Add = Callable[..., None]
Load = Callable[..., tuple[dict[str, Resource], list[str]]]

EDGE = '[service.edge]\nreload_cmd = "reload edge"\n'


def test_its_resources_are_reloaded_as_it_says(add: Add, write: Write, load: Load) -> None:
    """In any file, also one that is read later; the group's members too."""
    add("a", 'service = "edge"\n')
    add("b")
    add("c")
    add("z", 'reload_cmd = "reload edge"\n')
    write("g", '[group.web]\nresources = ["b", "c"]\nservice = "edge"\n')
    write(
        "services",
        """\
        [service.edge]
        reload_cmd = "reload edge"
        reload_cmd_timeout = "7s"
        confirm_cmd = "probe"
        confirm_timeout = "3s"
        min_reload_interval = "2s"
        on_reload_failure = "revert"
        """,
    )
    resources, faults = load()
    assert not faults
    edge = Service(
        name="edge",
        reload=Command("reload edge", 7.0),
        confirm=Confirm(command="probe", timeout_s=3.0),
        on_reload_failure="revert",
        min_reload_interval_s=2.0,
    )
    assert [resources[name].service for name in "abc"] == [edge] * 3
    names = {name: one.service_name for name, one in resources.items()}
    assert names == {"a": "edge", "b": "edge", "c": "edge", "z": "reload edge"}


def test_a_corrected_command_is_the_same_service(add: Add, write: Write, load: Load) -> None:
    """It goes by its name."""
    add("a", 'service = "edge"\n')
    names = []
    for command in ("reload egde", "reload edge"):
        write("services", f'[service.edge]\nreload_cmd = "{command}"\n')
        names.append(load()[0]["a"].service_name)
    assert names == ["edge", "edge"]


def test_files_that_nginx_checks_have_their_defaults(add: Add, write: Write, load: Load) -> None:
    """The reload command of nginx, confirmed by a new worker, once in a second."""
    add("a", 'service = "edge"\ncheck = "nginx"\n')
    write("services", "[service.edge]\n")
    resources, faults = load()
    assert not faults
    edge = resources["a"].service
    assert edge == Service(
        name="edge",
        reload=Command("nginx -s reload", 60.0),
        confirm=Confirm(by="nginx"),
        min_reload_interval_s=1.0,
    )


@pytest.mark.parametrize(
    ("a", "services", "said"),
    [
        (
            'service = "edge"\nreload_cmd = "x"',
            EDGE,
            "a.toml:6: reload_cmd is a matter of service edge: conf.d/s.toml:2 (leave it out here, "
            "or move it to [service.edge])",
        ),
        (
            'service = "edge"\nmin_reload_interval = 1',
            EDGE,
            "a.toml:6: min_reload_interval is a matter of service edge: conf.d/s.toml:1 (leave it "
            "out here, or move it to [service.edge])",
        ),
        (
            'service = "egde"',
            EDGE,
            "a.toml:5: no service is called egde (did you mean edge?)",
        ),
        (
            'service = "backend"',
            EDGE,
            "a.toml:5: no service is called backend (write a table [service.backend])",
        ),
        ("service = 3", EDGE, 'a.toml:5: service is not text (write service = "...")'),
        (
            "",
            EDGE,
            's.toml:1: no resource belongs to service edge (write service = "edge" in a [template]'
            " or [group.NAME] table)",
        ),
        (
            'service = "edge"',
            '[service.edge]\nreload = "x"\n',
            "s.toml:2: unknown key: reload (did you mean reload_cmd?)",
        ),
        ('service = "edge"', "[service.edge]\n", "s.toml:1: service edge has no reload_cmd"),
        (
            'service = "edge"',
            '[service.edge]\nreload_cmd = "x {{ dest }}"\n',
            "s.toml:2: the reload_cmd of a service cannot name a single file (it is run once for "
            "all of them)",
        ),
        (
            'service = "edge"',
            f'{EDGE}on_reload_failure = "x"\n',
            's.toml:3: on_reload_failure \'x\' is not known (write "keep" or "revert")',
        ),
        (
            'service = "e/e"',
            '[service."e/e"]\nreload_cmd = "x"\n',
            "s.toml:1: a service cannot be called 'e/e' (use letters, digits, _ - .)",
        ),
        (
            'reload_cmd = "edge"',
            '[service.edge]\nreload_cmd = "x"\n',
            "s.toml:1: a resource has a reload_cmd with the name of this service: conf.d/a.toml:1 "
            '(write service = "edge" there, or call the service something else)',
        ),
        (
            "",
            'service = "edge"\n',
            "s.toml:1: service is not a table (write [service.NAME], or move it into a [template] "
            "or [group.NAME] table)",
        ),
        (
            "",
            '[service]\nreload_cmd = "x"\n',
            "s.toml:1: reload_cmd stands in no service (write [service.NAME] above reload_cmd)",
        ),
        (
            "",
            '[sevice.edge]\nreload_cmd = "x"\n',
            "s.toml:1: unknown key or table: sevice (did you mean service?)",
        ),
    ],
)
def test_faults_of_services_have_their_line(
    add: Add, write: Write, load: Load, a: str, services: str, said: str
) -> None:
    """And a resource whose service is not clear is not done; its neighbours are."""
    add("a", f"{a}\n")
    add("other")
    write("s", services)
    resources, faults = load()
    assert f"conf.d/{said}" in faults
    assert set(resources) == ({"a", "other"} if not a else {"other"})


def test_two_tables_of_one_name_are_a_fault_of_both(add: Add, write: Write, load: Load) -> None:
    """Either may be the right one, so neither is used."""
    add("a", 'service = "edge"\n')
    add("other")
    write("s", EDGE)
    write("t", EDGE)
    resources, faults = load()
    assert set(resources) == {"other"}
    assert faults == [
        "conf.d/s.toml:1: there is a service edge already: conf.d/t.toml:1 (neither is used)",
        "conf.d/t.toml:1: there is a service edge already: conf.d/s.toml:1 (neither is used)",
    ]


@pytest.mark.parametrize(
    ("group", "member", "said"),
    [
        (
            'service = "edge"\nreload_cmd = "x"',
            "",
            "g.toml:4: reload_cmd is a matter of service edge: conf.d/s.toml:2 (leave it out here, "
            "or move it to [service.edge])",
        ),
        (
            'service = "edge"',
            'reload_cmd = "x"',
            "a.toml:5: reload_cmd is a matter of service edge: conf.d/s.toml:2 (leave it out here, "
            "or move it to [service.edge])",
        ),
        (
            "",
            'service = "edge"',
            "g.toml:1: the resources of group web have different services (write service once, in "
            "the group)",
        ),
        ('service = "egde"', "", "g.toml:3: no service is called egde (did you mean edge?)"),
    ],
)
def test_faults_of_groups_with_a_service(
    add: Add, write: Write, load: Load, group: str, member: str, said: str
) -> None:
    """What the group says is the group's fault, and the whole group is not done."""
    add("a", f"{member}\n")
    add("b")
    add("other", 'service = "edge"\n')
    write("s", EDGE)
    write("g", f'[group.web]\nresources = ["a", "b"]\n{group}\n')
    resources, faults = load()
    assert f"conf.d/{said}" in faults
    assert set(resources) == {"other"}


def test_resources_of_one_service_have_one_reload_command(
    add: Add, write: Write, load: Load
) -> None:
    """What each would have by default is not one command."""
    add("a", 'service = "edge"\ncheck = "nginx"\n')
    add("b", 'service = "edge"\n')
    add("other")
    write("s", "[service.edge]\n")
    resources, faults = load()
    assert set(resources) == {"other"}
    assert faults == [
        "conf.d/s.toml:1: the resources of service edge have different reload commands (write "
        "reload_cmd in the table of the service)"
    ]


def test_a_run_for_some_resources_asks_for_their_services_only(
    add: Add, write: Write, load: Load
) -> None:
    """With --resource, what is wrong with another service is not its business."""
    add("a", 'service = "edge"\n')
    add("b", 'service = "wrong"\n')
    write("s", f"{EDGE}[service.wrong]\n[service.unused]\n")
    assert load("--resource", "a") == ({"a": load()[0]["a"]}, [])
    assert load("--resource", "b")[1] == ["conf.d/s.toml:3: service wrong has no reload_cmd"]


def test_a_faulty_resource_leaves_its_service_to_the_others(
    add: Add, write: Write, load: Load
) -> None:
    """Unlike a group, a service is not all or nothing."""
    add("a", 'service = "edge"\nmode = 3\n')
    add("b", 'service = "edge"\n')
    write("s", EDGE)
    resources, faults = load()
    assert set(resources) == {"b"}
    assert len(faults) == 1
