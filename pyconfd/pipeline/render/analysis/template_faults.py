"""
All faults of a template, and of those that it names, that can be found without keys. Pure except
for reading templates.

A render stops at the first fault that it reaches; these are also found in branches not taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2 import nodes
from jinja2.meta import find_undeclared_variables

from pyconfd.pipeline.render.function_errors import NotCovered
from pyconfd.pipeline.render.functions.store import READERS
from pyconfd.pipeline.render.key_glob import literal_part
from pyconfd.pipeline.render.template_errors import SeveralFaults
from pyconfd.pipeline.render.template_files import BadTemplate, MissingTemplate

if TYPE_CHECKING:
    from pyconfd.pipeline.render.environment import Environment
    from pyconfd.pipeline.render.view import View

Fault = jinja2.TemplateSyntaxError

#: They ask whether a name is defined, so it need not be.
_ASK_FILTERS, _ASK_TESTS = frozenset(("d", "default")), frozenset(("defined", "undefined"))


def faults(environment: Environment, name: str, known: set[str]) -> list[Fault]:
    """
    The faults of a template and of those that it includes, imports or extends by a plain name, in
    the order of their lines.

    environment: bound to a render. known: names that a render defines in addition to the
    environment's.
    """
    trees, found = parsed(environment, name)
    # Blocks, parents and what is included see what any of them defines at its top.
    known = known.union(environment.globals, *(_defined(tree) for tree in trees.values()))
    optional = {one for tree in trees.values() for one in _optional(tree)}
    for each, tree in trees.items():
        here = {
            (fault.lineno, fault.message): fault
            for fault in (
                *_unknown_names(environment, tree, each, known | optional),
                *_unknown_filters(environment, tree, each),
            )
        }
        compiled = () if here else _uncompilable(environment, each)
        found += sorted([*here.values(), *compiled], key=lambda fault: fault.lineno)
    return found


def parsed(environment: Environment, name: str) -> tuple[dict[str, nodes.Template], list[Fault]]:
    """
    The trees of a template and of those that it includes, imports or extends by a plain name, by
    their names; and the faults of those that have none.
    """
    trees: dict[str, nodes.Template] = {}
    return trees, list(_parse(environment, name, trees))


def others(environment: Environment, name: str, fault: Fault) -> Sequence[Fault]:
    """The further syntax faults of a template, beside the one that it was refused for."""
    if isinstance(fault, SeveralFaults):
        return fault.more
    from pyconfd.pipeline.render.analysis.syntax_faults import further_faults

    return further_faults(environment, environment.files.source(name), fault)


def uncovered(environment: Environment, name: str, view: View) -> Iterator[Fault]:
    """
    Literal paths in a template that its resource's keys do not cover; none if it cannot be parsed.
    """
    try:
        tree = environment.parse(environment.files.source(name), name)
    except (Fault, MissingTemplate, BadTemplate):
        return
    for call in tree.find_all(nodes.Call):
        path = call.args[0] if call.args else None
        if (
            isinstance(call.node, nodes.Name)
            and call.node.name in READERS
            and isinstance(path, nodes.Const)
            and isinstance(path.value, str)
            and not view.covers(literal_part(path.value))
        ):
            yield Fault(str(NotCovered(path.value)), call.lineno, name)


def _parse(
    environment: Environment, name: str, trees: dict[str, nodes.Template]
) -> Iterator[Fault]:
    """
    Fill in the trees of a template and of all that it names. Returns the faults of those without
    one.
    """
    todo = [(name, name, 0, False)]
    while todo:
        name, user, line, optional = todo.pop()
        if name in trees:
            continue
        try:
            tree = environment.parse(environment.files.source(name), name)
        except Fault as fault:
            for each in (fault, *others(environment, name, fault)):
                each.name = each.name or name
                yield each
        except MissingTemplate as missing:
            if not optional:
                yield Fault(str(missing), line, user)
        except BadTemplate as bad:
            yield Fault(str(bad), line, user)
        else:
            trees[name] = tree
            todo += reversed(list(_named(tree, name)))


def _named(tree: nodes.Template, name: str) -> Iterator[tuple[str, str, int, bool]]:
    """The plain names of other templates, their places, and whether they may be missing."""
    for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        target = getattr(node, "template", None)
        if isinstance(target, nodes.Const) and isinstance(target.value, str):
            yield target.value, name, node.lineno, getattr(node, "ignore_missing", False)


def _defined(tree: nodes.Template) -> Iterator[str]:
    """The names that a template defines."""
    for node in tree.find_all((nodes.Macro, nodes.Import, nodes.FromImport, nodes.Name)):
        match node:
            case nodes.Macro():
                yield node.name
            case nodes.Import():
                yield node.target
            case nodes.FromImport():
                yield from (name if isinstance(name, str) else name[1] for name in node.names)
            case nodes.Name(ctx="store" | "param"):
                yield node.name


def _optional(tree: nodes.Template) -> Iterator[str]:
    """The names that a template tests with `is defined` and the like."""
    for node in tree.find_all((nodes.Filter, nodes.Test)):
        asking = _ASK_FILTERS if isinstance(node, nodes.Filter) else _ASK_TESTS
        if node.name in asking and node.node is not None:
            yield from (name.name for name in node.node.find_all(nodes.Name))
            if isinstance(node.node, nodes.Name):
                yield node.node.name


class _Every(dict[str, Any]):
    """A table that has filters or tests of any name."""

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ARG002 - Jinja2 calls it
        """As if there were one."""
        return str


def _unknown_names(
    environment: Environment, tree: nodes.Template, name: str, known: set[str]
) -> Iterator[Fault]:
    lenient = environment.bound({})  # Jinja2 stops at the first filter that it does not know
    lenient.filters = lenient.tests = _Every()
    tree.set_environment(lenient)
    unknown = find_undeclared_variables(tree) - known - {"caller", "kwargs", "varargs"}
    for used in tree.find_all(nodes.Name):
        if used.name in unknown and used.ctx == "load":
            yield Fault(f"'{used.name}' is undefined", used.lineno, name)


def _unknown_filters(environment: Environment, tree: nodes.Template, name: str) -> Iterator[Fault]:
    for used in tree.find_all((nodes.Filter, nodes.Test)):
        kind, table = ("filter", environment.filters)
        if isinstance(used, nodes.Test):
            kind, table = ("test", environment.tests)
        if used.name not in table:
            yield Fault(f"No {kind} named '{used.name}'", used.lineno, name)


def _uncompilable(environment: Environment, name: str) -> Iterator[Fault]:
    """The faults that only the compiler finds."""
    try:
        environment.get_template(name)
    except Fault as fault:
        yield fault
