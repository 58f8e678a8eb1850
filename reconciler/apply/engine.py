"""Carries out a plan: one chain per address, different addresses side by side. Decides nothing that the plan did not.

Never twice, never lost: an intent is durable before its request leaves, the outcome is durable before it counts, and
a request without a verdict is settled by looking (design §5). Only creates need an intent: everything else may be
repeated, and the next plan decides by looking at the level, not at remembered events.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from graphlib import TopologicalSorter
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING

from reconciler.apply.creation import Creation, look
from reconciler.apply.loading import Loading, Means, counted, is_partial
from reconciler.apply.run import Stopped
from reconciler.core.batch import Stage, StatusClass
from reconciler.core.errors import (
    NeverSent,
    OutcomeUnknown,
    PlatformError,
    ReconcilerError,
    Refused,
    StoreFailed,
    Throttled,
    Unauthorized,
)
from reconciler.core.plans.events import Account, Completed, Ending, Failed, Failure, Started, Waiting
from reconciler.core.plans.observation import DEAD
from reconciler.core.plans.plan import Action
from reconciler.core.states.journal import Done, Dropped, Intent, Staged, Uploaded, Uploading, Void
from reconciler.core.states.progress import Progress
from reconciler.ports import Action as Verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.apply.run import Run
    from reconciler.core.batch import Observed, Record
    from reconciler.core.plans.plan import Change, Plan
    from reconciler.core.states.journal import Entry

CHAINS_PER_REQUEST = 4
"""Chains under way for each request that may be in flight: enough that none of the width is idle during an fsync."""

MOST_SETTLING = 1_000
"""Chains that may wait for Catalog at the same time; beyond it nothing new is started: the service is down."""

LONGEST_RIVALRY = 5.0
"""Seconds, at the end of a run, that Catalog is given to show what it created: a rival would show by then."""

MOST_UNSERVED = 16
"""Addresses in a row that may end unserved before the run is given up: each of them has waited its whole deadline."""


async def carry_out(plan: Plan, run: Run, records: dict[str, Record]) -> Account:
    """Do what the plan says; `records` is changed along with the journal, one entry at a time.

    Never raises for a failed address: the account names it. A failing disk ends the run with what is known.
    """
    engine = _Engine(run, records)
    engine.order(plan.changes)
    run.stop.is_landing = True
    async with asyncio.TaskGroup() as group:
        for change in engine.ordered:
            await engine.slots.acquire()
            if engine.is_over:
                engine.slots.release()
                engine.account.skipped += 1
                continue
            group.create_task(engine.chain(change))
        declared = {change.address for change in plan.changes}
        for intent in run.intents.values():
            if intent.address not in declared and not engine.is_over:
                group.create_task(engine.settle_leftover(intent))
    if not engine.is_over:
        await engine.yield_to_rivals()
    if run.stop.requested and engine.account.ending is Ending.COMPLETE:
        engine.account.ending = Ending.INTERRUPTED
    return engine.account


class _Engine:
    """The chains of one apply and what they share."""

    def __init__(self, run: Run, records: dict[str, Record]) -> None:
        self.run = run
        self.records = records
        self.account = Account()
        self.slots = asyncio.Semaphore(run.pace.parallelism * CHAINS_PER_REQUEST)
        self.settling = asyncio.Semaphore(MOST_SETTLING)
        self.made: list[str] = []
        """Addresses whose batch this run created."""
        self.unserved = 0
        """Addresses in a row that ended without AEP having served them."""
        self.ordered: Sequence[Change] = ()
        self.ended: dict[str, asyncio.Event] = {}
        """By address that another one replays: set once its own chain is over."""
        self.progress: dict[str, Progress] = {}
        """By address: batches that are being filled."""

    def order(self, changes: Sequence[Change]) -> None:
        """Put each change behind those of the addresses that its batch replays."""
        by_address = {change.address: change for change in changes}
        before = {c.address: [p for p in c.predecessors if p in by_address] for c in changes if c.predecessors}
        self.ended = {name: asyncio.Event() for names in before.values() for name in names}
        if not self.ended:
            self.ordered = changes
            return
        graph = {change.address: before.get(change.address, []) for change in changes}
        self.ordered = [by_address[address] for address in TopologicalSorter(graph).static_order()]

    @property
    def is_over(self) -> bool:
        """Whether nothing new may be started."""
        return self.run.stop.requested or self.account.ending is not Ending.COMPLETE

    async def write(self, *entries: Entry) -> None:
        """Make the entries durable, then true."""
        await self.run.journal.append(*entries)
        for entry in entries:
            match entry:
                case Done(record=record):
                    self.records[record.address] = record
                case Dropped(address=address):
                    self.records.pop(address, None)
                case Uploading() | Uploaded() | Staged():
                    self.progress[entry.address].take(entry)
                case Intent() | Void():
                    pass

    # -- one chain

    async def chain(self, change: Change) -> None:
        """All steps of one address, in order. Releases its slot whatever happens."""
        began = monotonic()
        self.run.listener(Started(change))
        try:
            record, adopted = await self._steps(change)
            self._count(change, adopted=adopted)
            if record is not None and change.completes and self.run.wait:
                await self._wait_for(self._loading(record))
        except Stopped:
            self.account.skipped += 1
        except StoreFailed as error:
            self._break(error)
            self._failed(change, error, began, unknown=False)
        except ReconcilerError as error:
            self._failed(change, error, began, unknown=isinstance(error, OutcomeUnknown))
            self._break_if_pointless(error)
        else:
            self.unserved = 0
            elapsed = monotonic() - began
            self.run.listener(Completed(change, record.id if record else None, adopted, elapsed))
        finally:
            if change.address in self.ended:
                self.ended[change.address].set()
            self.slots.release()

    async def _steps(self, change: Change) -> tuple[Record | None, bool]:
        after, adopted = change.after, False
        if change.creates and after is not None:
            after, adopted = await self._create(change, after)
        elif after is not None:
            await self._change_tags(change, after)
            after = _as_it_is(after, change.before)
            await self.write(*_renamed(change, after))
        if after is not None and (change.uploads or change.completes):
            after = await self._load(change, after)
        if change.withdraw:
            for batch in change.withdraw:
                await self._withdraw(batch)
            if after is not None:
                after = replace(after, deposed=())
                await self.write(Done(after))
        if after is None and change.before is not None:
            await self.write(Dropped(change.before.address, change.before.id))
        return after, adopted

    async def _load(self, change: Change, record: Record) -> Record:
        """Bring the batch's content to what the change says."""
        loading = self._loading(record)
        self.progress[record.address] = loading.progress
        held = set(record.files)
        files = [file for file in change.uploads if file not in held]
        try:
            await loading.upload(files)
            self.account.uploaded += len(files)
            if change.completes:
                await loading.complete()
                self.account.completed += 1
        finally:
            self.records[record.address] = self.progress.pop(record.address).record()
        return self.records[record.address]

    def _loading(self, record: Record) -> Loading:
        means = Means(
            platform=self.run.platform,
            contents=self.run.contents,
            write=self.write,
            note=self.run.listener,
            is_over=lambda: self.is_over,
            pause=self.wait,
            longest_wait=self.run.pace.longest_wait,
        )
        return Loading(means, record.address, record.id, record.dataset, Progress(record))

    async def _wait_for(self, loading: Loading) -> None:
        observed = await loading.wait()
        if observed is not None and is_partial(observed):
            told = [counted(observed), *observed.errors[:1]]
            self.account.partial.append((loading.address, "; ".join(filter(None, told))))

    async def _resolved(self, change: Change) -> tuple[str, ...]:
        """The ids of the batches that the new one replays. Raises `Refused` when one of them is not there."""
        ids = []
        for name in change.predecessors:
            if "/" not in name:
                ids.append(name)
                continue
            if name in self.ended:
                await self.ended[name].wait()
            record = self.records.get(name)
            if record is None:
                raise Refused(
                    f"it replays `{name}`, which has no batch",
                    hint="see what became of that address, then run again",
                )
            ids.append(record.id)
        return tuple(ids)

    async def _change_tags(self, change: Change, after: Record) -> None:
        if change.retags:
            await self.run.platform.change_tags(after.id, after.spec.get("tags", {}), change.untags)

    async def _withdraw(self, batch: str) -> None:
        """ABORT or REVERT, by what the batch is at this moment; one that is gone needs neither."""
        observed = (await self.run.platform.batches_by_id([batch])).get(batch)
        status = observed.status_class if observed else StatusClass.MISSING
        match status:
            case StatusClass.OPEN:
                await self.run.platform.act(batch, Verb.ABORT)
            case StatusClass.DONE:
                await self.run.platform.act(batch, Verb.REVERT)
            case StatusClass.IN_FLIGHT | StatusClass.STUCK:
                raise Refused(
                    f"batch `{batch}` is being processed by AEP and cannot be withdrawn now",
                    hint="run again when it is done",
                )
            case StatusClass.FAILED | StatusClass.UNFINISHED | StatusClass.WITHDRAWN | StatusClass.MISSING:
                return

    # -- creating

    async def _create(self, change: Change, after: Record) -> tuple[Record, bool]:
        """Bring one batch into being, or find that it is there already; durable when this returns."""
        creation = Creation(self, after, await self._resolved(change))
        batch, adopted = await creation.run()
        record = _as_it_is(replace(after, id=batch), None)
        try:
            await self.write(*_renamed(change, record))
        except StoreFailed:
            self.account.unrecorded.append((record.address, batch))
            raise
        if not adopted:
            self.made.append(record.address)
        return record, adopted

    async def wait(self, seconds: float) -> None:
        async with self.settling:
            self.slots.release()
            try:
                await self.run.stop.sleep(seconds)
            finally:
                await self.slots.acquire()

    async def settle_leftover(self, intent: Intent) -> None:
        """Decide an open intent whose address is no longer declared: what exists must not be forgotten."""
        async with self.slots:
            try:
                found = await look(self, intent.external_id, intent.dataset, self.run.pace.patience_for(intent))
                if found is not None:
                    await self.write(Done(intent.record(found.id)))
                elif self.run.pace.now() >= self.run.pace.patience_for(intent):
                    await self.write(Void(intent.address, intent.generation))
            except Stopped:
                return  # it stays open: the next run decides
            except StoreFailed as error:
                self._break(error)
            except ReconcilerError as error:
                self.account.failures.append(Failure(intent.address, error, unknown=True))

    # -- another run at the same time

    async def yield_to_rivals(self) -> None:
        """Give up what another run created at the same moment with the same external id, if that one was first.

        Both runs come to the same answer, since Catalog's `created` and the id decide. Only an empty batch of this
        very run is aborted; what Catalog shows too late is reported by the next plan, and a person decides.
        """
        hidden = {self.records[address].external_id: self.records[address] for address in self.made}
        pace = self.run.pace
        until, delay = pace.now() + min(pace.settle, LONGEST_RIVALRY), pace.first_look
        try:
            while hidden:
                seen = await self.run.platform.batches_by_external_id(hidden.keys())
                for external_id, batches in _rivals(seen).items():
                    await self._yield_to(batches, hidden[external_id])
                shown = {batch.id for batch in seen}
                # Once Catalog shows our own batch, it shows what was created before it.
                hidden = {name: own for name, own in hidden.items() if own.id not in shown}
                left = until - pace.now()
                if not hidden or left <= 0 or self.is_over:
                    return
                await self.run.stop.sleep(min(delay, left))
                delay = min(delay * 2, pace.longest_look)
        except (PlatformError, Stopped) as error:
            self.run.listener(Waiting(f"could not look for rivals of what was created: {error}"))
        except StoreFailed as error:
            self._break(error)

    async def _yield_to(self, batches: list[Observed], record: Record) -> None:
        mine = next((batch for batch in batches if batch.id == record.id), None)
        first = _first([batch for batch in batches if record.dataset in batch.datasets])
        if mine is None or first is None or first == mine.id:
            return
        if mine.status_class is StatusClass.OPEN:
            await self._give_up(record, first)

    async def _give_up(self, record: Record, first: str) -> None:
        await self.run.platform.act(record.id, Verb.ABORT)
        await self.write(Done(replace(record, id=first, rivals=tuple(sorted({*record.rivals, record.id})))))
        self.account.created -= 1
        self.account.adopted += 1
        self.account.yielded += 1
        gone = f"{record.address}: another run created {first} first, so {record.id} was aborted"
        self.run.listener(Waiting(gone))

    # -- the account

    def _break(self, error: ReconcilerError) -> None:
        if self.account.ending is Ending.COMPLETE:
            self.account.ending = Ending.BROKEN
            self.account.cause = error

    def _break_if_pointless(self, error: ReconcilerError) -> None:
        """One failed address stops nobody, but a credential that is refused or a service that is down does."""
        if isinstance(error, NeverSent | Throttled | OutcomeUnknown):
            self.unserved += 1
        else:
            self.unserved = 0
        refused = isinstance(error, Unauthorized) and error.status == HTTPStatus.UNAUTHORIZED
        if refused or self.unserved >= max(MOST_UNSERVED, 2 * self.run.pace.parallelism):
            self._break(error)

    def _failed(self, change: Change, error: ReconcilerError, began: float, *, unknown: bool) -> None:
        self.account.failures.append(Failure(change.address, error, unknown))
        self.run.listener(Failed(change, error, unknown, monotonic() - began))

    def _count(self, change: Change, *, adopted: bool) -> None:
        account = self.account
        account.moved += change.previous_address is not None
        account.destroyed += bool(change.withdraw) or (change.action is Action.REPLACE)
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


