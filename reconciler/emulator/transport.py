"""The emulator for `httpx.AsyncClient` without a socket: lost connections and late answers raise the same errors.

The only module of the emulator that imports httpx.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx

from reconciler.emulator.faults import ConnectionLost, Loss

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, MutableMapping
    from typing import Any

    from starlette.types import ASGIApp, Scope

    Message = MutableMapping[str, Any]


class EmulatorTransport(httpx.AsyncBaseTransport):
    """Calls an ASGI app for each request; unlike `httpx.ASGITransport` it honours `read` timeouts."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._running: set[asyncio.Task[httpx.Response]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Serve the request; raises what httpx raises on a socket.

        Like a real server, it finishes a request whose client no longer waits.
        """
        seconds: float | None = request.extensions.get("timeout", {}).get("read")
        task = asyncio.ensure_future(_serve(self._app, request))
        self._running.add(task)
        task.add_done_callback(self._forget)
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            raise httpx.ReadTimeout("the emulator has not answered in time", request=request)
        return task.result()

    def _forget(self, task: asyncio.Task[httpx.Response]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, or asyncio would complain: its client no longer waits

    async def aclose(self) -> None:
        """Cancel requests that are not finished and whose client no longer waits."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _serve(app: ASGIApp, request: httpx.Request) -> httpx.Response:
    exchange = _Exchange(request)
    try:
        await app(_scope(request), exchange.receive, exchange.send)
    except ConnectionLost as lost:
        if exchange.status is None:
            raise _error(lost.loss, request) from None
        stream = _BrokenStream(bytes(exchange.body), request)
        return httpx.Response(exchange.status, headers=exchange.headers, stream=stream, request=request)
    if exchange.status is None:
        raise RuntimeError("the app has not answered")
    return httpx.Response(exchange.status, headers=exchange.headers, content=bytes(exchange.body), request=request)


def _scope(request: httpx.Request) -> Scope:
    path, _, query = request.url.raw_path.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": (request.url.host, request.url.port),
        "client": ("127.0.0.1", 0),
    }


class _Exchange:
    """The ASGI side of one request."""

    def __init__(self, request: httpx.Request) -> None:
        self._chunks = _chunks(request)
        self._has_more = True
        self.status: int | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()

    async def receive(self) -> Message:
        if not self._has_more:
            return {"type": "http.disconnect"}
        chunk = await anext(self._chunks, None)
        self._has_more = chunk is not None
        return {"type": "http.request", "body": chunk or b"", "more_body": self._has_more}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = message["headers"]
        else:
            self.body += message.get("body", b"")


async def _chunks(request: httpx.Request) -> AsyncIterator[bytes]:
    if not isinstance(request.stream, httpx.AsyncByteStream):
        raise TypeError("the emulator serves requests of an AsyncClient only")
    async for chunk in request.stream:
        yield chunk


class _BrokenStream(httpx.AsyncByteStream):
    """A body that ends too early because the connection is lost."""

    def __init__(self, received: bytes, request: httpx.Request) -> None:
        self._received = received
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._received
        raise httpx.RemoteProtocolError(
            f"peer closed connection without sending complete message body (received {len(self._received)} bytes)",
            request=self._request,
        )


def _error(loss: Loss, request: httpx.Request) -> httpx.TransportError:
    match loss:
        case Loss.RESET:
            return httpx.ReadError("connection reset by the emulator", request=request)
        case Loss.CLOSE:
            return httpx.RemoteProtocolError("Server disconnected without sending a response.", request=request)
        case Loss.REFUSE:
            return httpx.ConnectError("connection refused by the emulator", request=request)
