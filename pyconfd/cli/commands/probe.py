"""
`pyconfd probe`: tests whether something answers, for keepalived's vrrp_script, confirm_cmd and
monitoring.

Exit status: 0 good, 1 bad, 2 wrong usage. With --nagios: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.

It is started every second or two, so it reads neither environment nor config file, and imports only
what the targets need.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pyconfd.cli import nagios
from pyconfd.config.arguments import Arguments, read_arguments
from pyconfd.config.options import Option, layered
from pyconfd.errors import SettingsError
from pyconfd.system.probing import Expected, ProbeAnswer, Target, parse_target, probe

GOOD, BAD = 0, 1
#: For a thread whose time is over to report that.
_LEAVE_S = 0.05

# fmt: off
PROBE_OPTIONS = (
    Option("timeout", "wait", 2.0, "for each target"),
    Option("all", "flag", False, "every target must be good"),
    Option("any", "flag", False, "one is enough"),
    Option("expect", "text", "", "text that the answer must hold"),
    Option("status", "text", (), "HTTP status that is good", repeatable=True),
    Option("host", "text", "", "Host header, and name for TLS"),
    Option("follow", "flag", False, "go where redirects lead"),
    Option("verify", "flag", False, "check the certificate"),
    Option("nagios", "flag", False, "print it as a monitoring plugin"),
    Option("warning", "wait", None, "a slower answer is WARNING"),
    Option("critical", "wait", None, "a slower answer is CRITICAL"),
    Option("quiet", "flag", False, "print nothing"),
)
# fmt: on

_HELP = """\
usage: pyconfd probe TARGET ... [OPTIONS]

Asks each target once, all at the same time. Exit status: 0 good, 1 bad, 2 wrong usage; with
--nagios 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.

Targets
  http://HOST[:PORT][/PATH], https://...   answers with a good HTTP status
  tcp://HOST:PORT, unix:/PATH              accepts connections
  pid:/PATH[?name=NAME]                    the file holds the id of a process that runs, called NAME

Options
  --timeout TIME    for each target [default 2]
  --all             every target must be good [default]
  --any             one good target is enough
  --expect TEXT     the answer holds this text: the page, or what a tcp or unix server sends first
  --status CODES    HTTP statuses that are good: 200, or 200-299; may be repeated [default 200-399]
  --host NAME       the Host header, and the name for TLS; default: that of the URL
  --follow          go where redirects lead; without it a redirect is an answer
  --verify          https: the certificate must be good for the name
  --nagios          one line for monitoring, with its exit statuses
  --warning TIME    with --nagios: a slower answer is WARNING
  --critical TIME   with --nagios: a slower answer is CRITICAL
  --quiet           print nothing

Examples
  pyconfd probe http://127.0.0.1/health pid:/run/nginx.pid?name=nginx
  pyconfd probe --nagios --warning 500ms --critical 2s --timeout 5s http://127.0.0.1/
