"""What `pyconfd status`, `explain` and `release` print, and their command lines."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pyconfd.backends.base import StoreStatus
from pyconfd.cli import main as cli
from pyconfd.cli import status_page
from pyconfd.cli.commands import explain as explain_command
from pyconfd.cli.commands import status as status_command
from pyconfd.cli.daemon_query import DaemonQuery, read_query
from pyconfd.cli.terminal import Terminal, Tone
from pyconfd.config.options import Option
from pyconfd.status.summary import FileState
from tests.support.repository import ROOT

COMMANDS = ("status", "explain", "release")


def query(
    argv: Sequence[str], environ: Mapping[str, str] | None = None, own: Sequence[Option] = ()
) -> DaemonQuery:
    found = read_query(argv, environ or {}, own=own)
    assert found
    return found


class FakeTty(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


PLAIN = Terminal(io.StringIO(), {})
LIVE = {"revision": 3, "digest": "", "verified_at": "T1", "written_at": "T0"}
WEB: dict[str, Any] = {
    "name": "web", "dest": "/nowhere/web.conf", "group": "", "service": "nginx -s reload",
    "state": "refused", "result": "refused", "since_at": "T2", "retry_s": 42.0, "live": LIVE,
    "trouble": {"kind": "refused", "what": "unexpected end", "words": "a\x1b[2J\nb",
                "revision": 4, "at": "T2"},
}  # fmt: skip
API = {**WEB, "name": "api", "state": "fine", "trouble": None, "retry_s": None, "live": None}
SERVICE: dict[str, Any] = {
    "name": "nginx -s reload", "reloads": True, "running": False, "waiting": [],
    "pending_reload": {"since_at": "T", "for_s": 12.0, "failed_attempts": 3, "next_try_s": 4.0},
    "last_reload": {"at": "T3", "ok": False, "what": "exit status 1", "words": "no pid",
                    "command": "nginx -s reload", "duration_s": 0.1},
    "resources": ["web", "api"],
}  # fmt: skip
PICTURE: dict[str, Any] = {
    "version": "1.0", "pid": 7, "started_at": "T", "confdir": "/etc/pyconfd", "mode": "watch",
    "kind": "refused,pending", "line": "1 refused (web: unexpected end), 1 fine",
    "source": {"name": "etcd", "listed": True, "revision": 4, "watched": ["/a", "/b"],
               "lost": {"cause": "away", "since_at": "T", "for_s": 40.0}},
    "services": [SERVICE], "resources": [API, WEB],
}  # fmt: skip


def test_the_page_begins_with_the_line_and_with_what_is_wrong() -> None:
    """Aligned, without colour where nobody sees it."""
    assert status_page.page(PICTURE, PLAIN) == [
        "1 refused (web: unexpected end), 1 fine",
        "",
        "pyconfd 1.0, process 7, since T, /etc/pyconfd",
        "store etcd, watch: /a, /b, unavailable for 40 s, revision 4",
        "",
        "SERVICE          STATE                                        FILES  LAST RELOAD",
        "nginx -s reload  pending for 12 s, 3 failed, next try in 4 s  2      T3, exit status 1",
        "",
        "RESOURCE  STATE    SINCE  LIVE REVISION  DESTINATION",
        "web       refused  T2     3              /nowhere/web.conf",
        "api       fine     T2     -              /nowhere/web.conf",
        "",
        "web: unexpected end (retried in 42 s)",
        "",
        "nginx -s reload: exit status 1",
        "  its output: pyconfd explain web",
    ]


def test_the_page_ends_with_what_of_the_declared_is_not_in_use() -> None:
    """Every fault, and every edit that waits for SIGHUP."""
    configuration = {
        "faults": ["app.toml:3: unknown key", "a.j2:1: \x1b[2J"],
        "previous_in_use": True,
        "edited_templates": ["a.j2", "b.j2"],
    }
    found = status_page.page({**PICTURE, "configuration": configuration}, PLAIN)
    assert found[-5:] == [
        "the previous configuration stays in use; fix these and send SIGHUP:",
        "app.toml:3: unknown key",
        "a.j2:1: \\x1b[2J",
        "",
        "edited and not loaded yet; SIGHUP loads them: a.j2, b.j2",
    ]


@pytest.mark.parametrize(
    ("change", "text", "tone"),
    [
        ({"pending_reload": None}, "ok", Tone.GOOD),
        ({"pending_reload": None, "running": True}, "running", Tone.WAITING),
        ({"pending_reload": None, "waiting": ["web"]}, "waiting (hold_min)", Tone.WAITING),
        ({"pending_reload": {"for_s": 1.0, "failed_attempts": 0, "next_try_s": 2.0}},
         "due in 2 s", Tone.WAITING),
        ({"pending_reload": {"for_s": 1.0, "failed_attempts": 1, "next_try_s": None}},
         "pending for 1 s, 1 failed, trying now", Tone.BAD),
    ],
)  # fmt: skip
def test_the_state_of_a_service_in_words(change: Mapping[str, Any], text: str, tone: Tone) -> None:
    """What runs, waits or is pending, and its colour."""
    assert status_page.service_state({**SERVICE, **change}) == (text, tone)


def test_the_members_of_etcd_are_a_table() -> None:
    """Alarms and members that do not answer stand out."""
    members = [
        StoreStatus("10.0.0.1:2379", "3.5.9", "a", True, 812, 20_480),
        StoreStatus("10.0.0.2:2379", "3.5.9", "b", False, 812, 12_345_678, ("NOSPACE",)),
        StoreStatus("10.0.0.3:2379", error="no answer"),
    ]
    assert status_page.member_lines(members, PLAIN) == [
        "",
        "ETCD           STATE          MEMBER  VERSION  LEADER  REVISION  SIZE",
        "10.0.0.1:2379  ok             a       3.5.9    leader  812       20 kB",
        "10.0.0.2:2379  alarm NOSPACE  b       3.5.9    -       812       12.3 MB",
        "10.0.0.3:2379  no answer      -       -        -       -         -",
    ]
    assert status_page.member_lines([], PLAIN) == []


def explained(**more: Any) -> dict[str, Any]:
    return {
        **WEB,
        "origin": "web.toml:1",
        "template": "web.j2",
        "check": "nginx -t",
        "reload_command": "nginx -s reload",
        "reload": SERVICE,
        "last_trouble": WEB["trouble"],
        "last_check": {"at": "T3", "ok": False, "duration_s": 0.123},
        "keys": {
            "revision": 5,
            "keys": {"/a": 3, "/no": None},
            "trees": {"/b": {"keys": 1, "newest_revision": 4}},
            "left_out": 0,
        },
        "guard": {"min_keys": 2, "max_shrink": 0.5, "require": ["/x"], "allow_empty": False,
                  "timeout_s": 60.0},
        **more,
    }  # fmt: skip


def test_an_explanation_reads_from_the_state_to_the_reload() -> None:
    """The checker's words are shown without what would move the cursor."""
    source = {"name": "etcd", "revision": 5, "lost": ""}
    assert explain_command.page(explained(), source, PLAIN) == [
        "web: /nowhere/web.conf",
        "  state     refused since T2: unexpected end (revision 4)",
        "            | a\\x1b[2J",
        "            | b",
        "            retried in 42 s, or when its keys change",
        "  live      revision 3, written T0, last verified T1",
        "            the file is gone; the next comparison restores it",
        "  declared  web.toml:1, template web.j2",
        "  keys      store etcd at revision 5",
        "            /a  revision 3",
        "            /no  does not exist",
        "            below /b  1 key, the newest at revision 4",
        "  check     nginx -t",
        "            last: refused T3, 0.12 s",
        "  guard     an emptied store is held back, min_keys = 2, max_shrink = 0.5, require /x, "
        "guard_timeout = 60 s",
        "  reload    nginx -s reload",
        "            state: pending for 12 s, 3 failed, next try in 4 s",
        "            last: T3, exit status 1",
        "            | no pid",
    ]


