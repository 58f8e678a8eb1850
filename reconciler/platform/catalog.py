"""Reads AEP's Catalog: implements `ports.Catalog`.

The service's filters are never trusted: every batch is compared with what was asked for. That something does not exist
is said only if AEP says so: by a 404 of its own, or by a listing that was read to its end.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from reconciler.core.errors import NotFound, Rejected
from reconciler.platform import wire
from reconciler.platform.exchange import LARGEST_OBJECT, Call
from reconciler.platform.paging import read_pages
from reconciler.platform.problems import Operation
from reconciler.platform.urls import catalog_url, checked_id, chunks, is_plain, tag_filter
from reconciler.ports import PAGE

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
    """Catalog over HTTP. What each method promises and raises: `ports.Catalog`."""

    def __init__(self, exchange: Exchange, api_url: str, parallelism: int) -> None:
        self._exchange = exchange
        self._api_url = api_url
        self._parallelism = parallelism

    async def dataset_exists(self, dataset: str) -> bool:
        """Whether the dataset exists in this sandbox."""
        path, query = f"/dataSets/{checked_id(dataset, 'dataset')}", {"properties": "name"}
        call = self._get(f"look up dataset `{dataset}`", path, query, LARGEST_OBJECT)
        try:
            return await self._exchange.read(call, lambda answer: dataset in wire.read_objects(answer.json()))
        except NotFound:
            return False

    def list_batches(self, dataset: str, tags: Mapping[str, str]) -> AsyncIterator[Observed]:
        """The dataset's batches that carry all the tags, each once."""
        query = {"dataSet": checked_id(dataset, "dataset")}
        if wanted_tags := tag_filter(tags):
            query["tags"] = wanted_tags

        def is_wanted(batch: Observed) -> bool:
            return dataset in batch.datasets and _carries(batch, tags)

        return self._listing(f"list the batches of dataset `{dataset}`", query, is_wanted)

    def list_replays(self, dataset: str) -> AsyncIterator[Observed]:
        """The dataset's batches that replay others, whoever created them."""
        query = {"dataSet": checked_id(dataset, "dataset"), "property": "replay"}

        def is_wanted(batch: Observed) -> bool:
            return dataset in batch.datasets and bool(batch.predecessors or batch.replay_reason)

        return self._listing(f"list the replays in dataset `{dataset}`", query, is_wanted)

    def list_changes(self, tags: Mapping[str, str], since: int) -> AsyncIterator[Observed]:
        """The batches of any dataset that carry all the tags and were changed at `since` or later."""
        return self._listing("list the changed batches", _changed(tags, since), lambda batch: _carries(batch, tags))

    async def has_exactly(self, tags: Mapping[str, str], count: int) -> bool:
        """Whether exactly `count` batches of any dataset carry all the tags.

        One request: of the two places from the last one on, only the first may hold a batch.
        """
        query = {"tags": tag_filter(tags), **_page(count - 1), "limit": "2", "properties": "status"}
        call = self._get("count the batches", "/batches", query)
        try:
            return (await self._exchange.read(call, _read_page)).size == 1
        except NotFound:
            return False

    async def any_change(self, tags: Mapping[str, str], since: int) -> Observed | None:
        """One of the batches that `list_changes` lists, the newest if Catalog heeds that; None if there is none."""
        query = {**_changed(tags, since), **_page(0), "limit": "1", "orderBy": "desc:created", **PROJECTION}
        call = self._get("look for a changed batch", "/batches", query)
        try:
            page = await self._exchange.read(call, _read_page)
        except NotFound:
            return None
        return next(iter(page.batches), None)

    @property
    def service_time(self) -> int | None:
        """Epoch milliseconds that AEP's clock shows now, at least; None where AEP has not said."""
        now = self._exchange.service_time
        return None if now is None else int(now * 1000)

    async def batches_by_id(self, ids: Collection[str]) -> dict[str, Observed]:
        """The batches with these ids, by id; one that does not exist is left out."""
        wanted = sorted({checked_id(batch, "batch") for batch in ids})
        parts = chunks(wanted, catalog_url(self._api_url, "/batches/"))
        found = await _side_by_side(self._read_ids(part) for part in parts)
        return {batch.id: batch for part in found for batch in part}

    async def batches_by_external_id(self, external_ids: Collection[str]) -> list[Observed]:
        """Every batch whose external id is exactly one of these.

        Raises `Rejected` for an id that Catalog's filter cannot express: "not found" could be wrong.
        """
        wanted = sorted(set(external_ids))
        for name in wanted:
            if not is_plain(name):
                raise Rejected(
                    f"external id `{name}` cannot be looked up: Catalog reads `,`, `*`, `~` and `!` as operators",
                    hint="choose an `external_id` without them",
                )
        without_ids = {"externalId": "", **_page(10**9), **PROJECTION}
        parts = chunks(wanted, catalog_url(self._api_url, "/batches", without_ids))
        found = await _side_by_side(self._read_external_ids(part) for part in parts)
        batches = {batch.id: batch for part in found for batch in part}
        return [batches[batch] for batch in sorted(batches)]

    async def _read_ids(self, ids: Sequence[str]) -> list[Observed]:
        """Read some batches by their path. For one id, 404 means that there is no such batch.

        For several ids, 404 may mean that only one of the batches does not exist. Then they are listed by a filter,
        which leaves out the missing ones, so that the others are not taken for missing too.
        """
        what = f"read {_count(ids, 'batch', 'batches')}"
        # No `properties` here: Adobe's description of this call does not have it (aep-api.md §8.1 does, for several).
        call = self._get(what, f"/batches/{','.join(ids)}")
        try:
            page = await self._exchange.read(call, _read_page)
        except NotFound:
            if len(ids) == 1:
                return []
            wanted = frozenset(ids)
            listing = self._listing(what, {"batch": ",".join(ids)}, lambda batch: batch.id in wanted)
            return [batch async for batch in listing]
        return [batch for batch in page.batches if batch.id in ids]

    async def _read_external_ids(self, external_ids: Sequence[str]) -> list[Observed]:
        what = f"look up {_count(external_ids, 'external id', 'external ids')}"
        wanted = frozenset(external_ids)
        query = {"externalId": ",".join(external_ids)}
        return [batch async for batch in self._listing(what, query, lambda batch: batch.external_id in wanted)]

    async def _listing(
        self, what: str, query: Mapping[str, str], is_wanted: Callable[[Observed], bool]
    ) -> AsyncIterator[Observed]:
        async def read(start: int) -> Page:
            call = self._get(what, "/batches", {**query, **_page(start), **PROJECTION})
            try:
                return await self._exchange.read(call, _read_page)
            except NotFound:
                if start == 0:
                    raise
                return wire.Page(0, ())  # behind the last page a 404 says "no batches found" (aep-api.md §8.1)

        async for batch in read_pages(read, most_at_once=self._parallelism):
            if is_wanted(batch):
                yield batch

    def _get(self, what: str, path: str, query: Mapping[str, str] | None = None, max_bytes: int = LARGEST_LIST) -> Call:
        return Call(Operation(what, is_read=True), "GET", catalog_url(self._api_url, path, query), max_bytes)


def _carries(batch: Observed, tags: Mapping[str, str]) -> bool:
    return all(value in batch.tags.get(name, ()) for name, value in tags.items())


def _changed(tags: Mapping[str, str], since: int) -> dict[str, str]:
    """The filter for changes. Catalog has no `updatedAfter`, only a comparison of a property (aep-api.md §8.3)."""
    return {**({"tags": tag_filter(tags)} if tags else {}), "property": f"updated>{since - 1}"}


def _page(start: int) -> dict[str, str]:
    """The query of one page. Oldest first, so that an offset means the same batch while new ones are created."""
    return {"limit": str(PAGE), "start": str(start), "orderBy": "asc:created"}


def _read_page(answer: Answer) -> Page:
    return wire.read_page(answer.json())


def _count(names: Sequence[str], one: str, several: str) -> str:
    return f"{one} `{names[0]}`" if len(names) == 1 else f"{len(names)} {several}"


async def _side_by_side(reads: Iterable[Coroutine[None, None, list[Observed]]]) -> list[list[Observed]]:
    """Await all, side by side. A failure cancels the others and is raised as it is, in no group."""
    tasks = [asyncio.create_task(read) for read in reads]
    try:
        return [await task for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
