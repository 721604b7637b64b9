"""The paths of a live nginx's pid file and error log. Shell."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pyconfd.errors import ReloadError
from pyconfd.model.resources import Nginx
from pyconfd.pipeline.nginx import include_glob
from pyconfd.pipeline.nginx.shadow import statements
from pyconfd.pipeline.nginx.text import Statement
from pyconfd.system.proc import Runner

_VERSION_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Paths:
    """
    The paths of the master's files.

    pidfile: absolute path.
    log: of errors; "" when it is not a file.
    """

    pidfile: str
    log: str


def paths(nginx: Nginx, run: Runner) -> Paths:
    """
    From the live configuration, or if it names none, from the program itself (`nginx -V`).

    Raises ReloadError when neither can be read.
    """
    built_in = _built_in(nginx, run)
    prefix = nginx.prefix or built_in.get("prefix", "/")
    pidfile, log = built_in.get("pid-path", "logs/nginx.pid"), ""
    logs: list[str] = []
    for statement in _outside_of_blocks(nginx.conf, os.path.dirname(nginx.conf), 0):
        if statement.name == "pid" and statement.args:
            pidfile = statement.args[0]
        if statement.name == "error_log" and statement.args:
            logs.append(statement.args[0])
    for log in logs or [built_in.get("error-log-path", "logs/error.log")]:
        if log != "stderr" and not log.startswith(("syslog:", "memory:")):
            return Paths(os.path.join(prefix, pidfile), os.path.join(prefix, log))
    return Paths(os.path.join(prefix, pidfile), "")


def built_in_prefix(nginx: Nginx, run: Runner) -> str:
    """The folder that relative paths of logs start at when no prefix is configured."""
    return _built_in(nginx, run).get("prefix", "/")


def _outside_of_blocks(path: str, conf_dir: str, level: int) -> Iterator[Statement]:
    """Statements of the outermost context, with its includes (Debian's modules-enabled)."""
    try:
        found = statements(os.path.realpath(path), os.stat(path))
    except OSError as error:
        if level:
            return
        raise ReloadError(
            f"the nginx configuration cannot be read: {error.strerror or error}",
            where=path,
            kept="the reload is pending",
        ) from error
    for statement in found:
        if statement.depth:
            continue
        yield statement
        if statement.name == "include" and statement.args and level < 8:
            for each in _matching(os.path.join(conf_dir, statement.args[0])):
                yield from _outside_of_blocks(each, conf_dir, level + 1)


def _matching(pattern: str) -> list[str]:
    """The matching files; unreadable folders are skipped, like unreadable files."""
    try:
        return include_glob.matching(pattern)
    except OSError:
        return []


def _built_in(nginx: Nginx, run: Runner) -> dict[str, str]:
    """The options that nginx was configured with when it was built, without their dashes."""
    report = run([nginx.binary, "-V"], timeout_s=_VERSION_TIMEOUT_S)
    return dict(re.findall(r"--([\w-]+)=(\S+)", report.output))
