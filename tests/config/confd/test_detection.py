"""Which folder is a tree of confd, and where its config file lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyconfd.config.arguments import read_arguments
from pyconfd.config.confd.detection import TreeKind, which_tree
from pyconfd.config.option_table import OPTIONS


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "pyconfd"


@pytest.fixture
def confds(tmp_path: Path) -> Path:
    (tmp_path / "confd").mkdir()
    return tmp_path / "confd"


def found(
    own: Path, confds: Path, *argv: str, program: str = "pyconfd", **environ: str
) -> TreeKind:
    arguments = read_arguments(argv, OPTIONS)
    return which_tree(arguments, environ, program, own=str(own), confds=str(confds))


def confdir(tree: TreeKind) -> object:
    return tree.defaults["confdir"].value


def test_confds_folder_is_used_where_ours_is_missing_and_that_is_noted(
    own: Path, confds: Path
) -> None:
    """As its tree; as soon as ours exists, ours is used."""
    tree = found(own, confds)
    assert (tree.compat, confdir(tree)) == ("confd", str(confds))
    assert tree.notes == [f"there is no {own}: {confds} is used, as a tree of confd"]
    own.mkdir()
    tree = found(own, confds)
    assert (tree.compat, confdir(tree), tree.notes) == ("", str(own), [])


def test_ours_is_the_usual_one_where_neither_exists(own: Path, tmp_path: Path) -> None:
    """So the error names the folder that should be made."""
    assert confdir(found(own, tmp_path / "none")) == str(own)


def test_naming_confds_folder_makes_it_a_tree_of_confd(own: Path, confds: Path) -> None:
    """By option or variable, however it is spelt; any other folder is ours."""
    assert found(own, confds, "--confdir", f"{confds}/./").compat == "confd"
    assert found(own, confds, PYCONFD_CONFDIR=str(confds)).compat == "confd"
    assert found(own, confds, "--confdir", "/srv/tree").compat == ""


def test_a_program_called_confd_has_confds_folder(own: Path, confds: Path) -> None:
    """Although ours exists; --compat says which of both."""
    own.mkdir()
    tree = found(own, confds, program="/usr/local/bin/confd")
    assert (tree.compat, confdir(tree)) == ("confd", str(confds))
    assert found(own, confds, "--compat", "confd-fork", program="confd").compat == "confd-fork"


def test_the_config_file_is_that_of_the_folder_else_the_usual_one(
    own: Path, confds: Path, tmp_path: Path
) -> None:
    """confd.toml in both."""
    tree = tmp_path / "tree"
    tree.mkdir()
    argv = ("--compat", "confd", "--confdir", str(tree))
    assert found(own, confds, *argv).defaults["config-file"].value == f"{confds}/confd.toml"
    (tree / "confd.toml").touch()
    assert found(own, confds, *argv).defaults["config-file"].value == f"{tree}/confd.toml"


def test_confds_variable_names_the_folder_in_its_tree_only(own: Path, confds: Path) -> None:
    """CONFD_CONFDIR."""
    assert confdir(found(own, confds, "--compat", "confd", CONFD_CONFDIR="/x")) == "/x"
    own.mkdir()
    assert confdir(found(own, confds, CONFD_CONFDIR="/x")) == str(own)
