"""From a checked query to the batches of one page, always by an index (aep-api.md §8.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.emulator.behaviour import LOOKS, Look
from reconciler.emulator.patterns import glob
from reconciler.emulator.query import Fragment

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from reconciler.emulator.query import Query
    from reconciler.emulator.store import Store

TAGS_AND_BATCHES: Final = (
    "(SELECT tags.*, batches.id, external_id, status, updated, replays, object"
    " FROM tags INDEXED BY tag_by_value CROSS JOIN batches USING (n)) AS b"
)
"""The rows of a tag, each with the columns of its batch."""

SHOWN: Final = Fragment("n NOT IN (SELECT n FROM lagging)")
"""Catalog does not show a batch while it is in `lagging`."""


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL that returns the `n` of each batch of a page, in order."""

    sql: str
    parameters: tuple[object, ...]


def statement(query: Query, scope: int, lagging: Collection[Look] = LOOKS) -> Statement:
    """Choose the index: by id, by external id, by tag, by dataset, else by sandbox.

    The statement names it: without statistics, SQLite's planner may choose to read a whole sandbox. A query by tag
    and dataset reads only rows of tags, so that page 1,000 costs little more than page 1.
    """
    exact = [tag for tag in query.tags if "*" not in tag[1]]
    shown = [SHOWN] if _look(query) in lagging else []
    if not exact or query.wanted & {"id", "external_id"}:
        conditions = [Fragment("scope = ?", (scope,)), *query.conditions, *map(_has_tag, query.tags), *shown]
        return _write(f"batches AS b INDEXED BY {_index(query)}", conditions, query)
    in_tags = all(fragment.in_tags for fragment in (*query.conditions, *query.order))
    conditions = [
        Fragment("scope = ? AND name = ? AND value = ?", (scope, *exact[0])),
        *query.conditions,
        *(_has_tag(tag) for tag in query.tags if tag != exact[0]),
        *shown,
    ]
    return _write("tags AS b INDEXED BY tag_by_value" if in_tags else TAGS_AND_BATCHES, conditions, query)


def _look(query: Query) -> Look:
    if "id" in query.wanted:
        return "by-id"
    return "by-external-id" if "external_id" in query.wanted else "list"


def _index(query: Query) -> str:
    if "id" in query.wanted:
        return "batch_by_id"
    if "external_id" in query.wanted:
        return "batch_by_external_id"
    if "dataset" not in query.wanted:
        return "batch_by_scope"
    if query.replays:
        return "batch_by_replay"
    return "batch_by_status" if "status" in query.wanted else "batch_by_dataset"


def _has_tag(tag: tuple[str, str]) -> Fragment:
    name, value = tag
    operator, operand = ("GLOB", glob(value)) if "*" in value else ("=", value)
    return Fragment(
        f"EXISTS (SELECT 1 FROM tags AS o WHERE o.n = b.n AND o.name = ? AND o.value {operator} ?)",  # noqa: S608
        (name, operand),
    )


def _write(source: str, conditions: Sequence[Fragment], query: Query) -> Statement:
    """Batches that are equal in the order come by age, so that pages never overlap."""
    where = " AND ".join(fragment.sql for fragment in conditions)
    order = ", ".join(fragment.sql for fragment in query.order)
    return Statement(
        f"SELECT n FROM {source} WHERE {where} ORDER BY {order}, n LIMIT ? OFFSET ?",  # noqa: S608 - constants of this package
        (*(value for fragment in conditions for value in fragment.parameters), query.limit, query.start),
    )


def search(store: Store, query: Query, scope: int, lagging: Collection[Look]) -> Iterator[tuple[str, str]]:
    """Yield id and JSON of each batch of the page, in order; `lagging`: ways to look that do not show new batches."""
    page = statement(query, scope, lagging)
    for (n,) in store.execute(page.sql, page.parameters).fetchall():
        row: tuple[str, str] = store.execute("SELECT id, object FROM batches WHERE n = ?", (n,)).fetchone()
        yield row
