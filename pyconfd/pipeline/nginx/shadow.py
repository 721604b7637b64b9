"""
Shadow: the whole nginx configuration with staged files in their places. Shell.

The only importer of crossplane, which only finds the include statements; nginx gives the verdict.
The shadow of the main file is beside it, because relative includes, certificates and password files
are looked up in the folder of the main file (`-c`), wherever the statement is. Of the other files
only those that lead to a changed file are copied, with the paths in them rewritten on their own
lines; everything else is read where it is. Nothing live is written.

nginx itself gives the proof: `nginx -T` names every file that it has read. A verdict counts only if
these include the staged files and all others that the statements lead to, and none of the live
files that are replaced.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import functools
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from pyconfd.errors import CheckBroken
from pyconfd.model.resources import Nginx
from pyconfd.model.steps import CommandReport
from pyconfd.pipeline import exhausted
from pyconfd.pipeline.nginx.file_words import RealPaths, WordsOfFiles
from pyconfd.pipeline.nginx.shadow_tree import KEPT, ShadowTree
from pyconfd.pipeline.nginx.text import LUA_BLOCK, Statement, quoted, without_lua
from pyconfd.system import files

#: `nginx: [emerg] unexpected "}" in /etc/nginx/nginx.conf:12` (ngx_log.c, ngx_conf_file.c); where
#: the built-in error log is stderr, as with Debian, date, time and pid instead of `nginx:`.
_FINDING = re.compile(
    r"^(?:nginx:|[\d/]+ [\d:]+) \[(?P<severity>\w+)\] (?:\d+#\d+: )?"
    r"(?P<text>.*?)(?: in (?P<path>/.*):(?P<line>\d+))?$",
    re.MULTILINE,
)


#: nginx opens every log of every server at once, and the soft limit is often 1024.
_ALL_FILES = 'ulimit -S -n "$(ulimit -H -n)" 2>/dev/null'
#: Main file of each nginx here -> the words of its files.
_WORDS: collections.defaultdict[str, WordsOfFiles] = collections.defaultdict(WordsOfFiles)
#: `cannot load certificate "/etc/ssl/www.pem": BIO_new_file() failed` names no line.
_QUOTED_PATH = re.compile(r'"(/[^"]+)"')
#: What stands around a path in a file of nginx.
_AROUND = re.compile(r"""[\s;{}"']+""")
_FILE_READ = re.compile(rb"^# configuration file (.+):\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Finding:
    """
    A message of nginx.

    severity: warn, emerg, ...
    path, line: of the file; "" and 0 if it named none.
    """

    severity: str
    text: str
    path: str
    line: int

    @property
    def refuses(self) -> bool:
        """Whether it is a reason to refuse."""
        return self.severity in ("emerg", "alert", "crit", "error")


@dataclass(frozen=True, slots=True)
class Shadow:
    """
    A shadow tree.

    argv: the command that checks it. Exit status 0 accepts it, if `unproven` finds no objection.
    command: the same for people.
    listing: where argv writes the list of files read; nginx's messages go to both outputs.
    folder: of the copies.
    main: the shadow of the main file.
    names: (shadow path, real path), the longest shadow path first.
    expected: paths that nginx has to read.
    included: real paths of unchanged files that it has to read.
    replaced: real paths that it must not read.
    real_paths: paths with links resolved, as they were when the shadow was made.
    """

    argv: tuple[str, ...]
    command: str
    listing: str
    folder: str
    main: str
    names: tuple[tuple[str, str], ...]
    expected: frozenset[str]
    included: frozenset[str]
    replaced: frozenset[str]
    real_paths: RealPaths

    def __enter__(self) -> Shadow:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the shadow; the staged files are not part of it."""
        files.remove(self.main)
        shutil.rmtree(self.folder, ignore_errors=True)

    def real(self, text: str) -> str:
        """Output of nginx with the shadow's paths replaced by those of the real files."""
        for shadow, path in self.names:
            text = text.replace(shadow, path)
        return text

    def unproven(self) -> str:
        """
        Why exit status 0 is no proof: a file was not read, or should not have been; "" if it is
        one.
        """
        try:
            read = set(_listed(files.read(self.listing)[0], self.real_paths.facts))
        except OSError as error:
            return f"nginx did not list the files it read ({error.strerror})"
        ours = dict(self.names)
        for path in sorted(self.expected - read):
            what = "the new version of " if path in ours else ""
            return f"nginx did not read {what}{self.real(path)}"
        read_live = set(map(self.real_paths, read))
        for path in sorted(read_live & self.replaced):
            return f"nginx read the live version of {path}"
        for path in sorted(self.included - read_live):
            if not os.path.exists(path + ".bin"):  # `geo` reads that instead, and lists nothing
                return f"nginx did not read {path}, which its configuration includes"
        _WORDS[ours[self.main]].keep(read)
        return ""

    def report(self, report: CommandReport) -> CommandReport:
        """The report of a run of `argv`, in terms of the real files."""
        return replace(report, command=self.command, output=self.real(report.output))

    def findings(self, report: CommandReport) -> tuple[Finding, ...]:
        """The messages of nginx, in its order; the paths are those of the real files."""
        return tuple(
            Finding(
                severity=found["severity"],
                text=found["text"],
                path=found["path"] or "",
                line=int(found["line"] or 0),
            )
            for found in _FINDING.finditer(self.real(report.output))
        )

    def blamed(self, finding: Finding) -> tuple[tuple[str, int], ...]:
        """
        Path and line of the files that a message concerns: the one that it names, or those with the
        path that it quotes. Empty when none is found.
        """
        if finding.path:
            return ((finding.path, finding.line),)
        quoted_path = _QUOTED_PATH.search(finding.text)
        if quoted_path is None:
            return ()
        places = ((path, _line_with(quoted_path[1], path)) for path in self._as_they_are())
        return tuple((path, line) for path, line in places if line)

    def _as_they_are(self) -> list[str]:
        copies = os.path.join(self.folder, "copies", "")
        copied = (path for copy, path in self.names if copy == self.main or copy.startswith(copies))
        return sorted(self.included.union(copied))


def _line_with(wanted: str, path: str) -> int:
    """The first line of a file that holds this path, or the end of it; 0 for none."""
    try:
        text = files.read(path)[0].decode(errors="surrogateescape")
    except OSError:
        return 0
    name = os.path.basename(wanted)
    for number, line in enumerate(text.splitlines() if name in text else (), start=1):
        words = _AROUND.split(line.partition("#")[0])
        if any(word and f"/{wanted}".endswith(f"/{word}") for word in words if name in word):
            return number
    return 0


def _listed(listing: bytes, facts: Mapping[str, os.stat_result]) -> list[str]:
    """
    Paths in the output of `nginx -T` (ngx_conf_file.c, since 1.9.2): a line for each file, its
    content, a line break. The same line inside a file does not count: people keep it as a comment.
    facts: of files that are known.
    """
    paths: list[str] = []
    at = 0
    while found := _FILE_READ.match(listing, at):
        path = os.fsdecode(found[1])
        paths.append(path)
        try:
            known = facts.get(path)
            at = found.end() + (known or os.stat(path)).st_size + 1
        except OSError:
            break
    if at != len(listing):  # a file has changed meanwhile: every such line counts
        return [os.fsdecode(name) for name in _FILE_READ.findall(listing)]
    return paths


def build(
    nginx: Nginx,
    staged: Mapping[str, str],
    *,
    removed: Collection[str] = (),
    work_dir: str,
    built_in_prefix: Callable[[], str] = lambda: "/",
) -> Shadow:
    """
    Make the shadow tree. staged: destination -> path of its new version; removed: destinations to
    leave out; both as declared, links are followed. work_dir: for the copies; created if missing.
    built_in_prefix: called if `nginx` has none and the path of a log is relative to it.

    Raises CheckBroken when the configuration does not include one of the destinations, when a
    statement on the way cannot be rewritten safely, or when the shadow cannot be written.
    """
    tree = ShadowTree(
        nginx.conf,
        nginx.prefix,
        staged,
        removed,
        work_dir,
        statements,
        built_in_prefix,
        _WORDS[nginx.conf],
    )
    try:
        tree.grow()
    except BaseException as error:
        tree.cut()
        if isinstance(error, OSError):
            raise _cannot(error, nginx) from error
        raise
    return _shadow(nginx, tree)


def _cannot(error: OSError, nginx: Nginx) -> CheckBroken:
    limit = exhausted.by_number(error.errno)
    rights = error.errno in (errno.EACCES, errno.EPERM)
    broken = CheckBroken(
        f"cannot make the shadow of the nginx configuration: {error.strerror or error}",
        where=str(error.filename or nginx.conf),
        kept=KEPT,
        hint=limit.hint if limit else "run pyconfd as the user that starts nginx" * rights,
    )
    broken.hopeless = limit is not None
    return broken


def sweep(nginx: Nginx, *, work_dir: str) -> tuple[str, ...]:
    """Remove the shadows that killed runs have left. Returns their paths."""
    left = tuple(files.strays((nginx.conf, os.path.join(work_dir, "shadow"))))
    for path in left:
        if not files.remove(path):
            shutil.rmtree(path, ignore_errors=True)
    return left


def _shadow(nginx: Nginx, tree: ShadowTree) -> Shadow:
    argv = [nginx.binary, "-T", "-c", tree.main]
    if nginx.prefix:
        argv += ["-p", nginx.prefix]
    if not tree.has_pid:
        argv += ["-g", f"pid {quoted(tree.pid())};"]
    listing = os.path.join(tree.folder, "listing")
    return Shadow(
        # The listing may be long and holds the configuration: it goes past the report.
        argv=("/bin/sh", "-c", f'{_ALL_FILES}; exec "$@" >"$0"', listing, *argv),
        command=" ".join((nginx.binary, "-t", "-c", nginx.conf)) + " with the new files in place",
        listing=listing,
        folder=tree.folder,
        main=tree.main,
        names=tuple(sorted(tree.names.items(), key=lambda pair: -len(pair[0]))),
        expected=frozenset(tree.expected),
        included=frozenset(tree.included),
        replaced=frozenset(tree.by_real) | frozenset(tree.gone),
        real_paths=tree.real,
    )


def statements(path: str, facts: os.stat_result) -> tuple[Statement, ...]:
    """The directives of one file with these facts, in the order of their names. Raises OSError."""
    return _found(path, facts.st_ino, facts.st_size, facts.st_mtime_ns)


@functools.lru_cache(maxsize=65_536)
def _found(path: str, *_identity: int) -> tuple[Statement, ...]:
    """
    The directives of one file in the order of their names, as far as crossplane can follow.

    Only its lexer is used, because its parser returns nothing for a file with a syntax error. nginx
    will refuse what the lexer cannot read; if not, the list of files read shows what was missed.
    Cached as long as the file is unchanged: lexing takes most of the time of a check.
    """
    return tuple(_lexed(path))


def _lexed(path: str) -> Iterator[Statement]:
    import crossplane  # only a check of nginx in context needs it

    words: list[tuple[str, int]] = []
    depth = 0
    raw, _ = files.read(path)
    source = _memory_file(raw) if LUA_BLOCK.encode() in raw else path
    with contextlib.suppress(crossplane.errors.NgxParserBaseException):
        for word, line, in_quotes in crossplane.lex(source):
            if in_quotes or word not in (";", "{", "}"):
                if in_quotes or not word.startswith("#"):
                    words.append((word, line))
                continue
            if words:
                name, first = words[0]
                yield Statement(name, first, tuple(arg for arg, _ in words[1:]), depth)
                words = []
            depth += {"{": 1, "}": -1}.get(word, 0)


def _memory_file(raw: bytes) -> int:
    """A file for crossplane, which takes no text, without the Lua that it cannot read."""
    text = without_lua(raw.decode(errors="surrogateescape"))
    fd = os.memfd_create("nginx")
    with open(fd, "wb", closefd=False) as file:
        file.write(text.encode(errors="surrogateescape"))
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
