"""What the chains of one apply work with: AEP, the ledger, the pace, and the reason to start nothing new."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from reconciler.core.errors import ContentChanged
from reconciler.core.pace import DEFAULT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from reconciler.apply.ledger import Ledger
    from reconciler.core.batch import File
    from reconciler.core.errors import ReconcilerError
    from reconciler.core.identity import Identity
    from reconciler.core.pace import Pace
    from reconciler.core.plans.events import Event
    from reconciler.core.states.journal import Intent
    from reconciler.ports import Content, Contents, Platform

CHAINS_PER_REQUEST = 4
"""Chains for each request that may be in flight: enough that the connections are busy while some wait for the disk."""

MOST_WAITING = 1_000
"""Chains that may wait for Catalog at the same time; beyond it nothing new is started: the service is down."""


class Stopped(Exception):
    """The run was asked to stop before this request left."""


class Listener(Protocol):
    """Hears what happens, when it happens."""

    def __call__(self, event: Event) -> None:
        """Take note of one event."""
        ...


class Stop:
    """Why a run starts nothing new: a person asked (a signal handler does so), or going on is pointless."""

    def __init__(self, grace: float = DEFAULT.grace) -> None:
        self._event = asyncio.Event()
        self._grace = grace
        self._ends_at: float | None = None
        self._bounds: set[asyncio.Timeout] = set()
        self.has_begun = False
        """Whether requests may be under way, so that a stop has to wait for their answers."""
        self.cause: ReconcilerError | None = None
        """What made going on pointless: a failing disk, a refused credential, a service that is down."""

    @property
    def requested(self) -> bool:
        """Whether a person asked."""
        return self._event.is_set()

    @property
    def is_over(self) -> bool:
        """Whether nothing new may be started."""
        return self.requested or self.cause is not None

    def request(self) -> None:
        """Ask to stop. What is under way in a `bounded` block may go on for the grace, and is cut then."""
        if self.requested:
            return
        self._event.set()
        self._ends_at = asyncio.get_running_loop().time() + self._grace
        for bound in self._bounds:
            bound.reschedule(self._ends_at)

    @asynccontextmanager
    async def bounded(self) -> AsyncIterator[None]:
        """Run the block to its end, or until the grace after `request` is over. Raises `TimeoutError` then."""
        async with asyncio.timeout_at(self._ends_at) as bound:
            self._bounds.add(bound)
            try:
                yield
            finally:
                self._bounds.discard(bound)

    async def wait(self) -> None:
        """Return when a person has asked."""
        await self._event.wait()

    def give_up(self, cause: ReconcilerError) -> None:
        """Start nothing new because of this error; the first one counts."""
        self.cause = self.cause or cause

    async def sleep(self, seconds: float) -> None:
        """Sleep, but not longer than until someone asks to stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return

    async def pause(self, seconds: float) -> None:
        """Sleep between two attempts, with nothing in flight. Raises `Stopped` when someone asks to stop."""
        if self.has_begun:
            await self.sleep(seconds)
            if self.requested:
                raise Stopped
        else:
            await asyncio.sleep(seconds)


class Slots:
    """How many chains are under way; one that waits for AEP lets another one go."""

    def __init__(self, parallelism: int, stop: Stop) -> None:
        self._slots = asyncio.Semaphore(parallelism * CHAINS_PER_REQUEST)
        self._waiting = asyncio.Semaphore(MOST_WAITING)
        self._stop = stop

    async def acquire(self) -> None:
        """Take a slot; whoever takes one gives it back with `release`."""
        await self._slots.acquire()

    def release(self) -> None:
        """Give the slot back."""
        self._slots.release()

    async def sleep(self, seconds: float) -> None:
        """Sleep without the slot, but not longer than until someone asks to stop."""
        async with self._waiting:
            self.release()
            try:
                await self._stop.sleep(seconds)
            finally:
                await self.acquire()


class NoContents:
    """Contents of a run that uploads nothing."""

    def open(self, address: str, file: File) -> Content:
        """Refuse: there is nothing to open."""
        raise ContentChanged(f"file `{file.name}` of `{address}` is not at hand", hint="run again")


@dataclass(frozen=True, slots=True)
class Run:
    """All that the chains of one apply share."""

    identity: Identity
    platform: Platform
    ledger: Ledger
    listener: Listener
    stop: Stop
    slots: Slots
    pace: Pace = DEFAULT
    intents: Mapping[str, Intent] = field(default_factory=dict)
    """Open intents of an earlier run, by address."""
    contents: Contents = field(default_factory=NoContents)
    wait: bool = False
    """Whether to wait for what AEP makes of the batches that are completed."""
