"""
The form of log lines: text for people, JSON for machines. Lines go to standard error.

An event is a short sentence for reading and fields for searching. Values of keys are never logged.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import TextIO

from pyconfd.model.safe_text import escaped, shortened
from pyconfd.observe.log_stream import LogStream, to_journal

#: confd's level names and the standard library's numbers.
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "panic": logging.CRITICAL,
}
_NAMES = {10: "DEBUG", 20: "INFO", 30: "WARN", 40: "ERROR", 50: "FATAL"}
#: syslog(3).
_PRIORITIES = {10: 7, 20: 6, 30: 4, 40: 3, 50: 2}
_COLOURS = {10: "2", 20: "", 30: "33", 40: "31", 50: "31;1"}

#: Characters of a sentence, which may have the output of a command, and of a field. The name of a
#: key may be a megabyte.
_MOST_TEXT, _MOST_FIELD = 80 * 1024, 4 * 1024

LOG = logging.getLogger("pyconfd")


def event(level: int, text: str, **fields: object) -> None:
    """Log one event. Fields with the value None or "" are left out, and long texts shortened."""
    if LOG.isEnabledFor(level):
        kept = {
            name: shortened(value, _MOST_FIELD) if isinstance(value, str) else value
            for name, value in fields.items()
            if value not in (None, "")
        }
        LOG.log(level, shortened(text, _MOST_TEXT), extra={"fields": kept})


def debug(text: str, **fields: object) -> None:
    """Log something for developers of templates or of pyconfd only."""
    event(logging.DEBUG, text, **fields)


def info(text: str, **fields: object) -> None:
    """Log something that happened as expected."""
    event(logging.INFO, text, **fields)


def warn(text: str, **fields: object) -> None:
    """Log something wrong that pyconfd handles by itself."""
    event(logging.WARNING, text, **fields)


def error(text: str, **fields: object) -> None:
    """Log a failure; what runs was kept."""
    event(logging.ERROR, text, **fields)


def configure(
    *,
    level: str,
    style: str,
    stream: TextIO | None = None,
    stamped: bool = True,
    colour: bool = False,
) -> None:
    """
    Set up the one handler of the program.

    level: a key of LEVELS. style: "text" or "json". stamped: whether text lines begin with the
    time and show durations; a one-shot run leaves both out so that the same input gives the same
    output. If systemd's journal reads the stream, it gets the priority of each line and no time,
    because it adds its own.
    """
    stream = stream or sys.stderr
    journal = to_journal(stream, os.environ)
    handler = LogStream(stream)
    text = _Text(stamped, colour=colour, timed=stamped and not journal)
    formatter = _Json() if style == "json" else text
    handler.setFormatter(_Journal(formatter) if journal else formatter)
    LOG.handlers[:] = [handler]
    LOG.setLevel(LEVELS[level])
    LOG.propagate = False
    logging.raiseExceptions = False  # a closed standard error must not take the daemon down


def shows(level: str) -> bool:
    """Whether lines of this level, a key of LEVELS, are logged."""
    return LOG.isEnabledFor(LEVELS[level])


def set_level(level: str) -> str:
    """
    Set the least level that is logged: a key of LEVELS, or "" for no change. Returns the one
    before.
    """
    before = _NAMES.get(LOG.level, "").lower()
    if level:
        LOG.setLevel(LEVELS[level])
    return before


def _stamp(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _fields(record: logging.LogRecord) -> dict[str, object]:
    found = getattr(record, "fields", None)
    return found if isinstance(found, dict) else {}


class _Text(logging.Formatter):
    """`time LEVEL sentence name=value ...`; further lines of a sentence are indented."""

    def __init__(self, stamped: bool, *, colour: bool, timed: bool) -> None:
        super().__init__()
        self._stamped = stamped
        self._colour = colour
        self._timed = timed

    def format(self, record: logging.LogRecord) -> str:
        name = f"{_NAMES.get(record.levelno, record.levelname):5}"
        code = _COLOURS.get(record.levelno, "") if self._colour else ""
        head = f"\x1b[{code}m{name}\x1b[0m" if code else name
        if self._timed:
            head = f"{_stamp(record)} {head}"
        first, *rest = escaped(record.getMessage(), "\n\t").split("\n")
        tail = "".join(
            f" {key}={_shown(value)}"
            for key, value in _fields(record).items()
            if self._stamped or not key.endswith("_s")
        )
        lines = [f"{head} {first}{tail}", *(f"      | {line}" for line in rest)]
        if record.exc_info:
            lines.append(self.formatException(record.exc_info))
        return "\n".join(lines)


class _Journal(logging.Formatter):
    """Each line with its priority in front, as journald expects on a stream (sd-daemon(3))."""

    def __init__(self, plain: logging.Formatter) -> None:
        super().__init__()
        self._plain = plain

    def format(self, record: logging.LogRecord) -> str:
        mark = f"<{_PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(mark + line for line in self._plain.format(record).split("\n"))


class _Json(logging.Formatter):
    """One JSON object a line: time, level, message, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _stamp(record),
            "level": _NAMES.get(record.levelno, record.levelname).lower(),
            "message": record.getMessage(),
        }
        line.update(_fields(record))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        text = json.dumps(line, ensure_ascii=False, default=str)
        return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def _shown(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    plain = text.isprintable() and not any(letter in text for letter in ' "=')
    return text if plain and text else escaped(json.dumps(text, ensure_ascii=False))
