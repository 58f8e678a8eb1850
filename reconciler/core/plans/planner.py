"""`make_plan`: three sides in, a plan out. Pure: no I/O, no clock; the table itself is in `decide`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from reconciler.core.address import Globs
from reconciler.core.batch import Record, StatusClass
from reconciler.core.collector import collector_paused
from reconciler.core.identity import ADDRESS_TAG, ENVIRONMENT_TAG, PROJECT_TAG
from reconciler.core.plans.content import as_found
from reconciler.core.plans.decide import (
    GONE_REASONS,
    Standing,
    decide,
    decide_removed,
    drift_of,
    external_id,
    spec_of,
)
from reconciler.core.plans.observation import DEAD, Observation, stem
from reconciler.core.plans.plan import NOT_READ, Action, Change, Conflict, Drift, Orphan, Plan, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from reconciler.core.batch import Desired, Observed
    from reconciler.core.identity import Identity
    from reconciler.core.manifests.project import Import, Move


@dataclass(frozen=True, slots=True)
class Scope:
    """What a run was asked to look at, beside manifests and state."""

    targets: Globs = field(default_factory=Globs)
    replace: frozenset[str] = frozenset()
    destroy: bool = False
    refresh_only: bool = False


@dataclass(frozen=True, slots=True)
class Sides:
    """The sides of the comparison. `observation` is None when Catalog was not asked (`--no-refresh`)."""

    identity: Identity
    desired: Mapping[str, Desired]
    records: Mapping[str, Record]
    observation: Observation | None
    moves: Sequence[Move] = ()
    imports: Sequence[Import] = ()


def make_plan(sides: Sides, *, today: date, scope: Scope | None = None, unsettled: int = 0) -> Plan:
    """The plan for the three sides, in the order of addresses whatever the order of manifests and answers."""
    scope = scope or Scope()
    with collector_paused():
        planner = _Planner(sides, scope)
        planner.run()
    return Plan(
        identity=sides.identity,
        today=today,
        changes=tuple(planner.changes),
        drift=tuple(planner.drift),
        conflicts=tuple(planner.conflicts),
        orphans=planner.orphans(),
        recorded=len(sides.records),
        declared=len(sides.desired),
        unsettled=unsettled,
        targets=scope.targets.patterns,
        replaced=tuple(sorted(scope.replace)),
        destroys_all=scope.destroy,
        refresh_only=scope.refresh_only,
        how=sides.observation.how if sides.observation else NOT_READ,
    )


def moved_to(moves: Sequence[Move]) -> dict[str, str]:
    """Where each moved address ends, chains followed. Circles were refused when the manifests were read."""
    step = {move.origin: move.target for move in moves}

    def end(address: str) -> str:
        while address in step:
            address = step[address]
        return address

    return {origin: end(origin) for origin in step}


class _Planner:
    """One pass over all addresses: collects changes, drift and conflicts. Lives for one call of `make_plan`."""

    def __init__(self, sides: Sides, scope: Scope) -> None:
        self.sides = sides
        self.scope = scope
        self.changes: list[Change] = []
        self.drift: list[Drift] = []
        self.conflicts: list[Conflict] = []
        self.moved = moved_to(sides.moves)
        self.origins = {target: origin for origin, target in self.moved.items()}
        self.imports = {entry.target: entry for entry in sides.imports}
        self.replayed = {name for each in sides.desired.values() for name in each.spec.get("replaces", ())}
        """Addresses (and ids) of batches that a declared one replays."""
        self.records, self.previous = self._renamed()
        self.holders = {record.id: address for address, record in self.records.items()}
        self.looked_at: Desired | None = None
        self.found: list[tuple[int, Observed]] = []
        """What was found for the address that was looked at last: it is asked for several times in a row."""
        self.known_ids = {*self.holders}
        for record in self.records.values():
            if record.deposed or record.rivals:
                self.known_ids.update(record.deposed, record.rivals)

    def run(self) -> None:
        desired = {} if self.scope.destroy else self.sides.desired
        for address in sorted(self.records.keys() | desired.keys()):
            if not self._in_scope(address):
                continue
            declared = desired.get(address)
            if self.scope.refresh_only:
                self._refresh_record(address)
            elif declared is not None:
                self._declared(declared)
            else:
                self._removed(self.records[address])

    def _in_scope(self, address: str) -> bool:
        previous = self.previous.get(address)
        match = self.scope.targets.match
        return match(address) or (previous is not None and match(previous))

    def _renamed(self) -> tuple[dict[str, Record], dict[str, str]]:
        """The records under the addresses that the manifests moved them to, and where each one came from."""
        records = dict(self.sides.records)
        previous: dict[str, str] = {}
        for move in self.sides.moves:
            record = self.sides.records.get(move.origin)
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
        standing = self._standing(desired)
        if isinstance(standing, Conflict):
            self.conflicts.append(standing)
            return
        if desired.address in self.replayed and standing is not None and standing.status is StatusClass.WITHDRAWN:
            return  # another declared batch replays it: that is how it ends
        forced = desired.address in self.scope.replace
        free = self._next_free(desired)
        record = self.records.get(desired.address)
        if record is not None and standing is not None and standing.status is not None:
            assert self.sides.observation is not None
            self._note(drift_of(record, standing, self.sides.observation))
        decision = decide(self.sides.identity, desired, standing, forced=forced, next_free=free)
        if decision is None:
            return
        if isinstance(decision, Conflict):
            self.conflicts.append(decision)
            return
        if standing is None:
            decision = self._after_dead(desired, decision)
        self.changes.append(decision)

    def _note(self, drift: Drift | None) -> None:
        if drift is not None:
            self.drift.append(drift)

    def _after_dead(self, desired: Desired, change: Change) -> Change:
        """Say why a first create is of a later generation: an earlier batch is dead or stands elsewhere."""
        dead = [o for _, o in self._candidates(desired) if o.status_class in DEAD]
        if not dead:
            return change
        reason = GONE_REASONS.get(dead[-1].status, Reason.WITHDRAWN)
        return replace(change, reason=reason)

    def _candidates(self, desired: Desired) -> list[tuple[int, Observed]]:
        """Observed batches that carry an external id of this address, with their generation, oldest first."""
        if self.looked_at is not desired:
            self.looked_at, self.found = desired, self._carriers(desired)
        return self.found

    def _carriers(self, desired: Desired) -> list[tuple[int, Observed]]:
        observation = self.sides.observation
        if observation is None:
            return []
        found: dict[str, tuple[int, Observed]] = {}
        origin = self.origins.get(desired.address)
        for named in (desired,) if origin is None else (desired, replace(desired, address=origin)):
            first = external_id(self.sides.identity, named, 1)
            for key in (stem(first), first):
                for observed in observation.by_stem.get(key, ()):
                    generation = generation_of(desired, first, observed.external_id or "")
                    if generation is not None:
                        found[observed.id] = (generation, observed)
        return sorted(found.values(), key=lambda pair: (pair[0], pair[1].created or 0, pair[1].id))

    def _next_free(self, desired: Desired) -> int:
        record = self.records.get(desired.address)
        generations = [generation for generation, _ in self._candidates(desired)]
        return 1 + max([*generations, record.generation if record else 0])

    def _standing(self, desired: Desired) -> Standing | Conflict | None:
        record = self.records.get(desired.address)
        previous = self.previous.get(desired.address)
        observation = self.sides.observation
        if observation is None:
            return Standing(record, None, None, previous_address=previous) if record else None
        entry = self.imports.get(desired.address)
        if entry is not None and (record is None or record.id != entry.id):
            return self._imported(desired, entry, record)
        if record is not None and not observation.asked_for(record):
            return Standing(record, None, None, previous_address=previous)
        found = self._found(desired, record)
        if isinstance(found, Conflict | Standing):
            return found
        if record is None:
            return self._unrevivable(desired)
        final = observation.final(record.id)
        # A successor that is named but was not read counts as done: its data is there.
        unread = final != record.id and final not in observation.by_id
        status = StatusClass.DONE if unread else observation.status_class(final)
        own = observation.by_id.get(record.id) if final == record.id else None
        return Standing(record, status, own, previous_address=previous)

    def _unrevivable(self, desired: Desired) -> Standing | None:
        """A dead batch without a record, which `recreate_when` does not let us follow with a new one: adopt it."""
        dead = [pair for pair in self._candidates(desired) if pair[1].id not in self.holders]
        if not dead:
            return None
        generation, observed = dead[-1]
        word = observed.status if observed.status_class is StatusClass.UNFINISHED else "withdrawn"
        if word in desired.lifecycle.recreate_when or word == "withdrawn":
            return None
        return self._adopted(desired, observed, generation, Reason.LOST_RECORD)

    def _found(self, desired: Desired, record: Record | None) -> Standing | Conflict | None:
        """A live batch that should stand here instead of the record, or a pair that nobody can choose from."""
        ours = [
            (generation, observed)
            for generation, observed in self._candidates(desired)
            if self.holders.get(observed.id, desired.address) == desired.address
            and observed.status_class not in DEAD
            and not (record and observed.id in (*record.deposed, *record.rivals))
        ]
        if record is None:
            return self._newest(desired, ours, Reason.LOST_RECORD)
        assert self.sides.observation is not None
        alive = self.sides.observation.status_class(record.id) not in DEAD
        higher = [pair for pair in ours if pair[0] > record.generation]
        if higher:
            return self._newest(desired, higher, Reason.NEWER_GENERATION, replaced=record)
        rivals = [pair for pair in ours if pair[1].external_id == record.external_id and pair[1].id != record.id]
        if rivals and alive:
            return _ambiguous(desired, (record.id, *(observed.id for _, observed in rivals)))
        consolidated = self.sides.observation.final(record.id) != record.id
        return None if consolidated else self._survivor(desired, rivals, record)

    def _survivor(
        self, desired: Desired, rivals: list[tuple[int, Observed]], record: Record
    ) -> Standing | Conflict | None:
        standing = self._newest(desired, rivals, Reason.SURVIVOR)
        if not isinstance(standing, Standing):
            return standing
        # The same generation with another id: said on purpose, or the journal would take it for a contradiction.
        chosen = replace(standing.record, rivals=tuple(sorted({*record.rivals, record.id})))
        return replace(standing, record=chosen)

    def _newest(
        self,
        desired: Desired,
        live: list[tuple[int, Observed]],
        reason: Reason,
        replaced: Record | None = None,
    ) -> Standing | Conflict | None:
        if not live:
            return None
        top = live[-1][0]
        best = [observed for generation, observed in live if generation == top]
        if len(best) > 1:
            return _ambiguous(desired, tuple(observed.id for observed in best))
        elsewhere = best[0].datasets and desired.dataset not in best[0].datasets
        if elsewhere and replaced is None:
            names = ", ".join(f"`{name}`" for name in sorted(best[0].datasets))
            return Conflict(
                desired.address,
                f"its external id is carried by batch `{best[0].id}` of another dataset: {names}",
                "correct the dataset's `id`, or give the batch an `external_id` of its own",
                (best[0].id,),
                desired.place,
            )
        if elsewhere:
            return None
        return self._adopted(desired, best[0], top, reason, replaced)

    def _adopted(
        self,
        desired: Desired,
        observed: Observed,
        generation: int,
        reason: Reason,
        replaced: Record | None = None,
    ) -> Standing:
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
        record = as_found(desired, observed, record)
        still_open: tuple[str, ...] = ()
        if replaced is not None and self.sides.observation is not None:
            was = self.sides.observation.status_class(replaced.id)
            still_open = (replaced.id,) if was is StatusClass.OPEN else ()
        self.known_ids.add(observed.id)
        return Standing(
            record,
            observed.status_class,
            observed,
            adopted=reason,
            imported=reason is Reason.DECLARED_IMPORT,
            previous_address=self.previous.get(desired.address),
            deposed=still_open,
        )

    def _imported(self, desired: Desired, entry: Import, record: Record | None) -> Standing | Conflict:
        assert self.sides.observation is not None
        observed = self.sides.observation.by_id.get(entry.id)
        problem: tuple[str, str] | None = None
        if record is not None:
            problem = (
                f"`imports` names batch `{entry.id}`, but batch `{record.id}` is recorded here",
                "take the entry out of `imports`, or settle it by hand with `reconciler import ADDRESS BATCH_ID`",
            )
        elif entry.id in self.holders:
            problem = (
                f"`imports` names batch `{entry.id}`, which is recorded at `{self.holders[entry.id]}`",
                "use `moved` to rename it, or take one of the two out",
            )
        elif observed is None:
            problem = (
                f"`imports` names batch `{entry.id}`, which is not in this sandbox",
                "check the id, the environment and its sandbox",
            )
        elif observed.datasets and desired.dataset not in observed.datasets:
            problem = (
                f"`imports` names batch `{entry.id}`, which belongs to dataset "
                + ", ".join(f"`{name}`" for name in sorted(observed.datasets)),
                f"import it at an address of that dataset; this one is `{desired.dataset}`",
            )
        if problem is not None or observed is None:
            message, hint = problem or ("", "")
            return Conflict(desired.address, message, hint, (entry.id,), entry.place)
        first = external_id(self.sides.identity, desired, 1)
        generation = generation_of(desired, first, observed.external_id or "") or self._next_free(desired)
        return self._adopted(desired, observed, generation, Reason.DECLARED_IMPORT)

    # -- addresses that only the state knows

    def _removed(self, record: Record) -> None:
        observation = self.sides.observation
        observed = observation.by_id.get(record.id) if observation else None
        status = observation.status_class(record.id) if observation and observation.asked_for(record) else None
        address = next((a for a in (self.moved.get(record.address),) if a), record.address)
        standing = Standing(record, status, observed, previous_address=self.previous.get(address))
        decision = decide_removed(standing, destroy=self.scope.destroy)
        if isinstance(decision, Conflict):
            self.conflicts.append(decision)
        else:
            self.changes.append(decision)

    def _refresh_record(self, address: str) -> None:
        """`--refresh-only`: drift is reported, and facts of it that a record holds are written down."""
        observation = self.sides.observation
        record = self.records.get(address)
        if record is None or observation is None:
            return
        observed = observation.by_id.get(record.id)
        standing = Standing(record, observation.status_class(record.id), observed)
        self._note(drift_of(record, standing, observation))
        after = replace(record, id=observation.final(record.id))
        tags = record.spec.get("tags", {})
        if observed is not None and tags:
            shown = {name: list(observed.tags[name]) for name in tags if name in observed.tags}
            if shown != tags:
                spec = record.spec.copy()
                spec["tags"] = shown
                after = replace(after, spec=spec)
        if after != record:
            self.changes.append(Change(Action.UPDATE, address, Reason.REFRESHED, record, after))

    # -- what nobody knows

    def orphans(self) -> tuple[Orphan, ...]:
        """Live batches with our marker that no record, adoption or decision of a person accounts for."""
        observation, who = self.sides.observation, self.sides.identity
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


def generation_of(desired: Desired, first: str, carried: str) -> int | None:
    """Which generation a carried external id names, given that of the first; None when it is another address's."""
    if carried == first:
        return 1
    base = first.removesuffix(".1") if desired.external_id is None else first
    head, _, number = carried.rpartition(".")
    return int(number) if head == base and number.isdecimal() else None


def _ambiguous(desired: Desired, ids: tuple[str, ...]) -> Conflict:
    named = ", ".join(f"`{each}`" for each in sorted(ids))
    return Conflict(
        desired.address,
        f"{len(ids)} live batches carry its external id: {named}",
        f"decide which one is right: `reconciler import {desired.address} BATCH_ID`, then abort the other",
        tuple(sorted(ids)),
        desired.place,
    )
