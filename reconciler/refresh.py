"""The cheapest set of reads that yields `Observation`: one listing a dataset, then only what it left open.

A create needs two witnesses (design §5): the listing by dataset and tag, and a look-up by external id.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from reconciler.core.batch import Observed, StatusClass
from reconciler.core.collector import collector_paused
from reconciler.core.identity import ENVIRONMENT_TAG, PROJECT_TAG
from reconciler.core.observation import Observation
from reconciler.core.planner import make_plan
from reconciler.core.policy import all_missing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable
    from datetime import date

    from reconciler.core.plan import Plan
    from reconciler.core.planner import Scope, Sides
    from reconciler.ports import Platform


Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long Catalog is given to show what exists (its lag is unverified: aep-api.md §4)."""

    settle: float = 30.0
    """Seconds after a create during which absence proves nothing."""
    state_age: float | None = None
    """Seconds since the state file was written; None when there is none."""
    sleep: Callable[[float], Awaitable[None]] = field(default=asyncio.sleep)

    @property
    def remaining(self) -> float:
        """Seconds during which a recorded batch may still be lagging."""
        return 0.0 if self.state_age is None else max(0.0, self.settle - self.state_age)


@dataclass(frozen=True, slots=True)
class Look:
    """What to read and how suspicious to be."""

    sides: Sides
    scope: Scope
    today: date
    patience: Patience
    unsettled: int = 0
    accept_all_missing: bool = False
    listings: bool = True
    """Whether to list whole datasets; else only what the plan's changes rest on is read (`apply --no-refresh`)."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A plan that rests on nothing unread."""

    plan: Plan
    absent_datasets: frozenset[str]
    """Dataset ids that would get their first batch and do not exist in this sandbox."""


async def refresh(platform: Platform, look: Look) -> Refreshed:
    """Read Catalog until the plan rests on nothing unread.

    Raises `PlatformError` when Catalog cannot be read and `StateMismatch` when nothing recorded can be found.
    """
    reader = _Reader(platform, look)
    await reader.read_recorded()
    plan = reader.plan()
    while missing := reader.unread(plan):
        if await reader.read_external_ids(missing):
            plan = reader.plan()
    return Refreshed(plan, await reader.absent_datasets(plan))


class _Reader:
    """The batches read so far. Lives for one refresh."""

    def __init__(self, platform: Platform, look: Look) -> None:
        self.platform = platform
        self.look = look
        self.seen: dict[str, Observed] = {}
        self.probed: set[str] = set()

    @property
    def recorded_ids(self) -> set[str]:
        """Every id that a record in scope of this run rests on."""
        ids: set[str] = set()
        for record in self.look.sides.records.values():
            ids.add(record.id)
            ids.update(record.deposed)
        return ids

    def add(self, batches: Iterable[Observed]) -> bool:
        """Take note of the batches; whether any of them is news."""
        news = {batch.id: batch for batch in batches if self.seen.get(batch.id) != batch}
        self.seen.update(news)
        return bool(news)

    def plan(self) -> Plan:
        with collector_paused():
            observation = Observation.of(self.seen.values(), how=self.how())
        seen = replace(self.look.sides, observation=observation)
        return make_plan(seen, today=self.look.today, scope=self.look.scope, unsettled=self.look.unsettled)

    def how(self) -> str:
        if not self.look.listings:
            return "only what the changes rest on was read (`--no-refresh`)"
        return f"full refresh: {len(self.seen)} batches read"

    async def read_recorded(self) -> None:
        sides = self.look.sides
        if self.look.listings:
            datasets = {d.dataset for d in sides.desired.values()} | {r.dataset for r in sides.records.values()}
            await _together(self._list(dataset) for dataset in sorted(datasets))
        wanted = self.recorded_ids | {entry.id for entry in sides.imports}
        await self._read_ids(wanted - self.seen.keys())
        await self._look_again()
        await self._read_successors()

    async def _list(self, dataset: str) -> None:
        who = self.look.sides.identity
        tags = {PROJECT_TAG: who.project, ENVIRONMENT_TAG: who.environment}
        async for batch in self.platform.list_batches(dataset, tags):
            self.seen[batch.id] = batch

    async def _read_ids(self, ids: Collection[str]) -> None:
        if ids:
            self.add((await self.platform.batches_by_id(sorted(ids))).values())

    async def _look_again(self) -> None:
        """A recorded batch that is not shown: ask by external id, and while it may be lagging, ask again."""
        delay, left = 0.25, self.look.patience.remaining
        while absent := self._absent():
            await self.read_external_ids(absent.values())
            if not (absent := self._absent()):
                return
            if left <= 0:
                self._refuse_if_nothing_is_there(len(absent))
                return
            pause = min(delay, left)
            await self.look.patience.sleep(pause)
            left, delay = left - pause, min(delay * 2, 5.0)
            await self._read_ids(absent.keys())

    def _absent(self) -> dict[str, str]:
        records = self.look.sides.records.values()
        return {record.id: record.external_id for record in records if record.id not in self.seen}

    def _refuse_if_nothing_is_there(self, absent: int) -> None:
        problem = all_missing(len(self.look.sides.records), absent)
        if problem is not None and not self.look.accept_all_missing:
            raise problem

    async def _read_successors(self) -> None:
        """Follow the platform's own consolidations, which look like withdrawals (aep-api.md §5.2)."""
        withdrawn = {
            record.id: record.dataset
            for record in self.look.sides.records.values()
            if (batch := self.seen.get(record.id)) is not None and batch.status_class is StatusClass.WITHDRAWN
        }
        for dataset in sorted({ds for batch, ds in withdrawn.items() if self.seen[batch].successor is None}):
            async for batch in self.platform.list_replays(dataset):
                self.seen.setdefault(batch.id, batch)
        while ahead := {b.successor for b in self.seen.values() if b.successor is not None} - self.seen.keys():
            before = len(self.seen)
            await self._read_ids(ahead)
            if len(self.seen) == before:
                return

    def unread(self, plan: Plan) -> set[str]:
        """External ids that a create of the plan would use and that nobody has looked up yet."""
        return {c.after.external_id for c in plan.changes if c.creates and c.after is not None} - self.probed

    async def read_external_ids(self, external_ids: Collection[str]) -> bool:
        """Look the external ids up; whether that showed anything new."""
        wanted = sorted(set(external_ids))
        self.probed.update(wanted)
        return self.add(await self.platform.batches_by_external_id(wanted))

    async def absent_datasets(self, plan: Plan) -> frozenset[str]:
        """Datasets that would get their first batch and do not exist: the create's error is undocumented."""
        known = {dataset for batch in self.seen.values() for dataset in batch.datasets}
        needed = {c.after.dataset for c in plan.changes if c.creates and c.after is not None} - known
        answers = await _together(self.platform.dataset_exists(each) for each in sorted(needed))
        return frozenset(each for each, exists in zip(sorted(needed), answers, strict=True) if not exists)


async def _together(reads: Iterable[Awaitable[Result]]) -> list[Result]:
    """The results of reads that go side by side; the first error once all have ended, bare and not as a group."""
    results = await asyncio.gather(*reads, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]
