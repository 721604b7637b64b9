"""Go templates through the renderer: which language a template is, and what works as for Jinja2."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pyconfd.errors import MissingKey, RenderError, TemplateFault
from pyconfd.model.resources import Origin, Resource
from pyconfd.pipeline.render.renderer import Renderer
from tests.pipeline.render.gotemplate.rendering import snapshot

KEYS = {"/app/a": "1", "/app/b": "2", "/up/a": "10.0.0.1:80", "/up/b": "bad value;"}


def _resource(**how: str) -> Resource:
    return Resource(
        name="web", origin=Origin("web.toml"), src="t.tmpl", dest="/none", keys=("/",), **how
    )


def _rendered(
    folder: Path, text: str, keys: Mapping[str, str] = KEYS, engine: str = "", **how: str
) -> str:
    (folder / "t.tmpl").write_bytes(text.encode())
    renderer = Renderer(str(folder), {}, engine=engine)
    return renderer.render(_resource(**how), snapshot(dict(keys))).content.decode()


def _fault(folder: Path, text: str, **how: str) -> RenderError:
    with pytest.raises(RenderError) as caught:
        _rendered(folder, text, **how)
    return caught.value


def test_what_jinja2_cannot_read_and_go_can_is_a_go_template(tmp_path: Path) -> None:
    """Nothing has to be said."""
    text = '{{range gets "/app/*"}}{{.Key}}={{.Value}} {{end}}'
    assert _rendered(tmp_path, text) == "/app/a=1 /app/b=2 "


def test_what_both_can_read_is_jinja2(tmp_path: Path) -> None:
    """Jinja2 is tried first."""
    assert _rendered(tmp_path, "{{ 1 + 1 }}{{ [1, 2] | length }}") == "22"


def test_the_resource_decides_then_the_settings(tmp_path: Path) -> None:
    """`{{-3}}` is a trim marker in Jinja2 and a number in Go."""
    assert _rendered(tmp_path, "{{-3}}") == "3"
    assert _rendered(tmp_path, "{{-3}}", engine="go") == "-3"
    renderer = Renderer(str(tmp_path), {}, engine="go")
    assert renderer.render(_resource(engine="jinja2"), snapshot({})).content == b"3"


def test_text_with_only_blocks_is_never_go(tmp_path: Path) -> None:
    """Its error is Jinja2's alone."""
    assert str(_fault(tmp_path, "{% if x %}")).startswith(
        f"{tmp_path}/t.tmpl:1: Unexpected end of template"
    )


def test_an_error_of_a_text_in_neither_language_names_both(tmp_path: Path) -> None:
    """With file, line and column."""
    fault = _fault(tmp_path, 'a\n{{getv "/app/a"}}\n{{range gets "/app/*"}}x')
    assert "neither Jinja2 (line 2: " in str(fault)
    assert "nor a Go template (line 3: unexpected EOF: an {{end}} is missing (column" in str(fault)
    assert str(fault).startswith(f"{tmp_path}/t.tmpl:3: ")


def test_a_fault_names_the_line_and_not_the_value(tmp_path: Path) -> None:
    """As for Jinja2's templates."""
    fault = _fault(tmp_path, 'a\nb {{range getv "/up/b"}}{{end}}')
    assert isinstance(fault, TemplateFault)
    assert (fault.template, fault.line) == ("t.tmpl", 2)
    assert "bad value" not in str(fault)


def test_a_missing_key_is_one(tmp_path: Path) -> None:
    """The same error as from Jinja2, with what was read."""
    fault = _fault(tmp_path, '{{getv "/app/zz"}}')
    assert isinstance(fault, MissingKey)
    assert fault.key == "/app/zz"
    assert "/app/zz" in fault.read_keys


def test_what_is_read_is_recorded(tmp_path: Path) -> None:
    """So only changes that matter render it again."""
    (tmp_path / "t.tmpl").write_text('{{getv "/app/a"}}{{range ls "/up"}}{{.}}{{end}}')
    rendered = Renderer(str(tmp_path), {}).render(_resource(), snapshot(dict(KEYS)))
    assert rendered.reads.keys == {"/app/a"}
    assert rendered.reads.trees == {"/up"}


def test_a_format_refuses_a_value_by_the_name_of_its_key(tmp_path: Path) -> None:
    """Also through printf, whose own text is the author's."""
    text = '{{range gets "/up/*"}}{{printf "server %s;" .Value}}\n{{end}}'
    fault = _fault(tmp_path, text, format="nginx")
    assert "the value of /up/b" in str(fault) or "/up/b" in str(fault)
    good = {"/up/a": "10.0.0.1:80"}
    assert _rendered(tmp_path, text, good, format="nginx") == "server 10.0.0.1:80;\n"


