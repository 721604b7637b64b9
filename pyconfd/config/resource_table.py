"""One [template] table: from what the operator wrote to a resource, noting every fault."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Protocol

from pyconfd.config import shipped
from pyconfd.config.confirm import CONFIRM_KEYS, read_confirm
from pyconfd.config.guards import GUARD_KEYS, read_guard
from pyconfd.config.nginx import INTERVAL_S, read_nginx, usual_reload
from pyconfd.config.options import did_you_mean
from pyconfd.config.runtime import RUNTIME_KEYS, read_runtime
from pyconfd.config.shell_commands import note_faults
from pyconfd.config.table import Table
from pyconfd.model.command_line import names_file
from pyconfd.model.keys import is_under, join_paths, key_path
from pyconfd.model.resources import (
    EACH_LIMIT,
    Command,
    Expansion,
    Nginx,
    Origin,
    Resource,
    Service,
)

#: How a service is reloaded: keys of [service.NAME], or of the resources of a service without one.
SERVICE_KEYS = (
    "reload_cmd", "reload_cmd_timeout", *CONFIRM_KEYS, "on_reload_failure", "min_reload_interval",
    *RUNTIME_KEYS,
)  # fmt: skip

#: What a group may have for all its members.
SHARED_KEYS = (
    "check", "nginx_conf", "nginx_bin", "nginx_prefix", "service", *SERVICE_KEYS,
    "hold_min", "hold_max", "debounce", "format", *GUARD_KEYS,
)  # fmt: skip

KEYS = (
    "src", "engine", "dest", "keys", "prefix", "each", "each_names", "each_limit", "adopt",
    "mode", "uid", "gid", "owner", "group", "make_dirs",
    "check_cmd", "check_cmd_timeout", "render_timeout", *SHARED_KEYS,
)  # fmt: skip

#: The languages of templates.
ENGINES = ("go", "jinja2")

#: What the fork can parse an output as.
OUTPUT_FORMATS = ("json", "yaml", "yml", "toml", "xml")

_HOLD_MAX_S = 10.0
_PATTERN = re.compile(r"[*?]|\[[^\]]*\]")


class Defaults(Protocol):
    """The defaults that resources take from the settings."""

    @property
    def backend(self) -> str: ...
    @property
    def prefix(self) -> str: ...
    @property
    def resource(self) -> tuple[str, ...]: ...
    @property
    def check_cmd_timeout_s(self) -> float: ...
    @property
    def reload_cmd_timeout_s(self) -> float: ...
    @property
    def hold_min_s(self) -> float: ...
    @property
    def compat(self) -> str: ...
    @property
    def render_timeout_s(self) -> float: ...


def read_resource(
    name: str, table: Table, templates: Templates, settings: Defaults, group: str = ""
) -> Resource | None:
    """The resource of one table, None when it has faults. group: the group that it belongs to."""
    table.only((*KEYS, "output_format") if settings.compat else KEYS)
    src, dest = table.required_text("src"), table.required_text("dest")
    if src:
        templates.check(table, src)
    if dest:
        dest = _destination(table, dest)
        _not_its_own(table, dest, templates.path(src))
    keys = _keys(table)
    resource = Resource(
        name=name,
        origin=Origin(table.file, table.line()),
        src=os.path.normpath(src),
        engine=_engine(table),
        dest=dest,
        prefix=join_paths(settings.prefix, table.text("prefix")),
        keys=keys,
        each=_each(table, dest, keys, group),
        each_names=_each_names(table),
        each_limit=table.number("each_limit", EACH_LIMIT),
        adopt=table.flag("adopt"),
        mode=table.mode(),
        uid=table.account("uid", "owner"),
        gid=table.account("gid", "group"),
        make_dirs=table.flag("make_dirs"),
        render_timeout_s=table.seconds("render_timeout", settings.render_timeout_s, above=0.0),
        check=_command(table, "check_cmd", settings.check_cmd_timeout_s, settings.compat),
        group=group,
        compat=settings.compat,
        output_format=_output_format(table),
        **read_shared(table, settings),
    )
    confirm = resource.service.confirm
    if confirm and resource.reload is None:
        key = "confirm_cmd" if confirm.command else "confirm"
        table.fault(key, f"{key} is of use with a reload_cmd only")
    if resource.service.runtime and resource.reload is None:
        table.fault("runtime", "runtime is of use with a reload_cmd only")
    return None if table.faults else resource


def read_shared(table: Table, settings: Defaults) -> dict[str, Any]:
    """The keys that both a group and a resource may have, as fields of Resource."""
    nginx = read_nginx(table)
    hold_min_s = _hold_min(table, settings.hold_min_s)
    hold_max_s = table.seconds("hold_max", max(_HOLD_MAX_S, hold_min_s))
    if hold_max_s < hold_min_s:
        table.fault("hold_max", "hold_max is less than hold_min")
    return {
        "nginx": nginx,
        "service": _service(table, nginx, settings),
        "hold_min_s": hold_min_s,
        "hold_max_s": hold_max_s,
        "format": _format(table, "nginx" if nginx else ""),
        "guard": read_guard(table),
    }


def _service(table: Table, nginx: Nginx | None, settings: Defaults) -> Service:
    """
    How the service is reloaded. nginx: the nginx that checks the files in context; it has defaults.
    """
    usual = usual_reload(nginx) if nginx else ""
    timeout_s = settings.reload_cmd_timeout_s
    reload = _command(table, "reload_cmd", timeout_s, settings.compat, usual)
    if reload and not table.has("reload_cmd"):
        reload = replace(reload, usual=True)
    return Service(
        name=table.text("service"),
        reload=reload,
        confirm=read_confirm(table, nginx, reloads=reload is not None),
        on_reload_failure=_on_reload_failure(table),
        min_reload_interval_s=table.seconds("min_reload_interval", INTERVAL_S if nginx else 0.0),
        runtime=read_runtime(table),
    )


def _keys(table: Table) -> tuple[str, ...]:
    if not table.has("keys"):
        hint = "name the key paths the template reads; keys = [] if it reads none"
        table.fault("", "keys is missing", hint)
        return ()
    keys = table.texts("keys")
    if "" in keys:
        table.fault("keys", "keys holds an empty path", 'write "/" for the whole store')
    for key in keys:
        if _PATTERN.search(key):
            what = f"keys holds a pattern: {key}; a path already covers all keys below it"
            table.fault("keys", what, f'write "{_above_pattern(key)}"')
    return tuple(dict.fromkeys(key_path(key) for key in keys))


def _above_pattern(key: str) -> str:
    """The path above the first name with a special character."""
    names = key_path(key).split("/")
    first = next(at for at, name in enumerate(names) if _PATTERN.search(name))
    return "/".join(names[:first]) or "/"


def _each(table: Table, dest: str, keys: tuple[str, ...], group: str) -> str:
    """The key path whose children each have a destination; "" for a resource with a single one."""
    each = table.text("each")
    places = dest.count("{name}")
    if not each:
        if places:
            table.fault("dest", "dest holds {name} without each", 'write each = "/..."')
        return ""
    if group:
        what = f"a resource with each cannot be a member of a group: {group}"
        table.fault("each", what, "take it out of the group")
    for key, verb in (("reload_cmd", "reloads"), ("confirm_cmd", "confirms")):
        if names_file(str(table.values.get(key, ""))):
            what = f"{key} names one file, and a resource with each has many"
            table.fault(key, what, f"write a command that {verb} all of them")
    each = key_path(each)
    hint = "each name below `each` is put in its place"
    if dest and not places:
        table.fault("dest", "dest holds no {name}", hint)
    if places > 1:
        table.fault("dest", "dest holds {name} more than once", hint)
    known = table.has("keys") and "keys" not in table.faulty
    if known and not any(is_under(each, key) for key in keys):
        table.fault("each", f"each is not below one of the keys: {each}")
    return each


def _each_names(table: Table) -> str:
    word = table.text("each_names") or "safe"
    for key in ("each_names", "each_limit", "adopt"):
        if table.has(key) and not table.has("each"):
            table.fault(key, f"{key} is of use with each only")
    if word not in ("safe", "any"):
        what = f"each_names {word!r} is not known"
        table.fault("each_names", what, 'write "safe" or "any"')
    return word


def _destination(table: Table, dest: str) -> str:
    """The absolute path. A relative one starts at the current folder, as with confd."""
    if dest.endswith("/") or os.path.isdir(dest):
        table.fault("dest", f"dest is a folder: {dest}", "name the file")
    return os.path.abspath(dest)


def _not_its_own(table: Table, dest: str, template: str) -> None:
    """Note a fault when the destination is the template or the resource file itself."""
    try:
        facts = os.stat(dest)
    except OSError:
        return
    for path, what in ((template, "its own template"), (table.file, "this very file")):
        with contextlib.suppress(OSError):
            if os.path.samestat(facts, os.stat(path)):
                table.fault("dest", f"dest is {what}", "name another one")


def _hold_min(table: Table, usual_s: float) -> float:
    if table.has("debounce") and table.has("hold_min"):
        table.fault("debounce", "debounce is another name of hold_min, and both are given")
    return table.seconds("debounce" if table.has("debounce") else "hold_min", usual_s)


def _command(
    table: Table, key: str, timeout_s: float, compat: str, usual: str = ""
) -> Command | None:
    """
    A command line; the empty string is none, as in confd. usual: the default.
    """
    timeout_s = table.seconds(f"{key}_timeout", timeout_s, above=0.0)
    if isinstance(table.values.get(key), list):
        table.fault(key, f"{key} is a list", "write one string; the shell takes it apart")
        return None
    text = table.text(key) if table.has(key) else usual
    expansion = _expansion(key, compat) if "{{" in text else Expansion.PLACEHOLDERS
    if expansion is Expansion.PLACEHOLDERS:
        note_faults(table, key, text)
    return Command(text, timeout_s, expansion=expansion) if text.strip() else None


def _expansion(key: str, compat: str) -> Expansion:
    """How confd reads the braces of a command line; "" for pyconfd's own trees."""
    if not compat:
        return Expansion.PLACEHOLDERS
    return Expansion.NONE if (key, compat) == ("reload_cmd", "confd") else Expansion.GO


