"""Files that are made from the tables of options and keys are those in the repository."""

from __future__ import annotations

from generate.__main__ import outdated


def test_generated_files_are_current() -> None:
    """`make generated` writes them."""
    assert outdated() == []
