"""SHA-256 of data files, remembered by size, times and inode: a plan over unchanged terabytes reads nothing.

Only a cache: it may be lost and is never committed. One that cannot be read, or was not written by us, counts as empty;
an entry that turns out to be wrong is dropped.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import file_digest
from time import time_ns
from typing import TYPE_CHECKING, NamedTuple

from reconciler.core.errors import ContentChanged
from reconciler.core.wording import visible
from reconciler.files.caches import read_cache, write_cache
from reconciler.files.inside import MAY_READ, open_regular, reason, spelled

if TYPE_CHECKING:
    from pathlib import Path

VERSION = 2

TICK_NS = 20_000_000
"""Nanoseconds: two writes that are closer to each other may leave the same time."""
COARSE_NS = 2_000_000_000
"""Nanoseconds: the same where times are whole seconds."""
SECOND_NS = 1_000_000_000

MAX_CACHE = 256 * 1024 * 1024
"""Bytes of the largest cache that is read: more than a million files."""

_SHA256 = re.compile("[0-9a-f]{64}|")


class Stamp(NamedTuple):
    """What shows that a file is unchanged, without reading it."""

    size: int
    """Bytes."""
    mtime_ns: int
    ctime_ns: int
    """When its bytes, its name or its mtime were last changed: unlike the mtime, nobody can set it back."""
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """The stamp that a status shows."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)

    def is_like(self, other: Stamp) -> bool:
        """Whether both may be of the same bytes: a new name or mode changes the ctime alone."""
        return (self.size, self.mtime_ns, self.inode) == (other.size, other.mtime_ns, other.inode)

    def is_settled(self, now_ns: int) -> bool:
        """Whether a change after `now_ns` would show: a file written a moment ago may be written again in one tick."""
        return all(now_ns - at > (TICK_NS if at % SECOND_NS else COARSE_NS) for at in (self.mtime_ns, self.ctime_ns))


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
        """Read the cache; one that is not as `save` wrote it is empty."""
        with suppress(ValueError, TypeError, LookupError, AttributeError, RecursionError):
            found = json.loads(read_cache(self._path, MAX_CACHE))
            if found["version"] == VERSION:
                self._entries = {path: _entry(*fields) for path, fields in found["files"].items()}

    def save(self, *, prune: bool = False) -> None:
        """Write the entries, if any is new; it is no error if the disk refuses. `prune`: only those that were used."""
        if not self._is_changed:
            return
        entries = self._entries.items()
        files = {path: (*e.stamp, e.sha256, e.rules) for path, e in entries if not prune or path in self._used}
        text = json.dumps({"version": VERSION, "files": files}, separators=(",", ":"))
        write_cache(self._path, text.encode())
        self._is_changed = False

    def forget(self, path: str) -> None:
        """Drop what is remembered of a file, for later runs too: it was read, and is something else."""
        if self._entries.pop(path, None) is not None:
            self._is_changed = True
            self.save()

    def has_passed(self, path: str, stamp: Stamp, rules: str) -> bool:
        """Whether the file's beginning was in order under these rules."""
        return self._known(path, stamp).rules == rules

    def note_passed(self, path: str, stamp: Stamp, rules: str, since_ns: int) -> None:
        """Remember that the file's beginning, read after `since_ns`, was in order under these rules."""
        self._remember(path, replace(self._known(path, stamp), rules=rules), since_ns)

    def digest(self, path: str, stamp: Stamp) -> str:
        """The file's SHA-256 in hex, remembered or read now. Raises `ContentChanged`."""
        known, since_ns = self._known(path, stamp), time_ns()
        if known.sha256:
            return known.sha256
        sha256 = _read_digest(path, stamp)
        self._remember(path, replace(known, sha256=sha256), since_ns)
        return sha256

    def _known(self, path: str, stamp: Stamp) -> Entry:
        self._used.add(path)
        entry = self._entries.get(path)
        return entry if entry is not None and entry.stamp == stamp else Entry(stamp)

    def _remember(self, path: str, entry: Entry, since_ns: int) -> None:
        if entry.stamp.is_settled(since_ns):
            self._entries[path] = entry
            self._is_changed = True


def _entry(size: int, mtime_ns: int, ctime_ns: int, inode: int, sha256: str, rules: str) -> Entry:
    """An entry as it stands in the cache. Raises `ValueError` or `TypeError` if it is none."""
    if not _SHA256.fullmatch(sha256) or not isinstance(rules, str):
        raise ValueError(sha256)
    return Entry(Stamp(size, mtime_ns, ctime_ns, inode), sha256, rules)


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
    return ContentChanged(
        f"`{visible(spelled(path))}` changed while it was read", hint="run again when nobody writes to it"
    )


def unreadable(path: str, error: OSError) -> ContentChanged:
    """The error for a file that cannot be read any more."""
    return ContentChanged(f"`{visible(spelled(path))}` cannot be read: {reason(error)}", hint=MAY_READ)
