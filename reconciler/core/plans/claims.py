"""Records that contradict what Catalog shows of their batches: nothing is planned on one, a person has to look."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.core.address import names_address
from reconciler.core.claim import contradiction, contradiction_of_deposed, elsewhere, first_address, foreign_marker
from reconciler.core.identity import ExternalIds, base_of
from reconciler.core.plans.observation import DEAD
from reconciler.core.plans.plan import Conflict

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from reconciler.core.batch import Desired, Observed, Record
    from reconciler.core.diagnostics import Place
    from reconciler.core.identity import Identity
    from reconciler.core.plans.observation import Observation
    from reconciler.core.plans.plan import Change

MEND = (
    "the record was edited, or is not of this batch: restore its line from Git, or `reconciler state rm {}`; "
    "the next plan finds the batch of an address by its external id"
)

MEND_DEPOSED = (
    "restore its line from Git, or take the id out of `deposed`; if the batch is to go, abort it by hand: "
    "one that is gone is no conflict"
)


@dataclass(frozen=True, slots=True)
class Claims:
    """Compares records with what was observed of their batches; what was not observed contradicts nothing."""

    identity: Identity
    observation: Observation
    records: Mapping[str, Record]
    """At the addresses that the manifests moved them to."""
    holders: Mapping[str, str]
    """By id of a recorded batch: its address."""
    desired: Mapping[str, Desired]
    origins: Mapping[str, Collection[str]]
    """By address: the names that the manifests moved to it."""
    bases: dict[str, str] = field(default_factory=dict)
    """By the base of its external ids: each recorded address. Made when it is first needed."""

    def conflict(self, address: str) -> Conflict | None:
        """What is wrong with the record of an address, if there is one."""
        record = self.records.get(address)
        if record is None:
            return None
        observed = self.observation.by_id.get(record.id)
        if observed is not None and (problem := self._problem(address, record, observed)) is not None:
            message = f"its record names batch `{record.id}`, which {problem}"
            return self._conflict(address, message, MEND.format(address), record.id)
        return self._deposed(address, record) if record.deposed else None

    def _problem(self, address: str, record: Record, observed: Observed) -> str | None:
        own = first_address(observed)
        found = contradiction(self.identity, record, observed)
        if found is not None:
            is_known = own in self.records or own in self.desired
            return f"{found}; by its tags it is of `{own}`" if is_known and own != address else found
        if observed.is_consolidation and not self._stands_for(record, observed):
            return f"the platform made of others than the one with external id `{record.external_id}`"
        if own is not None and own != address:
            if address not in self.desired and own in self.desired and own not in self.records:
                return f"is by its tags of `{own}`, which is declared and has no record"
            if self._is_swapped(address, own, observed):
                return f"is by its tags of `{own}`, which has another batch"
        return self._problem_of_successor(record) if self.observation.consolidated else None

    def _problem_of_successor(self, record: Record) -> str | None:
        final = self.observation.final(record.id)
        after = self.observation.by_id.get(final) if final != record.id else None
        if after is None:
            return None
        problem = elsewhere(record.dataset, after) or foreign_marker(self.identity, after)
        return f"is said to be replaced by `{final}`; but that {problem}" if problem else None

    def _stands_for(self, record: Record, observed: Observed) -> bool:
        """Whether a consolidation replaced the record's batch; if all that it replaced is gone, nobody can tell."""
        if observed.external_id == record.external_id:
            return True
        seen = [batch for name in observed.predecessors if (batch := self.observation.by_id.get(name)) is not None]
        return not seen or any(contradiction(self.identity, record, batch) is None for batch in seen)

    def _is_swapped(self, address: str, first: str, observed: Observed) -> bool:
        """Whether a batch with the name of another address was not moved here.

        Two records that were swapped look like two that were moved, one to the place of the other; so does a longer
        circle. One that was swapped with an imported batch has a batch without a name in its place. An external id that
        the manifest gives to the other address is that one's, too.
        """
        if (other := self.desired.get(first)) is not None and other.external_id is not None:
            return ExternalIds(other.external_id, is_own=True).generation(observed.external_id or "") is not None
        passed: set[str] = set()
        step = first
        while (record := self.records.get(step)) is not None and step not in passed:
            passed.add(step)
            name = self._first_address(record)
            if name is None:
                return record.id in self.observation.by_id
            if name == address:
                return True
            step = name
        return False

    def _first_address(self, record: Record) -> str | None:
        """The address whose name the batch of a record carries; None where it carries none, or is not known."""
        observed = self.observation.by_id.get(record.id)
        name = first_address(observed) if observed is not None else None
        if name is not None:
            return name
        if not self.bases:
            self.bases.update((self.identity.external_ids(each).base, each) for each in self.records)
        return self.bases.get(base_of(record.external_id))

    def _deposed(self, address: str, record: Record) -> Conflict | None:
        for batch in record.deposed:
            observed = self.observation.by_id.get(batch)
            if observed is None or observed.status_class in DEAD:
                continue  # nothing is done to it
            origins = self.origins.get(address, ())
            problem = contradiction_of_deposed(self.identity, record, observed, origins)
            if batch in self.holders:
                problem = f"is recorded at `{self.holders[batch]}`"
            if problem is not None:
                message = f"its record says that batch `{batch}` was replaced and has to go; but that {problem}"
                return self._conflict(address, message, MEND_DEPOSED, record.id, batch)
        return None

    def conflict_of_replayed(self, change: Change) -> Conflict | None:
        """What is wrong with the batches that a new one is to replay: their records, or their dataset."""
        dataset = change.after.dataset if change.after is not None else ""
        for name in change.predecessors:
            address = name if names_address(name) else self.holders.get(name)
            if address is not None and address != change.address and (found := self.conflict(address)) is not None:
                return found
            observed = self.observation.by_id.get(name)
            if observed is not None and (problem := elsewhere(dataset, observed)) is not None:
                message, hint = f"is to replay batch `{name}`, which {problem}", "name one of its own in `replaces`"
                return Conflict(change.address, message, hint, (name,), self._place(change.address))
        return None

    def _conflict(self, address: str, message: str, hint: str, *ids: str) -> Conflict:
        return Conflict(address, message, hint, ids, self._place(address), doubts_record=True)

    def _place(self, address: str) -> Place | None:
        declared = self.desired.get(address)
        return declared.place if declared is not None else None
