"""What is recorded, and the bytes of the state file: one line per batch, the same bytes for the same facts.

The format is design §6. Nothing here repairs a file: one that is not whole, not ours, or says a thing twice is refused,
with its line and with what to do next.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from reconciler.core.batch import Record, Text
from reconciler.core.data_files import LFS_POINTER
from reconciler.core.errors import StateCorrupt, StateFromFuture, StateMismatch
from reconciler.core.identity import Identity
from reconciler.core.states import lines
from reconciler.core.states.lines import LineError, SumError, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from reconciler.core.batch import Spec

FORMAT = 2
"""The newest version of both formats, state and journal. A file has the lowest that can say what it says: 2 has
`kept_tags`."""

END = '{"end": true}'

ROWS_AT_ONCE = 64
"""Lines that are read together."""

RESTORE = "restore the file from Git, or make it anew from Catalog with `reconciler state rebuild`"
"""What to do about a damaged state file."""

_WRITTEN = re.compile(
    r'(\{"address": "[^"\\]*", "id": "[^"\\]*", "dataset": "[^"\\]*", "external_id": "[^"\\]*", "generation": [0-9]+, '
    r'"on_remove": "[a-z]+", "spec": )(\{(?:[^}]*\})+?)'
    r'((?:, "files": \[[^{}:]*\])?(?:, "begun": \[[^{}:]*\])?(?:, "stage": "[a-z]+")?\})'
)
"""A line as `dump` mostly writes it: what stands before its spec, the spec, and what stands behind it. No key can hide
there: not in a text without a quotation mark, and not in a list without a colon."""

_CONFLICT = re.compile(rb"^(?:<<<<<<<|>>>>>>>|\|\|\|\|\|\|\||=======\r?$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class State:
    """The recorded side: whose it is, and one record per address."""

    identity: Identity
    records: Mapping[str, Record] = field(default_factory=dict)


def digest(data: bytes) -> str:
    """Return the SHA-256 of a state file's bytes, in hex: what a journal says it extends."""
    return sha256(data).hexdigest()


def dump(state: State) -> bytes:
    """Return the bytes of the state file; raises `StateMismatch` for a batch at two addresses."""
    found = clashes(state.records.values())
    if found:
        raise StateMismatch(
            "the state contradicts itself and is not written",
            detail="\n".join(found),
            hint="look at the batches in AEP, then take the wrong one out with `reconciler state rm ADDRESS`",
        )
    specs: dict[int, str] = {}  # by identity: records share their specs, and all of them live through this function

    def spell(value: object) -> str:
        text = specs.get(id(value))
        if text is None:
            text = encode(value)
            if isinstance(value, dict):
                specs[id(value)] = text
        return text

    records = [state.records[address] for address in sorted(state.records)]
    text = [lines.seal(lines.body_of(record, spell))[0] for record in records]
    version = FORMAT if any(record.kept_tags is not None for record in records) else 1
    return "\n".join([header(state.identity, version), *text, END + "\n"]).encode()


def header(identity: Identity, version: int = 1, **more: str) -> str:
    """Return the first line of a state file; a journal's says more."""
    return lines.body([("format", version), *asdict(identity).items(), *more.items()]) + "}"


def parse(data: bytes, identity: Identity | None, file: str) -> State:
    """Return the state that the bytes are; `identity` is whose it must be; `file` names it in errors.

    Raises `StateCorrupt`, `StateFromFuture` or `StateMismatch`. Any order of records is fine, and so is CRLF.
    """
    text = _text(data, file)
    rows = [row.removesuffix("\r") for row in text.split("\n")]
    if not rows[-1]:
        rows.pop()
    own = _identity(rows[0], file)
    check_identity(own, identity, file)
    _check_end(rows, file)
    records = _records(rows[1:-1], file)
    found = clashes(records, first_line=2)
    if found:
        raise StateCorrupt(
            f"`{file}` contradicts itself",
            detail="\n".join(found),
            hint="take the wrong line out, or " + RESTORE,
        )
    return State(own, {record.address: record for record in records})


