"""One create, from its intent to its verdict; what got no verdict is settled by looking (design §5)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.apply.run import Stopped
from reconciler.apply.settling import find_live_batch, not_ours, unsettled_until
from reconciler.core.claim import contradiction
from reconciler.core.errors import ConflictingWrite, NeverSent, OutcomeUnknown, PlatformError, Rejected, Throttled
from reconciler.core.states.journal import Intent, Void
from reconciler.ports import CreateRequest

if TYPE_CHECKING:
    from reconciler.apply.run import Run
    from reconciler.core.batch import Record

LOOKS_FIRST = "run again: the next run looks for it before it creates anything"

ATTEMPTS = 4
"""How often one create may be sent when each time no verdict came back and looking found nothing."""


class Creation:
    """One create, from its intent to its verdict."""

    def __init__(self, run: Run, after: Record, predecessors: tuple[str, ...]) -> None:
        self.run = run
        self.after = after
        self.request = CreateRequest(
            dataset=after.dataset,
            external_id=after.external_id,
            spec=after.spec,
            marker=run.identity.marker(after.address),
            predecessors=predecessors,
        )
        self.predecessors = predecessors
        self.intent: Intent | None = None
        earlier = run.intents.get(after.address)
        self.earlier = earlier if earlier and earlier.external_id == after.external_id else None
        self.in_doubt = self.earlier is not None
        """Whether a request for this generation, of this run or an earlier one, still has no verdict."""

    async def create(self) -> tuple[str, bool]:
        """The batch's id, and whether it was found rather than made."""
        if self.earlier is not None:
            found = await self._look(unsettled_until(self.earlier, self.run.now(), self.run.pace.settle))
            if found is not None:
                return found, True
        doubt: OutcomeUnknown | None = None
        for _ in range(ATTEMPTS):
            try:
                return await self._send(), False
            except Rejected as error:
                return await self._despite(error), True
            except (NeverSent, Throttled, Stopped):
                await self._void()
                raise
            except OutcomeUnknown as error:
                self.in_doubt, doubt = True, error
            found = await self._look(self.run.now() + self.run.pace.settle)
            if found is not None:
                return found, True
            if self.run.stop.is_over:
                break
        raise OutcomeUnknown(
            "the create got no answer, and Catalog does not show the batch",
            detail=doubt.summary if doubt else None,
            hint=LOOKS_FIRST,
            status=doubt.status if doubt else None,
            request_id=doubt.request_id if doubt else None,
        )

    async def _send(self) -> str:
        batch = await self.run.platform.ingestion.create(self.request, about_to_send=self._about_to_send)
        if not self.run.ledger.take(batch):
            raise OutcomeUnknown(f"AEP answered the create with batch `{batch}`, which was there before")
        return batch

    async def _about_to_send(self) -> None:
        if self.run.stop.is_over:
            raise Stopped
        after = self.after
        # Written again each time the request is sent: the next run judges Catalog's lag by the last time.
        self.intent = Intent(
            address=after.address,
            generation=after.generation,
            external_id=after.external_id,
            dataset=after.dataset,
            on_remove=after.on_remove,
            spec=after.spec,
            deposed=after.deposed,
            predecessors=self.predecessors,
            at=int(self.run.now() * 1000),
        )
        await self.run.ledger.write(self.intent)

    async def _despite(self, error: Rejected) -> str:
        """A refusal may mean that the external id is taken, by a request of ours whose answer was lost."""
        patience = self.run.pace.settle if self.in_doubt or isinstance(error, ConflictingWrite) else 0.0
        taken = self.in_doubt or (error.status in {400, 409})
        found = await self._look(self.run.now() + patience) if taken else None
        if found is not None:
            return found
        await self._void()
        raise error

    async def _void(self) -> None:
        if self.intent is not None and not self.in_doubt:
            await self.run.ledger.write(Void(self.after.address, self.after.generation))

    async def _look(self, until: float) -> str | None:
        unanswered = "the create got no answer, and Catalog could not be asked for the batch"
        try:
            found = await find_live_batch(self.run, self.after.external_id, self.after.dataset, until)
        except Stopped:
            raise OutcomeUnknown(unanswered, detail="the run was interrupted", hint=LOOKS_FIRST) from None
        except PlatformError as error:
            raise OutcomeUnknown(
                unanswered, detail=error.summary, hint=LOOKS_FIRST, status=error.status, request_id=error.request_id
            ) from error
        if found is None:
            return None
        problem = contradiction(self.run.identity, replace(self.after, id=found.id), found)
        if problem is None and not self.run.ledger.take(found.id):
            problem = "is recorded at another address"
        if problem is not None:
            raise not_ours(found, problem)
        return found.id
