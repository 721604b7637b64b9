"""
Prints the copyright file of the Debian package: our licence, and those of what is bundled.

    python packaging/debian/copyright.py SITE_PACKAGES
"""

from __future__ import annotations

import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _licence(one: Distribution) -> str:
    return one.metadata.get("License-Expression") or one.metadata.get("License") or "see below"


def _text(text: str) -> str:
    """As it is; Debian has one of the long ones at a place of its own."""
    if "Apache License" in text and "TERMS AND CONDITIONS FOR USE" in text:
        return "Apache License, version 2.0: /usr/share/common-licenses/Apache-2.0\n"
    return text


def main() -> None:
    """The texts are those that the distributions bring."""
    write = sys.stdout.write
    write(f"pyconfd, by its maintainers:\n\n{(ROOT / 'LICENSE').read_text()}")
    for one in sorted(distributions(path=[sys.argv[1]]), key=lambda one: one.name):
        if one.name == "pyconfd-etcd":
            continue
        write(f"\n{'=' * 72}\n{one.name} {one.version}: {_licence(one).splitlines()[0]}\n")
        for path in one.files or ():
            if path.name.upper().startswith(("LICENSE", "LICENCE", "COPYING", "NOTICE")):
                write(f"\n{_text(path.read_text(encoding='utf-8'))}")


if __name__ == "__main__":
    main()
