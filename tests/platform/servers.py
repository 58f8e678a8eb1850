"""Small servers as functions, and a platform that talks to them."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx

from reconciler.core.manifests.project import Environment
from reconciler.core.pace import Pace
from reconciler.platform import Retries, open_platform
from reconciler.ports import CreateRequest, Platform
from reconciler.settings import ReadyToken, Secret, ServerToServer
from tests.platform.virtual import TIMING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from reconciler.core.batch import Json, Spec
    from reconciler.settings import Credentials

    Server = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]

ORG = "0123456789ABCDEF01234567@AdobeOrg"
ENVIRONMENT = Environment("dev", ORG, "dev")
DATASET = "5c8c3c555033b814b69f947f"
TOKEN = "eyJ-ready-token-51b7"
KEY = "api-key-c0ffee11"
CLIENT_SECRET = "p8e-very/secret+77aa"
READY = ReadyToken(Secret(TOKEN), Secret(KEY))
SERVER_TO_SERVER = ServerToServer(Secret(KEY), Secret(CLIENT_SECRET), "openid,AdobeID")
EXTERNAL = "acme.0123456789abcdef0123.1"
API = "https://platform.adobe.io/data/foundation"


@asynccontextmanager
async def talking_to(
    server: Server | httpx.AsyncBaseTransport,
    *,
    credentials: Credentials = READY,
    deadline: float = 300.0,
    parallelism: int = 8,
    rate: int = 1_800,
    on_retry: Callable[[str], None] | None = None,
) -> AsyncIterator[Platform]:
    """A platform whose network is the server."""
    transport = server if isinstance(server, httpx.AsyncBaseTransport) else _Serving(server)
    retries = Retries(deadline, TIMING, on_retry)
    async with open_platform(
        credentials, ENVIRONMENT, pace=Pace(parallelism=parallelism, rate=rate), retries=retries, transport=transport
    ) as platform:
        yield platform


class _Serving(httpx.AsyncBaseTransport):
    def __init__(self, server: Server) -> None:
        self._server = server

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        answer = self._server(request)
        return answer if isinstance(answer, httpx.Response) else await answer


class Script:
    """Answers each request with the next of its steps, and repeats the last one; keeps the requests."""

    def __init__(self, *steps: httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]) -> None:
        self._steps = list(steps)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        if isinstance(step, Exception):
            raise step
        if isinstance(step, httpx.Response):
            return httpx.Response(step.status_code, headers=step.headers, content=step.content)
        return step(request)

    @property
    def methods(self) -> list[str]:
        return [request.method for request in self.requests]


def a_request(spec: Spec | None = None, predecessors: tuple[str, ...] = ()) -> CreateRequest:
    """A create as the engine asks for it."""
    return CreateRequest(DATASET, EXTERNAL, spec or {}, {"reconciler_address": ["loyalty/daily"]}, predecessors)


async def nothing() -> None:
    """An `about_to_send` that does nothing."""


def a_batch(status: str = "loading", *, external_id: str = EXTERNAL, **fields: Json) -> dict[str, Json]:
    """A batch as Catalog shows it, without its key."""
    return {
        "status": status,
        "externalId": external_id,
        "relatedObjects": [{"type": "dataSet", "id": DATASET}],
        "tags": {"reconciler_project": ["acme"]},
        "inputFormat": {"format": "parquet"},
        "created": 1_767_225_600_000,
        "version": "1.0.0",
        **fields,
    }


def catalog_of(names: Iterable[str]) -> Server:
    """A Catalog that pages through batches with these ids."""
    batches = [(name, a_batch(external_id=f"x.{name}")) for name in names]

    def serve(request: httpx.Request) -> httpx.Response:
        start, limit = int(request.url.params["start"]), int(request.url.params["limit"])
        return httpx.Response(200, json=dict(batches[start : start + limit]))

    return serve


def body_of(request: httpx.Request) -> dict[str, Json]:
    """The JSON that a request carries."""
    body: dict[str, Json] = json.loads(request.content)
    return body
