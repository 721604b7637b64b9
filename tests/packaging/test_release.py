"""What `make release` refuses, and what it makes of version and changelog."""

from __future__ import annotations

import importlib.util

import pytest

from tests.support.repository import ROOT

_SPEC = importlib.util.spec_from_file_location("release", ROOT / "packaging" / "release.py")
assert _SPEC and _SPEC.loader
release = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(release)

CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n- a\n\n## [1.2.0] - 2026-01-01\n\n- b\n"


@pytest.mark.parametrize("version", ["1.2.3", "1.1.99", "1.2", "v1.2.4", "1.2.4rc1", "01.2.4", ""])
def test_a_version_is_newer_than_the_last(version: str) -> None:
    """And has three numbers."""
    with pytest.raises(release.CannotRelease):
        release.released('__version__ = "1.2.3"\n', version)


@pytest.mark.parametrize(
    ("changelog", "version", "why"),
    [
        (CHANGELOG.replace("- a\n", ""), "1.3.0", "nothing below Unreleased"),
        (CHANGELOG, "1.2.0", "a section 1.2.0 already"),
    ],
)
def test_a_changelog_says_what_is_new(changelog: str, version: str, why: str) -> None:
    """Or there is nothing to release."""
    with pytest.raises(release.CannotRelease, match=why):
        release.section(changelog, version, "2026-02-02")


def test_what_was_unreleased_becomes_a_section() -> None:
    """Below an empty one for what comes next; its text is that of the tag."""
    made = release.section(CHANGELOG, "1.3.0", "2026-02-02")
    assert made == CHANGELOG.replace("[Unreleased]\n", "[Unreleased]\n\n## [1.3.0] - 2026-02-02\n")
    assert release.notes(made, "1.3.0") == "- a\n"
    assert release.notes(made, "1.2.0") == "- b\n"
