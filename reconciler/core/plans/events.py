"""What a run tells while it goes, and its account at the end. `views` put them into words."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.core.errors import ReconcilerError
    from reconciler.core.plans.plan import Change


@dataclass(frozen=True, slots=True)
class Started:
    """A change is about to be carried out."""

    change: Change


@dataclass(frozen=True, slots=True)
class Completed:
    """A change was carried out and is durable."""

    change: Change
    id: str | None
    """The batch that stands at the address now; None when none does."""
    adopted: bool
    """Whether a create found its batch there already: an earlier request had its effect."""
    elapsed: float
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A change was not carried out, or it is unknown whether it was."""

    change: Change
    error: ReconcilerError
    unknown: bool
    """Whether a request may have had its effect: the next run decides by looking."""
    elapsed: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something takes long, and why: throttling, an unanswered request, Catalog's lag."""

    message: str


@dataclass(frozen=True, slots=True)
class Sent:
    """A part of a file was sent; `size` is in bytes, below zero when the attempt failed that had sent them."""

    size: int


Event = Started | Completed | Failed | Waiting | Sent


class Ending(StrEnum):
    """How a run ended."""

    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    BROKEN = "broken"
    NOT_BEGUN = "not begun"
    """An error, a refusal or a signal came before the first change."""


@dataclass(frozen=True, slots=True)
class FailedAddress:
    """An address that was not brought to what the plan says."""

    address: str
    error: ReconcilerError
    unknown: bool


@dataclass(slots=True)
class Account:
    """The count of an apply. Memory grows with failures only, never with what was done."""

    created: int = 0
    adopted: int = 0
    imported: int = 0
    changed: int = 0
    destroyed: int = 0
    forgotten: int = 0
    moved: int = 0
    uploaded: int = 0
    """Files."""
    completed: int = 0
    """Batches whose COMPLETE was accepted."""
    partial: list[tuple[str, str]] = field(default_factory=list)
    """Address and counts of batches that AEP loaded without some of their records."""
    skipped: int = 0
    yielded: int = 0
    """Batches of this run that were aborted again, because another run created theirs first."""
    unlooked: list[str] = field(default_factory=list)
    """Addresses where another run may have created a batch at the same moment: Catalog told nothing by the end."""
    failures: list[FailedAddress] = field(default_factory=list)
    unrecorded: list[tuple[str, str]] = field(default_factory=list)
    """Address and id of batches that exist but could not be written down: the disk failed."""
    ending: Ending = Ending.COMPLETE
    cause: ReconcilerError | None = None
    """What broke the run."""

    @property
    def unknown(self) -> int:
        """How many requests still have no verdict."""
        return sum(1 for failure in self.failures if failure.unknown)

    @property
    def is_whole(self) -> bool:
        """Whether all that was planned was done."""
        return self.ending is Ending.COMPLETE and not self.failures and not self.skipped
