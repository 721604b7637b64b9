"""
`pyconfd recipes`: lists and shows the shipped recipes, and tests them on the installed daemons.

Exit status: 0 done; 1 a test failed; 2 wrong usage, or a recipe with faults.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pyconfd.cli.command import expect_words, read_command
from pyconfd.cli.listing import Printout, form_of, form_options, show
from pyconfd.cli.main import DONE
from pyconfd.cli.recipe_options import FROM, GROUP
from pyconfd.cli.terminal import Terminal
from pyconfd.config.arguments import Arguments
from pyconfd.config.layers import resolve
from pyconfd.config.options import did_you_mean
from pyconfd.config.recipes import Recipe, load_recipe, recipe_names
from pyconfd.config.shipped import page_path
from pyconfd.errors import SettingsError

RECIPES_OPTIONS = (
    FROM,
    *form_options(GROUP),
)

_FIELDS = ("name", "title", "summary", "system", "packages", "programs", "page")
_HELP = """\
usage: pyconfd recipes [-o FORM]
       pyconfd recipes show NAME [-o FORM]
       pyconfd recipes test [NAME ...]

Recipes are ready configurations for whole systems: conf.d, templates, example keys and scripts,
and keys that must be refused. `show` prints one, `pyconfd init NAME` writes one as a confdir.
`test` renders the example keys below a temporary folder, has the installed daemon check the result,
and makes sure that each broken key is refused. Nothing outside that folder is written, and no
daemon is started or reloaded.
"""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """List, show or test; returns the exit status."""
    arguments = read_command(argv, _HELP, RECIPES_OPTIONS)
    if arguments is None:
        return DONE
    _expect_words(arguments)
    values = resolve(RECIPES_OPTIONS, arguments, environ)
    verb, *names = arguments.words or ["list"]
    root, form = values["from"], form_of(values)
    if verb == "test":
        from pyconfd.cli.recipe_proof import test_all

        return test_all(names, root, environ, Terminal(sys.stdout, environ))
    if verb == "show":
        recipe = load_recipe(names[0], root)
        record = _record(recipe, whole=True)
        show(form, Printout(record, [record], _FIELDS), lambda: [_page(recipe)])
        return DONE
    recipes = [load_recipe(name, root) for name in recipe_names(root)]
    rows = [("NAME", "SYSTEM", "SUMMARY")]
    rows += [(one.name, one.system, one.summary) for one in recipes]
    records = list(map(_record, recipes))
    table = Terminal(sys.stdout, environ).table
    show(form, Printout(records, records, _FIELDS), lambda: table(rows))
    return DONE


def _expect_words(arguments: Arguments) -> None:
    verb = arguments.words[0] if arguments.words else ""
    if verb == "show":
        missing, usage = "needs the name of a recipe", "pyconfd recipes show NAME"
        expect_words(arguments, 2, least=2, missing=missing, hint=usage)
    elif verb not in ("", "test"):
        hint = did_you_mean(verb, ("show", "test")) or "see --help"
        arguments.faults.append(SettingsError("unknown command", where=verb, hint=hint))


def _record(recipe: Recipe, whole: bool = False) -> dict[str, Any]:
    """A recipe for machines. whole: with the contents of its files."""
    record: dict[str, Any] = {field: getattr(recipe, field) for field in _FIELDS}
    record["broken"] = [{"why": one.why, "by": one.by} for one in recipe.broken]
    if whole:
        record["keys"] = dict(recipe.keys)
        record["files"] = {path: _text(recipe, path) for path in recipe.files}
    return record


def _page(recipe: Recipe) -> str:
    """A recipe for people: what it is, its keys, then every other file."""
    by = {"daemon": recipe.system, "pyconfd": "pyconfd"}
    lines = [
        f"{recipe.name}: {recipe.title}",
        recipe.summary,
        "",
        f"system    {recipe.system}",
        f"packages  {', '.join(recipe.packages) or '-'}",
        f"page      {page_path(recipe.page)}",
        "",
        "Keys of the example (keys.json)",
        *(f"  {key} = {value}" for key, value in recipe.keys.items()),
        "",
        "Refused, as `pyconfd recipes test` proves",
        *(f"  {one.why} (by {by[one.by]})" for one in recipe.broken),
    ]
    for path in recipe.files:
        if path not in ("recipe.toml", "keys.json"):
            lines += [f"\n--- {path}", _text(recipe, path).rstrip("\n")]
    return "\n".join(lines)


def _text(recipe: Recipe, path: str) -> str:
    with open(recipe.files[path], encoding="utf-8", errors="replace") as stream:
        return stream.read()
