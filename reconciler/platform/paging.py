"""Reads a listing page by page, several at a time once it proves long. Knows nothing of what the pages hold.

There are no totals and no next links, and the set may change meanwhile (aep-api.md §8.2): a listing ends at the
first page that is short or that brings nothing new, and each batch comes out once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from reconciler.core.batch import Observed

Page = tuple[int, "Sequence[Observed]"]
"""How many entries the service sent, and those of them that are wanted and readable."""


async def read_pages(
    read: Callable[[int], Awaitable[tuple[int, Sequence[Observed]]]], *, page: int, most_at_once: int
) -> AsyncIterator[Observed]:
    """Yield every batch once; `read` takes the zero-based offset of a page.

    Pages are asked for in waves of 1, 2, 4 … at most `most_at_once`: at most half of the requests are in vain, and a
    failure counts only if its page turns out to be needed.
    """
    seen: set[str] = set()
    start, wave = 0, 1
    while True:
        offsets = range(start, start + wave * page, page)
        tasks = [asyncio.ensure_future(read(offset)) for offset in offsets]
        try:
            for task in tasks:
                size, batches = await task
                fresh = [batch for batch in batches if batch.id not in seen]
                seen.update(batch.id for batch in fresh)
                for batch in fresh:
                    yield batch
                if size < page or (batches and not fresh):
                    return
        finally:
            await _drop(tasks)
        start, wave = offsets.stop, min(wave * 2, most_at_once)


async def _drop(tasks: Sequence[asyncio.Future[tuple[int, Sequence[Observed]]]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
