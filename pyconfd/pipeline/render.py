"""
From a template and a snapshot to the bytes of a destination. The only importer of jinja2.

Importing this module costs what jinja2 costs (docs/benchmarks.md): import it where the first
render is due. Pure but for reading template files.

Each render has an environment of its own, made from the shared one by copying its fields, whose
globals are the functions bound to that render's view. So macros see the functions even when
their file is imported without context, several threads can render at once, and nothing hangs on
a thread or context variable. What is shared is the compiled code of the templates.

The environment is not Jinja2's sandbox: templates are the operator's code, which also names the
commands that are run, and can be trusted as much as those; values are never compiled.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import CodeType, FunctionType, MethodType, TracebackType
from typing import TYPE_CHECKING, Any

import jinja2
import jinja2.compiler
import jinja2.runtime
import jinja2.utils
from jinja2 import nodes

from pyconfd.errors import MissingKey, RenderError, TemplateFault
from pyconfd.model.resources import Resource
from pyconfd.model.steps import Rendered
from pyconfd.pipeline.functions import FILTERS, FunctionFault, NoSuchKey, as_text, functions
from pyconfd.pipeline.node_facts import NodeFacts, unknown_fact
from pyconfd.pipeline.store import Snapshot, Store
from pyconfd.pipeline.template_cache import TemplateCache
from pyconfd.pipeline.template_files import BadTemplate, MissingTemplate, TemplateFiles
from pyconfd.pipeline.value_kinds import PLAIN_FILTERS
from pyconfd.pipeline.view import View

if TYPE_CHECKING:  # only resources with a format, and refusals, need them
    from pyconfd.pipeline.places import Place, Tracer
    from pyconfd.pipeline.values import Judge

# Filters that only lay out a text: what was fit for the format before them still is.
_LAYOUT = ("indent", "lower", "nindent", "toLower", "toUpper", "trim", "upper")

# What template code can raise. Not MemoryError, not KeyboardInterrupt.
_TEMPLATE_ERRORS = (
    jinja2.TemplateError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


class Renderer:
    """
    Renders the templates of one folder. Any thread may call it, several at once.

    templates_dir: templates, includes and imports are looked for here and nowhere else. Files
    that were edited are compiled anew at the next render. environ: what getenv sees.
    cache_dir: where compiled templates are kept between runs; None keeps them in memory alone.
    facts: what templates know of this node.
    """

    def __init__(
        self,
        templates_dir: str,
        environ: Mapping[str, str],
        *,
        cache_dir: str | None = None,
        facts: NodeFacts | None = None,
    ) -> None:
        self._environ = environ
        self._facts = facts or NodeFacts()
        cache = (
            TemplateCache(cache_dir, (jinja2.compiler.__file__, __file__)) if cache_dir else None
        )
        self._plain = Environment(TemplateFiles(templates_dir, cache))
        self._judged: dict[str, tuple[Environment, Judge]] = {}

    def render(self, resource: Resource, snapshot: Snapshot) -> Rendered:
        """
        The resource's bytes at this snapshot, with what they were made from.

        Raises MissingKey and TemplateFault; `reads` of either says what was asked for until then.
        """
        view = View(snapshot, resource.prefix, resource.keys)
        environment: Environment = self._plain
        try:
            environment = self._bound(resource, view)
            pieces = list(environment.stream(resource))
            content = self._whole(resource, pieces).encode()
        except _TEMPLATE_ERRORS as error:
            fault = _fault(error, resource, environment.globals)
            fault.reads = view.reads
            raise fault from error
        digest = hashlib.sha256(content).hexdigest()
        return Rendered(resource, content, digest, view.reads, snapshot.revision)

    def place(self, resource: Resource, snapshot: Snapshot, line: int) -> Place | None:
        """
        What made this line of the resource's bytes at this snapshot, 1-based; None when that
        cannot be told. Renders anew, and slowly: for lines that were refused.
        """
        from pyconfd.pipeline.places import NotedView, Piece, Tracer, place_of

        tracer = Tracer()
        try:
            view = NotedView(snapshot, resource.prefix, resource.keys)
            view.tracer = tracer
            environment = self._bound(resource, view).traced(tracer)
            stream = environment.stream(resource)
            pieces = [
                Piece(text, *_origin(stream, text), tracer.keys(text), tracer.decisions)
                for text in stream
            ]
        except _TEMPLATE_ERRORS:
            return None
        return place_of(pieces, line)

    def compile(self, resource: Resource) -> None:
        """
        Check the template and what it names in include, import and extends, without any key.

        Raises TemplateFault for syntax, a missing file, an unknown filter, a call of a function
        that does not exist and an unknown format.
        """
        view = View(Store().snapshot(), resource.prefix, resource.keys)
        environment: Environment = self._plain
        try:
            environment = self._bound(resource, view)
            environment.check(resource.src)
        except _TEMPLATE_ERRORS as error:
            raise _fault(error, resource, environment.globals) from error

    def _bound(self, resource: Resource, view: View) -> Environment:
        """An environment for one render."""
        facts = self._facts.names()
        if not resource.format:
            return self._plain.bound({**facts, **functions(view, self._environ)})
        if resource.format not in self._judged:
            from pyconfd.pipeline.formats import load_format
            from pyconfd.pipeline.values import Judge

            judge = Judge(load_format(resource.format))
            self._judged[resource.format] = (self._plain.judged(judge), judge)
        environment, judge = self._judged[resource.format]
        return environment.bound({**facts, **functions(view, self._environ, judge)})

    def _whole(self, resource: Resource, pieces: list[str]) -> str:
        """The output as one text; with a format, of the shape that it has without values."""
        text = "".join(pieces)
        if resource.format:
            from pyconfd.pipeline.formats import load_format
            from pyconfd.pipeline.structure import compare
            from pyconfd.pipeline.values import neutral

            compare(text, neutral(pieces), load_format(resource.format))
        return text


class _Written(str):
    """Text that stands in a template. line: where it begins."""

    __slots__ = ("line",)
    line: int

    @classmethod
    def at(cls, line: int, text: str) -> _Written:
        """The text at this line."""
        made = cls(text)
        made.line = line
        return made


class CodeGenerator(jinja2.compiler.CodeGenerator):
    """
    Jinja2's, with three differences: the text of an expression is made by one call instead of
    three, also where a filter or call block prints; texts that the author wrote are marked; and
    `~` joins part by part. What the calls do is the environment's affair, so that one code
    serves with and without a format.
    """

    def write_commons(self) -> None:
        """Names that every generated function uses."""
        super().write_commons()
        for name in ("formed", "joined"):
            self.writeline(f"{name} = environment.{name}")
        self.writeline("as_text = environment.finalize")

    def visit_Const(self, node: nodes.Const, frame: Any) -> None:  # noqa: N802 - Jinja2's name
        """A constant, marked as the author's when it is a text."""
        value = node.as_const(frame.eval_ctx)
        self.write(f"formed({value!r})" if isinstance(value, str) else repr(value))

    def visit_Concat(self, node: nodes.Concat, frame: Any) -> None:  # noqa: N802
        """The `~` operator."""
        self.write("joined((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_FilterBlock(self, node: nodes.FilterBlock, frame: Any) -> None:  # noqa: N802
        """As in Jinja2, but what comes out of the filter is text of an expression."""
        inner = frame.inner()
        inner.symbols.analyze_node(node)
        self.enter_frame(inner)
        self.buffer(inner)
        self.blockvisit(node.body, inner)
        self.start_write(frame, node)
        self.write("as_text(")
        self.visit_Filter(node.filter, inner)
        self.write(")")
        self.end_write(frame)
        self.leave_frame(inner)

    def visit_CallBlock(self, node: nodes.CallBlock, frame: Any) -> None:  # noqa: N802
        """As in Jinja2, but what comes out of the call is text of an expression."""
        inner, macro = self.macro_body(node, frame)
        self.writeline("caller = ")
        self.macro_def(macro, inner)
        self.start_write(frame, node)
        self.write("as_text(")
        self.visit_Call(node.call, frame, forward_caller=True)
        self.write(")")
        self.end_write(frame)

    def _output_child_to_const(self, node: nodes.Expr, *_: Any) -> str:
        # Nothing is worked out at compile time: what it gives can depend on the format.
        if isinstance(node, nodes.TemplateData):
            return _Written.at(node.lineno, node.data)
        if isinstance(node, nodes.Const):
            return _Written.at(node.lineno, as_text(node.value))
        raise nodes.Impossible

    def _output_const_repr(self, group: Iterable[Any]) -> str:
        # Jinja2 leaves text of the template without a line, as it cannot fail; but it can be
        # refused. Nodes are not at hand here, so the line comes with the text.
        texts = list(group)
        if isinstance(texts[0], _Written) and texts[0].line != self._last_line:
            self._write_debug_info = self._last_line = texts[0].line
        return repr("".join(texts))

    def _output_child_pre(self, *_: Any) -> None:
        self.write("as_text(")

    def _output_child_post(self, *_: Any) -> None:
        self.write(")")


def _as_written(text: str) -> str:
    """A constant where nothing is judged."""
    return text


def _joined(parts: Iterable[Any]) -> str:
    """The `~` operator where nothing is judged."""
    return "".join(map(as_text, parts))


def _called_as_jinjas(join: Callable[..., Any]) -> Callable[..., Any]:
    """
    Our `join` with the first argument that Jinja2's has: the code of a file that is imported with
    and without a format is compiled once.
    """

    @jinja2.pass_eval_context
    def called(_: Any, *args: Any, **kwargs: Any) -> Any:
        return join(*args, **kwargs)

    return called


class Context(jinja2.runtime.Context):
    """Jinja2's, but a plain function is called at once instead of being asked what it is first."""

    def call(self, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call something for an expression of a template."""
        kind = type(obj)
        if kind is MethodType or (kind is FunctionType and not obj.__dict__):
            kwargs.pop("_loop_vars", None)
            kwargs.pop("_block_vars", None)
            return obj(*args, **kwargs)
        if kind is jinja2.runtime.BlockReference:  # Jinja2 3.1.4 joins it without the environment
            return self.environment.concat(obj._stack[obj._depth](obj._context))
        return super().call(obj, *args, **kwargs)


class Undefined(jinja2.StrictUndefined):
    """Jinja2's, with words of our own for what a node's facts do not hold."""

    __slots__ = ()

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = jinja2.utils.missing,
        name: str | None = None,
        exc: type[jinja2.TemplateRuntimeError] = jinja2.UndefinedError,
    ) -> None:
        super().__init__(hint or unknown_fact(obj, name), obj, name, exc)


class Environment(jinja2.Environment):
    """
    Jinja2 with confd's functions, strict and for text files: nothing is escaped, a line that
    holds only a block leaves no line behind, the last line break stays.
    """

    code_generator_class = CodeGenerator
    # What the code of templates calls, beside finalize and concat; a format has its own.
    formed: Callable[[str], str] = staticmethod(_as_written)
    joined: Callable[[Iterable[Any]], str] = staticmethod(_joined)
    context_class = Context

    def __init__(self, files: TemplateFiles) -> None:
        super().__init__(
            undefined=Undefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            autoescape=False,
            optimized=False,
            finalize=as_text,
            loader=Loader(files),
        )
        self.filters.update({**FILTERS, **PLAIN_FILTERS})

    def judged(self, judge: Judge) -> Environment:
        """The same environment for resources with a format."""
        from pyconfd.pipeline.values import formed

        judged = object.__new__(type(self))
        layout = {name: judge.keeping(self.filters[name]) for name in _LAYOUT}
        filters = judge.filters()
        filters["join"] = _called_as_jinjas(filters["join"])
        judged.__dict__.update(
            self.__dict__,
            finalize=judge.text,
            concat=judge.concat,
            formed=formed,
            joined=judge.joined,
            filters={**self.filters, **layout, **filters},
        )
        return judged

    def bound(self, names: Mapping[str, Any]) -> Environment:
        """The same environment with these functions and facts, and templates of its own."""
        bound = object.__new__(type(self))
        bound.__dict__.update(self.__dict__)
        bound.globals = {**self.globals, **names}
        bound.cache = {}
        return bound

    def traced(self, tracer: Tracer) -> Environment:
        """The same bound environment, in which the tracer follows values and decisions."""
        assert isinstance(self.loader, Loader)  # noqa: S101 - says so to the type checker
        traced = self.bound({})
        traced.globals = tracer.following_all(self.globals)
        traced.__dict__.update(
            finalize=tracer.following(self.finalize or as_text),
            concat=tracer.joining(self.concat),
            joined=tracer.joining(self.joined),
            filters=tracer.following_all(self.filters),
            loader=MarkedLoader(self.loader.files),
        )
        for name in ("begin", "end", "testing", "decided", "chosen"):
            setattr(traced, name, getattr(tracer, name))
        return traced

    def stream(self, resource: Resource) -> Iterator[str]:
        """The output in pieces, made as they are taken."""
        template = self.get_template(resource.src)
        names = {"name": resource.item} if resource.item else None
        return template.root_render_func(template.new_context(names))

    def make_globals(self, d: Any) -> Any:
        """Our own globals: nobody passes others, and a chain of maps is slow to copy."""
        return self.globals if not d else super().make_globals(d)

    def check(self, name: str) -> None:
        """Compile a template and all that it names, and look for calls of unknown functions."""
        assert isinstance(self.loader, Loader)  # noqa: S101 - says so to the type checker
        todo, done = [name], set[str]()
        self.get_template(name)
        while todo:
            name = todo.pop()
            done.add(name)
            tree = self.parse(self.loader.files.source(name), name)
            self._check_names(tree, name)
            todo += [found for found in self._named(tree, name) if found not in done]

    def _check_names(self, tree: nodes.Template, name: str) -> None:
        """What Jinja2 itself only tells when the line is reached."""
        from jinja2.meta import find_undeclared_variables

        unknown = find_undeclared_variables(tree) - self.globals.keys() - {"caller"}
        for call in tree.find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name in unknown:
                raise jinja2.TemplateSyntaxError(
                    f"'{call.node.name}' is undefined", call.lineno, name
                )
        for used in tree.find_all(nodes.Filter):
            if used.name not in self.filters:
                raise jinja2.TemplateSyntaxError(
                    f"No filter named '{used.name}'", used.lineno, name
                )

    def _named(self, tree: nodes.Template, name: str) -> Iterator[str]:
        """The templates that one includes, imports or extends by a plain name, compiled."""
        for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
            target = getattr(node, "template", None)
            if not isinstance(target, nodes.Const) or not isinstance(target.value, str):
                continue
            try:
                self.get_template(target.value)
            except jinja2.TemplateNotFound as error:
                if not getattr(node, "ignore_missing", False):
                    raise jinja2.TemplateSyntaxError(str(error), node.lineno, name) from error
                continue
            yield target.value


class Loader(jinja2.BaseLoader):
    """Templates out of TemplateFiles, whose code is compiled once for all environments."""

    def __init__(self, files: TemplateFiles) -> None:
        self.files = files

    def load(
        self,
        environment: jinja2.Environment,
        name: str,
        globals: Any = None,  # noqa: A002 - Jinja2's
    ) -> jinja2.Template:
        """Called by get_template, include, import and extends, once a render for each name."""

        def compiled(source: str, path: str) -> CodeType:
            code = environment.compile(source, name, path)
            assert isinstance(code, CodeType)  # noqa: S101 - str only when raw
            return code

        try:
            code = self.files.code(name, compiled)
        except MissingTemplate as error:
            raise jinja2.TemplateNotFound(name, str(error)) from error
        return environment.template_class.from_code(environment, code, globals)


class MarkedLoader(Loader):
    """The same templates with their decisions marked, compiled for one render."""

    def load(
        self,
        environment: jinja2.Environment,
        name: str,
        globals: Any = None,  # noqa: A002 - Jinja2's
    ) -> jinja2.Template:
        """As Loader has it."""
        from pyconfd.pipeline.render_decisions import marked

        try:
            tree = environment.parse(self.files.source(name), name)
        except MissingTemplate as error:
            raise jinja2.TemplateNotFound(name, str(error)) from error
        code = environment.compile(marked(tree, environment), name, name)
        return environment.template_class.from_code(environment, code, globals)


def _fault(error: Exception, resource: Resource, known: Mapping[str, Any]) -> RenderError:
    """The error in our words, at the innermost line of a template that it came through."""
    template, line = _place(error.__traceback__) or (resource.src, 0)
    if isinstance(error, NoSuchKey):
        return MissingKey(
            key=error.key, resource=resource.name, template=template, line=line, hint=error.hint
        )
    if isinstance(error, jinja2.TemplateSyntaxError):
        template, line = error.name or template, error.lineno
    what, hint = _words(error, known)
    return TemplateFault(what, resource=resource.name, template=template, line=line, hint=hint)


def _place(traceback: TracebackType | None) -> tuple[str, int] | None:
    """Name and line of the innermost template in a traceback."""
    place = None
    while traceback is not None:
        template = traceback.tb_frame.f_globals.get("__jinja_template__")
        if isinstance(template, jinja2.Template):
            place = (template.name or "", template.get_corresponding_lineno(traceback.tb_lineno))
        traceback = traceback.tb_next
    return place


def _origin(stream: Any, text: str) -> tuple[str, int, bool]:
    """
    Of the piece that a stream of output has just given: template, line, and whether it stands
    there so. Found as Jinja2's generated code goes: `yield from` into parents and blocks, a loop
    over `gen` for includes.
    """
    while inner := stream.gi_yieldfrom or stream.gi_frame.f_locals.get("gen"):
        if not getattr(inner, "gi_frame", None):
            break
        stream = inner
    frame = stream.gi_frame
    template = frame.f_globals["__jinja_template__"]
    written = any(text is constant for constant in frame.f_code.co_consts)
    return template.name, template.get_corresponding_lineno(frame.f_lineno), written


def _words(error: Exception, known: Mapping[str, Any]) -> tuple[str, str]:
    """What went wrong and what to do about it."""
    text = str(error)
    if isinstance(error, (FunctionFault, BadTemplate, jinja2.TemplateNotFound)):
        return text, getattr(error, "hint", "")
    if isinstance(error, RecursionError):
        return "templates or macros call each other without end", ""
    if isinstance(error, UnicodeEncodeError):
        return "the output holds a key name that is not UTF-8", ""
    if isinstance(error, jinja2.TemplateError):
        text = (error.message or text).removesuffix(".").replace(_PAIR, "pair")
        return text, _near(text, known)
    return f"{type(error).__name__}: {text}", ""


_PAIR = "pyconfd.pipeline.store_functions.Pair object"


def _near(text: str, known: Mapping[str, Any]) -> str:
    """The known name that an unknown one may stand for."""
    from difflib import get_close_matches

    from jinja2 import filters

    if match := re.search(r"'pair' has no attribute '(Key|Value)'", text):
        return f"did you mean .{match[1].lower()}?"
    if match := re.search(r"^'(\w+)' is undefined", text):
        near = get_close_matches(match[1], known, n=1)
        return f"did you mean {near[0]}?" if near else ""
    if match := re.search(r"^No filter named '(\w+)'", text):
        near = get_close_matches(match[1], {**FILTERS, **PLAIN_FILTERS, **filters.FILTERS}, n=1)
        return f"did you mean {near[0]}?" if near else ""
    return ""
