"""
Recipes: folders of data that configure a whole system from the store.

Shell: reads the folder and reports every fault. docs/recipes/README.md describes its contents;
nothing here knows any service. A recipe is written for the confdir /etc/pyconfd; `confdir_files`
replaces that path by the real one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pyconfd.config.options import did_you_mean
from pyconfd.config.shipped import RECIPES
from pyconfd.config.table import Table
from pyconfd.config.toml import TomlFile, read_toml
from pyconfd.errors import ConfigError, RecipeError

#: The confdir that recipes are written for.
USUAL = "/etc/pyconfd"

_FILE = "recipe.toml"
_KEYS = (
    "title", "summary", "system", "packages", "programs", "page", "writes", "root", "broken",
    "test", "shared",
)  # fmt: skip
_BROKEN_KEYS = ("why", "set", "unset", "says", "by")
_TEST_KEYS = ("set", "unset", "environ")
_PARTS = frozenset((_FILE, "conf.d", "templates", "scripts", "test", "keys.json", "vars.toml"))


@dataclass(frozen=True, slots=True)
class Edit:
    """
    A change of the example keys.

    set: key -> value.
    unset: keys that are removed.
    """

    set: Mapping[str, str] = field(default_factory=dict)
    unset: tuple[str, ...] = ()

    def __call__(self, keys: Mapping[str, str]) -> dict[str, str]:
        """The keys after the change."""
        return {key: value for key, value in {**keys, **self.set}.items() if key not in self.unset}


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenExample:
    """
    Keys that must be refused.

    why: what is wrong with them, for people.
    edit: how they differ from the example.
    says: what the refusal must match.
    by: "daemon" when the daemon's own check refuses them; "pyconfd" when template, types or guards
    do so before.
    """

    why: str
    edit: Edit
    says: re.Pattern[str]
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """
    One recipe.

    name: of its folder.
    files: path below that folder -> where the file is; those of `[shared]` are another recipe's.
    title: a few words.
    summary: one sentence.
    system: the daemon that it configures.
    packages: of Debian.
    programs: that must be found to test it.
    page: docs/recipes/PAGE.md.
    writes: what a unit that runs it has to be able to write, as in ReadWritePaths=.
    root: whether it signals a daemon of root, or writes files of several owners.
    keys: the example, key path -> value.
    broken: examples that must be refused.
    test: what a test of it changes in the keys.
    environ: the environment of that test.
    """

    name: str
    files: Mapping[str, str]
    title: str
    summary: str
    system: str
    packages: tuple[str, ...]
    programs: tuple[str, ...]
    page: str
    writes: tuple[str, ...]
    root: bool
    keys: Mapping[str, str]
    broken: tuple[BrokenExample, ...]
    test: Edit = field(default_factory=Edit)
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConfdirFile:
    """A file of a confdir. path: below it."""

    path: str
    content: bytes
    mode: int = 0o644


def recipe_names(root: str = RECIPES) -> tuple[str, ...]:
    """The recipes in a folder, sorted: the folders with a recipe.toml."""
    try:
        found = os.listdir(root)
    except OSError as error:
        raise RecipeError(f"cannot be read: {error.strerror}", where=root) from error
    return tuple(sorted(name for name in found if os.path.isfile(os.path.join(root, name, _FILE))))


def load_recipe(name: str, root: str = RECIPES) -> Recipe:
    """One recipe. Raises RecipeError with every fault, or when there is none of this name."""
    known = recipe_names(root)
    if name not in known:
        hint = did_you_mean(name, known) or f"there are {', '.join(known) or 'none'}"
        raise RecipeError(f"no recipe is called {name}", where=name, hint=hint)
    folder = os.path.join(root, name)
    file = read_toml(os.path.join(folder, _FILE), RecipeError)
    lines = file.lines()
    table = Table(file.path, file.data, lines[("", 0)])
    table.only(_KEYS)
    tests = _tables(table, "test", file)
    shared = _tables(table, "shared", file)
    faults = list(_strange_files(folder))
    keys = _read_keys(os.path.join(folder, "keys.json"), faults)
    files = _own_files(folder)
    for each in shared:
        files |= _shared_files(each, root, files)
    faults += _missing_parts(folder, files)
    recipe = Recipe(
        name=name,
        files=dict(sorted(files.items())),
        title=table.required_text("title"),
        summary=table.required_text("summary"),
        system=table.required_text("system"),
        packages=table.texts("packages"),
        programs=table.texts("programs"),
        page=table.required_text("page"),
        writes=table.texts("writes"),
        root=table.flag("root"),
        keys=keys,
        broken=tuple(_broken(each, faults) for each in _tables(table, "broken", file)),
        test=_edit(tests[0], _TEST_KEYS) if tests else Edit(),
        environ=_words(tests[0], "environ") if tests else {},
    )
    faults = [*table.faults, *(one for each in (*tests, *shared) for one in each.faults), *faults]
    if faults:
        what = f"the recipe {name} has {len(faults)} fault{'s' * (len(faults) != 1)}"
        raise RecipeError(what, faults=tuple(faults))
    return recipe


def confdir_files(
    recipe: Recipe, confdir: str, place: Mapping[str, str] | None = None
) -> tuple[ConfdirFile, ...]:
    """
    The files of a confdir that runs this recipe; scripts are executable.

    confdir: absolute; it replaces /etc/pyconfd in the files. place: what else is replaced, where
    the daemon is installed otherwise than Debian has it (recipes/places).
    """
    files = [_drop_in(recipe, confdir, place or {})]
    for path, source in recipe.files.items():
        top = path.split("/")[0]
        if top in ("test", _FILE):
            continue
        with open(source, "rb") as stream:
            content = stream.read()
        if top in ("conf.d", "scripts", "vars.toml"):
            content = _at(_placed(content, place or {}), confdir)
        if path == "vars.toml":
            head = f"# Made from the recipe {recipe.name}; read with --config-file.\n"
            path, content = "pyconfd.toml", head.encode() + content
        files.append(ConfdirFile(path, content, 0o755 if top == "scripts" else 0o644))
    return tuple(files)


def _own_files(folder: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for top, names, files in os.walk(folder):
        names[:] = [name for name in names if name != "__pycache__"]
        for name in files:
            path = os.path.join(top, name)
            found[os.path.relpath(path, folder)] = path
    return found


def _shared_files(shared: Table, root: str, own: Mapping[str, str]) -> dict[str, str]:
    """[shared]: recipe -> its files, or whole folders, that belong to this recipe too."""
    found: dict[str, str] = {}
    for name in shared.values:
        theirs = _own_files(os.path.join(root, name))
        for path in shared.texts(name):
            chosen = {
                each: source
                for each, source in theirs.items()
                if each == path or each.startswith(f"{path}/")
            }
            if not chosen:
                shared.fault(name, f"recipe {name} has no {path}", did_you_mean(path, theirs))
            for each in sorted(chosen.keys() & {*own, *found}):
                shared.fault(name, f"{each} is there twice: here, and in recipe {name}")
            found |= chosen
    return found


def _drop_in(recipe: Recipe, confdir: str, place: Mapping[str, str]) -> ConfdirFile:
    """For the shipped unit, whose sandbox lets it write below /etc/nginx."""
    lines = [
        f"# /etc/systemd/system/pyconfd.service.d/{recipe.name}.conf",
        f"# What the recipe {recipe.name} writes, for the sandbox of the shipped unit.",
    ]
    if recipe.root:
        lines.append("# It needs root as well: pyconfd-root.conf, another drop-in that is shipped.")
    lines += ["", "[Service]", f"ReadWritePaths={' '.join(recipe.writes)}", ""]
    content = _at(_placed("\n".join(lines).encode(), place), confdir)
    return ConfdirFile(f"systemd/{recipe.name}.conf", content)


def _placed(content: bytes, place: Mapping[str, str]) -> bytes:
    """Longest first, and nothing that was put in is replaced again."""
    if not place:
        return content
    words = "|".join(re.escape(word) for word in sorted(place, key=len, reverse=True))
    text = re.sub(words, lambda found: place[found[0]].strip(), content.decode())
    return text.encode()


def _at(content: bytes, confdir: str) -> bytes:
    usual = re.compile(rf"(?<![\w./-]){USUAL}(?![\w-])".encode())
    return usual.sub(lambda _: confdir.encode(), content)


def _strange_files(folder: str) -> Iterator[ConfigError]:
    for name in sorted(os.listdir(folder)):
        if name not in _PARTS:
            what = f"no part of a recipe: {name}"
            yield RecipeError(what, where=folder, hint=did_you_mean(name, _PARTS))


def _missing_parts(folder: str, files: Mapping[str, str]) -> Iterator[ConfigError]:
    for name in ("conf.d", "templates"):
        if not any(path.startswith(f"{name}/") for path in files):
            yield RecipeError(f"has no {name}", where=folder)


def _tables(table: Table, key: str, file: TomlFile) -> list[Table]:
    """[key] or every [[key]]."""
    raw = table.values.get(key, [])
    found = raw if isinstance(raw, list) else [raw]
    if any(not isinstance(each, dict) for each in found):
        table.fault(key, f"{key} is no table", f"write [{key}]")
        return []
    lines = file.lines()
    return [
        Table(file.path, each, lines.get((key, number), {"": file.line_of(key)}))
        for number, each in enumerate(found)
    ]


def _broken(table: Table, faults: list[ConfigError]) -> BrokenExample:
    broken = BrokenExample(
        why=table.required_text("why"),
        edit=_edit(table, _BROKEN_KEYS),
        says=_pattern(table),
        by=table.required_text("by"),
    )
    if broken.by not in ("daemon", "pyconfd", ""):
        table.fault("by", f"by is {broken.by!r}", 'write "daemon" or "pyconfd"')
    if not broken.edit.set and not broken.edit.unset:
        table.fault("", "changes no key", "give set or unset")
    faults += table.faults
    return broken


def _pattern(table: Table) -> re.Pattern[str]:
    text = table.required_text("says")
    try:
        return re.compile(text)
    except re.error as error:
        table.fault("says", f"says is not a regular expression: {error}")
        return re.compile("")


def _edit(table: Table, known: tuple[str, ...]) -> Edit:
    table.only(known)
    return Edit(_words(table, "set"), table.texts("unset"))


def _words(table: Table, key: str) -> Mapping[str, str]:
    raw = table.values.get(key, {})
    if not isinstance(raw, dict) or any(not isinstance(value, str) for value in raw.values()):
        table.fault(key, f"{key} is no table of strings", f'write {key} = {{ "/key" = "value" }}')
        return {}
    return dict(raw)


def _read_keys(path: str, faults: list[ConfigError]) -> Mapping[str, str]:
    import json

    try:
        with open(path, encoding="utf-8") as stream:
            keys = json.load(stream)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else f"is no JSON: {error}"
        faults.append(RecipeError(str(why), where=path))
        return {}
    flat = isinstance(keys, dict) and all(
        key.startswith("/") and isinstance(value, str) for key, value in keys.items()
    )
    if not flat:
        hint = 'write {"/key": "value", ...}; values that are JSON as strings'
        faults.append(RecipeError("is no flat map of keys to strings", where=path, hint=hint))
        return {}
    return dict(keys)
