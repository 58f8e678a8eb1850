"""The log of a run as values and bytes: what is about to happen, what did, what did not. It only ever grows.

Each line's `sum` continues the checksum of the line before, so a lost, doubled or swapped line is noticed. A
torn last line is what a dying machine leaves: it is cut off. Any other damage is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from reconciler.core.batch import File, OnRemove, Record, Spec, Stage
from reconciler.core.errors import StateCorrupt
from reconciler.core.states import lines
from reconciler.core.states.lines import LineError, encode
from reconciler.core.states.state import HEADER_FIELDS, header, identity_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.core.identity import Identity
    from reconciler.core.states.lines import Fields

AFTERWARDS = "the next run starts without it and finds every batch again by its external id"


@dataclass(frozen=True, slots=True)
class Intent:
    """A batch is about to be created; durable before the request leaves."""

    address: str
    generation: int
    external_id: str
    dataset: str
    on_remove: OnRemove
    spec: Spec
    deposed: tuple[str, ...]
    """What the record will carry."""
    predecessors: tuple[str, ...]
    """Ids of the batches that the new one replays."""
    at: int
    """Epoch milliseconds when it was written: only for judging Catalog's lag."""

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

    address: str
    id: str


@dataclass(frozen=True, slots=True)
class Void:
    """The intent provably did not happen."""

    address: str
    generation: int


@dataclass(frozen=True, slots=True)
class Uploading:
    """A file is about to be uploaded into the batch that stands at the address; durable before it leaves."""

    address: str
    id: str
    file: File


@dataclass(frozen=True, slots=True)
class Uploaded:
    """AEP holds the file."""

    address: str
    id: str
    file: File


@dataclass(frozen=True, slots=True)
class Staged:
    """The batch's completion has come this far: `completing` is durable before COMPLETE leaves."""

    address: str
    id: str
    stage: Stage


Step = Uploading | Uploaded | Staged
"""A step on a batch that is recorded already."""

Entry = Intent | Done | Dropped | Void | Step


@dataclass(frozen=True, slots=True)
class Header:
    """Whose journal it is, and the digest of the state that it extends."""

    identity: Identity
    extends: str


OpenIntents = dict[str, dict[int, Intent]]
"""Intents neither done nor void yet, by address and generation."""


def follow(intents: OpenIntents, entry: Entry) -> None:
    """Take one more entry into account: an intent opens; its record, a later one's or a void closes."""
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
    """Entries become lines. One per journal: it knows the checksum so far and the open intents."""

    def __init__(self, checksum: int = 0, entries: Iterable[Entry] = ()) -> None:
        self._checksum = checksum
        self._intents: OpenIntents = {}
        for entry in entries:
            follow(self._intents, entry)

    def header(self, head: Header) -> bytes:
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
    match entry:
        case Intent():
            return _intent_body(entry)
        case Done(record=record):
            intent = intents.get(record.address, {}).get(record.generation)
            if intent is None or intent.record(record.id) != record:
                return lines.record_body(record, encode(record.spec), first="done")
            address, batch = encode(record.address), encode(record.id)
            return f'{{"done": {address}, "generation": {record.generation}, "id": {batch}'
        case Dropped():
            return f'{{"dropped": {encode(entry.address)}, "id": {encode(entry.id)}'
        case Void():
            return f'{{"void": {encode(entry.address)}, "generation": {entry.generation}'
        case Uploading() | Uploaded() | Staged():
            return _step_body(entry)
        case _:
            assert_never(entry)


def _step_body(step: Step) -> str:
    at = f'{encode(step.address)}, "id": {encode(step.id)}'
    match step:
        case Uploading(file=file):
            return f'{{"uploading": {at}, "file": {encode(lines.file_json(file))}'
        case Uploaded(file=file):
            return f'{{"uploaded": {at}, "file": {encode(lines.file_json(file))}'
        case Staged(stage=stage):
            return f'{{"staged": {at}, "stage": "{stage}"'


