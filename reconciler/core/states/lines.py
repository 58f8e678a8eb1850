"""One line of JSON: what state file and journal are made of. Its `sum` makes a flipped bit an error.

Reading is strict: unknown fields, wrong types and doubled keys are refused, never dropped or repaired.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING, TypeGuard
from zlib import crc32

from reconciler.core.address import is_address
from reconciler.core.batch import File, OnRemove, Record, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from reconciler.core.batch import Json, Spec

Fields = dict[str, "Json"]

encode: Callable[[object], str] = json.JSONEncoder(sort_keys=True).encode
"""A value as JSON in its one spelling: sorted keys, ASCII only."""

RECORD_FIELDS = frozenset(
    {
        "address",
        "id",
        "dataset",
        "external_id",
        "generation",
        "on_remove",
        "spec",
        "deposed",
        "rivals",
        "files",
        "begun",
        "stage",
    }
)

NO_ADDRESS = "its address must be one such as `dataset/batch`"

SPEC_MARK = ', "spec": '
"""What stands before the spec in a line."""

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")

_SUM_MARK = ', "sum": "'
_SUM_LENGTH = len(_SUM_MARK) + 8 + len('"}')


class LineError(ValueError):
    """Why a line cannot be read; the caller knows which line of which file it is."""


class SumError(LineError):
    """The line's checksum is wrong: it was damaged, or edited by a person who left the `sum` in."""


def seal(body: str, seed: int = 0) -> tuple[str, int]:
    """Return an object, given without its closing brace, as a line, and its CRC-32, going on from `seed`."""
    checksum = crc32(body.encode(), seed)
    return f'{body}{_SUM_MARK}{checksum:08x}"}}', checksum


def unseal(line: str, seed: int = 0) -> tuple[str, int | None]:
    """Return a line without its `sum`, and the checksum or None; raise `LineError` if it is wrong."""
    cut = len(line) - _SUM_LENGTH
    if cut < 0 or not line.startswith(_SUM_MARK, cut) or not line.endswith('"}'):
        return line, None
    body = line[:cut]
    checksum = crc32(body.encode(), seed)
    if line[-10:-2] != f"{checksum:08x}":
        raise SumError("its `sum` does not match: the line was changed or damaged")
    return body + "}", checksum


def _no_doubles(pairs: list[tuple[str, Json]]) -> Fields:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise LineError("a key stands twice in one object")
    return fields


_decode: Callable[[str], object] = json.JSONDecoder().decode
_decode_by_hand: Callable[[str], object] = json.JSONDecoder(object_pairs_hook=_no_doubles).decode


def fields_of(text: str, *, by_hand: bool = False) -> Fields:
    """Return the JSON object that the text is, or raise `LineError`; `by_hand` looks for doubled keys."""
    try:
        value = _decode_by_hand(text) if by_hand else _decode(text)
    except LineError:
        raise
    except (ValueError, RecursionError) as error:
        raise LineError("it is not JSON") from error
    if not _is_object(value):
        raise LineError("it is not a JSON object")
    return value


def text_in(fields: Fields, name: str) -> str:
    """Return a field that is text and not empty; raises `LineError`."""
    value = fields.get(name)
    if isinstance(value, str) and value:
        return value
    raise LineError(f"`{name}` must be a text that is not empty")


def number_in(fields: Fields, name: str, least: int) -> int:
    """Return a field that is a whole number of at least `least`; raises `LineError`."""
    value = fields.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return value
    raise LineError(f"`{name}` must be a whole number of at least {least}")


def address_in(fields: Fields, name: str) -> str:
    """Return a field that is an address; raises `LineError`."""
    value = text_in(fields, name)
    if is_address(value):
        return value
    raise LineError(NO_ADDRESS)


def texts_in(fields: Fields, name: str) -> tuple[str, ...]:
    """Return a field that is a list of texts, empty if it is not there; raises `LineError`."""
    if name not in fields:
        return ()
    value = fields[name]
    if _is_texts(value):
        return tuple(value)
    raise LineError(f"`{name}` must be a list of texts")


def on_remove_in(fields: Fields) -> OnRemove:
    """Return the field `on_remove`; raises `LineError`."""
    match fields.get("on_remove"):
        case "forget":
            return OnRemove.FORGET
        case "delete":
            return OnRemove.DELETE
        case _:
            raise LineError("`on_remove` must be `forget` or `delete`")


def spec_in(fields: Fields) -> Spec:
    """Return the field `spec`; raises `LineError`."""
    value = fields.get("spec")
    if is_spec(value):
        return value
    wrong = (
        ", ".join(f"`{name}`" for name, each in sorted(value.items()) if not _fits(name, each))
        if _is_object(value)
        else ""
    )
    raise LineError(f"in `spec` these are unknown or of a wrong type: {wrong}" if wrong else "`spec` must be an object")