def test_provenance_names_the_line_of_the_template_and_the_keys(tmp_path: Path) -> None:
    """From a line of the output back to what made it."""
    text = (
        '{{range gets "/up/*"}}\nserver {{.Value}};\n{{end}}{{if exists "/app/a"}}\nlast\n{{end}}'
    )
    (tmp_path / "t.tmpl").write_text(text)
    renderer = Renderer(str(tmp_path), {})
    resource = _resource(format="nginx")
    keys = snapshot({"/up/a": "10.0.0.1:80", "/app/a": "1"})
    assert str(renderer.place(resource, keys, 2)) == "t.tmpl:2 with /up/a"
    assert str(renderer.place(resource, keys, 4)) == "t.tmpl:4 decided by /app/a"


def test_loops_that_are_left_early_do_not_confuse_what_decided(tmp_path: Path) -> None:
    """break and continue end the decisions that they leave."""
    text = (
        '{{range gets "/up/*"}}{{if eq .Key "/up/a"}}{{continue}}{{end}}{{if .Value}}{{break}}'
        '{{end}}{{end}}\nlast {{getv "/app/a"}}\n'
    )
    (tmp_path / "t.tmpl").write_text(text)
    place = Renderer(str(tmp_path), {}).place(
        _resource(format="nginx"), snapshot({"/up/a": "1", "/up/b": "2", "/app/a": "x"}), 2
    )
    assert str(place) == "t.tmpl:2 with /app/a"


def test_an_item_is_the_name_of_the_dot(tmp_path: Path) -> None:
    """One template, one file for each name."""
    from dataclasses import replace

    (tmp_path / "t.tmpl").write_text('{{.name}} {{getv (printf "/up/%s" .name)}}')
    resource = replace(_resource(), each="/up", item="a")
    rendered = Renderer(str(tmp_path), {}).render(resource, snapshot(dict(KEYS)))
    assert rendered.content == b"a 10.0.0.1:80"


def test_compiled_go_templates_are_kept_for_the_next_run(tmp_path: Path) -> None:
    """In a folder of their own, one for each confd."""
    (tmp_path / "t.tmpl").write_text('{{getv "/app/a"}}')
    for compat in ("confd", "confd-fork"):
        cache = tmp_path / "cache"
        renderer = Renderer(str(tmp_path), {}, cache_dir=str(cache), compat=compat)
        assert renderer.render(_resource(), snapshot(dict(KEYS))).content == b"1"
        kept = list((cache / compat).iterdir())
        assert len(kept) == 1
        again = Renderer(str(tmp_path), {}, cache_dir=str(cache), compat=compat)
        assert again.render(_resource(), snapshot(dict(KEYS))).content == b"1"


def test_edited_go_templates_are_known(tmp_path: Path) -> None:
    """By either language's files."""
    (tmp_path / "t.tmpl").write_text('{{getv "/app/a"}}')
    renderer = Renderer(str(tmp_path), {})
    renderer.render(_resource(), snapshot(dict(KEYS)))
    assert renderer.edited() == ()
    (tmp_path / "t.tmpl").write_text('{{getv "/app/b"}}!')
    assert renderer.edited() == ("t.tmpl",)
    assert renderer.refreshed().render(_resource(), snapshot(dict(KEYS))).content == b"2!"


def test_the_engine_is_imported_for_go_templates_alone(tmp_path: Path) -> None:
    """A run with Jinja2's templates pays nothing for it."""
    import subprocess
    import sys

    (tmp_path / "t.tmpl").write_text("{{ 1 }}{% if 2 %}x{% endif %}")
    code = f"""
import sys
from pyconfd.model.resources import Origin, Resource
from pyconfd.pipeline.render.renderer import Renderer
from pyconfd.pipeline.store import Store
resource = Resource(name="w", origin=Origin("w"), src="t.tmpl", dest="/none")
Renderer({str(tmp_path)!r}, {{}}).render(resource, Store().snapshot())
print([name for name in sys.modules if "gotemplate" in name])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_all_faults_that_can_be_found_are_given(tmp_path: Path) -> None:
    """Unknown functions and variables do not hide each other, nor what follows them."""
    text = '{{ nosuch "/a" }}\n{{ getv "/a" | other }}\n{{ $x }}\n{{ range gets "/a/*" }}\n'
    (tmp_path / "t.tmpl").write_text(text)
    renderer = Renderer(str(tmp_path), {})
    found = [str(each).removeprefix(f"{tmp_path}/") for each in renderer.faults(_resource())]
    assert [each.partition(" (")[0] for each in found][1:] == [
        't.tmpl:2: function "other" not defined',
        't.tmpl:3: undefined variable "$x"',
        "t.tmpl:5: unexpected EOF: an {{end}} is missing",
    ]
    assert 'a Go template (line 1: function "nosuch" not defined' in found[0]


def test_a_member_in_small_letters_is_told_its_name(tmp_path: Path) -> None:
    """As Jinja2 says it of .Value."""
    fault = _fault(tmp_path, '{{range gets "/app/*"}}{{.value}}{{end}}')
    assert "can't evaluate field value in type memkv.KVPair; did you mean .Value?" in str(fault)
