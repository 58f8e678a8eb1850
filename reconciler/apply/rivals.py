"""Another run that created the same batches at the same moment: one of each pair is given up before any is completed.

Both runs come to the same answer, since Catalog's `created` and the id decide, and since Catalog that shows a run its
own batch shows it what was created before. The run whose batch is second aborts it and records the other's; the one
whose batch is first waits for that, and completes nothing before. Only a batch of this very run is aborted: where
that does not end the pair, both ids are named and a person decides.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from reconciler.apply.run import Stopped
from reconciler.apply.settling import not_ours
from reconciler.core.batch import Stage, StatusClass
from reconciler.core.claim import contradiction
from reconciler.core.errors import PlatformError, ReconcilerError, Refused, StoreFailed
from reconciler.core.identity import is_derived
from reconciler.core.plans.content import with_content_of
from reconciler.core.plans.events import FailedAddress, Waiting
from reconciler.core.plans.observation import DEAD
from reconciler.core.states.journal import Done
from reconciler.ports import Verb

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reconciler.apply.run import Run
    from reconciler.core.batch import Observed, Record

NO_RIVALS = DEAD | {StatusClass.FAILED}
"""Classes of a batch that holds no data and never will: it loads nothing twice."""


class Standing(StrEnum):
    """Where a batch stands among those that carry its external id."""

    HIDDEN = "hidden"
    """Catalog does not show it yet: what was created before it may be hidden as well."""
    ALONE = "alone"
    FIRST = "first"
    """It stays; the other run has to give its batch up."""
    SECOND = "second"
    """It is still open, and another one stays."""
    UNDECIDED = "undecided"
    """More than one is no longer open, or Catalog does not say which one is older."""


@dataclass(frozen=True, slots=True)
class Place:
    """A batch among its rivals."""

    standing: Standing
    rivals: tuple[Observed, ...] = ()
    """The live batches that share its external id, sorted by id."""
    kept: Observed | None = None
    """The one that stays instead, of a batch that is second."""
    mine: Observed | None = None
    """The batch itself, where it stands alone."""


def place_of(record: Record, batches: Iterable[Observed]) -> Place:
    """Where the record's batch stands among the observed ones."""
    carriers = {batch.id: batch for batch in batches if batch.external_id == record.external_id}
    mine = carriers.get(record.id)
    rivals = tuple(
        carriers[name]
        for name in sorted(carriers.keys() - {record.id, *record.rivals})
        if carriers[name].status_class not in NO_RIVALS
        and (not carriers[name].datasets or record.dataset in carriers[name].datasets)
    )
    if mine is None:
        return Place(Standing.HIDDEN, rivals)
    if not rivals or mine.status_class in NO_RIVALS:
        return Place(Standing.ALONE, mine=mine)
    completed = [batch for batch in rivals if batch.status_class is not StatusClass.OPEN]
    if mine.status_class is not StatusClass.OPEN:
        return Place(Standing.UNDECIDED if completed else Standing.FIRST, rivals)
    kept = completed[0] if len(completed) == 1 else None
    if not completed and all(batch.created is not None for batch in (mine, *rivals)):
        kept = min((mine, *rivals), key=lambda batch: (batch.created or 0, batch.id))
    if kept is None:
        return Place(Standing.UNDECIDED, rivals)
    return Place(Standing.FIRST, rivals) if kept is mine else Place(Standing.SECOND, rivals, kept)


# -- before a batch is completed


async def first_of(run: Run, record: Record, planned: Record) -> Record:
    """By one look: the record, or the rival's, if this run's batch is second. Needs a slot. As `cleared` otherwise."""
    place = place_of(record, await run.platform.catalog.batches_by_external_id([record.external_id]))
    if place.kept is None:
        return record
    kept, _ = await cleared(run, record, planned, is_own=True)
    return kept


async def cleared(run: Run, record: Record, planned: Record, *, is_own: bool) -> tuple[Record, Observed | None]:
    """The record of the batch that may be completed, or the rival's, which another run completed. Needs a slot.

    Second: what Catalog shows of the batch that may be completed; None where that was not looked at. `is_own` says that
    this run created the batch, `planned` what the record would be once it is completed. Raises `Refused` where a pair
    stays, or may be hidden, for longer than Catalog may lag behind, and `Stopped`.
    """
    if not is_own and not is_derived(record.external_id, run.identity.project):
        return record, None  # imported: its external id is of another hand, and no run creates a second one
    left, delay = run.pace.settle, run.pace.first_look
    while True:
        place = place_of(record, await run.platform.catalog.batches_by_external_id([record.external_id]))
        if place.standing is Standing.ALONE:
            return record, place.mine
        if place.kept is not None and is_own:
            theirs = await _give_up(run, record, place.kept, planned)
            if theirs.stage is not Stage.COMPLETED:
                theirs = await _completed_by_other(run, record, theirs, planned)
            return theirs, None
        if left <= 0 or place.standing in {Standing.SECOND, Standing.UNDECIDED}:
            raise _unresolved(record, place)
        await run.slots.sleep(min(delay, left))
        if run.stop.is_over:
            raise Stopped
        left, delay = left - delay, min(delay * 2, run.pace.longest_look)


