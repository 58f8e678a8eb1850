"""Recovery by hand: name a batch, make the state again, check everything against Catalog."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reconciler.core.address import Globs
from reconciler.core.batch import Record, StatusClass
from reconciler.core.claim import contradiction, elsewhere, foreign_marker
from reconciler.core.errors import ManifestInvalid, NotFound, SettingsInvalid, StateCorrupt, StateMismatch
from reconciler.core.identity import PROJECT_TAG
from reconciler.core.plans.content import with_content_of, with_observed_content
from reconciler.core.plans.observation import DEAD
from reconciler.core.plans.plan import Action
from reconciler.core.plans.policy import check_conflicts
from reconciler.core.plans.prior import NOT_OURS, spec_of
from reconciler.core.states.state import State
from reconciler.operations import refreshed_plan
from reconciler.session import Lock, connected, opened
from reconciler.storage.store import Loaded

if TYPE_CHECKING:
    from reconciler.core.batch import Desired, Observed
    from reconciler.core.identity import Identity
    from reconciler.core.plans.plan import Plan
    from reconciler.operations import Options
    from reconciler.ports import Catalog
    from reconciler.session import Connect
    from reconciler.storage.store import Store
    from reconciler.workspace import Workspace


async def import_batch(workspace: Workspace, address: str, batch: str, connect: Connect) -> Record:
    """Record the existing batch at a declared address, and remember the rivals that the person decided against.

    Raises `NotFound` when the batch is not in the sandbox and `StateMismatch` when it cannot stand at the address.
    """
    with opened(workspace, Lock("import"), data=Globs((address,))) as here:
        desired = here.declared.desired.get(address)
        if desired is None:
            raise SettingsInvalid(
                f"`{address}` is not declared", hint="declare it in a manifest first, then import its batch"
            )
        async with connect(here.declared, here.store.path) as platform:
            observed, same = await _with_rivals(platform.catalog, batch, here.declared.environment.sandbox)
        records = dict(here.loaded.state.records)
        _check_importable(here.declared.identity, records, desired, observed)
        if desired.unready is not None and observed.status_class is not StatusClass.OPEN:
            raise ManifestInvalid(here.declared.diagnostics)  # what it holds is recorded by the files
        ids = here.declared.identity.external_ids(address, desired.external_id)
        known = records.get(address)
        record = Record(
            address=address,
            id=batch,
            dataset=desired.dataset,
            external_id=observed.external_id or batch,
            generation=ids.generation(observed.external_id or "") or (known.generation + 1 if known else 1),
            on_remove=desired.lifecycle.on_remove,
            spec=spec_of(observed, desired),
            rivals=_rivals(batch, same, known),
        )
        record = with_observed_content(desired, observed, record)
        here.store.commit(State(here.declared.identity, {**records, address: record}))
    return record


async def _with_rivals(catalog: Catalog, batch: str, sandbox: str) -> tuple[Observed, list[Observed]]:
    """The batch, and all that carry its external id. Raises `NotFound`."""
    observed = (await catalog.batches_by_id([batch])).get(batch)
    if observed is None:
        raise NotFound(
            f"batch `{batch}` is not in sandbox `{sandbox}`", hint="check the id, the environment and its sandbox"
        )
    carried = observed.external_id
    return observed, await catalog.batches_by_external_id([carried]) if carried else []


async def observe(workspace: Workspace, record: Record, connect: Connect) -> tuple[Observed | None, str | None]:
    """The recorded batch as Catalog shows it now, None when it does not; and what of it contradicts the record."""
    async with connected(workspace, connect, None, load=_nothing, data=None) as session:
        observed = (await session.platform.catalog.batches_by_id([record.id])).get(record.id)
        who = session.declared.identity
        return observed, None if observed is None else contradiction(who, record, observed)


def _nothing(store: Store) -> Loaded:
    """No state: the record is already there."""
    return Loaded.empty(store.identity)


async def discover(workspace: Workspace, dataset: str, connect: Connect) -> list[Observed]:
    """The live batches of a dataset that no record and no marker of ours accounts for: what could be imported."""
    async with connected(workspace, connect, None, data=None) as session:
        catalog = session.platform.catalog
        records = session.loaded.state.records.values()
        recorded = {batch for record in records for batch in (record.id, *record.deposed, *record.rivals)}
        if not await catalog.dataset_exists(dataset):
            raise NotFound(
                f"dataset `{dataset}` does not exist in sandbox `{session.declared.environment.sandbox}`",
                hint="check the id, the environment and its sandbox",
            )
        idle = DEAD | {StatusClass.FAILED}
        return [
            batch
            async for batch in catalog.list_batches(dataset, {})
            if batch.status_class not in idle and batch.id not in recorded and PROJECT_TAG not in batch.tags
        ]


def _rivals(batch: str, same: list[Observed], known: Record | None) -> tuple[str, ...]:
    """The ids that a person decides against by naming this one."""
    others = {each.id for each in same if each.status_class not in DEAD}
    if known is not None:
        others.update(known.rivals, (known.id,))
    return tuple(sorted(others - {batch}))


def _check_importable(identity: Identity, records: dict[str, Record], desired: Desired, observed: Observed) -> None:
    problems = [
        (foreign_marker(identity, observed), NOT_OURS),
        (elsewhere(desired.dataset, observed), "import it at an address of its own dataset"),
    ]
    for address, record in records.items():
        if record.id == observed.id and address != desired.address:
            problems.append((f"is recorded at `{address}`", "use `reconciler state mv` to rename the record"))
        if observed.id in record.deposed:
            hint = "apply first, or take the id out of `deposed` in the state file"
            problems.append((f"was replaced at `{address}`, and the next apply aborts it", hint))
    for problem, hint in problems:
        if problem is not None:
            raise StateMismatch(f"batch `{observed.id}` {problem}", hint=hint)
    known = records.get(desired.address)
    if known is not None and known.id != observed.id and known.external_id != observed.external_id:
        raise StateMismatch(
            f"`{desired.address}` already holds batch `{known.id}`, which is another one",
            hint="`reconciler state rm` the record first, if it is wrong",
        )


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A state that was made again from Catalog."""

    state: State
    not_found: int
    """Declared addresses without a batch in Catalog."""
    left_out: int
    """Those whose files are not there to tell what a batch of theirs holds: `plan` finds it when they are."""