def _first(batches: list[Observed]) -> str | None:
    """The id of the one that was created first; None when Catalog does not say, since both runs must agree."""
    if any(batch.created is None for batch in batches):
        return None
    return min(batches, key=lambda batch: (batch.created or 0, batch.id)).id if batches else None


def _rivals(batches: list[Observed]) -> dict[str, list[Observed]]:
    """The live batches that share an external id with another one."""
    groups: dict[str, list[Observed]] = {}
    for batch in batches:
        if batch.external_id is not None and batch.status_class not in DEAD:
            groups.setdefault(batch.external_id, []).append(batch)
    return {name: group for name, group in groups.items() if len(group) > 1}


def _as_it_is(after: Record, before: Record | None) -> Record:
    """The planned record with the content that its batch has now: what was recorded, or none."""
    if before is None:
        return replace(after, files=(), begun=(), stage=Stage.OPEN)
    return replace(after, files=before.files, begun=before.begun, stage=before.stage)


def _renamed(change: Change, record: Record) -> tuple[Entry, ...]:
    """The facts of a record that stands at a new address: here it is, there it is no more."""
    if change.previous_address is None or change.before is None:
        return (Done(record),)
    return (Done(record), Dropped(change.previous_address, change.before.id))


async def settle_at_once(run: Run, records: dict[str, Record]) -> list[Intent]:
    """One look for all open intents: found ones are recorded, old ones that nobody finds are void.

    Returns those that are still undecided because they are younger than the settle time.
    """
    engine = _Engine(run, records)
    if not run.intents:
        return []
    found: dict[str, list[Observed]] = {}
    for batch in await run.platform.batches_by_external_id([i.external_id for i in run.intents.values()]):
        if batch.external_id is not None and batch.status_class not in DEAD:
            found.setdefault(batch.external_id, []).append(batch)
    open_: list[Intent] = []
    for intent in run.intents.values():
        batches = found.get(intent.external_id, [])
        if len(batches) == 1:
            await engine.write(Done(intent.record(batches[0].id)))
        elif not batches and run.pace.now() >= run.pace.patience_for(intent):
            await engine.write(Void(intent.address, intent.generation))
        else:
            open_.append(intent)
    return open_
