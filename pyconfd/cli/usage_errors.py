"""
What is wrong with the command line or the configuration, on standard error.

Text for people; one JSON object for each fault where the command line or the environment asks for
`--log-format json`, so that a log reader needs one format only.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from pyconfd.errors import ConfigError, PyconfdError

_OPTION, _VARIABLE = "log-format", "PYCONFD_LOG_FORMAT"


def style_asked(argv: Sequence[str], environ: Mapping[str, str]) -> str:
    """
    "json" or "text", for errors that come before the settings are known or because of them.

    As for every option the last on the command line counts, and that before the environment.
    """
    style = environ.get(_VARIABLE, "")
    for word, following in zip(argv, (*argv[1:], ""), strict=False):
        name, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name == _OPTION:
            style = value if equals else following
    return "json" if style == "json" else "text"


def say_error(text: str, style: str = "text", **fields: object) -> None:
    """One line; lost silently when nothing reads it. fields: of a JSON line."""
    _say("error", text, style, fields)


def say_warning(text: str, style: str = "text", **fields: object) -> None:
    """As `say_error`, for what may be right elsewhere."""
    _say("warning", text, style, fields)


def say_note(text: str, style: str = "text", **fields: object) -> None:
    """As `say_error`, for what is right and perhaps not meant."""
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
    """Where an error is, as fields: the file and the line in it, as far as it has them."""
    file, line = error.place
    return {"file": file, "line": line or None} if file else {}


def say_fault(error: PyconfdError, style: str = "text") -> None:
    """An error with its place."""
    say_error(str(error), style, **place(error))


def say_faults(error: ConfigError, style: str = "text") -> None:
    """Every fault on a line of its own, then the error itself when it adds something."""
    for fault in error.faults:
        say_fault(fault, style)
    if error.where and error not in error.faults:
        say_fault(error, style)