"""


class TargetAnswer(NamedTuple):
    """The answer of a target, and how long it took in seconds."""

    target: Target
    answer: ProbeAnswer
    took_s: float


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:  # noqa: ARG001 - as every command
    """Probe, print what was seen, and return the exit status."""
    arguments = read_arguments(argv, PROBE_OPTIONS)
    if arguments.help:
        from pyconfd.cli.help import show_help

        show_help(_HELP.partition("\nOptions\n")[0], PROBE_OPTIONS, _HELP)
        return GOOD
    values: dict[str, Any] = {
        name: each.value for name, each in layered(PROBE_OPTIONS, arguments.given).items()
    }
    targets = _targets(arguments)
    wanted = _wanted(values, arguments)
    _together(values, arguments)
    if arguments.faults:
        if not values["nagios"]:
            raise SettingsError("pyconfd probe", faults=tuple(arguments.faults))
        text = "; ".join(map(str, arguments.faults))
        sys.stdout.write(nagios.plugin_line(nagios.UNKNOWN, text))
        return nagios.UNKNOWN
    answers = probe_all(targets, wanted, values["timeout"])
    if values["nagios"]:
        return _as_plugin(answers, values)
    if not values["quiet"]:
        sys.stdout.write("".join(f"{_line(each)}\n" for each in answers))
    return GOOD if _is_good(answers, values["any"]) else BAD


def probe_all(targets: Sequence[Target], wanted: Expected, timeout_s: float) -> list[TargetAnswer]:
    """
    The answers, in order. Each target is probed on a thread of its own: the resolver can take
    longer than any timeout for a name that does not exist, and its thread is then left behind.
    """
    answers: dict[Target, TargetAnswer] = {}

    def one(target: Target) -> None:
        begun = time.monotonic()
        answer = probe(target, wanted, timeout_s)
        answers[target] = TargetAnswer(target, answer, time.monotonic() - begun)

    deadline = time.monotonic() + timeout_s + _LEAVE_S
    threads = [threading.Thread(target=one, args=(each,), daemon=True) for each in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = ProbeAnswer(False, f"no answer within {timeout_s:g} s")
    return [answers.get(each, TargetAnswer(each, late, timeout_s)) for each in targets]


def _targets(arguments: Arguments) -> list[Target]:
    words = [*arguments.words, *(arguments.rest or ())]
    if not words:
        what = "names no target"
        arguments.faults.append(SettingsError(what, where="pyconfd probe", hint="see --help"))
    found = []
    for word in words:
        try:
            found.append(parse_target(word))
        except ValueError as error:
            arguments.faults.append(SettingsError(str(error), where=word, hint="see --help"))
    return found


def _wanted(values: Mapping[str, Any], arguments: Arguments) -> Expected:
    ranges = []
    for word in values["status"]:
        first, _, last = word.partition("-")
        last = last or first
        if first.isdigit() and last.isdigit() and 100 <= int(first) <= int(last) <= 999:
            ranges.append((int(first), int(last)))
        else:
            what = f"{word!r} is not an HTTP status"
            arguments.faults.append(SettingsError(what, where="--status", hint="200, or 200-299"))
    if not values["host"].isprintable():
        what = "holds a character that no name may hold"
        arguments.faults.append(SettingsError(what, where="--host"))
    return Expected(
        statuses=tuple(ranges) or Expected().statuses,
        expect=values["expect"],
        host=values["host"],
        follow=values["follow"],
        verify=values["verify"],
    )


def _together(values: Mapping[str, Any], arguments: Arguments) -> None:
    """Faults of options that are valid alone but not together."""
    if values["all"] and values["any"]:
        arguments.faults.append(SettingsError("is given together with --all", where="--any"))
    for name in ("warning", "critical"):
        if values[name] is not None and not values["nagios"]:
            arguments.faults.append(SettingsError("works with --nagios only", where=f"--{name}"))


def _is_good(answers: Sequence[TargetAnswer], one_is_enough: bool) -> bool:
    good = [each.answer.good for each in answers]
    return any(good) if one_is_enough else all(good)


def _line(probed: TargetAnswer) -> str:
    word = "good" if probed.answer.good else "bad "
    return f"{word}  {probed.target.text}: {probed.answer.what} ({probed.took_s * 1000:.0f} ms)"


def _as_plugin(answers: Sequence[TargetAnswer], values: Mapping[str, Any]) -> int:
    """
    The plugin's state. Bad is CRITICAL. Of good answers the slowest counts, or with --any the
    fastest.
    """
    warning, critical = values["warning"], values["critical"]
    good = [each.took_s for each in answers if each.answer.good]
    took_s = min(good) if values["any"] and good else max(each.took_s for each in answers)
    status = nagios.OK
    if not _is_good(answers, values["any"]) or (critical is not None and took_s > critical):
        status = nagios.CRITICAL
    elif warning is not None and took_s > warning:
        status = nagios.WARNING
    ordered = sorted(answers, key=lambda each: each.answer.good)  # what is wrong comes first
    text = ", ".join(f"{each.target.text} {each.answer.what}" for each in ordered)
    figures = [nagios.figure("time", took_s, "s", warning=warning, critical=critical)]
    if len(answers) > 1:
        figures.append(nagios.figure("good", len(good), most=len(answers)))
    sys.stdout.write(nagios.plugin_line(status, text, *figures))
    return status
