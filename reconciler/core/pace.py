"""How wide, how fast and how patient a run is: each of these default numbers stands here, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Pace:
    """The pace of one run."""

    parallelism: int = 8
    """How many requests may be in flight."""
    rate: int = 1_800
    """Creations a minute; AEP allows 2,000 to one user, shared with all that this user runs (aep-api.md §9)."""
    part_bytes: int = 100_000_000
    """Bytes of one part of a large file: what a cut connection costs at most."""
    settle: float = 30.0
    """Seconds that Catalog is given to show what exists (its lag is unverified: aep-api.md §4)."""
    first_look: float = 0.1
    """Seconds before the second look for a batch that may exist; doubled each time."""
    longest_look: float = 4.0
    """Longest time between two such looks, in seconds."""
    grace: float = 5.0
    """Seconds that requests under way are given after an interrupt: runners send the next signal 7.5 s after it."""
    longest_wait: float = 3_600.0
    """Seconds that a completed batch is waited for (aep-api.md §5.4)."""

    def pauses(self, seconds: float) -> Iterator[float]:
        """The pauses between looks for something that may show within so many seconds; together they are as long."""
        pause = self.first_look
        while seconds > 0:
            yield min(pause, seconds)
            seconds, pause = seconds - pause, min(pause * 2, self.longest_look)


DEFAULT = Pace()
