"""What Catalog shows now, indexed as a plan asks for it: `refresh` makes it, `make_plan` reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from reconciler.core.batch import Observed, StatusClass
from reconciler.core.identity import base_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reconciler.core.batch import Record

DEAD = frozenset({StatusClass.UNFINISHED, StatusClass.WITHDRAWN, StatusClass.MISSING})
"""Classes of a batch that holds no data and never will again."""


NOT_READ = "Catalog was not read (`--no-refresh`)"
"""How Catalog was read for a plan that rests on the state alone."""


class CatalogRead(StrEnum):
    """How much of Catalog a plan rests on."""

    NOTHING = "nothing"
    """Catalog was not read (`plan --no-refresh`): the plan rests on the state alone."""
    CHANGES = "changes"
    """Only what the changes rest on (`apply --no-refresh`)."""
    TARGETS = "targets"
    """The addresses that `--target` names."""
    SINCE = "since"
    """What changed since the last refresh."""
    EVERYTHING = "everything"


@dataclass(frozen=True, slots=True)
class Observation:
    """Every batch that was seen.

    A recorded id that is neither in `by_id` nor in `trusted` was looked for in two ways and is missing.
    """

    by_id: Mapping[str, Observed] = field(default_factory=dict)
    by_base: Mapping[str, tuple[Observed, ...]] = field(default_factory=dict)
    """Batches by the base of their external id: all generations at an address."""
    consolidated: Mapping[str, str] = field(default_factory=dict)
    """Batches that the platform's own consolidation replaced, with their successor (aep-api.md §5.2)."""
    trusted: frozenset[str] = frozenset()
    """Recorded ids that are as recorded, though they were not read this time (`bookmark`)."""
    read: CatalogRead = CatalogRead.EVERYTHING
    now: int | None = None
    """Epoch milliseconds by AEP's clock; None where it did not say."""

    @property
    def how(self) -> str:
        """How Catalog was read, for people."""
        match self.read:
            case CatalogRead.NOTHING:
                return NOT_READ
            case CatalogRead.CHANGES:
                return "only what the changes rest on was read (`--no-refresh`)"
            case CatalogRead.TARGETS:
                return f"only the targets were looked at: {len(self.by_id)} batches read"
            case CatalogRead.SINCE:
                return (
                    f"what changed since the last refresh: {len(self.by_id)} batches read, "
                    f"{len(self.trusted)} unchanged"
                )
            case CatalogRead.EVERYTHING:
                return f"full refresh: {len(self.by_id)} batches read"

    @classmethod
    def of(
        cls,
        batches: Iterable[Observed],
        *,
        trusted: frozenset[str] = frozenset(),
        read: CatalogRead = CatalogRead.EVERYTHING,
        now: int | None = None,
    ) -> Observation:
        """Index the batches; one seen twice counts once."""
        by_id = {batch.id: batch for batch in batches}
        by_base: dict[str, tuple[Observed, ...]] = {}
        consolidated: dict[str, str] = {}
        for batch in by_id.values():
            if batch.external_id is not None:
                base = base_of(batch.external_id)
                by_base[base] = (*by_base.get(base, ()), batch)
            if batch.successor is not None:
                consolidated[batch.id] = batch.successor
            if batch.is_consolidation:
                consolidated.update(dict.fromkeys(batch.predecessors, batch.id))
        return cls(by_id, by_base, consolidated, trusted, read, now)

    def was_asked_for(self, record: Record) -> bool:
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
