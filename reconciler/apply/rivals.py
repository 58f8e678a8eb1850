"""Another run that created the same batches at the same moment: one of each pair is given up before any is completed.

Both runs come to the same answer, since Catalog's `created` and the id decide, and since Catalog that shows a run its
own batch shows it what was created before. The run whose batch is second aborts it and records the other's; the one
whose batch is first waits for that, and completes nothing before. Only a batch of this very run is aborted: where
that does not end the pair, both ids are named and a person decides.

The same looks show where AEP's answer to a create named another batch than the one that was made.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from reconciler.apply.run import Stopped
from reconciler.apply.settling import LOOKS_FIRST, MOST_IN_DOUBT, check_found, found_for
from reconciler.core.batch import Observed, Stage, StatusClass
from reconciler.core.claim import contradiction
from reconciler.core.errors import OutcomeUnknown, PlatformError, ReconcilerError, Refused, StoreFailed
from reconciler.core.identity import is_derived
from reconciler.core.plans.content import may_hold, with_content_of
from reconciler.core.plans.events import FailedAddress, Waiting
from reconciler.core.plans.observation import DEAD
from reconciler.core.states.journal import Done, Dropped, Intent
from reconciler.core.wording import listed
from reconciler.ports import Verb

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reconciler.apply.run import Run
    from reconciler.core.batch import Record
    from reconciler.core.identity import Identity

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
    MISTAKEN = "mistaken"
    """It is not what its record says."""


@dataclass(frozen=True, slots=True)
class Place:
    """A batch among its rivals."""

    standing: Standing
    rivals: tuple[Observed, ...] = ()
    """The live batches that share its external id, sorted by id."""
    kept: Observed | None = None
    """The one that stays instead of a batch that is second, or is to be recorded instead of a mistaken one."""
    mine: Observed | None = None
    """The batch itself, where it stands alone."""

    @property
    def is_decided(self) -> bool:
        """Whether more looking does not change it."""
        return self.kept is not None or self.standing in {Standing.ALONE, Standing.UNDECIDED}


def place_of(identity: Identity, record: Record, batches: Iterable[Observed], named: Observed | None = None) -> Place:
    """Where the record's batch stands among those that carry its external id; `named` is what its id shows."""
    carriers = {batch.id: batch for batch in batches}
    mine = carriers.get(record.id)
    rivals = tuple(
        carriers[name]
        for name in sorted(carriers.keys() - {record.id, *record.rivals})
        if carriers[name].status_class not in NO_RIVALS
        and (not carriers[name].datasets or record.dataset in carriers[name].datasets)
    )
    if mine is None:
        if named is not None and contradiction(identity, record, named) is not None:
            return Place(Standing.MISTAKEN, rivals, rivals[0] if len(rivals) == 1 else None)
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
    place = await _place(run, record)
    is_second = place.standing is Standing.SECOND and planned.stage is Stage.COMPLETED  # else `search` ends the pair
    if not is_second and place.standing is not Standing.MISTAKEN:
        return record
    kept, _ = await cleared(run, record, planned, is_own=True)
    return kept


async def cleared(run: Run, record: Record, planned: Record, *, is_own: bool) -> tuple[Record, Observed | None]:
    """The record of the batch that may be completed, or the rival's, which another run completed. Needs a slot.

    Second: what Catalog shows of the batch that may be completed; None where that was not looked at. `is_own` says that
    this run created the batch, `planned` what the record would be once it is completed. Raises `Refused` where a pair
    stays, or may be hidden, for longer than Catalog may lag behind, or where the batch is another one; and `Stopped`.
    """
    if not is_own and not is_derived(record.external_id, run.identity.project):
        return record, None  # imported: its external id is of another hand, and no run creates a second one
    pauses = run.pace.pauses(run.pace.settle)
    while True:
        place = await _place(run, record)
        if place.standing is Standing.ALONE:
            return record, place.mine
        if place.standing is Standing.SECOND and place.kept is not None and is_own:
            theirs = await _give_up(run, record, place.kept, planned)
            if theirs.stage is not Stage.COMPLETED:
                theirs = await _completed_by_other(run, record, theirs, planned)
            return theirs, None
        pause = next(pauses, None)
        if pause is None or place.is_decided:
            raise await _unresolved(run, record, place, is_own=is_own)
        await run.slots.sleep(pause)
        if run.stop.is_over:
            raise Stopped


async def _give_up(run: Run, record: Record, kept: Observed, planned: Record) -> Record:
    """Abort the record's batch, and record the one that stays. An open one is taken to be empty."""
    check_found(run, record, kept)
    await run.platform.ingestion.act(record.id, Verb.ABORT)
    theirs = replace(planned, id=kept.id, rivals=tuple(sorted({*record.rivals, record.id})))
    if kept.status_class is StatusClass.OPEN or not may_hold(kept, planned.files):
        theirs = with_content_of(None, theirs)
    await run.ledger.write(Done(theirs))
    gone = f"{record.address}: another run created {kept.id} first, so {record.id} was aborted"
    run.listener(Waiting(gone))
    return theirs


