"""AEP's Catalog as `ports.Catalog` asks for it: reads only.

Filters of the service are never trusted: whatever comes back is compared with what was asked for. Absence is claimed
only where AEP says it: a 404 of its own, or a listing that was read to its end.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from reconciler.core.errors import NotFound, Rejected
from reconciler.platform import wire
from reconciler.platform.exchange import LARGEST_OBJECT, Call
from reconciler.platform.paging import read_pages
from reconciler.platform.problems import Asked
from reconciler.platform.urls import PAGE, catalog_url, checked_id, chunks, is_plain, tag_filter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Mapping, Sequence

    from reconciler.core.batch import Observed
    from reconciler.platform.answer import Answer
    from reconciler.platform.exchange import Exchange
    from reconciler.platform.wire import Page

LARGEST_LIST = 32 * 1024 * 1024
"""Bytes."""
PROJECTION = {"properties": ",".join(wire.PROPERTIES)}


class AepCatalog:
    """Catalog over HTTP: implements `ports.Catalog`."""

    def __init__(self, exchange: Exchange, api_url: str, parallelism: int) -> None:
        self._exchange = exchange
        self._api_url = api_url
        self._parallelism = parallelism

    async def dataset_exists(self, dataset: str) -> bool:
        """Whether the dataset is there (in this sandbox)."""
        asked = Asked(f"look up dataset `{checked_id(dataset, 'dataset')}`", is_read=True)
        call = Call(asked, "GET", self._catalog(f"/dataSets/{dataset}", {"properties": "name"}), LARGEST_OBJECT)
        try:
            return await self._exchange.read(call, lambda answer: dataset in wire.read_objects(answer.json()))
        except NotFound:
            return False

    def list_batches(self, dataset: str, tags: Mapping[str, str]) -> AsyncIterator[Observed]:
        """The dataset's batches that carry all the tags, in pages, each batch once."""
        query = {"dataSet": checked_id(dataset, "dataset")}
        if spelled := tag_filter(tags):
            query["tags"] = spelled

        def is_wanted(batch: Observed) -> bool:
            carried = batch.tags
            return dataset in batch.datasets and all(tags[name] in carried.get(name, ()) for name in tags)

        return self._listing(f"list the batches of dataset `{dataset}`", query, is_wanted)

    def list_replays(self, dataset: str) -> AsyncIterator[Observed]:
        """The dataset's batches that replay others, whoever made them."""
        query = {"dataSet": checked_id(dataset, "dataset"), "property": "replay"}

        def is_wanted(batch: Observed) -> bool:
            return dataset in batch.datasets and bool(batch.predecessors or batch.replay_reason)

        return self._listing(f"list the replays in dataset `{dataset}`", query, is_wanted)

    def list_changes(self, tags: Mapping[str, str], since: int) -> AsyncIterator[Observed]:
        """The batches of any dataset that carry all the tags and were changed at `since` or later."""
        query = _changed(tags, since)

        def is_wanted(batch: Observed) -> bool:
            return all(tags[name] in batch.tags.get(name, ()) for name in tags)

        return self._listing("list the changed batches", query, is_wanted)

    async def has_exactly(self, tags: Mapping[str, str], count: int) -> bool:
        """Whether so many batches of any dataset carry all the tags: one is there at the last place, none behind it."""
        asked = Asked("count the batches", is_read=True)
        page = {**_page(count - 1), "limit": "2"}
        query = {"tags": tag_filter(tags), **page, "properties": "status"}
        call = Call(asked, "GET", self._catalog("/batches", query), LARGEST_LIST)
        try:
            return (await self._exchange.read(call, _read_page)).size == 1
        except NotFound:
            return False

    async def any_change(self, tags: Mapping[str, str], since: int) -> Observed | None:
        """One of the batches that `list_changes` lists, None if there is none."""
        asked = Asked("look for a changed batch", is_read=True)
        query = {**_changed(tags, since), **_page(0), "limit": "1", **PROJECTION}
        try:
            page = await self._exchange.read(
                Call(asked, "GET", self._catalog("/batches", query), LARGEST_LIST), _read_page
            )
        except NotFound:
            return None
        return next(iter(page.batches), None)

    @property
    def service_time(self) -> int:
        """Epoch milliseconds that AEP's clock shows now, at least; this machine's where AEP does not say."""
        return int(self._exchange.service_time * 1000)

    async def batches_by_id(self, ids: Collection[str]) -> dict[str, Observed]:
        """Those of the ids that exist, by id."""
        wanted = sorted({checked_id(batch, "batch") for batch in ids})
        parts = chunks(wanted, self._catalog("/batches/"))
        found = await _side_by_side(self._read_ids(part) for part in parts)
        return {batch.id: batch for part in found for batch in part}

    async def batches_by_external_id(self, external_ids: Collection[str]) -> list[Observed]:
        """Every batch that carries exactly one of the external ids.

        Raises `Rejected` for one that Catalog's filter cannot spell: not found would be a lie.
        """
        wanted = sorted(set(external_ids))
        for name in wanted:
            if not is_plain(name):
                raise Rejected(
                    f"external id `{name}` cannot be looked up: Catalog reads `,`, `*`, `~` and `!` as operators",
                    hint="choose an `external_id` without them",
                )
        parts = chunks(wanted, self._catalog("/batches", {"externalId": "", **_page(10**9), **PROJECTION}))
        found = await _side_by_side(self._read_external_ids(part) for part in parts)
        batches = {batch.id: batch for part in found for batch in part}
        return [batches[batch] for batch in sorted(batches)]

    async def _read_ids(self, ids: Sequence[str]) -> list[Observed]:
        """Read some batches by their path. For one, 404 means that it is not there.

        For several, it may mean that one of them is not: then they are asked for by a filter, which leaves out what
        is missing, so that the others are not taken for missing too.
        """
        asked = Asked(f"read {_count(ids, 'batch', 'batches')}", is_read=True)
        # No `properties` here: Adobe's description of this call does not have it (aep-api.md §8.1 does, for several).
        call = Call(asked, "GET", self._catalog(f"/batches/{','.join(ids)}"), LARGEST_LIST)
        try:
            page = await self._exchange.read(call, _read_page)
        except NotFound:
            if len(ids) == 1:
                return []
            wanted = frozenset(ids)
            return [
                batch
                async for batch in self._listing(asked.what, {"batch": ",".join(ids)}, lambda each: each.id in wanted)
            ]
        return [batch for batch in page.batches if batch.id in ids]

    async def _read_external_ids(self, external_ids: Sequence[str]) -> list[Observed]:
        what = f"look up {_count(external_ids, 'external id', 'external ids')}"
        query, wanted = {"externalId": ",".join(external_ids)}, frozenset(external_ids)
        return [batch async for batch in self._listing(what, query, lambda batch: batch.external_id in wanted)]

    async def _listing(
        self, what: str, query: Mapping[str, str], is_wanted: Callable[[Observed], bool]
    ) -> AsyncIterator[Observed]:
        asked = Asked(what, is_read=True)

        async def read(start: int) -> Page:
            call = Call(asked, "GET", self._catalog("/batches", {**query, **_page(start), **PROJECTION}), LARGEST_LIST)
            try:
                return await self._exchange.read(call, _read_page)
            except NotFound:
                if start == 0:
                    raise
                return wire.Page(0, ())  # "no batches found" (aep-api.md §8.1) behind the last page is its end

        async for batch in read_pages(read, most_at_once=self._parallelism):
            if is_wanted(batch):
                yield batch

    def _catalog(self, path: str, query: Mapping[str, str] | None = None) -> str:
        return catalog_url(self._api_url, path, query)


def _changed(tags: Mapping[str, str], since: int) -> dict[str, str]:
    """The filter for changes: Catalog has no `updatedAfter`, only a comparison of the property (aep-api.md §8.3)."""
    return {"tags": tag_filter(tags), "property": f"updated>{since - 1}"}


def _page(start: int) -> dict[str, str]:
    """The order keeps an offset meaning the same batch while new ones are added."""
    return {"limit": str(PAGE), "start": str(start), "orderBy": "asc:created"}


def _read_page(answer: Answer) -> Page:
    return wire.read_page(answer.json())


def _count(names: Sequence[str], one: str, several: str) -> str:
    return f"{one} `{names[0]}`" if len(names) == 1 else f"{len(names)} {several}"


async def _side_by_side(reads: Iterable[Coroutine[None, None, list[Observed]]]) -> list[list[Observed]]:
    """Await all; the first failure cancels the others and is raised as it is."""
    tasks = [asyncio.create_task(read) for read in reads]
    try:
        return [await task for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
