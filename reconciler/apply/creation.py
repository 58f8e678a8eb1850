"""One create, from its intent to its verdict; what got no verdict is settled by looking (design §5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from reconciler.apply.run import Stopped
from reconciler.core.errors import Conflict, NeverSent, OutcomeUnknown, PlatformError, Refused, Rejected, Throttled
from reconciler.core.plans.observation import DEAD
from reconciler.core.states.journal import Intent, Void
from reconciler.ports import CreateRequest

if TYPE_CHECKING:
    from reconciler.apply.run import Run
    from reconciler.core.batch import Observed, Record
    from reconciler.core.states.journal import Entry

LOOKS_FIRST = "run again: the next run looks for it before it creates anything"

ATTEMPTS = 4
"""How often one create may be sent when each time no verdict came back and looking found nothing."""


class Host(Protocol):
    """What a creation needs of the engine that it runs in."""

    run: Run

    @property
    def is_over(self) -> bool:
        """Whether nothing new may be started."""
        ...

    async def write(self, *entries: Entry) -> None:
        """Make the entries durable, then true."""
        ...

    async def wait(self, seconds: float) -> None:
        """Sleep, while others may take their turn."""
        ...


class Creation:
    """One create, from its intent to its verdict."""

    def __init__(self, host: Host, after: Record, predecessors: tuple[str, ...]) -> None:
        self.host = host
        self.run_ = host.run
        self.after = after
        self.request = CreateRequest(
            dataset=after.dataset,
            external_id=after.external_id,
            spec=after.spec,
            marker=self.run_.identity.marker(after.address),
            predecessors=predecessors,
        )
        self.predecessors = predecessors
        self.intent: Intent | None = None
        earlier = self.run_.intents.get(after.address)
        self.earlier = earlier if earlier and earlier.external_id == after.external_id else None
        self.in_doubt = self.earlier is not None
        """Whether any request for this generation, now or in an earlier run, still lacks a verdict."""

    async def run(self) -> tuple[str, bool]:
        """The batch's id, and whether it was found rather than made."""
        if self.earlier is not None:
            found = await self._look(self.run_.pace.patience_for(self.earlier))
            if found is not None:
                return found, True
        doubt: OutcomeUnknown | None = None
        for _ in range(ATTEMPTS):
            try:
                return await self.run_.platform.create(self.request, about_to_send=self._about_to_send), False
            except Rejected as error:
                return await self._despite(error), True
            except (NeverSent, Throttled, Stopped):
                await self._void()
                raise
            except OutcomeUnknown as error:
                self.in_doubt, doubt = True, error
            found = await self._look(self.run_.pace.now() + self.run_.pace.settle)
            if found is not None:
                return found, True
            if self.host.is_over:
                break
        raise OutcomeUnknown(
            "the create got no answer, and Catalog does not show the batch",
            detail=doubt.summary if doubt else None,
            hint=LOOKS_FIRST,
            status=doubt.status if doubt else None,
            request_id=doubt.request_id if doubt else None,
        )

    async def _about_to_send(self) -> None:
        if self.host.is_over:
            raise Stopped
        after = self.after
        # Written anew for each time it leaves: the next run judges Catalog's lag by the last one.
        self.intent = Intent(
            address=after.address,
            generation=after.generation,
            external_id=after.external_id,
            dataset=after.dataset,
            on_remove=after.on_remove,
            spec=after.spec,
            deposed=after.deposed,
            predecessors=self.predecessors,
            at=int(self.run_.pace.now() * 1000),
        )
        await self.host.write(self.intent)

    async def _despite(self, error: Rejected) -> str:
        """A refusal may mean that the external id is taken: by a request of ours whose answer was lost."""
        patience = self.run_.pace.settle if self.in_doubt or isinstance(error, Conflict) else 0.0
        taken = self.in_doubt or (error.status in {400, 409})
        found = await self._look(self.run_.pace.now() + patience) if taken else None
        if found is not None:
            return found
        await self._void()
        raise error

    async def _void(self) -> None:
        if self.intent is not None and not self.in_doubt:
            await self.host.write(Void(self.after.address, self.after.generation))

    async def _look(self, until: float) -> str | None:
        unanswered = "the create got no answer, and Catalog could not be asked for the batch"
        try:
            found = await look(self.host, self.after.external_id, self.after.dataset, until)
        except Stopped:
            raise OutcomeUnknown(unanswered, detail="the run was interrupted", hint=LOOKS_FIRST) from None
        except PlatformError as error:
            raise OutcomeUnknown(
                unanswered, detail=error.summary, hint=LOOKS_FIRST, status=error.status, request_id=error.request_id
            ) from error
        return found.id if found else None


async def look(host: Host, external_id: str, dataset: str, until: float) -> Observed | None:
    """The live batch that carries the external id, asked for until epoch second `until`.

    Raises `Refused` when there are two. Lets others take their turn while it waits.
    """
    delay = host.run.pace.first_look
    while True:
        found = await _carrier(host, external_id, dataset)
        left = until - host.run.pace.now()
        if found is not None or left <= 0 or host.is_over:
            return found
        await host.wait(min(delay, left))
        delay = min(delay * 2, host.run.pace.longest_look)


async def _carrier(host: Host, external_id: str, dataset: str) -> Observed | None:
    batches = await host.run.platform.batches_by_external_id([external_id])
    live = [b for b in batches if b.status_class not in DEAD and (not b.datasets or dataset in b.datasets)]
    if len(live) > 1:
        ids = ", ".join(f"`{batch.id}`" for batch in sorted(live, key=lambda batch: batch.id))
        raise Refused(
            f"{len(live)} live batches carry its external id: {ids}",
            hint="decide which one is right with `reconciler import ADDRESS BATCH_ID`, then abort the other",
        )
    return live[0] if live else None
