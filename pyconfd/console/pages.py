"""
The HTML of the pages: the only place where texts of any content reach a browser.

Every value that a template prints passes `escaped`, like all text that leaves the process, and
Jinja2 then escapes it for HTML; attributes are always in quotes. The content policy allows only the
page's own style and script.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import jinja2
from markupsafe import Markup

from pyconfd.console.view import ViewQuery
from pyconfd.model.safe_text import escaped

#: The parts of the page that change by themselves, in their order.
SECTIONS = ("summary", "rollouts", "nodes", "members", "orders")

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with none, a form's origin is null
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_HERE = os.path.dirname(__file__)


def _printable(value: Any) -> Any:
    """What a template prints. Markup is what it has made itself."""
    return value if isinstance(value, Markup) else escaped(str(value), "\n")


_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(os.path.join(_HERE, "templates")),
    autoescape=True,
    finalize=_printable,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def query_text(query: ViewQuery, **changed: object) -> str:
    """A query as in the address, `?q=web&nodes=2`; changed: members to replace."""
    fields = {"q": query.text, "nodes": query.nodes, "members": query.members, **changed}
    kept = {name: value for name, value in fields.items() if value not in ("", 1)}
    return f"?{urlencode(kept, errors='replace')}"


def sections(view: Mapping[str, Any], query: ViewQuery, *, orders: bool) -> dict[str, str]:
    """The parts that change by themselves. orders: with what gives orders."""
    found = {"view": view, "query": query, "link": query_text, "orders": orders}
    return {name: _TEMPLATES.get_template(f"{name}.html").render(found) for name in SECTIONS}


def page(
    found: Mapping[str, str],
    query: ViewQuery,
    *,
    fleet: str,
    version: str,
    user: str | None,
    may_log_in: bool,
    notice: str = "",
) -> str:
    """
    The whole page. found: as made by `sections`. version: of what is shown, for the events.
    user: the one who gives orders, or None. notice: the result of the last order.
    """
    return _TEMPLATES.get_template("page.html").render(
        sections={name: Markup(text) for name, text in found.items()},  # noqa: S704 - made above
        events=f"/events{query_text(query)}&at={version}",
        query=query,
        fleet=fleet,
        user=user,
        may_log_in=may_log_in,
        notice=notice,
    )


def login_page(fleet: str, notice: str) -> str:
    """The page on which the token is entered."""
    return _TEMPLATES.get_template("login.html").render(fleet=fleet, notice=notice)


def asset(name: str) -> bytes:
    """The style or the script."""
    with open(os.path.join(_HERE, "static", name), "rb") as file:
        return file.read()
