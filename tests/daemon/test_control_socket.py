"""The control socket: who may ask, how much, how long, and what is said when nobody is there."""

from __future__ import annotations

import json
import os
import socket
import stat
import tempfile
import threading
from pathlib import Path

import pytest

from pyconfd.daemon import control_socket
from pyconfd.daemon.control_socket import (
    LONGEST_REQUEST,
    MOST_CLIENTS,
    NAME,
    ControlRequest,
    ControlServer,
    ask,
)
from pyconfd.errors import StateError
from pyconfd.observe.log import LOG
from tests.support.steps import in_child
from tests.support.waiting import Stopwatch, wait_until


@pytest.fixture(autouse=True)
def heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log reaches pytest, whatever a test before has configured."""
    monkeypatch.setattr(LOG, "propagate", True)


def echo(asked: ControlRequest) -> None:
    """The daemon of these tests: it answers with what it was asked."""
    asked.reply({"heard": dict(asked.question)})


def silent(asked: ControlRequest) -> None:
    """A daemon whose loop is stuck."""


def raw(folder: Path, data: bytes, *, end: bool = False) -> bytes:
    """What comes back when these bytes are sent."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(str(folder / NAME))
        client.sendall(data)
        if end:
            client.shutdown(socket.SHUT_WR)
        return client.makefile("rb").read()


def test_a_question_is_answered(tmp_path: Path) -> None:
    """Several in a row, and names with any letters."""
    with ControlServer(str(tmp_path), echo):
        for name in ("a", "ü \n\U0001f600"):
            question = {"do": "explain", "name": name}
            assert ask(str(tmp_path), question) == {"heard": question}


def test_a_long_answer_arrives_whole(tmp_path: Path) -> None:
    """A status of thousands of resources."""
    rows = [{"name": f"resource-{number}", "dest": "x" * 100} for number in range(10_000)]
    with ControlServer(str(tmp_path), lambda asked: asked.reply({"rows": rows})):
        assert ask(str(tmp_path), {})["rows"] == rows


def test_the_socket_is_ours_alone_and_goes_with_the_daemon(tmp_path: Path) -> None:
    """Mode 0600 whatever the umask says."""
    before = os.umask(0)
    try:
        with ControlServer(str(tmp_path), echo):
            mode = (tmp_path / NAME).stat().st_mode
            assert stat.S_ISSOCK(mode)
            assert stat.S_IMODE(mode) == 0o600
    finally:
        os.umask(before)
    assert not (tmp_path / NAME).exists()
    assert not [each for each in threading.enumerate() if each.name == "control"]