async def _give_up(run: Run, record: Record, kept: Observed, planned: Record) -> Record:
    """Abort the record's batch, and record the one that stays. An open one is taken to be empty."""
    otherwise = contradiction(run.identity, replace(record, id=kept.id), kept)
    if otherwise is not None:
        raise not_ours(kept, otherwise)
    await run.platform.ingestion.act(record.id, Verb.ABORT)
    theirs = replace(planned, id=kept.id, rivals=tuple(sorted({*record.rivals, record.id})))
    if kept.status_class is StatusClass.OPEN:
        theirs = with_content_of(None, theirs)
    await run.ledger.write(Done(theirs))
    gone = f"{record.address}: another run created {kept.id} first, so {record.id} was aborted"
    run.listener(Waiting(gone))
    return theirs


async def _completed_by_other(run: Run, record: Record, theirs: Record, planned: Record) -> Record:
    """Wait until the run whose batch stays has completed it, or Catalog could have shown that."""
    left, delay = run.pace.settle, run.pace.first_look
    while left > 0 and not run.stop.is_over:
        await run.slots.sleep(min(delay, left))
        left, delay = left - delay, min(delay * 2, run.pace.longest_look)
        shown = (await run.platform.catalog.batches_by_id([theirs.id])).get(theirs.id)
        if shown is not None and shown.status_class not in {StatusClass.OPEN, *NO_RIVALS}:
            done = replace(planned, id=theirs.id, rivals=theirs.rivals)
            await run.ledger.write(Done(done))
            return done
    raise Refused(
        f"another run created `{theirs.id}` first and has not completed it; `{record.id}` of this run was aborted",
        hint="run again: if the other run is over by then, this one goes on with its batch",
    )


def _unresolved(record: Record, place: Place) -> Refused:
    """Why the batch was not completed, or a pair is left at the end of a run."""
    if not place.rivals:
        return Refused(
            f"Catalog does not show batch `{record.id}` yet, and so might not show another run's for this address",
            hint="run again: it is completed once Catalog shows that it stands alone",
        )
    ids = ", ".join(f"`{name}`" for name in sorted({record.id, *(batch.id for batch in place.rivals)}))
    return Refused(
        f"{len(place.rivals) + 1} live batches carry its external id, of runs that raced: {ids}",
        hint="plan again when the other run is over; if they are still there, decide which one is right with "
        f"`reconciler import {record.address} BATCH_ID`, then withdraw the others",
    )


# -- at the end of a run


@dataclass(slots=True)
class Search:
    """What the look for rivals at the end of a run came to."""

    yielded: int = 0
    """Batches that were given up."""
    failures: list[FailedAddress] = field(default_factory=list)
    """Pairs that stay."""
    unlooked: list[str] = field(default_factory=list)
    """Addresses that Catalog told nothing about."""


async def search(run: Run, created: Mapping[str, Record], own: Iterable[str]) -> Search:
    """Look for rivals of what this run created or found, by address, and give up what is `own` and second.

    Catalog is given its time to show them: only pauses count, not what the run itself does meanwhile.
    """
    found, owned, pending = Search(), frozenset(own), dict(created)
    places: dict[str, Place] = {}
    left, delay = run.pace.settle, run.pace.first_look
    try:
        async with run.stop.bounded():
            while pending and not run.stop.is_over:
                places = await _places(run, pending)
                over = [address for address, place in places.items() if place.standing in _DECIDED]
                await asyncio.gather(*(_end(run, found, pending[a], places[a], is_own=a in owned) for a in over))
                for address in over:
                    del pending[address]
                if not pending or left <= 0:
                    break
                await run.stop.sleep(min(delay, left))
                left, delay = left - delay, min(delay * 2, run.pace.longest_look)
    except (PlatformError, Stopped, TimeoutError) as error:
        run.listener(Waiting(f"could not look for rivals of what was created: {error}"))
    for address, record in pending.items():
        if address in places and places[address].rivals:
            found.failures.append(FailedAddress(address, _unresolved(record, places[address]), unknown=False))
        else:
            found.unlooked.append(address)
    return found


_DECIDED = frozenset({Standing.ALONE, Standing.SECOND, Standing.UNDECIDED})
"""Standings that more looking does not change."""


async def _places(run: Run, pending: Mapping[str, Record]) -> dict[str, Place]:
    seen: dict[str | None, list[Observed]] = {}
    for batch in await run.platform.catalog.batches_by_external_id([r.external_id for r in pending.values()]):
        seen.setdefault(batch.external_id, []).append(batch)
    return {address: place_of(record, seen.get(record.external_id, ())) for address, record in pending.items()}


async def _end(run: Run, found: Search, record: Record, place: Place, *, is_own: bool) -> None:
    """Do what a decided place asks for; one failure is that of its address."""
    if place.standing is Standing.ALONE:
        return
    try:
        if place.kept is None or not is_own:
            raise _unresolved(record, place)
        await _give_up(run, record, place.kept, record)
        found.yielded += 1
    except StoreFailed as error:
        run.stop.give_up(error)
    except Stopped:
        found.unlooked.append(record.address)
    except ReconcilerError as error:
        found.failures.append(FailedAddress(record.address, error, unknown=False))
