"""The content of one batch: upload each file, complete, wait. A step is durable before it leaves and once it is done.

A kill anywhere resumes at the step it reached. Never uploads into a batch whose completion has begun, never asks for
COMPLETE before AEP has confirmed every file.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.apply.run import Stopped
from reconciler.core.batch import Stage, StatusClass
from reconciler.core.errors import LoadFailed, NeverSent, ReconcilerError, Rejected, Throttled
from reconciler.core.plans.events import Sent, Waiting
from reconciler.core.states.journal import Staged, Uploaded, Uploading
from reconciler.ports import Action, FilePlace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from reconciler.core.batch import File, Observed
    from reconciler.core.plans.events import Event
    from reconciler.core.states.journal import Step
    from reconciler.core.states.progress import Progress
    from reconciler.ports import Content, Contents, Platform

FILES_AT_ONCE = 4
"""Files of one batch on their way; the platform's width bounds all batches together."""

FIRST_LOOK = 0.5
"""Seconds before the first look at a completed batch; half as long again from look to look."""
LONGEST_LOOK = 30.0
"""Seconds between two looks at the most (aep-api.md §5.4)."""

LONGEST_ABSENCE = 120.0
"""Seconds that Catalog may not show a batch that is waited for."""

MOST_ERRORS = 5
"""Errors of a batch that one failure repeats; the plan shows all."""


@dataclass(frozen=True, slots=True)
class Means:
    """What loading works with, all of it the engine's."""

    platform: Platform
    contents: Contents
    write: Callable[[Step], Awaitable[None]]
    """Makes a step durable, and takes it into account."""
    note: Callable[[Event], None]
    is_over: Callable[[], bool]
    """Whether nothing new may be started."""
    pause: Callable[[float], Awaitable[None]]
    """Sleeps some seconds without keeping other addresses from their turn."""
    longest_wait: float
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Loading:
    """One batch that is being filled."""

    means: Means
    address: str
    batch: str
    dataset: str
    progress: Progress

    async def upload(self, files: Sequence[File]) -> None:
        """Upload the files, several at a time. Raises the first error once what flies has landed, or `Stopped`."""
        errors: list[ReconcilerError | Stopped] = []
        queue = iter(files)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(FILES_AT_ONCE, len(files))):
                group.create_task(self._upload_some(queue, errors))
        if errors:
            raise errors[0]

    async def _upload_some(self, queue: Iterator[File], errors: list[ReconcilerError | Stopped]) -> None:
        for file in queue:
            if errors:
                return
            try:
                await self._upload(file)
            except (ReconcilerError, Stopped) as error:
                errors.append(error)

    async def _upload(self, file: File) -> None:
        if self.means.is_over():
            raise Stopped
        content = _Told(self.means.contents.open(self.address, file), self.means.note)
        resume = self.progress.is_begun(file)
        if not resume:
            await self.means.write(Uploading(self.address, self.batch, file))
        place = FilePlace(self.batch, self.dataset, file.name)
        await self.means.platform.upload(place, content, resume=resume)
        await self.means.write(Uploaded(self.address, self.batch, file))

    async def complete(self) -> None:
        """COMPLETE: once in effect, whatever is cut and however often a run dies."""
        if self.means.is_over():
            raise Stopped
        in_doubt = self.progress.stage is Stage.COMPLETING
        if not in_doubt:
            await self._stage(Stage.COMPLETING)
        try:
            await self.means.platform.act(self.batch, Action.COMPLETE, in_doubt=in_doubt)
        except (Rejected, NeverSent, Throttled):
            if not in_doubt:
                await self._stage(Stage.OPEN)  # it had no effect: the batch takes files as before
            raise
        await self._stage(Stage.COMPLETED)

    async def _stage(self, stage: Stage) -> None:
        await self.means.write(Staged(self.address, self.batch, stage))

    async def wait(self) -> Observed | None:
        """What became of the completed batch; None when the run is to stop first.

        Raises `LoadFailed` when AEP does not load it, or has not by the longest wait.
        """
        delay, left, unseen = FIRST_LOOK, self.means.longest_wait, 0.0
        while True:
            observed = (await self.means.platform.batches_by_id([self.batch])).get(self.batch)
            status = observed.status_class if observed else StatusClass.OPEN
            if observed is not None and status is StatusClass.DONE:
                return observed
            if observed is not None and status not in {StatusClass.OPEN, StatusClass.IN_FLIGHT}:
                raise _failure(observed)
            if self.means.is_over():
                return None
            unseen = 0.0 if observed is not None else unseen + delay
            if left <= 0 or unseen > LONGEST_ABSENCE:
                raise LoadFailed(
                    f"AEP {'is still loading' if observed is not None else 'does not show'} batch `{self.batch}`",
                    hint="nothing is lost: a later `reconciler plan` shows what became of it",
                )
            self.means.note(Waiting("waiting for AEP to load what is completed"))
            await self.means.pause(min(delay, left))
            delay, left = min(delay * 1.5, LONGEST_LOOK), left - delay


def _failure(observed: Observed) -> LoadFailed:
    errors = list(observed.errors[:MOST_ERRORS])
    if len(observed.errors) > MOST_ERRORS:
        errors.append(f"… and {len(observed.errors) - MOST_ERRORS} more")
    counts = counted(observed)
    return LoadFailed(
        f"AEP did not load batch `{observed.id}`: it is {observed.status}",
        detail="\n".join([*([counts] if counts else []), *errors]) or None,
        hint="mend the files; with `recreate_when: [failed]` the next apply makes another batch of the changed files",
    )


def counted(observed: Observed) -> str:
    """The records that were loaded and left out, as far as Catalog tells: `98 records, 2 failed`."""
    parts = []
    if observed.records is not None:
        parts.append(f"{observed.records:,} records")
    if observed.failed_records:
        parts.append(f"{observed.failed_records:,} failed")
    return ", ".join(parts)


def is_partial(observed: Observed) -> bool:
    """Whether a batch that was loaded lacks records (aep-api.md §8.4: `success` may carry errors)."""
    return bool(observed.failed_records) or bool(observed.errors)


@dataclass(frozen=True, slots=True)
class _Told:
    """Content whose bytes are told as they leave."""

    content: Content
    note: Callable[[Event], None]

    @property
    def size(self) -> int:
        """Bytes."""
        return self.content.size

    async def chunks(self, first: int, stop: int) -> AsyncIterator[bytes]:
        """Pass a stretch on."""
        async for chunk in self.content.chunks(first, stop):
            yield chunk
            self.note(Sent(len(chunk)))