def test_a_held_change_names_the_command_that_lets_it_through() -> None:
    """The group when there is one."""
    held = explained(state="held", group="edge", trouble=None, live=None)
    text = "\n".join(explain_command.page(held, {"name": "etcd", "lost": "away"}, PLAIN))
    assert "let it through: pyconfd release edge" in text
    assert "the store is unavailable: away" in text
    assert "last trouble: T2, refused: unexpected end" in text


def test_a_file_changed_by_hand_is_reported(tmp_path: Path) -> None:
    """The live file is compared with what was written."""
    path = tmp_path / "web.conf"
    path.write_text("by hand")
    source = {"name": "etcd", "lost": ""}
    text = "\n".join(explain_command.page(explained(dest=str(path)), source, PLAIN))
    assert "changed outside pyconfd" in text


@pytest.mark.parametrize(
    ("stream", "environ", "coloured"),
    [
        (FakeTty(), {}, True),
        (io.StringIO(), {}, False),
        (FakeTty(), {"NO_COLOR": "1"}, False),
        (FakeTty(), {"NO_COLOR": ""}, True),
        (FakeTty(), {"TERM": "dumb"}, False),
    ],
    ids=["terminal", "pipe", "no colour", "empty", "dumb"],
)
def test_colour_is_for_terminals_whose_owner_wants_it(
    stream: io.StringIO, environ: Mapping[str, str], coloured: bool
) -> None:
    """And the columns are the same with and without."""
    lines = Terminal(stream, environ).table([("A", "STATE"), ("x", "refused")], [Tone.BAD])
    assert ("\x1b[31mrefused\x1b[0m" in lines[1]) is coloured
    assert ("\x1b[" in "".join(lines)) is coloured