def refuse_others(fields: Fields, known: frozenset[str]) -> None:
    """Raise `LineError` for a field that is not known: it may mean something that must not be lost."""
    if "sum" in fields and "sum" not in known:
        raise SumError("its `sum` is not in its place: the line was changed or damaged")
    if not fields.keys() <= known:
        names = ", ".join(f"`{name}`" for name in sorted(fields.keys() - known))
        raise LineError(f"unknown field {names}, perhaps of a newer reconciler")


def record_in(fields: Fields) -> Record:
    """Return the record that the fields are, or raise `LineError`."""
    refuse_others(fields, RECORD_FIELDS)
    return Record(
        address=address_in(fields, "address"),
        id=text_in(fields, "id"),
        dataset=text_in(fields, "dataset"),
        external_id=text_in(fields, "external_id"),
        generation=number_in(fields, "generation", 1),
        on_remove=on_remove_in(fields),
        spec=spec_in(fields),
        deposed=texts_in(fields, "deposed"),
        rivals=texts_in(fields, "rivals"),
        files=files_in(fields, "files"),
        begun=files_in(fields, "begun"),
        stage=stage_in(fields),
    )


def record_body(record: Record, spec: str, *, first: str = "address") -> str:
    """Return a record as an object without its closing brace; `spec` is JSON, `first` names the address."""
    body = (
        f'{{"{first}": {encode(record.address)}, "id": {encode(record.id)}, '
        f'"dataset": {encode(record.dataset)}, '
        f'"external_id": {encode(record.external_id)}, "generation": {record.generation}, '
        f'"on_remove": "{record.on_remove}"{SPEC_MARK}{spec}'
    )
    body += lists_body(deposed=record.deposed, rivals=record.rivals)
    for name, files in (("files", record.files), ("begun", record.begun)):
        if files:
            body += f', "{name}": {encode(files_json(files))}'
    return body if record.stage is Stage.OPEN else body + f', "stage": "{record.stage}"'


def file_json(file: File) -> Json:
    """Return a file as it stands in a line: name, bytes, SHA-256."""
    return [file.name, file.size, file.sha256]


def files_json(files: Iterable[File]) -> list[Json]:
    """Return files as they stand in a line."""
    return [file_json(file) for file in files]


def file_of(value: Json) -> File:
    """Return the file that `[name, bytes, sha256]` is; raises `LineError`."""
    match value:
        case [str(name), int(size), str(sha256)] if name and size >= 0 and _DIGEST.match(sha256):
            return File(name, size, sha256)
        case _:
            raise LineError("a file must be a name, a number of bytes and a SHA-256")


def files_in(fields: Fields, name: str) -> tuple[File, ...]:
    """Return a field that is a list of files, empty if it is not there; raises `LineError`."""
    value = fields.get(name, [])
    if not isinstance(value, list):
        raise LineError(f"`{name}` must be a list of files")
    files = tuple([file_of(each) for each in value])
    if any(one.name >= other.name for one, other in pairwise(files)):
        raise LineError(f"`{name}` must be sorted by name, each name once")
    return files


def stage_in(fields: Fields) -> Stage:
    """Return the field `stage`, `open` if it is not there; raises `LineError`."""
    value = fields.get("stage", "open")
    if isinstance(value, str) and value in set(Stage):
        return Stage(value)
    raise LineError("`stage` must be `open`, `completing` or `completed`")


def lists_body(**lists: tuple[str, ...]) -> str:
    """Return the lists that are not empty, as the continuation of an object."""
    return "".join(f', "{name}": {encode(values)}' for name, values in lists.items() if values)


def is_spec(value: object) -> TypeGuard[Spec]:
    """Whether a value that came out of JSON is a spec: known fields only, each of its type."""
    return _is_object(value) and all(_fits(name, each) for name, each in value.items())


def _fits(name: str, value: Json) -> bool:
    check = SPEC_CHECKS.get(name)
    return check is not None and check(value)


def _is_object(value: object) -> TypeGuard[Fields]:
    return isinstance(value, dict)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_tags(value: object) -> bool:
    return _is_object(value) and all(_is_texts(each) for each in value.values())


def _is_csv(value: object) -> bool:
    return _is_object(value) and all(name in CSV_CHECKS and CSV_CHECKS[name](each) for name, each in value.items())


CSV_CHECKS: Mapping[str, Callable[[object], bool]] = {
    "delimiter": _is_text,
    "quote": _is_text,
    "escape": _is_text,
    "null_marker": _is_text,
    "header": _is_flag,
    "charset": _is_text,
}

SPEC_CHECKS: Mapping[str, Callable[[object], bool]] = {
    "format": _is_text,
    "multiline": _is_flag,
    "csv": _is_csv,
    "tags": _is_tags,
    "error_diagnostics": _is_flag,
    "partial_ingestion_percent": _is_number,
    "replaces": _is_texts,
}
