"""One line of JSON: what state file and journal are made of. Its `sum` makes a flipped bit an error.

What may stand in a line is declared where its value is (`batch.Record`, the entries of `journal`): reader and writer
follow the declaration, field by field and in its order. Reading is strict: unknown fields and wrong types are refused,
never dropped or repaired. So are doubled keys, and objects where a list belongs: a `sum` vouches for neither.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, dataclass, fields
from functools import cache
from json.encoder import encode_basestring_ascii
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints
from zlib import crc32

from pydantic import TypeAdapter, ValidationError

from reconciler.core.wording import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from _typeshed import DataclassInstance
    from pydantic_core import ErrorDetails

    from reconciler.core.batch import Json

Value = TypeVar("Value")

encode: Callable[[object], str] = json.JSONEncoder(sort_keys=True).encode
"""A value as JSON in its one spelling: sorted keys, ASCII only."""

SPEC_MARK = ', "spec": '
"""What stands before the spec in a line."""

_SUM_MARK = ', "sum": "'
_SUM_LENGTH = len(_SUM_MARK) + 8 + len('"}')

_UNKNOWN = frozenset({"extra_forbidden", "unexpected_keyword_argument"})
"""pydantic's words for a field that is not declared."""


class LineError(ValueError):
    """Why a line cannot be read; the caller knows which line of which file it is."""


class SumError(LineError):
    """The line's checksum is wrong: it was damaged, or edited by a person who left the `sum` in."""


# -- checksums


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


# -- writing


def body(items: Iterable[tuple[str, object]]) -> str:
    """Return an object without its closing brace."""
    return "{" + ", ".join([f'"{name}": {encode(value)}' for name, value in items])


def body_of(value: DataclassInstance, spell: Callable[[object], str] = encode) -> str:
    """Return a declared value as an object without its closing brace; `spell` writes what is no text and no number.

    Its fields stand in the order of their declaration; what has its default is left out.
    """
    form = _form(type(value))
    if form.optional(value) == form.defaults:
        return form.template % tuple([_spelled(each, spell) for each in form.required(value)])
    return "{" + ", ".join([f'"{name}": {_spelled(each, spell)}' for name, each in _items(value, form)])


def fields_of(value: DataclassInstance) -> dict[str, Any]:
    """Return the fields of a declared value as they stand in a line."""
    return dict(_items(value, _form(type(value))))


def _spelled(value: object, spell: Callable[[object], str]) -> str:
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    return str(value) if type(value) is int else spell(value)


@dataclass(frozen=True, slots=True)
class _Form:
    """How the values of one declaration are written."""

    names: tuple[tuple[str, str, object], ...]
    """Of each field: its name in a line, its own name, its default."""
    template: str
    """The object with places for the fields that have no default."""
    required: Callable[[object], tuple[Any, ...]]
    optional: Callable[[object], tuple[Any, ...]]
    defaults: tuple[object, ...]


@cache
def _form(kind: type[DataclassInstance]) -> _Form:
    hints = get_type_hints(kind, include_extras=True)
    names = tuple((_name(field.name, hints[field.name]), field.name, field.default) for field in fields(kind))
    required = [(name, own) for name, own, default in names if default is MISSING]
    optional = [(own, default) for _, own, default in names if default is not MISSING]
    template = "{" + ", ".join(f'"{name}": %s' for name, _ in required)
    return _Form(
        names,
        template,
        _getter([own for _, own in required]),
        _getter([own for own, _ in optional]),
        tuple(default for _, default in optional),
    )


def _name(own: str, hint: object) -> str:
    """The name under which a field stands in a line: its own, or the alias that its annotation gives."""
    return next((each.alias for each in getattr(hint, "__metadata__", ()) if getattr(each, "alias", None)), own)


def _getter(names: list[str]) -> Callable[[object], tuple[Any, ...]]:
    match names:
        case []:
            return lambda _: ()
        case [name]:
            return lambda value: (getattr(value, name),)
        case _:
            return attrgetter(*names)


def _items(value: DataclassInstance, form: _Form) -> Iterator[tuple[str, Any]]:
    for name, own, default in form.names:
        field = getattr(value, own)
        if field != default:
            yield name, field


# -- reading


@cache
def adapter_of(kind: Any) -> TypeAdapter[Any]:  # noqa: ANN401  (a type, or `list[…]`)
    """What reads the values of a declaration; made when it is first needed, since making one takes milliseconds."""
    return TypeAdapter(kind)


def read(kind: type[Value], text: str, *, strict: bool = True) -> Value:
    """Return the value of a declared kind that the JSON text is. Raises `LineError`.

    Without `strict` a number may stand as a text, and the like.
    """
    adapter: TypeAdapter[Value] = adapter_of(kind)  # type: ignore[arg-type]  # a type is hashable
    try:
        return adapter.validate_json(text, strict=strict, extra="forbid")
    except ValidationError as error:
        raise _line_error(adapter, error) from None


def read_line(kind: type[Value], text: str) -> Value:
    """Return the value of a declared kind that a line is, and says once. Raises `LineError`."""
    value = read(kind, text)
    if body_of(value) + "}" != text:  # type: ignore[arg-type]  # every kind of line is a dataclass
        refuse_double_talk(text)
    return value


OBJECTS = frozenset({"spec", "kept_tags"})
"""The fields of a record that are objects."""


def refuse_double_talk(text: str) -> None:
    """Raise `LineError` for a line that may mean two things: a doubled key, or an object where a list belongs."""
    found = refuse_doubled_keys(text)
    values = [value for name, value in found.items() if name not in OBJECTS] if isinstance(found, dict) else []
    while values:
        if isinstance(value := values.pop(), dict):
            raise LineError("an object stands where a list belongs")
        values += value if isinstance(value, list) else []


def refuse_doubled_keys(text: str) -> object:
    """Return the JSON value that a text is. Raises `LineError` for a key that stands twice: one would be dropped."""
    try:
        return _decode(text)
    except LineError:
        raise
    except (ValueError, RecursionError) as error:
        raise LineError("it is not JSON") from error


def no_doubles(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """The object of these pairs, for a JSON decoder. Raises `LineError` for a key that stands twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise LineError("a key stands twice in one object")
    return found


_decode: Callable[[str], object] = json.JSONDecoder(object_pairs_hook=no_doubles).decode


def _line_error(adapter: TypeAdapter[Any], error: ValidationError) -> LineError:
    """What is wrong with a line, in our words: an unknown field first, since it may mean what must not be lost."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    unknown = sorted(str(each["loc"][0]) for each in found if each["type"] in _UNKNOWN and len(each["loc"]) == 1)
    if "sum" in unknown:
        return SumError("its `sum` is not in its place: the line was changed or damaged")
    if unknown:
        return LineError(f"unknown field {listed(unknown)}, perhaps of a newer reconciler")
    if found[0]["type"] == "json_invalid":
        return LineError("it is not JSON")
    if not found[0]["loc"]:
        return LineError("it is not a JSON object")
    return LineError(_need(adapter, found))


def _need(adapter: TypeAdapter[Any], found: list[ErrorDetails]) -> str:
    name = str(found[0]["loc"][0])
    if name == "spec" and (inside := sorted({str(each["loc"][1]) for each in found if each["loc"][1:]})):
        return f"in `spec` these are unknown or of a wrong type: {listed(inside)}"
    need = adapter.json_schema().get("properties", {}).get(name, {}).get("description")
    if need:
        return f"`{name}` must be {need}"
    route = ".".join(str(step + 1) if isinstance(step, int) else step for step in found[0]["loc"])
    return f"`{route}` is not what can stand there"
