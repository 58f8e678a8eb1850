"""`make_plan`: three sides in, a plan out. What is done at one address is decided in `decide`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from reconciler.core.address import Globs
from reconciler.core.batch import Record, StatusClass
from reconciler.core.identity import ADDRESS_TAG, ENVIRONMENT_TAG, PROJECT_TAG
from reconciler.core.plans.claims import Claims
from reconciler.core.plans.decide import GONE_REASONS, decide, decide_removed, drift_of
from reconciler.core.plans.observation import DEAD, NOT_READ, CatalogRead, Observation
from reconciler.core.plans.plan import Action, Change, Conflict, Drift, Orphan, Plan, Reason
from reconciler.core.plans.prior import Finder, Prior, next_free

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from reconciler.core.batch import Desired
    from reconciler.core.identity import Identity
    from reconciler.core.manifests.project import Import, Move
    from reconciler.core.plans.prior import Carrier


@dataclass(frozen=True, slots=True)
class Scope:
    """What a run was asked to look at, beside manifests and state."""

    targets: Globs = field(default_factory=Globs)
    replace: frozenset[str] = frozenset()
    destroy: bool = False
    refresh_only: bool = False

    @property
    def data(self) -> Globs | None:
        """The addresses whose files the plan rests on; None: it rests on nobody's."""
        return None if self.destroy or self.refresh_only else self.targets


@dataclass(frozen=True, slots=True)
class PlanInputs:
    """The three sides that are compared. `observation` is None when Catalog was not asked (`--no-refresh`)."""

    identity: Identity
    desired: Mapping[str, Desired]
    records: Mapping[str, Record]
    observation: Observation | None
    moves: Sequence[Move] = ()
    imports: Sequence[Import] = ()
    others: Mapping[str, Record] = field(default_factory=dict)
    """Recorded too, and not looked at: their batches are theirs (`apply --no-refresh`)."""


def make_plan(inputs: PlanInputs, *, today: date, scope: Scope | None = None, unsettled: int = 0) -> Plan:
    """The plan for the three sides, in the order of addresses: the order of manifests and answers does not matter."""
    scope = scope or Scope()
    planner = _Planner(inputs, scope)
    planner.run()
    return Plan(
        identity=inputs.identity,
        today=today,
        changes=tuple(planner.changes),
        drift=tuple(planner.drift),
        conflicts=tuple(planner.conflicts),
        orphans=planner.orphans(),
        recorded=len(inputs.records),
        declared=len(inputs.desired),
        unsettled=unsettled,
        targets=scope.targets.patterns,
        replaced=tuple(sorted(scope.replace)),
        destroys_all=scope.destroy,
        refresh_only=scope.refresh_only,
        read=inputs.observation.read if inputs.observation else CatalogRead.NOTHING,
        how=inputs.observation.how if inputs.observation else NOT_READ,
    )


def moved_to(moves: Sequence[Move]) -> dict[str, str]:
    """Where each moved address ends, chains followed. Circles are refused when the manifests are read."""
    step = {move.origin: move.target for move in moves}
    ends: dict[str, str] = {}
    for address in step:
        way = [address]
        while way[-1] in step and way[-1] not in ends:  # a long chain is followed once
            way.append(step[way[-1]])
        ends.update(dict.fromkeys(way[:-1], ends.get(way[-1], way[-1])))
    return {origin: ends[origin] for origin in step}


