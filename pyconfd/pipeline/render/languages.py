"""
Finds out whether a template is Jinja2 or Go. Shell: reads templates.

Jinja2 is tried first. A text that it cannot read and that contains `{{` is tried as a Go template;
that engine is imported only then.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import jinja2

from pyconfd.model.resources import Resource
from pyconfd.pipeline.render.codegen import SOURCES
from pyconfd.pipeline.render.compiled_cache import TemplateCache
from pyconfd.pipeline.render.environment import Environment
from pyconfd.pipeline.render.template_errors import SeveralFaults
from pyconfd.pipeline.render.template_files import BadTemplate, MissingTemplate, TemplateFiles


class UnknownLanguage(SeveralFaults):
    """
    A text that is not a template in either language.

    as_jinja: the fault of a text that is most likely Jinja2; None if it is most likely Go.
    """

    as_jinja: jinja2.TemplateSyntaxError | None = None


class Languages:
    """
    The environments of a folder's templates, one for each language. Any thread may call it.

    cache_dir: stores compiled templates between runs; None keeps them only in memory.
    engine: "go" or "jinja2" for resources that name none; empty to detect it for each template.
    compat: "confd" or "confd-fork" in a tree of theirs, whose functions Go templates then have; ""
    in a tree of pyconfd, with those of classic confd.
    texts: templates that are in no file, by name.
    """

    def __init__(
        self,
        folder: str,
        cache_dir: str | None,
        engine: str,
        compat: str,
        texts: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder
        self._texts = texts
        self._cache_dir = cache_dir
        self._engine = engine
        self._compat = compat or "confd"
        self._is_confds = bool(compat)
        cache = TemplateCache(cache_dir, SOURCES) if cache_dir else None
        self._files = TemplateFiles(folder, cache, texts)
        self._go_files: TemplateFiles | None = None
        self._jinja = Environment(self._files)
        self._go: Environment | None = None
        self._found: dict[str, Environment] = {}

    def environment(self, resource: Resource) -> Environment:
        """
        The shared environment for a resource's template.

        Raises jinja2.TemplateSyntaxError when neither language can read the template.
        """
        engine = resource.engine or self._engine
        if engine:
            return self._of_go() if engine == "go" else self._jinja
        found = self._found.get(resource.src)
        if found is None:
            found = self._found[resource.src] = self._find(resource.src)
        return found

    def edited(self) -> tuple[str, ...]:
        """The templates in use whose files have changed since they were read, sorted."""
        edited = set(self._files.edited())
        if self._go_files is not None:
            edited.update(self._go_files.edited())
        return tuple(sorted(edited))

    def source(self, name: str) -> str:
        """The text of a template. Raises MissingTemplate and BadTemplate."""
        return self._files.source(name)

    def others(self, error: BaseException) -> Sequence[jinja2.TemplateSyntaxError]:
        """The other syntax faults of a template, beside the one that it was refused for."""
        found = isinstance(error, UnknownLanguage) and error.as_jinja
        fault = found or error
        if not isinstance(fault, jinja2.TemplateSyntaxError) or not fault.name:
            return ()
        from pyconfd.pipeline.render.analysis.template_faults import others

        return others(self._jinja, fault.name, fault)

    def _find(self, name: str) -> Environment:
        if self._is_confds and (go := self._go_first(name)):
            return go
        try:
            self._load(self._jinja, name)
        except (jinja2.TemplateNotFound, jinja2.TemplateAssertionError):
            pass  # to be reported where it is rendered
        except jinja2.TemplateSyntaxError as error:
            has_actions = "{{" in self._files.source(name) or self._is_confds
            if error.name != name or not has_actions:
                raise
            return self._find_go(name, error)
        return self._jinja

    def _go_first(self, name: str) -> Environment | None:
        """
        Whether Go is tried first. In a tree of confd a text without Jinja2's blocks is a Go
        template if
        it can be one: Jinja2 would change line ends, and read `{#` as a comment.
        """
        try:
            if "{%" in self._files.source(name):
                return None
            self._load(self._of_go(), name)
        except (jinja2.TemplateSyntaxError, jinja2.TemplateNotFound, MissingTemplate, BadTemplate):
            return None
        return self._of_go()

    def _find_go(self, name: str, not_jinja: jinja2.TemplateSyntaxError) -> Environment:
        go = self._of_go()
        try:
            self._load(go, name)
        except jinja2.TemplateSyntaxError as error:
            # Blocks are Jinja2's alone, so its words matter more where there are any.
            blocks = "{%" in self._files.source(name)
            line = not_jinja.lineno if blocks else error.lineno
            what = (
                f"neither Jinja2 (line {not_jinja.lineno}: {not_jinja.message}) "
                f"nor a Go template (line {error.lineno}: {error.message})"
            )
            unknown = UnknownLanguage(what, line, name)
            if blocks:
                unknown.as_jinja = not_jinja
            elif isinstance(error, SeveralFaults):
                unknown.more = error.more
            raise unknown from error
        return go

    def _load(self, environment: Environment, name: str) -> None:
        assert environment.loader is not None  # noqa: S101 - says so to the type checker
        environment.loader.load(environment, name)

    def _of_go(self) -> Environment:
        if self._go is None:
            from pyconfd.pipeline.render.gotemplate import environment

            cache = None
            if self._cache_dir:
                folder = os.path.join(self._cache_dir, self._compat)
                cache = TemplateCache(folder, environment.SOURCES)
            files = TemplateFiles(self._folder, cache, self._texts)
            self._go = environment.GoEnvironment(files, self._compat)
            self._go_files = files
        return self._go
