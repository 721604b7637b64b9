"""Where log lines go, and what they look like to systemd's journal."""

from __future__ import annotations

import io
import logging
import os
import time
from collections.abc import Iterator
from typing import TextIO

import pytest

from pyconfd.observe import log


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    """The reading end of a pipe, and a stream that writes into it."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        yield reading, stream
    os.close(reading)


def test_a_reader_that_stalls_does_not_hold_up_the_program(pipe: tuple[int, TextIO]) -> None:
    """Lines are dropped and counted; the count is logged when there is room again."""
    reading, stream = pipe
    log.configure(level="info", style="text", stream=stream)
    begun = time.monotonic()
    for number in range(5000):
        log.info("a line that nobody reads", number=number)
    assert time.monotonic() - begun < 30
    taken = b""
    os.set_blocking(reading, False)
    while part := _read(reading):
        taken += part
    log.info("the next line")
    after = os.read(reading, 65536).decode().splitlines()
    kept = [line for line in taken.decode().splitlines() if line.endswith(tuple("0123456789"))]
    (note,) = [line for line in after if "were dropped" in line]
    assert "the next line" in after[-1]
    assert 5000 - len(kept) - 1 <= int(note.split()[1]) <= 5000 - len(kept) + 1


def _read(reading: int) -> bytes:
    try:
        return os.read(reading, 65536)
    except BlockingIOError:
        return b""


def test_a_closed_reader_does_not_end_the_program() -> None:
    """Nor does a closed stream."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        os.close(reading)
        log.configure(level="info", style="text", stream=stream)
        log.info("one")
    log.info("two")


@pytest.mark.parametrize("style", ["text", "json"])
def test_the_journal_gets_priorities_and_no_second_time(
    pipe: tuple[int, TextIO], monkeypatch: pytest.MonkeyPatch, style: str
) -> None:
    """As sd-daemon(3) has it, on every line of an event."""
    reading, stream = pipe
    facts = os.fstat(stream.fileno())
    monkeypatch.setenv("JOURNAL_STREAM", f"{facts.st_dev}:{facts.st_ino}")
    log.configure(level="debug", style=style, stream=stream)
    for number, level in enumerate((logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)):
        log.event(level, f"event {number}\nand more", x=1)
    lines = os.read(reading, 65536).decode().splitlines()
    assert {line[:3] for line in lines} == {"<7>", "<6>", "<4>", "<3>"}
    if style == "text":
        assert lines[:2] == ["<7>DEBUG event 0 x=1", "<7>      | and more"]


def test_another_stream_is_no_journal(
    pipe: tuple[int, TextIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    """JOURNAL_STREAM is inherited by programs whose output goes elsewhere."""
    reading, stream = pipe
    monkeypatch.setenv("JOURNAL_STREAM", "1:1")
    log.configure(level="info", style="text", stream=stream)
    log.error("no")
    assert os.read(reading, 100).decode()[0] == "2", "a line begins with its time"


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_name_of_a_megabyte_makes_no_line_of_three(style: str) -> None:
    """Both ends are there: the hint of a fault stands at its end."""
    stream, name = io.StringIO(), "n" * 1_000_000
    log.configure(level="info", style=style, stream=stream)
    log.error(
        f"render failed: {name}: no file (rename the key)", dest=f"/d/{name}.conf", revision=1
    )
    log.info("short", dest="/d")
    line, short = stream.getvalue().splitlines()
    assert len(line) < 100_000
    assert "render failed: nnn" in line
    assert "(rename the key)" in line
    assert "/d/nnn" in line
    assert "nnn.conf" in line
    assert "characters" not in short
