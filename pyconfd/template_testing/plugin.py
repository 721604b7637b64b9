"""
The plugin for pytest, which finds it by its entry point: the fixture `pyconfd_template`.

Loaded by every pytest of an environment that has pyconfd, so it imports nothing else at the top.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

CONFDIR = "pyconfd_confdir"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Called by pytest."""
    text = "the folder that holds conf.d and templates (default: that of the ini-file)"
    parser.addini(CONFDIR, text, default="")


@pytest.fixture(scope="session")
def pyconfd_template(pytestconfig: pytest.Config) -> Callable[..., str]:
    """
    `pyconfd.render` in the confdir of the project: pyconfd_template("www", {"/web/port": 8080}).

    The ini option pyconfd_confdir names the confdir, relative to the ini-file.
    """
    from functools import partial

    import pyconfd

    folder = pytestconfig.inipath.parent if pytestconfig.inipath else pytestconfig.rootpath
    return partial(pyconfd.render, confdir=folder / pytestconfig.getini(CONFDIR))
