"""What became of a create without a verdict: decided by looking its external id up (design §5).

Catalog lags, and by how much nobody knows. So that it does not show a batch proves something only once this very run
has looked for the settle time: clocks jump, but for the monotonic one. Where two requests got no verdict, the service
is slow, and absence proves nothing before Catalog shows what is newer than all that it showed then.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reconciler.apply.witness import understood
from reconciler.core.claim import contradiction
from reconciler.core.errors import Refused
from reconciler.core.plans.observation import DEAD
from reconciler.core.states.journal import Done, Void
from reconciler.core.wording import listed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from reconciler.apply.run import Run
    from reconciler.core.batch import Observed, Record
    from reconciler.core.identity import Identity
    from reconciler.core.states.journal import Entry, Intent
    from reconciler.ports import Catalog

MOST_IN_DOUBT = 2
"""Requests for one batch that may stay without a verdict before Catalog has to be seen to be fresh."""

LOOKS_FIRST = "run again: the next run looks for it before it creates anything"

LONGEST_LAG = 10
"""Times the settle time, by AEP's clock, after which absence proves something even where Catalog shows nothing newer:
in a sandbox where nothing else happens it never would."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What one look at all open intents has decided."""

    entries: tuple[Entry, ...]
    """Batches that were found."""
    undecided: tuple[Intent, ...]
    """Those that Catalog may not show yet, those with more than one batch, and replays that AEP did not understand."""


async def settle_at_once(
    catalog: Catalog, identity: Identity, intents: Collection[Intent], *, known: Collection[str]
) -> Settled:
    """Decide by one look what an earlier run left open: found batches are recorded. Absence proves nothing yet.

    A batch that is not what its intent says, or whose id is one of the `known`, decides nothing: the plan names it.
    Raises `PlatformError`.
    """
    if not intents:
        return Settled((), ())
    carriers: dict[str | None, list[Observed]] = {}
    for batch in await catalog.batches_by_external_id([intent.external_id for intent in intents]):
        if batch.status_class not in DEAD:
            carriers.setdefault(batch.external_id, []).append(batch)
    entries: list[Entry] = []
    undecided: list[Intent] = []
    for intent in intents:
        batches = carriers.get(intent.external_id, [])
        if len(batches) == 1 and _is_meant(batches[0], identity, intent, known):
            entries.append(Done(intent.record(batches[0].id)))
        else:
            undecided.append(intent)
    return Settled(tuple(entries), tuple(undecided))


def _is_meant(batch: Observed, identity: Identity, intent: Intent, known: Collection[str]) -> bool:
    return (
        batch.id not in known
        and contradiction(identity, intent.record(batch.id), batch) is None
        and understood(batch, intent.predecessors) is None
    )


async def is_disproved(catalog: Catalog, intent: Intent, settle: float) -> bool:
    """Whether the intent's batch, which was looked for long enough, would have shown. Raises `PlatformError`."""
    if await _newest(catalog, intent.at + 1):
        return True
    now = catalog.service_time
    return bool(intent.at) and now is not None and now - intent.at > LONGEST_LAG * settle * 1000


async def reached(catalog: Catalog, at: int) -> int:
    """Epoch milliseconds of the newest change that Catalog shows, by any hand, or `at` where that is later.

    AEP's clock may be silent, or behind Catalog's. Raises `PlatformError`.
    """
    while (newer := await _newest(catalog, at + 1)) > at:
        at = newer
    return at


async def _newest(catalog: Catalog, since: int) -> int:
    """The epoch milliseconds of a change, by any hand, that Catalog shows from `since` on; 0 if it shows none."""
    batch = await catalog.any_change({}, since)
    return max(batch.created or 0, batch.updated or 0) if batch is not None else 0


async def settle_leftover(run: Run, intent: Intent) -> None:
    """Decide an open intent whose address is no longer declared: what exists must not be forgotten.

    Needs a slot. Raises `Stopped` and `ReconcilerError`: then it stays open, and the next run decides.
    """
    catalog = run.platform.catalog
    found = await find_live_batch(run, intent.external_id, intent.dataset, run.pace.settle)
    if found is not None:
        await run.ledger.write(Done(found_for(run, intent.record(found.id), found)))
    elif not run.stop.is_over and (
        intent.in_doubt < MOST_IN_DOUBT or await is_disproved(catalog, intent, run.pace.settle)
    ):
        await run.ledger.write(Void(intent.address, intent.generation))


async def find_live_batch(run: Run, external_id: str, dataset: str, patience: float) -> Observed | None:
    """The live batch that carries the external id. Needs a slot.

    Asks again for `patience` seconds, of which only pauses count. Raises `Refused` when there are two. Lets other
    chains take their turn while it waits.
    """
    pauses = run.pace.pauses(patience)
    while True:
        found = _only(await run.platform.catalog.batches_by_external_id([external_id]), dataset)
        pause = next(pauses, None)
        if found is not None or pause is None or run.stop.is_over:
            return found
        await run.slots.sleep(pause)


def found_for(run: Run, record: Record, found: Observed) -> Record:
    """The record of a batch that was found, whose id is taken from now on. Raises `Refused` as `check_found`."""
    check_found(run, record, found)
    if not run.ledger.take(found.id):
        raise _not_ours(found, "is recorded at another address")
    return replace(record, id=found.id)


def check_found(run: Run, record: Record, found: Observed) -> None:
    """Raise `Refused` where the batch that carries the record's external id is not the one that was to be made."""
    problem = contradiction(run.identity, replace(record, id=found.id), found)
    if problem is not None:
        raise _not_ours(found, problem)


def _not_ours(found: Observed, problem: str) -> Refused:
    return Refused(
        f"its external id is carried by batch `{found.id}`, which {problem}",
        hint="look at that batch in AEP; the next plan says what it stands in the way of",
    )


def _only(batches: Iterable[Observed], dataset: str) -> Observed | None:
    alive = [batch for batch in batches if batch.status_class not in DEAD]
    live = [batch for batch in alive if not batch.datasets or dataset in batch.datasets] or alive
    if len(live) > 1:
        ids = listed(sorted(batch.id for batch in live))
        raise Refused(
            f"{len(live)} live batches carry its external id: {ids}",
            hint="decide which one is right with `reconciler import ADDRESS BATCH_ID`, then abort the other",
        )
    return live[0] if live else None
