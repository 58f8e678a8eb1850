"""The log of a run as values and bytes: what is about to happen, what did, what did not. A run only appends to it.

Each line's `sum` continues the checksum of the line before, so a lost, doubled or swapped line is noticed. A
torn last line is what a dying machine leaves: it is cut off. Any other damage is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, assert_never

from pydantic import Field

from reconciler.core.batch import (
    Address,
    Completion,
    Generation,
    Ids,
    OneFile,
    Record,
    Removal,
    Spec,
    Text,
)
from reconciler.core.errors import StateCorrupt
from reconciler.core.states import lines, state
from reconciler.core.states.lines import SPEC_MARK, LineError
from reconciler.core.states.state import check_format, header

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reconciler.core.identity import Identity

AFTERWARDS = "the next run starts without it and finds every batch again by its external id"


@dataclass(frozen=True, slots=True)
class Intent:
    """A batch is about to be created; durable before the request leaves."""

    address: Annotated[Address, Field(alias="intent")]
    generation: Generation
    external_id: Text
    dataset: Text
    on_remove: Removal
    spec: Annotated[Spec, Field(description="an object")]
    deposed: Ids = ()
    """What the record will carry."""
    predecessors: Ids = ()
    """Ids of the batches that the new one replays."""
    in_doubt: Annotated[int, Field(ge=0, description="a whole number of at least 0")] = 0
    """How many requests for this batch got no verdict while their run lived: each of them may have made one."""
    at: Annotated[int, Field(ge=0, description="a whole number of at least 0")] = field(kw_only=True)
    """Epoch milliseconds by AEP's clock when it was written, 0 where AEP did not say: only for judging its lag."""

    @classmethod
    def of(cls, record: Record, *, predecessors: tuple[str, ...] = (), in_doubt: int = 0, at: int) -> Intent:
        """Return the intent to create the batch of a record."""
        return cls(
            address=record.address,
            generation=record.generation,
            external_id=record.external_id,
            dataset=record.dataset,
            on_remove=record.on_remove,
            spec=record.spec,
            deposed=record.deposed,
            predecessors=predecessors,
            in_doubt=in_doubt,
            at=at,
        )

    def record(self, batch: str) -> Record:
        """Return the record of the batch that came of it."""
        return Record(
            address=self.address,
            id=batch,
            dataset=self.dataset,
            external_id=self.external_id,
            generation=self.generation,
            on_remove=self.on_remove,
            spec=self.spec,
            deposed=self.deposed,
        )


@dataclass(frozen=True, slots=True)
class Done:
    """The record of its address is now this: after a create, adopt, import, update, move or replacement."""

    record: Record


@dataclass(frozen=True, slots=True)
class Dropped:
    """The batch no longer stands at the address: forgotten, deleted, or moved away."""

    address: Annotated[Address, Field(alias="dropped")]
    id: Text


@dataclass(frozen=True, slots=True)
class Void:
    """The intent provably did not happen."""

    address: Annotated[Address, Field(alias="void")]
    generation: Generation


@dataclass(frozen=True, slots=True)
class Uploading:
    """A file is about to be uploaded into the batch that stands at the address; durable before it leaves."""

    address: Annotated[Address, Field(alias="uploading")]
    id: Text
    file: OneFile


@dataclass(frozen=True, slots=True)
class Uploaded:
    """AEP holds the file."""

    address: Annotated[Address, Field(alias="uploaded")]
    id: Text
    file: OneFile


@dataclass(frozen=True, slots=True)
class Staged:
    """The batch's completion has come this far: `completing` is durable before COMPLETE leaves."""

    address: Annotated[Address, Field(alias="staged")]
    id: Text
    stage: Completion


Step = Uploading | Uploaded | Staged
"""A step on a batch that is recorded already."""

Entry = Intent | Done | Dropped | Void | Step


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a line says of a create whose intent is in the journal: the rest of the record stands there."""

    address: Annotated[Address, Field(alias="done")]
    generation: Generation
    id: Text


@dataclass(frozen=True, slots=True)
class JournalHeader:
    """Whose journal it is, and the digest of the state that it extends."""

    identity: Identity
    extends: str


OpenIntents = dict[str, dict[int, Intent]]
"""Intents neither done nor void yet, by address and generation."""


def follow(intents: OpenIntents, entry: Entry) -> None:
    """Take one more entry into account: an intent opens, its record (or a later one) or a void closes it."""
    match entry:
        case Intent(address=address, generation=generation):
            intents.setdefault(address, {})[generation] = entry
        case Done(record=record):
            here = intents.pop(record.address, {})
            later = {generation: intent for generation, intent in here.items() if generation > record.generation}
            if later:
                intents[record.address] = later
        case Void(address=address, generation=generation):
            intents.get(address, {}).pop(generation, None)
        case Dropped() | Uploading() | Uploaded() | Staged():
            pass
        case _:
            assert_never(entry)


class Encoder:
    """Makes lines of the entries of one journal: it knows the checksum so far and the open intents."""

    def __init__(self, checksum: int = 0, entries: Iterable[Entry] = ()) -> None:
        self._checksum = checksum
        self._intents: OpenIntents = {}
        for entry in entries:
            follow(self._intents, entry)

    def header(self, head: JournalHeader) -> bytes:
        """Return the journal's first line."""
        return self._seal(header(head.identity, extends=head.extends).removesuffix("}"))

    def encode(self, *entries: Entry) -> bytes:
        """Return the lines of the entries, in order."""
        return b"".join([self._line(entry) for entry in entries])

    def _line(self, entry: Entry) -> bytes:
        line = self._seal(_body(entry, self._intents))
        follow(self._intents, entry)
        return line

    def _seal(self, body: str) -> bytes:
        line, self._checksum = lines.seal(body, self._checksum)
        return line.encode() + b"\n"


