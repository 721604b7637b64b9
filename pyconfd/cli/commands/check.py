"""
`pyconfd check`: validates settings, conf.d and templates without a store.

With --values the templates are rendered with keys from a file. Nothing is written. Exit status: 0
no fault; 1 a template does not compile or render; 2 the settings or conf.d have faults. All faults
are
listed: those of the settings, of conf.d and of the templates. Programs that this machine does not
have are warnings, which do not change the exit status, because CI may lack them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pyconfd.cli.command import expect_words, read_command
from pyconfd.cli.main import DONE, FAILED, WRONG_USAGE
from pyconfd.cli.missing import missing_files, missing_programs
from pyconfd.cli.usage_errors import place, say_fault, say_note, say_warning
from pyconfd.config.confd.detection import take_backend
from pyconfd.config.layers import resolve_all
from pyconfd.config.option_table import OPTIONS
from pyconfd.config.options import Given, Option
from pyconfd.config.resources import load_resources
from pyconfd.config.settings import Settings, settings_and_faults
from pyconfd.errors import (
    ConfigError,
    PyconfdError,
    RenderError,
    ResourceError,
    SettingsError,
    SourceError,
)
from pyconfd.model.keys import covering
from pyconfd.model.resources import Resource, ResourceSet
from pyconfd.model.source import SourceOptions
from pyconfd.pipeline.store import Snapshot, Store

if TYPE_CHECKING:
    from pyconfd.apply.ownership import Ownership
    from pyconfd.pipeline.render.renderer import Renderer

CHECK_OPTIONS = (
    Option(
        "values",
        "text",
        (),
        "render with the keys of this file (JSON, TOML, YAML, or a folder); may be repeated",
        "pyconfd check",
        "FILE",
        repeatable=True,
        in_file=False,
    ),
    Option(
        "format",
        "text",
        "text",
        "how faults are printed; all but text on standard output",
        "pyconfd check",
        choices=("text", "github", "sarif", "json"),
        in_file=False,
    ),
)

_HELP = """\
usage: pyconfd check [--values FILE] [--diff] [--format text|github|sarif|json] [OPTIONS]

Validates the settings, the resources below conf.d and their templates, without a store. With
--values, renders every template with the keys of a file; --diff shows what would be written. All
options of pyconfd are taken, so that the command line of a unit can be checked as it is.

A program of a command that is not found here is a warning, since the check may be made elsewhere.

Exit status: 0 no fault (warnings and notes do not count); 1 a template does not compile or render;
2 settings or resources have faults. Nothing is ever written.
"""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Check, print every fault, and return the exit status."""
    known = (*CHECK_OPTIONS, *OPTIONS)
    arguments = read_command(argv, _HELP, known, foreign=True)
    if arguments is None:
        return DONE
    take_backend(arguments, environ, sys.argv[0])
    expect_words(arguments, 0)
    arguments.given.setdefault("noop", Given(True, ""))  # so that --diff goes without saying
    settings, faults = settings_and_faults(arguments, environ, known)
    # its faults are among those above
    own = resolve_all(known, arguments, environ, OPTIONS)[0]
    values, form = own["values"], own["format"]
    wrong: list[PyconfdError] = list(faults)
    if form != "text" and settings.diff:
        wrong.append(SettingsError("works with --format text only", where="--diff"))
        settings = settings._replace(diff=False)
    _source(settings, environ, wrong)
    found = _resources(settings, wrong)
    snapshot = values_snapshot(values, found.resources, wrong) if values else None
    unread: list[PyconfdError] = []
    by_resource = _templates(settings, found.resources, snapshot, environ, unread)
    failed = [error for errors in by_resource for error in errors]
    odd = [*map(SettingsError, settings.notes), *found.notes]
    missing = [*missing_files(settings), *missing_programs(found.resources, environ)]
    good, count = by_resource.count([]), len(wrong) + len(failed)
    if form == "text":
        _say(odd, [*wrong, *failed], [*missing], unread, settings.log_format)
        _sum_up(good, count, len(missing), len(unread))
    else:
        from pyconfd.cli.findings import FORMATS, Rule, Severity, finding

        findings = [
            *(finding(Severity.WARNING, one) for one in odd),
            *(finding(Severity.ERROR, one) for one in (*wrong, *failed)),
            *(finding(Severity.WARNING, one, Rule.NOT_HERE) for one in missing),
            *(finding(Severity.NOTE, one, Rule.UNREAD_KEY) for one in unread),
        ]
        sys.stdout.write(FORMATS[form](findings, good, os.getcwd()))
    if wrong:
        return WRONG_USAGE
    return FAILED if failed else DONE


def _say(
    odd: Sequence[PyconfdError],
    faults: Sequence[PyconfdError],
    missing: Sequence[PyconfdError],
    unread: Sequence[PyconfdError],
    style: str,
) -> None:
    for warning in odd:
        say_warning(str(warning), style, **place(warning))
    for error in faults:
        say_fault(error, style)
    for warning in missing:
        say_warning(str(warning), style, **place(warning))
    for note in unread:
        say_note(str(note), style, **place(note))