def test_the_socket_of_a_killed_daemon_is_replaced(tmp_path: Path) -> None:
    """A file nobody listens on."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / NAME))
    with pytest.raises(StateError, match="no pyconfd runs here"):
        ask(str(tmp_path), {})
    with ControlServer(str(tmp_path), echo):
        assert ask(str(tmp_path), {"a": 1}) == {"heard": {"a": 1}}


def test_a_path_longer_than_an_address_is_reached(tmp_path: Path) -> None:
    """sun_path holds 107 bytes; state folders may be longer."""
    folder = tmp_path / ("long" * 20) / ("longer" * 20)
    folder.mkdir(parents=True)
    with ControlServer(str(folder), echo):
        assert (folder / NAME).exists()
        assert ask(str(folder), {"a": 1}) == {"heard": {"a": 1}}
    assert not (folder / NAME).exists()
    with pytest.raises(StateError, match="no pyconfd runs here"):
        ask(str(folder), {})


@pytest.mark.parametrize("place", ["", "missing", "file/below"], ids=["empty", "none", "file"])
def test_without_a_daemon_the_message_names_the_socket(tmp_path: Path, place: str) -> None:
    """The folder may be empty, absent or no folder at all."""
    (tmp_path / "file").touch()
    folder = tmp_path / place
    with pytest.raises(StateError) as caught:
        ask(str(folder), {})
    assert str(caught.value).startswith(f"{folder / NAME}: no pyconfd runs here (")
    assert "--state-dir" in str(caught.value)


@pytest.mark.parametrize(
    "line", [b"what?\n", b"[1]\n", b"\xff\xfe\n", b"[" * 9000 + b"\n", b'"x"\n'],
    ids=["words", "list", "bytes", "deep", "text"],
)  # fmt: skip
def test_what_is_no_question_is_refused(tmp_path: Path, line: bytes) -> None:
    """And the next client is served."""
    with ControlServer(str(tmp_path), echo):
        assert json.loads(raw(tmp_path, line)) == {"error": "the request is not one line of JSON"}
        assert ask(str(tmp_path), {}) == {"heard": {}}


def test_a_flood_is_cut_off(tmp_path: Path) -> None:
    """A line that never ends costs no more than its limit."""
    with ControlServer(str(tmp_path), echo), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(str(tmp_path / NAME))
        with pytest.raises(OSError):
            for _ in range(1000):
                client.sendall(b"x" * LONGEST_REQUEST)


def test_half_a_question_is_none(tmp_path: Path) -> None:
    """The client ended before its newline."""
    with ControlServer(str(tmp_path), echo):
        assert b"error" in raw(tmp_path, b'{"do": "status"}', end=True)


def test_a_loop_that_does_not_turn_is_told(tmp_path: Path) -> None:
    """After the bound, with a message."""
    with (
        ControlServer(str(tmp_path), silent, answer_s=0.1),
        pytest.raises(StateError, match=r"busy, no answer within 0\.1 s"),
    ):
        ask(str(tmp_path), {})


def test_clients_who_say_nothing_hold_up_nobody_for_long(tmp_path: Path) -> None:
    """All places are taken by mutes; one who comes then is refused, and served once they time
    out."""
    with ControlServer(str(tmp_path), echo, answer_s=2.0):
        mutes = []
        for _ in range(MOST_CLIENTS):
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(tmp_path / NAME))
            mutes.append(client)
        try:
            refused = wait_until(lambda: "too many" in (said := attempt(tmp_path)) and said)
            assert "too many clients at once" in refused
            wait_until(lambda: attempt(tmp_path) == "{'heard': {}}")
        finally:
            for client in mutes:
                client.close()


def attempt(folder: Path) -> str:
    try:
        return str(ask(str(folder), {}))
    except StateError as error:
        return str(error)


def test_a_stop_is_prompt_though_clients_wait(tmp_path: Path) -> None:
    """A mute client and one whose answer never comes."""
    control = ControlServer(str(tmp_path), silent, answer_s=5.0)
    control.start()
    with socket.socket(socket.AF_UNIX) as mute, socket.socket(socket.AF_UNIX) as waiting:
        for client in (mute, waiting):
            client.connect(str(tmp_path / NAME))
        waiting.sendall(b"{}\n")
        took = Stopwatch()
        control.stop()
        assert took.within(1.0, 4.5), took
    with pytest.raises(StateError, match="no pyconfd runs here"):
        ask(str(tmp_path), {})


def test_a_folder_that_takes_no_socket_keeps_the_daemon_running(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The work goes on; what does not work is said."""
    (tmp_path / NAME).mkdir()
    with ControlServer(str(tmp_path), echo):
        pass
    assert "status, explain and release do not work" in caplog.text


def test_an_error_of_the_daemon_is_an_error_here(tmp_path: Path) -> None:
    """With its place and its hint."""
    error = {"error": "nothing is held back", "where": "web", "hint": "look"}
    with (
        ControlServer(str(tmp_path), lambda asked: asked.reply(error)),
        pytest.raises(StateError, match=r"^web: nothing is held back \(look\)$"),
    ):
        ask(str(tmp_path), {})


def test_an_end_before_the_answer_is_told(tmp_path: Path) -> None:
    """A daemon that was killed while it was asked."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / NAME))
        listening.listen()

        def serve() -> None:
            client, _ = listening.accept()
            with client:
                client.recv(100)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(StateError, match="ended before it answered"):
            ask(str(tmp_path), {})
        thread.join(60)


def _as_nobody(folder: str) -> str:
    """What another user is answered, in a child process."""
    reader, writer = os.pipe()

    def asking() -> None:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        try:
            ask(folder, {})
        except StateError as error:
            os.write(writer, str(error).encode())

    assert in_child(asking) == 0
    os.close(writer)
    with os.fdopen(reader) as stream:
        return stream.read()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_refused_by_the_word_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both in a folder that is not his, and where root keeps its state."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        os.chmod(name, 0o755)
        folder = os.path.join(name, "state")
        os.mkdir(folder, 0o700)
        monkeypatch.setattr(control_socket, "SYSTEM_STATE", name)
        assert "control.sock: permission denied (ask as the user that" in _as_nobody(folder)
        assert "there is no permission to ask one of root" in _as_nobody("/none")
        assert "no pyconfd runs here" in _as_nobody(f"{name}/none")
