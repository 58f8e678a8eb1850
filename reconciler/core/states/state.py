"""What is recorded, and the bytes of the state file: one line per batch, the same bytes for the same facts.

The format is design §6. Nothing here repairs a file: what is not whole, ours and unique is refused, with its
line and the way on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from reconciler.core.address import MAX_LENGTH
from reconciler.core.batch import OnRemove, Record
from reconciler.core.errors import StateCorrupt, StateFromFuture, StateMismatch
from reconciler.core.identity import Identity
from reconciler.core.states import lines
from reconciler.core.states.lines import Fields, LineError, SumError, encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from reconciler.core.batch import Spec

FORMAT = 1
"""The version of both formats, state and journal."""

END = '{"end": true}'

RESTORE = "restore the file from Git, or make it anew from Catalog with `reconciler state rebuild`"
"""The way on from a damaged state file."""

HEADER_FIELDS = frozenset({"format", "project", "environment", "org", "sandbox"})
_TEXT = r'"([^"\\\x00-\x1f]+)"'
_ADDRESS = r'"([a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*)"'
_PLAIN = re.compile(
    rf'\{{"address": {_ADDRESS}, "id": {_TEXT}, "dataset": {_TEXT}, "external_id": {_TEXT}, '
    r'"generation": ([1-9][0-9]{0,8}), "on_remove": "(forget|delete)"'
)
_ON_REMOVE = {each.value: each for each in OnRemove}
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
    text = [header(state.identity)]
    for address in sorted(state.records):
        record = state.records[address]
        spec = specs.get(id(record.spec))
        if spec is None:
            spec = specs[id(record.spec)] = encode(record.spec)
        text.append(lines.seal(lines.record_body(record, spec))[0])
    text.append(END + "\n")
    return "\n".join(text).encode()


def header(identity: Identity, **more: str) -> str:
    """Return the first line of a state file; a journal's says more."""
    fields = {
        "format": FORMAT,
        "project": identity.project,
        "environment": identity.environment,
        "org": identity.org,
        "sandbox": identity.sandbox,
        **more,
    }
    return "{" + ", ".join(f'"{name}": {encode(value)}' for name, value in fields.items()) + "}"


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


def _identity(row: str, file: str) -> Identity:
    try:
        fields = lines.fields_of(row, by_hand=True)
        own = identity_in(fields, file)
        lines.refuse_others(fields, HEADER_FIELDS)
    except LineError as error:
        raise StateCorrupt(
            f"`{file}` does not begin like a state file", detail=f"line 1: {error}", hint=RESTORE
        ) from error
    return own


def identity_in(fields: Fields, file: str) -> Identity:
    """Return whose a header says the file is. Raises `StateFromFuture` or `LineError`."""
    version = lines.number_in(fields, "format", 1)
    if version > FORMAT:
        raise StateFromFuture(
            f"`{file}` has format {version}, and this reconciler reads formats up to {FORMAT}",
            hint="install the reconciler version that wrote it, or a newer one",
        )
    return Identity(
        project=lines.text_in(fields, "project"),
        environment=lines.text_in(fields, "environment"),
        org=lines.text_in(fields, "org"),
        sandbox=lines.text_in(fields, "sandbox"),
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
    try:
        whole = lines.fields_of(rows[-1]) == {"end": True} and len(rows) > 1
    except LineError:
        whole = False
    if not whole:
        cut = f"its last line, {len(rows)}, is not `{END}`"
        on = f"it goes on after its end in line {rows.index(END) + 1}" if END in rows else cut
        raise StateCorrupt(f"`{file}` is not whole: {on}", hint=RESTORE)


def _records(rows: Sequence[str], file: str) -> list[Record]:
    records, specs = [], dict[str, "Spec"]()
    for number, row in enumerate(rows, start=2):
        try:
            records.append(_record(row, specs))
        except SumError as error:
            hint = RESTORE + "; if you edited the line on purpose, delete its `sum`"
            raise StateCorrupt(f"`{file}`, line {number}: {error}", hint=hint) from error
        except LineError as error:
            raise StateCorrupt(f"`{file}`, line {number}: {error}", hint=RESTORE) from error
    return records


def _record(row: str, specs: dict[str, Spec]) -> Record:
    """Read one record: a line as `dump` writes it by a pattern, any other as JSON, with the same result."""
    text, checksum = lines.unseal(row)
    if checksum is None:
        if row == END:
            raise LineError("the file goes on after its end, as if two were joined")
        return lines.record_in(lines.fields_of(text, by_hand=True))
    start, _, spec_text = text.partition(lines.SPEC_MARK)
    plain, spec = _PLAIN.fullmatch(start), _shared(spec_text[:-1], specs)
    if plain is None or spec is None:
        return lines.record_in(lines.fields_of(text))
    address, batch, dataset, external_id, generation, on_remove = plain.groups()
    if len(address) > MAX_LENGTH:
        raise LineError(lines.NO_ADDRESS)
    return Record(address, batch, dataset, external_id, int(generation), _ON_REMOVE[on_remove], spec)


def _shared(text: str, specs: dict[str, Spec]) -> Spec | None:
    """Read a spec, equal ones as one value: 100,000 records of three manifests stay small."""
    if text not in specs:
        try:
            specs[text] = lines.spec_in({"spec": lines.fields_of(text)})
        except LineError:
            return None
    return specs[text]


def clashes(records: Iterable[Record], first_line: int | None = None) -> list[str]:
    """Name what must be unique and is not (address, id, external id), one sentence each."""
    records = list(records)
    found = []
    for name in ("address", "id", "external_id"):
        places: dict[str, list[str]] = {}
        values = [getattr(record, name) for record in records]
        if len(set(values)) == len(values):
            continue
        for index, value in enumerate(values):
            place = f"`{records[index].address}`" if first_line is None else f"line {first_line + index}"
            places.setdefault(value, []).append(place)
        word = name.replace("_", " ")
        found += [f"{word} `{value}` is at {' and '.join(at)}" for value, at in sorted(places.items()) if len(at) > 1]
    return found
