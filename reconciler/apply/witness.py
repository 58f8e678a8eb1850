"""Looks at a batch right before something is done to it: it must be the recorded one, and as the plan found it.

A plan is minutes old when the turn of its last change comes, and a record is a claim (`core.claim`). So a look here
precedes each ABORT, REVERT and COMPLETE, each change of tags, each replay, and the first upload into a batch that this
run did not make. What is otherwise than was approved raises `Refused`: its address fails, and nothing is sent for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.apply.run import Stopped
from reconciler.core.batch import Stage, StatusClass
from reconciler.core.claim import contradiction, contradiction_of_deposed
from reconciler.core.errors import Refused
from reconciler.core.identity import base_of
from reconciler.core.plans.plan import Withdrawal, WithdrawVerb, verb_for
from reconciler.core.states.journal import Void
from reconciler.core.wording import listed
from reconciler.ports import Verb

if TYPE_CHECKING:
    from collections.abc import Collection

    from reconciler.apply.run import Run
    from reconciler.core.batch import Observed, Record
    from reconciler.core.plans.plan import Change

MOST_EARLIER = 50
"""Earlier generations of an address whose external ids are asked for when a batch is not found by its id."""

PLAN_AGAIN = "nothing was sent for it; run `reconciler plan` again, and have what it shows now reviewed"
BY_HAND = "nothing was done to it; if it has to go, abort or revert it by hand, then run again"
CORRECT = "nothing was done to it; compare both, then correct the record with `reconciler import ADDRESS BATCH_ID`"


async def look(run: Run, batch: str, external_ids: Collection[str], *, patience: float) -> Observed | None:
    """What Catalog shows of a batch right now, by external id or by id; None where neither does. Needs a slot.

    `patience` is for how many seconds absence proves nothing. Raises `PlatformError`, and `Stopped` before they are
    over.
    """
    catalog, pauses = run.platform.catalog, run.pace.pauses(patience)
    while True:
        carriers = {each.id: each for each in await catalog.batches_by_external_id(external_ids)}
        found = carriers.get(batch) or (await catalog.batches_by_id([batch])).get(batch)
        pause = next(pauses, None)
        if found is not None or pause is None:
            return found
        if run.stop.is_over:
            raise Stopped
        await run.slots.sleep(pause)


async def look_at(run: Run, record: Record) -> Observed:
    """The recorded batch, before it is written to. Raises `Refused` when it is gone or another one, as `look` else."""
    seen = await look(run, record.id, [record.external_id], patience=run.pace.settle)
    if seen is None:
        raise Refused(f"Catalog does not show batch `{record.id}`, so nothing was done to it", hint="run again")
    return _checked(run, record, seen)


def _checked(run: Run, record: Record, seen: Observed) -> Observed:
    otherwise = contradiction(run.identity, record, seen)
    if otherwise is not None:
        raise Refused(f"batch `{seen.id}` {otherwise}", hint=CORRECT)
    return seen


async def look_before_upload(run: Run, record: Record) -> None:
    """Raise `Refused` unless a batch that this run did not make is the recorded one, and still open."""
    seen = await look_at(run, record)
    if seen.status_class is not StatusClass.OPEN:
        raise _turned(seen, "takes no more files")


async def look_before_complete(
    run: Run, record: Record, replays: Collection[str] | None, seen: Observed | None = None
) -> None:
    """Raise `Refused` unless the batch is the recorded one, alive, and replays what it is to replay.

    Without `replays` it was made by an earlier run, which recorded it once it had read the replay back. `seen` is what
    Catalog has just shown of it.
    """
    seen = await look_at(run, record) if seen is None else _checked(run, record, seen)
    problem = understood(seen, seen.predecessors if replays is None else replays)
    if problem is not None:
        raise problem
    if record.stage is Stage.OPEN and verb_for(seen.status_class) is WithdrawVerb.NONE:
        raise _turned(seen, "cannot be completed")


def _turned(seen: Observed, what: str) -> Refused:
    return Refused(
        f"batch `{seen.id}` is `{seen.status}` now and {what}", hint="see with `reconciler plan` what became of it"
    )


# -- batches that go


async def is_due(run: Run, change: Change, withdrawal: Withdrawal) -> bool:
    """Whether the batch still has to be withdrawn as was approved; one that is gone by two witnesses has not.

    Raises `Refused` when it is another batch, or is otherwise than was approved.
    """
    owner = change.after or change.before
    assert owner is not None  # a change that withdraws has a record
    before = change.before
    record = before if before is not None and before.id == withdrawal.id else None
    external_ids = _earlier(run, owner) if record is None else [record.external_id]
    patience = 0.0 if withdrawal.verb is WithdrawVerb.NONE else run.pace.settle
    seen = await look(run, withdrawal.id, external_ids, patience=patience)
    status = seen.status_class if seen is not None else StatusClass.MISSING
    now = verb_for(status)
    approved = WithdrawVerb.ABORT if withdrawal.verb is WithdrawVerb.UNKNOWN else withdrawal.verb
    was_loaded = status is StatusClass.WITHDRAWN and change.creates and approved is WithdrawVerb.ABORT
    if seen is None or (now is WithdrawVerb.NONE and not was_loaded):
        return False  # a batch that is to be replaced and was loaded and withdrawn: who holds its data is not known
    if record is not None:
        _checked(run, record, seen)
    else:
        origins = [] if change.previous_address is None else [change.previous_address]
        otherwise = contradiction_of_deposed(run.identity, owner, seen, origins)
        if otherwise is not None:
            raise Refused(f"batch `{seen.id}` {otherwise}", hint=BY_HAND)
    if now is not approved:
        done = {WithdrawVerb.ABORT: "aborted", WithdrawVerb.REVERT: "reverted"}
        was = f"was to be {done[approved]}" if approved in done else "was gone"
        raise Refused(f"batch `{seen.id}` {was}, and is `{seen.status}` now", hint=PLAN_AGAIN)
    if status is not StatusClass.OPEN and status is not StatusClass.DONE:
        raise Refused(
            f"batch `{seen.id}` is being processed by AEP and cannot be withdrawn now",
            hint="run again when it is done",
        )
    return True


def _earlier(run: Run, record: Record) -> list[str]:
    """The external ids of earlier generations."""
    bases = {base_of(record.external_id), run.identity.external_ids(record.address).base}
    generations = range(max(1, record.generation - MOST_EARLIER), record.generation)
    ends = ("", *(f".{each}" for each in generations))
    return sorted(f"{base}{end}" for base in bases for end in ends)


async def look_ahead(run: Run, change: Change, replays: Collection[str]) -> tuple[Withdrawal, ...]:
    """Look at all that a chain will change beside its new batch, before its first request; what is still to be done.

    Data would be loaded twice if a create came first, and the old batch proved not to be what it was only then.
    """
    due = tuple([each for each in change.withdraw if await is_due(run, change, each)])
    old = change.before
    if not change.creates or old is None:
        return due
    if old.id in replays:
        seen = await look_at(run, old)
        if seen.status_class is not StatusClass.DONE:
            raise Refused(f"batch `{old.id}` was to be replayed, and is `{seen.status}` now", hint=PLAN_AGAIN)
    elif old.id not in {each.id for each in change.withdraw}:
        await is_due(run, change, Withdrawal(old.id, WithdrawVerb.NONE))
    return due


# -- replays


async def check_replayed(run: Run, record: Record) -> None:
    """Raise `Refused` where a replay of an address would deactivate another batch; one that is gone harms nobody."""
    seen = await look(run, record.id, [record.external_id], patience=0.0)
    if seen is not None:
        _checked(run, record, seen)


def understood(seen: Observed, replays: Collection[str]) -> Refused | None:
    """Why AEP does not replay exactly these batches (aep-api.md §16.1); None if it does."""
    if set(seen.predecessors) == set(replays) and not seen.odd_predecessors:
        return None
    shown = listed(seen.odd_predecessors or seen.predecessors) or "none"
    intended = listed(replays) or "none"
    return Refused(
        f"batch `{seen.id}` was to replay {intended}, and Catalog shows {shown}: the data would be there twice",
        detail="an id with `$` counts as not understood" if seen.odd_predecessors else None,
        hint="it is not completed, and what it was to replay stays as it is: ask AEP support how this sandbox replays",
    )


async def verify_replay(run: Run, record: Record, replays: Collection[str]) -> None:
    """Read a new replay back before it is recorded; one that AEP did not understand is aborted. Raises `Refused`."""
    seen = await look_at(run, record)
    problem = understood(seen, replays)
    if problem is None:
        return
    if seen.status_class is StatusClass.OPEN:
        await run.platform.ingestion.act(record.id, Verb.ABORT)
        await run.ledger.write(Void(record.address, record.generation))
        problem.hint = f"it was aborted, and what it was to replay stays as it is: {problem.hint}"
    raise problem


async def check_adoption(run: Run, change: Change, record: Record) -> None:
    """Raise `Refused` where a batch of a run that died would stand beside the data that it was to replay."""
    intent = run.intents.get(record.address)
    if intent is not None and intent.external_id == record.external_id:
        if intent.predecessors:
            await verify_replay(run, record, intent.predecessors)
        return
    displaced = run.ledger.records.get(change.previous_address or record.address)
    if displaced is None or displaced.id in {record.id, *record.deposed, *record.rivals}:
        return
    old = await look(run, displaced.id, [displaced.external_id], patience=0.0)
    if old is not None and verb_for(old.status_class) is not WithdrawVerb.NONE:
        problem = understood(await look_at(run, record), [displaced.id])
        if problem is not None:
            raise problem
