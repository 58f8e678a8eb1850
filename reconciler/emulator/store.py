"""The emulator's memory: one SQLite database, indexed for what Catalog is asked. It knows rows, not the API.

A commit survives the death of the process at once (WAL), a power cut within moments (`synchronous=NORMAL`). One
process at a time; inside it any thread, one transaction at a time.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.emulator.objects import dataset_of, dump
from reconciler.emulator.patterns import matches_pattern
from reconciler.emulator.ulid import SEED_BITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from reconciler.emulator.objects import BatchObject

FORMAT: Final = 1

SCHEMA: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE scopes (scope INTEGER PRIMARY KEY, org TEXT NOT NULL, sandbox TEXT NOT NULL, UNIQUE (org, sandbox));
CREATE TABLE datasets (sandbox TEXT, dataset TEXT, PRIMARY KEY (sandbox, dataset)) WITHOUT ROWID;
CREATE TABLE batches (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    scope INTEGER NOT NULL,
    dataset TEXT NOT NULL,
    external_id TEXT NOT NULL,
    status TEXT NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    replays INTEGER NOT NULL,  -- whether it replays others
    due INTEGER,               -- when the next step of its life comes
    steps TEXT NOT NULL,       -- that step and those after it
    outcome TEXT,              -- how its promotion ends, if that was told
    object TEXT NOT NULL       -- what Catalog shows, without the id
);
CREATE UNIQUE INDEX batch_by_id ON batches (id);
CREATE INDEX batch_by_external_id ON batches (external_id);
CREATE INDEX batch_by_scope ON batches (scope, created);
CREATE INDEX batch_by_dataset ON batches (scope, dataset, created);
CREATE INDEX batch_by_status ON batches (scope, dataset, status, created);
CREATE INDEX batch_by_replay ON batches (scope, dataset, created) WHERE replays;
CREATE INDEX batch_by_due ON batches (due) WHERE due IS NOT NULL;
CREATE TABLE tags (
    scope INTEGER, name TEXT, value TEXT, dataset TEXT, created INTEGER, n INTEGER,
    PRIMARY KEY (scope, name, value, dataset, created, n)
) WITHOUT ROWID;
CREATE TABLE lagging (n INTEGER PRIMARY KEY, until INTEGER NOT NULL);
CREATE TABLE files (
    n INTEGER, path TEXT, size INTEGER NOT NULL, complete INTEGER NOT NULL, PRIMARY KEY (n, path)
) WITHOUT ROWID;
CREATE TABLE parts (n INTEGER, path TEXT, first INTEGER, last INTEGER, PRIMARY KEY (n, path, first, last)) WITHOUT ROWID;
"""

COLUMNS: Final = "n, id, scope, due, steps, outcome, object"


