"""
The manual: pyconfd(1), pyconfd-register(1), pyconfd.toml(5), pyconfd-resource(5).

Options come from the tables that read the command line, keys from those that read the files and
from the pages that document them.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from generate.documented import GROUP, RESOURCE, ROLLOUT, ROOT, SERVICE, Documented
from pyconfd import __version__
from pyconfd.cli.command_pages import page_of
from pyconfd.cli.help import default_of
from pyconfd.cli.main import COMMANDS
from pyconfd.config.option_table import OPTIONS, TABLES
from pyconfd.config.options import Option
from pyconfd.config.resource_table import KEYS, SERVICE_KEYS
from pyconfd.config.rollouts import ROLLOUT_KEYS

EXIT_STATUS = {
    "0": "done",
    "1": "at least one resource failed; the others were done",
    "2": "wrong usage or configuration; nothing was done",
    "3": "with --noop --detailed-exitcode: something would change",
    "130, 143": "ended by Ctrl-C or SIGTERM before it was done",
}
REGISTER_EXIT_STATUS = {
    "0": "stopped by a signal; with a command, its own exit status",
    "2": "wrong usage",
    "126, 127": "the command cannot be run, or is not there",
}
_FILES = {
    "/etc/pyconfd/pyconfd.toml": "settings, pyconfd.toml(5)",
    "/etc/pyconfd/conf.d/": "resources, pyconfd-resource(5)",
    "/etc/pyconfd/templates/": "their templates",
    "/var/lib/pyconfd/": "pending reloads, and what was last written",
}
_GROUPS = {option.group for option in OPTIONS}


def files() -> dict[str, str]:
    """Path below the repository -> what is in it."""
    return {
        "packaging/man/man1/pyconfd.1": _pyconfd(),
        "packaging/man/man1/pyconfd-register.1": _register(),
        "packaging/man/man5/pyconfd.toml.5": _settings(),
        "packaging/man/man5/pyconfd-resource.5": _resource(),
    }


def _pyconfd() -> str:
    lines = _head("pyconfd", 1, "keeps configuration files up to date with a live store")
    usage = page_of("").usage
    lines += [*_synopsis(usage), ".SH DESCRIPTION", *_text(_behind_usage(usage))]
    lines += [*_text(
        "Every option can also be given as an environment variable and as a key of the config"
        " file, pyconfd.toml(5). The command line comes before the environment, that before the"
        " file. Long options take one dash or two; flags can be switched off with --no-NAME."
    )]  # fmt: skip
    lines.append(".SH COMMANDS")
    for name in COMMANDS:
        lines += _command(name)
    lines += [".SH OPTIONS", *_grouped(OPTIONS)]
    lines += [".SH EXIT STATUS", *_terms(EXIT_STATUS), ".SH FILES", *_terms(_FILES)]
    return _end(lines, "pyconfd-register(1), pyconfd.toml(5), pyconfd-resource(5), etcd(1)")


def _command(name: str) -> list[str]:
    page = page_of(name)
    lines = [f".SS pyconfd {_escaped(name)}", *_usage_lines(page.usage)]
    lines += _text(_behind_usage(page.usage))
    if name == "register":
        return [*lines, *_text("Its options are in pyconfd-register(1).")]
    own = [one for one in page.options if one.group not in _GROUPS]
    return [*lines, *(line for option in own for line in _option(option))]


def _register() -> str:
    page = page_of("register")
    lines = _head("pyconfd-register", 1, "publish services in etcd under leases")
    lines += [*_synopsis(page.usage), ".SH DESCRIPTION", *_text(_behind_usage(page.usage))]
    lines += [".SH OPTIONS", *_grouped(page.options)]
    lines += [".SH EXIT STATUS", *_terms(REGISTER_EXIT_STATUS)]
    return _end(lines, "pyconfd(1)")


def _settings() -> str:
    lines = _head("pyconfd.toml", 5, "settings of pyconfd")
    lines += [".SH DESCRIPTION", *_text(
        "The config file, /etc/pyconfd/pyconfd.toml unless --config-file names another, is TOML."
        " Keys may be spelt with _, - or neither, in any case. Times are seconds, or text such as"
        ' "500ms", "10s" or "5m". An option of the command line or a variable of the environment'
        " comes before the file."
    )]  # fmt: skip
    for group in dict.fromkeys(option.group for option in OPTIONS):
        own = [option for option in OPTIONS if option.group == group and option.in_file]
        lines += [f".SS {_escaped(group)}", *(line for one in own for line in _key(one))]
    lines += [".SS Tables", *(line for one in TABLES for line in _key(one))]
    example = 'node = ["10.0.0.5:2379", "10.0.0.6:2379"]\nwatch = true\n\n[vars]\nzone = "eu1"'
    return _end([*lines, ".SH EXAMPLES", *_code(example)], "pyconfd(1), pyconfd-resource(5)")


def _resource() -> str:
    lines = _head("pyconfd-resource", 5, "resource files of pyconfd: conf.d/*.toml")
    lines += [".SH DESCRIPTION", *_text(
        "A resource is a [template] table in a file below conf.d; a file may hold several as"
        " [[template]]. It says which template makes which file from which keys, how the file is"
        " checked, and what is reloaded."
    )]  # fmt: skip
    parts: Sequence[tuple[str, Iterable[str], Mapping[str, Documented]]] = (
        ("KEYS OF A RESOURCE", KEYS, RESOURCE),
        ("KEYS OF A GROUP: [group.NAME]", GROUP, {**GROUP, **RESOURCE}),
        ("KEYS OF A SERVICE: [service.NAME]", SERVICE_KEYS, SERVICE),
        ("KEYS OF A ROLLOUT: [service.NAME.rollout]", ROLLOUT_KEYS, ROLLOUT),
    )
    for title, keys, page in parts:
        lines.append(f".SH {title}")
        for key in keys:
            row = page[key]
            default = f" Default: {row.default}." if row.default not in ("", "-") else ""
            default = " Required." if row.default == "required" else default
            lines += [".TP", f"\\fB{_escaped(key)}\\fR", *_text(f"{row.meaning}.{default}")[1:]]
    example = (
        '[template]\nsrc = "nginx.conf.j2"\ndest = "/etc/nginx/nginx.conf"\nkeys = ["/nginx"]\n'
        'check_cmd = "nginx -t -c {{ src }}"\nreload_cmd = "nginx -s reload"'
    )
    return _end([*lines, ".SH EXAMPLES", *_code(example)], "pyconfd(1), pyconfd.toml(5)")


def _head(name: str, section: int, what: str) -> list[str]:
    kind = "User Commands" if section == 1 else "File Formats"
    date = re.findall(r"(?m)^## \[.*\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text())[0]
    title = f'.TH {name.upper()} {section} "{date}" "pyconfd {__version__}" "{kind}"'
    return ['.\\" Made by python -m generate.', title, ".SH NAME", f"{name} \\- {_escaped(what)}"]


def _end(lines: list[str], also: str) -> str:
    lines = [*lines, ".SH SEE ALSO", also]
    # A heading begins a paragraph by itself.
    kept = [
        line
        for before, line in zip(["", *lines], lines, strict=False)
        if line != ".PP" or not before.startswith((".SH", ".SS"))
    ]
    return "\n".join(one for line in kept for one in _wrapped(line)) + "\n"


def _wrapped(line: str) -> list[str]:
    """A line of text as several short ones; none of them begins like a macro."""
    if line.startswith(".") or len(line) < 80:
        return [line]
    return [
        _escaped_mixed(one)
        for one in textwrap.wrap(line, 78, break_long_words=False, break_on_hyphens=False)
    ]


def _synopsis(usage: str) -> list[str]:
    return [".SH SYNOPSIS", *_usage_lines(usage)]


def _usage_lines(usage: str) -> list[str]:
    head = usage.partition("\n\n")[0].removeprefix("usage: ")
    lines = [f"\\fB{_escaped(line.strip())}\\fR" for line in head.splitlines()]
    return [".nf", *lines, ".fi"]


def _behind_usage(usage: str) -> str:
    return usage.partition("\n\n")[2]


def _grouped(options: Sequence[Option]) -> list[str]:
    lines: list[str] = []
    for group in dict.fromkeys(option.group for option in options):
        own = [option for option in options if option.group == group]
        lines += [f".SS {_escaped(group)}", *(line for one in own for line in _option(one))]
    return lines


def _option(option: Option) -> list[str]:
    usual = "WORD" if option.kind == "text" else "TIME"
    word = "|".join(option.choices) or option.metavar or usual
    value = "" if option.kind == "flag" else f" \\fI{_escaped(word)}\\fR"
    notes = [f"Default: {default_of(option)}."] if default_of(option) else []
    if option.group:
        notes.append(f"Environment: {option.variable}.")
    return [".TP", f"\\fB{_escaped('--' + option.name)}\\fR{value}", *_sentence(option.help, notes)]


def _key(option: Option) -> list[str]:
    notes = [f"One of: {', '.join(option.choices)}."] if option.choices else []
    notes += [f"Default: {default_of(option)}."] if default_of(option) else []
    kind = {"flag": "true or false", "count": "number", "table": "table"}.get(option.kind, "text")
    kind = "time" if option.kind in ("duration", "wait") else kind
    kind = f"list of {kind}s" if option.repeatable else kind
    name = option.name.replace("-", "_")
    return [".TP", f"\\fB{_escaped(name)}\\fR ({kind})", *_sentence(option.help, notes)]


def _sentence(text: str, notes: Sequence[str]) -> list[str]:
    return _text(" ".join([f"{text}.", *notes]))[1:]


def _terms(rows: Mapping[str, str]) -> list[str]:
    return [
        line
        for name, what in rows.items()
        for line in (".TP", f"\\fB{_escaped(name)}\\fR", _escaped(what))
    ]


def _text(text: str) -> list[str]:
    """Paragraphs, each after .PP; indented lines as they are."""
    lines: list[str] = []
    for paragraph in filter(None, text.strip("\n").split("\n\n")):
        if re.search(r"(?m)^  ", paragraph):
            lines += [".PP", *_code(paragraph)]
        else:
            lines += [".PP", _marked(" ".join(paragraph.split()))]
    return lines


def _code(text: str) -> list[str]:
    return [".nf", *(_escaped(line) or "\\&" for line in text.splitlines()), ".fi"]


def _marked(text: str) -> str:
    """Code in back quotes as bold."""
    parts = text.split("`")
    marked = (
        f"\\fB{_escaped(part)}\\fR" if at % 2 else part.replace("\\", "\\e")
        for at, part in enumerate(parts)
    )
    return _escaped_mixed("".join(marked))


def _escaped_mixed(text: str) -> str:
    return f"\\&{text}" if text[:1] in (".", "'") else text


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return _escaped_mixed(text)
