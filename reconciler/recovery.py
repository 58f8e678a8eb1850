"""Recovery by hand: name a batch, make the state anew, check everything against Catalog."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reconciler.core.batch import Record, StatusClass
from reconciler.core.errors import NotFound, SettingsInvalid, StateError, StateMismatch
from reconciler.core.identity import PROJECT_TAG
from reconciler.core.plans.content import as_found
from reconciler.core.plans.decide import external_id, spec_of
from reconciler.core.plans.observation import DEAD
from reconciler.core.plans.plan import Action
from reconciler.core.plans.planner import generation_of
from reconciler.core.plans.policy import check_conflicts
from reconciler.core.states.state import State
from reconciler.operations import look, open_store
from reconciler.storage.lock import hold
from reconciler.storage.store import Loaded
from reconciler.workspace import declare

if TYPE_CHECKING:
    from reconciler.core.batch import Desired, Observed
    from reconciler.core.plans.plan import Plan
    from reconciler.operations import Connect, Options
    from reconciler.storage.store import Store
    from reconciler.workspace import Declared, Workspace


async def import_batch(workspace: Workspace, address: str, batch: str, connect: Connect) -> Record:
    """Record the existing batch at a declared address, and remember which rivals a person decided against.

    Raises `NotFound` when the batch is not in the sandbox and `StateMismatch` when it cannot stand at the address.
    """
    declared = declare(workspace)
    desired = declared.desired.get(address)
    if desired is None:
        raise SettingsInvalid(
            f"`{address}` is not declared", hint="declare it in a manifest first, then import its batch"
        )
    store = open_store(workspace, declared)
    with hold(store.lock_path, "import", 0.0):
        loaded = store.load()
        async with connect(declared, store.path) as platform:
            observed = (await platform.batches_by_id([batch])).get(batch)
            if observed is None:
                raise NotFound(
                    f"batch `{batch}` is not in sandbox `{declared.environment.sandbox}`",
                    hint="check the id, the environment and its sandbox",
                )
            carried = observed.external_id
            same = await platform.batches_by_external_id([carried]) if carried else []
        records = dict(loaded.state.records)
        _check_importable(records, desired, observed)
        first = external_id(declared.identity, desired, 1)
        generation = generation_of(desired, first, carried or "")
        known = records.get(address)
        record = Record(
            address=address,
            id=batch,
            dataset=desired.dataset,
            external_id=carried or batch,
            generation=generation or (known.generation + 1 if known else 1),
            on_remove=desired.lifecycle.on_remove,
            spec=spec_of(observed, desired),
            rivals=_rivals(batch, same, known),
        )
        record = as_found(desired, observed, record)
        store.commit(State(declared.identity, {**records, address: record}))
    return record


async def look_up(workspace: Workspace, record: Record, connect: Connect) -> Observed | None:
    """The recorded batch as Catalog shows it now; None when it does not."""
    declared = declare(workspace, fingerprints=False)
    async with connect(declared, open_store(workspace, declared).path) as platform:
        return (await platform.batches_by_id([record.id])).get(record.id)


async def discover(workspace: Workspace, dataset: str, connect: Connect) -> list[Observed]:
    """The live batches of a dataset that no record and no marker of ours accounts for: what could be imported."""
    declared = declare(workspace)
    store = open_store(workspace, declared)
    recorded = {record.id for record in store.load().state.records.values()}
    async with connect(declared, store.path) as platform:
        if not await platform.dataset_exists(dataset):
            raise NotFound(
                f"dataset `{dataset}` does not exist in sandbox `{declared.environment.sandbox}`",
                hint="check the id, the environment and its sandbox",
            )
        idle = DEAD | {StatusClass.FAILED}
        return [
            batch
            async for batch in platform.list_batches(dataset, {})
            if batch.status_class not in idle and batch.id not in recorded and PROJECT_TAG not in batch.tags
        ]


def _rivals(batch: str, same: list[Observed], known: Record | None) -> tuple[str, ...]:
    """The ids that a person decides against by naming this one."""
    others = {each.id for each in same if each.status_class not in DEAD}
    if known is not None:
        others.update(known.rivals, (known.id,))
    return tuple(sorted(others - {batch}))


def _check_importable(records: dict[str, Record], desired: Desired, observed: Observed) -> None:
    if observed.datasets and desired.dataset not in observed.datasets:
        names = ", ".join(f"`{name}`" for name in sorted(observed.datasets))
        raise StateMismatch(
            f"batch `{observed.id}` belongs to dataset {names}, and `{desired.address}` to `{desired.dataset}`",
            hint="import it at an address of its own dataset",
        )
    for address, record in records.items():
        if record.id == observed.id and address != desired.address:
            raise StateMismatch(
                f"batch `{observed.id}` is recorded at `{address}`",
                hint="use `reconciler state mv` to rename the record",
            )
    known = records.get(desired.address)
    if known is not None and known.id != observed.id and known.external_id != observed.external_id:
        raise StateMismatch(
            f"`{desired.address}` already holds batch `{known.id}`, which is another one",
            hint="`reconciler state rm` the record first, if it is wrong",
        )


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A state made anew."""

    state: State
    not_found: int
    """Declared addresses without a batch in Catalog."""


