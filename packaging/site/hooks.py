"""
What readers on a code host have and mkdocs has not: links that lead out of docs, names of files as
names of links, and words after the language of a fence, by which tests find their blocks. A hook
of mkdocs.yml.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
#: Pages of the repository's root -> their place in the site.
PAGES = {
    "README.md": "first-site.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "CODE_OF_CONDUCT.md": "conduct.md",
    "SECURITY.md": "reporting.md",
}
#: Languages of fences that only our tests know.
_LEXERS = {"example": "jinja", "refused": "jinja"}
_FENCE = re.compile(r"^( *```+)(\w*)(?: [\w -]+)?$")
_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """The pages from outside of docs, and the files that pages link to."""
    for source, place in PAGES.items():
        text = (ROOT / source).read_text()
        files.append(File.generated(config, place, content=text))
    style = str(Path(__file__).with_name("site.css"))
    files.append(File.generated(config, "site.css", abs_src_path=style))
    for path in sorted({path for page in files.documentation_pages() for path in _sources(page)}):
        place = _place(path)
        if place and files.get_file_from_path(place) is None:
            files.append(File.generated(config, place, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The same page with links that hold here."""
    source = _source(page.file)
    folder = posixpath.dirname(page.file.src_uri)

    def link(found: re.Match[str]) -> str:
        text, target, anchor = found.groups(default="")
        place = _place(_path(source, target))
        if not place:
            return text
        if text.endswith(".md"):
            text = _title(_path(source, target))
        return f"[{text}]({posixpath.relpath(place, folder or '.')}{anchor})"

    lines = [
        fence[1] + _LEXERS.get(fence[2], fence[2])
        if fence
        else line
        if code
        else _LINK.sub(link, line)
        for line, code, fence in _lines(markdown)
    ]
    return "\n".join(lines)


@cache
def _title(path: str) -> str:
    """The heading of a page of the repository."""
    return (ROOT / path).read_text().split("\n", 1)[0].removeprefix("# ")


def _lines(markdown: str) -> Iterator[tuple[str, bool, re.Match[str] | None]]:
    """Each line, whether it is fenced, and the fence that it is."""
    code = False
    for line in markdown.split("\n"):
        fence = _FENCE.match(line)
        yield line, code, fence
        code ^= fence is not None


def _sources(page: File) -> Iterator[str]:
    for line, code, _ in _lines(page.content_string):
        if not code:
            for _, target, _ in _LINK.findall(line):
                yield _path(_source(page), target)


def _source(page: File) -> str:
    """Its path in the repository."""
    places = {place: source for source, place in PAGES.items()}
    return places.get(page.src_uri, f"docs/{page.src_uri}")


def _path(source: str, target: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), target))


def _place(path: str) -> str:
    """Where a file of the repository is in the site; "" for a folder, which is nowhere."""
    if (ROOT / path).is_dir():
        return ""
    inside = path.removeprefix("docs/")
    # mkdocs leaves out what begins with a dot
    return PAGES.get(path) or (inside if inside != path else f"source/{path.lstrip('.')}")
