"""What stands at an address before the plan: the state's record, or a batch that was found in Catalog instead.

What stands there need not be what the record says: a live batch of a later generation (a run whose record was lost), or
the only live batch with the record's external id (the recorded one is gone), stands instead. Between two a person
chooses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from reconciler.core.batch import Record, Spec, Stage, StatusClass, same_tags
from reconciler.core.claim import contradiction, elsewhere
from reconciler.core.plans.content import is_overdue, with_observed_content
from reconciler.core.plans.observation import DEAD
from reconciler.core.plans.plan import Conflict
from reconciler.core.wording import listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.core.batch import Desired, Observed
    from reconciler.core.identity import Identity
    from reconciler.core.manifests.project import Import
    from reconciler.core.plans.observation import Observation

NOT_OURS = (
    "leave it to the project and environment that made it; or, if those are gone, take its `reconciler_…` tags off "
    "in AEP first"
)

ELSEWHERE = "correct the dataset's `id`, or give this address an `external_id`, or a batch to import, of its own"

Carrier = tuple[int, "Observed"]
"""A batch that carries an external id of an address, behind the generation that it names."""


class Origin(StrEnum):
    """Where the record of an address comes from."""

    STATE = "state"
    """The state held it."""
    LOST = "lost"
    """Found in Catalog by its external id; no record knew it."""
    NEWER = "newer"
    """Found in Catalog: a later generation than the record's."""
    SURVIVOR = "survivor"
    """Found in Catalog: it carries the external id of a recorded batch that is gone."""
    IMPORT = "import"
    """Named in `imports`."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What stands at an address before the plan: a record, and what became of its batch."""

    record: Record
    status: StatusClass | None
    """None when Catalog was not asked: then it is taken to be as recorded."""
    observed: Observed | None
    origin: Origin = Origin.STATE
    previous_address: str | None = None
    deposed: tuple[str, ...] = ()
    """Recorded batches that this one replaced and that are still open."""


