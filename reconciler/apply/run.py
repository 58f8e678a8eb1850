"""What one apply works with: AEP, the journal, the pace, and the wish to stop. Values, but for that wish."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import time
from typing import TYPE_CHECKING, Protocol

from reconciler.core.errors import ContentChanged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reconciler.core.batch import File
    from reconciler.core.identity import Identity
    from reconciler.core.plans.events import Event
    from reconciler.core.states.journal import Intent
    from reconciler.ports import Content, Contents, Journal, Platform


class Stopped(Exception):
    """The run was asked to stop before this request left."""


class Listener(Protocol):
    """Hears what happens, when it happens."""

    def __call__(self, event: Event) -> None:
        """Take note of one event."""
        ...


class Stop:
    """The wish to stop: nothing new is started, what flies may land. Set from a signal handler."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.is_landing = False
        """Whether requests may be under way, so that a stop has to wait for them."""

    @property
    def requested(self) -> bool:
        """Whether someone asked."""
        return self._event.is_set()

    def request(self) -> None:
        """Ask to stop."""
        self._event.set()

    async def sleep(self, seconds: float) -> None:
        """Sleep, but not longer than until someone asks to stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return

    async def pause(self, seconds: float) -> None:
        """Sleep between two attempts, with nothing in flight. Raises `Stopped` when someone asks to stop."""
        if self.is_landing:
            await self.sleep(seconds)
            if self.requested:
                raise Stopped
        else:
            await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Pace:
    """How wide and how patient an apply is."""

    parallelism: int = 8
    settle: float = 30.0
    """Seconds that Catalog is given to show a batch whose create got no verdict."""
    first_look: float = 0.1
    """Seconds before the second look; doubled from look to look."""
    longest_look: float = 4.0
    """Seconds between two looks at the most."""
    longest_wait: float = 3_600.0
    """Seconds that a completed batch is waited for (aep-api.md §5.4)."""
    now: Callable[[], float] = field(default=time)
    """Epoch seconds."""

    def patience_for(self, intent: Intent) -> float:
        """Until which epoch second the absence of the intent's batch proves nothing; a clock set back adds nothing."""
        now = self.now()
        return min(intent.at / 1000, now) + self.settle


class NoContents:
    """The contents of a run that uploads nothing."""

    def open(self, address: str, file: File) -> Content:
        """Refuse: there is nothing to open."""
        raise ContentChanged(f"file `{file.name}` of `{address}` is not at hand", hint="run again")


@dataclass(frozen=True, slots=True)
class Run:
    """All that one apply works with."""

    identity: Identity
    platform: Platform
    journal: Journal
    listener: Listener
    stop: Stop
    pace: Pace
    intents: Mapping[str, Intent]
    """Open intents of an earlier run, by address."""
    contents: Contents = field(default_factory=NoContents)
    wait: bool = False
    """Whether to wait for what AEP makes of the batches that are completed."""