async def rebuild(workspace: Workspace, options: Options, connect: Connect) -> Rebuilt:
    """Make the state anew from Catalog for the declared addresses; a readable record is kept if its batch is there.

    Raises `Refused` when two batches claim one address.
    """
    declared = declare(workspace)
    store = open_store(workspace, declared)
    with hold(store.lock_path, "state rebuild", options.lock_timeout):
        loaded = _readable(store, declared)
        old = loaded.state.records
        async with connect(declared, store.path) as platform:
            seen = await look(workspace, options, declared, platform, old, loaded, loaded.open_intents)
        found = seen.plan
        problem = check_conflicts(found)
        if problem is not None:
            raise problem
        missing = {drift.address for drift in found.drift if drift.status == "missing"}
        records = {address: record for address, record in old.items() if address not in missing}
        for change in found.changes:
            if change.action in {Action.ADOPT, Action.IMPORT} and change.after is not None:
                records[change.address] = _as_it_is(change.after, change.before)
            elif change.before is not None and change.before.address not in old:
                records[change.before.address] = change.before  # found, and about to be changed
        state = State(declared.identity, records)
        store.replace(state)
    return Rebuilt(state, len(declared.desired.keys() - records.keys()))


def _readable(store: Store, declared: Declared) -> Loaded:
    """What can still be read: a damaged journal is set aside by the first attempt, and the state may be whole."""
    for _ in range(2):
        try:
            return store.load()
        except StateError:
            continue
    return Loaded.empty(declared.identity)


def _as_it_is(after: Record, before: Record | None) -> Record:
    """The planned record, but with the content that the batch has before anything is done."""
    if before is None:
        return replace(after, deposed=())
    return replace(after, deposed=(), files=before.files, begun=before.begun, stage=before.stage)


@dataclass(frozen=True, slots=True)
class Report:
    """What `state check` found."""

    plan: Plan
    unsettled: int

    @property
    def is_sound(self) -> bool:
        """Whether state, journal and Catalog tell one story."""
        plan = self.plan
        lost = any(change.before is not None and change.reason.name == "LOST_RECORD" for change in plan.changes)
        return not (plan.conflicts or plan.drift or plan.orphans or self.unsettled or lost)


async def check(workspace: Workspace, options: Options, connect: Connect) -> Report:
    """Compare state, journal and Catalog; changes nothing."""
    declared = declare(workspace)
    store = open_store(workspace, declared)
    with hold(store.lock_path, "state check", 0.0, required=False):
        loaded = store.load()
        async with connect(declared, store.path) as platform:
            seen = await look(workspace, options, declared, platform, loaded.state.records, loaded, loaded.open_intents)
    return Report(seen.plan, len(loaded.open_intents))
