"""
`pyconfd schema`: JSON Schemas of the TOML files, for editors and CI.

The schemas are files of the package; `python -m generate` makes them from the tables that read the
TOML files. Exit status: 0 printed; 2 wrong usage.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from pyconfd.cli.command import expect_words, read_command
from pyconfd.cli.listing import Printout, form_of, form_options, show
from pyconfd.cli.main import DONE
from pyconfd.cli.terminal import Terminal
from pyconfd.config.layers import resolve
from pyconfd.config.options import Option, did_you_mean
from pyconfd.errors import SettingsError

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(__file__))), "schema")
#: Name -> the files that it is about.
SCHEMAS: Mapping[str, str] = {
    "pyconfd": "pyconfd.toml",
    "recipe": "recipe.toml",
    "resource": "conf.d/*.toml",
    "services": "services.toml",
}

SCHEMA_OPTIONS = (
    Option("path", "flag", False, "print where the file is", "Schema", in_file=False),
    *form_options("Schema"),
)
_COLUMNS = ("name", "files", "path")

_HELP = """\
usage: pyconfd schema [-o FORM]
       pyconfd schema NAME [--path]

Prints a JSON Schema, by which an editor completes and checks the keys of a TOML file. NAME: pyconfd
(pyconfd.toml), resource (conf.d/*.toml), services (services.toml) or recipe (recipe.toml). Without
NAME, lists them.
"""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print; returns the exit status. Raises SettingsError."""
    arguments = read_command(argv, _HELP, SCHEMA_OPTIONS)
    if arguments is None:
        return DONE
    expect_words(arguments, 1)
    names = [word.removesuffix(".toml") for word in arguments.words[:1]]
    for name in names:
        if name not in SCHEMAS:
            hint = did_you_mean(name, SCHEMAS) or f"there are {', '.join(SCHEMAS)}"
            arguments.faults.append(SettingsError("no such schema", where=name, hint=hint))
    values = resolve(SCHEMA_OPTIONS, arguments, environ, known=SCHEMA_OPTIONS)
    if not names:
        rows = [(name, files, _path(name)) for name, files in SCHEMAS.items()]
        records = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
        table = Terminal(sys.stdout, environ).table
        head = ("NAME", "FILES", "PATH")
        printout = Printout(records, records, _COLUMNS)
        show(form_of(values), printout, lambda: table([head, *rows]))
    elif values["path"]:
        sys.stdout.write(f"{_path(names[0])}\n")
    else:
        with open(_path(names[0]), encoding="utf-8") as stream:
            sys.stdout.write(stream.read())
    return DONE


def _path(name: str) -> str:
    return os.path.join(FOLDER, f"{name}.schema.json")
