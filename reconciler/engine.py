"""Carries out a plan: one chain per address, different addresses side by side. Decides nothing that the plan did not.

Never twice, never lost: an intent is durable before its request leaves, the outcome is durable before it counts, and
a request without a verdict is settled by looking (design §5). Only creates need an intent: everything else may be
repeated, and the next plan decides by looking at the level, not at remembered events.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from http import HTTPStatus
from time import monotonic, time
from typing import TYPE_CHECKING, Protocol

from reconciler.core.batch import Stage, StatusClass
from reconciler.core.errors import (
    Conflict,
    ContentChanged,
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
from reconciler.core.events import Account, Completed, Ending, Event, Failed, Failure, Started, Waiting
from reconciler.core.journal import Done, Dropped, Intent, Staged, Uploaded, Uploading, Void
from reconciler.core.observation import DEAD
from reconciler.core.plan import Action
from reconciler.core.progress import Progress
from reconciler.loading import Loading, Means, Stopped, counted, is_partial
from reconciler.ports import Action as Verb
from reconciler.ports import CreateRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from reconciler.core.batch import File, Observed, Record
    from reconciler.core.identity import Identity
    from reconciler.core.journal import Entry
    from reconciler.core.plan import Change, Plan
    from reconciler.ports import Content, Contents, Journal, Platform

CHAINS_PER_REQUEST = 4
"""Chains under way for each request that may be in flight: enough that none of the width is idle during an fsync."""

MOST_SETTLING = 1_000
"""Chains that may wait for Catalog at the same time; beyond it nothing new is started: the service is down."""

MOST_UNSERVED = 16
"""Addresses in a row that may end unserved before the run is given up: each of them has waited its whole deadline."""

LOOKS_FIRST = "run again: the next run looks for it before it creates anything"

ATTEMPTS = 4
"""How often one create may be sent when each time no verdict came back and looking found nothing."""


class Listener(Protocol):
    """Hears what happens, when it happens."""

    def __call__(self, event: Event) -> None:
        """Take note of one event."""
        ...


class Stop:
    """The wish to stop: nothing new is started, what flies may land. Set from a signal handler."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.is_landing = False
        """Whether requests may be under way, so that a stop has to wait for them."""

    @property
    def requested(self) -> bool:
        """Whether someone asked."""
        return self._event.is_set()

    def request(self) -> None:
        """Ask to stop."""
        self._event.set()

    async def sleep(self, seconds: float) -> None:
        """Sleep, but not longer than until someone asks to stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return

    async def pause(self, seconds: float) -> None:
        """Sleep between two attempts, with nothing in flight. Raises `Stopped` when someone asks to stop."""
        if self.is_landing:
            await self.sleep(seconds)
            if self.requested:
                raise Stopped
        else:
            await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Pace:
    """How wide and how patient an apply is."""

    parallelism: int = 8
    settle: float = 30.0
    """Seconds that Catalog is given to show a batch whose create got no verdict."""
    first_look: float = 0.1
    """Seconds before the second look; doubled from look to look."""
    longest_look: float = 4.0
    """Seconds between two looks at the most."""
    longest_wait: float = 3_600.0
    """Seconds that a completed batch is waited for (aep-api.md §5.4)."""
    now: Callable[[], float] = field(default=time)
    """Epoch seconds."""

    def patience_for(self, intent: Intent) -> float:
        """Until which epoch second the absence of the intent's batch proves nothing; a clock set back adds nothing."""
        now = self.now()
        return min(intent.at / 1000, now) + self.settle


class NoContents:
    """The contents of a run that uploads nothing."""

    def open(self, address: str, file: File) -> Content:
        """Refuse: there is nothing to open."""
        raise ContentChanged(f"file `{file.name}` of `{address}` is not at hand", hint="run again")


