"""The state's access to the file system: every effect goes through here, so that tests can make each one fail.

One method is one effect that can fail by itself. Nothing here decides anything or follows a symbolic link.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from reconciler.core.errors import StoreFailed
from reconciler.files.inside import BINARY, NO_FOLLOW, NO_WAIT, open_regular

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Status:
    """What is known about a file without opening it."""

    mode: int
    """Permission bits."""


class Handle(Protocol):
    """A file open for writing at its end."""

    def write(self, data: bytes) -> None:
        """Write all the data. After an `OSError`, any part of it may be written."""
        ...

    def sync(self) -> None:
        """Return when everything written is durable. After an `OSError`, nothing is known about it."""
        ...

    def close(self) -> None:
        """Close the file; what was not synced may be lost."""
        ...


class Disk(Protocol):
    """What the state directory needs from a file system. Every method may raise `OSError`."""

    def status(self, path: Path) -> Status | None:
        """Status of the file itself, not of what it links to; None if there is no such file."""
        ...

    def read(self, path: Path) -> bytes | None:
        """All its bytes; None if there is no such file."""
        ...

    def open(self, path: Path, *, fresh: bool, mode: int | None = None) -> Handle:
        """Open for writing at the end, emptied first if `fresh`; without `mode`, the umask decides."""
        ...

    def truncate(self, path: Path, length: int) -> None:
        """Cut the file to so many bytes and return when that is durable."""
        ...

    def replace(self, source: Path, target: Path) -> None:
        """Rename over the target in one step; it is durable only after `sync_folder`."""
        ...

    def remove(self, path: Path) -> None:
        """Remove the file; a missing file is no error."""
        ...

    def make_folder(self, path: Path) -> None:
        """Make the folder and the folders above it."""
        ...

    def sync_folder(self, path: Path) -> None:
        """Return when the names in the folder are durable."""
        ...


class _RealHandle:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


class RealDisk:
    """The file system of the operating system."""

    def status(self, path: Path) -> Status | None:
        """The mode from `lstat`."""
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return None
        return Status(stat.S_IMODE(found.st_mode))

    def read(self, path: Path) -> bytes | None:
        """All its bytes; None if there is no such file."""
        try:
            with open_regular(path) as file:
                return file.read()
        except FileNotFoundError:
            return None

    def open(self, path: Path, *, fresh: bool, mode: int | None = None) -> Handle:
        """Open for writing at the end, emptied first if `fresh`."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | NO_FOLLOW | NO_WAIT | BINARY | (os.O_TRUNC if fresh else 0)
        descriptor = os.open(path, flags, 0o666 if mode is None else mode)
        if mode is not None and hasattr(os, "fchmod"):
            os.fchmod(descriptor, mode)
        return _RealHandle(descriptor)

    def truncate(self, path: Path, length: int) -> None:
        """Cut and sync."""
        descriptor = os.open(path, os.O_WRONLY | NO_FOLLOW | BINARY)
        try:
            os.ftruncate(descriptor, length)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        """Rename over the target."""
        source.replace(target)

    def remove(self, path: Path) -> None:
        """Unlink."""
        path.unlink(missing_ok=True)

    def make_folder(self, path: Path) -> None:
        """Make it with its parents."""
        path.mkdir(parents=True, exist_ok=True)

    def sync_folder(self, path: Path) -> None:
        """Sync the folder where that is possible: Windows cannot do it, some network folders refuse it."""
        if os.name == "nt":
            return
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in _NO_FOLDER_SYNC:
                raise
        finally:
            os.close(descriptor)


_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
"""What file systems answer that cannot sync a folder: there, the rename itself is all that can be had."""

_WHOLE_FOLDER = (
    "the file is mounted by itself (a container's volume of one file), so none can take its place: mount its folder "
    "instead and run again; nothing is lost, the journal keeps what the file does not say yet"
)

HINTS = {
    errno.EBUSY: _WHOLE_FOLDER,
    errno.EXDEV: _WHOLE_FOLDER,
    errno.ENOSPC: "free some space and run again: what the journal holds is not lost",
    errno.EDQUOT: "free some of your quota and run again: what the journal holds is not lost",
    errno.EROFS: "the file system is read-only: run where the state directory can be written",
    errno.EACCES: "give this user write permission on the state directory and its files",
    errno.EPERM: "give this user write permission on the state directory and its files",
    errno.ELOOP: "the file is a symbolic link, and links are not followed: put the file itself there",
    errno.EIO: "the disk or its connection is failing: check it (`dmesg`) before you run again",
    errno.EISDIR: "a folder stands where the file should be: move it away",
    errno.ENOTDIR: "a file stands where a folder should be: move it away",
    errno.EEXIST: "a file stands where a folder should be: move it away",
}


def store_failed(error: OSError, doing: str, hints: Mapping[int, str] = HINTS) -> StoreFailed:
    """The error for people: what could not be done, the system's reason, and what to do about it, by `hints`."""
    hint = hints.get(error.errno or 0, "see to the cause and run again: nothing that is recorded was lost")
    return StoreFailed(f"{doing} failed", detail=error.strerror or str(error), hint=hint)
