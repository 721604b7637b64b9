"""Renders Go templates without a resource file, for the tests of this folder."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

from pyconfd.model.keys import KeyValue, Listed
from pyconfd.model.resources import Origin, Resource
from pyconfd.pipeline.render.analysis.template_faults import faults
from pyconfd.pipeline.render.gotemplate.environment import GoEnvironment
from pyconfd.pipeline.render.gotemplate.functions.table import go_functions
from pyconfd.pipeline.render.template_files import TemplateFiles
from pyconfd.pipeline.render.view import View
from pyconfd.pipeline.store import Snapshot, Store

#: A text, or bytes that are none as {"base64": ...}.
Value = str | dict[str, str]


def as_bytes(value: Value) -> bytes:
    """The bytes of a value."""
    return value.encode() if isinstance(value, str) else base64.b64decode(value["base64"])


def snapshot(keys: Mapping[str, Value]) -> Snapshot:
    """A store that holds these keys."""
    store = Store()
    items = tuple(KeyValue(key, as_bytes(value), 1) for key, value in keys.items())
    store.apply(Listed("fake", 1, 5, items))
    return store.snapshot()


def render_folder(
    folder: Path,
    keys: Mapping[str, Value],
    compat: str,
    environ: Mapping[str, str] | None = None,
    allowed: tuple[str, ...] = ("/",),
    prefix: str = "/",
    check: bool = True,
) -> bytes:
    """What case.tmpl in this folder gives; check: after it was checked as a whole."""
    resource = Resource(
        name="case", origin=Origin("case.toml"), src="case.tmpl", dest="/none", prefix=prefix
    )
    view = View(snapshot(keys), prefix, allowed)
    environment = GoEnvironment(TemplateFiles(str(folder)), compat)
    bound = environment.bound(go_functions(view, environ or {}, compat))
    if check:
        for fault in faults(bound, resource.src, set()):
            raise fault
    return "".join(bound.stream(resource)).encode("utf-8", "surrogateescape")


def render_text(
    folder: Path, text: str, keys: Mapping[str, Value] | None = None, compat: str = "confd"
) -> str:
    """What this template gives; `folder` is an empty one."""
    (folder / "case.tmpl").write_bytes(text.encode())
    return render_folder(folder, keys or {"/k": "v"}, compat).decode()