async def _completed_by_other(run: Run, record: Record, theirs: Record, planned: Record) -> Record:
    """Wait until the run whose batch stays has completed it, or Catalog could have shown that."""
    for pause in run.pace.pauses(run.pace.settle):
        if run.stop.is_over:
            break
        await run.slots.sleep(pause)
        shown = (await run.platform.catalog.batches_by_id([theirs.id])).get(theirs.id)
        is_done = shown is not None and shown.status_class not in {StatusClass.OPEN, *NO_RIVALS}
        if is_done and shown is not None and may_hold(shown, planned.files):
            done = replace(planned, id=theirs.id, rivals=theirs.rivals)
            await run.ledger.write(Done(done))
            return done
    raise Refused(
        f"another run created `{theirs.id}` first and has not completed it with these files; `{record.id}` of this run "
        "was aborted",
        hint="run again when the other run is over: this one then goes on with its batch, or replaces it",
    )


async def _unresolved(run: Run, record: Record, place: Place, *, is_own: bool) -> ReconcilerError:
    """Why the batch was not completed, or a pair is left at the end of a run."""
    if place.standing is Standing.MISTAKEN and is_own:
        return await _corrected(run, record, place)
    if not place.rivals:
        return Refused(
            f"Catalog does not show batch `{record.id}` yet, and so might not show another run's for this address",
            hint="run again: it is completed once Catalog shows that it stands alone",
        )
    ids = listed(sorted({record.id, *(batch.id for batch in place.rivals)}))
    return Refused(
        f"{len(place.rivals) + 1} live batches carry its external id, of runs that raced: {ids}",
        hint="plan again when the other run is over; if they are still there, decide which one is right with "
        f"`reconciler import {record.address} BATCH_ID`, then withdraw the others",
    )


async def _corrected(run: Run, record: Record, place: Place) -> ReconcilerError:
    """Forget a batch that AEP's answer to the create named and that is not the one that was made; record that one.

    Where Catalog shows none or several, the create is in doubt again. Returns what the address fails with.
    """
    gone = Dropped(record.address, record.id)
    error = OutcomeUnknown(
        f"AEP answered the create with batch `{record.id}`, which is another one",
        detail="this run has sent files into it" if record.files else None,
        hint=f"{LOOKS_FIRST}; tell AEP support about that answer",
    )
    if place.kept is None:
        at = run.platform.catalog.service_time or 0
        await run.ledger.write(gone, Intent.of(record, in_doubt=MOST_IN_DOUBT, at=at))
        return error
    real = found_for(run, with_content_of(None, record), place.kept)
    await run.ledger.write(gone, Done(real))
    hint = f"batch `{real.id}` is recorded in its place: run again; tell AEP support about that answer"
    return Refused(error.summary, detail=error.detail, hint=hint)


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
    pauses = run.pace.pauses(run.pace.settle)
    try:
        async with run.stop.bounded():
            while pending and not run.stop.is_over:
                places = await _places(run, pending)
                over = [address for address, place in places.items() if place.is_decided]
                await asyncio.gather(*(_end(run, found, pending[a], places[a], is_own=a in owned) for a in over))
                for address in over:
                    del pending[address]
                pause = next(pauses, None)
                if not pending or pause is None:
                    break
                await run.stop.sleep(pause)
    except (PlatformError, Stopped, TimeoutError) as error:
        run.listener(Waiting(f"could not look for rivals of what was created: {error}"))
    for address, record in pending.items():
        place = places.get(address, Place(Standing.HIDDEN))
        if place == Place(Standing.HIDDEN):
            found.unlooked.append(address)
        else:
            await _end(run, found, record, place, is_own=address in owned, acts=False)
    return found


async def _places(run: Run, pending: Mapping[str, Record]) -> dict[str, Place]:
    """Where the batches of the records stand, by address: what is not shown as recorded is asked for by id as well."""
    catalog, seen = run.platform.catalog, dict[str | None, list[Observed]]()
    for batch in await catalog.batches_by_external_id([record.external_id for record in pending.values()]):
        seen.setdefault(batch.external_id, []).append(batch)
    hidden = {record.id for record in pending.values()} - {batch.id for batches in seen.values() for batch in batches}
    by_id = await catalog.batches_by_id(hidden) if hidden else {}
    return {
        address: place_of(run.identity, record, seen.get(record.external_id, ()), by_id.get(record.id))
        for address, record in pending.items()
    }


async def _place(run: Run, record: Record) -> Place:
    return (await _places(run, {record.address: record}))[record.address]


async def _end(run: Run, found: Search, record: Record, place: Place, *, is_own: bool, acts: bool = True) -> None:
    """Do what a place asks for; one failure is that of its address. Sends nothing unless it `acts`."""
    if place.standing is Standing.ALONE:
        return
    try:
        if place.standing is not Standing.SECOND or not is_own or place.kept is None or not acts:
            raise await _unresolved(run, record, place, is_own=is_own)
        await _give_up(run, record, place.kept, record)
        found.yielded += 1
    except StoreFailed as error:
        run.stop.give_up(error)
    except Stopped:
        found.unlooked.append(record.address)
    except ReconcilerError as error:
        found.failures.append(FailedAddress(record.address, error, isinstance(error, OutcomeUnknown)))
