"""
`pyconfd diff`: compares the files of a resource at two revisions of the store.

Exit status: 0 shown; 1 the store does not have a revision, or a template fails; 2 wrong usage.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from pyconfd.cli.daemon_query import read_query
from pyconfd.cli.main import DONE
from pyconfd.config.option_table import CONNECTION
from pyconfd.config.options import Option
from pyconfd.config.settings import Settings
from pyconfd.errors import SettingsError

DIFF = "Diff"
DIFF_OPTIONS = (
    Option("from", "text", "", "the revision of the store to begin with", DIFF, "N",
           in_file=False),
    Option("to", "text", "", "the revision to compare with", DIFF, "M", in_file=False,
           default_text="the newest"),
)  # fmt: skip

_HELP = """\
usage: pyconfd diff RESOURCE --from N [--to M] [OPTIONS]

Shows as a unified diff how the files of a resource differ between two revisions of the store, made
by its template as it is now. No daemon is needed; nothing is written. etcd must still have the
revisions: those before the last compaction are gone. pyconfd history RESOURCE lists revisions.
"""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Make both versions and compare them; returns the exit status."""
    query = read_query(argv, environ, _HELP, DIFF_OPTIONS, words=1, listed=CONNECTION)
    if query is None:
        return DONE
    old, new = (_revision(name, query.flags[name]) for name in ("from", "to"))
    if not old:
        raise SettingsError("is missing", where="--from", hint="pyconfd diff RESOURCE --from N")
    settings = query.settings._replace(resource=(query.words[0],), onetime=True)
    before, after = _files(settings, old), _files(settings, new)
    from pyconfd.pipeline.stage import content_diff

    for dest in sorted({*before, *after}):
        text = content_diff(
            before.get(dest, b""),
            after.get(dest, b""),
            dest if dest in before else "/dev/null",
            dest if dest in after else "/dev/null",
        )
        sys.stdout.write(text)
    return DONE


def _revision(name: str, text: str) -> str:
    if text and not (text.isdecimal() and int(text)):
        raise SettingsError(f"{text!r} is not a revision", where=f"--{name}")
    return text


def _files(settings: Settings, revision: str) -> Mapping[str, bytes]:
    """Destination -> content, at a revision, or now."""
    from pyconfd.apply.expansion import expand
    from pyconfd.daemon import wiring
    from pyconfd.daemon.run import read

    found = wiring.load(settings)
    for fault in found.faults:
        raise fault
    snapshot = read(settings._replace(revision=revision), found)
    renderer = wiring.renderer(settings)
    resources = [
        one
        for resource in found.resources
        for one in (expand(resource, snapshot).resources if resource.each else (resource,))
    ]
    return {one.dest: renderer.render(one, snapshot).content for one in resources}
