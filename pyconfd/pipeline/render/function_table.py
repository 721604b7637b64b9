"""
Everything a template can call, by confd's names, free of any template language.

A template language binds `functions(view, environ)` as names that templates call and `FILTERS`
as what can stand behind a pipe; it turns FunctionFault and its children into its own errors,
and prints values with `as_text`. The functions themselves live by idea: store_functions (keys),
text_functions, list_functions, number_functions, json_functions, whose names are in
value_functions, and world_functions (environment, files, addresses).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pyconfd.pipeline.render.function_errors import FunctionFault, NoSuchKey, NotText
from pyconfd.pipeline.render.functions.host import world_functions
from pyconfd.pipeline.render.functions.printed import as_text
from pyconfd.pipeline.render.functions.store import Again, Pair, StoreFunctions
from pyconfd.pipeline.render.value_functions import FILTERS, VALUE_FUNCTIONS
from pyconfd.pipeline.render.view import View

if TYPE_CHECKING:  # only resources with a format need it
    from pyconfd.pipeline.render.value_checks import ValueChecker

__all__ = [
    "FILTERS",
    "FunctionFault",
    "NoSuchKey",
    "NotText",
    "Pair",
    "as_text",
    "functions",
]


def functions(
    view: View,
    environ: Mapping[str, str],
    judge: ValueChecker | None = None,
    again: Again | None = None,
) -> dict[str, Callable[..., Any]]:
    """
    Name -> function, for one render of one resource; `view` records what they read.

    judge: of the resource's format, where it has one; then texts remember their keys. again: what
    `gets` answered the resource before (pipeline/render/pair_cache.py).
    """
    table = {**VALUE_FUNCTIONS, **world_functions(environ)}
    if judge is None:
        return {**table, **StoreFunctions(view, again).table()}
    from pyconfd.pipeline.render.traced_store import TracedFunctions

    return {**table, **judge.functions(), **TracedFunctions(view, again).table()}
