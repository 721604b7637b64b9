"""Groups: their words, their members, and what is wrong between them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pyconfd.model.resources import Command, Nginx, Resource

Write = Callable[[str, str], None]
Add = Callable[..., None]
Load = Callable[..., tuple[dict[str, Resource], list[str]]]


def test_a_group_says_what_its_members_share_and_in_which_order(
    add: Add, write: Write, load: Load
) -> None:
    """Members come next to each other where the first of them was; others are where they were."""
    add("0")
    add("a", "hold_min = 3\nhold_max = 5\n")
    add("b")
    add("c")
    add("z", 'reload_cmd = "other"\n')
    write(
        "web",
        """\
        [group.web]
        resources = ["c", "a"]
        check = "nginx"
        reload_cmd = "nginx -s reload"
        reload_cmd_timeout = "5s"
        debounce = 3
        """,
    )
    resources, faults = load()
    assert not faults
    assert list(resources) == ["0", "c", "a", "b", "z"]
    assert {name: each.group for name, each in resources.items()} == {
        "0": "", "c": "web", "a": "web", "b": "", "z": "",
    }  # fmt: skip
    assert resources["c"].reload == resources["a"].reload == Command("nginx -s reload", 5.0)
    assert resources["c"].service == resources["a"].service
    assert (resources["c"].hold_min_s, resources["a"].hold_min_s) == (3.0, 3.0)
    assert (resources["c"].hold_max_s, resources["a"].hold_max_s) == (10.0, 5.0)
    assert resources["c"].nginx == resources["a"].nginx == Nginx()
    assert (resources["c"].format, resources["z"].format) == ("nginx", "")


@pytest.mark.parametrize(
    ("group", "said"),
    [
        (
            '[group.web]\nresources = ["a", "b", "a"]',
            "2: a is named twice",
        ),
        (
            '[group."a/b"]\nresources = ["a"]',
            "1: a group cannot be called 'a/b' (use letters, digits, _ - .)",
        ),
        (
            '[group.own]\nresources = ["a"]',
            "1: a resource outside of group own has the same name (call the group something else)",
        ),
        (
            '[group.web]\nresources = ["a", "other"]',
            "1: the resources of group web have different values of on_reload_failure (write "
            "on_reload_failure once, in the group)",
        ),
        (
            '[group.web]\nresources = ["a"]\ncheck = "ngnix"',
            "3: check 'ngnix' is not known (did you mean nginx?)",
        ),
        (
            '[group.web]\nresources = ["a"]\nnginx_conf = "/x"',
            '3: nginx_conf is of use with check = "nginx" only',
        ),
        ("[group.web]", '1: group web has no resources (write resources = ["...", "..."])'),
        ('[group.web]\nresources = ["a", "bb"]', "2: no resource is called bb (did you mean b?)"),
        (
            '[group.web]\nresources = ["a", "b"]\nreload = "x"',
            "3: unknown key: reload (did you mean reload_cmd?)",
        ),
        (
            '[group.web]\nresources = ["a", "b"]\nreload_cmd = "x {{ dest }}"',
            "3: the reload_cmd of a group cannot name a single file (it is run once for all of "
            "them)",
        ),
        (
            '[group.web]\nresources = ["a", "b", "own"]',
            "1: the resources of group web have different reload commands (write reload_cmd once, "
            "in the group)",
        ),
        (
            '[group.web]\nresources = ["a", "b"]\n[group.more]\nresources = ["b"]',
            "4: b is a member of group web already: conf.d/web.toml:1 (neither group is done)",
        ),
        (
            '[group.web]\nresources = ["a", "broken"]',
            "2: broken is faulty, so nothing of group web is done",
        ),
        ("group = 3", "1: group is not a table (write [group.NAME])"),
    ],
)
def test_faults_of_groups_have_their_line(
    add: Add, write: Write, load: Load, group: str, said: str
) -> None:
    """And a group that is not whole is not done at all."""
    add("a")
    add("b")
    add("own", 'reload_cmd = "own"\n')
    add("broken", "mode = 1\n")
    add("other", 'on_reload_failure = "revert"\n')
    write("web", group)
    resources, faults = load()
    assert f"conf.d/web.toml:{said}" in faults
    assert len(faults) == 2, "that of the broken resource, and this one"
    if "resources" in group:
        assert "a" not in resources


def test_a_bad_value_in_a_group_is_one_fault(add: Add, write: Write, load: Load) -> None:
    """And not one for each member."""
    add("a")
    add("b")
    write("web", '[group.web]\nresources = ["a", "b"]\nhold_min = "soon"\n')
    resources, faults = load()
    assert not resources
    assert len(faults) == 1
    assert faults[0].startswith("conf.d/web.toml:3: hold_min: 'soon' is not a duration")


def test_one_resource_of_a_broken_group_cannot_be_asked_for(
    add: Add, write: Write, load: Load
) -> None:
    """The group's fault says why; faults of other groups do not matter."""
    add("a")
    add("b")
    add("c")
    write("web", '[group.web]\nresources = ["a", "nope"]\n[group.other]\nresources = []\n')
    assert load("--resource", "a")[1] == ["conf.d/web.toml:2: no resource is called nope"]
    assert list(load("--resource", "c")[0]) == ["c"]
    assert not load("--resource", "c")[1]


