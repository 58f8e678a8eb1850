"""SHA-256 of data files, remembered by size, mtime and inode: a plan over unchanged terabytes reads nothing.

Only a cache: it may be lost, it is never committed, and whatever cannot be read in it is left out.
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
"""Nanoseconds within which two writes may leave one mtime; where mtimes are whole seconds, two of those."""
COARSE_NS = 2_000_000_000
SECOND_NS = 1_000_000_000

MAX_CACHE = 1024 * 1024 * 1024
"""Bytes of the largest cache that is read."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """By what a file is known to be unchanged without reading it."""

    size: int
    """Bytes."""
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """The stamp that a status shows."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)


@dataclass(frozen=True, slots=True)
class Known:
    """What was found out about a file with a certain stamp."""

    stamp: Stamp
    sha256: str = ""
    """In hex; empty while only its beginning was read."""
    rules: str = ""
    """Under which rules its beginning was found to be in order."""


class Fingerprints:
    """The cache of one environment: `load`, ask, `save`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Known] = {}
        self._kept: set[str] = set()
        self._is_changed = False

    def load(self) -> None:
        """Read the cache; one that cannot be read is as good as none."""
        with suppress(ValueError, TypeError, AttributeError):
            found = json.loads(read_cache(self._path, MAX_CACHE))
            if found.get("version") != VERSION:
                return
            for path, (size, mtime_ns, inode, sha256, rules) in found["files"].items():
                self._known[path] = Known(Stamp(size, mtime_ns, inode), str(sha256), str(rules))

    def save(self) -> None:
        """Write what was asked for, if any of it is new; a disk that refuses costs only time, next time."""
        if not self._is_changed:
            return
        files = {
            path: (known.stamp.size, known.stamp.mtime_ns, known.stamp.inode, known.sha256, known.rules)
            for path, known in self._known.items()
            if path in self._kept
        }
        text = json.dumps({"version": VERSION, "files": files}, separators=(",", ":"))
        write_cache(self._path, text.encode())
        self._is_changed = False

    def passed(self, path: str, stamp: Stamp, rules: str) -> bool:
        """Whether the file's beginning was in order under these rules."""
        self._kept.add(path)
        known = self._known.get(path)
        return known is not None and known.stamp == stamp and known.rules == rules

    def note_passed(self, path: str, stamp: Stamp, rules: str) -> None:
        """Remember that it is."""
        known = self._known.get(path)
        base = known if known is not None and known.stamp == stamp else Known(stamp)
        self._remember(path, replace(base, rules=rules))

    def digest(self, path: str, stamp: Stamp) -> str:
        """The file's SHA-256 in hex, remembered or read now. Raises `ContentChanged`."""
        self._kept.add(path)
        known = self._known.get(path)
        if known is not None and known.stamp == stamp and known.sha256:
            return known.sha256
        sha256 = _read_digest(path, stamp)
        rules = known.rules if known is not None and known.stamp == stamp else ""
        self._remember(path, Known(stamp, sha256, rules))
        return sha256

    def _remember(self, path: str, known: Known) -> None:
        # What was written a moment ago may be written again without a new mtime: such a stamp proves nothing.
        granularity = COARSE_NS if known.stamp.mtime_ns % SECOND_NS == 0 else TICK_NS
        if time_ns() - known.stamp.mtime_ns > granularity:
            self._kept.add(path)
            self._known[path] = known
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
