"""Every link of every page leads to a file, and where it names a heading, to that."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.repository import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """Within the repository; what lies elsewhere is not asked for."""
    for target in _LINK.findall(text_of(page)):
        if re.match(r"https?:|mailto:", target):
            continue
        path, _, heading = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if heading and file.suffix == ".md":
            assert heading in anchors(file), target


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    """And the site has no page that is gone; `make site` checks the rest."""
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    named = set(re.findall(r"([\w/-]+\.md)$", navigation, re.MULTILINE))
    made = set(re.findall(r'"([\w-]+\.md)"', (ROOT / "packaging/site/hooks.py").read_text()))
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert named - made == pages


def text_of(page: Path) -> str:
    """Without what is fenced: code has brackets too."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The headings as links name them: small letters, no signs, dashes for blanks."""
    found = re.findall(r"^#+ (.*)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in found}
