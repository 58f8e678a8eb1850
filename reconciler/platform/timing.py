"""Time as the adapter sees it, injected so that tests take none."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@dataclass(frozen=True, slots=True)
class Timing:
    """Two clocks and a sleep, all in seconds."""

    clock: Callable[[], float] = time.monotonic
    """Never jumps: for waits and deadlines."""
    now: Callable[[], float] = time.time
    """Epoch seconds: for `Retry-After` dates."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
