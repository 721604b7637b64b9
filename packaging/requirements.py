"""
What pyproject.toml wants, one requirement a line: the build backend, the dev group, and what
pyconfd needs at run time, with its extras.

    python packaging/requirements.py [--lowest | --group NAME]

With --group only what that group names. With --lowest each run-time requirement is at its lower
bound: `grpcio>=1.66` is `grpcio==1.66.*`.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def lowest(requirement: str) -> str:
    """The requirement at its lower bound."""
    name, _, bound = requirement.partition(">=")
    version = bound.partition(",")[0]
    return f"{name}=={version}" if version.count(".") > 1 else f"{name}=={version}.*"


def main() -> None:
    """Print them."""
    with (Path(__file__).parent.parent / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    if "--group" in sys.argv[1:]:
        group = project["dependency-groups"][sys.argv[-1]]
        sys.stdout.write("".join(f"{each}\n" for each in group))
        return
    wanted = project["project"]["dependencies"]
    for extra in project["project"]["optional-dependencies"].values():
        wanted = [*wanted, *extra]
    if "--lowest" in sys.argv[1:]:
        wanted = [lowest(each) for each in wanted]
    tools = project["build-system"]["requires"] + project["dependency-groups"]["dev"]
    sys.stdout.write("".join(f"{each}\n" for each in [*tools, *wanted]))


if __name__ == "__main__":
    main()
