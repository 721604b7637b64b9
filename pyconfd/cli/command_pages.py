"""The parts of each command's --help, for completion and the manual."""

from __future__ import annotations

from importlib import import_module

from pyconfd.cli.help import COLLECTED, USAGE, HelpPage
from pyconfd.cli.main import COMMANDS
from pyconfd.config.option_table import OPTIONS


def page_of(command: str) -> HelpPage:
    """The parts of `pyconfd COMMAND --help`; "" for pyconfd itself."""
    if not command:
        return HelpPage(USAGE, OPTIONS)
    pages: list[HelpPage] = []
    before = COLLECTED.set(pages)
    try:
        import_module(COMMANDS[command].module).main(["--help"], {})
    finally:
        COLLECTED.reset(before)
    return pages[0]
