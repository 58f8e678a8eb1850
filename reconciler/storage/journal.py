"""The open journal of a run: entries in, durable lines out. What is ready together shares one fsync.

A failed write or fsync ends it: nothing more is taken, and the fsync is never repeated, since the system may
have dropped the data and would call a second one a success.
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
        self._waiting = bytearray()
        self._next: asyncio.Task[StoreFailed | None] | None = None
        self._groups: set[asyncio.Task[StoreFailed | None]] = set()
        self._turn = asyncio.Lock()
        self._file_in_use = threading.Lock()  # a cancelled task leaves its thread writing: nobody closes the file then

    async def append(self, *entries: Entry) -> None:
        """Return when the entries are durable; raise `StoreFailed`, now and ever after, if that fails.

        Cancelling the caller does not take the entries back.
        """
        if self._failure is not None:
            raise _again(self._failure)
        if not entries:
            return
        self._waiting += self._encoder.encode(*entries)
        if self._next is None:
            self._next = asyncio.create_task(self._write_group())
            self._groups.add(self._next)
            self._next.add_done_callback(self._groups.discard)
        failure = await asyncio.shield(self._next)
        if failure is not None:
            raise _again(failure)

    async def close(self) -> None:
        """Write what is still waiting and give the file back; the block's end calls it."""
        try:
            while self._groups:
                await asyncio.wait(self._groups)
        finally:
            with self._file_in_use:
                self._failure = self._failure or StoreFailed(
                    f"{self._doing} failed",
                    detail="the journal is closed",
                    hint="run again: what it holds is not lost",
                )
                with suppress(OSError):  # all that counts is synced
                    self._handle.close()

    async def _write_group(self) -> StoreFailed | None:
        async with self._turn:
            data, self._waiting, self._next = bytes(self._waiting), bytearray(), None
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
    return StoreFailed(failure.summary, detail=failure.detail, hint=failure.hint)
