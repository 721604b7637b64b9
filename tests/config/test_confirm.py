"""What proves a reload: which daemon is asked where, which command has to succeed, and by whom."""

from __future__ import annotations

import re
import tomllib

import pytest

from pyconfd.config.daemons import KINDS, daemon_names, load_daemon
from pyconfd.model.resources import Confirm
from tests.config.conftest import Add, Load, Write
from tests.support.repository import ROOT

RELOAD = 'reload_cmd = "r"\n'


@pytest.mark.parametrize(
    ("lines", "confirm"),
    [
        ("", None),
        ("confirm = false", None),
        (
            'confirm = { by = "apache", at = "http://127.0.0.1/server-status?auto" }',
            Confirm(by="apache", at="http://127.0.0.1/server-status?auto"),
        ),
        (
            'confirm = { by = "keepalived", at = "/m", log = "/l", pid = "/p" }',
            Confirm(by="keepalived", at="/m", log="/l", pid="/p"),
        ),
        (
            'confirm = { by = "haproxy", at = "/run/m.sock", log = "/l" }\nconfirm_timeout = "3s"',
            Confirm(by="haproxy", at="/run/m.sock", log="/l", timeout_s=3.0),
        ),
        ('confirm_cmd = "probe {{ dest }}"', Confirm(command="probe {{ dest }}")),
        (
            'confirm = { by = "nginx", at = "/run/n.pid" }\nconfirm_cmd = "p"',
            Confirm(by="nginx", at="/run/n.pid", command="p"),
        ),
        ('check = "nginx"\nconfirm_cmd = "p"', Confirm(by="nginx", command="p")),
        ('check = "nginx"\nconfirm = false\nconfirm_cmd = "p"', Confirm(command="p")),
    ],
)
def test_what_is_asked(add: Add, load: Load, lines: str, confirm: Confirm | None) -> None:
    """A daemon, a command, both or none."""
    add("www", f"{RELOAD}{lines}\n")
    resources, faults = load()
    assert not faults
    assert resources["www"].service.confirm == confirm


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            "confirm = true",
            'confirm = true is of use with check = "nginx" only '
            '(write confirm = { by = "...", at = "..." })',
        ),
        (
            'confirm = "no"',
            "confirm is neither true, false nor a table "
            '(write confirm = { by = "...", at = "..." })',
        ),
        (
            'confirm = { by = "apach", at = "http://a/" }',
            "confirm: by 'apach' is not known "
            "(did you mean apache?; for others there is confirm_cmd)",
        ),
        (
            'confirm = { at = "/x" }',
            "confirm: by is missing (there are apache, haproxy, keepalived, nginx; "
            "for others there is confirm_cmd)",
        ),
        (
            'confirm = { by = "apache", at = "/x" }',
            "confirm: at is not a URL: /x (it is the URL of /server-status?auto)",
        ),
        (
            'confirm = { by = "haproxy", at = "m.sock" }',
            "confirm: at is not an absolute path: m.sock "
            "(it is the socket of the master (haproxy -S))",
        ),
        (
            'confirm = { by = "keepalived" }',
            "confirm: at is missing (it is the file of reload_file)",
        ),
        (
            'confirm = { by = "haproxy", at = "/x", pid = "/p" }',
            "confirm: pid is of no use by haproxy (leave it out)",
        ),
        (
            'confirm = { by = "nginx", at = "/x", lgo = "/l" }',
            "confirm: unknown key: lgo (did you mean log?)",
        ),
        (
            'confirm = { by = "nginx", at = "/x", log = "l" }',
            "confirm: log is not an absolute path: l",
        ),
        (
            'confirm = { by = "nginx", at = 1 }',
            'confirm: by, at, log and pid are texts (write confirm = { by = "...", at = "..." })',
        ),
        ("confirm_cmd = 1", 'confirm_cmd is not text (write confirm_cmd = "...")'),
        ("confirm_timeout = 3", "confirm_timeout is of use with confirm or confirm_cmd only"),
        ('confirm_cmd = "x"\nconfirm_timeout = 0', "confirm_timeout: must be above 0"),
    ],
)
def test_faults_are_said_with_their_line(add: Add, load: Load, lines: str, said: str) -> None:
    """One for each."""
    add("www", f"{RELOAD}{lines}\n")
    (fault,) = load()[1]
    place, _, what = fault.partition(": ")
    assert what == said
    assert re.fullmatch(r"conf\.d/www\.toml:[67]", place)


