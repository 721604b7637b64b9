"""
Requests of browsers: the page, its events, logging in, orders.

One event loop owns the board. A view is made once for each query after each change, and shared by
all browsers that show it. Browsers cause no requests to etcd, except orders.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import field
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from pyconfd.console import pages
from pyconfd.console.board import FleetBoard
from pyconfd.console.sessions import SESSION_S, Sessions
from pyconfd.console.view import ViewQuery, fleet_view
from pyconfd.errors import PyconfdError
from pyconfd.model.keys import SourceMessage
from pyconfd.model.values import dataclass
from pyconfd.observe import log

#: Between two versions of what is shown, and between two signs of life on a stream of events.
PAUSE_S, ALIVE_S = 0.1, 15.0
#: Browsers that follow events at once.
MOST_LISTENERS = 256
_COOKIE = "pyconfd-console"
_MOST_FORM = 10_000
_LOOPBACK = frozenset(("127.0.0.1", "localhost", "::1"))
_ASSETS = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}

Sections = Mapping[str, str]
#: Carries an order out: form, user, address of the browser. Raises PyconfdError. May block.
TakeOrder = Callable[[Mapping[str, str], str, str], str]


@dataclass(frozen=True, slots=True)
class _Stream:
    """What was sent to a browser that follows the events."""

    query: ViewQuery
    orders: bool
    sent: dict[str, str] = field(default_factory=dict)


class Show:
    """What is shown, version by version. For the event loop only."""

    def __init__(self, board: FleetBoard) -> None:
        self.board = board
        self.closed = False
        self.listeners = 0
        self._start = uuid.uuid4().hex
        self._number = 0
        self._changed = asyncio.Event()
        self._made: dict[tuple[ViewQuery, bool], Sections] = {}
        self._next_s = 0.0
        self._due: asyncio.TimerHandle | None = None

    @property
    def version(self) -> str:
        """Of what is shown."""
        return f"{self._start}.{self._number}"

    def apply(self, message: SourceMessage) -> None:
        """
        Apply a message of the watch; it is shown at once, or after a short pause if much changes.
        """
        if self.board.apply(message) and self._due is None:
            loop = asyncio.get_running_loop()
            self._due = loop.call_at(max(loop.time(), self._next_s), self.publish)

    def publish(self) -> None:
        """Show the present state."""
        self._due = None
        self._next_s = asyncio.get_running_loop().time() + PAUSE_S
        self._number += 1
        self._made.clear()
        before, self._changed = self._changed, asyncio.Event()
        before.set()

    def close(self) -> None:
        """End all streams."""
        self.closed = True
        self.publish()

    async def change(self) -> None:
        """Wait for another version, at most ALIVE_S."""
        try:
            await asyncio.wait_for(self._changed.wait(), ALIVE_S)
        except TimeoutError:
            return

    def sections(self, query: ViewQuery, orders: bool) -> Sections:
        """The sections for this query, as of now."""
        found = self._made.get((query, orders))
        if found is None:
            if len(self._made) > MOST_LISTENERS:
                self._made.clear()
            view = fleet_view(self.board, query, time.time())
            found = self._made[query, orders] = pages.sections(view, query, orders=orders)
        return found


def application(
    show: Show, sessions: Sessions, take_order: TakeOrder, hosts: frozenset[str] | None
) -> Starlette:
    """hosts: names that browsers may call this by; None for any."""
    web = _Web(show, sessions, take_order, hosts)
    return Starlette(
        routes=[
            Route("/", web.page),
            Route("/events", web.events),
            Route("/login", web.login_page, methods=["GET"]),
            Route("/login", web.log_in, methods=["POST"]),
            Route("/logout", web.log_out, methods=["POST"]),
            Route("/orders", web.order, methods=["POST"]),
            *(Route(f"/{name}", web.asset) for name in _ASSETS),
        ],
        exception_handlers={500: _fault},
    )


def names_of(host: str, more: list[str]) -> frozenset[str] | None:
    """
    Host names that browsers may use for a listener on this host; None for any. For a loopback
    address they are fixed, so that a page of another site cannot reach it by a name of its own.
    """
    if host not in _LOOPBACK and not more:
        return None
    return _LOOPBACK.union((host,), more)


def _fault(_: Request, error: Exception) -> Response:
    log.LOG.error("a request failed because of a fault in pyconfd", exc_info=error)
    return PlainTextResponse("a fault in pyconfd, see its log\n", 500, pages.HEADERS)


class _Web:
    def __init__(
        self, show: Show, sessions: Sessions, take_order: TakeOrder, hosts: frozenset[str] | None
    ) -> None:
        self._show, self._sessions, self._take, self._hosts = show, sessions, take_order, hosts
        self._assets = {name: pages.asset(name) for name in _ASSETS}

    async def page(self, request: Request) -> Response:
        if refusal := self._foreign(request):
            return refusal
        query, user = _query(request), self._user(request)
        text = pages.page(
            self._show.sections(query, user is not None),
            query,
            fleet=self._show.board.paths.fleet,
            version=self._show.version,
            user=user,
            may_log_in=self._sessions.allowed,
            notice=self._sessions.take_notice(_session(request)),
        )
        return HTMLResponse(text, headers=pages.HEADERS)

    async def asset(self, request: Request) -> Response:
        name = request.url.path[1:]
        headers = {**pages.HEADERS, "Cache-Control": "no-cache"}
        return Response(self._assets[name], 200, headers, _ASSETS[name])

    async def events(self, request: Request) -> Response:
        if refusal := self._foreign(request):
            return refusal
        if self._show.listeners >= MOST_LISTENERS:
            return _plain(503, "too many browsers follow")
        stream = _Stream(_query(request), self._user(request) is not None)
        has = request.headers.get("last-event-id") or request.query_params.get("at", "")
        if has == self._show.version:
            stream.sent.update(self._show.sections(stream.query, stream.orders))
        return StreamingResponse(
            self._follow(stream), headers=pages.HEADERS, media_type="text/event-stream"
        )

    async def _follow(self, stream: _Stream) -> AsyncIterator[str]:
        self._show.listeners += 1
        try:
            yield "retry: 1000\n\n"
            while not self._show.closed:
                found = self._show.sections(stream.query, stream.orders)
                version = self._show.version
                new = {name: text for name, text in found.items() if stream.sent.get(name) != text}
                stream.sent.update(new)
                if new:
                    yield f"id: {version}\nevent: sections\ndata: {json.dumps(new)}\n\n"
                else:
                    yield ": alive\n\n"
                if version == self._show.version:
                    await self._show.change()
        finally:
            self._show.listeners -= 1

    async def login_page(self, request: Request) -> Response:
        if refusal := self._foreign(request):
            return refusal
        return self._login_page("")

    async def log_in(self, request: Request) -> Response:
        if refusal := self._foreign(request, writes=True):
            return refusal
        form = await _form(request)
        user = self._sessions.user_of(form.get("token", ""))
        if user is None:
            await asyncio.sleep(1.0)  # guessing takes time
            return self._login_page("This token is not known.", 403)
        response = RedirectResponse("/", 303, pages.HEADERS)
        secure = request.headers.get("origin", "").startswith("https:")
        response.set_cookie(
            _COOKIE, self._sessions.open(user), max_age=int(SESSION_S), httponly=True,
            samesite="strict", secure=secure,
        )  # fmt: skip
        return response

    def _login_page(self, notice: str, status: int = 200) -> Response:
        if not self._sessions.allowed:
            return _plain(403, "read-only: start it with --allow-orders --token-file FILE")
        text = pages.login_page(self._show.board.paths.fleet, notice)
        return HTMLResponse(text, status, pages.HEADERS)

    async def log_out(self, request: Request) -> Response:
        if refusal := self._foreign(request, writes=True):
            return refusal
        self._sessions.close(_session(request))
        response = RedirectResponse("/", 303, pages.HEADERS)
        response.delete_cookie(_COOKIE)
        return response

    async def order(self, request: Request) -> Response:
        """
        Take an order of a browser that has logged in, or of a program with `Authorization: Bearer
        TOKEN`.
        """
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        bearer = kind.lower() == "bearer"
        if not bearer and (refusal := self._foreign(request, writes=True)):
            return refusal
        user = self._sessions.user_of(token.strip()) if bearer else self._user(request)
        if not self._sessions.allowed or user is None:
            return _plain(403, "no orders without a token")
        client = request.client.host if request.client else "?"
        status = 200
        try:
            done = await run_in_threadpool(self._take, await _form(request), user, client)
            log.info("an order was carried out", by=user, client=client, order=done)
        except PyconfdError as error:
            done, status = str(error), 409
            log.warn("an order was not carried out", by=user, client=client, reason=done)
        if bearer:
            return _plain(status, done)
        self._sessions.leave_notice(_session(request), done)
        return RedirectResponse("/", 303, pages.HEADERS)

    def _user(self, request: Request) -> str | None:
        return self._sessions.user_in(_session(request))

    def _foreign(self, request: Request, *, writes: bool = False) -> Response | None:
        """
        The refusal of a request with a foreign host name, or of a form on a page of another site,
        which the browser names.
        """
        host = request.headers.get("host", "")
        if self._hosts is not None and urlsplit(f"//{host}").hostname not in self._hosts:
            return _plain(421, "not the name of this console; see --allow-host")
        if writes and urlsplit(request.headers.get("origin", "")).netloc != host:
            return _plain(403, "an order from another page")
        return None


def _plain(status: int, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status, pages.HEADERS)


def _session(request: Request) -> str:
    return request.cookies.get(_COOKIE, "")


def _query(request: Request) -> ViewQuery:
    given = request.query_params
    return ViewQuery(
        text=given.get("q", "")[:200],
        nodes=_page_number(given.get("nodes", "")),
        members=_page_number(given.get("members", "")),
    )


def _page_number(text: str) -> int:
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 7 else 1


async def _form(request: Request) -> Mapping[str, str]:
    """The fields of a form; none if it is too long."""
    from urllib.parse import parse_qsl

    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_FORM:
            return {}
    return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