def _source(settings: Settings, environ: Mapping[str, str], wrong: list[PyconfdError]) -> None:
    """Check that the backend exists and accepts its options; etcd is not contacted."""
    from pyconfd.backends.registry import known_backends, open_source

    try:
        if settings.backend not in known_backends() or settings.backend in ("file", "env"):
            open_source(settings.backend, settings.source_options(environ)).close()
    except SourceError as error:
        wrong.append(error)
    except SettingsError as error:
        wrong.append(SettingsError(error.what, where="--backend", hint=error.hint))


def _resources(settings: Settings, wrong: list[PyconfdError]) -> ResourceSet:
    try:
        found = load_resources(settings.confdir, settings)
    except ConfigError as error:
        wrong += error.faults
        return ResourceSet((), error.faults)
    wrong += found.faults
    return found


def values_snapshot(
    values: object, resources: Iterable[Resource], wrong: list[PyconfdError]
) -> Snapshot | None:
    """The keys of the values' files, as the file backend reads them."""
    from pyconfd.backends.registry import open_source

    files = values if isinstance(values, tuple) else ()
    source = open_source("file", SourceOptions(files=files))
    store = Store()
    try:
        wanted = covering(path for resource in resources for path in resource.watched)
        store.apply(source.list(wanted, timeout_s=10.0))
    except SourceError as error:
        wrong.append(SettingsError(str(error), where="--values"))
        return None
    finally:
        source.close()
    return store.snapshot()


def _templates(
    settings: Settings,
    resources: Sequence[Resource],
    snapshot: Snapshot | None,
    environ: Mapping[str, str],
    unread: list[PyconfdError],
) -> list[list[PyconfdError]]:
    """
    Compile each template, or render it if there is a snapshot. Returns the errors of each resource.
    unread: gets the declared keys that no template reads.
    """
    if not resources:
        return []
    from pyconfd.apply.ownership import Ownership
    from pyconfd.pipeline.render.node_facts import NodeFacts
    from pyconfd.pipeline.render.renderer import Renderer

    claims = Ownership(resources)
    facts = NodeFacts(settings.node_name, settings.vars, settings.config_file)
    renderer = Renderer(
        os.path.join(settings.confdir, "templates"),
        environ,
        facts=facts,
        engine=settings.template_engine,
        compat=settings.compat,
        value_limit=settings.value_limit,
        output_limit=settings.output_limit,
    )
    failed: list[list[PyconfdError]] = []
    for resource in resources:
        faults = renderer.faults(resource)
        errors = [*faults, *_commands(resource)]
        if snapshot is not None and not faults:
            errors += _render_all(renderer, resource, snapshot, claims, settings.diff)
        failed.append(errors)
        if not errors and settings.backend != "env":  # which has two spellings for each key
            unread += _unread(renderer, resource)
    return failed


def _unread(renderer: Renderer, resource: Resource) -> Iterator[PyconfdError]:
    for key in renderer.unread_keys(resource):
        what, hint = f"keys: the template reads nothing of {key}", "leave it out"
        yield ResourceError(what, where=str(resource.origin), hint=hint)


def _commands(resource: Resource) -> Iterator[PyconfdError]:
    """Faults of command lines that are Go templates, as in trees of confd."""
    if not resource.compat:
        return
    from pyconfd.pipeline.operator_command import problem

    for key, command in (("check_cmd", resource.check), ("reload_cmd", resource.reload)):
        if command and (what := problem(command, resource.dest)):
            yield ResourceError(f"{key}: {what}", where=str(resource.origin))


def _render_all(
    renderer: Renderer, resource: Resource, snapshot: Snapshot, claims: Ownership, diff: bool
) -> list[PyconfdError]:
    """
    Render a resource, or each resource of a pattern at this snapshot. claims: the owners of the
    destinations; a shared destination is a fault, as in a pass.
    """
    failed: list[PyconfdError] = []
    todo: Sequence[Resource] = (resource,)
    if resource.each:
        from pyconfd.apply.expansion import expand, too_many

        if fault := too_many(resource, snapshot):
            return [fault]
        expanded = expand(resource, snapshot, claims.other)
        todo = expanded.resources
        failed += [fault for _, fault in expanded.faults]
    for one in todo:
        try:
            _render(renderer, one, snapshot, diff)
        except RenderError as error:
            failed.append(error)
    return failed


def _render(renderer: Renderer, resource: Resource, snapshot: Snapshot, diff: bool) -> None:
    rendered = renderer.render(resource, snapshot)
    if diff:
        from pyconfd.pipeline import stage

        live, differs = stage.compare(rendered)
        sys.stdout.write(stage.diff(rendered, live) if differs else "")


def _sum_up(good: int, faults: int, warnings: int, notes: int) -> None:
    parts = [_count(good, "good resource"), _count(faults, "fault")]
    parts += [_count(warnings, "warning")] if warnings else []
    parts += [_count(notes, "note")] if notes else []
    sys.stdout.write(", ".join(parts) + "\n")
    sys.stdout.flush()


def _count(number: int, what: str) -> str:
    """`no faults`, `1 fault`, `2 faults`."""
    return f"{number or 'no'} {what}{'s' * (number != 1)}"
