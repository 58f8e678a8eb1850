"""Catalog's query string, checked (aep-api.md §8.2, §8.3, E20, E21). Pure; `search` runs the query."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from reconciler.emulator.problems import service

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100
MAX_NUMBER: Final = 10**18

COLUMNS: Final = {
    "id": "id",
    "batch": "id",
    "externalId": "external_id",
    "dataSet": "dataset",
    "status": "status",
    "created": "created",
    "updated": "updated",
}
"""Parameters that have a column of their own."""

TAG_COLUMNS: Final = frozenset({"dataset", "created"})
"""Columns that the table of tags repeats, so that one index can answer a query by tag."""

FIELDS: Final = frozenset(
    {"createdClient", "createdUser", "updatedUser", "version", "recordCount", "failedRecordCount", "size"}
    | {"started", "completed", "imsOrg", "sandboxId"}
)
"""Parameters that are looked up inside the object."""

BOUNDS: Final = {
    "createdAfter": "created > ?",
    "createdBefore": "created < ?",
    "startAfter": "json_extract(object, '$.availableDates.startDate') > ?",
    "startBefore": "json_extract(object, '$.availableDates.startDate') < ?",
    "endAfter": "json_extract(object, '$.availableDates.endDate') > ?",
    "endBefore": "json_extract(object, '$.availableDates.endDate') < ?",
}
"""Parameters that bound a time; the bound itself is excluded."""

OTHER_PARAMETERS: Final = frozenset(
    {"limit", "start", "orderBy", "sort", "properties", "property", "tags", "aggregate"}
)
NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
COMPARISON: Final = re.compile(rf"(?P<name>{NAME.pattern})(?P<operator>~|==|!=|<=|<|>=|>)(?P<value>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of an SQL statement over the columns of a batch, and the values of its question marks."""

    sql: str
    parameters: tuple[object, ...] = ()
    in_tags: bool = False
    """Whether it uses only columns that the table of tags has."""


BY_AGE: Final = Fragment("created", in_tags=True)


@dataclass(frozen=True, slots=True)
class Query:
    """A checked query string."""

    conditions: tuple[Fragment, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    """Name and value of each; `*` in a value stands for anything."""
    wanted: frozenset[str] = field(default_factory=frozenset)
    """The columns that must have one of some values; `search` chooses the index by them."""
    replays: bool = False
    order: tuple[Fragment, ...] = (BY_AGE,)
    limit: int = DEFAULT_LIMIT
    start: int = 0
    properties: tuple[str, ...] | None = None


def read_query(pairs: Iterable[tuple[str, str]], *, unknown_is_property: bool) -> Query:
    """Check the pairs of a query string; raises `Problem` 400."""
    given = list(pairs)
    last = dict(given)
    fragments = (_condition(name, value, unknown_is_property=unknown_is_property) for name, value in given)
    return Query(
        conditions=tuple(fragment for fragment in fragments if fragment is not None),
        tags=tuple(tag for name, value in given if name == "tags" for tag in _tags(value)),
        wanted=frozenset(COLUMNS[name] for name, value in given if name in COLUMNS and not value.startswith("!")),
        replays=("property", "replay") in given,
        order=_order(last.get("orderBy", last.get("sort", ""))),
        limit=_integer("limit", last.get("limit", str(DEFAULT_LIMIT)), low=1, high=MAX_LIMIT),
        start=_integer("start", last.get("start", "0"), low=0, high=MAX_NUMBER),
        properties=read_properties(last),
    )


def by_ids(ids: Sequence[str]) -> Query:
    """Return the query for these ids, however many."""
    return Query((_one_of("id", ",".join(ids)),), wanted=frozenset({"id"}), limit=len(ids))


def read_properties(parameters: dict[str, str]) -> tuple[str, ...] | None:
    """Return the fields that the answer is reduced to, or None for all."""
    text = parameters.get("properties")
    return tuple(text.split(",")) if text else None


def _condition(name: str, value: str, *, unknown_is_property: bool) -> Fragment | None:
    if name in COLUMNS:
        return _one_of(COLUMNS[name], value)
    if name in BOUNDS:
        moment = _integer(name, value, low=-MAX_NUMBER, high=MAX_NUMBER)
        return Fragment(BOUNDS[name], (moment,), in_tags=name.startswith("created"))
    if name == "property":
        return _property(value)
    if name in FIELDS or (unknown_is_property and name not in OTHER_PARAMETERS and NAME.fullmatch(name)):
        return _one_of(f"CAST({_field(name)} AS TEXT)", value)
    return None


def _field(name: str) -> str:
    """Return the SQL of a field at the top of the object; the name has passed `NAME`."""
    return COLUMNS.get(name, f"json_extract(object, '$.{name}')")


def _one_of(column: str, value: str) -> Fragment:
    """Read `v`, `a,b` (any of), `!v`, `!a,b` (none of)."""
    values = tuple(value.removeprefix("!").split(","))
    listed = f"IN ({', '.join('?' * len(values))})"
    if value.startswith("!"):
        return Fragment(f"({column} IS NULL OR {column} NOT {listed})", values, in_tags=column in TAG_COLUMNS)
    return Fragment(f"{column} {listed}", values, in_tags=column in TAG_COLUMNS)


def _property(text: str) -> Fragment:
    """Read `name`, `!name`, `name~regex` or a comparison; `name` is a field at the top of the object."""
    if text == "replay":
        return Fragment("replays = 1")
    name = text.removeprefix("!")
    if NAME.fullmatch(name):
        return Fragment(f"{_field(name)} IS {'NULL' if text.startswith('!') else 'NOT NULL'}")
    match = COMPARISON.fullmatch(text)
    if match is None:
        raise service(400, f"property expression not understood: {text}")
    name, operator, value = match.group("name", "operator", "value")
    if operator == "~":
        return Fragment(f"matches(?, {_field(name)})", (_regex(value),))
    if re.fullmatch(r"-?\d{1,18}", value):
        return Fragment(f"CAST({_field(name)} AS INTEGER) {operator} ?", (int(value),))
    return Fragment(f"{_field(name)} {operator} ?", (value,))


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise service(400, f"not a regular expression: {text}: {error}") from error
    return text


def _tags(text: str) -> Sequence[tuple[str, str]]:
    """Read `name:value,name2:value2*`; a value may hold colons, a name may not."""
    parts = [part.partition(":") for part in text.split(",")]
    if any(not (name and colon) for name, colon, _ in parts):
        raise service(400, f"tags must look like name:value,name2:value2 and not {text}")
    return [(name, value) for name, _, value in parts]


def _order(text: str) -> tuple[Fragment, ...]:
    """Read `desc:created,asc:id`."""
    return tuple(_order_term(term) for term in text.split(",") if term) or (BY_AGE,)


def _order_term(term: str) -> Fragment:
    first, colon, rest = term.partition(":")
    direction, name = (first, rest) if colon else ("asc", first)
    if direction not in {"asc", "desc"} or not NAME.fullmatch(name):
        raise service(400, f"orderBy must look like desc:created,asc:id and not {term}")
    return Fragment(f"{_field(name)} {direction}", in_tags=_field(name) in TAG_COLUMNS)


def _integer(name: str, text: str, *, low: int, high: int) -> int:
    if not re.fullmatch(r"-?\d{1,18}", text) or not low <= int(text) <= high:
        raise service(400, f"{name} must be a whole number from {low} to {high}, not {text}")
    return int(text)
