"""
Everything that a template can call, by confd's names, independent of any template language.

A template language binds `functions(view, environ)` as the functions and `FILTERS` as the filters
of templates, turns FunctionFault and its subclasses into its own errors, and prints values with
`as_text` of functions/text. The functions are in functions/, by subject.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pyconfd.pipeline.render.function_errors import FunctionFault
from pyconfd.pipeline.render.functions import host, json, lists, numbers, text  # noqa: F401
from pyconfd.pipeline.render.functions.names import FILTERS, FUNCTIONS
from pyconfd.pipeline.render.functions.paths import path_below
from pyconfd.pipeline.render.functions.store import CachedPairs, StoreFunctions
from pyconfd.pipeline.render.functions.validators import KINDS
from pyconfd.pipeline.render.view import View

if TYPE_CHECKING:  # only resources with a format need it
    from pyconfd.pipeline.render.value_checks import ValueChecker

__all__ = ["FILTERS", "PLAIN_FILTERS", "functions"]


def _without_format(*_: Any) -> Any:
    raise FunctionFault("quoted and words need the resource to have a format")


# Without a format nothing is checked, and only what needs one is refused.
PLAIN_FILTERS: dict[str, Callable[..., Any]] = {
    **KINDS,
    "path_below": path_below,
    "quoted": _without_format,
    "raw": lambda value: value,
    "words": _without_format,
}


def functions(
    view: View,
    environ: Mapping[str, str],
    checker: ValueChecker | None = None,
    cached: CachedPairs | None = None,
    *,
    traced: bool = False,
) -> dict[str, Callable[..., Any]]:
    """
    Name -> function, for one render of one resource; `view` records what they read.

    checker: of the resource's format, if it has one; texts then remember their keys.
    cached: the former answers of `gets` for the resource (pipeline/render/pair_cache.py).
    traced: texts remember their keys without a format, too.
    """
    table = {**FUNCTIONS, "getenv": host.reader_of(environ)}
    if checker is None and not traced:
        return {**table, **StoreFunctions(view, cached).table()}
    from pyconfd.pipeline.render.traced_store import TracedFunctions

    checked = checker.functions() if checker else {}
    return {**table, **checked, **TracedFunctions(view, cached).table()}