def _output_format(table: Table) -> str:
    """The fork's `output_format`, in its trees."""
    word = table.text("output_format")
    if word and word not in OUTPUT_FORMATS:
        what = f"output_format {word!r} is not known"
        hint = did_you_mean(word, OUTPUT_FORMATS) or f"there are {', '.join(OUTPUT_FORMATS)}"
        table.fault("output_format", what, hint)
    return word


def _on_reload_failure(table: Table) -> str:
    word = table.text("on_reload_failure") or "keep"
    if word not in ("keep", "revert"):
        what = f"on_reload_failure {word!r} is not known"
        table.fault("on_reload_failure", what, 'write "keep" or "revert"')
    return word


def _engine(table: Table) -> str:
    """The language of the template; "" to find it out."""
    word = table.text("engine")
    if word and word not in ENGINES:
        hint = did_you_mean(word, ENGINES) or 'write "go" or "jinja2"'
        table.fault("engine", f"engine {word!r} is not known", hint)
    return word


def _format(table: Table, usual: str) -> str:
    """How the destination is read; "" when its values are not checked."""
    name = table.text("format") if table.has("format") else usual
    if not name:
        return ""
    known = shipped.names("formats")
    if name not in known:
        hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
        table.fault("format", f"format {name!r} is not known", hint)
    return name


