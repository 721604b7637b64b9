"""Finds files and programs that are named but missing on this machine. Shell: looks for files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pyconfd.config.settings import Settings
from pyconfd.errors import ResourceError
from pyconfd.model.command_line import has_actions
from pyconfd.model.programs import programs
from pyconfd.model.resources import Command, Expansion, Origin, Resource

#: Where sudo looks as well, as it is usually set up (secure_path).
_OF_SUDO = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


def missing_files(settings: Settings) -> Iterator[ResourceError]:
    """One warning for each TLS file of the settings that cannot be read here."""
    for option, path in (
        ("--client-ca-keys", settings.client_ca_keys),
        ("--client-cert", settings.client_cert),
        ("--client-key", settings.client_key),
    ):
        if path and not os.access(path, os.R_OK):
            why = "cannot be read" if os.path.exists(path) else "does not exist"
            yield ResourceError(f"{why}: {path}", where=option)


def missing_programs(
    resources: Iterable[Resource], environ: Mapping[str, str]
) -> list[ResourceError]:
    """One warning for each key and missing program, at the first resource that names it."""
    found: dict[tuple[str, str, str], list[Origin]] = {}
    path = environ.get("PATH") or os.defpath
    for resource in resources:
        for key, names in _programs(resource):
            searched = f"{path}:{_OF_SUDO}" if "sudo" in names else path
            for program in names:
                found.setdefault((key, program, searched), []).append(resource.origin)
    return [
        _missing(key, program, origins)
        for (key, program, searched), origins in found.items()
        if shutil.which(program, path=searched) is None
    ]


def _programs(resource: Resource) -> Iterator[tuple[str, Sequence[str]]]:
    """The keys with the programs that they run."""
    confirm, rollout = resource.service.confirm, resource.service.rollout
    commands = {
        "check_cmd": _text(resource.check),
        "reload_cmd": _text(resource.reload),
        "confirm_cmd": confirm.command if confirm else "",
        "verify_cmd": rollout.verify.text if rollout and rollout.verify else "",
    }
    for key, text in commands.items():
        yield key, programs(text)
    if resource.nginx:
        yield "nginx_bin", (resource.nginx.binary,)


def _text(command: Command | None) -> str:
    """The command line; "" where a Go template decides what it is."""
    if command is None:
        return ""
    decided = command.expansion is Expansion.GO and has_actions(command.text)
    return "" if decided else command.text


def _missing(key: str, program: str, origins: list[Origin]) -> ResourceError:
    if os.path.exists(program):
        what = f"{key}: not an executable file: {program}"
    else:
        what = f"{key}: program not found: {program}"
    more = len(set(origins)) - 1
    if more:
        what += f" (and at {more} more resource{'s' * (more != 1)})"
    hint = "" if program.startswith("/") else "it is not on PATH"
    return ResourceError(what, where=str(origins[0]), hint=hint)
