"""The bytes of surveyed files as they were fingerprinted. A file that has changed since then is refused, never sent."""

from __future__ import annotations

import os
from bisect import bisect_left
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from reconciler.core.data_files import HEAD, LONGEST_HEADER, TAIL, is_cut_short
from reconciler.core.errors import ContentChanged
from reconciler.files.fingerprints import Stamp, changed, unreadable
from reconciler.files.inside import open_regular

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from hashlib import _Hash as _Digest
    from io import BufferedReader

    from reconciler.core.batch import File, Spec
    from reconciler.files.fingerprints import Fingerprints

CHUNK = 1024 * 1024
"""Bytes that are read at a time."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """One data file on the disk."""

    name: str
    """Within the batch."""
    path: str
    """Absolute, without links."""
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class DataFiles:
    """The files of a survey: implements `ports.Contents`."""

    files: Mapping[str, tuple[LocalFile, ...]]
    cache: Fingerprints
    """Where the fingerprints are from."""

    def open(self, address: str, file: File) -> DataFile:
        """The content of a declared file. Raises `ContentChanged` if the survey did not find it."""
        local = self.files.get(address, ())
        at = bisect_left(local, file.name, key=lambda each: each.name)
        if at < len(local) and local[at].name == file.name:
            return DataFile(local[at], file.sha256, self.cache)
        raise ContentChanged(f"file `{file.name}` of `{address}` is not there any more", hint="run again")


@dataclass(slots=True)
class DataFile:
    """The content of one data file: implements `ports.Content`."""

    local: LocalFile
    sha256: str
    cache: Fingerprints
    _before: tuple[int, _Digest] = field(default_factory=lambda: (0, sha256()))
    """How far the file was read without a gap, and the digest up to there."""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.local.stamp.size

    async def chunks(self, first: int, stop: int) -> AsyncIterator[bytes]:
        """Read the bytes from `first` up to `stop`, a mebibyte at a time; the last only if the file has not changed.

        The last byte of the file comes only if all before it, in whatever parts they were read, are as fingerprinted.
        Raises `ContentChanged`.
        """
        import asyncio  # `validate` reads no data and starts faster without it

        file = self._open()  # not in a thread: a cancelled one would leave it open
        try:
            at, before = self._before if self._before[0] <= first else (0, sha256())
            digest = before.copy()
            file.seek(at)
            while at < stop:
                most = min(CHUNK, (first if at < first else stop) - at)
                chunk = await asyncio.to_thread(_read, file, most, self.local.path)
                is_asked_for, at = at >= first, at + len(chunk)
                digest.update(chunk)
                if at == stop:
                    self._check(file, digest.hexdigest() if at == self.size else None)
                if is_asked_for:
                    yield chunk
            self._before = at, digest
        finally:
            file.close()

    def _open(self) -> BufferedReader:
        try:
            file = open_regular(self.local.path)
        except OSError as error:
            raise unreadable(self.local.path, error) from error
        if not Stamp.of(os.fstat(file.fileno())).is_like(self.local.stamp):
            file.close()
            raise changed(self.local.path)
        return file

    def _check(self, file: BufferedReader, found: str | None) -> None:
        path = self.local.path
        if not Stamp.of(os.fstat(file.fileno())).is_like(self.local.stamp):
            raise changed(path)
        if found not in {None, self.sha256}:
            self.cache.forget(path)
            raise changed(path)


def _read(file: BufferedReader, most: int, path: str) -> bytes:
    try:
        chunk = file.read(most)
    except OSError as error:
        raise unreadable(path, error) from error
    if not chunk:
        raise changed(path)
    return chunk


def read_ends(path: str, size: int, spec: Spec) -> tuple[bytes, bytes]:
    """The first bytes and the last `TAIL` ones of a file, as many as `content_flaw` needs. Raises `OSError`."""
    with open_regular(path) as file:
        head = file.read(HEAD)
        if size > len(head) and is_cut_short(spec, head):
            head += file.read(LONGEST_HEADER - HEAD)
        if size <= len(head):
            return head, b""
        file.seek(-TAIL, os.SEEK_END)
        return head, file.read(TAIL)
