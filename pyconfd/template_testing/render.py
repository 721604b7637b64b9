"""
A template over keys of a test: `pyconfd.render("www", {"/web/port": 8080}, confdir="conf")`.

The settings, the resources, the store and the renderer are the daemon's. What the machine of a test
has does not matter: no environment and no config file but those that are given. Nothing is written,
checked or reloaded. Shell: reads the confdir.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NoReturn

from pyconfd.apply.expansion import expand, too_many
from pyconfd.config.arguments import read_arguments
from pyconfd.config.option_table import OPTIONS
from pyconfd.config.options import Given
from pyconfd.config.resources import load_resources
from pyconfd.config.settings import Settings, settings_and_faults
from pyconfd.errors import ConfigError, PyconfdError, RenderError, RenderFailed, SourceError
from pyconfd.model.keys import KeyValue, Listed, join_paths
from pyconfd.model.resources import Origin, Resource
from pyconfd.model.source import SourceOptions
from pyconfd.pipeline.render.node_facts import NodeFacts
from pyconfd.pipeline.render.renderer import Renderer
from pyconfd.pipeline.store import Snapshot, Store

#: The name of a template that is given as text.
_TEXT = "<template>"
#: Where a text without a confdir finds no templates to include.
_NOWHERE = "(no confdir)"


def render(
    template: str | os.PathLike[str],
    keys: Mapping[str, object] | os.PathLike[str],
    *,
    confdir: str | os.PathLike[str] = "",
    name: str = "",
    format: str = "",  # noqa: A002 - the key of a resource
    vars: Mapping[str, object] | None = None,  # noqa: A002 - what templates know it as
    node_name: str = "",
    environ: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> str:
    """
    What a template makes of some keys, as the daemon renders it.

    template: the name of a resource of the confdir; or the text of a template, which has a brace or
    a line break; or its file, as a path object. A text and a file may read all keys.
    keys: all that is in the store, as paths with their values or nested, `{"/web/port": 8080}` or
    `{"web": {"port": 8080}}`; or a file of them (JSON, TOML, YAML) or a folder, as a path object.
    confdir: holds `conf.d` and `templates`; `pyconfd.toml` in it has the settings. A text or file
    includes templates from there, and a file without one from its own folder.
    name: of a resource with `each`, which of its files; what a text or file knows as `name`.
    format: of a text or file, as the key of a resource; values are checked against it.
    vars: in addition to those of [vars], or in place of them. node_name: what `node.name` is.
    environ: what getenv sees. options: further ones, as of the command line.

    Raises RenderFailed for whatever is wrong, with file, line and keys.
    """
    named = os.path.abspath(confdir) if confdir else ""
    if named and not os.path.isdir(named):
        raise RenderFailed("confdir= is no folder", file=named)
    settings = _settings(named, node_name, options)
    if isinstance(template, str) and not ("{" in template or "\n" in template):
        resource, templates = _declared(template, named, settings), f"{named}/templates"
    else:
        resource, templates = _undeclared(template, named, settings, name, format)
    snapshot = _snapshot(keys)
    if resource.each:
        resource = _of_pattern(resource, name, snapshot)
    declared = f"{settings.config_file} or vars=" if confdir else "vars="
    renderer = Renderer(
        templates,
        environ or {},
        facts=NodeFacts(settings.node_name, {**settings.vars, **(vars or {})}, declared),
        engine=settings.template_engine,
        compat=settings.compat,
        value_limit=settings.value_limit,
        output_limit=settings.output_limit,
        texts={_TEXT: template} if isinstance(template, str) else None,
    )
    try:
        content = renderer.render(resource, snapshot).content
    except RenderError as error:
        _fail(error, templates)
    return content.decode(errors="surrogateescape")  # a Go template may print any byte


def _settings(confdir: str, node_name: str, options: Sequence[str]) -> Settings:
    """Those of the config file in the confdir and of the options, and of nothing else."""
    # A password is of no use here, and the file that holds it may be on another machine.
    words = ["--password="]
    words += [f"--confdir={confdir}"] if confdir else []
    words += [f"--node-name={node_name}"] if node_name else []
    arguments = read_arguments([*words, *options], OPTIONS, foreign=True)
    folder = confdir or os.devnull
    file = os.path.join(folder, "confd.toml" if "compat" in arguments.given else "pyconfd.toml")
    arguments.given.setdefault("config-file", Given(file, ""))  # as a default it may be absent
    settings, faults = settings_and_faults(arguments, {}, program="pyconfd")
    if faults:
        _refuse(faults)
    return settings


def _declared(name: str, confdir: str, settings: Settings) -> Resource:
    """The resource of this name. Other resources may be faulty."""
    if not confdir:
        raise RenderFailed(
            f"no confdir= holds the resource {name}",
            hint="a template's file is given as a Path, and its text has a brace or a line break",
        )
    try:
        found = load_resources(confdir, settings)
    except ConfigError as error:
        _refuse(error.faults)
    for resource in found.resources:
        if resource.name == name:
            return resource
    own = os.path.join(confdir, "conf.d", f"{name.partition('#')[0]}.toml")
    if faults := [fault for fault in found.faults if fault.place[0] == own]:
        _refuse(faults)
    known = ", ".join(one.name for one in found.resources)
    hint = f"there are {known}; a template's file is given as a Path"
    raise RenderFailed(f"no resource is called {name}", file=f"{confdir}/conf.d", hint=hint)


def _undeclared(
    template: str | os.PathLike[str], confdir: str, settings: Settings, name: str, form: str
) -> tuple[Resource, str]:
    """A resource for a text or a file, and the folder of its templates."""
    folder, src = os.path.join(confdir, "templates") if confdir else _NOWHERE, _TEXT
    if not isinstance(template, str):
        path = os.path.abspath(template)
        src = os.path.relpath(path, folder)
        if not confdir or src.startswith(".."):
            folder, src = os.path.split(path)
    resource = Resource(
        name="template",
        origin=Origin("a test"),
        src=src,
        dest="",
        prefix=settings.prefix,
        keys=("/",),
        item=name,
        format=form,
        compat=settings.compat,
    )
    return resource, folder


def _of_pattern(resource: Resource, name: str, snapshot: Snapshot) -> Resource:
    """What a resource with `each` is for one name."""
    folder = join_paths(resource.prefix, resource.each)
    file, line = resource.origin.file, resource.origin.line
    if not name:
        names = ", ".join(expand(resource, snapshot).names)
        what = f"it makes a file of each name below {folder}: name one with name="
        raise RenderFailed(what, hint=f"keys has {names or 'none'}", file=file, line=line)
    expanded = expand(resource, snapshot, of=(name,))
    for error in (too_many(resource, snapshot), *(fault for _, fault in expanded.faults)):
        if error:
            raise RenderFailed(error.what, hint=error.hint, file=file, line=line)
    for one in expanded.resources:
        return one
    what = f"no key below {join_paths(folder, name)}, so it makes no file of that name"
    raise RenderFailed(what, file=file, line=line)


def _snapshot(keys: Mapping[str, object] | os.PathLike[str]) -> Snapshot:
    store = Store()
    if isinstance(keys, Mapping):
        from pyconfd.backends.file_formats import tree_keys

        try:
            items = tuple(KeyValue(key, value, 1) for key, value in tree_keys(keys))
        except RecursionError:
            raise RenderFailed("keys is nested too deeply, or within itself") from None
        except (TypeError, ValueError) as error:
            what = f"a value of keys cannot be read: {error}"
            hint = "values are text, UTF-8 as bytes, numbers, True and False"
            raise RenderFailed(what, hint=hint) from None
        counts = Counter(item.key for item in items)
        if twice := [key for key, count in counts.items() if count > 1]:
            raise RenderFailed(f"keys has {twice[0]} twice")
        store.apply(Listed("keys", 0, 1, items))
        return store.snapshot()
    from pyconfd.backends.file import FileSource

    try:
        store.apply(FileSource(SourceOptions(files=(os.fspath(keys),))).list(("/",), timeout_s=10))
    except SourceError as error:
        file, line = error.place
        raise RenderFailed(error.what, file=file, line=line) from None
    return store.snapshot()


def _fail(error: RenderError, templates: str) -> NoReturn:
    """Raise it as the error of a test; there is no live file here."""
    file = error.template
    if file != _TEXT and not os.path.isabs(file):
        file = os.path.join(templates, file)
    what, line, keys = error.what, error.line, error.keys
    raise RenderFailed(what, file=file, line=line, keys=keys, hint=error.hint) from None


def _refuse(faults: Sequence[PyconfdError]) -> NoReturn:
    """Raise faults of the configuration as one error, at the place of the first."""
    first, *more = faults
    file, line = first.place
    what = first.what if file else f"{first.where}: {first.what}".removeprefix(": ")
    what = "\n".join([what, *map(str, more)])
    raise RenderFailed(what, file=file, line=line, hint=first.hint) from None
