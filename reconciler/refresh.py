"""The cheapest set of reads that yields `Observation`: one listing a dataset, then only what it left open.

A create needs two witnesses (design §5): the listing by dataset and tag, and a look-up by external id. A big state that
has a bookmark is read cheaper: what was changed since, and whether as many batches are there as should be; whatever
the plan then rests on is read one by one. Where the answers do not fit the bookmark, everything is read after all.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from reconciler.core.batch import Observed, StatusClass
from reconciler.core.collector import collector_paused
from reconciler.core.errors import Rejected, Unauthorized
from reconciler.core.identity import ENVIRONMENT_TAG, PROJECT_TAG
from reconciler.core.plans.bookmark import MOST_APART, Bookmark, is_as_recorded, since
from reconciler.core.plans.observation import Observation, stem
from reconciler.core.plans.planner import make_plan
from reconciler.core.plans.policy import all_missing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable
    from datetime import date

    from reconciler.core.plans.plan import Plan
    from reconciler.core.plans.planner import Scope, Sides
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
    bookmark: Bookmark | None = None
    """Up to where Catalog was read before; None: everything is read."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A plan that rests on nothing unread."""

    plan: Plan
    absent_datasets: frozenset[str]
    """Dataset ids that would get their first batch and do not exist in this sandbox."""
    bookmark: Bookmark | None
    """Up to where Catalog was read now; None when the next refresh had better read everything."""


async def refresh(platform: Platform, look: Look) -> Refreshed:
    """Read Catalog until the plan rests on nothing unread.

    Raises `PlatformError` when Catalog cannot be read and `StateMismatch` when nothing recorded can be found.
    """
    if look.bookmark is not None:
        try:
            return await _read_on(_Reader(platform, look), look.bookmark)
        except _Outdated:
            pass
    return await _read_on(_Reader(platform, look), None)


async def _read_on(reader: _Reader, bookmark: Bookmark | None) -> Refreshed:
    """Read on from the bookmark. Raises `_Outdated` when Catalog cannot be what the bookmark says."""
    if bookmark is None:
        await reader.read_recorded()
    else:
        await reader.read_changes(bookmark)
    plan = reader.plan()
    while (believed := reader.believed(plan)) or reader.unread(plan):
        await reader.read_believed(believed)
        missing = reader.unread(plan)
        is_news = bool(missing) and await reader.read_external_ids(missing)
        if is_news or believed:
            plan = reader.plan()
    absent = await reader.absent_datasets(plan)
    return Refreshed(plan, absent, reader.bookmark())


class _Outdated(Exception):
    """Catalog is not what the bookmark says, or cannot be asked that way."""


