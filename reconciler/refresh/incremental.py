"""Reads what changed since a bookmark, and whether as many batches are there as should be.

Whatever a plan then rests on is read one by one. Where an answer does not fit the bookmark, everything is to be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.errors import Rejected, Unauthorized
from reconciler.core.identity import base_of
from reconciler.core.plans.bookmark import MOST_RECHECKED
from reconciler.core.plans.observation import CatalogRead
from reconciler.refresh.full import bookmark_of
from reconciler.refresh.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Collection

    from reconciler.core.batch import Observed
    from reconciler.core.plans.bookmark import Bookmark
    from reconciler.core.plans.plan import Plan
    from reconciler.ports import Catalog
    from reconciler.refresh.reading import RefreshRequest


class Outdated(Exception):
    """Catalog is not what the bookmark says, or cannot be asked that way."""


class IncrementalReading(Reading):
    """A refresh that trusts a bookmark as far as Catalog confirms it. Its methods raise `Outdated`."""

    def __init__(self, catalog: Catalog, request: RefreshRequest, bookmark: Bookmark) -> None:
        super().__init__(catalog, request, request.inputs.records)
        self._bookmark = bookmark

    read = CatalogRead.SINCE
    """How much of Catalog is read."""

    async def run(self) -> None:
        """Read what was changed since, and what is to be read anyway."""
        bookmark, recorded = self._bookmark, self.recorded_ids
        self.marked = (recorded | bookmark.recheck) - bookmark.uncounted
        try:
            await self._read_changes(bookmark)
        except Unauthorized:
            raise
        except Rejected as error:
            raise Outdated from error
        self.trusted = recorded - self.seen.keys() - bookmark.recheck
        imports = {entry.id for entry in self.request.inputs.imports}
        await self.read_ids((bookmark.recheck | imports) - self.seen.keys())
        await self.look_for_the_rest()

    async def _read_changes(self, bookmark: Bookmark) -> None:
        marker, known = self.request.marker, len(self.marked)
        since = bookmark.since(self.request.settle)
        async for batch in self.catalog.list_changes(marker, since):
            _check(batch, since)
            self.seen[batch.id] = batch
        if not self.seen:
            _check(await self.catalog.any_change(marker, bookmark.newest), bookmark.newest)
        self.marked.update(self.seen)
        if not await self.catalog.has_exactly(marker, bookmark.count + len(self.marked) - known):
            raise Outdated  # a batch is gone, or one came meanwhile
        if not bookmark.is_young(self.catalog.service_time):
            raise Outdated

    def unread(self, plan: Plan) -> set[str]:
        """Ids that the plan rests on though they were not read: of changes, conflicts, and of rivals for an address."""
        ids = {i for conflict in plan.conflicts for i in conflict.ids}
        for change in plan.changes:
            ids.update(record.id for record in (change.before, change.after) if record is not None)
            ids.update((*change.predecessors, *(each.id for each in change.withdraw)))
        bases = {base_of(b.external_id) for b in self.seen.values() if b.external_id is not None}
        named = {name for change in plan.changes for name in change.predecessors}
        if bases or named:
            records = self.records.items()
            ids.update(r.id for address, r in records if base_of(r.external_id) in bases or address in named)
        return super().unread(plan) | ids & self.trusted

    async def read_unread(self, ids: Collection[str]) -> None:
        """Read them after all; many of them, or one that is gone, mean that the bookmark no longer fits."""
        if len(ids) > MOST_RECHECKED:
            raise Outdated
        self.trusted.difference_update(ids)
        await self.read_ids(ids)
        if not self.seen.keys() >= set(ids):
            raise Outdated

    def bookmark(self) -> Bookmark | None:
        """Up to where Catalog was read; None where something was not found."""
        if self.request.unsettled or self.absent():
            return None
        return bookmark_of(self, newest=self._bookmark.newest, full_at=self._bookmark.full_at)


def _check(batch: Observed | None, since: int) -> None:
    """Raise `Outdated` when the answer shows that the filter was not heeded."""
    if batch is None or batch.updated is None or batch.updated < since - 1:  # 1: "after" may mean "from" as well
        raise Outdated
