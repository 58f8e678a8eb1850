"""The content of one batch: upload each file, complete, wait. The journal knows a step before it is sent and once done.

After a kill the next run goes on with the step that was reached. Nothing is uploaded into a batch whose completion has
begun, and COMPLETE is sent only after AEP has confirmed every file.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.apply.run import Stopped
from reconciler.core.batch import Stage, StatusClass
from reconciler.core.errors import LoadFailed, NeverSent, ReconcilerError, Rejected, Throttled
from reconciler.core.plans.events import Sent, Waiting
from reconciler.core.states.journal import Staged, Uploaded, Uploading
from reconciler.ports import FilePlace, Verb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from reconciler.apply.run import Listener, Run
    from reconciler.core.batch import File, Observed, Record
    from reconciler.core.states.progress import Progress
    from reconciler.ports import Content

FILES_AT_ONCE = 4
"""Files of one batch that are uploaded side by side; the parallelism of the run limits all batches together."""

FIRST_LOOK = 0.5
"""Seconds before the first look at a completed batch; half as long again from look to look."""
LONGEST_LOOK = 30.0
"""Longest time between two looks, in seconds (aep-api.md §5.4)."""

LONGEST_ABSENCE = 120.0
"""Seconds that Catalog may not show a batch that is waited for."""

MOST_ERRORS = 5
"""Errors of a batch that a message repeats; the plan shows all."""


@dataclass(frozen=True, slots=True)
class Loading:
    """One batch that is being filled."""

    run: Run
    record: Record
    progress: Progress

    async def upload(self, files: Sequence[File]) -> None:
        """Upload the files, several at a time. Raises the first error, or `Stopped`, once the others have ended."""
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
        if self.run.stop.is_over:
            raise Stopped
        address, batch = self.record.address, self.record.id
        content = _CountedContent(self.run.contents.open(address, file), self.run.listener)
        older = self.progress.held(file.name)
        if older is not None:  # from now on AEP may hold the older file, a part of it or nothing, but no other bytes
            await self.run.ledger.write(Uploading(address, batch, older))

        async def about_to_send() -> None:
            if not self.progress.is_begun(file):
                await self.run.ledger.write(Uploading(address, batch, file))

        place = FilePlace(batch, self.record.dataset, file.name)
        try:
            await self.run.platform.ingestion.upload(
                place, content, resume=self.progress.is_begun(file), about_to_send=about_to_send
            )
        except ReconcilerError:
            content.take_back_last()
            raise
        await self.run.ledger.write(Uploaded(address, batch, file))

    async def complete(self) -> None:
        """COMPLETE the batch; also after a lost answer or a kill it has its effect once."""
        if self.run.stop.is_over:
            raise Stopped
        in_doubt = self.progress.stage is Stage.COMPLETING
        if not in_doubt:
            await self._stage(Stage.COMPLETING)
        try:
            await self.run.platform.ingestion.act(self.record.id, Verb.COMPLETE, in_doubt=in_doubt)
        except (Rejected, NeverSent, Throttled):
            if not in_doubt:
                await self._stage(Stage.OPEN)  # it had no effect: the batch still takes files
            raise
        await self._stage(Stage.COMPLETED)

    async def _stage(self, stage: Stage) -> None:
        await self.run.ledger.write(Staged(self.record.address, self.record.id, stage))


async def loaded(run: Run, batch: str) -> Observed | None:
    """What became of a completed batch, once AEP has loaded it; None when the run is to stop first. Needs a slot.

    Raises `LoadFailed` when AEP does not load it, or has not by the longest wait.
    """
    delay, left, unseen = FIRST_LOOK, run.pace.longest_wait, 0.0
    while True:
        observed = (await run.platform.catalog.batches_by_id([batch])).get(batch)
        status = observed.status_class if observed else StatusClass.OPEN
        if observed is not None and status is StatusClass.DONE:
            return observed
        if observed is not None and status not in {StatusClass.OPEN, StatusClass.IN_FLIGHT}:
            raise _failure(observed)
        if run.stop.is_over:
            return None
        unseen = 0.0 if observed is not None else unseen + delay
        if left <= 0 or unseen > LONGEST_ABSENCE:
            raise LoadFailed(
                f"AEP {'is still loading' if observed is not None else 'does not show'} batch `{batch}`",
                hint="nothing is lost: a later `reconciler plan` shows what became of it",
            )
        run.listener(Waiting("waiting for AEP to load what is completed"))
        await run.slots.sleep(min(delay, left))
        delay, left = min(delay * 1.5, LONGEST_LOOK), left - delay


def _failure(observed: Observed) -> LoadFailed:
    errors = list(observed.errors[:MOST_ERRORS])
    if len(observed.errors) > MOST_ERRORS:
        errors.append(f"… and {len(observed.errors) - MOST_ERRORS} more")
    counts = record_counts(observed)
    return LoadFailed(
        f"AEP did not load batch `{observed.id}`: it is {observed.status}",
        detail="\n".join([*([counts] if counts else []), *errors]) or None,
        hint="mend the files; with `recreate_when: [failed]` the next apply makes another batch of the changed files",
    )


def record_counts(observed: Observed) -> str:
    """The records that were loaded and left out, as far as Catalog tells: `98 records, 2 failed`."""
    parts = []
    if observed.records is not None:
        parts.append(f"{observed.records:,} records")
    if observed.failed_records:
        parts.append(f"{observed.failed_records:,} failed")
    return ", ".join(parts)


@dataclass(slots=True)
class _CountedContent:
    """Content that tells the listener how many bytes were sent; those of an attempt that failed are taken back."""

    content: Content
    listener: Listener
    _told: dict[int, int] = field(default_factory=dict)
    """Bytes that were told of each part, by its first byte."""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.content.size

    async def chunks(self, first: int, stop: int) -> AsyncIterator[bytes]:
        """Read a part of the file: it, and what lies behind it, is sent anew."""
        self._take_back(first)
        async for chunk in self.content.chunks(first, stop):
            yield chunk
            self._told[first] = self._told.get(first, 0) + len(chunk)
            self.listener(Sent(len(chunk)))

    def take_back_last(self) -> None:
        """Tell that the last attempt failed."""
        if self._told:
            self._take_back(max(self._told))

    def _take_back(self, at: int) -> None:
        lost = sum(self._told.pop(first) for first in [first for first in self._told if first >= at])
        if lost:
            self.listener(Sent(-lost))
