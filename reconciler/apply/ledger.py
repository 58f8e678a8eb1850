"""What is recorded while a run goes: an entry counts here only once it is durable in the journal."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from reconciler.core.states.journal import Done, Dropped, Intent, Staged, Uploaded, Uploading, Void
from reconciler.core.states.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.core.batch import Record
    from reconciler.core.states.journal import Entry
    from reconciler.ports import Journal

Records = dict[str, "Record"]
"""By address; changed in place, one entry at a time."""


class Ledger:
    """The journal of a run and the records that follow from it."""

    def __init__(self, journal: Journal, records: Records) -> None:
        self.records = records
        self._journal = journal
        self._progress: dict[str, Progress] = {}
        """By address: batches that are being filled."""
        self._taken: set[str] = set()
        """Ids that this run, or a record of before, has a batch under."""

    def take(self, batch: str) -> bool:
        """Whether the id is a new one; from now on it is not. No two creates can come to the same batch."""
        if not self._taken:
            for record in self.records.values():
                self._taken.update((record.id, *record.deposed, *record.rivals))
        is_new = batch not in self._taken
        self._taken.add(batch)
        return is_new

    async def write(self, *entries: Entry) -> None:
        """Make the entries durable, then true. Raises `StoreFailed`.

        One that is cancelled in between holds all the same: its entries are facts, and are still written.
        """
        try:
            await self._journal.append(*entries)
        except asyncio.CancelledError:
            self._take(entries)
            raise
        self._take(entries)

    def snapshot(self) -> Records:
        """The records as they are now, with the steps on batches that are being filled."""
        return self.records | {address: progress.record() for address, progress in self._progress.items()}

    def _take(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if isinstance(entry, Uploading | Uploaded | Staged):
                self._progress[entry.address].take(entry)
            else:
                record_entry(self.records, entry)

    def progress(self, record: Record) -> Progress:
        """Follow the steps on a batch from now on; `close` makes a record of them."""
        progress = self._progress[record.address] = Progress(record)
        return progress

    def close(self, address: str) -> Record:
        """End what `progress` began: the record as it is now."""
        record = self.records[address] = self._progress.pop(address).record()
        return record


def record_entry(records: Records, entry: Entry) -> None:
    """Take an entry about a whole record into account."""
    match entry:
        case Done(record=record):
            records[record.address] = record
        case Dropped(address=address):
            records.pop(address, None)
        case Intent() | Void() | Uploading() | Uploaded() | Staged():
            pass


def record_entries(records: Records, entries: Iterable[Entry]) -> None:
    """Take entries into account that are not written to a journal: those of a run that only plans."""
    for entry in entries:
        record_entry(records, entry)
