"""Carries out a plan: one chain per address, different addresses side by side. Decides nothing that the plan did not.

Never twice, never lost: an intent is durable before its request leaves, the outcome is durable before it counts, and
a request without a verdict is settled by looking (design §5). Only creates need an intent: everything else may be
repeated, and the next plan decides by what Catalog shows then, not by what is remembered.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from graphlib import TopologicalSorter
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING

from reconciler.apply.creation import Creation
from reconciler.apply.loading import Loading, loaded, record_counts
from reconciler.apply.rivals import cleared, first_of, search
from reconciler.apply.run import Stopped
from reconciler.apply.settling import LOOKS_FIRST, settle_leftover
from reconciler.apply.witness import (
    check_adoption,
    check_replayed,
    is_due,
    look_ahead,
    look_at,
    look_before_complete,
    look_before_upload,
    verify_replay,
)
from reconciler.core.address import names_address
from reconciler.core.batch import same_tags
from reconciler.core.errors import (
    NeverSent,
    OutcomeUnknown,
    PlatformError,
    ReconcilerError,
    Refused,
    Rejected,
    StoreFailed,
    Throttled,
    Unauthorized,
)
from reconciler.core.plans.content import with_content_of
from reconciler.core.plans.events import Account, Completed, Ending, Failed, FailedAddress, Started
from reconciler.core.plans.plan import Action, WithdrawVerb
from reconciler.core.states.journal import Done, Dropped
from reconciler.ports import Verb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from reconciler.apply.run import Run
    from reconciler.core.batch import Record
    from reconciler.core.plans.plan import Change, Plan, Withdrawal
    from reconciler.core.states.journal import Entry, Intent
    from reconciler.ports import TagsKept

VERBS = {WithdrawVerb.ABORT: Verb.ABORT, WithdrawVerb.UNKNOWN: Verb.ABORT, WithdrawVerb.REVERT: Verb.REVERT}
"""What is sent for a batch that goes."""

MOST_UNSERVED = 16
"""Addresses in a row that may end without an answer of AEP before the run is given up: each has waited its deadline."""
TAGS_HINT = "write them in the manifest as AEP keeps them, or set `lifecycle: {ignore: [tags]}`; this is told only once"


async def carry_out(plan: Plan, run: Run) -> Account:
    """Do what the plan says; the records of `run.ledger` change with the journal, one entry at a time.

    A failed address raises nothing: the account names it. A failing disk ends the run.
    """
    engine = _Engine(run, plan.changes)
    run.stop.has_begun = True
    async with asyncio.TaskGroup() as group:
        for change in engine.ordered:
            await run.slots.acquire()
            if run.stop.is_over:
                run.slots.release()
                engine.account.skipped += 1
                continue
            group.create_task(engine.chain(change))
        declared = {change.address for change in plan.changes}
        for intent in run.intents.values():
            if intent.address not in declared and not run.stop.is_over:
                group.create_task(engine.settle(intent))
    await engine.look_for_rivals()
    return engine.closed_account()


class _Engine:
    """The chains of one apply and their account."""

    def __init__(self, run: Run, changes: Sequence[Change]) -> None:
        self.run = run
        self.account = Account()
        self.ended, self.ordered = _in_order(changes)
        self.created: dict[str, str] = {}
        """By address: the batch that this run created, or found when it looked for it; that is "" here."""
        self.unserved = 0
        """Addresses in a row that ended without an answer of AEP."""

    # -- one chain

    async def chain(self, change: Change) -> None:
        """All steps of one address, in order. Releases its slot at the end."""
        began = monotonic()
        self.run.listener(Started(change))
        try:
            async with self.run.stop.bounded():
                record, adopted = await self._steps(change)
            self._count(change, adopted=adopted)
            if record is not None and change.completes and self.run.wait:
                await self._wait_for(record)
        except Stopped:
            self.account.skipped += 1
        except TimeoutError:
            self._failed(change, _cut_off(), monotonic() - began)
        except ReconcilerError as error:
            self._failed(change, error, monotonic() - began)
        else:
            self.unserved = 0
            elapsed = monotonic() - began
            self.run.listener(Completed(change, record.id if record else None, adopted, elapsed))
        finally:
            if change.address in self.ended:
                self.ended[change.address].set()
            self.run.slots.release()

    async def _steps(self, change: Change) -> tuple[Record | None, bool]:
        after, adopted, due = change.after, False, change.withdraw
        replays = await self._predecessors(change)
        if change.creates or len(due) > 1 or (due and after is not None):
            due = await look_ahead(self.run, change, replays)
        kept: TagsKept | None = None
        if change.creates and after is not None:
            after, adopted = await self._create(change, after, replays)
        elif after is not None:
            after, kept = await self._keep(change, after)
        if after is not None and (change.uploads or change.completes):
            before = after.id
            # What is open goes first: AEP itself then says that nobody has completed it meanwhile.
            await self._withdraw(change, [each for each in due if each.verb is not WithdrawVerb.REVERT])
            due = tuple([each for each in due if each.verb is WithdrawVerb.REVERT])
            after = await self._load(change, after, replays, is_new=change.creates and not adopted)
            adopted = adopted or after.id != before
        await self._withdraw(change, due)
        if change.withdraw and after is not None:
            after = replace(after, deposed=())
            await self.run.ledger.write(Done(after))
        if after is None and change.before is not None:
            await self.run.ledger.write(Dropped(change.before.address, change.before.id))
        if kept is not None:  # told once, when all the rest is done: the record holds what AEP made of the tags
            raise PlatformError(kept.complaint, hint=TAGS_HINT)
        return after, adopted

    async def _withdraw(self, change: Change, due: Iterable[Withdrawal]) -> None:
        for each in due:
            if await is_due(self.run, change, each):
                await self.run.platform.ingestion.act(each.id, VERBS[each.verb])

    async def _keep(self, change: Change, after: Record) -> tuple[Record, TagsKept | None]:
        """Write down what is known of a batch that exists, with its own tags as they are to be.

        Second: what AEP made of the tags, where that is not what was written.
        """
        kept: TagsKept | None = None
        if change.action is Action.ADOPT:
            await check_adoption(self.run, change, after)
        if change.retags:
            await look_at(self.run, change.before or after)
            assign = after.spec.get("tags", {})
            kept = await self.run.platform.ingestion.change_tags(after.id, assign, change.untags)
            is_same = kept is None or same_tags(kept.tags, assign)
            after = replace(after, kept_tags=None if is_same or kept is None else dict(kept.tags))
        after = with_content_of(change.before, after)
        await self.run.ledger.write(*_renamed(change, after))
        return after, kept

    async def _create(self, change: Change, after: Record, replays: tuple[str, ...]) -> tuple[Record, bool]:
        """Create one batch, or find that it is there already; it is in the journal when this returns."""
        creation = Creation(self.run, after, replays)
        batch, adopted = await creation.create()
        record = with_content_of(None, replace(after, id=batch))
        if replays:
            await self._read_back(record, replays)
        try:
            await self.run.ledger.write(*_renamed(change, record))
        except StoreFailed:
            self.account.unrecorded.append((record.address, batch))
            raise
        self.created[record.address] = "" if adopted else batch
        return record, adopted

    async def _read_back(self, record: Record, replays: tuple[str, ...]) -> None:
        """Until it is known that AEP understood a replay, the old batch stays recorded, and the intent open."""
        unread = f"batch `{record.id}` was created, and could not be read back: whether it replays is not known"
        try:
            await verify_replay(self.run, record, replays)
        except Stopped:
            raise OutcomeUnknown(unread, detail="the run was interrupted", hint=LOOKS_FIRST) from None
        except PlatformError as error:
            raise OutcomeUnknown(unread, detail=error.summary, hint=LOOKS_FIRST) from error

    async def _predecessors(self, change: Change) -> tuple[str, ...]:
        """The ids of the batches that the new one replays. Raises `Refused` when one of them is not there."""
        ids = []
        for name in change.predecessors:
            if not names_address(name):
                ids.append(name)
                continue
            if name in self.ended:
                await self.ended[name].wait()
            record = self.run.ledger.records.get(name)
            if record is None:
                raise Refused(
                    f"it replays `{name}`, which has no batch",
                    hint="see what became of that address, then run again",
                )
            await check_replayed(self.run, record)
            ids.append(record.id)
        return tuple(ids)

    async def _load(self, change: Change, record: Record, replays: tuple[str, ...], *, is_new: bool) -> Record:
        """Bring the batch's content to what the change says; where another run was first, that is its batch."""
        if change.uploads and not is_new:
            await look_before_upload(self.run, record)
        planned, is_own = change.after or record, self.created.get(record.address) == record.id
        held = set(record.files)
        files = [file for file in change.uploads if file not in held]
        if is_own and files:
            kept = await first_of(self.run, record, planned)
            if kept.id != record.id:
                return self._yielded(kept)
        try:
            async with self._filling(record) as loading:
                await loading.upload(files)
        except Rejected:
            await look_before_upload(self.run, record)  # another run may have completed or aborted it
            raise
        self.account.uploaded += len(files)
        record = self.run.ledger.records[record.address]
        if not change.completes:
            return record
        kept, seen = await cleared(self.run, record, planned, is_own=is_own)
        if kept.id != record.id:
            return self._yielded(kept)
        for each in change.withdraw:
            if each.verb is WithdrawVerb.REVERT:
                await is_due(self.run, change, each)  # not two batches with the same data
        await look_before_complete(self.run, record, replays if change.creates else None, seen)
        async with self._filling(record) as loading:
            await loading.complete()
        self.account.completed += 1
        return self.run.ledger.records[record.address]

    @asynccontextmanager
    async def _filling(self, record: Record) -> AsyncIterator[Loading]:
        try:
            yield Loading(self.run, record, self.run.ledger.progress(record))
        finally:
            self.run.ledger.close(record.address)

    def _yielded(self, kept: Record) -> Record:
        del self.created[kept.address]
        self.account.yielded += 1
        return kept

    async def _wait_for(self, record: Record) -> None:
        try:
            async with self.run.stop.bounded():
                observed = await loaded(self.run, record.id)
        except TimeoutError:
            return  # all is done but the waiting
        if observed is not None and observed.is_partial:
            reasons = [record_counts(observed), *observed.errors[:1]]
            self.account.partial.append((record.address, "; ".join(filter(None, reasons))))

    # -- beside the chains

    async def settle(self, intent: Intent) -> None:
        """Decide an open intent whose address is no longer declared."""
        await self.run.slots.acquire()
        try:
            async with self.run.stop.bounded():
                await settle_leftover(self.run, intent)
        except (Stopped, TimeoutError):
            return  # it stays open: the next run decides
        except StoreFailed as error:
            self.run.stop.give_up(error)
        except ReconcilerError as error:
            self.account.failures.append(FailedAddress(intent.address, error, unknown=True))
        finally:
            self.run.slots.release()

    async def look_for_rivals(self) -> None:
        """Give up what another run created first, and name what could not be decided."""
        records = self.run.ledger.records
        looked = {address: records[address] for address in self.created if address in records}
        own = [address for address, record in looked.items() if record.id == self.created[address]]
        found = await search(self.run, looked, own)
        self.account.created -= found.yielded
        self.account.adopted += found.yielded
        self.account.yielded += found.yielded
        self.account.failures += found.failures
        self.account.unlooked += found.unlooked

    # -- the account

    def closed_account(self) -> Account:
        """The account, with how the run ended."""
        stop = self.run.stop
        if stop.cause is not None:
            self.account.ending, self.account.cause = Ending.BROKEN, stop.cause
        elif stop.requested:
            self.account.ending = Ending.INTERRUPTED
        return self.account

    def _failed(self, change: Change, error: ReconcilerError, elapsed: float) -> None:
        """Note a failed address. The others go on, unless the error shows that all of them would fail."""
        unknown = isinstance(error, OutcomeUnknown)
        self.account.failures.append(FailedAddress(change.address, error, unknown))
        self.run.listener(Failed(change, error, unknown, elapsed))
        if isinstance(error, NeverSent | Throttled | OutcomeUnknown):
            self.unserved += 1
        else:
            self.unserved = 0
        is_refused = isinstance(error, Unauthorized) and error.status == HTTPStatus.UNAUTHORIZED
        is_down = self.unserved >= max(MOST_UNSERVED, 2 * self.run.pace.parallelism)
        if isinstance(error, StoreFailed) or ((is_refused or is_down) and not self.run.stop.requested):
            self.run.stop.give_up(error)

    def _count(self, change: Change, *, adopted: bool) -> None:
        account = self.account
        account.moved += change.previous_address is not None
        account.destroyed += len(change.destroys)
        match change.action:
            case Action.CREATE | Action.REPLACE:
                account.created += not adopted
                account.adopted += adopted
            case Action.ADOPT:
                account.adopted += 1
            case Action.IMPORT:
                account.imported += 1
            case Action.UPDATE:
                account.changed += 1
            case Action.FORGET:
                account.forgotten += 1
            case Action.MOVE | Action.DELETE:
                pass


