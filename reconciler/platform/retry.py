"""Asks again, patiently: full jitter, `Retry-After`, and one deadline for everything that one operation does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_result, wait_random_exponential

from reconciler.platform.problems import Failure
from reconciler.platform.timing import Timing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from reconciler.platform.outcome import Outcome

T = TypeVar("T")

DEFAULT_DEADLINE = 300.0
"""Seconds."""
FIRST_WAIT = 0.5
"""Seconds: the longest first wait; it doubles from try to try, and the real one is anything below."""
LONGEST_WAIT = 20.0
"""Seconds, unless the service asks for more."""

_jitter = wait_random_exponential(multiplier=FIRST_WAIT, max=LONGEST_WAIT)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one operation may take, and who hears that it is tried again."""

    deadline: float = DEFAULT_DEADLINE
    """Seconds."""
    timing: Timing = field(default_factory=Timing)
    on_retry: Callable[[str], None] | None = None
    """Told one line before each wait."""

    async def insist(
        self, attempt: Callable[[], Awaitable[T | Failure]], again: Collection[Outcome], more: float = 0.0
    ) -> T:
        """Attempt until it succeeds, fails with an outcome that is not in `again`, or the deadline has passed.

        `more` seconds are added to the deadline: what sending a long body takes. Raises the last attempt's
        `PlatformError`.
        """
        until = self.timing.clock() + self.deadline + more

        first = await attempt()
        if not (isinstance(first, Failure) and first.outcome in again):
            return _verdict(first)  # nearly always, and the machinery below is a tenth of a request
        tried: list[T | Failure] = [first]

        async def once() -> T | Failure:
            return tried.pop() if tried else await attempt()

        retrying = AsyncRetrying(
            sleep=self.timing.sleep,
            retry=retry_if_result(lambda result: isinstance(result, Failure) and result.outcome in again),
            stop=lambda state: self._is_over(state, until),
            wait=lambda state: self._wait(state, until),
            before_sleep=self._tell,
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        return _verdict(await retrying(once))

    def _is_over(self, state: RetryCallState, until: float) -> bool:
        most = _failure(state).most_tries
        return self.timing.clock() >= until or (most is not None and state.attempt_number >= most)

    def _wait(self, state: RetryCallState, until: float) -> float:
        asked_for = _failure(state).retry_after or 0.0
        return max(0.0, min(max(asked_for, _jitter(state)), until - self.timing.clock()))

    def _tell(self, state: RetryCallState) -> None:
        if self.on_retry is not None:
            wait = state.next_action.sleep if state.next_action else 0.0
            summary = _failure(state).error.summary
            self.on_retry(f"{summary}; trying again in {wait:.1f} s (try {state.attempt_number + 1})")


def _verdict(result: T | Failure) -> T:
    if isinstance(result, Failure):
        raise result.error
    return result


def _failure(state: RetryCallState) -> Failure:
    result = state.outcome.result() if state.outcome else None
    if not isinstance(result, Failure):
        raise TypeError("only failures are retried")
    return result
