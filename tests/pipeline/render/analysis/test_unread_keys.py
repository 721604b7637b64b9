"""Declared keys that no template reads, where that is certain."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyconfd.model.resources import Guard, Origin, Resource
from pyconfd.pipeline.render.renderer import Renderer


def unread(folder: Path, template: str, *keys: str, **more: object) -> list[str]:
    (folder / "t.j2").write_text(template)
    resource = Resource(
        name="t",
        origin=Origin("x"),
        src="t.j2",
        dest="/x",
        keys=keys,
        **more,  # type: ignore[arg-type]
    )
    return Renderer(str(folder), {}).unread_keys(resource)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("no key", ["/app", "/web"]),
        ("{{ getv('/app/x') }}", ["/web"]),
        ("{% if exists('/app') %}x{% endif %}", ["/web"]),
        ("{{ gets('/web/*/port') }}{{ ls('/app') }}", []),
        (
            "{% for n in ls('/app') %}{{ getv('/app/' ~ n) }}{{ getv('/app/' + n) }}{% endfor %}",
            ["/web"],
        ),
        ("{{ getv('/' ~ x) }}", []),
        ("{{ getv('/we' ~ x) }}", []),
        ("{{ ls() }}", []),
        ("{{ ls('/') }}", []),
        ("{{ getv(x) }}{{ getv('/app/x') }}", []),
        ("{{ getv('/%s' | format('web')) }}", []),
        ("{% set read = getv %}{{ read('/web') }}", []),
        ("{{ getv(*args) }}", []),
        ("{% include name %}", []),
        ("{% include 'gone.j2' ignore missing %}", []),
        ("{% include 'web.j2' %}", ["/app"]),
        ("{% import 'web.j2' as m %}{{ getv('/app/x') }}", []),
        ("{{ syntax error", []),
        ('{{getv "/app/x"}}', ["/web"]),  # Go
        ('{{range gets "/app/*"}}{{.Value}}{{end}}', ["/web"]),
        ('{{range ls "/app"}}{{getv (printf "/web/%s" .)}}{{end}}', []),
        ('{{"/web" | getv | printf "%s"}}', ["/app"]),
    ],
)
def test_only_literal_paths_make_it_certain(
    tmp_path: Path, template: str, expected: list[str]
) -> None:
    """Of all that a template includes; what is computed could be any path."""
    (tmp_path / "web.j2").write_text("{{ getv('/web/port') }}")
    assert unread(tmp_path, template, "/app", "/web") == expected


@pytest.mark.parametrize(
    "more",
    [
        {"each": "/web"},
        {"guard": Guard(require=("/web/name",))},
        {"guard": Guard(min_keys=3)},
        {"guard": Guard(max_shrink=0.5)},
    ],
)
def test_what_else_uses_a_key_is_no_matter(tmp_path: Path, more: dict[str, object]) -> None:
    """The names of its files, and its guards."""
    assert unread(tmp_path, "{{ getv('/app/x') }}", "/app", "/web", **more) == []


def test_a_key_of_which_a_part_is_read_is_read(tmp_path: Path) -> None:
    """Above or below what is declared."""
    assert unread(tmp_path, "{{ getv('/a/b/c') }}", "/a/b", "/a/bc") == ["/a/bc"]
    assert unread(tmp_path, "{{ ls('/a') }}", "/a/b", "/b") == ["/b"]
