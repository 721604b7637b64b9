"""What is no template is not read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import pyconfd
from pyconfd.pipeline.render import template_files
from pyconfd.pipeline.render.template_files import BadTemplate, TemplateFiles


def test_a_pipe_a_device_and_a_huge_file_are_no_templates(tmp_path: Path) -> None:
    """Opening the pipe would wait for ever, and the device has no end."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", template_files._MOST_BYTES + 1)
    files = TemplateFiles(str(tmp_path))
    for name, says in (("pipe", "a pipe"), ("device", "a device"), ("huge", "more than 16777216")):
        with pytest.raises(BadTemplate, match=f"{name}.*{says}"):
            files.source(name)


def test_an_include_of_a_device_is_a_fault_of_its_line(tmp_path: Path) -> None:
    """As every other include that cannot be read."""
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "t").write_text('one\n{% include "device" %}\n')
    with pytest.raises(pyconfd.RenderFailed, match="a device"):
        pyconfd.render(tmp_path / "t", {})


def test_keys_within_themselves_are_a_failed_render() -> None:
    """And no error of Python's own."""
    keys: dict[str, object] = {}
    keys["a"] = keys
    with pytest.raises(pyconfd.RenderFailed, match="within itself"):
        pyconfd.render("{{ 1 }}\n", keys)
