"""One line of JSON: what state file and journal are made of. Its `sum` makes a flipped bit an error, never another id.

Reading is strict: unknown fields, wrong types and doubled keys are refused, never dropped or repaired.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeGuard
from zlib import crc32

from reconciler.core.address import is_address
from reconciler.core.batch import OnRemove, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reconciler.core.batch import Json, Spec

Fields = dict[str, "Json"]

encode: Callable[[object], str] = json.JSONEncoder(sort_keys=True).encode
"""A value as JSON in its one spelling: sorted keys, ASCII only."""

RECORD_FIELDS = frozenset(
    {"address", "id", "dataset", "external_id", "generation", "on_remove", "spec", "deposed", "rivals"}
)

NO_ADDRESS = "its address must be one such as `dataset/batch`"

SPEC_MARK = ', "spec": '
"""What stands before the spec in a line."""

_SUM_MARK = ', "sum": "'
_SUM_LENGTH = len(_SUM_MARK) + 8 + len('"}')


class LineInvalid(ValueError):
    """Why a line cannot be read; the caller knows which line of which file it is."""


def seal(body: str, seed: int = 0) -> tuple[str, int]:
    """The line made of an object without its closing brace, and its checksum: CRC-32 of the body, from `seed` on."""
    checksum = crc32(body.encode(), seed)
    return f'{body}{_SUM_MARK}{checksum:08x}"}}', checksum


def unseal(line: str, seed: int = 0) -> tuple[str, int | None]:
    """The object of a line without its `sum`, and the checksum, None if it has none; raises `LineInvalid` if wrong."""
    cut = len(line) - _SUM_LENGTH
    if cut < 0 or not line.startswith(_SUM_MARK, cut) or not line.endswith('"}'):
        return line, None
    body = line[:cut]
    checksum = crc32(body.encode(), seed)
    if line[-10:-2] != f"{checksum:08x}":
        raise LineInvalid("its `sum` does not match: the line was changed or damaged")
    return body + "}", checksum


def _no_doubles(pairs: list[tuple[str, Json]]) -> Fields:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise LineInvalid("a key stands twice in one object")
    return fields


_decode: Callable[[str], object] = json.JSONDecoder().decode
_decode_by_hand: Callable[[str], object] = json.JSONDecoder(object_pairs_hook=_no_doubles).decode


def fields_of(text: str, *, by_hand: bool = False) -> Fields:
    """The JSON object that the text is; raises `LineInvalid`. Text that a person may have written can have doubled keys."""
    try:
        value = _decode_by_hand(text) if by_hand else _decode(text)
    except LineInvalid:
        raise
    except (ValueError, RecursionError) as error:
        raise LineInvalid("it is not JSON") from error
    if not _is_object(value):
        raise LineInvalid("it is not a JSON object")
    return value


def text_in(fields: Fields, name: str) -> str:
    """A field that is text and not empty; raises `LineInvalid`."""
    value = fields.get(name)
    if isinstance(value, str) and value:
        return value
    raise LineInvalid(f"`{name}` must be a text that is not empty")


def number_in(fields: Fields, name: str, least: int) -> int:
    """A field that is a whole number of at least `least`; raises `LineInvalid`."""
    value = fields.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return value
    raise LineInvalid(f"`{name}` must be a whole number of at least {least}")


def address_in(fields: Fields, name: str) -> str:
    """A field that is an address; raises `LineInvalid`."""
    value = text_in(fields, name)
    if is_address(value):
        return value
    raise LineInvalid(NO_ADDRESS)


def texts_in(fields: Fields, name: str) -> tuple[str, ...]:
    """A field that is a list of texts, empty if it is not there; raises `LineInvalid`."""
    if name not in fields:
        return ()
    value = fields[name]
    if _is_texts(value):
        return tuple(value)
    raise LineInvalid(f"`{name}` must be a list of texts")


def on_remove_in(fields: Fields) -> OnRemove:
    """The field `on_remove`; raises `LineInvalid`."""
    match fields.get("on_remove"):
        case "forget":
            return OnRemove.FORGET
        case "delete":
            return OnRemove.DELETE
        case _:
            raise LineInvalid("`on_remove` must be `forget` or `delete`")


def spec_in(fields: Fields) -> Spec:
    """The field `spec`; raises `LineInvalid`."""
    value = fields.get("spec")
    if is_spec(value):
        return value
    wrong = ", ".join(f"`{name}`" for name, each in sorted(value.items()) if not _fits(name, each)) if _is_object(value) else ""
    raise LineInvalid(f"in `spec` these are unknown or of a wrong type: {wrong}" if wrong else "`spec` must be an object")


def refuse_others(fields: Fields, known: frozenset[str]) -> None:
    """Raise `LineInvalid` for a field that is not known: it may mean something that must not be lost."""
    if not fields.keys() <= known:
        names = ", ".join(f"`{name}`" for name in sorted(fields.keys() - known))
        raise LineInvalid(f"unknown field {names}, perhaps of a newer reconciler")


def record_in(fields: Fields, spec: Spec | None = None) -> Record:
    """The record that the fields are; `spec` is given when they are without it. Raises `LineInvalid`."""
    refuse_others(fields, RECORD_FIELDS)
    return Record(
        address=address_in(fields, "address"),
        id=text_in(fields, "id"),
        dataset=text_in(fields, "dataset"),
        external_id=text_in(fields, "external_id"),
        generation=number_in(fields, "generation", 1),
        on_remove=on_remove_in(fields),
        spec=spec_in(fields) if spec is None else spec,
        deposed=texts_in(fields, "deposed"),
        rivals=texts_in(fields, "rivals"),
    )


def record_body(record: Record, spec: str, *, first: str = "address") -> str:
    """A record as an object without its closing brace; `spec` is its spec encoded, `first` the name of the address."""
    body = (
        f'{{"{first}": {encode(record.address)}, "id": {encode(record.id)}, "dataset": {encode(record.dataset)}, '
        f'"external_id": {encode(record.external_id)}, "generation": {record.generation}, '
        f'"on_remove": "{record.on_remove}"{SPEC_MARK}{spec}'
    )
    return body + lists_body(deposed=record.deposed, rivals=record.rivals)


def lists_body(**lists: tuple[str, ...]) -> str:
    """The lists that are not empty, as the continuation of an object."""
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
    return _is_object(value) and all(
        name in CSV_CHECKS and CSV_CHECKS[name](each) for name, each in value.items()
    )


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