class _Reader:
    """The batches read so far. Lives for one refresh."""

    def __init__(self, platform: Platform, look: Look) -> None:
        self.platform = platform
        self.look = look
        self.seen: dict[str, Observed] = {}
        self.probed: set[str] = set()
        self.listed: set[str] = set()
        """Ids that carry our marker: what `Bookmark.count` counts."""
        self.trusted: set[str] = set()
        """Recorded ids that the bookmark speaks for."""
        self.since: Bookmark | None = None
        self.began = time.time()
        self.began_clock = time.monotonic()

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
            observation = Observation.of(self.seen.values(), trusted=frozenset(self.trusted), how=self.how())
        seen = replace(self.look.sides, observation=observation)
        return make_plan(seen, today=self.look.today, scope=self.look.scope, unsettled=self.look.unsettled)

    def how(self) -> str:
        if not self.look.listings:
            return "only what the changes rest on was read (`--no-refresh`)"
        if self.since is not None:
            return f"what changed since the last refresh: {len(self.seen)} batches read, {len(self.trusted)} unchanged"
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

    @property
    def marker(self) -> dict[str, str]:
        """The tags that all our batches carry."""
        who = self.look.sides.identity
        return {PROJECT_TAG: who.project, ENVIRONMENT_TAG: who.environment}

    async def _list(self, dataset: str) -> None:
        async for batch in self.platform.list_batches(dataset, self.marker):
            self.seen[batch.id] = batch
            self.listed.add(batch.id)

    async def read_changes(self, bookmark: Bookmark) -> None:
        """Read what was changed since, and what was set apart. Raises `_Outdated`."""
        self.since = bookmark
        recorded = self.recorded_ids
        self.listed = (recorded | bookmark.apart) - bookmark.uncounted
        known = len(self.listed)
        try:
            async for batch in self.platform.list_changes(self.marker, bookmark.since):
                self._check(batch, bookmark.since)
                self.seen[batch.id] = batch
            if not self.seen:
                self._check(await self.platform.any_change(self.marker, bookmark.newest), bookmark.newest)
            self.listed.update(self.seen)
            if not await self.platform.has_exactly(self.marker, bookmark.count + len(self.listed) - known):
                raise _Outdated  # a batch is gone, or one came meanwhile
        except Unauthorized:
            raise
        except Rejected as error:
            raise _Outdated from error
        self.trusted = recorded - self.seen.keys() - bookmark.apart
        await self._read_ids((bookmark.apart | {entry.id for entry in self.look.sides.imports}) - self.seen.keys())
        await self._look_again()
        await self._read_successors()

    @staticmethod
    def _check(batch: Observed | None, since: int) -> None:
        """Raise `_Outdated` when the answer shows that the filter was not heeded."""
        if batch is None or batch.updated is None or batch.updated < since - 1:  # 1: "after" may mean "from" as well
            raise _Outdated

    def believed(self, plan: Plan) -> set[str]:
        """Ids that the plan rests on though they were not read: of changes, conflicts, and of rivals for an address."""
        if not self.trusted:
            return set()
        ids = {i for conflict in plan.conflicts for i in conflict.ids}
        for change in plan.changes:
            ids.update(record.id for record in (change.before, change.after) if record is not None)
            ids.update((*change.withdraw, *change.predecessors))
        stems = {stem(batch.external_id) for batch in self.seen.values() if batch.external_id is not None}
        named = {name for change in plan.changes for name in change.predecessors}
        records = self.look.sides.records.items()
        ids.update(r.id for address, r in records if stem(r.external_id) in stems or address in named)
        return ids & self.trusted

    async def read_believed(self, ids: Collection[str]) -> None:
        """Read them after all. Raises `_Outdated` when one is gone, or when there are many."""
        if len(ids) > MOST_APART:
            raise _Outdated
        self.trusted.difference_update(ids)
        await self._read_ids(ids)
        if not self.seen.keys() >= set(ids):
            raise _Outdated

    def bookmark(self) -> Bookmark | None:
        """Up to where Catalog was read; None where that does not pay, or where something was not found."""
        records = self.look.sides.records.values()
        if not self.look.listings or self.look.unsettled or self._absent():
            return None
        stamps = [batch.updated for batch in self.seen.values() if batch.id in self.listed]
        if None in stamps:
            return None
        newest = max([*filter(None, stamps), self.since.newest if self.since else 0])
        as_recorded = {r.id for r in records if (b := self.seen.get(r.id)) is not None and is_as_recorded(r, b)}
        as_recorded = (as_recorded & self.listed) | self.trusted
        apart = frozenset((self.seen.keys() | self.recorded_ids) - as_recorded)
        if len(apart) > MOST_APART:
            return None
        return Bookmark(
            since=since(newest, self.platform.service_time - int((time.monotonic() - self.began_clock) * 1000)),
            newest=newest,
            count=len(self.listed),
            apart=apart,
            uncounted=apart - self.listed,
            full_at=self.since.full_at if self.since else int(self.began * 1000),
        )

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
        found = self.seen.keys() | self.trusted
        return {record.id: record.external_id for record in records if record.id not in found}

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
