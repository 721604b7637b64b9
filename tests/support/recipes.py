"""
A recipe as `pyconfd init` writes it, adapted to a test: other folders, other ports.

    confdir = laid_out("haproxy", tmp_path, {"/etc/haproxy": f"{tmp_path}/etc", ":80": f":{port}"})
    put_keys(etcd, confdir)
    with confdir.daemon("--node", etcd.endpoint) as daemon: ...
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pyconfd.cli.commands.init import write_files
from pyconfd.config.recipes import confdir_files, load_recipe
from pyconfd.config.shipped import RECIPES
from tests.support.daemons.etcd import PrivateEtcd
from tests.support.pyconfd import Confdir


def laid_out(
    name: str,
    tmp_path: Path,
    replace: Mapping[str, str] | None = None,
    *arguments: str,
    folder: str = "confdir",
    root: str = RECIPES,
    templates: bool = False,
) -> Confdir:
    """
    The recipe in `tmp_path`/`folder`, with every text of `replace` replaced, longest first, in
    conf.d, pyconfd.toml, scripts and keys.json (templates too when asked). Folders of the new
    destinations are made. arguments: for every run; --config-file is among them where the recipe
    has one. root: the folder of the recipes.
    """
    target = tmp_path / folder
    files = confdir_files(load_recipe(name, root), str(target))
    write_files(files, str(target))
    for file in files:
        if file.path.startswith("templates/") and not templates:
            continue
        path = target / file.path
        path.write_text(replaced(path.read_text(), replace or {}))
    if (target / "pyconfd.toml").exists():
        arguments = ("--config-file", str(target / "pyconfd.toml"), *arguments)
    return Confdir(target, *arguments)


def replaced(text: str, replace: Mapping[str, str]) -> str:
    """Longest first, and nothing that was put in is replaced again."""
    import re

    if not replace:
        return text
    words = sorted(replace, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, words)), lambda found: replace[found[0]], text)


def keys_of(confdir: Confdir) -> dict[str, str]:
    """The example keys, as they were laid out."""
    keys: dict[str, str] = json.loads((confdir.folder / "keys.json").read_text())
    return keys


def put_keys(etcd: PrivateEtcd, confdir: Confdir) -> dict[str, str]:
    """Put the example keys; returns them."""
    keys = keys_of(confdir)
    for key, value in keys.items():
        etcd.put(key, value)
    return keys
