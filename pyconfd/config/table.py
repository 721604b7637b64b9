"""
One table of a TOML file being read: typed access that notes faults instead of stopping at one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from pyconfd.config.options import BadValue, did_you_mean, seconds
from pyconfd.errors import ConfigError, ResourceError
from pyconfd.model.resources import Origin

_MODE = re.compile(r"[0-7]{3,4}")
# An id of -1 means "leave it" to the system call; above this nothing is an id.
_LARGEST_ID = 2**32 - 2
# Two names of one thing.
_SAME = {"debounce": "hold_min", "hold_min": "debounce"}

# Keys of other programs in this place, and what to do instead.
_ELSEWHERE = {
    "check_command": "did you mean check_cmd?",
    "reload_command": "did you mean reload_cmd?",
    "output_format": "check the staged file with check_cmd",
    "backend": "one store for all resources: --backend",
}


class Table:
    """
    A table with its place. Reading a bad value notes a fault and returns the default.

    file: the file that it is in.
    own: the keys of this table.
    values: its own keys, and those of the tables above it (of its group, of its service).
    faults: what is wrong, in order.
    faulty: the keys with faults.
    """

    def __init__(
        self,
        file: str,
        own: Mapping[str, object],
        lines: Mapping[str, int],
        *,
        above: Mapping[str, Table] = MappingProxyType({}),
    ) -> None:
        """lines: key -> line, the table's own under "". above: key -> the table that holds it."""
        self.file = file
        self.own = own
        shared = {key: table.own[key] for key, table in above.items()}
        self.values: Mapping[str, object] = {**shared, **own} if shared else own
        self.faults: list[ConfigError] = []
        self.faulty: set[str] = set()
        self._lines = lines
        self._above = above

    def in_group(self, group: Table, keys: Collection[str]) -> Table:
        """
        This table as a member of a group. keys: those that apply to all members when the group has
        them; a member with another value is a fault.
        """
        shared = {key: raw for key, raw in group.own.items() if key in keys}
        twins = {key: _SAME[key] for key in shared if key in _SAME}
        table = self._below(group, [key for key in shared if twins.get(key) not in self.own])
        for key, raw in shared.items():
            mine = key if key in self.own else twins.get(key, key)
            if self.own.get(mine, raw) != raw:
                place = Origin(group.file, group.line(key))
                what = f"{mine} is something else for the group: {place}"
                table.fault(mine, what, "what a group says holds for all its members")
        return table

    def in_service(self, service: Table, name: str, keys: Collection[str]) -> Table:
        """
        This table as a resource of the service `name`. keys: those that only the service may have.
        """
        table = self._below(service, [key for key in service.own if key in keys])
        for key in keys:
            if key in self.values:
                place = Origin(service.file, service.line(key))
                hint = f"leave it out here, or move it to [service.{name}]"
                self.fault(key, f"{key} is a matter of service {name}: {place}", hint)
        table.faults += self.faults
        table.faulty |= self.faulty
        return table

    def _below(self, table: Table, keys: Iterable[str]) -> Table:
        above = {**self._above, **dict.fromkeys(keys, table)}
        return Table(self.file, self.own, self._lines, above=above)

    def line(self, key: str = "") -> int:
        """The place of the key, or of the table when the key is not found."""
        return self._lines.get(key) or self._lines.get("", 0)

    def fault(self, key: str, what: str, hint: str = "") -> None:
        """
        Note a fault of `key` ("" for the table). If the key is in a table above, the fault names
        that.
        """
        if key in self._above and key not in self.own:
            self._above[key].fault(key, what, hint)
            return
        self.faulty.add(key)
        fault = ResourceError(what, where=str(Origin(self.file, self.line(key))), hint=hint)
        if str(fault) not in map(str, self.faults):  # each member of a group reads the group's keys
            self.faults.append(fault)

    def has(self, key: str) -> bool:
        """Whether the key is given, here or in a table above."""
        return key in self.values

    def only(self, known: Sequence[str]) -> None:
        """Note every key that is not known."""
        for key in self.own:
            if key not in known:
                hint = _ELSEWHERE.get(key) or did_you_mean(key, known)
                self.fault(key, f"unknown key: {key}", hint)

    def text(self, key: str) -> str:
        """A string, "" when it is not given."""
        raw = self.values.get(key, "")
        if not isinstance(raw, str):
            self.fault(key, f"{key} is not text", f'write {key} = "..."')
            return ""
        if "\0" in raw:
            self.fault(key, f"{key} holds a NUL character")
        return raw

    def required_text(self, key: str) -> str:
        """A string that must be given and not be empty."""
        if key not in self.values:
            self.fault("", f"{key} is missing")
            return ""
        text = self.text(key)
        if self.values[key] == "":
            self.fault(key, f"{key} is empty")
        return text

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings."""
        raw = self.values.get(key, [])
        if not isinstance(raw, list) or any(not isinstance(item, str) for item in raw):
            self.fault(key, f"{key} is not a list of strings", f'write {key} = ["/..."]')
            return ()
        return tuple(raw)

    def flag(self, key: str, default: bool = False) -> bool:
        """true or false."""
        raw = self.values.get(key, default)
        if not isinstance(raw, bool):
            self.fault(key, f"{key} is not true or false")
            return default
        return raw

    def number(self, key: str, default: int) -> int:
        """A whole number of 1 or more."""
        raw = self.values.get(key, default)
        if isinstance(raw, bool) or not isinstance(raw, int) or raw < 1:
            self.fault(key, f"{key} is not a whole number of 1 or more")
            return default
        return raw

    def seconds(self, key: str, default: float, *, above: float | None = None) -> float:
        """A duration. above: it must be more than this."""
        if key not in self.values:
            return default
        try:
            value = seconds(self.values[key])
        except BadValue as error:
            self.fault(key, f"{key}: {error}")
            return default
        if above is not None and value <= above:
            self.fault(key, f"{key}: must be above {above:g}")
            return default
        return value

    def mode(self) -> int | None:
        """Permission bits, written as octal digits in quotes; None when not given."""
        raw = self.values.get("mode", "")
        if raw == "":
            return None
        if not isinstance(raw, str):
            self.fault("mode", "mode is a number", 'write the octal digits in quotes: "0644"')
            return None
        if not _MODE.fullmatch(raw):
            self.fault("mode", f"mode {raw!r} is not octal", 'write three digits 0 to 7: "0644"')
            return None
        if len(raw) == 4 and raw[0] != "0":
            self.fault(
                "mode", f"mode {raw!r} sets setuid, setgid or sticky", "use the last three digits"
            )
            return None
        return int(raw, 8)

    def account(self, number: str, name: str) -> int | None:
        """A user or group by number or by name; None when neither is given."""
        if self.has(number) and self.has(name):
            self.fault(name, f"{name} and {number} are both given", "leave one out")
            return None
        if name_text := self.text(name):
            return self._id_of(name, name_text)
        raw = self.values.get(number)
        if raw is None:
            return None
        if isinstance(raw, bool) or not isinstance(raw, int) or not 0 <= raw <= _LARGEST_ID:
            self.fault(number, f"{number} is not a number of 0 or more", f"names go into {name}")
            return None
        return raw

    def _id_of(self, key: str, name: str) -> int | None:
        try:
            if key == "owner":
                import pwd

                return pwd.getpwnam(name).pw_uid
            import grp

            return grp.getgrnam(name).gr_gid
        except KeyError:
            what = "user" if key == "owner" else "group"
            number = "uid" if key == "owner" else "gid"
            hint = "members of a [group.NAME] are listed there" if key == "group" else ""
            hint = f"numbers go into {number}" if name.isdigit() else hint
            self.fault(key, f"there is no {what} called {name}", hint)
            return None
