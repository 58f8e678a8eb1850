"""What stays inside a folder, and what is a regular file: both are decided only here.

A pull request chooses what stands in the repository: also links that lead out of it, and pipes that never end.
Nothing is opened through a link here: callers resolve links first.
"""

from __future__ import annotations

import errno
import os
import stat
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


def is_inside(path: str | os.PathLike[str], root: str | os.PathLike[str]) -> bool:
    """Whether a path is the root or below it, every link followed. Neither of them has to exist."""
    return is_below(os.path.realpath(path), os.path.realpath(root))


def is_below(path: str, root: str) -> bool:
    """Like `is_inside`, for two paths without links."""
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


def leads_out(path: str | os.PathLike[str], root: str | os.PathLike[str]) -> bool:
    """Whether a path is below the root by its name, and elsewhere by the links in it."""
    return is_below(os.path.abspath(path), os.path.abspath(root)) and not is_inside(path, root)


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
    """Write a file that only its owner may read. Raises `OSError`, also for a link that leads out of the root."""
    if leads_out(path, root):
        raise OSError(errno.ELOOP, "it leads out of the repository")
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE), "w", encoding="utf-8") as file:
        file.write(text)
