"""How many requests may be in flight, how many creations a minute may be sent, and the clocks that both go by.

Fewer requests while AEP throttles, more again while it does not, always at least one: additive increase and
multiplicative decrease, as in TCP, so the right limit need not be known. Creations follow the generic cell rate
algorithm, so that no minute holds more than allowed: AEP allows 2,000 to one user, shared with whatever else that user
runs (aep-api.md §9).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

MINUTE = 60.0
LARGEST_BURST = 10
ROUNDING = 1e-9
"""Relative slack, so that float rounding never lets one more into a minute."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Two clocks and a sleep, all in seconds."""

    clock: Callable[[], float] = time.monotonic
    """Monotonic: for waits and deadlines."""
    now: Callable[[], float] = time.time
    """Epoch seconds: for dates that a service names."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class ConcurrencyLimit:
    """Gives slots to requests in the order in which they ask, at most `current` at a time."""

    def __init__(self, maximum: int, timing: Timing) -> None:
        self._maximum = maximum
        self._timing = timing
        self._limit = float(maximum)
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._lowered_at = float("-inf")
        self._paused_until = float("-inf")

    @property
    def current(self) -> int:
        """How many requests may be in flight now."""
        return int(self._limit)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[float]:
        """Hold a slot for the block; yields when it was acquired, in seconds of the clock."""
        started = await self.acquire()
        try:
            yield started
        finally:
            self.release()

    async def acquire(self) -> float:
        """Wait for a slot and return when it was there, in seconds of the clock. Each slot must be released."""
        await self._wait_for_slot()
        is_acquired = False
        try:
            while (wait := self._paused_until - self._timing.clock()) > 0:
                await self._timing.sleep(wait)
            is_acquired = True
        finally:
            if not is_acquired:
                self.release()
        return self._timing.clock()

    def release(self) -> None:
        """Give a slot back."""
        self._in_flight -= 1
        self._wake_waiting()

    def served(self) -> None:
        """AEP answered a request: as many answers as the limit allows requests raise the limit by one."""
        self._limit = min(self._maximum, self._limit + 1 / self._limit)
        self._wake_waiting()

    def throttled(self, started: float, retry_after: float | None) -> None:
        """AEP throttled a request that started then: halve the limit, once for all that were in flight together.

        `retry_after` is in seconds: nothing is sent before they have passed.
        """
        now = self._timing.clock()
        if started >= self._lowered_at:
            self._limit = max(1.0, self._limit / 2)
            self._lowered_at = now
        if retry_after is not None:
            self._paused_until = max(self._paused_until, now + retry_after)

    async def _wait_for_slot(self) -> None:
        if not self._waiting and self._in_flight < self.current:
            self._in_flight += 1
            return
        slot = asyncio.get_running_loop().create_future()
        self._waiting.append(slot)
        try:
            await slot
        except asyncio.CancelledError:
            if not slot.cancelled():  # it was given in the same moment
                self.release()
            elif slot in self._waiting:
                self._waiting.remove(slot)
            raise

    def _wake_waiting(self) -> None:
        while self._waiting and self._in_flight < self.current:
            slot = self._waiting.popleft()
            if not slot.cancelled():
                self._in_flight += 1
                slot.set_result(None)


class RateLimit:
    """At most `per_minute` turns in any sixty seconds, a few of them at once after a pause."""

    def __init__(self, per_minute: int, timing: Timing) -> None:
        self._timing = timing
        # The burst must fit into the minute as well: it costs at most 2 % of the rate.
        burst = min(LARGEST_BURST, 1 + per_minute // 50)
        self._interval = MINUTE / (per_minute - burst + 1) * (1 + ROUNDING)
        self._tolerance = (burst - 1) * self._interval
        self._due = float("-inf")
        """When the next turn would be due if all had come at equal intervals."""
        self._turns = asyncio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the next turn. It is used up when the block ends without an error; until then all others wait.

        So a turn that waits for its slot inside the block is counted when its request really starts.
        """
        async with self._turns:
            while (wait := self._due - self._tolerance - self._timing.clock()) > 0:
                await self._timing.sleep(wait)
            yield
            self._due = max(self._due, self._timing.clock()) + self._interval
