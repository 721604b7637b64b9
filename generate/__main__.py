"""Writes every generated file that is outdated; with --check only names them, with status 1."""

from __future__ import annotations

import sys

from generate import manpages, public, schemas
from generate.documented import ROOT


def generated() -> dict[str, str]:
    """Path below the repository -> what is in it."""
    return {**schemas.files(), **manpages.files(), **public.files()}


def outdated() -> list[str]:
    """The paths of files that are absent or differ."""
    return [
        path
        for path, text in generated().items()
        if not (ROOT / path).is_file() or (ROOT / path).read_text() != text
    ]


def main() -> int:
    """Returns the exit status."""
    found = outdated()
    texts = generated()
    for path in found:
        sys.stdout.write(f"{path}\n")
        if "--check" not in sys.argv[1:]:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(texts[path])
    return 1 if found and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
