"""The same template gives the bytes that confd gave; every exception is named here."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from pyconfd.errors import MissingKey, TemplateFault
from pyconfd.model.keys import KeyValue, Listed, join_paths
from pyconfd.model.resources import Origin, Resource
from pyconfd.pipeline.render.renderer import Renderer
from pyconfd.pipeline.store import Store
from tests.support.repository import ROOT

CASES = ROOT / "tests" / "golden"

# confd did not write the file (noop, a failed check), so what it rendered is known from elsewhere.
RENDERED_AS = {
    "08-check-cmd-fails": "01-seed-verbatim",
    "18-noop": "01-seed-verbatim",
    "20-keep-stage-file-noop": "12-already-in-sync",
}
# confd failed before it had bytes: what pyconfd says instead.
FAILS = {
    "03-seed-missing-server-name": (MissingKey, 1, "/nginx/www.example.com/server_name"),
    "21-template-syntax-error": (TemplateFault, 1, ""),
    "22-unknown-function": (TemplateFault, 1, "'nosuch' is undefined"),
    # On purpose not as the classic confd, whose global prefix replaces the resource's: prefixes
    # combine, as in its active fork, so the key is looked for below both.
    "14-prefix-flag-beats-toml": (MissingKey, 1, "/stage/prod/app/x"),
    # On purpose not as confd, which answers for keys that the resource does not name as if they
    # did not exist: a file that is empty for that reason went live without a word.
    "16-single-leaf-key": (TemplateFault, 1, "the keys of this resource do not cover /app/y"),
}
# The destination's folder is missing: that is the affair of staging, the bytes are the template's.
TEXT = {"23-dest-directory-missing": b"x\n"}


def render(case: Path) -> bytes:
    """Render a case as the daemon would."""
    flags = json.loads((case / "flags.json").read_text()) if (case / "flags.json").exists() else {}
    arguments = flags.get("args", [])
    prefix = arguments[arguments.index("-prefix") + 1] if "-prefix" in arguments else ""
    template = tomllib.loads((case / "case.toml").read_text())["template"]
    resource = Resource(
        name=case.name,
        origin=Origin("case.toml"),
        src=template["src"],
        dest=template["dest"],
        prefix=join_paths(prefix, template.get("prefix", "")),
        keys=tuple(template["keys"]),
    )
    keys = json.loads((case / "keys.json").read_text())
    store = Store()
    items = tuple(KeyValue(key, value.encode(), 1) for key, value in keys.items())
    store.apply(Listed("golden", 1, 1, items))
    return Renderer(str(case), {}).render(resource, store.snapshot()).content


def names() -> list[str]:
    return sorted(path.name for path in CASES.iterdir() if path.is_dir())


@pytest.mark.parametrize("name", [name for name in names() if name not in FAILS])
def test_same_bytes_as_confd(name: str) -> None:
    """Byte for byte."""
    expected = TEXT.get(name) or (CASES / RENDERED_AS.get(name, name) / "expected.out").read_bytes()
    assert render(CASES / name) == expected


@pytest.mark.parametrize("name", FAILS)
def test_fails_where_confd_fails(name: str) -> None:
    """With the file, the line and the name."""
    kind, line, text = FAILS[name]
    with pytest.raises(kind) as caught:
        render(CASES / name)
    assert (caught.value.template, caught.value.line) == ("case.j2", line)
    assert text in str(caught.value)


def test_every_case_is_run() -> None:
    """Nothing is left out, and no exception names a case that is not there."""
    assert len(names()) == 24
    assert {*FAILS, *RENDERED_AS, *TEXT} <= set(names())
