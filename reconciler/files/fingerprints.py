"""SHA-256 of data files, remembered by size, mtime and inode: a plan over unchanged terabytes reads nothing.

Only a cache: it may be lost and is never committed; one that cannot be read counts as empty.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import file_digest
from time import time_ns
from typing import TYPE_CHECKING

from reconciler.core.errors import ContentChanged
from reconciler.files.caches import read_cache, write_cache
from reconciler.files.inside import open_regular

if TYPE_CHECKING:
    from pathlib import Path

VERSION = 1

TICK_NS = 20_000_000
"""Nanoseconds: two writes that are closer to each other may leave the same mtime."""
COARSE_NS = 2_000_000_000
"""Nanoseconds: the same where mtimes are whole seconds."""
SECOND_NS = 1_000_000_000

MAX_CACHE = 1024 * 1024 * 1024
"""Bytes of the largest cache that is read."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What shows that a file is unchanged, without reading it."""

    size: int
    """Bytes."""
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """The stamp that a status shows."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)


@dataclass(frozen=True, slots=True)
class Entry:
    """What is remembered of a file with a certain stamp."""

    stamp: Stamp
    sha256: str = ""
    """In hex; empty if only its beginning was read."""
    rules: str = ""
    """The rules (`data_files.rules_of`) under which its beginning was in order; empty if it was not checked."""


class Fingerprints:
    """The cache of one environment: `load`, ask, `save`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, Entry] = {}
        self._used: set[str] = set()
        self._is_changed = False

    def load(self) -> None:
        """Read the cache; one that cannot be read is empty."""
        with suppress(ValueError, TypeError, AttributeError):
            found = json.loads(read_cache(self._path, MAX_CACHE))
            if found.get("version") != VERSION:
                return
            for path, (size, mtime_ns, inode, sha256, rules) in found["files"].items():
                self._entries[path] = Entry(Stamp(size, mtime_ns, inode), str(sha256), str(rules))

    def save(self) -> None:
        """Write the entries that were used, if any of them is new; it is no error if the disk refuses."""
        if not self._is_changed:
            return
        files = {
            path: (entry.stamp.size, entry.stamp.mtime_ns, entry.stamp.inode, entry.sha256, entry.rules)
            for path, entry in self._entries.items()
            if path in self._used
        }
        text = json.dumps({"version": VERSION, "files": files}, separators=(",", ":"))
        write_cache(self._path, text.encode())
        self._is_changed = False

    def has_passed(self, path: str, stamp: Stamp, rules: str) -> bool:
        """Whether the file's beginning was in order under these rules."""
        self._used.add(path)
        entry = self._entries.get(path)
        return entry is not None and entry.stamp == stamp and entry.rules == rules

    def note_passed(self, path: str, stamp: Stamp, rules: str) -> None:
        """Remember that the file's beginning was in order under these rules."""
        entry = self._entries.get(path)
        base = entry if entry is not None and entry.stamp == stamp else Entry(stamp)
        self._remember(path, replace(base, rules=rules))

    def digest(self, path: str, stamp: Stamp) -> str:
        """The file's SHA-256 in hex, remembered or read now. Raises `ContentChanged`."""
        self._used.add(path)
        entry = self._entries.get(path)
        if entry is not None and entry.stamp == stamp and entry.sha256:
            return entry.sha256
        sha256 = _read_digest(path, stamp)
        rules = entry.rules if entry is not None and entry.stamp == stamp else ""
        self._remember(path, Entry(stamp, sha256, rules))
        return sha256

    def _remember(self, path: str, entry: Entry) -> None:
        # A file written a moment ago may be written again without a new mtime: its stamp proves nothing.
        granularity = COARSE_NS if entry.stamp.mtime_ns % SECOND_NS == 0 else TICK_NS
        if time_ns() - entry.stamp.mtime_ns > granularity:
            self._used.add(path)
            self._entries[path] = entry
            self._is_changed = True


def _read_digest(path: str, stamp: Stamp) -> str:
    try:
        with open_regular(path) as file:
            before = Stamp.of(os.fstat(file.fileno()))
            sha256 = file_digest(file, "sha256").hexdigest()
            after = Stamp.of(os.fstat(file.fileno()))
    except OSError as error:
        raise unreadable(path, error) from error
    if not before == after == stamp:
        raise changed(path)
    return sha256


def changed(path: str) -> ContentChanged:
    """The error for a file that is not what it was."""
    return ContentChanged(f"`{path}` changed while it was read", hint="run again when nobody writes to it")


def unreadable(path: str, error: OSError) -> ContentChanged:
    """The error for a file that cannot be read any more."""
    reason = error.strerror or type(error).__name__
    return ContentChanged(f"`{path}` cannot be read: {reason}", hint="check that it is there, and who may read it")