@pytest.mark.parametrize("key", ["confirm_cmd", "confirm"])
def test_what_is_never_reloaded_cannot_be_confirmed(key: str, add: Add, load: Load) -> None:
    """There is nothing to believe."""
    value = {"confirm_cmd": '"x"', "confirm": '{ by = "nginx", at = "/x" }'}[key]
    add("www", f"{key} = {value}\n")
    assert load()[1] == [f"conf.d/www.toml:5: {key} is of use with a reload_cmd only"]


def test_resources_of_one_reload_command_confirm_alike(add: Add, load: Load) -> None:
    """One that says nothing goes with the others; two ways are a fault, and neither is done."""
    add("a", f'{RELOAD}confirm_cmd = "x"\n')
    add("b", RELOAD)
    add("c", f'{RELOAD}confirm_cmd = "x"\n')
    resources, faults = load()
    assert [*resources] == ["a", "b", "c"]
    assert not faults
    add("c", f'{RELOAD}confirm_cmd = "y"\n')
    resources, faults = load()
    assert [*resources] == ["b"]
    assert faults == [
        "conf.d/c.toml:1: reloads are confirmed otherwise at conf.d/a.toml:1, for the same "
        "reload_cmd (write the same for all resources of one reload_cmd; neither is done)"
    ]


def test_a_command_that_names_the_destination_is_another_for_each(add: Add, load: Load) -> None:
    """Which of the two would be asked for the one reload?"""
    add("a", f'{RELOAD}confirm_cmd = "x {{{{ dest }}}}"\n')
    add("b", f'{RELOAD}confirm_cmd = "x {{{{ dest }}}}"\n')
    assert len(load()[1]) == 1


def test_a_group_says_it_for_all_and_names_no_file(add: Add, write: Write, load: Load) -> None:
    """It is told once."""
    add("a")
    add("b")
    group = '[group.g]\nresources = ["a", "b"]\nreload_cmd = "r"\nconfirm_cmd = "{}"\n'
    write("g", group.format("x"))
    resources, faults = load()
    assert not faults
    assert {one.service.confirm for one in resources.values()} == {Confirm(command="x")}
    write("g", group.format("x {{ dest }}"))
    assert (
        "conf.d/g.toml:4: the confirm_cmd of a group cannot name a single file "
        "(it is run once for all of them)"
    ) in load()[1]


def test_each_has_one_command_for_all_its_files(write: Write, load: Load) -> None:
    """As for the reload."""
    write(
        "a",
        '[template]\nsrc = "a.j2"\nkeys = ["/a"]\ndest = "/x/{name}"\neach = "/a"\n'
        'reload_cmd = "r"\nconfirm_cmd = "x {{ dest }}"\n',
    )
    assert load()[1] == [
        "conf.d/a.toml:7: confirm_cmd names one file, and a resource with each has many "
        "(write a command that confirms all of them)"
    ]


@pytest.mark.parametrize("name", daemon_names())
def test_the_data_of_each_daemon_is_whole(name: str) -> None:
    """Regular expressions that compile, with the groups that are read; nothing beside them."""
    daemon = load_daemon(name)
    file = ROOT / "pyconfd" / "recipes" / "daemons" / f"{name}.toml"
    table = tomllib.loads(file.read_text())
    common = {
        "program",
        "instance",
        "transient",
        "kind",
        "at",
        "timeout",
        "refusal",
        "trying",
        "rewritten",
    }
    assert set(table) <= common | set(KINDS[daemon.kind])
    assert "text" in re.compile(daemon.refusal.replace("{pid}", "1")).groupindex
    groups = {"number": 1, "failed": 1}
    for fact, text in daemon.facts.items():
        if fact not in ("ask", "called", "process"):
            assert re.compile(text).groups >= groups.get(fact, 0), fact


def test_no_daemon_is_named_in_the_code_that_asks() -> None:
    """What is known of one stands in its file; nginx alone is known by its check."""
    for path in sorted((ROOT / "pyconfd" / "pipeline").glob("confirm*.py")):
        code = re.sub(r'"""[\s\S]*?"""', "", path.read_text())
        assert not re.search(r"apache|haproxy|keepalived", code), path


def test_the_page_names_every_daemon() -> None:
    """docs/configuration.md, in the table of `by`."""
    page = (ROOT / "docs" / "configuration.md").read_text()
    section = page[page.index("### Confirmed reloads") : page.index("### Services")]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [
        "by",
        "nginx",
        *(name for name in daemon_names() if name != "nginx"),
    ]
