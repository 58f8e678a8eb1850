"""Reads a listing page by page, several pages at a time once it turns out to be long.

Catalog gives no totals and no next links, and the batches may change meanwhile (aep-api.md §8.2): a listing ends at
the first page that is not full or that holds nothing new, and each batch is yielded once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from reconciler.ports import PAGE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

    from reconciler.core.batch import Observed
    from reconciler.platform.wire import Page


async def read_pages(
    read: Callable[[int], Coroutine[None, None, Page]], *, most_at_once: int
) -> AsyncIterator[Observed]:
    """Yield every batch once; `read` takes the zero-based offset of a page.

    Pages are requested in waves of 1, 2, 4 … up to `most_at_once`, so at most about half of the requests are not
    needed. The error of a page is raised only if that page is needed.
    """
    seen: set[str] = set()
    start, wave = 0, 1
    while True:
        end = start + wave * PAGE
        tasks = [asyncio.create_task(read(offset)) for offset in range(start, end, PAGE)]
        try:
            for task in tasks:
                page = await task
                fresh = [batch for batch in page.batches if batch.id not in seen]
                seen.update(batch.id for batch in fresh)
                for batch in fresh:
                    yield batch
                if page.size < PAGE or not fresh:
                    return
        finally:
            await _cancel(tasks)
        start, wave = end, min(wave * 2, most_at_once)


async def _cancel(tasks: Sequence[asyncio.Task[Page]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