@dataclass(frozen=True, slots=True)
class Step:
    """One coming change of a batch's state."""

    after_ms: int
    status: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A batch as it is kept: what Catalog shows and what only the platform knows."""

    n: int
    """0 until it is stored."""
    id: str
    scope: int
    object: BatchObject
    due: int | None = None
    """Epoch milliseconds of the first of `steps`."""
    steps: tuple[Step, ...] = ()
    outcome: str | None = None


class Store:
    """The database. `path=None` keeps it in memory."""

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(
            path or ":memory:", isolation_level=None, check_same_thread=False, cached_statements=512
        )
        self._connection.create_function("matches", 2, matches_pattern, deterministic=True)
        self._execute("PRAGMA journal_mode = WAL")
        self._execute("PRAGMA synchronous = NORMAL")
        self._create()
        self.seed = self.number("seed")
        """Sets the ids of this database apart from those of others."""
        self._scopes: dict[tuple[str, str], int] = {}

    def _create(self) -> None:
        (found,) = self._execute("PRAGMA user_version").fetchone()
        if found not in {0, FORMAT}:
            raise ValueError(
                f"the emulator's data file has format {found}, not {FORMAT}: delete it, or use the version that wrote it"
            )
        if found == 0:
            with self.transaction():
                for statement in SCHEMA.split(";"):
                    self._execute(statement)
                self.set_number("seed", secrets.randbits(SEED_BITS))
                self._execute(f"PRAGMA user_version = {FORMAT}")

    def close(self) -> None:
        """Close the database. Harmless twice."""
        with self._lock:
            self._connection.close()

    def _execute(self, sql: str, parameters: Sequence[object] = ()) -> sqlite3.Cursor:
        return self._connection.execute(sql, parameters)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; a transaction inside another is part of it."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._execute("ROLLBACK")
                raise
            self._execute("COMMIT")

    def select(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Return all rows of a query."""
        with self._lock:
            return self._execute(sql, parameters).fetchall()

    # --- numbers and scopes ---

    def number(self, name: str) -> int:
        """Return a number kept under the name, 0 at first."""
        with self._lock:
            row = self._execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def set_number(self, name: str, value: int) -> None:
        """Keep a number under the name."""
        with self._lock:
            self._execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def scope(self, org: str, sandbox: str) -> int:
        """Return the number of an organisation's sandbox, known or new."""
        key = (org, sandbox)
        if key not in self._scopes:
            with self._lock:
                self._execute("INSERT OR IGNORE INTO scopes (org, sandbox) VALUES (?, ?)", key)
                row = self._execute("SELECT scope FROM scopes WHERE org = ? AND sandbox = ?", key).fetchone()
            self._scopes[key] = int(row[0])
        return self._scopes[key]

    def owner(self, scope: int) -> tuple[str, str]:
        """Return the organisation and the sandbox of a scope."""
        with self._lock:
            row = self._execute("SELECT org, sandbox FROM scopes WHERE scope = ?", (scope,)).fetchone()
        return str(row[0]), str(row[1])

    def add_dataset(self, sandbox: str, dataset: str) -> None:
        """Make a dataset known to a sandbox."""
        with self._lock:
            self._execute("INSERT OR IGNORE INTO datasets VALUES (?, ?)", (sandbox, dataset))

    def datasets(self, sandbox: str) -> frozenset[str]:
        """Return the datasets added to a sandbox."""
        rows = self.select("SELECT dataset FROM datasets WHERE sandbox = ?", (sandbox,))
        return frozenset(str(row[0]) for row in rows)

    # --- batches ---

    def next_n(self) -> int:
        """Return the number that the next batch gets; none is given twice."""
        with self._lock:
            row = self._execute("SELECT seq FROM sqlite_sequence WHERE name = 'batches'").fetchone()
        return 1 + (int(row[0]) if row else 0)

    def add(self, stored: Stored, *, hidden_until: int | None = None) -> Stored:
        """Store a new batch; Catalog does not show it before `hidden_until` (epoch ms)."""
        with self.transaction():
            cursor = self._execute(
                "INSERT INTO batches (id, scope, dataset, external_id, status, created, updated, replays,"
                " due, steps, outcome, object) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (stored.id, stored.scope, *_columns(stored)),
            )
            result = Stored(
                cursor.lastrowid or 0,
                stored.id,
                stored.scope,
                stored.object,
                stored.due,
                stored.steps,
                stored.outcome,
            )
            self._insert_tags(result)
            if hidden_until is not None:
                self._execute("INSERT INTO lagging VALUES (?, ?)", (result.n, hidden_until))
        return result

    def save(self, before: Stored, after: Stored) -> None:
        """Replace a stored batch by its next version."""
        with self.transaction():
            self._execute(
                "UPDATE batches SET dataset = ?, external_id = ?, status = ?, created = ?, updated = ?, replays = ?,"
                " due = ?, steps = ?, outcome = ?, object = ? WHERE n = ?",
                (*_columns(after), after.n),
            )
            if before.object["tags"] != after.object["tags"]:
                self._delete_tags(before)
                self._insert_tags(after)

    def remove(self, stored: Stored) -> None:
        """Forget a batch as if it had never been."""
        with self.transaction():
            self._delete_tags(stored)
            for table in ("batches", "lagging", "files", "parts"):
                self._execute(f"DELETE FROM {table} WHERE n = ?", (stored.n,))  # noqa: S608 - names from here

    def _insert_tags(self, stored: Stored) -> None:
        self._connection.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?, ?, ?, ?, ?)", _tag_rows(stored))

    def _delete_tags(self, stored: Stored) -> None:
        self._connection.executemany(
            "DELETE FROM tags WHERE scope = ? AND name = ? AND value = ? AND dataset = ? AND created = ? AND n = ?",
            _tag_rows(stored),
        )

    def get(self, batch: str) -> Stored | None:
        """Return the batch with the id, wherever it is."""
        return next(self._read("SELECT * FROM batches WHERE id = ?", (batch,)), None)

    def with_external_id(self, external_id: str, org: str) -> list[Stored]:
        """Return an organisation's batches with the external id, oldest first."""
        return list(
            self._read(
                "SELECT b.* FROM batches b JOIN scopes s USING (scope) WHERE external_id = ? AND org = ? ORDER BY n",
                (external_id, org),
            )
        )

    def all(self) -> list[Stored]:
        """Return every batch of every sandbox, hidden ones too, oldest first."""
        return list(self._read("SELECT * FROM batches ORDER BY n", ()))

    def due(self, now: int) -> list[Stored]:
        """Return some of the batches whose next step has come, those that waited longest first."""
        return list(
            self._read("SELECT * FROM batches WHERE due <= ? ORDER BY due, n LIMIT 1000", (now,))
        )

    def show_until(self, now: int) -> None:
        """Let Catalog show the batches whose lag is over."""
        with self._lock:
            self._execute("DELETE FROM lagging WHERE until <= ?", (now,))

    def _read(self, sql: str, parameters: Sequence[object]) -> Iterator[Stored]:
        for row in self.select(sql.replace("*", COLUMNS), parameters):
            yield _stored(row)

    # --- files ---

    def files(self, n: int) -> list[tuple[str, int, bool]]:
        """Return path, bytes and completeness of a batch's files."""
        rows = self.select("SELECT path, size, complete FROM files WHERE n = ? ORDER BY path", (n,))
        return [(str(path), int(str(size)), bool(complete)) for path, size, complete in rows]

    def put_file(self, n: int, path: str, *, size: int, complete: bool) -> bool:
        """Record a file, whose earlier parts are forgotten; return whether it was there before."""
        with self.transaction():
            known = bool(self.select("SELECT 1 FROM files WHERE n = ? AND path = ?", (n, path)))
            self._execute("DELETE FROM parts WHERE n = ? AND path = ?", (n, path))
            self._execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", (n, path, size, complete))
        return known

    def add_part(self, n: int, path: str, first: int, last: int) -> None:
        """Record that the bytes from `first` to `last`, both included, have come."""
        with self._lock:
            self._execute("INSERT OR IGNORE INTO parts VALUES (?, ?, ?, ?)", (n, path, first, last))

    def parts(self, n: int, path: str) -> list[tuple[int, int]]:
        """Return the recorded parts, sorted."""
        rows = self.select("SELECT first, last FROM parts WHERE n = ? AND path = ? ORDER BY 1, 2", (n, path))
        return [(int(str(first)), int(str(last))) for first, last in rows]


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
    """One row a value; an empty list leaves one with an empty value, so that presence can be asked for."""
    batch = stored.object
    dataset, created = dataset_of(batch), batch["created"]
    for name, values in batch["tags"].items():
        for value in values or ("",):
            yield stored.scope, name, value, dataset, created, stored.n


def _stored(row: tuple[object, ...]) -> Stored:
    n, batch, scope, due, steps, outcome, text = row
    return Stored(
        n=int(str(n)),
        id=str(batch),
        scope=int(str(scope)),
        due=None if due is None else int(str(due)),
        steps=tuple(Step(after, status) for after, status in json.loads(str(steps))),
        outcome=None if outcome is None else str(outcome),
        object=json.loads(str(text)),
    )


def sandbox_id(org: str, sandbox: str) -> str:
    """Return the id that stands for a sandbox's name in its objects."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{org}/{sandbox}"))
