"""How many requests may be in flight: fewer while AEP throttles, more again while it does not, never none.

Additive increase, multiplicative decrease, as TCP does it: nobody has to know the right width.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from reconciler.platform.timing import Timing


class Gate:
    """Lets requests through in the order they come, at most `width` at a time."""

    def __init__(self, most: int, timing: Timing) -> None:
        self._most = most
        self._timing = timing
        self._width = float(most)
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._narrowed_at = float("-inf")
        self._closed_until = float("-inf")

    @property
    def width(self) -> int:
        """How many requests may be in flight now."""
        return int(self._width)

    @asynccontextmanager
    async def passage(self) -> AsyncIterator[float]:
        """Hold a place for the block, and tell when it began (by the clock)."""
        began = await self.enter()
        try:
            yield began
        finally:
            self.leave()

    async def enter(self) -> float:
        """Wait for a place, and tell when it was there (by the clock); whoever enters must leave."""
        await self._wait_for_place()
        is_in = False
        try:
            while (wait := self._closed_until - self._timing.clock()) > 0:
                await self._timing.sleep(wait)
            is_in = True
        finally:
            if not is_in:
                self.leave()
        return self._timing.clock()

    def leave(self) -> None:
        """Give the place back."""
        self._in_flight -= 1
        self._admit()

    def served(self) -> None:
        """An answer came: after a whole round of them one more may fly."""
        self._width = min(self._most, self._width + 1 / self._width)
        self._admit()

    def throttled(self, began: float, retry_after: float | None) -> None:
        """AEP refused a request that began then: half the width, once for all that were in flight together.

        `retry_after` is in seconds: nothing leaves before it is over.
        """
        now = self._timing.clock()
        if began >= self._narrowed_at:
            self._width = max(1.0, self._width / 2)
            self._narrowed_at = now
        if retry_after is not None:
            self._closed_until = max(self._closed_until, now + retry_after)

    async def _wait_for_place(self) -> None:
        if not self._waiting and self._in_flight < self.width:
            self._in_flight += 1
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():  # it was given in the same moment
                self._in_flight -= 1
                self._admit()
            elif place in self._waiting:
                self._waiting.remove(place)
            raise

    def _admit(self) -> None:
        while self._waiting and self._in_flight < self.width:
            place = self._waiting.popleft()
            if not place.cancelled():
                self._in_flight += 1
                place.set_result(None)
