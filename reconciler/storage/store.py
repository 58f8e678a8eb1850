"""The state directory: load, append, commit. It never guesses, and what it has confirmed is never lost.

Files, for `state/prod.jsonl`: the state itself; `prod.journal`; `prod.journal.damaged-1` …, set aside;
`.prod.jsonl.tmp`, only during a commit. A caller that writes must hold the lock (`lock.hold`).

Safety comes from the order of effects. A commit writes the new state beside the old one and syncs it, renames it over
the old one, syncs the folder, and only then clears the journal. A crash at any point leaves the old or the new state
whole and the journal in place. Replaying a journal on a state that already contains it changes nothing.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from reconciler.core.errors import SettingsInvalid, StateCorrupt, StateError, StateMismatch
from reconciler.core.states.journal import Decoded, Encoder, JournalHeader, decode
from reconciler.core.states.replay import open_intents, replay
from reconciler.core.states.state import State, check_identity, digest, dump, parse
from reconciler.files.inside import PRIVATE
from reconciler.storage.disk import RealDisk, store_failed
from reconciler.storage.journal import JournalWriter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from reconciler.core.identity import Identity
    from reconciler.core.states.journal import Intent
    from reconciler.core.states.replay import Replayed
    from reconciler.storage.disk import Disk, Handle

_RESERVED_SUFFIXES = frozenset({".journal", ".lock", ".tmp", ".fingerprints", ".bookmark", ".emulator"})
"""The suffixes of the files beside a state."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the state directory holds."""

    state: State
    """The state file with the journal replayed on it."""
    open_intents: tuple[Intent, ...]
    """Creates that an earlier run left undecided, sorted by address and generation."""
    journal_entries: int
    text_digest: str
    """The digest of the state file's bytes; of no bytes if there is no file."""

    @classmethod
    def empty(cls, identity: Identity) -> Loaded:
        """What a missing state directory holds."""
        return cls(State(identity), (), 0, digest(b""))


