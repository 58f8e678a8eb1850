"""What the emulator keeps: batches, datasets and a few numbers in one SQLite database.

A commit survives the end of the process (WAL); a power cut may undo the last ones (`synchronous=NORMAL`).
One process at a time; inside it any thread, one transaction at a time.
"""

from __future__ import annotations

import functools
import json
import threading
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from reconciler.emulator.objects import dataset_of, dump
from reconciler.emulator.schema import connect

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from reconciler.emulator.objects import BatchObject

COLUMNS: Final = "n, id, scope, due, steps, outcome, object"
Row: TypeAlias = tuple[int, str, int, int | None, str, str | None, str]


@dataclass(frozen=True, slots=True)
class Step:
    """A later change of a batch's status, so many milliseconds after the change before it."""

    after_ms: int
    status: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A batch as it is stored: what Catalog shows (`object`) and what only the platform knows."""

    n: int
    """Its number in the database, by age from 1; 0 until it is stored."""
    id: str
    scope: int
    """The number of its organisation and sandbox."""
    object: BatchObject
    due: int | None = None
    """Epoch milliseconds of the first of `steps`."""
    steps: tuple[Step, ...] = ()
    outcome: str | None = None
    """How it will end, if that was chosen: an `Outcome`."""


class Store:
    """The database. `path=None` keeps it in memory. Raises ValueError if another version wrote it."""

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.RLock()
        self._connection = connect(path)
        self._scopes: dict[tuple[str, str], int] = {}
        self.seed = self.number("seed")
        """A random number that makes the ids of this database differ from those of others."""

    def close(self) -> None:
        """Close the database. A second call does nothing."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; a transaction inside another is part of it."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            with self._connection:  # commits, or rolls back when an error is raised
                yield

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> sqlite3.Cursor:
        """Run one statement; a write needs a `transaction` around it."""
        return self._connection.execute(sql, parameters)

    # --- numbers, scopes, datasets ---

    def number(self, name: str) -> int:
        """Return the number stored under the name; 0 if there is none."""
        row: tuple[int] | None = self.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return row[0] if row else 0

    def set_number(self, name: str, value: int) -> None:
        """Store a number under the name."""
        with self.transaction():
            self.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def scope(self, org: str, sandbox: str) -> int:
        """Return the number of an organisation's sandbox; a new one gets the next number."""
        key = (org, sandbox)
        if key not in self._scopes:
            with self.transaction():
                self.execute("INSERT OR IGNORE INTO scopes (org, sandbox) VALUES (?, ?)", key)
                row: tuple[int] = self.execute("SELECT scope FROM scopes WHERE org = ? AND sandbox = ?", key).fetchone()
            self._scopes[key] = row[0]
        return self._scopes[key]

    def owner(self, scope: int) -> tuple[str, str]:
        """Return the organisation and the sandbox of a scope."""
        row: tuple[str, str] = self.execute("SELECT org, sandbox FROM scopes WHERE scope = ?", (scope,)).fetchone()
        return row

    def add_dataset(self, sandbox: str, dataset: str) -> None:
        """Make a dataset known to a sandbox."""
        with self.transaction():
            self.execute("INSERT OR IGNORE INTO datasets VALUES (?, ?)", (sandbox, dataset))

    def datasets(self, sandbox: str) -> frozenset[str]:
        """Return the datasets added to a sandbox."""
        rows: list[tuple[str]] = self.execute("SELECT dataset FROM datasets WHERE sandbox = ?", (sandbox,)).fetchall()
        return frozenset(row[0] for row in rows)

    # --- batches ---

    def next_n(self) -> int:
        """Return the number that the next batch gets; no number is used twice."""
        row: tuple[int] | None = self.execute("SELECT seq FROM sqlite_sequence WHERE name = 'batches'").fetchone()
        return 1 + (row[0] if row else 0)

    def add(self, stored: Stored, *, hidden_until: int | None = None) -> Stored:
        """Store a new batch; Catalog does not show it before `hidden_until` (epoch ms)."""
        with self.transaction():
            cursor = self.execute(
                "INSERT INTO batches (id, scope, dataset, external_id, status, created, updated, replays,"
                " due, steps, outcome, object) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (stored.id, stored.scope, *_columns(stored)),
            )
            result = replace(stored, n=cursor.lastrowid or 0)
            self._insert_tags(result)
            if hidden_until is not None:
                self.execute("INSERT INTO lagging VALUES (?, ?)", (result.n, hidden_until))
        return result

    def save(self, before: Stored, after: Stored) -> Stored:
        """Replace a stored batch by its next version, and return the latter."""
        with self.transaction():
            self.execute(
                "UPDATE batches SET dataset = ?, external_id = ?, status = ?, created = ?, updated = ?,"
                " replays = ?, due = ?, steps = ?, outcome = ?, object = ? WHERE n = ?",
                (*_columns(after), after.n),
            )
            if before.object["tags"] != after.object["tags"]:
                self.execute("DELETE FROM tags WHERE n = ?", (after.n,))
                self._insert_tags(after)
        return after

    def remove(self, stored: Stored) -> None:
        """Remove a batch without a trace."""
        with self.transaction():
            for table in ("batches", "tags", "lagging", "files", "parts"):
                self.execute(f"DELETE FROM {table} WHERE n = ?", (stored.n,))  # noqa: S608 - names from here

    def _insert_tags(self, stored: Stored) -> None:
        self._connection.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?, ?, ?, ?, ?)", _tag_rows(stored))

    def get(self, batch: str) -> Stored | None:
        """Return the batch with the id, whatever its sandbox."""
        return next(iter(self.read("WHERE id = ?", (batch,))), None)

    def with_external_id(self, external_id: str, org: str) -> list[Stored]:
        """Return an organisation's batches with the external id, oldest first."""
        return self.read(
            "WHERE external_id = ? AND scope IN (SELECT scope FROM scopes WHERE org = ?) ORDER BY n",
            (external_id, org),
        )

    def due(self, now: int) -> list[Stored]:
        """Return up to 1,000 batches whose next step is due, in the order in which they became due."""
        return self.read("WHERE due <= ? ORDER BY due, n LIMIT 1000", (now,))

    def is_hidden(self, stored: Stored) -> bool:
        """Tell whether Catalog does not show the batch yet."""
        return self.execute("SELECT 1 FROM lagging WHERE n = ?", (stored.n,)).fetchone() is not None

    def end_lags(self, now: int) -> None:
        """Let Catalog show the batches whose lag is over."""
        if self.execute("SELECT 1 FROM lagging WHERE until <= ? LIMIT 1", (now,)).fetchone() is None:
            return  # most calls need no write transaction
        with self.transaction():
            self.execute("DELETE FROM lagging WHERE until <= ?", (now,))

    def read(self, tail: str, parameters: Sequence[object] = ()) -> list[Stored]:
        """Return the batches that the end of a statement selects: `WHERE …`, `ORDER BY …`."""
        rows: list[Row] = self.execute(
            f"SELECT {COLUMNS} FROM batches {tail}",  # noqa: S608 - constants of this package
            parameters,
        ).fetchall()
        return [_stored(row) for row in rows]


def _columns(stored: Stored) -> tuple[object, ...]:
    batch = stored.object
    return (
        dataset_of(batch),
        batch["externalId"],
        batch["status"],
        batch["created"],
        batch["updated"],
        "replay" in batch,
        stored.due,
        dump([[step.after_ms, step.status] for step in stored.steps]),
        stored.outcome,
        dump(batch),
    )


def _tag_rows(stored: Stored) -> Iterable[tuple[object, ...]]:
    """Return a row per value; an empty list gives one with an empty value, so that the tag itself can be found."""
    batch = stored.object
    dataset, created = dataset_of(batch), batch["created"]
    for name, values in batch["tags"].items():
        for value in values or ("",):
            yield stored.n, name, value, stored.scope, dataset, created


def _stored(row: Row) -> Stored:
    n, batch, scope, due, steps, outcome, text = row
    return Stored(
        n=n,
        id=batch,
        scope=scope,
        due=due,
        steps=tuple(Step(after, status) for after, status in json.loads(steps)),
        outcome=outcome,
        object=json.loads(text),
    )


@functools.cache
def sandbox_id(org: str, sandbox: str) -> str:
    """Return the `sandboxId` that batches and datasets of the sandbox show."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{org}/{sandbox}"))
