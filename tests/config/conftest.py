"""A conf.d to write small files into, and what becomes of it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from pyconfd.config.resources import load_resources
from pyconfd.config.settings import load_settings
from pyconfd.errors import ResourceError
from pyconfd.model.resources import Resource

Write = Callable[[str, str], None]
Add = Callable[..., None]
Load = Callable[..., tuple[dict[str, Resource], list[str]]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A file by its name without `.toml`."""
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "a.j2").touch()

    def write(name: str, text: str) -> None:
        (tmp_path / "conf.d" / f"{name}.toml").write_text(textwrap.dedent(text))

    return write


@pytest.fixture
def add(write: Write) -> Add:
    """A resource that is good unless `more` is not."""

    def add(name: str, more: str = "") -> None:
        write(name, f'[template]\nsrc = "a.j2"\ndest = "/x/{name}"\nkeys = ["/a"]\n{more}')

    return add


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(*argv: str) -> tuple[dict[str, Resource], list[str]]:
        """Good resources by name in their order, and faults without the folder."""
        try:
            found = load_resources(str(tmp_path), load_settings(argv, {}))
        except ResourceError as error:
            return {}, [str(fault).replace(f"{tmp_path}/", "") for fault in error.faults]
        faults = [str(fault).replace(f"{tmp_path}/", "") for fault in found.faults]
        return {resource.name: resource for resource in found.resources}, faults

    return load
