"""The tables of the emulator's database, and how it is opened."""

from __future__ import annotations

import os
import secrets
import sqlite3
from typing import TYPE_CHECKING, Final

from reconciler.emulator.patterns import matches_pattern
from reconciler.emulator.ulid import SEED_BITS

if TYPE_CHECKING:
    from pathlib import Path

FORMAT: Final = 1
"""The version of the tables, in `PRAGMA user_version`."""

TABLES: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE scopes (
    scope INTEGER PRIMARY KEY, org TEXT NOT NULL, sandbox TEXT NOT NULL, UNIQUE (org, sandbox)
);
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
CREATE INDEX batch_by_replay ON batches (scope, dataset, created) WHERE replays = 1;
CREATE INDEX batch_by_due ON batches (due) WHERE due IS NOT NULL;
CREATE TABLE tags (
    n INTEGER, name TEXT, value TEXT, scope INTEGER, dataset TEXT, created INTEGER,
    PRIMARY KEY (n, name, value)
) WITHOUT ROWID;
CREATE INDEX tag_by_value ON tags (scope, name, value, dataset, created);
CREATE TABLE lagging (n INTEGER PRIMARY KEY, until INTEGER NOT NULL);
CREATE TABLE files (
    n INTEGER, path TEXT, size INTEGER NOT NULL, complete INTEGER NOT NULL, PRIMARY KEY (n, path)
) WITHOUT ROWID;
CREATE TABLE parts (
    n INTEGER, path TEXT, first INTEGER, last INTEGER, PRIMARY KEY (n, path, first, last)
) WITHOUT ROWID;
"""


def connect(path: Path | None) -> sqlite3.Connection:
    """Open the database, or make a new one; None: in memory. Raises ValueError if another version wrote it."""
    if path is not None:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite takes an empty file for a new database
    connection = sqlite3.connect(
        path or ":memory:", isolation_level=None, check_same_thread=False, cached_statements=512
    )
    connection.create_function("matches", 2, matches_pattern, deterministic=True)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found == 0:
        _create(connection)
    elif found != FORMAT:
        connection.close()
        raise ValueError(f"the emulator's data has format {found}, not {FORMAT}: delete `{path}` to start anew")
    return connection


def _create(connection: sqlite3.Connection) -> None:
    """Make all tables in one transaction, which `executescript` would commit too early."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in TABLES.split(";\n"):
        connection.execute(statement)
    connection.execute("INSERT INTO meta VALUES ('seed', ?)", (secrets.randbits(SEED_BITS),))
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    connection.execute("COMMIT")
