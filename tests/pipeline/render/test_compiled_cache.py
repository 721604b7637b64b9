"""Compiled templates kept between runs: used when true, ignored when anything is off."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyconfd.model.resources import Origin, Resource
from pyconfd.pipeline.render.compiled_cache import TemplateCache
from pyconfd.pipeline.render.node_facts import NodeFacts
from pyconfd.pipeline.render.renderer import Renderer
from pyconfd.pipeline.store import Store

RESOURCE = Resource(name="t", origin=Origin("t.toml"), src="t.j2", dest="/none")


def kept(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    (tmp_path / "templates").mkdir()
    yield tmp_path / "templates", tmp_path / "state" / "cache"


def render(folders: tuple[Path, Path], text: str, facts: NodeFacts | None = None) -> str:
    """By a new renderer, as in another run."""
    templates, cache = folders
    (templates / "t.j2").write_text(text)
    renderer = Renderer(str(templates), {}, cache_dir=str(cache), facts=facts)
    return renderer.render(RESOURCE, Store().snapshot()).content.decode()


def test_code_is_kept_and_used(folders: tuple[Path, Path]) -> None:
    """One file a template; it is not written again."""
    assert render(folders, "a{{ 1 }}") == "a1"
    (file,) = kept(folders[1])
    before = file.stat().st_mtime_ns
    assert render(folders, "a{{ 1 }}") == "a1"
    assert file.stat().st_mtime_ns == before


def test_edited_template_replaces_its_code(folders: tuple[Path, Path]) -> None:
    """Also when the edit keeps size and time."""
    assert render(folders, "a") == "a"
    stat = (folders[0] / "t.j2").stat()
    (folders[0] / "t.j2").write_text("b")
    os.utime(folders[0] / "t.j2", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert render(folders, "b") == "b"
    assert len(kept(folders[1])) == 1


@pytest.mark.parametrize("damage", [b"", b"x", b"\0" * 200])
def test_damaged_code_is_made_anew(folders: tuple[Path, Path], damage: bytes) -> None:
    """Cut short, or other bytes."""
    render(folders, "a")
    (file,) = kept(folders[1])
    whole = file.read_bytes()
    file.write_bytes(damage or whole[:-3])
    assert render(folders, "a") == "a"
    assert file.read_bytes() == whole


def test_folder_that_others_may_write_is_not_used(folders: tuple[Path, Path]) -> None:
    """Loading code is running code."""
    folders[1].mkdir(parents=True)
    folders[1].chmod(0o777)
    assert render(folders, "a") == "a"
    assert kept(folders[1]) == []


def test_folder_that_cannot_be_made_is_no_error(folders: tuple[Path, Path]) -> None:
    """Something else stands there."""
    folders[1].parent.mkdir()
    folders[1].write_text("a file")
    assert render(folders, "a") == "a"


def test_another_compiler_makes_other_code(tmp_path: Path) -> None:
    """An upgrade of Jinja2 or of this program invalidates everything."""
    maker = tmp_path / "compiler.py"
    maker.write_text("1")
    code = compile("1", "t", "eval")
    TemplateCache(str(tmp_path / "c"), (str(maker),)).save("t", "source", code)
    assert TemplateCache(str(tmp_path / "c"), (str(maker),)).load("t", "source") == code
    assert TemplateCache(str(tmp_path / "c"), (str(maker),)).load("t", "other") is None
    maker.write_text("22")
    assert TemplateCache(str(tmp_path / "c"), (str(maker),)).load("t", "source") is None


def test_kept_code_prints_the_vars_of_this_run(folders: tuple[Path, Path]) -> None:
    """Facts of the node are no part of the code."""
    for port in (80, 81):
        assert render(folders, "{{ vars.port }}", NodeFacts(vars={"port": port})) == str(port)
    assert len(kept(folders[1])) == 1