class _Planner:
    """One pass over all addresses: collects changes, drift and conflicts. Lives for one call of `make_plan`."""

    def __init__(self, inputs: PlanInputs, scope: Scope) -> None:
        self.inputs = inputs
        self.scope = scope
        self.changes: list[Change] = []
        self.drift: list[Drift] = []
        self.conflicts: list[Conflict] = []
        self.moved = moved_to(inputs.moves)
        self.replayed = {name for each in inputs.desired.values() for name in each.spec.get("replaces", ())}
        """Addresses (and ids) of batches that a declared one replays."""
        self.records, self.previous = self._renamed()
        self.everywhere = {**inputs.others, **self.records} if inputs.others else self.records
        """All records, those that the plan does not look at as well."""
        self.holders = {record.id: address for address, record in self.everywhere.items()}
        self.finder = self._finder()
        """Finds what stands at an address; None when Catalog was not asked."""
        self.claims = self._claims()
        self.known_ids = {*self.holders}
        for record in self.records.values():
            if record.deposed or record.rivals:
                self.known_ids.update(record.deposed, record.rivals)

    def _finder(self) -> Finder | None:
        if self.inputs.observation is None:
            return None
        return Finder(
            self.inputs.identity,
            self.inputs.observation,
            self.records,
            self.previous,
            origins={target: origin for origin, target in self.moved.items()},
            holders=self.holders,
            imports={entry.target: entry for entry in self.inputs.imports},
        )

    def _claims(self) -> Claims | None:
        if self.inputs.observation is None or not self.inputs.observation.by_id:
            return None  # as a rule: nothing was changed since the last refresh
        origins: dict[str, list[str]] = {}
        for origin, target in self.moved.items():
            origins.setdefault(target, []).append(origin)
        who, desired = self.inputs.identity, self.inputs.desired
        return Claims(who, self.inputs.observation, self.everywhere, self.holders, desired, origins)

    def run(self) -> None:
        desired = {} if self.scope.destroy else self.inputs.desired
        for address in sorted(self.records.keys() | desired.keys()):
            if not self._in_scope(address):
                continue
            declared = desired.get(address)
            if self.claims is not None and (found := self.claims.conflict(address)) is not None:
                self.conflicts.append(found)
            elif self.scope.refresh_only:
                self._refresh_record(address)
            elif declared is not None:
                self._declared(declared)
            else:
                self._removed(address)
        for change in self.changes:
            if change.predecessors and self.claims is not None:
                found = self.claims.conflict_of_replayed(change)
                self.conflicts += [found] if found is not None and found not in self.conflicts else []

    def _in_scope(self, address: str) -> bool:
        previous = self.previous.get(address)
        match = self.scope.targets.match
        return match(address) or (previous is not None and match(previous))

    def _renamed(self) -> tuple[dict[str, Record], dict[str, str]]:
        """The records under the addresses that the manifests moved them to, and where each one came from."""
        records = dict(self.inputs.records)
        previous: dict[str, str] = {}
        for move in self.inputs.moves:
            record = self.inputs.records.get(move.origin)
            if record is None or self.scope.refresh_only:
                continue
            target = self.moved[move.origin]
            if target in records:
                self.conflicts.append(
                    Conflict(
                        target,
                        f"`{move.origin}` is to be moved here, but both addresses have a batch",
                        "take the entry out of `moved`, or `state rm` the record that is wrong",
                        (record.id, records[target].id),
                        move.place,
                    )
                )
                continue
            del records[move.origin]
            records[target] = record
            previous[target] = move.origin
        return records, previous

    # -- declared addresses

    def _declared(self, desired: Desired) -> None:
        record = self.records.get(desired.address)
        carriers = self.finder.carriers(desired) if self.finder else []
        prior = self._prior(desired, carriers)
        if isinstance(prior, Conflict):
            self.conflicts.append(prior)
            return
        if prior is not None:
            self.known_ids.add(prior.record.id)
            if desired.address in self.replayed and prior.status is StatusClass.WITHDRAWN:
                return  # another declared batch replays it: that is how it ends
            if record is not None and prior.status is not None and self.finder:
                self._note(drift_of(record, prior, self.finder.observation))
        if desired.unready is not None:
            why = desired.unready
            self.conflicts.append(Conflict(desired.address, why.message, why.hint, place=why.place, is_mistake=True))
            return
        forced = desired.address in self.scope.replace
        free = next_free(record, carriers)
        decision = decide(self.inputs.identity, desired, prior, forced=forced, next_free=free, status=self._status)
        if isinstance(decision, Conflict):
            self.conflicts.append(decision)
        elif decision is not None:
            self.changes.append(decision if prior is not None else _after_dead(decision, carriers))

    def _prior(self, desired: Desired, carriers: Sequence[Carrier]) -> Prior | Conflict | None:
        if self.finder is not None:
            return self.finder.prior(desired, carriers)
        record = self.records.get(desired.address)
        previous = self.previous.get(desired.address)
        return Prior(record, None, None, previous_address=previous) if record else None

    def _status(self, batch: str) -> StatusClass | None:
        """What Catalog shows of a batch; None where it was not asked."""
        observation = self.inputs.observation
        return observation.status_class(batch) if observation and batch not in observation.trusted else None

    def _note(self, drift: Drift | None) -> None:
        if drift is not None:
            self.drift.append(drift)

    # -- addresses that only the state knows

    def _removed(self, address: str) -> None:
        record = self.records[address]
        observation = self.inputs.observation
        observed, status = None, None
        if observation is not None and observation.was_asked_for(record):
            final = observation.final(record.id)
            observed = observation.by_id.get(record.id) if final == record.id else None
            status = StatusClass.DONE if final != record.id else observation.status_class(record.id)
        prior = Prior(record, status, observed, previous_address=self.previous.get(address))
        decision = decide_removed(prior, destroy=self.scope.destroy, status=self._status)
        if isinstance(decision, Conflict):
            self.conflicts.append(decision)
        else:
            self.changes.append(decision)

    def _refresh_record(self, address: str) -> None:
        """`--refresh-only`: drift is reported, and facts of it that a record holds are written down."""
        observation = self.inputs.observation
        record = self.records.get(address)
        if record is None or observation is None:
            return
        observed = observation.by_id.get(record.id)
        prior = Prior(record, observation.status_class(record.id), observed)
        self._note(drift_of(record, prior, observation))
        final = observation.final(record.id)  # several may have become one: only one record can hold that
        after = replace(record, id=final) if self.holders.setdefault(final, address) == address else record
        shown = observed.tags_of(record.spec) if observed is not None else None
        if shown is not None and not record.explains(shown):
            spec = record.spec.copy()
            spec["tags"] = shown
            after = replace(after, spec=spec, kept_tags=None)
        if after != record:
            self.changes.append(Change(Action.UPDATE, address, Reason.REFRESHED, record, after))

    # -- batches without a record

    def orphans(self) -> tuple[Orphan, ...]:
        """Live batches with our marker that belong to no record, no adoption and no conflict."""
        observation, who = self.inputs.observation, self.inputs.identity
        if observation is None:
            return ()
        spoken_for = {i for conflict in self.conflicts for i in conflict.ids}
        spoken_for.update(i for known in self.known_ids if (b := observation.by_id.get(known)) for i in b.predecessors)
        marker = (PROJECT_TAG, (who.project,)), (ENVIRONMENT_TAG, (who.environment,))
        return tuple(
            Orphan(batch.id, batch.status, next(iter(batch.tags.get(ADDRESS_TAG, ())), None))
            for batch in sorted(observation.by_id.values(), key=lambda batch: batch.id)
            if batch.id not in self.known_ids
            and batch.id not in spoken_for
            and batch.status_class not in DEAD
            and all(tuple(batch.tags.get(name, ())) == value for name, value in marker)
        )


def _after_dead(change: Change, carriers: Sequence[Carrier]) -> Change:
    """Say why a first create is of a later generation: an earlier batch is dead or stands elsewhere."""
    dead = [observed for _, observed in carriers if observed.status_class in DEAD]
    return replace(change, reason=GONE_REASONS.get(dead[-1].status, Reason.WITHDRAWN)) if dead else change
