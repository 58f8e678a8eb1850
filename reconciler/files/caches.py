"""Files whose loss costs only time: empty when they cannot be read, written whole or not at all, through no link."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.files.inside import BINARY, NO_FOLLOW, PRIVATE, open_regular

if TYPE_CHECKING:
    from pathlib import Path


def read_cache(path: Path, most: int) -> bytes:
    """Read a file of `write_cache`; empty if it cannot be read, is a link, or has more than `most` bytes."""
    try:
        with open_regular(path) as file:
            data = file.read(most + 1)
    except OSError:
        return b""
    return data if len(data) <= most else b""


def write_cache(path: Path, data: bytes) -> None:
    """Write a file without syncing it. Where the disk refuses, the file stays as it was."""
    temp = path.with_name(f".{path.name}.tmp")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temp.unlink(missing_ok=True)  # a link, or a pipe that nobody reads
        descriptor = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW | BINARY, PRIVATE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        temp.replace(path)
