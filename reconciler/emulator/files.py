"""The files of batches (aep-api.md §6): their bytes on disk beside the database, their sizes and parts in it."""

from __future__ import annotations

import hashlib
import itertools
import shutil
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.emulator.store import Store


class Files:
    """Files by batch number and path. A path becomes a hash on disk, so that no caller can choose a file name."""

    def __init__(self, store: Store, database: Path | None) -> None:
        self._store = store
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._folder = None if database is None else database.with_name(f"{database.name}.files")
        self._uploads = itertools.count()

    def close(self) -> None:
        """Remove the bytes of a database in memory; keep those of one on disk."""
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def _root(self) -> Path:
        if self._folder is not None:
            return self._folder
        self._temporary = self._temporary or tempfile.TemporaryDirectory(prefix="emulator-")
        return Path(self._temporary.name)

    def _place(self, n: int, path: str, suffix: str) -> Path:
        batch = self._root() / str(n)
        batch.mkdir(parents=True, exist_ok=True)
        return batch / (hashlib.sha256(path.encode()).hexdigest() + suffix)

    def remove_batch(self, n: int) -> None:
        """Delete the bytes of a batch's files."""
        shutil.rmtree(self._place(n, "", "").parent)

    # --- small files ---

    def start_upload(self, n: int, path: str) -> IO[bytes]:
        """Open a temporary file for the bytes of one PUT; `finish_upload` makes it the batch's file."""
        return self._place(n, path, f".{next(self._uploads)}.upload").open("wb")

    def finish_upload(self, n: int, path: str, upload: IO[bytes]) -> bool:
        """Make the uploaded bytes the file; return whether there was one before."""
        size = upload.tell()
        upload.close()
        Path(upload.name).replace(self._place(n, path, ""))
        return self._record(n, path, size=size, complete=True)

    def drop_upload(self, upload: IO[bytes]) -> None:
        """Delete uploaded bytes that have not become a file."""
        upload.close()
        Path(upload.name).unlink(missing_ok=True)

    # --- large files ---

    def start_large(self, n: int, path: str) -> None:
        """Begin a large file, or begin it again without its parts."""
        self._place(n, path, ".large").write_bytes(b"")
        self._record(n, path, size=0, complete=False)

    def open_part(self, n: int, path: str, first: int) -> IO[bytes]:
        """Open a large file for writing from the byte `first` on."""
        part = self._place(n, path, ".large").open("r+b")
        part.seek(first)
        return part

    def add_part(self, n: int, path: str, first: int, last: int) -> None:
        """Record that the bytes from `first` to `last`, both included, have arrived."""
        with self._store.transaction():
            self._store.execute("INSERT OR IGNORE INTO parts VALUES (?, ?, ?, ?)", (n, path, first, last))

    def parts(self, n: int, path: str) -> list[tuple[int, int]]:
        """Return the recorded parts, sorted."""
        return self._store.execute(
            "SELECT first, last FROM parts WHERE n = ? AND path = ? ORDER BY 1, 2", (n, path)
        ).fetchall()

    def finish_large(self, n: int, path: str) -> int | None:
        """Make the parts one file and return its size, or None if they leave a gap or overlap (E39)."""
        size = 0
        for first, last in self.parts(n, path):
            if first != size:
                return None
            size = last + 1
        large = self._place(n, path, ".large")
        with large.open("r+b") as whole:
            whole.truncate(size)
        large.replace(self._place(n, path, ""))
        self._record(n, path, size=size, complete=True)
        return size

    # --- what is recorded ---

    def size(self, n: int, path: str) -> tuple[int, bool] | None:
        """Return the bytes of a file and whether it is complete; None if there is no such file."""
        row: tuple[int, int] | None = self._store.execute(
            "SELECT size, complete FROM files WHERE n = ? AND path = ?", (n, path)
        ).fetchone()
        return None if row is None else (row[0], bool(row[1]))

    def sizes(self, n: int) -> dict[str, int]:
        """Return the bytes of each complete file of a batch, by path."""
        rows: list[tuple[str, int]] = self._store.execute(
            "SELECT path, size FROM files WHERE n = ? AND complete ORDER BY path", (n,)
        ).fetchall()
        return dict(rows)

    def content(self, n: int, path: str) -> bytes:
        """Return all bytes of a complete file; for tests."""
        return self._place(n, path, "").read_bytes()

    def _record(self, n: int, path: str, *, size: int, complete: bool) -> bool:
        with self._store.transaction():
            known = self.size(n, path) is not None
            self._store.execute("DELETE FROM parts WHERE n = ? AND path = ?", (n, path))
            self._store.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", (n, path, size, complete))
        return known
