"""The clocks and the sleep that the adapter uses, as a value, so that tests need not wait."""

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
    """Monotonic: for waits and deadlines."""
    now: Callable[[], float] = time.time
    """Epoch seconds: for dates that a service names."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
