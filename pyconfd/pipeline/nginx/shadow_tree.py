"""
The copies that make up an nginx shadow tree, and the rewritten paths in them. Shell.

A function that is passed in finds the statements in a file; shadow.py explains the shadow.
"""

from __future__ import annotations

import errno
import functools
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pyconfd.errors import CheckBroken
from pyconfd.pipeline.nginx import include_glob
from pyconfd.pipeline.nginx.file_words import FileNames, FileWords, RealPaths
from pyconfd.pipeline.nginx.text import ConfigText, NotFound, Statement, edited, quoted
from pyconfd.system import files

KEPT = "the live files are unchanged"
#: Statements that make nginx -t open files for writing; their first argument names the file.
_LOGS = ("access_log", "error_log")
#: Destinations of logs that are no files.
_NO_FILE = re.compile(r"off$|stderr$|syslog:|memory:|.*\$|\|", re.DOTALL)
#: Directives that take the name of a file; in any other, a word without a slash is something else:
#: `server_name`, `upstream`.
_NAMES_FILES = re.compile(
    "file|_key|cert|crl|dhparam|geoip|import|include|entities|path|require|rules|stylesheet"
)


@dataclass
class ShadowTree:
    """
    A shadow tree under construction.

    conf: the real main file.
    prefix: of relative logs; "" for the one that is built in.
    staged, removed, work_dir, built_in_prefix: as in shadow.build.
    statements: finds the directives of a file with these facts.
    words: what a file is made of.
    names: shadow path -> real path.
    expected: shadow paths that nginx has to read.
    included: real paths of the files as they are that nginx has to read.
    reached: real paths of destinations that something leads to.
    has_pid: the pid file is taken care of.
    main: path of the main file's shadow.
    folder: of all other shadows.
    real: paths without links, and the facts of the files, as they were when they were asked first.
    """

    conf: str
    prefix: str
    staged: Mapping[str, str]
    removed: Collection[str]
    work_dir: str
    statements: Callable[[str, os.stat_result], Iterable[Statement]]
    built_in_prefix: Callable[[], str]
    words: Callable[[str, os.stat_result | None], FileWords]
    names: dict[str, str] = field(default_factory=dict)
    expected: set[str] = field(default_factory=set)
    included: set[str] = field(default_factory=set)
    reached: set[str] = field(default_factory=set)
    has_pid: bool = False
    main: str = ""
    folder: str = ""
    _done: dict[str, str] = field(default_factory=dict)
    real: RealPaths = field(default_factory=RealPaths)
    _open: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.by_real = {self.real(dest): path for dest, path in self.staged.items()}
        self.gone = {self.real(dest) for dest in self.removed}
        paths = (*self.staged, *self.removed, *self.by_real, *self.gone)
        self.basenames = {os.fsencode(os.path.basename(path)) for path in paths}
        self._names = FileNames(self.basenames)
        self._new_in: dict[str, list[str]] = {}  # folder -> names of destinations to come
        for real in self.by_real:
            if not os.path.lexists(real):
                folder, name = os.path.split(real)
                self._new_in.setdefault(folder, []).append(name)
        self.conf_dir = os.path.dirname(self.conf)

    def grow(self) -> None:
        """Write the tree. Raises OSError and CheckBroken; `cut` then removes what was written."""
        files.make_folders(self.work_dir, 0o700)
        self.folder = files.staged_name(os.path.join(self.work_dir, "shadow"))
        os.mkdir(self.folder, 0o700)
        for name in ("copies", "logs"):
            os.mkdir(os.path.join(self.folder, name), 0o700)
        real = self.real(self.conf)
        content = self._rewritten(self.conf, real, self.by_real.get(real))
        if content is None:
            content = files.read(self._new_main())[0].decode(errors="surrogateescape")
        self.main = self._write_main(content)
        self._refuse_unreached()

    def cut(self) -> None:
        """Remove the tree; the staged files are not part of it."""
        if self.main:
            files.remove(self.main)
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _write_main(self, content: str) -> str:
        """
        Write the main file's shadow beside the real one if possible, else in a folder with the same
        neighbours, also upwards: nginx does not report a pattern that finds nothing.
        """
        path = files.staged_name(self.conf)
        try:
            _write(path, content)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC):
                raise
            path = os.path.join(self._mirrored(), os.path.basename(path))
            _write(path, content)
        self.names[path] = self.conf
        self.expected.add(path)
        return path

    def _mirrored(self) -> str:
        """
        The folder of the main file below a private root: each folder on the way is created, and
        everything else in it is a link to the real one. So `../extra` leads to the same file as
        from the real folder.
        """
        mirror = os.path.join(self.folder, "root")
        self.names[mirror] = ""
        real, rest = "/", os.path.realpath(self.conf_dir).split("/")[1:]
        for name in [*filter(None, rest), ""]:
            os.mkdir(mirror, 0o700)
            for each in os.listdir(real):
                if each != name:
                    os.symlink(os.path.join(real, each), os.path.join(mirror, each))
            real, mirror = os.path.join(real, name), os.path.join(mirror, name)
        return mirror.rstrip("/")

    def _new_main(self) -> str:
        real = os.path.realpath(self.conf)
        return self.by_real.get(real, real)

    def _refuse_unreached(self) -> None:
        for dest in self.staged:
            if self.real(dest) not in self.reached:
                broken = CheckBroken(
                    f"nothing in {self.conf} leads to it: no include, no certificate",
                    where=dest,
                    kept=KEPT,
                    hint="include it, or use a check_cmd for a file that nginx does not read",
                )
                broken.about = dest
                raise broken

    def _file(self, path: str) -> str:
        """What to include instead of `path`: itself, its new version, or a copy of either."""
        known = self._done.get(path)
        if known is not None:
            return known
        if path in self._open:  # includes itself: nginx reports that
            return path
        real = self.real(path)
        if self._is_no_part(path, real):
            self._done[path] = path
            self.included.add(real)
            return path
        self._open.add(path)
        shadow = self._shadow_of(path, real)
        self._open.remove(path)
        self._done[path] = shadow
        if shadow == path:
            self.included.add(real)
        return shadow

    def _is_no_part(self, path: str, real: str) -> bool:
        """Whether it neither changes nor leads to a change, like most of thousands of files."""
        facts = self.real.facts.get(real)
        if facts is None or real in self.by_real or real in self.gone or path == self.conf:
            return False
        try:
            words = self.words(real, facts)
        except OSError:
            return False
        return not words.followed and not words.any_of(self._names)

    def _shadow_of(self, path: str, real: str) -> str:
        if real in self.gone:
            return self._gone(path)
        new = self.by_real.get(real)
        try:
            content = self._rewritten(path, real, new)
        except OSError:  # nginx reports it better, and names the same path
            return path
        if content is not None:
            copy = f"{len(self.names)}-{os.path.basename(path)}"
            shadow = os.path.join(self.folder, "copies", copy)
            _write(shadow, content)
        elif new is not None:
            shadow = new
        else:
            return path
        self.names[shadow] = path
        if new is not None:
            self.expected.add(shadow)
        return shadow

    def _gone(self, path: str) -> str:
        """A path that does not exist, instead of a file to remove; not a pattern."""
        nothing = files.staged_name(path)
        self.names[nothing] = path
        return nothing

    def _rewritten(self, path: str, real: str, new: str | None) -> str | None:
        """
        The text of `path`, or of its new version, with its paths rewritten; None if unchanged.
        """
        if new is not None:
            self.reached.add(real)
        words = self.words(new or real, None if new else self.real.facts.get(real))
        changed = new is not None or path == self.conf
        if not (words.followed or (changed and words.logs) or words.any_of(self._names)):
            return None
        raw, facts = files.read(new or real)
        text = raw.decode(errors="surrogateescape")
        statements = self.statements(new or real, facts)
        edits = list(self._edits(path, text, statements, changed))
        return edited(text, edits) if edits else None

    def _edits(
        self, path: str, text: str, statements: Iterable[Statement], changed: bool
    ) -> Iterator[tuple[int, int, str]]:
        located = ConfigText(text)
        for statement in statements:
            whole, words = self._changes(statement, changed)
            if not whole and not words:
                continue
            try:
                place = located.locate(statement)
            except NotFound:
                raise CheckBroken(
                    f"the {statement.name} statement is written in a way that cannot be followed",
                    where=f"{path}:{statement.line}",
                    kept=KEPT,
                    hint="write it on a line of its own, with ordinary line ends",
                ) from None
            if whole:
                yield place.start, place.end, whole
            for number, word in words.items():
                yield *place.args[number], quoted(word)

    def _changes(self, statement: Statement, changed: bool) -> tuple[str, dict[int, str]]:
        """A new text for the statement, "" for none, and new arguments by their number."""
        if not statement.args or statement.name == "if":
            return "", {}
        if statement.name == "include":
            instead = self._include(statement.args[0])
            return instead if len(statement.args) == 1 else "", {}  # nginx refuses a second word
        if statement.name == "pid" and statement.depth == 0:
            self.has_pid = True
            return "", {0: self.pid()}
        named = bool(_NAMES_FILES.search(statement.name))
        new = {n: self._path(a) for n, a in enumerate(statement.args) if named or "/" in a}
        if statement.name in _LOGS and changed:
            new[0] = self._log(statement.args[0])
        return "", {n: word for n, word in new.items() if word != statement.args[n]}

    def _include(self, pattern: str) -> str:
        pattern = os.path.join(self.conf_dir, pattern)
        if include_glob.is_pattern(pattern):
            wanted = live = include_glob.matching(pattern)
            if new := set(self._appearing(pattern)).difference(live):
                wanted = sorted([*live, *new], key=os.fsencode)
            if self.gone:
                wanted = [path for path in wanted if self.real(path) not in self.gone]
        else:
            live = wanted = [pattern]
        shadows = [self._file(path) for path in wanted]
        if shadows == live:
            return ""
        if not shadows:  # a pattern that nothing matches is fine with nginx
            return f"include {quoted(os.path.join(self.folder, 'gone', '*'))}"
        self.expected.update(shadows)
        return "; ".join(map(_include_of, shadows))

    def _appearing(self, pattern: str) -> Iterator[str]:
        """Destinations that do not exist yet, but that the pattern will match."""
        folder, base = os.path.split(pattern)
        if not self._new_in:
            return
        for each in include_glob.folders(folder):
            for name in self._new_in.get(os.path.realpath(each), ()):
                if include_glob.matches(name, base):
                    yield os.path.join(each, name)

    def _path(self, arg: str) -> str:
        """The new version of a file named by an argument, such as a certificate."""
        if os.fsencode(os.path.basename(arg)) not in self.basenames:
            return arg
        path = os.path.join(self.conf_dir, arg)
        real = self.real(path)
        if real in self.gone:
            return self._gone(path)
        new = self.by_real.get(real)
        if new is None:
            return arg
        self.reached.add(real)
        self.names[new] = path
        return new

    def _log(self, path: str) -> str:
        """
        A private file for each log that nginx could open, so that a check never creates a log. If
        nginx could not open it (no such folder, a folder of that name), nginx reports that itself.
        """
        if _NO_FILE.match(path):
            return path
        if not os.path.isabs(path):
            path = os.path.join(self.prefix or self.built_in_prefix(), path)
        folder = os.path.dirname(path)
        if not os.path.isdir(folder) or os.path.isdir(path):
            return path
        shadow = os.path.join(self.folder, "logs", path.replace("/", "_"))
        self.names[shadow] = path
        return shadow

    def pid(self) -> str:
        """Where the pid file goes."""
        return os.path.join(self.folder, "pid")


@functools.lru_cache(maxsize=65_536)
def _include_of(path: str) -> str:
    """The statement for this very file."""
    return f"include {quoted(include_glob.as_pattern(path))}"


def _write(path: str, text: str) -> None:
    """
    Write a file without syncing it: it need not outlive the check. Raises OSError; then no file is
    left.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(text)
    except OSError:
        files.remove(path)
        raise