@dataclass(frozen=True, slots=True)
class Finder:
    """Finds what stands at the addresses of one plan."""

    identity: Identity
    observation: Observation
    records: Mapping[str, Record]
    """The state's records, at the addresses that the manifests moved them to."""
    previous: Mapping[str, str]
    """Where each moved record stood, by its new address."""
    origins: Mapping[str, str]
    """The address that each one was renamed from, whether or not it has a record."""
    holders: Mapping[str, str]
    """By id of a recorded batch: its address."""
    imports: Mapping[str, Import]
    """By the address that a batch is to be imported to."""

    def carriers(self, desired: Desired) -> list[Carrier]:
        """Observed batches that carry an external id of the address, under its old name as well; oldest first."""
        by_base = self.observation.by_base
        if not by_base:
            return []  # as a rule: nothing was changed since the last refresh
        found: dict[str, Carrier] = {}
        origin = self.origins.get(desired.address)
        for named in (desired,) if origin is None else (desired, replace(desired, address=origin)):
            ids = self.identity.external_ids(named.address, named.external_id)
            for observed in (each for base in ids.bases for each in by_base.get(base, ())):
                generation = ids.generation(observed.external_id or "")
                if generation is not None:
                    found[observed.id] = (generation, observed)
        return sorted(found.values(), key=lambda pair: (pair[0], pair[1].created or 0, pair[1].id))

    def prior(self, desired: Desired, carriers: Sequence[Carrier]) -> Prior | Conflict | None:
        """What stands at a declared address; a conflict where a person has to choose; None where nothing stands."""
        record = self.records.get(desired.address)
        previous = self.previous.get(desired.address)
        entry = self.imports.get(desired.address)
        if entry is not None and (record is None or record.id != entry.id):
            return self._imported(desired, carriers, entry, record)
        if record is not None and not self.observation.was_asked_for(record):
            return Prior(record, None, None, previous_address=previous)
        found = self._found(desired, carriers, record)
        if found is not None:
            return found
        if record is None:
            return self._unrevivable(desired, carriers)
        final = self.observation.final(record.id)
        # A successor that is named but was not read counts as done: its data is there.
        unread = final != record.id and final not in self.observation.by_id
        status = StatusClass.DONE if unread else self.observation.status_class(final)
        own = self.observation.by_id.get(record.id) if final == record.id else None
        if is_overdue(record, own, self.observation.now):
            record = replace(record, stage=Stage.COMPLETING)  # COMPLETE had no effect: it is sent again
        return Prior(record, status, own, previous_address=previous)

    def _found(self, desired: Desired, carriers: Sequence[Carrier], record: Record | None) -> Prior | Conflict | None:
        """A live batch that stands here instead of the record; a conflict where there are two."""
        ours = [
            (generation, observed)
            for generation, observed in carriers
            if self.holders.get(observed.id, desired.address) == desired.address
            and observed.status_class not in DEAD
            and not (record and observed.id in (*record.deposed, *record.rivals))
        ]
        if record is None:
            return self._newest(desired, ours, Origin.LOST)
        alive = self.observation.status_class(record.id) not in DEAD
        higher = [pair for pair in ours if pair[0] > record.generation]
        if higher:
            return self._newest(desired, higher, Origin.NEWER, replaced=record)
        rivals = [pair for pair in ours if pair[1].external_id == record.external_id and pair[1].id != record.id]
        if rivals and alive:
            return _ambiguous(desired, (record.id, *(observed.id for _, observed in rivals)))
        consolidated = self.observation.final(record.id) != record.id
        return None if consolidated else self._survivor(desired, rivals, record)

    def _survivor(self, desired: Desired, rivals: Sequence[Carrier], record: Record) -> Prior | Conflict | None:
        prior = self._newest(desired, rivals, Origin.SURVIVOR)
        if not isinstance(prior, Prior):
            return prior
        # The same generation with another id: said on purpose, or the journal would take it for a contradiction.
        chosen = replace(prior.record, rivals=tuple(sorted({*record.rivals, record.id})))
        return replace(prior, record=chosen)

    def _newest(
        self, desired: Desired, live: Sequence[Carrier], origin: Origin, replaced: Record | None = None
    ) -> Prior | Conflict | None:
        if not live:
            return None
        top = live[-1][0]
        best = [observed for generation, observed in live if generation == top]
        if len(best) > 1:
            return _ambiguous(desired, tuple(observed.id for observed in best))
        if replaced is not None and elsewhere(desired.dataset, best[0]) is not None:
            return None
        return self._adopted(desired, best[0], top, origin, replaced)

    def _unrevivable(self, desired: Desired, carriers: Sequence[Carrier]) -> Prior | Conflict | None:
        """A dead batch without a record, which `recreate_when` does not let us follow with a new one: adopt it."""
        dead = [pair for pair in carriers if pair[1].id not in self.holders]
        if not dead:
            return None
        generation, observed = dead[-1]
        word = observed.status if observed.status_class is StatusClass.UNFINISHED else "withdrawn"
        if word in desired.lifecycle.recreate_when or word == "withdrawn":
            return None
        return self._adopted(desired, observed, generation, Origin.LOST)

    def _adopted(
        self, desired: Desired, observed: Observed, generation: int, origin: Origin, replaced: Record | None = None
    ) -> Prior | Conflict:
        record = Record(
            address=desired.address,
            id=observed.id,
            dataset=desired.dataset,
            external_id=observed.external_id or observed.id,
            generation=generation,
            on_remove=desired.lifecycle.on_remove,
            spec=spec_of(observed, desired),
            deposed=replaced.deposed if replaced else (),
        )
        problem = contradiction(self.identity, record, observed)
        if problem is not None:
            entry = self.imports.get(desired.address)
            who = "`imports` names" if origin is Origin.IMPORT else "its external id is carried by"
            place = entry.place if origin is Origin.IMPORT and entry is not None else desired.place
            hint = ELSEWHERE if elsewhere(desired.dataset, observed) is not None else NOT_OURS
            message = f"{who} batch `{observed.id}`, which {problem}"
            return Conflict(desired.address, message, hint, (observed.id,), place)
        still_open: tuple[str, ...] = ()
        if replaced is not None:
            was = self.observation.status_class(replaced.id)
            still_open = (replaced.id,) if was is StatusClass.OPEN else ()
        return Prior(
            with_observed_content(desired, observed, record),
            observed.status_class,
            observed,
            origin,
            previous_address=self.previous.get(desired.address),
            deposed=still_open,
        )

    def _imported(
        self, desired: Desired, carriers: Sequence[Carrier], entry: Import, record: Record | None
    ) -> Prior | Conflict:
        observed = self.observation.by_id.get(entry.id)
        if record is not None:
            message = f"`imports` names batch `{entry.id}`, but batch `{record.id}` is recorded here"
            hint = "take the entry out of `imports`, or settle it by hand with `reconciler import ADDRESS BATCH_ID`"
        elif entry.id in self.holders:
            message = f"`imports` names batch `{entry.id}`, which is recorded at `{self.holders[entry.id]}`"
            hint = "use `moved` to rename it, or take one of the two out"
        elif observed is None:
            message = f"`imports` names batch `{entry.id}`, which is not in this sandbox"
            hint = "check the id, the environment and its sandbox"
        else:
            ids = self.identity.external_ids(desired.address, desired.external_id)
            generation = ids.generation(observed.external_id or "") or next_free(record, carriers)
            return self._adopted(desired, observed, generation, Origin.IMPORT)
        return Conflict(desired.address, message, hint, (entry.id,), entry.place)


def next_free(record: Record | None, carriers: Sequence[Carrier]) -> int:
    """The first generation whose external id no batch carries; `carriers` are sorted."""
    highest = carriers[-1][0] if carriers else 0
    return 1 + max(highest, record.generation if record else 0)


def spec_of(observed: Observed, desired: Desired) -> Spec:
    """The spec of a batch that was found, not created: what Catalog shows of the fields that the manifest sets."""
    spec = Spec(**desired.spec)
    if "format" in spec and observed.format is not None:
        spec["format"] = observed.format
    if "multiline" in spec and observed.multiline is not None:
        spec["multiline"] = observed.multiline
    tags = observed.tags_of(spec)
    if tags and not same_tags(tags, desired.spec.get("tags", {})):
        spec["tags"] = tags
    elif not tags:
        spec.pop("tags", None)
    return spec if spec != desired.spec else desired.spec


def _ambiguous(desired: Desired, ids: tuple[str, ...]) -> Conflict:
    named = listed(sorted(ids))
    return Conflict(
        desired.address,
        f"{len(ids)} live batches carry its external id: {named}",
        f"decide which one is right: `reconciler import {desired.address} BATCH_ID`, then abort the other",
        tuple(sorted(ids)),
        desired.place,
    )
