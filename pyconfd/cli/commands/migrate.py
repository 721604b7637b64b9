"""
`pyconfd migrate`: writes a tree of confd as pyconfd's own, with Jinja2 templates.

Old and new are rendered with the same keys and compared byte by byte. Exit status: 0 all is done; 1
something must be done by hand; 2 wrong usage, or the old tree has nothing to migrate.
"""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyconfd.cli.command import expect_words, read_command
from pyconfd.cli.commands.check import CHECK_OPTIONS, values_snapshot
from pyconfd.cli.confdir_writer import write_files
from pyconfd.cli.main import DONE, FAILED
from pyconfd.cli.migration import Migrated, Migration, MigrationRow
from pyconfd.config.layers import raise_faults, resolve_all
from pyconfd.config.option_table import OPTIONS
from pyconfd.config.options import Given, Option
from pyconfd.config.resources import load_resources
from pyconfd.config.settings import Settings, settings_and_faults
from pyconfd.errors import ConfigError, PyconfdError, RenderError
from pyconfd.model.resources import Resource, ResourceSet
from pyconfd.pipeline.store import Snapshot, keys_below

if TYPE_CHECKING:
    from pyconfd.config.arguments import Arguments
    from pyconfd.pipeline.render.renderer import Renderer

_GROUP = "pyconfd migrate"
MIGRATE_OPTIONS = (
    Option("check", "flag", False, "report only, write nothing", _GROUP, in_file=False),
    Option("force", "flag", False, "overwrite files of NEW that differ", _GROUP, in_file=False),
    CHECK_OPTIONS[0]._replace(group=_GROUP),
)

_HELP = """\
usage: pyconfd migrate CONFDIR [NEW] [--check] [--values FILE | OPTIONS OF A STORE] [OPTIONS]

Writes the tree of confd in CONFDIR as one of pyconfd into the folder NEW: resource files, settings
and Jinja2 templates. Without NEW, or with --check, it only reports. With --values, or with a store
(--node ..., --backend ...), both trees are rendered with the same keys and compared byte by byte; a
template that gives other bytes stays a Go template (engine = "go") and is listed as by hand.
--compat confd-fork for a tree of the fork.

Exit status: 0 all of it is done; 1 something is left to do by hand; 2 wrong usage, or nothing that
could be migrated.
"""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Migrate, print the table, and return the exit status."""
    known = (*MIGRATE_OPTIONS, *OPTIONS)
    arguments = read_command(argv, _HELP, known, listed=MIGRATE_OPTIONS, foreign=True)
    if arguments is None:
        return DONE
    usage = "pyconfd migrate CONFDIR [NEW]"
    expect_words(arguments, 2, least=1, missing="needs the folder of confd", hint=usage)
    settings, new, flags = _read(arguments, environ, known)
    found = _load(settings)
    snapshot = _snapshot(settings, found, flags["values"], arguments, environ)
    migration = Migration(settings, found)
    tree = migration.tree({})
    failed = _differences(tree, settings, found, snapshot, environ)
    if failed:
        tree = migration.tree(failed)
    if new and not flags["check"]:
        write_files(tree.files, new, force=flags["force"])
    sys.stdout.write("\n".join(_report(tree, new if not flags["check"] else "", snapshot)) + "\n")
    return DONE if all(row.done for row in tree.rows) else FAILED


def _read(
    arguments: Arguments, environ: Mapping[str, str], known: Sequence[Option]
) -> tuple[Settings, str, dict[str, Any]]:
    """The settings of the old tree, the folder of the new one, and the command's own options."""
    confdir, new = [*arguments.words, "", ""][:2]
    arguments.given["confdir"] = Given(os.path.abspath(confdir), "CONFDIR")
    if not environ.get("PYCONFD_COMPAT"):
        arguments.given.setdefault("compat", Given("confd", ""))
    settings, faults = settings_and_faults(arguments, environ, known)
    flags, _ = resolve_all(MIGRATE_OPTIONS, arguments, environ, known)
    raise_faults(faults)
    return settings, new, flags


def _load(settings: Settings) -> ResourceSet:
    """The old tree's resources; their faults are in the table."""
    found = load_resources(settings.confdir, settings)
    if not found.resources:
        raise ConfigError("nothing that could be migrated", where=settings.confdir)
    return found