@dataclass(frozen=True, slots=True)
class Run:
    """All that one apply works with."""

    identity: Identity
    platform: Platform
    journal: Journal
    listener: Listener
    stop: Stop
    pace: Pace
    intents: Mapping[str, Intent]
    """Open intents of an earlier run, by address."""
    contents: Contents = field(default_factory=NoContents)
    wait: bool = False
    """Whether to wait for what AEP makes of the batches that are completed."""


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
            pause=self._wait,
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
        creation = _Creation(self, after, await self._resolved(change))
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

    async def look(self, external_id: str, dataset: str, until: float) -> Observed | None:
        """The live batch that carries the external id, asked for until epoch second `until`.

        Raises `Refused` when there are two. Gives its slot back while it waits.
        """
        delay = self.run.pace.first_look
        while True:
            found = await self._carrier(external_id, dataset)
            left = until - self.run.pace.now()
            if found is not None or left <= 0 or self.is_over:
                return found
            await self._wait(min(delay, left))
            delay = min(delay * 2, self.run.pace.longest_look)

    async def _wait(self, seconds: float) -> None:
        async with self.settling:
            self.slots.release()
            try:
                await self.run.stop.sleep(seconds)
            finally:
                await self.slots.acquire()

    async def _carrier(self, external_id: str, dataset: str) -> Observed | None:
        batches = await self.run.platform.batches_by_external_id([external_id])
        live = [b for b in batches if b.status_class not in DEAD and (not b.datasets or dataset in b.datasets)]
        if len(live) > 1:
            ids = ", ".join(f"`{batch.id}`" for batch in sorted(live, key=lambda batch: batch.id))
            raise Refused(
                f"{len(live)} live batches carry its external id: {ids}",
                hint="decide which one is right with `reconciler import ADDRESS BATCH_ID`, then abort the other",
            )
        return live[0] if live else None

    async def settle_leftover(self, intent: Intent) -> None:
        """Decide an open intent whose address is no longer declared: what exists must not be forgotten."""
        async with self.slots:
            try:
                found = await self.look(intent.external_id, intent.dataset, self.run.pace.patience_for(intent))
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
        own = {self.records[address].external_id: self.records[address] for address in self.made}
        try:
            seen = await self.run.platform.batches_by_external_id(own.keys()) if own else []
            for external_id, batches in _rivals(seen).items():
                record = own[external_id]
                mine = next((batch for batch in batches if batch.id == record.id), None)
                first = _first([batch for batch in batches if record.dataset in batch.datasets])
                if (
                    mine is not None
                    and first is not None
                    and first != mine.id
                    and mine.status_class is StatusClass.OPEN
                ):
                    await self._give_up(record, first)
        except (PlatformError, Stopped) as error:
            self.run.listener(Waiting(f"could not look for rivals of what was created: {error}"))
        except StoreFailed as error:
            self._break(error)

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


class _Creation:
    """One create, from its intent to its verdict."""

    def __init__(self, engine: _Engine, after: Record, predecessors: tuple[str, ...]) -> None:
        self.engine = engine
        self.run_ = engine.run
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
            if self.engine.is_over:
                break
        raise OutcomeUnknown(
            "the create got no answer, and Catalog does not show the batch",
            detail=doubt.summary if doubt else None,
            hint=LOOKS_FIRST,
            status=doubt.status if doubt else None,
            request_id=doubt.request_id if doubt else None,
        )

    async def _about_to_send(self) -> None:
        if self.engine.is_over:
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
        await self.engine.write(self.intent)

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
            await self.engine.write(Void(self.after.address, self.after.generation))

    async def _look(self, until: float) -> str | None:
        unanswered = "the create got no answer, and Catalog could not be asked for the batch"
        try:
            found = await self.engine.look(self.after.external_id, self.after.dataset, until)
        except Stopped:
            raise OutcomeUnknown(unanswered, detail="the run was interrupted", hint=LOOKS_FIRST) from None
        except PlatformError as error:
            raise OutcomeUnknown(
                unanswered, detail=error.summary, hint=LOOKS_FIRST, status=error.status, request_id=error.request_id
            ) from error
        return found.id if found else None


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
