"""The latest requests to the emulator, for tests that count requests or look at one."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping  # noqa: TC003 - dataclass fields are read at run time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping
    from typing import Any

    from starlette.types import ASGIApp, Receive, Scope, Send

MAX_BODY: Final = 65_536
"""Bytes of a body that are kept."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived, also one that was refused or lost."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    """By lower case name."""
    body: bytes
    """As much of it as was read, at most 64 KiB."""
    status: int | None
    """The status of the answer; None: the connection was lost before one."""

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{self.query}" if self.query else self.path


class RequestLog:
    """The latest requests, oldest first; wraps an ASGI app."""

    def __init__(self, app: ASGIApp, size: int) -> None:
        self._app = app
        self._requests: deque[Request] = deque(maxlen=size)
        self.total = 0
        """How many requests came since the start or since `clear`, also those that are no longer kept."""

    def __iter__(self) -> Iterator[Request]:
        return iter(list(self._requests))

    def __len__(self) -> int:
        return len(self._requests)

    def clear(self) -> None:
        """Forget them all."""
        self._requests.clear()
        self.total = 0

    def count(self, method: str | None = None, target: str = "") -> int:
        """Return how many of the kept requests have the method and match the regular expression `target`."""
        return sum(
            method in {None, request.method} and re.search(target, request.target) is not None for request in self
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request and record it."""
        body = bytearray()
        status: int | None = None

        async def recording_receive() -> MutableMapping[str, Any]:
            message = await receive()
            body.extend(message.get("body", b"")[: MAX_BODY - len(body)])
            return message

        async def recording_send(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, recording_receive, recording_send)
        finally:
            self.total += 1
            self._requests.append(_request(scope, bytes(body), status))


def _request(scope: Scope, body: bytes, status: int | None) -> Request:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    return Request(scope["method"], scope["path"], scope["query_string"].decode(), headers, body, status)
