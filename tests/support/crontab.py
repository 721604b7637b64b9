"""What cron makes of a line of a file of /etc/cron.d, by the grammar of crontab(5)."""

from __future__ import annotations

import re

ENTRY = re.compile(r"((?:\S+[ \t]+){5})(\S+)[ \t]+(.+)")
NICKNAME = re.compile(r"(@\S+)[ \t]+(\S+)[ \t]+(.+)")
# load_env of cron tries this first; a name may be in quotes.
ASSIGNMENT = re.compile(r"\s*(\"[^\"]*\"|'[^']*'|[^\s=]+)\s*=\s*(.*)")


def read_line(line: str) -> tuple[str, ...]:
    """What cron takes a line of a file of /etc/cron.d for, and its parts."""
    assert "\n" not in line
    if line.lstrip(" \t")[:1] in ("#", ""):
        return ("nothing",)
    if found := ASSIGNMENT.fullmatch(line):
        return ("assignment", found[1], found[2])
    if line.startswith("@") and (found := NICKNAME.fullmatch(line)):
        return ("entry", *found.groups())
    found = ENTRY.fullmatch(line)
    assert found, line
    command, percent, _ = found[3].partition("%")
    assert not percent, "input of the command"
    return ("entry", found[1].strip(), found[2], command)
