"""Numbers as people read them."""

from __future__ import annotations

THOUSAND = 1000


def amount(size: float) -> str:
    """Bytes in the largest unit that leaves a number of at least 1: `12.3 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < THOUSAND:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= THOUSAND
    return f"{size:.1f} TB"


def counted(count: int, one: str, many: str) -> str:
    """The count and its noun: `1 file`, `2 files`."""
    return f"{count} {one if count == 1 else many}"


def undecided_creates(count: int) -> str:
    """How many creates of an earlier run have no known outcome yet."""
    return f"{counted(count, 'create of an earlier run is', 'creates of an earlier run are')} undecided"
