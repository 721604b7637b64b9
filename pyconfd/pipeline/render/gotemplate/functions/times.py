"""Go's time.Time, for `datetime`. Pure: the time is given."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pyconfd.pipeline.render.gotemplate.errors import GoFault

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# What a layout can hold, in Go's order of preference.
_LAYOUT = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|2006|__2|_2(?!006)|002|"
    r"0[1-6]|15|1|2|3|4|5|PM|pm|"
    r"Z07:00:00|Z070000|Z07:00|Z0700|Z07|-07:00:00|-070000|-07:00|-0700|-07|"
    r"[.,](?:0+|9+)(?![0-9])"
)


class GoName(str):
    """A month or day of the week, which prints as its name."""

    __slots__ = ("number",)
    number: int
    go_type = "time.Month"


def _name(text: str, number: int) -> GoName:
    made = GoName(text)
    made.number = number
    return made


class GoTime:
    """A moment in a time zone."""

    __slots__ = ("_moment", "_nanoseconds")
    go_type = "time.Time"

    def __init__(self, moment: datetime) -> None:
        self._moment = moment
        self._nanoseconds = moment.microsecond * 1000

    def __str__(self) -> str:
        return self.formatted("2006-01-02 15:04:05.999999999 -0700 MST")

    def go_json(self) -> str:
        """What toJson writes."""
        return self.formatted("2006-01-02T15:04:05.999999999Z07:00")

    def go_member(self, name: str) -> Any:
        """A method without arguments. Raises GoFault."""
        if name in _METHODS:
            return _METHODS[name](self._moment, self._nanoseconds)
        if name in ("UTC", "Local"):
            zone = UTC if name == "UTC" else None
            return GoTime(self._moment.astimezone(zone))
        if name == "String":
            return str(self)
        if name == "Format":
            raise GoFault("wrong number of args for Format: want 1 got 0")
        raise GoFault(f"can't evaluate field {name} in type time.Time")

    def go_call(self, name: str, *args: Any) -> Any:
        """A method with arguments. Raises GoFault."""
        if name != "Format":
            self.go_member(name)
            raise GoFault(f"wrong number of args for {name}: want 0 got {len(args)}")
        if len(args) != 1:
            raise GoFault(f"wrong number of args for Format: want 1 got {len(args)}")
        if not isinstance(args[0], str):
            raise GoFault("Format wants a layout as text")
        return self.formatted(args[0])

    def formatted(self, layout: str) -> str:
        """The time as Go's reference time is written in the layout."""
        return _LAYOUT.sub(lambda found: self._field(found[0]), layout)

    def _field(self, name: str) -> str:
        moment = self._moment
        if name[0] in ".,":
            digits = f"{self._nanoseconds:09d}"[: len(name) - 1]
            if name[1] == "0":
                return name[0] + digits
            digits = digits.rstrip("0")
            return name[0] + digits if digits else ""
        if name[0] in "-Z":
            return self._offset(name)
        hour = moment.hour % 12 or 12
        values = {
            "January": _MONTHS[moment.month - 1],
            "Jan": _MONTHS[moment.month - 1][:3],
            "Monday": _DAYS[moment.weekday()],
            "Mon": _DAYS[moment.weekday()][:3],
            "MST": moment.tzname() or "UTC",
            "2006": f"{moment.year:04d}",
            "__2": f"{moment.timetuple().tm_yday:3d}",
            "002": f"{moment.timetuple().tm_yday:03d}",
            "_2": f"{moment.day:2d}",
            "01": f"{moment.month:02d}",
            "1": str(moment.month),
            "02": f"{moment.day:02d}",
            "2": str(moment.day),
            "15": f"{moment.hour:02d}",
            "03": f"{hour:02d}",
            "3": str(hour),
            "04": f"{moment.minute:02d}",
            "4": str(moment.minute),
            "05": f"{moment.second:02d}",
            "5": str(moment.second),
            "06": f"{moment.year % 100:02d}",
            "PM": "AM" if moment.hour < 12 else "PM",
            "pm": "am" if moment.hour < 12 else "pm",
        }
        return values[name]

    def _offset(self, name: str) -> str:
        offset = self._moment.utcoffset()
        total = int(offset.total_seconds()) if offset else 0
        if name[0] == "Z" and total == 0:
            return "Z"
        sign, total = ("-" if total < 0 else "+"), abs(total)
        parts = [f"{total // 3600:02d}", f"{total // 60 % 60:02d}", f"{total % 60:02d}"]
        count = len(name.replace(":", "")) // 2
        return sign + (":" if ":" in name else "").join(parts[:count])


def _unix(moment: datetime) -> int:
    return int(moment.replace(microsecond=0).timestamp())


_METHODS: dict[str, Callable[[datetime, int], Any]] = {
    "Day": lambda moment, _: moment.day,
    "Hour": lambda moment, _: moment.hour,
    "IsZero": lambda _moment, _: False,
    "Minute": lambda moment, _: moment.minute,
    "Month": lambda moment, _: _name(_MONTHS[moment.month - 1], moment.month),
    "Nanosecond": lambda _, nanoseconds: nanoseconds,
    "Second": lambda moment, _: moment.second,
    "Unix": lambda moment, _: _unix(moment),
    "UnixMicro": lambda moment, nano: _unix(moment) * 10**6 + nano // 1000,
    "UnixMilli": lambda moment, nano: _unix(moment) * 1000 + nano // 10**6,
    "UnixNano": lambda moment, nano: _unix(moment) * 10**9 + nano,
    "Weekday": lambda moment, _: _name(_DAYS[moment.weekday()], (moment.weekday() + 1) % 7),
    "Year": lambda moment, _: moment.year,
    "YearDay": lambda moment, _: moment.timetuple().tm_yday,
}