def _body(entry: Entry, intents: OpenIntents) -> str:
    """The entry as an object without its closing brace."""
    if not isinstance(entry, Done):
        return lines.body_of(entry)
    record = entry.record
    intent = intents.get(record.address, {}).get(record.generation)
    if intent is not None and intent.record(record.id) == record:
        return lines.body_of(_Outcome(record.address, record.generation, record.id))
    return lines.body_of(record).replace(_ADDRESS, _DONE, 1)


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a journal's bytes say."""

    header: JournalHeader | None
    """None when not even the first line was written whole."""
    entries: tuple[Entry, ...]
    valid_length: int
    """Bytes up to which the journal is whole; the rest is a torn line."""
    torn: bool
    mend: bytes
    """What to write before the next line: a line break where the last whole line has none, else nothing."""
    checksum: int

    def encoder(self) -> Encoder:
        """Return what writes on from here."""
        return Encoder(self.checksum, self.entries)


def decode(data: bytes, file: str) -> Decoded:
    """Read a journal; `file` names it in errors. Raises `StateCorrupt` or `StateFromFuture`."""
    head: JournalHeader | None = None
    entries: list[Entry] = []
    intents: OpenIntents = {}
    checksum, length = 0, 0
    *whole, tail = data.split(b"\n")
    for number, row in enumerate([*whole, tail] if tail else whole, start=1):
        is_tail = number > len(whole)
        try:
            text, checksum = _unsealed(row, checksum)
        except LineError as error:
            if is_tail:
                return Decoded(head, tuple(entries), length, torn=True, mend=b"", checksum=checksum)
            raise _corrupt(file, number, error) from error
        try:
            if head is None:
                head = _header(text, file)
            else:
                entries.append(_entry(text, intents))
                follow(intents, entries[-1])
        except LineError as error:
            raise _corrupt(file, number, error) from error
        length += len(row) + (not is_tail)
    return Decoded(head, tuple(entries), length, torn=False, mend=b"\n" if tail else b"", checksum=checksum)


def _corrupt(file: str, number: int, error: LineError) -> StateCorrupt:
    return StateCorrupt(f"`{file}`, line {number}: {error}", hint=AFTERWARDS)


def _unsealed(row: bytes, checksum: int) -> tuple[str, int]:
    try:
        text, now = lines.unseal(row.decode("ascii"), checksum)
    except UnicodeDecodeError as error:
        raise LineError("it is not ASCII text") from error
    if now is None:
        raise LineError("it has no `sum`")
    return text, now


@dataclass(frozen=True, slots=True)
class _FirstLine(state.StateHeader):
    extends: Text


def _header(text: str, file: str) -> JournalHeader:
    check_format(lines.refuse_doubled_keys(text), file)
    first = lines.read(_FirstLine, text)
    return JournalHeader(first.identity, first.extends)


ENTRIES: Mapping[str, type[Intent | Dropped | Void | Step]] = {
    "intent": Intent,
    "dropped": Dropped,
    "void": Void,
    "uploading": Uploading,
    "uploaded": Uploaded,
    "staged": Staged,
}
"""The entries by the word that their line begins with; `done` has two forms."""

_DONE, _ADDRESS = '{"done": ', '{"address": '
"""How a whole record begins in a journal and in a state file."""


def _entry(text: str, intents: OpenIntents) -> Entry:
    word = text[2 : text.find('"', 2)]
    if word == "done":
        return Done(_done(text, intents))
    kind = ENTRIES.get(word)
    if kind is None:
        lines.refuse_doubled_keys(text)
        raise LineError(f"unknown field `{word}`, perhaps of a newer reconciler")
    return lines.read_line(kind, text)


def _done(text: str, intents: OpenIntents) -> Record:
    if SPEC_MARK in text:
        return lines.read_line(Record, text.replace(_DONE, _ADDRESS, 1))
    outcome = lines.read_line(_Outcome, text)
    intent = intents.get(outcome.address, {}).get(outcome.generation)
    if intent is None:
        raise LineError(f"`{outcome.address}` is done, but its intent is not in the journal")
    return intent.record(outcome.id)