async def rebuild(workspace: Workspace, options: Options, connect: Connect) -> Rebuilt:
    """Make the state again from Catalog for the declared addresses; a readable record is kept if its batch is there.

    One that contradicts its batch is not: what the address then has is found by its external id.

    Raises `Refused` when two batches claim one address.
    """
    lock = Lock("state rebuild", options.lock_timeout)
    async with connected(workspace, connect, lock, load=_readable) as session:
        declared, old = session.declared, session.loaded.state.records
        ready = {address: each for address, each in declared.desired.items() if each.unready is None}
        session = replace(session, declared=replace(declared, desired=ready))  # noqa: PLW2901
        catalog, intents = session.platform.catalog, session.loaded.open_intents
        found = (await refreshed_plan(catalog, workspace, options, session, old, intents)).plan
        if doubted := {conflict.address for conflict in found.conflicts if conflict.doubts_record}:
            old = {address: record for address, record in old.items() if address not in doubted}
            found = (await refreshed_plan(catalog, workspace, options, session, old, intents)).plan
        problem = check_conflicts(found)
        if problem is not None:
            raise problem
        missing = {drift.address for drift in found.drift if drift.is_missing}
        records = {address: record for address, record in old.items() if address not in missing}
        for change in found.changes:
            if change.action in {Action.ADOPT, Action.IMPORT} and change.after is not None:
                records[change.address] = replace(with_content_of(change.before, change.after), deposed=())
            elif change.before is not None and change.before.address not in old:
                records[change.before.address] = change.before  # found, and about to be changed
        state = State(declared.identity, records)
        session.store.commit(state, is_readable=False)
    lacking = declared.desired.keys() - records.keys()
    return Rebuilt(state, len(lacking & ready.keys()), len(lacking - ready.keys()))


def _readable(store: Store) -> Loaded:
    """What can still be read: a damaged journal is set aside by the first attempt, and the state may be whole.

    Raises `StateMismatch` and `StateFromFuture`: what is whole and of another environment, or newer, is not made anew.
    """
    for _ in range(2):
        try:
            return store.load()
        except StateCorrupt:
            continue
    return Loaded.empty(store.identity)


@dataclass(frozen=True, slots=True)
class Report:
    """What `state check` found."""

    plan: Plan
    unsettled: int

    @property
    def is_sound(self) -> bool:
        """Whether state, journal and Catalog agree."""
        plan = self.plan
        found = any(change.action is Action.ADOPT for change in plan.changes)
        return not (plan.conflicts or plan.drift or plan.orphans or self.unsettled or found)


async def check(workspace: Workspace, options: Options, connect: Connect) -> Report:
    """Compare state, journal and Catalog; changes nothing."""
    async with connected(workspace, connect, Lock("state check", required=False), data=None) as session:
        loaded = session.loaded
        seen = await refreshed_plan(
            session.platform.catalog, workspace, options, session, loaded.state.records, loaded.open_intents
        )
    return Report(seen.plan, len(loaded.open_intents))
