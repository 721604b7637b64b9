"""The reading end of a named pipe, against real pipes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyconfd.errors import StateError
from pyconfd.system.fifo import Fifo


@pytest.fixture
def silent() -> Iterator[int]:
    """A descriptor that never becomes readable."""
    ours, theirs = os.pipe()
    yield ours
    os.close(ours)
    os.close(theirs)


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Fifo]:
    """One that was not there before."""
    made = Fifo(str(tmp_path / "fifo"))
    yield made
    made.close()


def writer(path: str) -> int:
    """As keepalived opens it."""
    return os.open(path, os.O_RDWR | os.O_NONBLOCK)


def test_whole_lines_come_in_order(fifo: Fifo, silent: int) -> None:
    """What is left of a line waits for its rest."""
    with open(writer(fifo.path), "wb", buffering=0) as pipe:
        pipe.write(b"one\ntwo\nth")
        assert fifo.lines(1.0, silent) == ["one", "two"]
        assert fifo.has_writer
        pipe.write(b"ree\n")
        assert fifo.lines(1.0, silent) == ["three"]


def test_a_writer_that_goes_is_noticed_and_may_come_back(fifo: Fifo, silent: int) -> None:
    """What it wrote last is read, and waiting does not become a busy loop."""
    with open(writer(fifo.path), "wb", buffering=0) as pipe:
        pipe.write(b"last\n")
    assert fifo.lines(1.0, silent) == ["last"]
    assert fifo.lines(0.01, silent) == []
    assert not fifo.has_writer
    with open(writer(fifo.path), "wb", buffering=0) as pipe:
        pipe.write(b"again\n")
        assert fifo.lines(1.0, silent) == ["again"]
        assert fifo.has_writer


def test_waiting_without_a_writer_waits(fifo: Fifo) -> None:
    """The hang-up of a writer that has gone must not wake it for ever."""
    os.close(writer(fifo.path))
    ours, theirs = os.pipe()
    try:
        fifo.lines(0.0, ours)
        waiting = time.monotonic()
        fifo.lines(0.05, ours)
        assert time.monotonic() - waiting >= 0.04
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_pipe_that_was_replaced_is_found(fifo: Fifo, silent: int) -> None:
    """keepalived removes the one that it made and makes another one at each reload."""
    old = writer(fifo.path)
    os.write(old, b"before\n")
    os.unlink(fifo.path)
    os.mkfifo(fifo.path)
    new = writer(fifo.path)
    os.write(new, b"after\n")
    os.close(old)
    assert fifo.lines(1.0, silent) == ["before", "after"]
    os.close(new)


def test_what_was_written_before_is_read(tmp_path: Path, silent: int) -> None:
    """A reader that is started after the writer, or again, misses nothing."""
    path = str(tmp_path / "fifo")
    os.mkfifo(path)
    with open(writer(path), "wb", buffering=0) as pipe:
        pipe.write(b"early\n")
        fifo = Fifo(path)
        assert fifo.lines(0.0, silent) == ["early"]
        fifo.close()


def test_a_signal_ends_the_waiting(fifo: Fifo) -> None:
    """The other descriptor is how one is told."""
    ours, theirs = os.pipe()
    os.write(theirs, b"\0")
    try:
        assert fifo.lines(30.0, ours) == []
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_file_is_refused(tmp_path: Path) -> None:
    """With the path and what is wrong."""
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="is not a named pipe"):
        Fifo(str(tmp_path / "file"))


def test_two_do_not_listen_at_one_pipe(fifo: Fifo) -> None:
    """Each line would reach one of them; the second may when the first has gone."""
    with pytest.raises(StateError, match="another process listens there already"):
        Fifo(fifo.path)


def test_the_folder_is_made(tmp_path: Path) -> None:
    """As documented: /run/pyconfd-notify is not there after a boot."""
    path = tmp_path / "run" / "pyconfd-notify" / "keepalived"
    Fifo(str(path)).close()
    assert path.is_fifo()
    assert path.parent.stat().st_mode & 0o777 == 0o755


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """Not the lock file in it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StateError, match=r"/file/sub: cannot be made: Not a directory \(name a pipe"
    ):
        Fifo(str(tmp_path / "file" / "sub" / "keepalived"))