def _snapshot(
    settings: Settings,
    found: ResourceSet,
    values: object,
    arguments: Arguments,
    environ: Mapping[str, str],
) -> Snapshot | None:
    """The keys to compare with; None without any."""
    if values:
        wrong: list[PyconfdError] = []
        snapshot = values_snapshot(values, found.resources, wrong)
        for error in wrong:
            raise error
        return snapshot
    stores = ("node", "backend", "srv-domain", "file")
    asked = any(name in arguments.given for name in stores) or any(
        f"PYCONFD_{name.upper().replace('-', '_')}" in environ for name in stores
    )
    if not asked:
        return None
    from pyconfd.daemon.run import read

    return read(settings, found)


def _differences(
    tree: Migrated,
    settings: Settings,
    found: ResourceSet,
    snapshot: Snapshot | None,
    environ: Mapping[str, str],
) -> dict[str, str]:
    """Template of the old tree -> why the new one cannot be used."""
    if not any(file.path.startswith("conf.d/") for file in tree.files):
        return {}
    with tempfile.TemporaryDirectory(prefix="pyconfd-migrate-") as folder:
        write_files(tree.files, folder)
        own = settings._replace(confdir=folder, compat="", template_engine="", resource=())
        try:
            fresh = load_resources(folder, own)
        except ConfigError as error:
            return {one.src: str(error.faults[0]) for one in found.resources}
        by_name = {one.name.removesuffix(".toml"): one for one in fresh.resources}
        old = _renderer(settings, environ)
        new = _renderer(own, environ)
        failed: dict[str, str] = {}
        for resource in found.resources:
            if resource.origin.file in tree.left_out:
                continue
            other = by_name.get(resource.name.removesuffix("toml").removesuffix("."))
            other = other or by_name.get(resource.name)
            why = _difference(resource, other, old, new, snapshot)
            if why and (other is None or other.engine != "go"):
                failed.setdefault(resource.src, why.replace(f"{folder}/", ""))
        return failed


def _difference(
    resource: Resource,
    other: Resource | None,
    old: Renderer,
    new: Renderer,
    snapshot: Snapshot | None,
) -> str:
    """How the new resource differs from the old one; "" when it does not."""
    if other is None:
        return "its new resource file has a fault"
    for fault in new.faults(other):
        return f"line {fault.line} of its Jinja2: {fault.what}"
    if snapshot is None:
        return ""
    wanted = _rendered(old, resource, snapshot)
    got = _rendered(new, other, snapshot)
    if isinstance(wanted, str):
        return "" if isinstance(got, str) else f"fails in confd, and not in Jinja2: {wanted}"
    if isinstance(got, str):
        return f"fails in Jinja2: {got}"
    return "" if wanted == got else f"other bytes from line {_first_difference(wanted, got)} on"


def _rendered(renderer: Renderer, resource: Resource, snapshot: Snapshot) -> bytes | str:
    """The rendered bytes, or why there are none."""
    try:
        return renderer.render(resource, snapshot).content
    except RenderError as error:
        return error.what


def _first_difference(one: bytes, other: bytes) -> int:
    pairs = zip(one.split(b"\n"), other.split(b"\n"), strict=False)
    return next((number for number, (a, b) in enumerate(pairs, start=1) if a != b), 0)


def _renderer(settings: Settings, environ: Mapping[str, str]) -> Renderer:
    from pyconfd.pipeline.render.node_facts import NodeFacts
    from pyconfd.pipeline.render.renderer import Renderer

    return Renderer(
        os.path.join(settings.confdir, "templates"),
        environ,
        facts=NodeFacts(settings.node_name, settings.vars, settings.config_file),
        engine=settings.template_engine,
        compat=settings.compat,
    )


def _report(tree: Migrated, new: str, snapshot: Snapshot | None) -> Iterator[str]:
    """The table, and what to do next."""
    width = max(len(row.file) for row in tree.rows)
    for row in sorted(tree.rows, key=lambda row: row.file):
        yield f"{row.file:<{width}}  {_result(row)}".rstrip()
    done = sum(row.done for row in tree.rows)
    proof = "not compared: give --values or a store"
    if snapshot is not None:
        count = sum(1 for _ in keys_below(snapshot.root))
        proof = f"the same bytes with {count} key{'s' * (count != 1)}"
    yield ""
    yield f"{done} of {len(tree.rows)} files done; {proof}"
    if new:
        place = shlex.quote(new)
        config = f" --config-file {place}/pyconfd.toml"
        config *= any(file.path == "pyconfd.toml" for file in tree.files)
        yield f"next: pyconfd --noop --diff --confdir {place}{config}"


def _result(row: MigrationRow) -> str:
    if row.done:
        return "done"
    return f"by hand  {f'line {row.line}: ' if row.line else ''}{row.why}"