class Templates:
    """The templates folder: whether a template exists, and if not, which one was probably meant."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def check(self, table: Table, src: str) -> None:
        """Add a fault to the table when `src` is no file within the folder."""
        if os.path.isabs(src) or os.path.normpath(src).split("/")[0] == "..":
            table.fault("src", f"src leaves the templates folder: {src}", f"it is {self._folder}")
            return
        path = self.path(src)
        try:
            kind = os.stat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            table.fault("src", f"template does not exist: {path}", self._meant(src))
        except OSError as error:
            table.fault("src", f"template cannot be read ({error.strerror}): {path}")
        else:
            if not stat.S_ISREG(kind):
                what = "is a folder" if stat.S_ISDIR(kind) else "is not a regular file"
                table.fault("src", f"template {what}: {path}", self._meant(src))

    def path(self, src: str) -> str:
        """Where a template lies."""
        return os.path.join(self._folder, src)

    def _meant(self, src: str) -> str:
        """The template of this name in another folder, else the nearest name."""
        names = list(self._names())
        same = [name for name in names if os.path.basename(name) == os.path.basename(src)]
        return did_you_mean(src, same, 0.0) or did_you_mean(src, names)

    def _names(self) -> Iterator[str]:
        for folder, _, names in os.walk(self._folder):
            for name in names:
                yield os.path.relpath(os.path.join(folder, name), self._folder)
