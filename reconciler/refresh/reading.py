"""The batches that were read so far, and how a batch is looked for that a listing did not show."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from reconciler.core.address import names_address
from reconciler.core.batch import StatusClass
from reconciler.core.identity import ENVIRONMENT_TAG, PROJECT_TAG
from reconciler.core.pace import DEFAULT
from reconciler.core.plans.planner import Scope
from reconciler.core.plans.policy import all_missing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
    from datetime import date

    from reconciler.core.batch import Observed, Record
    from reconciler.core.plans.bookmark import Bookmark
    from reconciler.core.plans.plan import Plan
    from reconciler.core.plans.planner import PlanInputs
    from reconciler.ports import Catalog

Result = TypeVar("Result")

MOST_OTHERS = 50
"""Recorded batches beside the targets that are asked for when no target is found: one call."""


@dataclass(frozen=True, slots=True)
class RefreshRequest:
    """What a plan is to be made of, and how suspicious the reading is."""

    inputs: PlanInputs
    today: date
    scope: Scope = field(default_factory=Scope)
    settle: float = DEFAULT.settle
    """Seconds that a recorded batch is asked for before it is missing: how old its record is no clock here can tell."""
    unsettled: int = 0
    """Creates of an earlier run that are still undecided."""
    accept_all_missing: bool = False
    """Whether it is accepted that Catalog shows none of the recorded batches."""
    listings: bool = True
    """Whether datasets are listed; else only what the plan's changes rest on is read (`apply --no-refresh`)."""
    bookmark: Bookmark | None = None
    """Up to where Catalog was read before; None: everything is read."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    @property
    def marker(self) -> dict[str, str]:
        """The tags that all our batches carry."""
        who = self.inputs.identity
        return {PROJECT_TAG: who.project, ENVIRONMENT_TAG: who.environment}


class Reading:
    """One refresh while it goes."""

    def __init__(self, catalog: Catalog, request: RefreshRequest, records: Mapping[str, Record]) -> None:
        self.catalog = catalog
        self.request = request
        self.records = records
        """By address: the records whose batches are read."""
        self.seen: dict[str, Observed] = {}
        self.marked: set[str] = set()
        """Ids of batches that carry our marker: what `Bookmark.count` counts."""
        self.trusted: set[str] = set()
        """Recorded ids that are as recorded, though they are not read."""
        self._began = time.monotonic()
        self._looked_up: set[str] = set()
        """External ids that were asked for."""
        self._asked: set[str] = set()
        """Ids that were asked for one by one."""

    @property
    def recorded_ids(self) -> set[str]:
        """Every id that a record rests on."""
        ids = {record.id for record in self.records.values()}
        for record in self.records.values():
            ids.update(record.deposed)
        return ids

    @property
    def service_began(self) -> int | None:
        """Epoch milliseconds by Catalog's clock when the reading began; None where it does not say."""
        now = self.catalog.service_time
        return None if now is None else now - int((time.monotonic() - self._began) * 1000)

    def absent(self) -> dict[str, str]:
        """Recorded ids that nothing has shown, with their external ids."""
        found = self.seen.keys() | self.trusted
        return {record.id: record.external_id for record in self.records.values() if record.id not in found}

    async def read_ids(self, ids: Collection[str]) -> None:
        """Read batches by id."""
        if ids:
            self._asked.update(ids)
            self.seen.update(await self.catalog.batches_by_id(sorted(ids)))

    async def read_external_ids(self, external_ids: Collection[str]) -> bool:
        """Look external ids up; whether that showed anything new."""
        wanted = sorted(set(external_ids))
        self._looked_up.update(wanted)
        found = await self.catalog.batches_by_external_id(wanted)
        news = {batch.id: batch for batch in found if self.seen.get(batch.id) != batch}
        self.seen.update(news)
        return bool(news)

    def unread(self, plan: Plan) -> set[str]:
        """Ids that the plan rests on though they were not read: here of batches that are to go, or to be replayed."""
        ids = {each.id for change in plan.changes for each in change.withdraw}
        ids.update(name for change in plan.changes for name in change.predecessors if not names_address(name))
        return ids - self.seen.keys() - self._asked

    async def read_unread(self, ids: Collection[str]) -> None:
        """Read them after all."""
        await self.read_ids(ids)

    def not_looked_up(self, plan: Plan) -> set[str]:
        """External ids that a create of the plan would use and that are not looked up yet."""
        return {c.after.external_id for c in plan.changes if c.creates and c.after is not None} - self._looked_up

    async def look_for_the_rest(self) -> None:
        """Look for recorded batches that were not shown, and follow those that the platform replaced."""
        await self._look_again()
        await self._read_successors()

    async def _look_again(self) -> None:
        """A recorded batch that is not shown: ask by external id, and while it may be lagging, ask again."""
        pauses = DEFAULT.pauses(self.request.settle)
        while absent := self.absent():
            await self.read_external_ids(absent.values())
            if not (absent := self.absent()):
                return
            pause = next(pauses, None)
            if pause is None:
                await self._refuse_if_nothing_is_there(len(absent))
                return
            await self.request.sleep(pause)
            await self.read_ids(absent.keys())

    async def _refuse_if_nothing_is_there(self, absent: int) -> None:
        if self.request.accept_all_missing or absent < len(self.records):
            return
        # Of a few targets all may be gone: some of the others tell whether this is the right sandbox.
        others = sorted({record.id for record in self.request.inputs.records.values()} - self.recorded_ids)
        others = others[:: max(1, len(others) // MOST_OTHERS)][:MOST_OTHERS]
        if others and await self.catalog.batches_by_id(others):
            return
        problem = all_missing(absent + len(others), len(self.request.inputs.records))
        if problem is not None:
            raise problem

    async def _read_successors(self) -> None:
        """Follow the platform's own consolidations, which look like withdrawals (aep-api.md §5.2)."""
        withdrawn = {
            record.id: record.dataset
            for record in self.records.values()
            if (batch := self.seen.get(record.id)) is not None and batch.status_class is StatusClass.WITHDRAWN
        }
        for dataset in sorted({ds for batch, ds in withdrawn.items() if self.seen[batch].successor is None}):
            async for batch in self.catalog.list_replays(dataset):
                self.seen.setdefault(batch.id, batch)
        while ahead := {b.successor for b in self.seen.values() if b.successor is not None} - self.seen.keys():
            before = len(self.seen)
            await self.read_ids(ahead)
            if len(self.seen) == before:
                return

    async def absent_datasets(self, plan: Plan) -> frozenset[str]:
        """Datasets that would get their first batch and do not exist: the create's error is undocumented."""
        known = {dataset for batch in self.seen.values() for dataset in batch.datasets}
        needed = sorted({c.after.dataset for c in plan.changes if c.creates and c.after is not None} - known)
        answers = await together(self.catalog.dataset_exists(each) for each in needed)
        return frozenset(each for each, exists in zip(needed, answers, strict=True) if not exists)


async def together(reads: Iterable[Awaitable[Result]]) -> list[Result]:
    """The results of reads that go side by side; the first error once all have ended, bare and not as a group."""
    results = await asyncio.gather(*reads, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]
