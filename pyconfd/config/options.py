"""
What an option is, and how its words become its value.

One `Option` is one row of a table from which the command line, the `PYCONFD_...` environment,
the keys of the config file, the help and the documentation are all made. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pyconfd.errors import SettingsError

ENVIRONMENT_PREFIX = "PYCONFD_"

# A variable that is not ours may begin with our prefix: orchestrators inject some for every
# service (PYCONFD_SERVICE_HOST for one that is called pyconfd), and the commands share one file of
# variables (CHECK_TIMEOUT is one of `register`). Only very near misses are faults.
_NEAR_VARIABLE = 0.9

_TRUE = frozenset(("true", "1", "yes", "on", "t"))
_FALSE = frozenset(("false", "0", "no", "off", "f"))
_UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h)")
# Longer waits overflow the C library's timeouts; thirty years are never meant.
_LONGEST_S = 1e9


class Option(NamedTuple):
    """
    One option.

    name: as on the command line, without dashes in front.
    kind: "flag", "text", "duration" (seconds, 0 or more), "wait" (seconds, above 0), "count" (a
        whole number above 0) or "table" (of the config file alone).
    default: of the value's type; None when it depends on the machine, see `default_text`.
    field: name of the value in the settings; by default `name` with `_`, and `_s` for seconds.
    repeatable: the value is a tuple; it may be given several times, and with commas in the
    environment.
    aliases: further spellings (confd's) on the command line and in the file.
    in_file: whether the config file may have it.
    """

    name: str
    kind: str
    default: object
    help: str
    group: str = ""
    metavar: str = ""
    choices: tuple[str, ...] = ()
    repeatable: bool = False
    aliases: tuple[str, ...] = ()
    default_text: str = ""
    in_file: bool = True

    @property
    def field(self) -> str:
        """The name of its value: `timeout_s` for a duration, else the name with underscores."""
        name = self.name.replace("-", "_")
        return f"{name}_s" if self.kind in ("duration", "wait") else name

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return ENVIRONMENT_PREFIX + self.name.replace("-", "_").upper()


class Given(NamedTuple):
    """A value and where it was given: `--interval`, `PYCONFD_INTERVAL`, `file:line: interval`."""

    value: object
    where: str


Layer = Mapping[str, Given]


class BadValue(ValueError):
    """Why a word is not a value of its option; the caller knows its place."""


def squash(name: str) -> str:
    """A spelling without case and separators: `LogLevel`, `log_level`, `log-level` are one."""
    return name.replace("-", "").replace("_", "").lower()


def nearest(
    word: str, known: Iterable[str], cutoff: float = 0.6, *, beginnings: bool = True
) -> str:
    """
    The known name that was probably meant, or "".

    cutoff: least similarity, 0 to 1. beginnings: whether a prefix of exactly one name means it.
    """
    import difflib

    by_lower = {name.lower(): name for name in known}
    word = word.lower()
    begun = [name for name in by_lower if name.startswith(word)]
    if beginnings and len(begun) == 1 and len(word) > 2:
        return by_lower[begun[0]]
    found = difflib.get_close_matches(word, by_lower, n=1, cutoff=cutoff)
    return by_lower[found[0]] if found else ""


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The hint of an error about an unknown name; "" when no name is similar."""
    name = nearest(word, known, cutoff)
    return f"did you mean {name}?" if name else ""


def seconds(raw: object) -> float:
    """
    A duration in seconds: a number, or text such as "10", "500ms", "1m30s". Raises BadValue.
    """
    if isinstance(raw, str):
        value = _seconds_text(raw.strip())
    elif isinstance(raw, int | float) and not isinstance(raw, bool):
        value = float(raw)
    else:
        raise BadValue(f'{_kind_of(raw)} is not a duration; write seconds or "500ms", "10s"')
    if not 0 <= value <= _LONGEST_S or math.isnan(value):
        raise BadValue(f"{raw} is not between 0 and {_LONGEST_S:.0f} seconds")
    return value


def _seconds_text(text: str) -> float:
    total, end = 0.0, 0
    for part in _PART.finditer(text):
        if part.start() != end:
            break
        total, end = total + float(part[1]) * _UNITS_S[part[2]], part.end()
    if text and end == len(text):
        return total
    try:
        return float(text)
    except ValueError:
        raise BadValue(f"{text!r} is not a duration; write seconds or 500ms, 10s, 5m") from None


def from_text(option: Option, text: str) -> object:
    """The value of one word from the command line or the environment. Raises BadValue."""
    if option.kind == "flag":
        return _flag(text)
    return _checked(option, text)


def from_toml(option: Option, raw: object) -> object:
    """
    The value of a key of the config file; None for the empty string, which counts as absent.

    Raises BadValue. A repeatable option takes a list or a single value.
    """
    if option.kind == "table":
        return _table(raw)
    if option.repeatable:
        items = raw if isinstance(raw, list) else [raw]
        return tuple(_checked(option, item) for item in items)
    if raw == "" and (option.kind != "text" or option.choices):
        return None
    if option.kind != "flag":
        return _checked(option, raw)
    if not isinstance(raw, bool):
        raise BadValue(f"{_kind_of(raw)} is not true or false")
    return raw


def _flag(text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE and word not in _FALSE:
        raise BadValue(f"{text!r} is not true or false")
    return word in _TRUE


def _checked(option: Option, raw: object) -> object:
    if option.kind in ("duration", "wait"):
        value = seconds(raw)
        if option.kind == "wait" and not value:
            raise BadValue("must be above 0")
        return value
    if option.kind == "count":
        return _count(raw)
    if not isinstance(raw, str):
        raise BadValue(f"{_kind_of(raw)} is not text; write it in quotes")
    if "\0" in raw:
        raise BadValue("holds a NUL character")
    if not option.choices:
        return raw
    word = raw.lower()
    if word not in option.choices:
        hint = nearest(word, option.choices)
        one_of = ", ".join(option.choices)
        raise BadValue(f"{raw!r} is not one of {one_of}" + (f"; did you mean {hint}?" * bool(hint)))
    return word


def _count(raw: object) -> int:
    if isinstance(raw, str) and raw.isascii() and raw.isdigit() and len(raw) < 16:
        raw = int(raw)
    if not isinstance(raw, int) or isinstance(raw, bool) or raw < 1:
        raise BadValue(f"{_kind_of(raw)} is not a whole number above 0")
    return raw


def _table(raw: object) -> object:
    if not isinstance(raw, dict):
        raise BadValue(f"{_kind_of(raw)} is not a table")
    _plain(raw, ())
    return raw


def _plain(raw: object, path: tuple[str, ...]) -> None:
    """Raises BadValue for a value that is not a string, number, boolean, list or table."""
    if isinstance(raw, dict):
        for name, value in raw.items():
            _plain(value, (*path, name))
    elif isinstance(raw, list):
        for value in raw:
            _plain(value, path)
    elif not isinstance(raw, str | int | float):
        raise BadValue(f"{'.'.join(path)} is a date or a time; write it in quotes")


def _kind_of(raw: object) -> str:
    if isinstance(raw, bool):
        return str(raw).lower()
    if isinstance(raw, list | dict):
        return "a list" if isinstance(raw, list) else "a table"
    return repr(raw)


def from_environment(
    options: Sequence[Option], environ: Mapping[str, str], faults: list[SettingsError]
) -> dict[str, Given]:
    """
    The values from the environment, by name of option. An empty variable counts as absent.

    Adds a fault for each bad value and for each variable that is almost one of pyconfd's.
    """
    by_variable = {option.variable: option for option in options}
    layer: dict[str, Given] = {}
    for variable, text in environ.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or not text:
            continue
        option = by_variable.get(variable)
        if option is None:
            meant = _meant_variable(variable, options)
            if meant and meant not in environ:
                faults.append(
                    SettingsError("unknown variable", where=variable, hint=f"did you mean {meant}?")
                )
            continue
        try:
            layer[option.name] = Given(_variable_value(option, text), variable)
        except BadValue as error:
            faults.append(SettingsError(str(error), where=variable))
    return layer


def _meant_variable(variable: str, options: Sequence[Option]) -> str:
    """The variable that was probably meant (another spelling, a plural, a wrong letter), or ""."""
    word = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
    for option in options:
        if squash(word) in (squash(name) for name in (f"{option.name}s", *option.aliases)):
            return option.variable
    names = {option.name.replace("-", "_"): option for option in options}
    meant = nearest(word, names, _NEAR_VARIABLE, beginnings=False)
    return names[meant].variable if meant else ""


def _variable_value(option: Option, text: str) -> object:
    if not option.repeatable:
        return from_text(option, text)
    words = (word.strip() for word in text.split(","))
    return tuple(from_text(option, word) for word in words if word)


def layered(options: Iterable[Option], *layers: Layer) -> dict[str, Given]:
    """Each option's value from the first layer that has one, else its default; by name."""
    found: dict[str, Given] = {}
    for option in options:
        for layer in layers:
            if option.name in layer:
                found[option.name] = layer[option.name]
                break
        else:
            found[option.name] = Given(option.default, "")
    return found
