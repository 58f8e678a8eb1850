"""Numbers of bytes as people read them."""

from __future__ import annotations

THOUSAND = 1000


def amount(size: float) -> str:
    """Bytes in the largest unit that leaves a number of at least 1: `12.3 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < THOUSAND:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= THOUSAND
    return f"{size:.1f} TB"
