"""
Whose tree the folder is: pyconfd's own, or one of confd or its fork, which is read as they do.

Shell: looks whether the usual folders exist. Decided before the config file is read, because
its place depends on it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from pyconfd.config.arguments import Arguments
from pyconfd.config.option_table import CONFD_CONFDIR, OWN_CONFDIR
from pyconfd.config.options import Given, Layer


class TreeKind:
    """
    What the settings start from.

    compat: "confd" or "confd-fork"; "" for pyconfd's own tree.
    defaults: of the options whose default depends on the kind of tree.
    notes: what the operator should know, one line each.
    """

    def __init__(self, compat: str = "", defaults: Layer | None = None) -> None:
        self.compat = compat
        self.defaults: Layer = defaults or {}
        self.notes: list[str] = []


def which_tree(
    arguments: Arguments,
    environ: Mapping[str, str],
    program: str,
    *,
    own: str = OWN_CONFDIR,
    confds: str = CONFD_CONFDIR,
) -> TreeKind:
    """
    The tree of a run. program: the name it was called by (argv[0]); `confd` means a tree of confd.

    own, confds: the usual folders.
    """
    called_confd = os.path.basename(program) == "confd"
    compat = _text(arguments, environ, "compat") or ("confd" if called_confd else "")
    confdir = _text(arguments, environ, "confdir")
    if compat and not confdir:
        confdir = environ.get("CONFD_CONFDIR", "")
    tree = TreeKind()
    if not confdir:
        confdir = _usual(compat, called_confd, own, confds, tree)
    tree.compat = compat or ("confd" if is_confds(confdir, confds) else "")
    tree.defaults = {"confdir": Given(confdir, "")}
    if tree.compat:
        file = _config_file((confdir, confds))
        tree.defaults |= {"compat": Given(tree.compat, ""), "config-file": Given(file, "")}
    return tree


def is_confds(confdir: str, confds: str = CONFD_CONFDIR) -> bool:
    """Whether a folder is confd's own."""
    return os.path.normpath(confdir) == confds


def take_backend(arguments: Arguments, environ: Mapping[str, str], program: str) -> None:
    """The fork's form, `confd etcd --watch`: its first word names the backend."""
    if not (arguments.words and which_tree(arguments, environ, program).compat):
        return
    from pyconfd.config.confd.options import BACKENDS, FORK

    if arguments.words[0] in BACKENDS:
        word = arguments.words.pop(0)
        arguments.given.setdefault("backend", Given(word, word))
        if not environ.get("PYCONFD_COMPAT"):
            arguments.given.setdefault("compat", Given(FORK, word))


def _text(arguments: Arguments, environ: Mapping[str, str], name: str) -> str:
    """An option, before the layers are built."""
    given = arguments.given.get(name)
    return str(given.value) if given else environ.get(f"PYCONFD_{name.upper()}", "")


def _usual(compat: str, called_confd: bool, own: str, confds: str, tree: TreeKind) -> str:
    """The folder where none is given."""
    if called_confd or (compat and os.path.isdir(confds)):
        return confds
    if os.path.lexists(own) or not os.path.isdir(confds):
        return own
    tree.notes.append(f"there is no {own}: {confds} is used, as a tree of confd")
    return confds


def _config_file(folders: Sequence[str]) -> str:
    """confd.toml in the folder, else in the usual one."""
    paths = [os.path.join(folder, "confd.toml") for folder in folders]
    return next(filter(os.path.lexists, paths), paths[-1])
