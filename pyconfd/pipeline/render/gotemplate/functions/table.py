"""
Everything that a Go template can call, bound to one render. Shell: environment, files, addresses.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pyconfd.pipeline.render.functions import bounds, host
from pyconfd.pipeline.render.functions.host import SrvTarget
from pyconfd.pipeline.render.functions.store import CachedPairs
from pyconfd.pipeline.render.gotemplate.functions.builtins import BUILTINS, sprint_parts
from pyconfd.pipeline.render.gotemplate.functions.json import decoded, json_array, json_object
from pyconfd.pipeline.render.gotemplate.functions.lists import LIST_FUNCTIONS, reverse_copy
from pyconfd.pipeline.render.gotemplate.functions.printf import sprintf_parts
from pyconfd.pipeline.render.gotemplate.functions.signatures import SIGNATURES
from pyconfd.pipeline.render.gotemplate.functions.store import GoStore
from pyconfd.pipeline.render.gotemplate.functions.text import TEXT_FUNCTIONS, seq_both_ways
from pyconfd.pipeline.render.gotemplate.functions.times import GoTime
from pyconfd.pipeline.render.gotemplate.printing import verb_v
from pyconfd.pipeline.render.gotemplate.values import SrvTargets, Strings, Uint16
from pyconfd.pipeline.render.view import View

if TYPE_CHECKING:  # only resources with a format need it
    from pyconfd.pipeline.render.value_checks import ValueChecker


def go_functions(
    view: View,
    environ: Mapping[str, str],
    compat: str,
    checker: ValueChecker | None = None,
    cached: CachedPairs | None = None,
    *,
    traced: bool = False,
) -> dict[str, Callable[..., Any]]:
    """
    Name -> function, for one render of one resource; `view` records what they read.

    compat: "confd" or "confd-fork", whose functions they are. checker: of the resource's format.
    traced: values remember their keys without a format, too.
    """
    fork = compat == "confd-fork"
    table = {
        **BUILTINS,
        **TEXT_FUNCTIONS,
        **LIST_FUNCTIONS,
        **_world(environ),
        **_texts(checker),
        **GoStore(view, cached, traced or checker is not None, fork).table(),
    }
    if fork:
        table.update(reverse=reverse_copy, seq=seq_both_ways)
    known = SIGNATURES[compat]
    return {name: function for name, function in table.items() if name in known}


def _texts(checker: ValueChecker | None) -> dict[str, Callable[..., Any]]:
    """What makes texts of values; with a format they know what the author wrote."""
    if checker is None:
        return {**_printing("".join, str), "join": _join}
    from pyconfd.pipeline.render.value_checks import safe_text, with_key

    def traced(parse: Callable[[str], Any]) -> Callable[[str], Any]:
        def parsed(text: str) -> Any:
            key = getattr(text, "key", None)
            return with_key(parse(text), key) if key else parse(text)

        return parsed

    return {
        **_printing(checker.joined, safe_text),
        "fromJson": traced(decoded),
        "join": checker.join,
        "json": traced(json_object),
        "jsonArray": traced(json_array),
        "quote": checker.quoted,
    }


def _join(items: list[str], separator: str) -> str:
    """strings.Join."""
    bounds.separators(separator, items)
    return separator.join(items)


def _printing(
    join: Callable[[list[Any]], str], author_text: Callable[[str], str]
) -> dict[str, Callable[..., str]]:
    """join: makes one text of parts. author_text: marks what the template's author wrote."""

    def sprint(*values: Any) -> str:
        return join(sprint_parts(values, author_text))

    def sprintf(text: str, *values: Any) -> str:
        author = author_text if author_text is str or type(text) is not str else str
        return join(sprintf_parts(text, values, author))

    def sprintln(*values: Any) -> str:
        parts: list[Any] = []
        for value in values:
            parts += [author_text(" ")] if parts else []
            parts.append(value if isinstance(value, str) else verb_v(value))
        return join([*parts, author_text("\n")])

    return {"print": sprint, "printf": sprintf, "println": sprintln}


def _world(environ: Mapping[str, str]) -> dict[str, Callable[..., Any]]:
    return {
        "datetime": lambda: GoTime(host.datetime()),
        "fileExists": _file_exists,
        "getenv": host.reader_of(environ),
        "hostname": host.hostname,
        "lookupIP": _addresses(host.lookup_ip),
        "lookupIPV4": _addresses(host.lookup_ipv4),
        "lookupIPV6": _addresses(host.lookup_ipv6),
        "lookupIfaceIPV4": host.interface_ipv4,
        "lookupIfaceIPV6": host.interface_ipv6,
        "lookupSRV": _lookup_srv,
    }


def _addresses(lookup: Callable[[str], list[str]]) -> Callable[[str], Strings]:
    def found(name: str) -> Strings:
        addresses = lookup(name)
        return Strings(addresses, is_nil=not addresses)

    return found


def _lookup_srv(service: str, protocol: str, name: str) -> SrvTargets:
    records = host.lookup_srv(service, protocol, name)
    return SrvTargets(SrvTarget(one[0], *map(Uint16, one[1:])) for one in records)


def _file_exists(path: str) -> bool:
    """As confd: only what is known not to be there is not."""
    try:
        os.stat(path)
    except OSError as error:
        return error.errno != errno.ENOENT
    except ValueError:
        return True
    return True
