"""Groups, checks in the context of nginx, and one destination for each key."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from pyconfd.config.resources import load_resources
from pyconfd.config.settings import load_settings
from pyconfd.errors import ResourceError
from pyconfd.model.resources import Command, Nginx, Resource

Write = Callable[[str, str], None]
Add = Callable[..., None]
Load = Callable[..., tuple[dict[str, Resource], list[str]]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "a.j2").touch()

    def write(name: str, text: str) -> None:
        (tmp_path / "conf.d" / f"{name}.toml").write_text(textwrap.dedent(text))

    return write


@pytest.fixture
def add(write: Write) -> Add:
    def add(name: str, more: str = "") -> None:
        write(name, f'[template]\nsrc = "a.j2"\ndest = "/x/{name}"\nkeys = ["/a"]\n{more}')

    return add


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(*argv: str) -> tuple[dict[str, Resource], list[str]]:
        """Good resources by name in their order, and faults without the folder."""
        try:
            found = load_resources(str(tmp_path), load_settings(argv, {}))
        except ResourceError as error:
            return {}, [str(fault).replace(f"{tmp_path}/", "") for fault in error.faults]
        faults = [str(fault).replace(f"{tmp_path}/", "") for fault in found.faults]
        return {resource.name: resource for resource in found.resources}, faults

    return load


def test_a_check_in_nginx_brings_its_usual_company(add: Add, load: Load) -> None:
    """Values are judged as nginx reads them, a reload is confirmed, a second between two."""
    add("www", 'check = "nginx"\nreload_cmd = "nginx -s reload"\n')
    resources, faults = load()
    assert not faults
    www = resources["www"]
    assert www.nginx == Nginx(conf="/etc/nginx/nginx.conf", binary="nginx", prefix="")
    assert (www.format, www.confirm, www.min_reload_interval_s) == ("nginx", True, 1.0)
    assert www.on_reload_failure == "keep"


def test_the_company_can_be_sent_away(add: Add, load: Load) -> None:
    """Each by its own key."""
    add(
        "www",
        'check = "nginx"\nnginx_conf = "/opt/n.conf"\nnginx_bin = "/opt/nginx"\n'
        'nginx_prefix = "/opt"\nreload_cmd = "r"\nformat = ""\nconfirm = false\n'
        'min_reload_interval = 0\non_reload_failure = "revert"\n',
    )
    www = load()[0]["www"]
    assert www.nginx == Nginx(conf="/opt/n.conf", binary="/opt/nginx", prefix="/opt")
    assert (www.format, www.confirm, www.min_reload_interval_s) == ("", False, 0.0)
    assert www.on_reload_failure == "revert"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('check = "apache"', "check 'apache' is not known (a command goes into check_cmd)"),
        ('nginx_conf = "/x"', 'nginx_conf is of use with check = "nginx" only'),
        (
            'check = "nginx"\nnginx_conf = "x"',
            "nginx_conf is not an absolute path: x",
        ),
        ("confirm = true", 'confirm is of use with check = "nginx" only'),
        (
            'on_reload_failure = "retry"',
            'on_reload_failure \'retry\' is not known (write "keep" or "revert")',
        ),
        ('each = "/b"', "dest holds no {name} (each name below `each` is put in its place)"),
    ],
    ids=["check", "alone", "relative", "confirm", "failure", "each"],
)
def test_what_does_not_go_together_is_said(add: Add, load: Load, lines: str, said: str) -> None:
    """With its line."""
    add("www", lines)
    place, _, what = load()[1][0].partition(": ")
    assert what == said
    assert place.startswith("conf.d/www.toml:")


def test_one_destination_for_each_key(write: Write, load: Load) -> None:
    """`each` is below the keys, and dest says where the name goes."""
    table = '[template]\nsrc = "a.j2"\nkeys = ["{}"]\ndest = "{}"\neach = "{}"\n'
    write("good", table.format("/nginx", "/x/{name}.conf", "nginx/"))
    write("outside", table.format("/nginx/a", "/y/{name}.conf", "/nginx"))
    write("unsaid", table.format("/nginx", "/z/{name}.conf", ""))
    resources, faults = load()
    assert resources["good"].each == "/nginx"
    assert resources["good"].for_item("www").dest == "/x/www.conf"
    assert faults == [
        "conf.d/outside.toml:5: each is not below one of the keys: /nginx",
        'conf.d/unsaid.toml:4: dest holds {name} without each (write each = "/...")',
    ]


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
        ("[group.web]", '1: group web has no resources (write resources = ["...", "..."])'),
        ('[group.web]\nresources = ["a", "bb"]', "2: no resource is called bb (did you mean b?)"),
        (
            '[group.web]\nresources = ["a", "b"]\nreload = "x"',
            "3: unknown key: reload (did you mean reload_cmd?)",
        ),
        (
            '[group.web]\nresources = ["a", "b"]\nreload_cmd = "x {{ dest }}"',
            "3: the reload_cmd of a group cannot name a single file (it is told once for all of "
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
    ids=["empty", "name", "key", "dest", "reloads", "twice", "member", "type"],
)
def test_faults_of_groups_have_their_line(
    add: Add, write: Write, load: Load, group: str, said: str
) -> None:
    """And a group that is not whole is not done at all."""
    add("a")
    add("b")
    add("own", 'reload_cmd = "own"\n')
    add("broken", "mode = 1\n")
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
