"""Repeats an attempt that failed: full jitter, `Retry-After`, one deadline for all attempts of an operation."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from reconciler.platform.problems import Failure
from reconciler.platform.throttling import Timing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from reconciler.platform.outcome import Outcome

T = TypeVar("T")

DEFAULT_DEADLINE = 300.0
"""Seconds."""
FIRST_WAIT = 0.5
"""Seconds: the upper bound of the first wait. It doubles with each try; the wait is a random time below it."""
LONGEST_WAIT = 20.0
"""Seconds, unless the service asks for more."""
LONGEST_NAMED = 366 * 86_400.0
"""Seconds of the longest wait that a message names."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How long one operation is tried, and who is told before each wait."""

    deadline: float = DEFAULT_DEADLINE
    """Seconds for all attempts and waits of one operation."""
    timing: Timing = field(default_factory=Timing)
    on_retry: Callable[[str], None] | None = None
    """Called with one line of text before each wait."""

    async def run(
        self,
        attempt: Callable[[], Awaitable[T | Failure]],
        retry_on: Collection[Outcome],
        *,
        extra_seconds: float = 0.0,
    ) -> T:
        """Return the result of the first attempt that succeeds.

        After a failure whose outcome is in `retry_on`, wait and try again, until the deadline has passed or the
        failure's `most_tries` are used up. `extra_seconds` are added to the deadline: a long body takes time to send.
        A wait that the service asks for is never cut short: when it ends after the deadline, no attempt follows.
        Raises the `PlatformError` of the last attempt.
        """
        end = self.timing.clock() + self.deadline + extra_seconds
        tries, longest = 0, FIRST_WAIT
        while True:
            result = await attempt()
            if not isinstance(result, Failure):
                return result
            tries += 1
            left = end - self.timing.clock()
            is_last = left <= 0 or (result.most_tries is not None and tries >= result.most_tries)
            asked = result.retry_after or 0.0
            if asked > max(left, 0.0):
                result.error.hint = _too_long(asked, self.deadline, result.error.hint)
                is_last = True
            if is_last or result.outcome not in retry_on:
                raise result.error
            jitter = random.uniform(0, longest)  # noqa: S311 - spreads requests, protects nothing
            wait = max(min(jitter, left), asked)
            if self.on_retry is not None:
                self.on_retry(f"{result.error.summary}; trying again in {wait:.1f} s (try {tries + 1})")
            await self.timing.sleep(wait)
            longest = min(longest * 2, LONGEST_WAIT)


def _too_long(asked: float, deadline: float, hint: str | None) -> str:
    """The hint of an error whose service asks for a longer wait than the run has time for."""
    wait = f"{asked:,.0f} s" if asked <= LONGEST_NAMED else "more than a year"
    said = f"it asks to wait {wait}, and one request is tried for {deadline:,.0f} s: run again after that"
    return f"{said}; {hint}" if hint else said