class Store:
    """One environment's state file and its journal."""

    def __init__(
        self,
        path: Path,
        identity: Identity,
        disk: Disk | None = None,
    ) -> None:
        if path.suffix in _RESERVED_SUFFIXES:
            raise SettingsInvalid(
                f"a state file cannot end in `{path.suffix}`: `{path}`",
                hint="name it `state/ENVIRONMENT.jsonl`",
            )
        self.path = path
        self.journal = path.with_suffix(".journal")
        self.lock_path = path.with_suffix(".lock")
        self.identity = identity
        self._disk = disk or RealDisk()
        self._is_journal_open = False

    def load(self) -> Loaded:
        """Read the state and replay the journal on it; a missing state file is an empty state.

        A damaged journal is set aside. Raises `StateCorrupt`, `StateFromFuture`, `StateMismatch` or `StoreFailed`.
        """
        with translated(f"reading `{self.path}`"):
            log = self._disk.read(self.journal)  # first: a commit between both reads then does no harm
            data = self._disk.read(self.path)
        state = State(self.identity) if data is None else parse(data, self.identity, str(self.path))
        decoded = self._decode(log)
        text_digest = digest(data or b"")
        replayed = self._replay(state, decoded, text_digest)
        return Loaded(
            state=replayed.state,
            open_intents=replayed.open_intents,
            journal_entries=len(decoded.entries),
            text_digest=text_digest,
        )

    @asynccontextmanager
    async def open_journal(self) -> AsyncIterator[JournalWriter]:
        """Append to the journal inside the block.

        Its header is durable on entry: a full or read-only disk is noticed before the first request is sent. On exit
        everything appended is written, even if the block is cancelled. Raises `StoreFailed`, `StateCorrupt` or
        `StateMismatch`.
        """
        if self._is_journal_open:
            raise RuntimeError("the journal is open already")
        handle, encoder = self._begin()
        self._is_journal_open = True
        writer = JournalWriter(handle, encoder, f"writing `{self.journal}`")
        try:
            yield writer
        finally:
            self._is_journal_open = False
            await writer.close()

    def commit(self, state: State, *, is_readable: bool = True) -> str:
        """Write the state, and remove from the journal all but the intents that the state leaves open.

        `is_readable` says that this run has read the state file that is there.
        Returns the digest of the state file. Raises `StoreFailed`: then the old or the new state is in place, whole,
        and the journal still holds everything.
        """
        if self._is_journal_open:
            raise RuntimeError("close the journal before the commit")
        text_digest = self._replace_state(state, is_readable=is_readable)
        with translated(f"clearing `{self.journal}` (the state itself is written)"):
            self._clear_journal(state, text_digest)
        return text_digest

    def checkpoint(self, state: State) -> None:
        """Write the state while the journal is open; the journal stays as it is.

        Its entries may be in that state already: they are facts, and folding one twice is harmless. Raises
        `StoreFailed`.
        """
        self._replace_state(state, is_readable=True)

    def _replace_state(self, state: State, *, is_readable: bool) -> str:
        check_identity(state.identity, self.identity, str(self.path))
        data = dump(state)
        with translated(f"writing `{self.path}`"):
            current = self._disk.read(self.path)
            if data == current or (current is None and not state.records):
                return digest(current or b"")
            self._check_readable(data, current if is_readable and current is not None else b"")
            status = self._disk.status(self.path)
            write_whole(self._disk, self.path, data, status.mode if status else None)
        return digest(data)

    def _check_readable(self, data: bytes, current: bytes) -> None:
        """Raise `StateMismatch` if the next run would refuse the new state, whatever the cause.

        Only the lines that are not in the current file are parsed: the others were read by this run.
        """
        try:
            known = set(current.splitlines(keepends=True))
            first, *records, end = data.splitlines(keepends=True)
            news = b"".join([line for line in records if line not in known])
            parse(first + news + end, self.identity, str(self.path))
        except StateError as error:
            raise StateMismatch(
                "the new state could not be read back and is not written",
                detail=error.summary,
                hint="this is a mistake in reconciler, please report it; the journal keeps what was done",
            ) from error

    def _begin(self) -> tuple[Handle, Encoder]:
        with translated(f"opening `{self.journal}`"):
            self._disk.make_folder(self.path.parent)
            for target in (self.path, self.journal):  # what would stop the commit later is noticed now
                self._disk.remove(_temp(target))
            decoded = self._decode(self._disk.read(self.journal))
            if decoded.entries:
                encoder, first = decoded.encoder(), decoded.mend
                if decoded.torn:
                    self._disk.truncate(self.journal, decoded.valid_length)
            else:
                encoder = Encoder()
                first = encoder.header(JournalHeader(self.identity, digest(self._disk.read(self.path) or b"")))
            handle = self._disk.open(self.journal, fresh=not decoded.entries, mode=PRIVATE)
            try:
                handle.write(first)
                handle.sync()
                self._disk.sync_folder(self.path.parent)
            except OSError:
                handle.close()
                raise
        return handle, encoder

    def _decode(self, log: bytes | None) -> Decoded:
        try:
            decoded = decode(log or b"", str(self.journal))
        except StateCorrupt as error:
            aside = self._set_aside()
            raise StateCorrupt(
                f"the journal is damaged and was set aside as `{aside}`",
                detail=error.summary,
                hint="run again: the next run goes on from the state file, and finds batches that only the "
                "journal knew by their external id and adopts them; keep the copy until then",
            ) from error
        if decoded.header is not None:
            check_identity(decoded.header.identity, self.identity, str(self.journal))
        return decoded

    def _set_aside(self) -> Path:
        with translated(f"setting the damaged `{self.journal}` aside"):
            names = (self.journal.with_name(f"{self.journal.name}.damaged-{number}") for number in count(1))
            aside = next(name for name in names if self._disk.status(name) is None)
            self._disk.replace(self.journal, aside)
            self._disk.sync_folder(self.path.parent)
        return aside

    def _replay(self, state: State, decoded: Decoded, text_digest: str) -> Replayed:
        try:
            return replay(state, decoded.entries)
        except StateCorrupt as error:
            stale = decoded.header is not None and decoded.header.extends != text_digest
            detail = f"{error.detail}\nthe journal was begun on another version of the state" if stale else error.detail
            summary = f"`{self.journal}` contradicts `{self.path}`"
            raise StateCorrupt(summary, detail=detail, hint=error.hint) from error

    def _clear_journal(self, state: State, text_digest: str) -> None:
        log = self._disk.read(self.journal)
        if log is None:
            return
        undecided = open_intents(state, self._decode(log).entries)
        if undecided:
            encoder = Encoder()
            data = encoder.header(JournalHeader(self.identity, text_digest)) + encoder.encode(*undecided)
            write_whole(self._disk, self.journal, data, PRIVATE)
        else:
            self._disk.remove(self.journal)
            self._disk.sync_folder(self.path.parent)


def write_whole(disk: Disk, target: Path, data: bytes, mode: int | None) -> None:
    """Put new bytes in a file's place, durably and in one step. Raises `OSError`: then it is as it was, or new."""
    temp = _temp(target)
    disk.make_folder(target.parent)
    disk.remove(temp)  # left by a killed run, or a link that somebody committed
    try:
        handle = disk.open(temp, fresh=True, mode=mode)
        try:
            handle.write(data)
            handle.sync()
        finally:
            handle.close()
        disk.replace(temp, target)
    except OSError:
        with suppress(OSError):
            disk.remove(temp)
        raise
    disk.sync_folder(target.parent)


def _temp(target: Path) -> Path:
    """Where a file is written before the rename. One fixed name is enough: only the holder of the lock writes."""
    return target.with_name(f".{target.name}.tmp")


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn an `OSError` inside the block into `StoreFailed`."""
    try:
        yield
    except OSError as error:
        raise store_failed(error, doing) from error
