"""
`pyconfd init`: writes a recipe as a confdir, ready to be checked and run.

Exit status: 0 written; 1 a file could not be written; 2 wrong usage, or existing files differ.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence

from pyconfd.cli.command import expect_words, read_command
from pyconfd.cli.confdir_writer import write_files
from pyconfd.cli.main import DONE
from pyconfd.cli.recipe_options import FROM, GROUP
from pyconfd.config.layers import resolve
from pyconfd.config.options import Option
from pyconfd.config.recipes import ConfdirFile, Recipe, confdir_files, load_recipe
from pyconfd.config.shipped import names, page_path, table

INIT_OPTIONS = (
    Option(
        "place",
        "text",
        "debian",
        "where the daemon is installed",
        GROUP,
        "NAME",
        choices=("debian", *names("places")),
        in_file=False,
    ),
    Option("force", "flag", False, "overwrite files that differ", GROUP, in_file=False),
    FROM,
)

_HELP = """\
usage: pyconfd init NAME [FOLDER] [OPTIONS]

Writes the recipe NAME (see pyconfd recipes) as a confdir: conf.d, templates, scripts, example
keys (keys.json), settings (pyconfd.toml) where it has some, and a drop-in for the shipped unit
(systemd). FOLDER is ./NAME unless given.
A file that exists and differs is overwritten with --force only; without it nothing is written.
"""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Write it, print what to do next, and return the exit status."""
    arguments = read_command(argv, _HELP, INIT_OPTIONS)
    if arguments is None:
        return DONE
    usage = "pyconfd init NAME [FOLDER]"
    expect_words(arguments, 2, least=1, missing="needs the name of a recipe", hint=usage)
    values = resolve(INIT_OPTIONS, arguments, environ)
    words = arguments.words
    recipe = load_recipe(words[0], values["from"])
    folder = words[1] if len(words) > 1 else os.path.join(".", recipe.name)
    name = values["place"]
    place = table("places", name)["replace"] if name in names("places") else {}
    files = confdir_files(recipe, os.path.abspath(folder), place)
    write_files(files, folder, force=values["force"])
    sys.stdout.write("\n".join(_next(recipe, folder, files, debian=not place)) + "\n")
    return DONE


def _next(
    recipe: Recipe, folder: str, files: Sequence[ConfdirFile], *, debian: bool
) -> Iterator[str]:
    """What was written and what to do with it."""
    place = shlex.quote(folder)
    has_settings = any(file.path == "pyconfd.toml" for file in files)
    confdir = f"--confdir {place}"
    if has_settings:
        confdir += f" --config-file {place}/pyconfd.toml"
    yield f"{folder}: {recipe.title}, {len(files)} files"
    yield ""
    yield "Look at the keys and try the templates with them:"
    yield f"  pyconfd check {confdir} --values {place}/keys.json --diff"
    yield "Put keys like these into etcd, with your own addresses:"
    for key, value in recipe.keys.items():
        yield f"  etcdctl put {shlex.quote(key)} {shlex.quote(value)}"
    yield "See what would be written, write it once, then follow:"
    yield f"  pyconfd --noop --diff {confdir} --node 127.0.0.1:2379"
    yield f"  pyconfd --onetime {confdir} --node 127.0.0.1:2379"
    yield f"  pyconfd --watch {confdir} --node 127.0.0.1:2379"
    unit = f"{recipe.name}.conf"
    yield "Under the shipped unit, let its sandbox write there:"
    yield f"  install -D -m 644 {place}/systemd/{unit} /etc/systemd/system/pyconfd.service.d/{unit}"
    if recipe.packages and debian:
        yield f"It needs: apt-get install {' '.join(recipe.packages)}"
    yield f"Keys, checks and pitfalls: {page_path(recipe.page)}"
