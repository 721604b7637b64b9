"""
Prints what is wrong with the command line or the configuration on standard error.

Text for people; one JSON object for each fault if the command line or the environment has
`--log-format json`, so that a log reader needs only one format.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from pyconfd.errors import ConfigError, PyconfdError

_OPTION, _VARIABLE = "log-format", "PYCONFD_LOG_FORMAT"


def style_asked(argv: Sequence[str], environ: Mapping[str, str]) -> str:
    """
    "json" or "text", for errors before the settings are known, or about them.

    As for every option, the last one on the command line counts, and wins over the environment.
    """
    style = environ.get(_VARIABLE, "")
    for word, following in zip(argv, (*argv[1:], ""), strict=False):
        name, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name == _OPTION:
            style = value if equals else following
    return "json" if style == "json" else "text"


def say_error(text: str, style: str = "text", **fields: object) -> None:
    """Print one line; it is dropped silently when nothing reads it. fields: of a JSON line."""
    _say("error", text, style, fields)


def say_warning(text: str, style: str = "text", **fields: object) -> None:
    """Like `say_error`, for something that may be right elsewhere."""
    _say("warning", text, style, fields)


def say_note(text: str, style: str = "text", **fields: object) -> None:
    """Like `say_error`, for something that is valid but perhaps not intended."""
    _say("note", text, style, fields)


def _say(level: str, text: str, style: str, fields: Mapping[str, object]) -> None:
    if style == "json":
        from pyconfd.observe import log

        log.configure(level="info", style="json")
        log.event(log.LEVELS["info" if level == "note" else level], text, **fields)
        return
    with suppress(OSError):
        sys.stderr.write(f"pyconfd: {level}: {text}\n")


def place(error: PyconfdError) -> dict[str, object]:
    """The place of an error as fields: file and line, if it has them."""
    file, line = error.place
    return {"file": file, "line": line or None} if file else {}


def say_fault(error: PyconfdError, style: str = "text") -> None:
    """Print an error with its place."""
    say_error(str(error), style, **place(error))


def say_faults(error: ConfigError, style: str = "text") -> None:
    """Print every fault on a line of its own, then the error itself if it adds something."""
    for fault in error.faults:
        say_fault(fault, style)
    if error.where and error not in error.faults:
        say_fault(error, style)
