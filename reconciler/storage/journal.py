"""The open journal of a run: entries in, durable lines out. Entries that are ready together share one fsync.

After a failed write or fsync it takes no more entries, and the fsync is never repeated: the system may have dropped the
data, and a second fsync would still report success.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.core.errors import StoreFailed
from reconciler.storage.disk import store_failed

if TYPE_CHECKING:
    from reconciler.core.states.journal import Encoder, Entry
    from reconciler.storage.disk import Handle


class JournalWriter:
    """Appends to one open file, in order. It is used inside one event loop and closed once."""

    def __init__(self, handle: Handle, encoder: Encoder, doing: str) -> None:
        self._handle = handle
        self._encoder = encoder
        self._doing = doing
        self._failure: StoreFailed | None = None
        self._pending = bytearray()
        self._next_write: asyncio.Task[StoreFailed | None] | None = None
        self._writes: set[asyncio.Task[StoreFailed | None]] = set()
        self._one_at_a_time = asyncio.Lock()
        self._file_in_use = threading.Lock()  # a cancelled task's thread writes on: the file must not be closed then

    async def append(self, *entries: Entry) -> None:
        """Return when the entries are durable. Raises `StoreFailed`, and after that in every further call.

        If the caller is cancelled, the entries are still written.
        """
        if self._failure is not None:
            raise _again(self._failure)
        if not entries:
            return
        self._pending += self._encoder.encode(*entries)
        if self._next_write is None:
            self._next_write = asyncio.create_task(self._write_pending())
            self._writes.add(self._next_write)
            self._next_write.add_done_callback(self._writes.discard)
        failure = await asyncio.shield(self._next_write)
        if failure is not None:
            raise _again(failure)

    async def close(self) -> None:
        """Write what is still waiting and close the file; the end of `Store.open_journal` calls it."""
        try:
            while self._writes:
                await asyncio.wait(self._writes)
        finally:
            with self._file_in_use:
                self._failure = self._failure or StoreFailed(
                    f"{self._doing} failed",
                    detail="the journal is closed",
                    hint="run again: what it holds is not lost",
                )
                with suppress(OSError):  # every accepted entry is synced already
                    self._handle.close()

    async def _write_pending(self) -> StoreFailed | None:
        async with self._one_at_a_time:
            data, self._pending, self._next_write = bytes(self._pending), bytearray(), None
            return await asyncio.to_thread(self._write, data)

    def _write(self, data: bytes) -> StoreFailed | None:
        with self._file_in_use:
            if self._failure is None:
                try:
                    self._handle.write(data)
                    self._handle.sync()
                except OSError as error:
                    self._failure = store_failed(error, self._doing)
            return self._failure


def _again(failure: StoreFailed) -> StoreFailed:
    """A copy to raise: one exception object raised in several tasks would mix their tracebacks."""
    return StoreFailed(failure.summary, detail=failure.detail, hint=failure.hint)
