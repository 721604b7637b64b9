"""
From a template and a snapshot to the bytes of a destination.

A template is Jinja2 or Go (languages.py); both become Jinja2's nodes. Importing this module imports
jinja2, which is slow (docs/benchmarks.md): do so when the first render is due. Pure except for
reading template files.

Each render has an environment of its own, copied from the shared one by its fields, whose globals
are the functions bound to that render's view. So macros see the functions even if their file is
imported without context, several threads can render at once, and no thread or context variable is
needed. Only the compiled code of the templates is shared.

The environment is not Jinja2's sandbox: templates are the operator's code, and as trusted as the
commands that the operator declares; values are never compiled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import CodeType
from typing import TYPE_CHECKING

from pyconfd.errors import RenderError, RenderTimeout, TemplateFault, forget_frames
from pyconfd.model.resources import OUTPUT_LIMIT, VALUE_LIMIT, Resource
from pyconfd.model.steps import Rendered
from pyconfd.pipeline.render.environment import Environment, origin
from pyconfd.pipeline.render.function_errors import FunctionFault
from pyconfd.pipeline.render.functions.output_bound import OutputTooLong, collected
from pyconfd.pipeline.render.languages import Languages
from pyconfd.pipeline.render.node_facts import NodeFacts
from pyconfd.pipeline.render.pair_cache import PairCache
from pyconfd.pipeline.render.template_errors import (
    NAMES_ITSELF,
    TEMPLATE_ERRORS,
    fault_of,
    without_values,
)
from pyconfd.pipeline.render.template_files import BadTemplate, MissingTemplate
from pyconfd.pipeline.render.view import View
from pyconfd.pipeline.store import Snapshot, Store
from pyconfd.system.time_limit import TimeLimit

if TYPE_CHECKING:  # only resources with a format, and refusals, need them
    from pyconfd.pipeline.render.provenance import Place, Tracer
    from pyconfd.pipeline.render.value_checks import ValueChecker


class Renderer:
    """
    Renders the templates of one folder. Any thread may call it, several at once.

    templates_dir: templates, includes and imports are searched only here. Each is read once;
    `refreshed` reads those that were edited.
    environ: the environment for getenv.
    cache_dir: stores compiled templates between runs; None keeps them only in memory.
    facts: the facts about this node.
    often: the same resources are rendered many times.
    engine: the language of templates whose resources name none, "go" or "jinja2"; "" detects it.
    compat: "confd" or "confd-fork": how Go templates are read.
    value_limit: the most characters of a value that a resource with a format may print.
    output_limit: the most bytes of an output.
    time_limit: what ends a render that takes too long.
    texts: templates that are in no file, by name.
    """

    def __init__(
        self,
        templates_dir: str,
        environ: Mapping[str, str],
        *,
        cache_dir: str | None = None,
        facts: NodeFacts | None = None,
        often: bool = False,
        engine: str = "",
        compat: str = "",
        value_limit: int = VALUE_LIMIT,
        output_limit: int = OUTPUT_LIMIT,
        time_limit: TimeLimit | None = None,
        texts: Mapping[str, str] | None = None,
    ) -> None:
        self._templates_dir = templates_dir
        self._environ = environ
        self._cache_dir = cache_dir
        self._facts = facts or NodeFacts()
        self._engine = engine
        self._compat = compat
        self._value_limit = value_limit
        self._output_limit = output_limit
        self._time_limit = time_limit or TimeLimit()
        self._texts = texts
        self._languages = Languages(templates_dir, cache_dir, engine, compat, texts)
        self._checked: dict[tuple[Environment, str], tuple[Environment, ValueChecker]] = {}
        self._pair_cache = PairCache() if often else None
        self._watched: dict[tuple[type, str], CodeType] = {}

    def refreshed(self) -> Renderer:
        """A renderer of the same folder with the templates as they are now."""
        return Renderer(
            self._templates_dir,
            self._environ,
            cache_dir=self._cache_dir,
            facts=self._facts,
            often=self._pair_cache is not None,
            engine=self._engine,
            compat=self._compat,
            value_limit=self._value_limit,
            output_limit=self._output_limit,
            time_limit=self._time_limit,
            texts=self._texts,
        )

    def edited(self) -> tuple[str, ...]:
        """The templates in use whose files have changed since they were read."""
        return self._languages.edited()

    def render(self, resource: Resource, snapshot: Snapshot) -> Rendered:
        """
        The resource's bytes at this snapshot, and what they were made from.

        Raises MissingKey and TemplateFault, whose `reads` has what was read until then.
        """
        view = View(snapshot, resource.prefix, resource.keys)
        content = self._content(resource, view)
        if isinstance(content, RenderError):
            try:
                raise content
            finally:
                del content  # an error that its own frame holds waits for the collector
        digest = hashlib.sha256(content).hexdigest()
        return Rendered(resource, content, digest, view.reads, snapshot.revision)

    def _content(self, resource: Resource, view: View) -> bytes | RenderError:
        """The resource's bytes, or the error, which keeps no frame of the template."""
        with _released() as bound:
            try:
                return self._time_limit.run(
                    partial(self._made, resource, view, bound), resource.render_timeout_s
                )
            except (RenderTimeout, *TEMPLATE_ERRORS) as error:
                fault = self._fault_of(error, resource, bound[0].globals if bound else {})
                fault.read_keys, fault.read_trees = view.reads.keys, view.reads.trees
                if isinstance(fault, TemplateFault):
                    fault.what = self._without_values(fault, view)
                    if not isinstance(error, (RenderTimeout, *NAMES_ITSELF)):
                        self._name_keys(fault, error, resource, view)
                forget_frames(error)
                return fault

    def _made(self, resource: Resource, view: View, bound: list[Environment]) -> bytes:
        """The resource's bytes. bound: collects the environment."""
        environment = self._bound(resource, view, self._pair_cache)
        bound.append(environment)
        stream = environment.stream(resource)
        pieces = collected(stream, self._output_limit, merge=not resource.format)
        content = environment.encoded(self._output(resource, pieces))
        if len(content) > self._output_limit:
            raise OutputTooLong(self._output_limit)
        _check_output(resource, content)
        return content

    def _without_values(self, fault: TemplateFault, view: View) -> str:
        """The text of a fault, without the values of the keys that were read."""
        try:
            source = self._languages.source(fault.template)
        except (MissingTemplate, BadTemplate):
            source = ""
        return without_values(fault.what, view.read(), source)

    def place(self, resource: Resource, snapshot: Snapshot, line: int) -> Place | None:
        """
        The origin of this line (1-based) of the resource's bytes at this snapshot; None if it
        cannot be found. Renders once more, slowly: only for lines that were refused.
        """
        from pyconfd.pipeline.render.provenance import Piece, Tracer, place_of

        def found() -> Place | None:
            tracer = Tracer()
            bound.append(plain := self._traceable(resource, snapshot, tracer))
            bound.append(environment := plain.traced(tracer))
            stream = environment.stream(resource)
            pieces = [
                Piece(text, *origin(stream, text), tracer.keys(text), tracer.decisions)
                for text in stream
            ]
            return place_of(pieces, line)

        with _released() as bound:
            try:
                return self._time_limit.run(found, resource.render_timeout_s)
            except (RenderTimeout, *TEMPLATE_ERRORS) as error:
                forget_frames(error)
                return None

    def _name_keys(
        self, fault: TemplateFault, error: Exception, resource: Resource, view: View
    ) -> None:
        """Add the keys that a fault comes from to it. Renders once more, slowly."""
        from pyconfd.pipeline.render.fault_keys import FaultTracer, watched

        tracer = FaultTracer()

        def render() -> None:
            bound.append(plain := self._traceable(resource, view.snapshot, tracer))
            bound.append(environment := watched(plain, tracer, self._watched))
            for _ in environment.stream(resource):
                pass

        with _released() as bound:
            try:
                self._time_limit.run(render, resource.render_timeout_s)
            except RenderTimeout as late:
                forget_frames(late)
            except TEMPLATE_ERRORS as again:
                if type(again) is not type(error):
                    return
                if tracer.better is not None:
                    better = self._fault_of(tracer.better, resource, bound[0].globals)
                    fault.what, fault.hint = better.what, better.hint
                    fault.what = self._without_values(fault, view)
                fault.what += tracer.origin_of(again, fault.what)
                fault.keys = tuple(sorted(tracer.keys_of(again)))
                forget_frames(again)

    def _traceable(self, resource: Resource, snapshot: Snapshot, tracer: Tracer) -> Environment:
        from pyconfd.pipeline.render.provenance import TracedView

        view = TracedView(snapshot, resource.prefix, resource.keys)
        view.tracer = tracer
        return self._bound(resource, view, traced=True)

    def faults(self, resource: Resource) -> list[RenderError]:
        """
        All faults of the template, and of those that it includes, imports or extends, that can be
        found
        without keys: syntax, a missing file, an unknown filter, test, function or variable, a
        literal path that the resource's keys do not cover, and an unknown format.
        """
        from pyconfd.pipeline.render.analysis.template_faults import faults, uncovered

        view = View(Store().snapshot(), resource.prefix, resource.keys)
        found: list[Exception] = []
        known: Mapping[str, object] = {}
        try:
            environment = self._bound(resource, view)
            known = environment.globals
            found += faults(environment, resource.src, {"name"} if resource.each else set())
            if not resource.compat:  # to confd, what `keys` do not cover does not exist
                found += uncovered(environment, resource.src, view)
        except TEMPLATE_ERRORS as error:
            found += [error, *self._languages.others(error)]
        return [self._fault_of(error, resource, known) for error in found]

    def unread_keys(self, resource: Resource) -> list[str]:
        """The declared keys of the resource that its templates certainly do not read."""
        from pyconfd.pipeline.render.analysis.unread_keys import unread

        try:
            environment = self._languages.environment(resource)
        except TEMPLATE_ERRORS:
            return []
        return unread(environment, resource)

    def _fault_of(
        self, error: BaseException, resource: Resource, known: Mapping[str, object]
    ) -> RenderError:
        fault = fault_of(error, resource, known)
        fault.within(self._templates_dir)
        return fault

    def _bound(
        self,
        resource: Resource,
        view: View,
        pair_cache: PairCache | None = None,
        *,
        traced: bool = False,
    ) -> Environment:
        """An environment for one render. traced: texts remember their keys."""
        facts = self._facts.names()
        cached = partial(pair_cache.pairs, resource.name) if pair_cache else None
        plain = self._languages.environment(resource)
        if not resource.format:
            table = plain.functions(view, self._environ, None, cached, traced=traced)
            return plain.bound({**facts, **table})
        if (plain, resource.format) not in self._checked:
            from pyconfd.pipeline.render.formats import load_format
            from pyconfd.pipeline.render.value_checks import ValueChecker

            checker = ValueChecker(load_format(resource.format), self._value_limit)
            self._checked[plain, resource.format] = (plain.checked(checker), checker)
        environment, checker = self._checked[plain, resource.format]
        return environment.bound({**facts, **plain.functions(view, self._environ, checker, cached)})

    def _output(self, resource: Resource, pieces: list[str]) -> str:
        """The output as one text; with a format, of the shape that it has without values."""
        text = "".join(pieces)
        if resource.format:
            from pyconfd.pipeline.render.formats import load_format
            from pyconfd.pipeline.render.structure import compare
            from pyconfd.pipeline.render.value_checks import neutral

            compare(text, neutral(pieces), load_format(resource.format))
        return text


@contextmanager
def _released() -> Iterator[list[Environment]]:
    """A list for the environments bound to a render, which are released afterwards."""
    bound: list[Environment] = []
    try:
        yield bound
    finally:
        for each in bound:
            each.release()


def _check_output(resource: Resource, content: bytes) -> None:
    """Raises FunctionFault for an output that is not of the fork's output_format."""
    if not resource.output_format:
        return
    from pyconfd.pipeline.render.gotemplate.output_format import (
        problem,  # for confd's templates only
    )

    if what := problem(content, resource.output_format):
        raise FunctionFault(f"the output is not valid {resource.output_format}: {what}")