@pytest.mark.parametrize(
    ("key", "group", "member"),
    [
        ("check", '"nginx"', '""'),
        ("nginx_conf", '"/a.conf"', '"/b.conf"'),
        ("nginx_bin", '"nginx"', '"/opt/nginx"'),
        ("nginx_prefix", '"/a"', '"/b"'),
        ("confirm", "true", "false"),
        ("reload_cmd", '"r"', '"s"'),
        ("reload_cmd_timeout", "1", "2"),
        ("on_reload_failure", '"keep"', '"revert"'),
        ("min_reload_interval", "1", "2"),
        ("hold_min", "1", "2"),
        ("hold_max", "1", "2"),
        ("debounce", "1", "2"),
        ("format", '"nginx"', '""'),
        ("min_keys", "1", "2"),
        ("max_shrink", "0.1", "0.2"),
        ("require", '["/a"]', '["/b"]'),
        ("allow_empty", "true", "false"),
        ("guard_timeout", "1", "2"),
    ],
)
def test_a_member_cannot_say_something_else(
    add: Add, write: Write, load: Load, key: str, group: str, member: str
) -> None:
    """Every key of a group holds for all its members; to say the same again is no fault."""
    check = "" if key == "check" else 'check = "nginx"\n'
    write("web", f'[group.web]\nresources = ["a", "b"]\n{check}{key} = {group}\n')
    add("b")
    add("a", f"{key} = {group}\n")
    resources, faults = load()
    assert list(resources) == ["a", "b"]
    assert not faults
    add("a", f"{key} = {member}\n")
    resources, faults = load()
    assert not resources
    line = 3 if key == "check" else 4
    assert (
        f"conf.d/a.toml:5: {key} is something else for the group: conf.d/web.toml:{line} "
        "(what a group says holds for all its members)"
    ) in faults


def test_two_names_of_one_key_are_one_in_a_group_too(add: Add, write: Write, load: Load) -> None:
    """hold_min of the group against debounce of a member."""
    write("web", '[group.web]\nresources = ["a"]\nhold_min = 1\n')
    add("a", "debounce = 1\n")
    assert load()[0]["a"].hold_min_s == 1.0
    add("a", "debounce = 2\n")
    assert load()[1][0].startswith("conf.d/a.toml:5: debounce is something else for the group")


def test_faults_between_a_group_and_its_member_are_the_groups(
    add: Add, write: Write, load: Load
) -> None:
    """What the group says is read again with the words of the member."""
    write("web", '[group.web]\nresources = ["a"]\nhold_max = 1\n')
    add("a", "hold_min = 2\n")
    assert load() == ({}, ["conf.d/web.toml:3: hold_max is less than hold_min"])


def test_a_member_with_a_file_for_each_key_is_refused(add: Add, write: Write, load: Load) -> None:
    """A group is a fixed list of files."""
    write("web", '[group.web]\nresources = ["{name}"]\n')
    add("{name}", 'each = "/a"\n')
    assert load()[1] == [
        "conf.d/{name}.toml:5: a resource with each cannot be a member of a group: web "
        "(take it out of the group)",
        "conf.d/web.toml:2: {name} is faulty, so nothing of group web is done",
    ]


def test_a_group_may_stand_with_its_members_and_name_their_file(write: Write, load: Load) -> None:
    """`web.toml` means all resources of the file, as with --resource."""
    table = '[[template]]\nsrc = "a.j2"\ndest = "/x/{}"\nkeys = []\n'
    group = '[group.web]\nresources = ["web.toml"]\nreload_cmd = "r"\n'
    write("web", group + table.format(1) + table.format(2))
    resources, faults = load()
    assert not faults
    assert [(one.name, one.group) for one in resources.values()] == [
        ("web", "web"),
        ("web#2", "web"),
    ]


def test_asking_for_one_member_means_its_group(add: Add, write: Write, load: Load) -> None:
    """By the name of the member, or by the file that holds the group."""
    for name in "abc":
        add(name)
    write("sets", '[group.web]\nresources = ["b", "a"]\n')
    assert list(load("--resource", "a")[0]) == ["b", "a"]
    assert list(load("--resource", "sets.toml")[0]) == ["b", "a"]
    assert list(load("--resource", "c")[0]) == ["c"]


def test_two_groups_of_one_name_are_both_refused(add: Add, write: Write, load: Load) -> None:
    """Whichever of them is meant."""
    add("a")
    add("b")
    write("one", '[group.web]\nresources = ["a"]\n')
    write("two", '[group.web]\nresources = ["b"]\n')
    assert load() == (
        {},
        [
            "conf.d/two.toml:1: there is a group web already: conf.d/one.toml:1 (neither is done)",
        ],
    )


@pytest.mark.parametrize(
    "text",
    [
        '[gruop.web]\nresources = ["a", "b"]',
        '[[group]]\nresources = ["a", "b"]',
        '[group]\nresources = ["a", "b"]',
        '[group.web]\nresorces = ["a", "b"]',
        '[group.web.more]\nresources = ["a", "b"]',
        '[group.web]\nresources = ["a", "b"',
    ],
    ids=["table", "list", "unnamed", "key", "deep", "broken"],
)
def test_no_member_is_done_alone_when_its_group_is_not_understood(
    add: Add, write: Write, load: Load, text: str
) -> None:
    """It would go live without the check that only the group knows."""
    for name in "abc":
        add(name)
    write("web", text)
    resources, faults = load()
    assert list(resources) == ["c"]
    assert len(faults) >= 2
    assert any("so none of these is done: a, b" in fault for fault in faults)
    assert all(fault.startswith("conf.d/web.toml") for fault in faults)
