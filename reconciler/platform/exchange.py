"""Requests to AEP: signed, paced, spread over a few clients, and tried again where that is safe."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import httpx

from reconciler.platform.answer import Unreadable
from reconciler.platform.outcome import WITHOUT_VERDICT, Outcome
from reconciler.platform.problems import Failure, failure_of_body
from reconciler.platform.sending import LONGEST_ATTEMPT, Sending, send

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence

    from reconciler.platform.answer import Answer
    from reconciler.platform.auth import GatewayAuth, Tokens
    from reconciler.platform.gate import Gate
    from reconciler.platform.problems import Asked
    from reconciler.platform.rate import Rate
    from reconciler.platform.retry import Retries
    from reconciler.settings import Redactor

T = TypeVar("T")

UNDISTURBED = frozenset({Outcome.DONE, Outcome.REJECTED, Outcome.UNAUTHORIZED})
"""Outcomes that say that AEP keeps up: the next requests may fly side by side again."""


LARGEST_OBJECT = 1024 * 1024
"""Bytes of an answer about one object."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, before it is signed."""

    asked: Asked
    method: str
    url: str
    most: int = 0
    """Bytes of the answer that are read; 0: its body does not matter."""
    body: bytes | AsyncIterable[bytes] | None = None
    """Bytes, or what yields them anew each time it is iterated: an attempt may be repeated (never a generator)."""
    headers: Mapping[str, str] = field(default_factory=dict)
    longest: float = LONGEST_ATTEMPT
    """Seconds that one attempt may take."""


class _Lane:
    """One client and how many requests it has in flight."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.busy = 0


class Exchange:
    """Everything between an operation of AEP and the network. Owns the clients."""

    def __init__(
        self,
        clients: Sequence[httpx.AsyncClient],
        *,
        tokens: Tokens,
        auth: GatewayAuth,
        gate: Gate,
        rate: Rate,
        retries: Retries,
        redactor: Redactor,
    ) -> None:
        self._lanes = [_Lane(client) for client in clients]
        self._tokens = tokens
        self._auth = auth
        self._gate = gate
        self._rate = rate
        self._redactor = redactor
        self._ahead: float | None = None
        self.retries = retries

    async def aclose(self) -> None:
        """Close every connection."""
        await self._tokens.aclose()
        for lane in self._lanes:
            await lane.client.aclose()

    @property
    def service_time(self) -> float:
        """Epoch seconds that the service's clock shows now, at least; this machine's where the service does not say."""
        return self.retries.timing.now() + (self._ahead or 0.0)

    async def read(self, call: Call, parse: Callable[[Answer], T]) -> T:
        """Ask until there is an answer that `parse` understands. Raises `PlatformError`."""
        return await self.retries.run(lambda: self.attempt(call, parse), WITHOUT_VERDICT)

    async def attempt(self, call: Call, parse: Callable[[Answer], T]) -> T | Failure:
        """Ask once, and read the answer."""
        answer = await self.send(call)
        return answer if isinstance(answer, Failure) else self.parsed(call, answer, parse)

    async def send(self, call: Call) -> Answer | Failure:
        """Send once, when the width allows it."""
        await self._tokens.current()  # outside the gate: nobody holds a place while a token is renewed
        async with self._gate.passage() as began:
            return await self._exchange(call, began)

    async def send_creation(self, call: Call, about_to_send: Callable[[], Awaitable[None]]) -> Answer | Failure:
        """Send once, when rate and width allow it; `about_to_send` is awaited right before."""
        await self._tokens.current()
        async with self._rate.turn():  # spent once there is a place: then it leaves
            began = await self._gate.enter()
        try:
            await about_to_send()
            return await self._exchange(call, began)
        finally:
            self._gate.leave()

    def parsed(self, call: Call, answer: Answer, parse: Callable[[Answer], T]) -> T | Failure:
        """Return what `parse` makes of the answer; what it cannot read is a failure."""
        try:
            return parse(answer)
        except Unreadable as problem:
            return failure_of_body(call.asked, answer, problem, self._redactor.redact)

    async def _exchange(self, call: Call, began: float) -> Answer | Failure:
        lane = next((each for each in self._lanes if not each.busy), None) or min(
            self._lanes, key=lambda each: each.busy
        )
        request = lane.client.build_request(
            call.method, _parsed(call.url), content=call.body, headers=dict(call.headers)
        )
        sending = Sending(call.asked, call.most, self._redactor, self.retries.timing, call.longest)
        lane.busy += 1
        try:
            result = await send(lane.client, request, self._auth, sending)
        finally:
            lane.busy -= 1
        if self._ahead is None and not isinstance(result, Failure) and (date := result.date) is not None:
            self._ahead = date - self.retries.timing.now()
        outcome = result.outcome if isinstance(result, Failure) else Outcome.DONE
        if outcome is Outcome.THROTTLED:
            self._gate.throttled(began, self._pause(result))
        elif outcome in UNDISTURBED:
            self._gate.served()
        return result

    def _pause(self, result: Answer | Failure) -> float | None:
        asked_for = result.retry_after if isinstance(result, Failure) else None
        return None if asked_for is None else min(asked_for, self.retries.deadline)


@lru_cache(maxsize=16)
def _parsed(url: str) -> httpx.URL:
    """Parse a URL; all creates have the same one, and parsing it is a twentieth of a request."""
    return httpx.URL(url)
