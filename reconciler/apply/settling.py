"""What became of a create without a verdict: decided by looking its external id up (design §5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.core.claim import contradiction
from reconciler.core.errors import Refused
from reconciler.core.plans.observation import DEAD
from reconciler.core.states.journal import Done, Void

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from reconciler.apply.run import Run
    from reconciler.core.batch import Observed
    from reconciler.core.identity import Identity
    from reconciler.core.states.journal import Entry, Intent
    from reconciler.ports import Catalog


@dataclass(frozen=True, slots=True)
class Settled:
    """What one look at all open intents has decided."""

    entries: tuple[Entry, ...]
    """Batches that were found, and intents that are void."""
    undecided: tuple[Intent, ...]
    """Those that Catalog may not show yet, and those with more than one batch."""


async def settle_at_once(
    catalog: Catalog,
    identity: Identity,
    intents: Collection[Intent],
    *,
    known: Collection[str],
    now: float,
    settle: float,
) -> Settled:
    """Decide by one look what an earlier run left open: found batches are recorded, old intents without one are void.

    A batch that is not what its intent says, or whose id is one of the `known`, decides nothing: the plan names it.
    `now` is epoch seconds, `settle` the seconds during which absence proves nothing. Raises `PlatformError`.
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
        record = intent.record(batches[0].id) if len(batches) == 1 else None
        if record is not None and record.id not in known and contradiction(identity, record, batches[0]) is None:
            entries.append(Done(record))
        elif not batches and now >= unsettled_until(intent, now, settle):
            entries.append(Void(intent.address, intent.generation))
        else:
            undecided.append(intent)
    return Settled(tuple(entries), tuple(undecided))


def unsettled_until(intent: Intent, now: float, settle: float) -> float:
    """Until which epoch second the absence of the intent's batch proves nothing; a clock set back adds nothing."""
    return min(intent.at / 1000, now) + settle


async def settle_leftover(run: Run, intent: Intent) -> None:
    """Decide an open intent whose address is no longer declared: what exists must not be forgotten.

    Needs a slot. Raises `Stopped` and `ReconcilerError`: then it stays open, and the next run decides.
    """
    until = unsettled_until(intent, run.now(), run.pace.settle)
    found = await find_live_batch(run, intent.external_id, intent.dataset, until)
    if found is not None:
        problem = contradiction(run.identity, intent.record(found.id), found)
        if problem is None and not run.ledger.take(found.id):
            problem = "is recorded at another address"
        if problem is not None:
            raise not_ours(found, problem)
        await run.ledger.write(Done(intent.record(found.id)))
    elif run.now() >= until:
        await run.ledger.write(Void(intent.address, intent.generation))


async def find_live_batch(run: Run, external_id: str, dataset: str, until: float) -> Observed | None:
    """The live batch that carries the external id, asked for until epoch second `until`. Needs a slot.

    Raises `Refused` when there are two. Lets other chains take their turn while it waits.
    """
    delay = run.pace.first_look
    while True:
        found = _only(await run.platform.catalog.batches_by_external_id([external_id]), dataset)
        left = until - run.now()
        if found is not None or left <= 0 or run.stop.is_over:
            return found
        await run.slots.sleep(min(delay, left))
        delay = min(delay * 2, run.pace.longest_look)


def not_ours(found: Observed, problem: str) -> Refused:
    """The error for a batch that carries our external id and is not the one that was to be made."""
    return Refused(
        f"its external id is carried by batch `{found.id}`, which {problem}",
        hint="look at that batch in AEP; the next plan says what it stands in the way of",
    )


def _only(batches: Iterable[Observed], dataset: str) -> Observed | None:
    alive = [batch for batch in batches if batch.status_class not in DEAD]
    live = [batch for batch in alive if not batch.datasets or dataset in batch.datasets] or alive
    if len(live) > 1:
        ids = ", ".join(f"`{batch.id}`" for batch in sorted(live, key=lambda batch: batch.id))
        raise Refused(
            f"{len(live)} live batches carry its external id: {ids}",
            hint="decide which one is right with `reconciler import ADDRESS BATCH_ID`, then abort the other",
        )
    return live[0] if live else None
