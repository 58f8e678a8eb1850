"""The emulated API as an ASGI app: each route checks the request at the gateway, then calls its handler."""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING, Final, TypeAlias

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route, Router

from reconciler.emulator import catalog, datasets, ingest, uploads
from reconciler.emulator.exchange import Call, Reply, problem_reply
from reconciler.emulator.gateway import check_url
from reconciler.emulator.injection import LAG
from reconciler.emulator.problems import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from reconciler.emulator.gateway import Gateway
    from reconciler.emulator.lake import Lake

    Handler: TypeAlias = Callable[[Lake, Call], Reply]
    StreamHandler: TypeAlias = Callable[[Lake, Call, AsyncIterator[bytes]], Awaitable[Reply]]
    Endpoint: TypeAlias = Callable[[HttpRequest], Awaitable[Response]]

IMPORT: Final = "/data/foundation/import"
CATALOG: Final = "/data/foundation/catalog"
FILE: Final = f"{IMPORT}/batches/{{batch}}/datasets/{{dataset}}/files/{{file:path}}"


def create_app(lake: Lake, gateway: Gateway) -> ASGIApp:
    """Return the app for a lake; `Emulator` wraps the faults and the request log around it."""
    batch = f"{CATALOG}/batches/{{batch}}"

    def route(path: str, handler: Handler, method: str) -> Route:
        return Route(path, _endpoint(lake, gateway, handler), methods=[method])

    def stream(handler: StreamHandler, method: str) -> Route:
        return Route(FILE, _stream_endpoint(lake, gateway, handler), methods=[method])

    return Router(
        [
            route(f"{IMPORT}/batches", _creating(gateway), "POST"),
            route(f"{IMPORT}/batches/{{batch}}", ingest.act, "POST"),
            route(f"{CATALOG}/batches", catalog.list_batches, "GET"),
            route(batch, catalog.get_batches, "GET"),
            route(batch, catalog.patch_batch, "PATCH"),
            route(batch, catalog.put_batch, "PUT"),
            route(batch, catalog.delete_batch, "DELETE"),
            route(f"{CATALOG}/lastBatches", datasets.last_batches, "GET"),
            route(f"{CATALOG}/dataSets", datasets.list_datasets, "GET"),
            route(f"{CATALOG}/dataSets/{{dataset}}", datasets.get_datasets, "GET"),
            stream(uploads.put, "PUT"),
            stream(uploads.patch, "PATCH"),
            stream(uploads.post, "POST"),
            stream(uploads.head, "HEAD"),
            Route("/ims/token/{version}", _token_endpoint(lake, gateway), methods=["POST"]),
        ],
        redirect_slashes=False,
    )


def _creating(gateway: Gateway) -> Handler:
    """Count creations against the quota before they happen (E42)."""

    def create(lake: Lake, call: Call) -> Reply:
        gateway.count_creation(call.caller.client)
        return ingest.create(lake, call)

    return create


def _endpoint(lake: Lake, gateway: Gateway, handler: Handler) -> Endpoint:
    """Serve a request whose body is read whole; all but `GET` is one transaction."""

    async def endpoint(request: HttpRequest) -> Response:
        body = await request.body()
        try:
            call = _call(request, gateway, body)
            lake.catch_up()
            if request.method == "GET":
                return _response(handler(lake, call))
            with lake.store.transaction():
                return _response(handler(lake, call))
        except Problem as problem:
            return _response(problem_reply(problem))

    return endpoint


def _stream_endpoint(lake: Lake, gateway: Gateway, handler: StreamHandler) -> Endpoint:
    """Serve a request whose body is a stream; no transaction, because several uploads run at the same time."""

    async def endpoint(request: HttpRequest) -> Response:
        try:
            call = _call(request, gateway, b"")
            lake.catch_up()
            return _response(await handler(lake, call, request.stream()))
        except Problem as problem:
            return _response(problem_reply(problem))
        except ClientDisconnect:
            return Response(status_code=400)  # the client is gone, but Starlette needs an answer

    return endpoint


def _token_endpoint(lake: Lake, gateway: Gateway) -> Endpoint:
    async def endpoint(request: HttpRequest) -> Response:
        body = await request.body()
        try:
            with lake.store.transaction():
                return _response(gateway.give_token(request.url.query, body.decode()))
        except Problem as problem:
            return _response(problem_reply(problem))

    return endpoint


def _call(request: HttpRequest, gateway: Gateway, body: bytes) -> Call:
    scope = request.scope
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    check_url(raw.decode("latin-1") + "?" + scope["query_string"].decode("latin-1"))
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return Call(
        caller=gateway.admit(headers),
        path=request.path_params,
        query=tuple(request.query_params.multi_items()),
        headers=headers,
        body=body,
        lag_ms=scope.get(LAG, 0),
    )


def _response(reply: Reply) -> Response:
    return Response(reply.body, reply.status, reply.headers)


def dated(app: ASGIApp, now: Callable[[], int]) -> ASGIApp:
    """The app whose every answer says in `Date` what time it is here; `now` gives epoch milliseconds."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = formatdate(now() / 1000, usegmt=True).encode()
                message["headers"] = [*message.get("headers", ()), (b"date", date)]
            await send(message)

        await app(scope, receive, send_dated)

    return serve
