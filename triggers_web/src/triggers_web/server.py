"""Serving until a signal: then it ends soon, whatever clients or the store keep it waiting for."""

from __future__ import annotations

import asyncio
import signal
import threading
from concurrent.futures import Future
from http import HTTPStatus

import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

GRACE_SECONDS = 5
"""How long requests that are under way may still take once the server is told to stop."""


class Server:
    """Listens from when it is made, and answers once it runs. To be used in the main thread.

    Args:
        app: what answers.
        host: the address to listen at.
        port: 0 for a free one.
    """

    def __init__(self, app: ASGIApp, *, host: str, port: int) -> None:
        config = uvicorn.Config(
            _AnsweredInTheEnd(app),
            host=host,
            port=port,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        self._listening = config.bind_socket()
        self._listening.listen(config.backlog)  # whoever reads its address can use it at once
        self.port: int = self._listening.getsockname()[1]
        self._server = uvicorn.Server(config)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._server.handle_exit)  # from now on, before it runs too

    def run(self) -> None:
        """Serve until Ctrl-C or SIGTERM."""
        ended: Future[None] = Future()

        def serve() -> None:
            try:
                self._server.run(sockets=[self._listening])
                ended.set_result(None)
            except BaseException as error:
                ended.set_exception(error)

        # Threads that a daemon starts are daemons. So one that reads a page, and waits for a store
        # that does not answer, does not keep the process.
        threading.Thread(target=serve, name="web", daemon=True).start()
        ended.result()


class _AnsweredInTheEnd:
    """Answers what the server gives up because it is to stop."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_begun = False

        async def noted(message: Message) -> None:
            nonlocal is_begun
            is_begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except asyncio.CancelledError:
            if is_begun or scope["type"] != "http":
                raise
            given_up = PlainTextResponse("the server stops", HTTPStatus.SERVICE_UNAVAILABLE)
            await given_up(scope, receive, send)