def _text(data: bytes, file: str) -> str:
    if not data.strip():
        raise StateCorrupt(
            f"`{file}` is empty",
            detail="an empty file is not an empty state: a full disk or a broken merge may have left it",
            hint=RESTORE,
        )
    if data.startswith(LFS_POINTER):
        raise StateCorrupt(
            f"`{file}` is a Git LFS pointer, not a state",
            hint="run `git lfs pull`, then keep state files out of LFS: Git could not merge them there",
        )
    suspicious = b"<<<<<<<" in data or b">>>>>>>" in data  # the pattern alone takes a second per 200 MB
    marks = [data.count(b"\n", 0, mark.start()) + 1 for mark in _CONFLICT.finditer(data)] if suspicious else []
    if marks:
        raise StateCorrupt(
            f"`{file}` has Git conflict markers: lines {', '.join(map(str, marks))}",
            hint="undo the merge of this file and let `reconciler state merge BASE OURS THEIRS` do it, by "
            "hand or as a Git merge driver: it knows which lines belong together",
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise StateCorrupt(f"`{file}`, line {line}: it is not UTF-8 text", hint=RESTORE) from error


@dataclass(frozen=True, slots=True)
class StateHeader:
    """The first line of a state file: whose it is."""

    format: Annotated[int, Field(ge=1, description="a whole number of at least 1")]
    project: Text
    environment: Text
    org: Text
    sandbox: Text

    @property
    def identity(self) -> Identity:
        """Whose state it is."""
        return Identity(self.project, self.environment, self.org, self.sandbox)


def _identity(row: str, file: str) -> Identity:
    try:
        check_format(lines.refuse_doubled_keys(row), file)
        return lines.read(StateHeader, row).identity
    except LineError as error:
        raise StateCorrupt(
            f"`{file}` does not begin like a state file", detail=f"line 1: {error}", hint=RESTORE
        ) from error


def check_format(header: object, file: str) -> None:
    """Raise `StateFromFuture` for a header of a newer format."""
    version = header.get("format") if isinstance(header, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise StateFromFuture(
            f"`{file}` has format {version}, and this reconciler reads formats up to {FORMAT}",
            hint="install the reconciler version that wrote it, or a newer one",
        )


def check_identity(own: Identity, expected: Identity | None, file: str) -> None:
    """Raise `StateMismatch` if the file is of another project, environment, organisation or sandbox."""
    if expected is None or own == expected:
        return
    pairs = [
        (name, getattr(own, name), getattr(expected, name)) for name in ("project", "environment", "org", "sandbox")
    ]
    raise StateMismatch(
        f"`{file}` belongs to another {', '.join(name for name, a, b in pairs if a != b)}",
        detail="\n".join(f"{name}: the file says `{a}`, this run is for `{b}`" for name, a, b in pairs if a != b),
        hint="check `--env`, `--state` and the project file; no environment takes over the state of another",
    )


def _check_end(rows: Sequence[str], file: str) -> None:
    if len(rows) > 1 and _is_end(rows[-1]) and END not in rows[:-1]:
        return
    cut = f"its last line, {len(rows)}, is not `{END}`"
    on = f"it goes on after its end in line {rows.index(END) + 1}" if END in rows else cut
    raise StateCorrupt(f"`{file}` is not whole: {on}", hint=RESTORE)


def _is_end(row: str) -> bool:
    try:
        return lines.refuse_doubled_keys(row) == {"end": True}
    except LineError:
        return False


def _records(rows: Sequence[str], file: str) -> list[Record]:
    records, specs = [], dict[str, "Spec"]()
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[start : start + ROWS_AT_ONCE]
        try:
            records += _together(some, specs)
        except LineError:  # which line, and what of it, is told by reading them one by one
            records += [_one(row, number, file) for number, row in enumerate(some, start=start + 2)]
    return records


def _together(rows: Sequence[str], specs: dict[str, Spec]) -> list[Record]:
    """Read lines as `dump` mostly writes them. Raises `LineError` where any is not.

    A spec that an earlier line has is not read again, and equal specs become one value.
    """
    texts, ends = [], []
    for row in rows:
        text, checksum = lines.unseal(row)
        written = _WRITTEN.fullmatch(text)
        if checksum is None or written is None:
            raise LineError("it is not as it is mostly written")
        head, spec, rest = written.groups()
        texts.append(f"{head}{{}}{rest}" if spec in specs else text)
        ends.append(spec)
    records = lines.read(list[Record], f"[{','.join(texts)}]")
    if len(records) != len(rows):
        raise LineError("one of them holds more than one record")
    for record, spec in zip(records, ends, strict=True):
        if spec in specs:
            object.__setattr__(record, "spec", specs[spec])  # safe: nothing else holds the record yet
        elif encode(record.spec) == spec:
            specs[spec] = record.spec
        else:
            raise LineError("its spec says something twice, or not as it is written")
    return records


def _one(row: str, number: int, file: str) -> Record:
    try:
        text, _ = lines.unseal(row)
        record = lines.read(Record, text)
        lines.refuse_double_talk(text)
    except LineError as error:
        edited = "; if you edited the line on purpose, delete its `sum`" if isinstance(error, SumError) else ""
        raise StateCorrupt(f"`{file}`, line {number}: {error}", hint=RESTORE + edited) from error
    return record


def clashes(records: Collection[Record], first_line: int | None = None) -> list[str]:
    """Name what must be unique and is not (address, id, external id), one sentence each.

    An id that a record replaced or decided against (`deposed`, `rivals`) is at no record either.
    """

    def place(index: int, record: Record) -> str:
        return f"`{record.address}`" if first_line is None else f"line {first_line + index}"

    found = []
    for name in ("address", "id", "external_id"):
        value_of = attrgetter(name)
        if len(set(map(value_of, records))) == len(records):
            continue
        places: dict[str, list[str]] = {}
        for index, record in enumerate(records):
            places.setdefault(value_of(record), []).append(place(index, record))
        word = name.replace("_", " ")
        found += [f"{word} `{value}` is at {' and '.join(at)}" for value, at in sorted(places.items()) if len(at) > 1]
    return found + _given_up(records, place)


def _given_up(records: Collection[Record], place: Callable[[int, Record], str]) -> list[str]:
    """Name the recorded ids that a record has replaced or decided against."""
    uses: dict[str, list[str]] = {}
    for index, record in enumerate(records):
        if record.deposed or record.rivals:
            for name, ids in (("deposed", record.deposed), ("rivals", record.rivals)):
                for batch in ids:
                    uses.setdefault(batch, []).append(f"in `{name}` of {place(index, record)}")
    return [
        f"id `{record.id}` is at {place(index, record)} and {' and '.join(uses[record.id])}"
        for index, record in enumerate(records if uses else ())
        if record.id in uses
    ]
