"""The commands and files that CONTRIBUTING.md and the workflows name exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from importlib.util import find_spec
from typing import Any

import pytest
import yaml

from tests.support.repository import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
MAKE_VENV = (ROOT / "packaging" / "make-venv.sh").read_text()
TARGETS = re.findall(r"^([\w-]+):", MAKEFILE, re.MULTILINE)
FENCED = [
    line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()
]
INLINE = re.findall(r"`(make [^`]+)`", TEXT)


@pytest.mark.parametrize("command", sorted({*FENCED, *INLINE}))
def test_every_command_can_be_run(command: str) -> None:
    """A target of the Makefile, or a module with arguments that exist."""
    program, *words = shlex.split(command)
    if program == "make":
        assert words[0] in TARGETS
        for word in words[1:]:
            name = word.partition("=")[0]
            assert f"{name} ?=" in MAKEFILE or f"${{{name}:-" in MAKE_VENV, word
        return
    assert program == ".venv/bin/python"
    assert words[0] == "-m"
    assert find_spec(words[1]), words[1]
    for path in words[2:]:
        assert (ROOT / path).exists()


def test_every_link_leads_to_a_file() -> None:
    """The pages that it names are there; those of others are not asked for."""
    for target in re.findall(r"\]\((?!https://)([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target


def test_where_do_i_change_names_files_that_exist() -> None:
    """Ten questions, and each answer is a file."""
    table = TEXT.partition("## Where do I change it?")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+) \| (.+) \|$", table, re.MULTILINE)[1:]
    assert len(rows) == 10
    for question, answer in rows:
        files = re.findall(r"`((?:pyconfd|docs)/[\w./-]+)`", answer)
        assert files, question
        for file in files:
            assert (ROOT / file).is_file(), f"{question}: {file}"


def workflow() -> dict[str, Any]:
    """The workflow as YAML reads it."""
    found: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    return found


def test_the_workflow_tests_every_python_with_both_ends_of_the_dependencies() -> None:
    """Those that pyproject.toml names; both ends are words of make-venv.sh."""
    matrix = workflow()["jobs"]["test"]["strategy"]["matrix"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert [f"Programming Language :: Python :: {each}" for each in matrix["python"]] == [
        each for each in project["classifiers"] if ":: Python ::" in each
    ]
    assert matrix["dependencies"] == ["lowest", "newest"]
    for each in matrix["dependencies"]:
        assert f"{each}) wanted" in MAKE_VENV


def test_the_workflow_runs_commands_that_exist() -> None:
    """Each step is shell that parses; `make` names targets of the Makefile."""
    lines = [
        line
        for job in workflow()["jobs"].values()
        for step in job["steps"]
        for line in step.get("run", "").splitlines()
    ]
    assert {"make test", "make release VERSION=99.0.0 DRY=1", "make audit"} <= set(lines)
    for line in lines:
        assert subprocess.run(["sh", "-n", "-c", line], check=False).returncode == 0, line
        if line.startswith("make ") and "-C" not in line:
            assert shlex.split(line)[1] in TARGETS, line


def test_the_hooks_are_what_make_lint_runs() -> None:
    """Programs of the environment that `make venv` makes: nothing is fetched."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    (local,) = config["repos"]
    assert local["repo"] == "local"
    lint = MAKEFILE.partition("\nlint:")[2].partition("\n\n")[0]
    for hook in local["hooks"]:
        assert hook["language"] == "system"
        program, *words = shlex.split(hook["entry"].replace(" --force-exclude", ""))
        assert program.startswith(".venv/bin/")
        assert " ".join([program.replace(".venv", "$(BIN)").replace("/bin/", "/"), *words]) in lint


def test_every_dependency_has_its_reason() -> None:
    """A row of docs/dependencies.md, and none for what has gone."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["console"]]
    table = (ROOT / "docs" / "dependencies.md").read_text().partition("## What is made by hand")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([\w-]+)`", row)}
    assert named == {re.split(r"[<>=]", each)[0] for each in needed}
