"""How fast batches may be created: the generic cell rate algorithm, so that no minute holds more than allowed.

AEP allows 2,000 creations a minute to one user, shared with whatever else that user runs (aep-api.md §9).
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from reconciler.platform.timing import Timing

MINUTE = 60.0
LARGEST_BURST = 10
ROUNDING = 1e-9
"""Relative slack, so that float rounding never lets one more into a minute."""


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
