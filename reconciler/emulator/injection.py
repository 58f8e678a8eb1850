"""ASGI middleware that makes faults happen: the only place that does, in process and on a socket."""

from __future__ import annotations

import asyncio
import json
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from reconciler.emulator.faults import (
    Answer,
    Body,
    ConnectionLost,
    Cut,
    ExpireTokens,
    Injector,
    Lag,
    Latency,
    Loss,
    Moment,
    Truncate,
)
from reconciler.emulator.problems import expired_token, gateway, service, too_many_requests

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping, Sequence
    from typing import Any

    from starlette.types import ASGIApp, Receive, Scope, Send

    from reconciler.emulator.faults import Effect, Faults

    Terminal = Answer | Cut | Truncate

LAG: Final = "emulator.lag_ms"
"""The key of the ASGI scope under which the fault `Lag` hands its milliseconds to the API."""


class FaultMiddleware:
    """Wraps an ASGI app; its faults can be changed at any time."""

    def __init__(self, app: ASGIApp, *, now: Callable[[], int], expire_tokens: Callable[[], None]) -> None:
        self._app = app
        self._now = now
        self._expire_tokens = expire_tokens
        self._injector: Injector | None = None

    def set_faults(self, faults: Faults) -> None:
        """Replace all rules by these and count requests from 0 again."""
        self._injector = Injector(faults) if faults.rules else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request with the faults that strike it. Raises `ConnectionLost`."""
        if self._injector is None:
            await self._app(scope, receive, send)
            return
        query = scope["query_string"].decode()
        effects = self._injector.strike(scope["method"], scope["path"] + (f"?{query}" if query else ""))
        await _sleep(effects, Moment.BEFORE)
        scope[LAG] = max((effect.ms for effect in effects if isinstance(effect, Lag)), default=0)
        terminal = next((effect for effect in map(self._terminal, effects) if effect is not None), None)
        if isinstance(terminal, Answer | Cut) and terminal.moment is Moment.BEFORE:
            await self._end(terminal, send, [])
            return
        answer = _Collected()
        await self._app(scope, receive, answer.send)
        await _sleep(effects, Moment.AFTER)
        await self._end(terminal, send, answer.messages)

    def _terminal(self, effect: Effect) -> Terminal | None:
        match effect:
            case Latency() | Lag():
                return None
            case ExpireTokens():
                self._expire_tokens()
                return Answer(401)
            case Answer() | Cut() | Truncate():
                return effect

    async def _end(self, terminal: Terminal | None, send: Send, messages: Sequence[Message]) -> None:
        match terminal:
            case None:
                await _send_all(messages, send)
            case Cut():
                raise ConnectionLost(terminal.loss)
            case Answer():
                await _send_all(_answer(terminal, self._now()), send)
            case Truncate():
                await _truncate(terminal, messages, send)


if TYPE_CHECKING:
    Message = MutableMapping[str, Any]


class _Collected:
    """An answer that is kept until it is known whether a fault changes it."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def send(self, message: Message) -> None:
        self.messages.append(message)


async def _sleep(effects: Sequence[Effect], moment: Moment) -> None:
    delay = sum(effect.ms for effect in effects if isinstance(effect, Latency) and effect.moment is moment)
    if delay:
        await asyncio.sleep(delay / 1000)


async def _send_all(messages: Sequence[Message], send: Send) -> None:
    for message in messages:
        await send(message)


async def _truncate(effect: Truncate, messages: Sequence[Message], send: Send) -> None:
    start, *rest = messages
    body = b"".join(message.get("body", b"") for message in rest)
    if not 200 <= start["status"] < 300 or not body:  # noqa: PLR2004 - 2xx
        await _send_all(messages, send)
        return
    half = body[: len(body) // 2]
    if not effect.lost:
        start["headers"] = _with_length(start["headers"], len(half))
    await send(start)
    await send({"type": "http.response.body", "body": half, "more_body": effect.lost})
    if effect.lost:
        raise ConnectionLost(Loss.CLOSE)


def _with_length(headers: Sequence[tuple[bytes, bytes]], length: int) -> list[tuple[bytes, bytes]]:
    others = [header for header in headers if header[0] != b"content-length"]
    return [*others, (b"content-length", str(length).encode())]


def _answer(effect: Answer, now: int) -> Sequence[Message]:
    media_type, body = _body(effect)
    headers = [(b"content-type", media_type)] if body else []
    if effect.retry_after is not None:
        date = formatdate(now / 1000 + effect.retry_after, usegmt=True)
        headers.append((b"retry-after", (date if effect.as_date else str(effect.retry_after)).encode()))
    start = {"type": "http.response.start", "status": effect.status}
    return [
        {**start, "headers": _with_length(headers, len(body))},
        {"type": "http.response.body", "body": body},
    ]


def _body(effect: Answer) -> tuple[bytes, bytes]:
    text = json.dumps(_problem_body(effect.status)).encode()
    match effect.body:
        case Body.JSON:
            return b"application/json", text
        case Body.TRUNCATED:
            return b"application/json", text[: len(text) // 2]
        case Body.EMPTY:
            return b"", b""
        case Body.HTML:
            title = HTTPStatus(effect.status).phrase
            return b"text/html", f"<html><body><h1>{effect.status} {title}</h1></body></html>".encode()


def _problem_body(status: int) -> object:
    """Return the body that the gateway or a service is known to send with the status (aep-api.md §2.2)."""
    match status:
        case 401:
            return expired_token().body
        case 403:
            return gateway("403025", "Profile is not valid").body
        case 429:
            return too_many_requests().body
        case _:
            return service(status, "injected fault").body