def _cut_off() -> OutcomeUnknown:
    return OutcomeUnknown("the run was interrupted before AEP answered", hint=LOOKS_FIRST)


def _in_order(changes: Sequence[Change]) -> tuple[dict[str, asyncio.Event], Sequence[Change]]:
    """The changes, each behind those of the addresses that its batch replays.

    First, by such an address: the event that is set once its own chain is over.
    """
    by_address = {change.address: change for change in changes}
    before = {c.address: [p for p in c.predecessors if p in by_address] for c in changes if c.predecessors}
    ended = {name: asyncio.Event() for names in before.values() for name in names}
    if not ended:
        return {}, changes
    graph = {change.address: before.get(change.address, []) for change in changes}
    return ended, [by_address[address] for address in TopologicalSorter(graph).static_order()]


def _renamed(change: Change, record: Record) -> tuple[Entry, ...]:
    """The facts of a record that stands at a new address: here it is, there it is no more."""
    if change.previous_address is None or change.before is None:
        return (Done(record),)
    here, there = Done(record), Dropped(change.previous_address, change.before.id)
    # A journal may end between the two. The intent of a new batch is in it, so that one is found again; a batch that is
    # renamed stands at its new address as soon as that is written.
    return (here, there) if record.id == change.before.id else (there, here)
