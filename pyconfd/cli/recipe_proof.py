"""
`pyconfd recipes test`: tests a recipe on the daemon that is installed here.

The recipe is written below a temporary root, and the file source reads its example keys. The real
pipeline renders the files, has the daemon check them and puts them live below that root. Then each
broken set of keys must be refused and must leave the files unchanged. No reload is run.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from pyconfd.cli.confdir_writer import write_files
from pyconfd.cli.main import DONE, FAILED
from pyconfd.cli.terminal import Terminal, Tone
from pyconfd.config.recipes import (
    USUAL,
    BrokenExample,
    Edit,
    Recipe,
    confdir_files,
    load_recipe,
    recipe_names,
)
from pyconfd.config.resources import load_resources
from pyconfd.config.settings import Settings, load_settings
from pyconfd.daemon import run
from pyconfd.daemon import wiring as build
from pyconfd.errors import ConfigError, PyconfdError, RecipeError
from pyconfd.model.resources import Command, Resource, ResourceSet
from pyconfd.model.steps import CommandReport, Outcome, Result
from pyconfd.observe import log
from pyconfd.system.proc import Commands

#: Where daemons are that an operator's PATH may lack.
_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"
_PATH = re.compile(r"(?<![\w./@%-])/(?:[\w@%+.{}-]+/)*[\w@%+.{}-]+")
_DEST = re.compile(r"""^\s*dest\s*=\s*(["'])(/.+?)\1""", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Case:
    """
    One test case.

    what: in words.
    wrong: why it failed; "" if it passed.
    duration_s: how long it took.
    """

    what: str
    wrong: str
    duration_s: float


def test_all(names: Sequence[str], root: str, environ: Mapping[str, str], paint: Terminal) -> int:
    """
    Test these recipes, or all of a folder, and print each case as it ends. Returns the exit status.

    A recipe whose programs are missing is a failure only if it was named.
    """
    failed = untested = cases = 0
    recipes = [load_recipe(name, root) for name in names or recipe_names(root)]
    for recipe in recipes:
        _say(paint(f"{recipe.name}: {recipe.title}", Tone.HEADING))
        if missing := missing_programs(recipe):
            what = f"{', '.join(missing)} not found; apt-get install {' '.join(recipe.packages)}"
            _say(f"  {paint('not tested', Tone.BAD if names else Tone.WAITING)}  {what}")
            failed, untested = failed + bool(names), untested + 1
            continue
        for case in prove(recipe, environ):
            word = paint("FAILED", Tone.BAD) if case.wrong else paint("ok    ", Tone.GOOD)
            _say(f"  {word}  {case.what} ({case.duration_s:.2f} s)")
            if case.wrong:
                _say("\n".join(f"          {line}" for line in case.wrong.splitlines()))
            failed, cases = failed + bool(case.wrong), cases + 1
    left_out = f", {untested} not tested" if untested else ""
    many = "s" * (len(recipes) != 1)
    _say(f"{len(recipes)} recipe{many}, {cases} cases, {failed or 'none'} failed{left_out}")
    return FAILED if failed else DONE


def missing_programs(recipe: Recipe) -> list[str]:
    """The recipe's programs that are not installed."""
    path = f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM_PATH}"
    return [name for name in recipe.programs if not shutil.which(name, path=path)]


def prove(recipe: Recipe, environ: Mapping[str, str]) -> Iterator[Case]:
    """All cases of a recipe, the example first: if it fails, the broken ones prove nothing."""
    with tempfile.TemporaryDirectory(prefix="pyconfd-recipe-") as folder, _environment():
        trial = Trial(recipe, os.path.realpath(folder), environ)
        os.environ.update(trial.environ)
        begun = time.monotonic()
        wrong = trial.good()
        yield Case("the example is accepted", wrong, time.monotonic() - begun)
        for broken in () if wrong else recipe.broken:
            begun = time.monotonic()
            wrong = trial.refused(broken)
            by = recipe.system if broken.by == "daemon" else "pyconfd"
            yield Case(f"{by} refuses: {broken.why}", wrong, time.monotonic() - begun)


class Trial:
    """
    A recipe laid out in a folder of its own: `root` stands for the node's root, and beside it are
    the confdir, the state and the keys. folder: absolute, empty; the caller removes it.
    """

    def __init__(self, recipe: Recipe, folder: str, environ: Mapping[str, str]) -> None:
        self._recipe = recipe
        self._folder = folder
        self._root = os.path.join(folder, "root")
        self._confdir = os.path.join(folder, "confdir")
        self._environ = {
            name: value for name, value in environ.items() if not name.startswith("PYCONFD_")
        }
        lay_out(recipe, self._root)
        self._rerooted = rerooting(recipe, self._root)
        files = confdir_files(recipe, self._confdir)
        write_files(
            [replace(one, content=self._rerooted(one.content.decode()).encode()) for one in files],
            self._confdir,
        )

    @property
    def environ(self) -> dict[str, str]:
        """The variables of the recipe's test."""
        return {name: self._rerooted(text) for name, text in self._recipe.environ.items()}

    def good(self) -> str:
        """What is wrong with the example; "" when every file is live."""
        try:
            outcomes = self._pass(Edit())
        except PyconfdError as error:
            return self._plain(_faults(error))
        failed = [one for one in outcomes if one.result.failed]
        if not outcomes:
            return "it renders nothing"
        return self._plain("\n".join(_reason(one) for one in failed))

    def refused(self, broken: BrokenExample) -> str:
        """Why these keys were not refused as expected; "" if they were."""
        before = self._live()
        try:
            outcomes = self._pass(broken.edit)
        except PyconfdError as error:
            return self._plain(_faults(error))
        failed = [one for one in outcomes if one.result.failed]
        text = self._plain("\n".join(_reason(one) for one in failed))
        if not failed:
            return "it is accepted"
        if not broken.says.search(text):
            return f"the refusal does not match {broken.says.pattern!r}:\n{text}"
        by_daemon = any(one.result is Result.REFUSED for one in failed)
        if by_daemon is not (broken.by == "daemon"):
            return f"it is refused by {'the daemon' if by_daemon else 'pyconfd'}:\n{text}"
        return "" if self._live() == before else "a live file has changed"

    def _pass(self, edit: Edit) -> list[Outcome]:
        """One pass with the example keys after a change. Raises pyconfd's errors."""
        keys = edit(self._recipe.test(self._recipe.keys))
        values = {key: self._rerooted(value) for key, value in keys.items()}
        path = os.path.join(self._folder, "values.json")
        with open(path, "w", encoding="utf-8") as stream:
            json.dump(values, stream)
        settings = self._settings(path)
        found = load_resources(settings.confdir, settings)
        if found.faults:
            raise ConfigError("conf.d has faults", faults=found.faults)
        found = ResourceSet(tuple(self._harmless(one) for one in found.resources))
        log.configure(level="panic", style="text")  # the outcomes have all of it
        with build.state(settings, found) as state:
            tools = build.tools(settings, state, Commands(variables=tuple(self.environ)))
            snapshot = run.read(settings, found)
            reports = list(run.passes(found, snapshot, state, tools))
        return [outcome for report in reports for outcome in report.outcomes]

    def _settings(self, values: str) -> Settings:
        words = ["--onetime", "--backend", "file", "--file", values, "--confdir", self._confdir]
        words += ["--state-dir", os.path.join(self._folder, "state")]
        file = os.path.join(self._confdir, "pyconfd.toml")
        with open(file, "a", encoding="utf-8"):
            pass  # where the recipe has none, an empty one keeps that of this node out
        return load_settings([*words, "--config-file", file], self._environ)

    def _harmless(self, resource: Resource) -> Resource:
        """The resource without reload and owner, but still in the same service as before."""
        if not resource.dest.startswith((f"{self._root}/", f"{self._confdir}/")):
            raise RecipeError("dest could not be put below the root", where=str(resource.origin))
        os.makedirs(os.path.dirname(resource.dest), exist_ok=True)
        reload = resource.reload
        if reload:
            reload = Command(f": {shlex.quote(reload.text)}", reload.timeout_s)
        service = replace(resource.service, reload=reload, confirm=None)
        return replace(resource, service=service, uid=None, gid=None)

    def _live(self) -> dict[str, bytes]:
        """Every file below the root and the confdir."""
        found = {}
        for folder, _, files in chain(os.walk(self._root), os.walk(self._confdir)):
            for name in files:
                path = os.path.join(folder, name)
                if os.path.isfile(path):
                    with open(path, "rb") as stream:
                        found[path] = stream.read()
        return found

    def _plain(self, text: str) -> str:
        """The text without the root, as on a real node."""
        return text.replace(self._root, "").replace(self._confdir, USUAL)


def lay_out(recipe: Recipe, root: str) -> None:
    """Copy the recipe's test/ below the root, with @ROOT@ in its files replaced."""
    os.makedirs(root)
    for path, source in recipe.files.items():
        if not path.startswith("test/"):
            continue
        copy = os.path.join(root, path.removeprefix("test/"))
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        shutil.copy(source, copy)
        with open(copy, "rb") as stream:
            content = stream.read()
        with open(copy, "wb") as stream:
            stream.write(content.replace(b"@ROOT@", root.encode()))


@dataclass(frozen=True, slots=True)
class Rerooting:
    """Moves paths in a text below the root: destinations, and the files of test/."""

    root: str
    dests: frozenset[str]
    folders: frozenset[str]

    def __call__(self, text: str) -> str:
        """The text, with `@ROOT@` replaced too."""
        return _PATH.sub(self._place, text.replace("@ROOT@", self.root))

    def _place(self, found: re.Match[str]) -> str:
        path = found[0]
        if path.startswith(f"{self.root}/"):
            return path
        laid_out = os.path.dirname(path) in self.folders or os.path.exists(self.root + path)
        return self.root + path if path in self.dests or laid_out else path


def rerooting(recipe: Recipe, root: str) -> Rerooting:
    """The rerooting of a recipe whose test/ is laid out."""
    dests: set[str] = set()
    for file in confdir_files(recipe, USUAL):
        if file.path.startswith("conf.d/"):
            dests.update(found[2] for found in _DEST.finditer(file.content.decode()))
    folders = {folder[len(root) :] for folder, _, files in os.walk(root) if files}
    return Rerooting(root, frozenset(dests), frozenset(folders))


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Sets a PATH with the folders of daemons, and restores it afterwards."""
    before = dict(os.environ)
    os.environ["PATH"] = f"{before.get('PATH', os.defpath)}:{_SYSTEM_PATH}"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _faults(error: PyconfdError) -> str:
    faults = error.faults if isinstance(error, ConfigError) else (error,)
    return "\n".join(str(fault) for fault in faults)


def _reason(outcome: Outcome) -> str:
    """Why a destination is not live: the daemon's message, or pyconfd's."""
    words = f"{outcome.result}: {outcome.error or ''}"
    report: CommandReport | None = outcome.report
    text = f"{words}\n{report.output.strip()}" if report else words
    return f"{outcome.resource.name}: {text}"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