def _intent_body(intent: Intent) -> str:
    return (
        f'{{"intent": {encode(intent.address)}, "generation": {intent.generation}, '
        f'"external_id": {encode(intent.external_id)}, "dataset": {encode(intent.dataset)}, '
        f'"on_remove": "{intent.on_remove}", "spec": {encode(intent.spec)}'
        + lines.lists_body(deposed=intent.deposed, predecessors=intent.predecessors)
        + f', "at": {intent.at}'
    )


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a journal's bytes say."""

    header: Header | None
    """None when not even the first line was written whole."""
    entries: tuple[Entry, ...]
    valid_length: int
    """Bytes up to which the journal is whole; the rest is a torn line."""
    torn: bool
    mend: bytes
    """What to write before the next line: the line break that the last whole line lacks, or nothing."""
    checksum: int

    def encoder(self) -> Encoder:
        """Return what writes on from here."""
        return Encoder(self.checksum, self.entries)


def decode(data: bytes, file: str) -> Decoded:
    """Read a journal; `file` names it in errors. Raises `StateCorrupt` or `StateFromFuture`."""
    head: Header | None = None
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
                head = _header(lines.fields_of(text), file)
            else:
                entries.append(_entry(lines.fields_of(text), intents))
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


def _header(fields: Fields, file: str) -> Header:
    identity = identity_in(fields, file)
    lines.refuse_others(fields, HEADER_FIELDS | {"extends"})
    return Header(identity, lines.text_in(fields, "extends"))


_COMPACT = {"done", "generation", "id"}
_INTENT = frozenset(
    {"intent", "generation", "external_id", "dataset", "on_remove", "spec", "deposed", "predecessors", "at"}
)


def _entry(fields: Fields, intents: OpenIntents) -> Entry:
    if "intent" in fields:
        lines.refuse_others(fields, _INTENT)
        return _intent(fields)
    if "done" in fields:
        return Done(_done(fields, intents))
    if "dropped" in fields:
        lines.refuse_others(fields, frozenset({"dropped", "id"}))
        return Dropped(lines.address_in(fields, "dropped"), lines.text_in(fields, "id"))
    step = _step(fields)
    if step is not None:
        return step
    lines.refuse_others(fields, frozenset({"void", "generation"}))
    return Void(lines.address_in(fields, "void"), lines.number_in(fields, "generation", 1))


def _step(fields: Fields) -> Step | None:
    for word, kind in (("uploading", Uploading), ("uploaded", Uploaded)):
        if word in fields:
            lines.refuse_others(fields, frozenset({word, "id", "file"}))
            file = lines.file_of(fields.get("file"))
            return kind(lines.address_in(fields, word), lines.text_in(fields, "id"), file)
    if "staged" in fields:
        lines.refuse_others(fields, frozenset({"staged", "id", "stage"}))
        return Staged(lines.address_in(fields, "staged"), lines.text_in(fields, "id"), lines.stage_in(fields))
    return None


def _intent(fields: Fields) -> Intent:
    return Intent(
        address=lines.address_in(fields, "intent"),
        generation=lines.number_in(fields, "generation", 1),
        external_id=lines.text_in(fields, "external_id"),
        dataset=lines.text_in(fields, "dataset"),
        on_remove=lines.on_remove_in(fields),
        spec=lines.spec_in(fields),
        deposed=lines.texts_in(fields, "deposed"),
        predecessors=lines.texts_in(fields, "predecessors"),
        at=lines.number_in(fields, "at", 0),
    )


def _done(fields: Fields, intents: OpenIntents) -> Record:
    if fields.keys() != _COMPACT:
        return lines.record_in({"address": fields.pop("done"), **fields})
    address, generation = lines.address_in(fields, "done"), lines.number_in(fields, "generation", 1)
    intent = intents.get(address, {}).get(generation)
    if intent is None:
        raise LineError(f"`{address}` is done, but its intent is not in the journal")
    return intent.record(lines.text_in(fields, "id"))
