"""An event loop with a virtual clock: sleeping takes no time, and sleepers wake in the order of their times."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, TypeVar

from reconciler.platform import Timing

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

EPOCH = 1_767_225_600.0
"""2026-01-01T00:00:00Z: what the epoch clock says when the loop starts."""


class _Selector(selectors.DefaultSelector):
    """Advances the clock instead of waiting."""

    def __init__(self, advance: Callable[[float], None]) -> None:
        super().__init__()
        self._advance = advance

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everybody waits, and nothing is due")
        if not ready and timeout:
            self._advance(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Starts at second 1,000."""

    def __init__(self) -> None:
        self._now = 1_000.0
        super().__init__(_Selector(self._advance))

    def time(self) -> float:
        return self._now

    def _advance(self, seconds: float) -> None:
        self._now += seconds


def run(main: Coroutine[None, None, T]) -> T:
    """Run to the end, in no time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def clock() -> float:
    """The running loop's time, in seconds."""
    return asyncio.get_running_loop().time()


TIMING = Timing(clock=clock, now=lambda: EPOCH + clock() - 1_000.0)
