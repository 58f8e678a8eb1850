"""Requests to AEP: signed, paced, spread over a few clients, and tried again where that is safe."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import httpx

from reconciler.platform.answer import Answer, Unreadable
from reconciler.platform.outcome import WITHOUT_VERDICT, Outcome
from reconciler.platform.problems import Failure, failure_of_body
from reconciler.platform.sending import ATTEMPT_SECONDS, send

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence

    from reconciler.platform.auth import GatewayAuth, Tokens
    from reconciler.platform.problems import Operation
    from reconciler.platform.retry import Retries
    from reconciler.platform.throttling import ConcurrencyLimit, RateLimit
    from reconciler.settings import Redactor

T = TypeVar("T")

JSON_HEADERS = {"content-type": "application/json"}
"""Also of each POST without a body: this platform answers some without it with 400 (aep-api.md §16.1, 6.2)."""
LARGEST_OBJECT = 1024 * 1024
"""Bytes of an answer about one object."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, before it is signed."""

    operation: Operation
    method: str
    url: str
    max_bytes: int = 0
    """Bytes of the answer that are read; 0: its body does not matter."""
    body: bytes | AsyncIterable[bytes] | None = None
    """Bytes, or an iterable that starts anew each time (so no generator): an attempt may be repeated."""
    headers: Mapping[str, str] = field(default_factory=dict)
    time_limit: float = ATTEMPT_SECONDS
    """Seconds that one attempt may take."""


class Exchange:
    """Everything between an operation of AEP and the network. Owns the clients."""

    def __init__(
        self,
        clients: Sequence[httpx.AsyncClient],
        *,
        tokens: Tokens,
        auth: GatewayAuth,
        concurrency: ConcurrencyLimit,
        rate: RateLimit,
        retries: Retries,
        redactor: Redactor,
    ) -> None:
        self._in_flight = dict.fromkeys(clients, 0)
        self._tokens = tokens
        self._auth = auth
        self._concurrency = concurrency
        self._rate = rate
        self._redactor = redactor
        self._clock_offset: float | None = None
        """Seconds that the service's clock is ahead of our monotonic one; None until an answer says the time."""
        self.retries = retries

    async def aclose(self) -> None:
        """Close every connection."""
        await self._tokens.aclose()
        for client in self._in_flight:
            await client.aclose()

    @property
    def service_time(self) -> float | None:
        """Epoch seconds that the service's clock shows now, at least; None where the service does not say."""
        return None if self._clock_offset is None else self.retries.timing.clock() + self._clock_offset

    async def read(self, call: Call, parse: Callable[[Answer], T]) -> T:
        """Send until an answer comes that `parse` understands. Raises `PlatformError`."""
        return await self.retries.run(lambda: self.attempt(call, parse), WITHOUT_VERDICT)

    async def attempt(self, call: Call, parse: Callable[[Answer], T]) -> T | Failure:
        """Send once, and parse the answer."""
        answer = await self.send(call)
        return answer if isinstance(answer, Failure) else self.parsed(call, answer, parse)

    async def send(self, call: Call) -> Answer | Failure:
        """Send once, as soon as the concurrency limit allows it."""
        await self._tokens.current()  # first, so that no slot is held while a token is renewed
        async with self._concurrency.slot() as started:
            return await self._send(call, started)

    async def send_creation(self, call: Call, about_to_send: Callable[[], Awaitable[None]]) -> Answer | Failure:
        """Send once, as soon as rate and concurrency limit allow it; `about_to_send` is awaited right before."""
        await self._tokens.current()
        async with self._rate.turn():  # is used up once there is a slot: only then the request leaves
            started = await self._concurrency.acquire()
        try:
            await about_to_send()
            return await self._send(call, started)
        finally:
            self._concurrency.release()

    def parsed(self, call: Call, answer: Answer, parse: Callable[[Answer], T]) -> T | Failure:
        """Return what `parse` makes of the answer, or a failure if it cannot read it."""
        try:
            return parse(answer)
        except Unreadable as problem:
            return failure_of_body(call.operation, answer, problem, self._redactor.redact)

    async def _send(self, call: Call, started: float) -> Answer | Failure:
        client = min(self._in_flight, key=self._in_flight.__getitem__)
        request = client.build_request(call.method, _url(call.url), content=call.body, headers=dict(call.headers))
        self._in_flight[client] += 1
        try:
            result = await send(
                client,
                request,
                call.operation,
                auth=self._auth,
                max_bytes=call.max_bytes,
                time_limit=call.time_limit,
                redactor=self._redactor,
                timing=self.retries.timing,
            )
        finally:
            self._in_flight[client] -= 1
        self._learn_from(result, started)
        return result

    def _learn_from(self, result: Answer | Failure, started: float) -> None:
        """Adapt the concurrency limit, and take the service's clock from the first answer that has one."""
        match result:
            case Failure(outcome=Outcome.THROTTLED, retry_after=retry_after):
                # One that is too long ends the request (`retry`): the others would wait for nothing.
                is_short = retry_after is not None and retry_after <= self.retries.deadline
                self._concurrency.throttled(started, retry_after if is_short else None)
            case Failure(outcome=Outcome.REJECTED | Outcome.UNAUTHORIZED):
                self._concurrency.served()
            case Failure():
                pass  # says nothing about how busy AEP is
            case Answer():
                self._concurrency.served()
                if self._clock_offset is None and (date := result.date) is not None:
                    self._clock_offset = date - self.retries.timing.clock()


@lru_cache(maxsize=16)
def _url(text: str) -> httpx.URL:
    """Parse a URL. All creates have the same one, and parsing it takes a twentieth of the time of a request."""
    return httpx.URL(text)
