"""The bookmark beside a state file: up to where Catalog was read. It is only a cache, see `core.plans.bookmark`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.core.plans.bookmark import LARGEST, dump, parse
from reconciler.files.caches import read_cache, write_cache

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.core.plans.bookmark import Bookmark

SUFFIX = ".bookmark"
"""The suffix of the file beside a state file; Git ignores it."""


def load(state: Path, digest: str) -> Bookmark | None:
    """The bookmark for a state file with this digest; None if there is no bookmark that fits."""
    found = parse(read_cache(state.with_suffix(SUFFIX), LARGEST))
    return found if found is not None and found.state == digest else None


def save(state: Path, digest: str, bookmark: Bookmark | None) -> None:
    """Keep the bookmark for a state file with this digest; None removes the file.

    A failed write is ignored: then the next run only reads more of Catalog.
    """
    path = state.with_suffix(SUFFIX)
    if bookmark is not None:
        write_cache(path, dump(replace(bookmark, state=digest)))
        return
    with suppress(OSError):
        path.unlink(missing_ok=True)
