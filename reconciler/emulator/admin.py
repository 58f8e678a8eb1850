"""Operations of `Emulator` over HTTP, for people and for tests in another process. On a socket only.

| request | answer |
| --- | --- |
| `GET /_emulator/batches` | every batch by id, hidden ones too |
| `GET /_emulator/requests` | the logged requests, without secrets |
| `PUT /_emulator/faults` | replaces all faults by those of the body, see `faultfile` |
| `PUT /_emulator/behaviour` | sets the switches of `behaviour` that the body names, and the others to their defaults |
| `POST /_emulator/OPERATION` | runs the operation with the arguments of the JSON body; 404: no such batch |

The operations are methods of `Emulator` with the same arguments::

    curl -d '{"batch": "01J…", "status": "stalled"}' localhost:8080/_emulator/set_status
    curl -d '{"milliseconds": 3600000}' localhost:8080/_emulator/advance
    curl -X PUT -d '{"tag_form": "lower", "lagging_looks": ["list"]}' localhost:8080/_emulator/behaviour
"""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter
from starlette.responses import JSONResponse
from starlette.routing import Route, Router

from reconciler.emulator.behaviour import Behaviour
from reconciler.emulator.faultfile import parse_faults

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request as HttpRequest
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from reconciler.emulator.emulator import Emulator
    from reconciler.emulator.requestlog import Request

PREFIX: Final = "/_emulator/"
BEHAVIOUR: Final = TypeAdapter(Behaviour)
SECRET_HEADERS: Final = frozenset({"authorization", "x-api-key", "cookie"})


def with_admin(emulator: Emulator) -> ASGIApp:
    """Return an ASGI app that serves the emulated API, and the operations below `/_emulator/`."""
    admin = create_admin(emulator)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        chosen = admin if scope["path"].startswith(PREFIX) else emulator.app
        await chosen(scope, receive, send)

    return app


def create_admin(emulator: Emulator) -> ASGIApp:
    """Return the operations as an ASGI app."""

    async def batches(_request: HttpRequest) -> Response:
        return JSONResponse(emulator.batches())

    async def requests(_request: HttpRequest) -> Response:
        return JSONResponse([_shown(request) for request in emulator.requests])

    async def faults(request: HttpRequest) -> Response:
        body = await request.body()
        return _attempt(lambda: emulator.inject(parse_faults(body.decode())))

    async def behaviour(request: HttpRequest) -> Response:
        body = await request.body()
        return _attempt(lambda: emulator.behave(BEHAVIOUR.validate_json(body, extra="forbid")))

    async def operate(request: HttpRequest) -> Response:
        operation = operations(emulator).get(request.path_params["operation"])
        if operation is None:
            return JSONResponse({"error": f"operations: {', '.join(sorted(operations(emulator)))}"}, 404)
        body = await request.body()
        return _attempt(lambda: _call(operation, json.loads(body or b"{}")))

    return Router(
        [
            Route(f"{PREFIX}batches", batches),
            Route(f"{PREFIX}requests", requests),
            Route(f"{PREFIX}faults", faults, methods=["PUT"]),
            Route(f"{PREFIX}behaviour", behaviour, methods=["PUT"]),
            Route(f"{PREFIX}{{operation}}", operate, methods=["POST"]),
        ]
    )


def operations(emulator: Emulator) -> Mapping[str, Callable[..., object]]:
    """Return the operations by name."""
    methods = (
        emulator.add_batch,
        emulator.add_dataset,
        emulator.advance,
        emulator.consolidate,
        emulator.expire_tokens,
        emulator.remove,
        emulator.set_outcome,
        emulator.set_status,
        emulator.set_tags,
        emulator.touch,
    )
    return {method.__name__: method for method in methods}


def _call(operation: Callable[..., object], arguments: object) -> object:
    if not isinstance(arguments, dict):
        raise TypeError("the body must be a JSON object of arguments")
    bound = inspect.signature(operation).bind(**arguments)
    return operation(*bound.args, **bound.kwargs)


def _attempt(operation: Callable[[], object]) -> Response:
    try:
        return JSONResponse(operation())
    except LookupError as error:
        return JSONResponse({"error": str(error)}, 404)
    except (TypeError, ValueError) as error:
        return JSONResponse({"error": str(error)}, 400)


def _shown(request: Request) -> Mapping[str, object]:
    """Return what may be shown: no secret header, and neither query nor body of a token request."""
    about_tokens = request.path.startswith("/ims/")
    return {
        "method": request.method,
        "path": request.path,
        "query": "" if about_tokens else request.query,
        "headers": {name: value for name, value in request.headers.items() if name not in SECRET_HEADERS},
        "body": "" if about_tokens else request.body.decode(errors="replace"),
        "status": request.status,
    }
