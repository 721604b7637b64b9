"""What the operator declares: resources and the commands that go with them. Pure."""

from __future__ import annotations

import enum
from dataclasses import field, replace

from pyconfd.errors import ConfigError
from pyconfd.model.command_line import names_file
from pyconfd.model.keys import join_paths
from pyconfd.model.values import dataclass

#: More names than this below `each` are an accident, or an attempt to fill the disk.
EACH_LIMIT = 10_000

#: Characters of a value that is checked. Nothing that a daemon reads as one word is longer.
VALUE_LIMIT = 64 * 1024

#: Bytes of a file that a template makes. Those of daemons have some megabytes at most.
OUTPUT_LIMIT = 64 * 1024 * 1024

#: Seconds for a render. Those of real templates take some thousandths.
RENDER_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Origin:
    """
    Where something was declared.

    file: as the operator knows it.
    line: 1-based, 0 for unknown.
    """

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class Expansion(enum.Enum):
    """What the braces of a command line mean."""

    PLACEHOLDERS = "places of the paths"
    GO = "a Go template of src and dest"
    NONE = "nothing"


@dataclass(frozen=True, slots=True)
class Command:
    """
    A shell command line of the operator, run by `/bin/sh -c` as in confd.

    text: as written, with `{{ src }}`, `{{ dest }}` (or confd's `{{.src}}`, `{{.dest}}`) in place.
    timeout_s: after this long its whole process group is ended and it counts as failed.
    usual: the operator wrote none, and this is what pyconfd does then.
    expansion: what its braces mean.
    """

    text: str
    timeout_s: float
    usual: bool = field(default=False, compare=False)
    expansion: Expansion = Expansion.PLACEHOLDERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """
    When a change is too suspicious to act on by itself.

    min_keys: fewest keys that must be there.
    max_shrink: share (0 to 1) of the keys that may vanish at once.
    shrink_in: patterns of folders (below the prefix, `*` for any name) in each of which
    max_shrink counts, too.
    require: key paths (below the prefix) that must exist.
    allow_empty: whether all keys may go; off by default, so that an emptied store empties no file.
    timeout_s: after this long a held change goes through; None: only when the operator releases it.
    """

    min_keys: int = 0
    max_shrink: float = 1.0
    shrink_in: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    allow_empty: bool = False
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Nginx:
    """
    How nginx runs here.

    conf: its main file, absolute.
    binary: found on PATH unless absolute.
    prefix: as its option -p, "" for the built-in one.
    """

    conf: str = "/etc/nginx/nginx.conf"
    binary: str = "nginx"
    prefix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """
    What proves that a reload was taken, beside the exit status of its command.

    by: a daemon that pyconfd knows how to ask (recipes/daemons), "" for none.
    at: its URL, socket or file; "" for an nginx checked in context, whose configuration names it.
    log: its log file, "" for none.
    pid: its pid file, "" for any process of its name.
    command: a command line that is repeated until it succeeds, "" for none.
    timeout_s: how long to wait for each of them, None for the default.
    implied: the operator wrote none; nginx, checked in context, is asked by default.
    """

    by: str = ""
    at: str = ""
    log: str = ""
    pid: str = ""
    command: str = ""
    timeout_s: float | None = None
    implied: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """
    How a running daemon is changed without a reload, where the change is of that kind.

    by: a daemon that pyconfd knows how to change.
    socket: where it listens, "" for one that has a URL.
    at: the URL of its manager, "" for one that has a socket.
    adopt: what was changed there by hand stays until the file has a new value for it.
    """

    by: str
    socket: str = ""
    at: str = ""
    adopt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """
    How the nodes of a fleet take a changed setting: in turn.

    keys: the gated key paths, as in the store; a change below them waits for the node's turn.
    max_parallel: how many nodes may have a turn at once; below 1 it is a share of all.
    canaries: nodes that go first.
    canary_count: how many nodes go first, whichever they are; 0 for none.
    pause_s: how long a node must stay healthy before its turn ends.
    verify: must succeed within the pause.
    timeout_s: how long a node may take to apply it.
    origin: where it was declared.
    """

    keys: tuple[str, ...] = ()
    max_parallel: float = 1.0
    canaries: frozenset[str] = frozenset()
    canary_count: int = 0
    pause_s: float = 0.0
    verify: Command | None = None
    timeout_s: float = 60.0
    origin: Origin = field(default=Origin(""), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """
    What is reloaded as one: a [service.NAME] table, or the resources with one reload command.

    name: of the table; "" without one, then the reload command identifies it.
    reload: is run after the swap; None when no reload is needed.
    confirm: what proves a reload; None for the exit status of its command alone.
    on_reload_failure: "keep" the new files and try again, or "revert" to the old ones.
    min_reload_interval_s: least time between two reloads.
    rollout: how the nodes of a fleet take changed settings; None for all at once.
    runtime: what can be changed without a reload; None for nothing.
    """

    name: str = ""
    reload: Command | None = None
    confirm: Confirm | None = None
    on_reload_failure: str = "keep"
    min_reload_interval_s: float = 0.0
    rollout: Rollout | None = None
    runtime: Runtime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """
    One template and its destination.

    name: unique; the file's path below conf.d without `.toml`, and `#2`, `#3`, ... for further
        tables in one file.
    src: template path below the templates folder. dest: absolute path, symlinks not resolved.
    prefix: global and resource prefix combined, a key path ("/" for none). Templates do not see it.
    keys: key paths below `prefix` that the template may read, as trees on path boundaries; empty
        for a template that reads no keys and is rendered at start and on SIGHUP only.
    mode: permission bits, None keeps the live file's or 0644. uid, gid: None keeps the live
        file's or takes our own.
    check: a command that checks the staged file alone.
    nginx: check = "nginx": the whole nginx configuration is checked with all staged files in their
        places.
    service: what reads the destination, and how it is reloaded.
    group: resources of one group are checked as a set, swapped in the order of the group or not at
        all; empty for a resource that stands alone.
    each: a key path below `prefix`; there is one destination for each name directly below it, and
        `dest` holds `{name}`. item: that name, in a resource made by `for_item`; the template
        knows it as `name`. declared: the name of the resource it was made from.
    each_names: which names `each` admits: "safe" for those that no shell or file system reads as
        more than a name, "any" for all that can be part of a path. each_limit: how many.
    adopt: files that pyconfd did not make may be replaced, and are removed with their names.
    render_timeout_s: a render that takes longer fails.
    format: how the destination is read ("nginx", "haproxy", ...; the files in recipes/formats):
        values that it would read as more than data are refused. Empty: values are not checked.
    engine: the language of the template, "go" or "jinja2"; empty to detect it.
    compat: "confd" or "confd-fork" in a tree of theirs: what `keys` does not cover does not exist
        for its template. output_format: what the output must be valid as, "" for nothing.
    guard: when a change of the keys is held back.
    hold_min_s, hold_max_s: wait for this long without changes, but never longer than the maximum.
    """

    name: str
    origin: Origin
    src: str
    dest: str
    prefix: str = "/"
    keys: tuple[str, ...] = ()
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    make_dirs: bool = False
    check: Command | None = None
    nginx: Nginx | None = None
    service: Service = Service()
    group: str = ""
    each: str = ""
    item: str = ""
    each_names: str = "safe"
    each_limit: int = EACH_LIMIT
    adopt: bool = False
    render_timeout_s: float = RENDER_TIMEOUT_S
    format: str = ""
    engine: str = ""
    compat: str = ""
    output_format: str = ""
    guard: Guard = Guard()
    hold_min_s: float = 0.0
    hold_max_s: float = 10.0

    @property
    def watched(self) -> tuple[str, ...]:
        """The key paths in the store that it may read."""
        return tuple(join_paths(self.prefix, key) for key in self.keys)

    @property
    def reload(self) -> Command | None:
        """The reload command of its service."""
        return self.service.reload

    @property
    def service_name(self) -> str:
        """
        What its service is called. Without a [service.NAME] table, resources with the same reload
        command are one service and share one reload; one whose command names the destination is a
        service of its own, and so is a group or a resource without any.
        """
        if self.service.name:
            return self.service.name
        if self.reload is None:
            return f"group {self.group}" if self.group else f"resource {self.declared}"
        if names_file(self.reload.text):
            return f"{self.reload.text} [{self.dest}]"
        return self.reload.text

    @property
    def declared(self) -> str:
        """The name it was declared under; for a resource made by `for_item` that of the pattern."""
        return self.name.removesuffix(f"[{self.item}]") if self.item else self.name

    def for_item(self, item: str) -> Resource:
        """The resource for one name below `each`."""
        return replace(
            self, name=f"{self.name}[{item}]", item=item, dest=self.dest.replace("{name}", item)
        )


@dataclass(frozen=True, slots=True)
class ResourceSet:
    """
    Everything found below conf.d: the good resources in order of file and table, and one fault
    for each thing that is wrong. A faulty table yields no resource; its neighbours still do.

    notes: what was taken as confd takes it, and should not stay so.
    """

    resources: tuple[Resource, ...]
    faults: tuple[ConfigError, ...] = ()
    notes: tuple[ConfigError, ...] = ()
