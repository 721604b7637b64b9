"""
Recognises limits of this host in the output of a checker: open files, disk, memory. Pure.

A checker that met a limit gave no verdict about its files.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass

_HINTS = {
    errno.EMFILE: "raise LimitNOFILE= of pyconfd's unit (or ulimit -Hn) to what the service has",
    errno.ENFILE: "raise fs.file-max (sysctl)",
    errno.ENOSPC: "free disk space",
    errno.EDQUOT: "free disk space, or raise the quota",
    errno.ENOMEM: "free memory, or raise MemoryMax= of pyconfd's unit",
    errno.EAGAIN: "raise TasksMax= of pyconfd's unit (or ulimit -u)",
}
#: As glibc and musl have them; the last is a shell's.
_TEXTS = {
    "Too many open files in system": errno.ENFILE,
    "Too many open files": errno.EMFILE,
    "No file descriptors available": errno.EMFILE,
    "No space left on device": errno.ENOSPC,
    "Disk quota exceeded": errno.EDQUOT,
    "Quota exceeded": errno.EDQUOT,
    "Cannot allocate memory": errno.ENOMEM,
    "Resource temporarily unavailable": errno.EAGAIN,
    "Cannot fork": errno.EAGAIN,
}
_ANY = "|".join(_TEXTS)
#: `open() "/x.log" failed (24: Too many open files)`: what stands before it may quote a value, so
#: the end counts. OpenSSL's part of a message about a certificate follows the quoted name of it.
_NGINX = re.compile(
    r"\((?P<number>\d+): [^()\"]*\)$"
    r"|^[\w ()]+ \"[^\"]*\": \w+\(\) failed \(SSL: error:\w+:system library:\w*:"
    rf"(?P<text>{_ANY})\b"
)
#: `x: Too many open files`, `[Errno 24] Too many open files: 'x'`, `(24)Too many open files: AH1`.
_LINE = re.compile(rf"[:(] ?({_ANY})[.)]*$|(?:\(\d+\)|\[Errno \d+\] )({_ANY})\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Exhausted:
    """
    A limit that was met.

    what: in the system's words.
    hint: how to raise it.
    of_disk: it concerns one file system; other files may be on another.
    """

    what: str
    hint: str
    of_disk: bool = False


def in_message(message: str) -> Exhausted | None:
    """The limit in one message of nginx, without the place at its end."""
    found = _NGINX.search(message)
    if found is None:
        return None
    return by_number(_TEXTS[found["text"]] if found["text"] else int(found["number"]))


def in_output(output: str) -> Exhausted | None:
    """The limit in the output of any command."""
    found = _LINE.search(output)
    return by_number(_TEXTS[found[1] or found[2]]) if found else None


def by_number(number: int | None) -> Exhausted | None:
    """The limit that an errno stands for; None when it stands for something else."""
    if number not in _HINTS:
        return None
    what = next(text for text, each in _TEXTS.items() if each == number)
    return Exhausted(what.lower(), _HINTS[number], number in (errno.ENOSPC, errno.EDQUOT))