def test_every_state_has_its_tone() -> None:
    """One that is not known is bad."""
    assert status_page.file_tone("fine") is Tone.GOOD
    assert status_page.file_tone("held") is status_page.file_tone("waiting") is Tone.WAITING
    assert status_page.file_tone("torn") is status_page.file_tone("news") is Tone.BAD
    members = [StoreStatus("a", alarms=("NOSPACE",)), StoreStatus("b", error="no answer")]
    lines = status_page.member_lines(members, Terminal(FakeTty(), {}))
    assert "\x1b[31malarm NOSPACE" in lines[2]
    assert "\x1b[31mno answer" in lines[3]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_what_finds_the_daemon(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without asking anybody."""
    assert cli.main([command, "--help"]) == 0
    page = capsys.readouterr().out
    assert page.startswith(f"usage: pyconfd {command}")
    assert "--confdir" in page
    assert "--state-dir" in page


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (["status", "x"], 2, "x: unexpected argument (see --help)"),
        (["status", "--jsn"], 2, "--jsn: unknown option (did you mean --json?)"),
        (["explain"], 2, "needs a resource, a group or a destination (see --help)"),
        (["release", "a", "b"], 2, "b: unexpected argument (see --help)"),
        (["status", "--store", "--backend", "env"], 2,
         "--store: the backend 'env' has no members"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line(
    argv: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And exit status 2."""
    assert cli.main(argv) == status
    assert capsys.readouterr().err == f"pyconfd: error: {said}\n"


@pytest.mark.parametrize("argv", [["status"], ["explain", "x"], ["release", "x"]])
def test_without_a_daemon_the_socket_is_named(
    argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 1."""
    places = ["--confdir", str(tmp_path), "--state-dir", str(tmp_path / "state")]
    assert cli.main([*argv, *places]) == 1
    folder = query(places).settings.state_folder
    assert f"{folder}/control.sock: no pyconfd runs here" in capsys.readouterr().err


def test_the_daemon_of_a_config_file_is_found(tmp_path: Path) -> None:
    """confdir and state_dir may stand there."""
    (tmp_path / "c.toml").write_text(f'confdir = "{tmp_path}"\nstate_dir = "/s"\nwatch = true\n')
    settings = query(["--config-file", str(tmp_path / "c.toml")]).settings
    assert settings.state_folder.startswith("/s/")


def test_the_page_on_operating_knows_every_state_and_command() -> None:
    """docs/operating.md has a row for each state that a destination can be in."""
    page = (ROOT / "docs" / "operating.md").read_text()
    for state in FileState:
        assert f"\n| `{state}` |" in page
    for command in COMMANDS:
        assert f"| `pyconfd {command}" in page


@pytest.mark.parametrize(
    ("kind", "status", "word"),
    [
        ("ok", 0, "OK"), ("held", 1, "WARNING"), ("pending", 1, "WARNING"),
        ("starting", 1, "WARNING"),
        ("refused", 2, "CRITICAL"), ("refused,left out", 2, "CRITICAL"), ("lost", 2, "CRITICAL"),
        ("held,lost", 2, "CRITICAL"), ("torn", 2, "CRITICAL"), ("reverted", 2, "CRITICAL"),
        ("failed", 2, "CRITICAL"),
    ],
)  # fmt: skip
def test_monitoring_gets_one_line(kind: str, status: int, word: str) -> None:
    """What waits is a warning, what is wrong is critical; with figures."""
    found = status_command.daemon_line({**PICTURE, "kind": kind})
    figures = "resources=2 bad=1 pending=1 lost=40.000s"
    line = f"PYCONFD {word} - 1 refused (web: unexpected end), 1 fine / {figures}\n"
    assert found == (status, line.replace(" / ", " | "))


def test_monitoring_does_not_know_a_daemon_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """UNKNOWN, for wrong usage too; --help is help."""
    words = ["status", "--nagios", "--state-dir", str(tmp_path)]
    assert cli.main(words) == 3
    assert capsys.readouterr().out.startswith("PYCONFD UNKNOWN - ")
    assert cli.main([*words, "--nonsense"]) == 3
    assert "--nonsense: unknown option" in capsys.readouterr().out
    assert cli.main([*words, "--help"]) == 0
    assert "usage: pyconfd status" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "environ", "status", "said"),
    [
        ([], {"PYCONFD_NAGIOS": "true"}, 3, "PYCONFD UNKNOWN"),
        (["--no-nagios"], {"PYCONFD_NAGIOS": "true"}, 1, ""),
        (["--nagios"], {}, 3, "PYCONFD UNKNOWN"),
        ([], {"PYCONFD_NAGIOS": "false"}, 1, ""),
    ],
)
def test_the_environment_can_ask_for_a_plugins_line(
    argv: list[str],
    environ: dict[str, str],
    status: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As every option; here of a daemon that does not run."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["status", *argv, "--state-dir", str(tmp_path)]) == status
    assert capsys.readouterr().out.startswith(said)


def test_the_environment_can_ask_for_json(tmp_path: Path) -> None:
    """As every option; the command line comes first."""
    own = (Option("json", "flag", False, "as JSON", "x", in_file=False),)
    environ = {"PYCONFD_JSON": "true"}
    assert query([], environ, own=own).flags["json"]
    assert not query(["--no-json"], environ, own=own).flags["json"]
