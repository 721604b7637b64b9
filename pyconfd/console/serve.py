"""The process: a watch of etcd, an event loop, a listener. Shell."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from functools import partial

import uvicorn

from pyconfd.backends.base import Source
from pyconfd.console.board import FleetBoard
from pyconfd.console.sessions import Sessions
from pyconfd.console.web import Show, TakeOrder, application
from pyconfd.model.keys import SourceMessage

_BACKLOG = 512
_END_S = 2


def serve(
    listener: socket.socket,
    board: FleetBoard,
    source: Source,
    sessions: Sessions,
    take_order: TakeOrder,
    hosts: frozenset[str] | None,
    ready: Callable[[], None],
) -> None:
    """Until SIGINT or SIGTERM. ready: called once the page is served."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # uvicorn ends on them, and then raises them again
    show = Show(board)
    config = uvicorn.Config(
        application(show, sessions, take_order, hosts),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        backlog=_BACKLOG,
        timeout_graceful_shutdown=_END_S,
    )
    asyncio.run(_serve(listener, source, show, _ConsoleServer(config, show, ready)))


async def _serve(
    listener: socket.socket, source: Source, show: Show, server: uvicorn.Server
) -> None:
    loop = asyncio.get_running_loop()

    def put(message: SourceMessage) -> None:
        loop.call_soon_threadsafe(show.apply, message)

    watch = await asyncio.to_thread(partial(source.watch, show.board.prefixes, put))
    try:
        await server.serve(sockets=[listener])
    finally:
        await asyncio.to_thread(watch.stop)


class _ConsoleServer(uvicorn.Server):
    """Ends the streams of events before it waits for its connections."""

    def __init__(self, config: uvicorn.Config, show: Show, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._show, self._ready = show, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._show.close()
        await super().shutdown(sockets)
