"""What stays inside a folder, and what is a regular file: both are decided only here.

A pull request chooses what stands in the repository: also links that lead out of it, and pipes that never end.
Nothing is opened through a link here: callers resolve links first.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from io import BufferedReader

PRIVATE = 0o600
"""Mode of new files other than the state."""

NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
BINARY = getattr(os, "O_BINARY", 0)
"""Flags of `open` that some systems do not have."""

NO_WAIT = getattr(os, "O_NONBLOCK", 0)
"""Without it, opening a named pipe would wait for a writer."""

MAY_READ = "check that it exists, and who may read it"
"""The hint where something cannot be read."""


def is_inside(path: str | os.PathLike[str], root: str | os.PathLike[str]) -> bool:
    """Whether a path is the root or below it, every link followed. Neither of them has to exist."""
    return is_below(os.path.realpath(path), os.path.realpath(root))


def is_below(path: str, root: str) -> bool:
    """Like `is_inside`, for two paths without links."""
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


def followed(path: str | os.PathLike[str], root: str | os.PathLike[str]) -> str | None:
    """Why a path must not be used: a link that lies in the root is on its way. None if there is none.

    A person may name any place, and links that lie elsewhere are theirs; those in the root are a pull request's.
    """
    top, way = os.path.realpath(root), ""
    for part in Path(os.path.abspath(path)).parts:
        way = os.path.join(way, part)
        if os.path.islink(way) and is_below(os.path.realpath(os.path.dirname(way)), top):
            does = "is a symbolic link, and links in the repository are not followed"
            does = does if is_inside(way, top) else "leads out of the repository"
            return f"`{os.path.relpath(way, top)}` {does}"
    return None


def read_given(path: str | os.PathLike[str], root: str | os.PathLike[str], most: int) -> bytes:
    """The bytes of a file that a person named, at most one more than `most`.

    Raises `OSError`, also for a link in the root, and for what is not a regular file.
    """
    with open_regular(os.path.realpath(_checked(path, root))) as file:
        return file.read(most + 1)


def _checked(path: str | os.PathLike[str], root: str | os.PathLike[str]) -> str:
    """The path without `..`, which would lead elsewhere behind a link. Raises `OSError` for a link in the root."""
    flaw = followed(path, root)
    if flaw is not None:
        raise OSError(errno.ELOOP, flaw)
    return os.path.abspath(path)


def spelled(path: str) -> str:
    """The path as text: its bytes as UTF-8, whatever the locale says. What is not UTF-8 stays as lone surrogates."""
    return path if path.isascii() else os.fsencode(path).decode("utf-8", "surrogateescape")


def reason(error: OSError) -> str:
    """Why something cannot be read, in a few words."""
    return error.strerror or type(error).__name__


def open_regular(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a file for reading. Raises `OSError`, also for a link, a folder, a pipe or a device."""
    descriptor = os.open(path, os.O_RDONLY | NO_WAIT | NO_FOLLOW | BINARY)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    raise OSError(errno.EINVAL, "it is not a file")


def write_private(path: str | os.PathLike[str], text: str, root: str | os.PathLike[str]) -> None:
    """Write a file that only its owner may read. Raises `OSError`, also for a link in the root."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | NO_WAIT  # a pipe that nobody reads must not hold the run up
    descriptor = os.open(_checked(path, root), flags, PRIVATE)
    if NO_WAIT:
        os.set_blocking(descriptor, True)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
