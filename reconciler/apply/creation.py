"""One create, from its intent to its verdict; what got no verdict is settled by looking (design §5)."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from reconciler.apply.run import Stopped
from reconciler.apply.settling import (
    LONGEST_LAG,
    LOOKS_FIRST,
    MOST_IN_DOUBT,
    find_live_batch,
    found_for,
    is_disproved,
    reached,
)
from reconciler.core.errors import ConflictingWrite, NeverSent, OutcomeUnknown, PlatformError, Rejected, Throttled
from reconciler.core.plans.content import content_tag
from reconciler.core.states.journal import Intent, Void
from reconciler.ports import CreateRequest

if TYPE_CHECKING:
    from reconciler.apply.run import Run
    from reconciler.core.batch import Record


class Creation:
    """One create, from its intent to its verdict."""

    def __init__(self, run: Run, after: Record, predecessors: tuple[str, ...]) -> None:
        self.run = run
        self.after = after
        self.request = CreateRequest(
            dataset=after.dataset,
            external_id=after.external_id,
            spec=after.spec,
            marker=run.identity.marker(after.address) | content_tag(after.files),
            predecessors=predecessors,
        )
        self.predecessors = predecessors
        self.intent: Intent | None = None
        """What the journal says of the request that was sent last."""
        earlier = run.intents.get(after.address)
        self.doubt = earlier if earlier and earlier.external_id == after.external_id else None
        """A request for this generation, of this run or an earlier one, that still has no verdict."""

    async def create(self) -> tuple[str, bool]:
        """The batch's id, and whether it was found rather than made.

        While a request is in doubt, one run sends one more and no third: Catalog may lag behind for minutes.
        """
        found = await self._look_for_earlier()
        if found is not None:
            return found, True
        error: OutcomeUnknown | None = None
        for _ in range(self._most_sends):
            try:
                return await self._send(), False
            except Rejected as refusal:
                return await self._despite(refusal), True
            except (NeverSent, Throttled, Stopped):
                await self._void()
                raise
            except OutcomeUnknown as unknown:
                error = unknown
                await self._in_doubt(unknown)
            found = await self._look(self.run.pace.settle)
            if found is not None:
                return found, True
            if self._is_exhausted:
                await self._note_newest()
            if self.run.stop.is_over or self._is_exhausted:
                break
        raise OutcomeUnknown(
            "the create got no answer, and Catalog does not show the batch",
            detail=error.summary if error else "nor does it show anything newer: it may lag behind",
            hint=self._when_again(),
            status=error.status if error else None,
            request_id=error.request_id if error else None,
        )

    def _when_again(self) -> str:
        if not self._is_exhausted:
            return LOOKS_FIRST
        clock = self.run.platform.catalog.service_time
        after = "" if clock is None else f" {LONGEST_LAG * self.run.pace.settle:,.0f} s from now, or"
        return f"run again{after} once another batch of this sandbox was changed: before, nothing is sent for it"

    async def _look_for_earlier(self) -> str | None:
        """What became of an earlier run's request; one that Catalog disproves is in doubt no more."""
        if self.doubt is None:
            return None
        found = await self._look(self.run.pace.settle)
        if found is not None or self.run.stop.is_over or not self._is_exhausted:
            return found
        if await is_disproved(self.run.platform.catalog, self.doubt, self.run.pace.settle):
            self.doubt = None
        return None

    @property
    def _most_sends(self) -> int:
        return MOST_IN_DOUBT - (0 if self.doubt is None else max(1, self.doubt.in_doubt))

    @property
    def _is_exhausted(self) -> bool:
        """Whether no request may be sent before Catalog is seen to be fresh."""
        return self.doubt is not None and self.doubt.in_doubt >= MOST_IN_DOUBT

    async def _send(self) -> str:
        batch = await self.run.platform.ingestion.create(self.request, about_to_send=self._about_to_send)
        if not self.run.ledger.take(batch):
            raise OutcomeUnknown(
                f"AEP answered the create with batch `{batch}`, which was there before", status=HTTPStatus.CREATED
            )
        return batch

    async def _about_to_send(self) -> None:
        if self.run.stop.is_over:
            raise Stopped
        # Written again each time the request is sent: the next run judges Catalog's lag by the last time.
        self.intent = Intent.of(
            self.after,
            predecessors=self.predecessors,
            in_doubt=self.doubt.in_doubt if self.doubt is not None else 0,
            at=self.run.platform.catalog.service_time or 0,
        )
        await self.run.ledger.write(self.intent)

    async def _in_doubt(self, error: OutcomeUnknown) -> None:
        """The request got no verdict: if it had its effect, that was before now."""
        if self.intent is not None:
            now = self.run.platform.catalog.service_time or 0
            # A 201 that names no batch of ours says that one was made all the same.
            more = MOST_IN_DOUBT if error.status == HTTPStatus.CREATED else 1
            self.doubt = replace(self.intent, in_doubt=self.intent.in_doubt + more, at=now)
            await self.run.ledger.write(self.doubt)

    async def _note_newest(self) -> None:
        """Only what is newer than all that Catalog shows now can tell that it would show the batch."""
        assert self.doubt is not None  # exhausted
        at = await reached(self.run.platform.catalog, self.doubt.at)
        if at != self.doubt.at:
            self.doubt = replace(self.doubt, at=at)
            await self.run.ledger.write(self.doubt)

    async def _despite(self, error: Rejected) -> str:
        """A refusal may mean that the external id is taken, by a request of ours whose answer was lost."""
        patience = self.run.pace.settle if self.doubt or isinstance(error, ConflictingWrite) else 0.0
        taken = self.doubt is not None or (error.status in {400, 409})
        found = await self._look(patience) if taken else None
        if found is not None:
            return found
        await self._void()
        raise error

    async def _void(self) -> None:
        """The request had no effect; one before it may have had."""
        if self.intent is not None:
            void = Void(self.after.address, self.after.generation)
            await self.run.ledger.write(self.doubt if self.doubt is not None else void)

    async def _look(self, patience: float) -> str | None:
        unanswered = "the create got no answer, and Catalog could not be asked for the batch"
        try:
            found = await find_live_batch(self.run, self.after.external_id, self.after.dataset, patience)
        except Stopped:
            raise OutcomeUnknown(unanswered, detail="the run was interrupted", hint=LOOKS_FIRST) from None
        except PlatformError as error:
            raise OutcomeUnknown(
                unanswered, detail=error.summary, hint=LOOKS_FIRST, status=error.status, request_id=error.request_id
            ) from error
        return None if found is None else found_for(self.run, self.after, found).id
