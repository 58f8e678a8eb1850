"""What Catalog shows now, indexed as a plan asks for it. A value: `refresh` makes it, `make_plan` reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.core.batch import Observed, StatusClass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reconciler.core.batch import Record

DEAD = frozenset({StatusClass.UNFINISHED, StatusClass.WITHDRAWN, StatusClass.MISSING})
"""Classes of a batch that holds no data and never will again."""


def stem(external_id: str) -> str:
    """What all generations at one address have in common."""
    head, _, number = external_id.rpartition(".")
    return head if number.isdecimal() and head else external_id


@dataclass(frozen=True, slots=True)
class Observation:
    """Every batch that was seen.

    A recorded id that is neither in `by_id` nor trusted was looked for in two ways and is missing.
    """

    by_id: Mapping[str, Observed] = field(default_factory=dict)
    by_stem: Mapping[str, tuple[Observed, ...]] = field(default_factory=dict)
    """Batches by the stem of their external id: all generations at an address."""
    consolidated: Mapping[str, str] = field(default_factory=dict)
    """Batches that the platform's own consolidation replaced, with their successor (aep-api.md §5.2)."""
    trusted: frozenset[str] = frozenset()
    """Recorded ids that are as recorded, though they were not read this time (`core.bookmark`)."""
    how: str = ""
    """What was read, for people: which kind of refresh, how many calls."""

    @classmethod
    def of(cls, batches: Iterable[Observed], *, trusted: frozenset[str] = frozenset(), how: str = "") -> Observation:
        """Index the batches; one seen twice counts once."""
        by_id = {batch.id: batch for batch in batches}
        by_stem: dict[str, tuple[Observed, ...]] = {}
        consolidated: dict[str, str] = {}
        for batch in by_id.values():
            if batch.external_id is not None:
                key = stem(batch.external_id)
                by_stem[key] = (*by_stem.get(key, ()), batch)
            if batch.successor is not None:
                consolidated[batch.id] = batch.successor
            if batch.replay_reason == "consolidation":
                consolidated.update(dict.fromkeys(batch.predecessors, batch.id))
        return cls(by_id, by_stem, consolidated, trusted, how)

    def asked_for(self, record: Record) -> bool:
        """Whether the record's batch was looked for; else the record says what it is."""
        return record.id not in self.trusted

    def status_class(self, batch: str) -> StatusClass:
        """The class of a batch by id; one that was not seen is missing."""
        observed = self.by_id.get(batch)
        return observed.status_class if observed else StatusClass.MISSING

    def final(self, batch: str) -> str:
        """The batch that stands for this one after the platform's consolidations; itself when there were none."""
        seen = {batch}
        while (following := self.consolidated.get(batch)) is not None and following not in seen:
            seen.add(following)
            batch = following
        return batch
