"""`plan` and `apply`, step by step as the README tells it. Reads and writes through the adapters; prints nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from reconciler.apply.engine import carry_out
from reconciler.apply.ledger import Ledger, record_entries
from reconciler.apply.run import Run, Slots
from reconciler.apply.settling import settle_at_once
from reconciler.core.diagnostics import in_order
from reconciler.core.errors import ManifestInvalid, ReconcilerError
from reconciler.core.manifests.findings import Finding, resolve
from reconciler.core.pace import DEFAULT
from reconciler.core.plans.bookmark import WORTH_IT
from reconciler.core.plans.events import FailedAddress
from reconciler.core.plans.planner import PlanInputs, Scope, make_plan
from reconciler.core.plans.policy import check_conflicts, check_limits
from reconciler.core.states.state import State
from reconciler.refresh import RefreshRequest, refresh
from reconciler.session import Lock, connected, opened
from reconciler.storage import bookmarks

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from reconciler.apply.run import Listener, Stop
    from reconciler.apply.settling import Settled
    from reconciler.core.batch import Record
    from reconciler.core.diagnostics import Diagnostic
    from reconciler.core.pace import Pace
    from reconciler.core.plans.bookmark import Bookmark
    from reconciler.core.plans.events import Account
    from reconciler.core.plans.plan import Conflict, Plan
    from reconciler.core.states.journal import Intent
    from reconciler.ports import Catalog
    from reconciler.refresh import Refreshed
    from reconciler.session import Connect, Opened, Session
    from reconciler.storage.store import Store
    from reconciler.workspace import Declared, Workspace


@dataclass(frozen=True, slots=True)
class Options:
    """How a run works."""

    scope: Scope = field(default_factory=Scope)
    refresh: bool = True
    """Whether Catalog is read in full; else only what the changes rest on (apply) or nothing at all (plan)."""
    full_refresh: bool = False
    """Whether everything is read, though a bookmark says up to where that was done before."""
    ignore_limits: bool = False
    lock_timeout: float = 0.0
    """Seconds to wait for another run to end."""
    pace: Pace = DEFAULT
    is_recalled: bool = False
    """Whether the scope comes from an approved plan: what it names may be done and gone by now."""
    wait: bool = False
    """Whether an apply waits for what AEP makes of completed batches."""

    @property
    def checked_scope(self) -> Scope | None:
        """The scope, if what it names has to be there."""
        return None if self.is_recalled else self.scope


# -- plan


async def plan(workspace: Workspace, options: Options, connect: Connect) -> tuple[Declared, Plan]:
    """What an apply would do now. Changes nothing, not even the journal."""
    lock = Lock("plan", options.lock_timeout, required=False)
    with opened(workspace, lock, scope=options.checked_scope, data=options.scope.data) as here:
        if not options.refresh:
            return here.declared, _offline(workspace, options, here, here.loaded.state.records)
        async with connect(here.declared, here.store.path) as platform:
            records = dict(here.loaded.state.records)
            settled = await _settled(platform.catalog, here, records)
            record_entries(records, settled.entries)
            seen = await refreshed_plan(
                platform.catalog, workspace, options, here, records, settled.undecided, _bookmark(here, options)
            )
        _keep_bookmark(here, records, seen, options)
        return here.declared, seen.plan


def _worthwhile(seen: Refreshed, records: Mapping[str, Record]) -> Bookmark | None:
    """The bookmark of a reading; None for a state so small that it does not pay."""
    return seen.bookmark if len(records) >= WORTH_IT else None


def _keep_bookmark(here: Opened, records: Mapping[str, Record], seen: Refreshed, options: Options) -> None:
    """Remember up to where Catalog was read, unless it was read for a few targets only."""
    if not here.loaded.journal_entries and not options.scope.targets.patterns:
        bookmarks.save(here.store.path, here.loaded.text_digest, _worthwhile(seen, records))


# -- apply


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply did."""

    declared: Declared
    plan: Plan
    account: Account | None
    """None when nothing was to be done, or the person said no."""


async def apply(
    workspace: Workspace,
    options: Options,
    connect: Connect,
    *,
    approve: Callable[[Declared, Plan], Plan | None],
    listener: Listener,
    stop: Stop,
) -> Applied:
    """Plan, have it approved, carry it out, commit the state.

    `approve` gets the plan and returns what of it may be done, or None. Raises `ReconcilerError` before the first
    change; after it, what happened is in the account.
    """
    lock = Lock("apply", options.lock_timeout)
    scope, data = options.checked_scope, options.scope.data
    async with connected(workspace, connect, lock, scope=scope, data=data) as session:
        declared, records = session.declared, dict(session.loaded.state.records)
        undecided = await _settle(session, records)
        seen = await refreshed_plan(
            session.platform.catalog, workspace, options, session, records, undecided, _bookmark(session, options)
        )
        allowed = approve(declared, seen.plan)
        if allowed is None:
            return Applied(declared, seen.plan, None)
        # Of addresses whose data files are not as declared nothing is done; they hinder no other (design.md §8).
        check(replace(allowed, conflicts=allowed.blockers) if allowed.changes else allowed, declared, options)
        before, account = dict(records), None
        if allowed.changes or undecided:
            account = await _carry_out(allowed, session, options, records, undecided, listener, stop)
            account.failures += map(_not_as_declared, allowed.conflicts)
        try:
            _commit(session.store, State(declared.identity, records), before, seen)
        except ReconcilerError as error:  # the disk refuses: the journal still has it all, and the account says so
            if account is None:
                raise
            account.cause = account.cause or error
        return Applied(declared, allowed, account)


def _not_as_declared(conflict: Conflict) -> FailedAddress:
    return FailedAddress(conflict.address, ReconcilerError(conflict.message, hint=conflict.hint), unknown=False)


async def _carry_out(
    plan: Plan,
    session: Session,
    options: Options,
    records: dict[str, Record],
    undecided: Sequence[Intent],
    listener: Listener,
    stop: Stop,
) -> Account:
    async with session.store.open_journal() as journal:
        ledger = Ledger(journal, records)
        run = Run(
            identity=session.declared.identity,
            platform=session.platform,
            ledger=ledger,
            listener=listener,
            stop=stop,
            slots=Slots(options.pace.parallelism, stop),
            pace=options.pace,
            intents={intent.address: intent for intent in undecided},
            contents=session.declared.contents,
            wait=options.wait,
        )
        saving = asyncio.create_task(_save_when_stopped(session, ledger, stop))
        try:
            return await carry_out(plan, run)
        finally:
            saving.cancel()
            await asyncio.wait([saving])


async def _save_when_stopped(session: Session, ledger: Ledger, stop: Stop) -> None:
    """At the first signal write down what is known, at once: whoever sent it may not wait for what is under way."""
    await stop.wait()
    try:
        session.store.checkpoint(State(session.declared.identity, ledger.snapshot()))
    except ReconcilerError as error:
        stop.give_up(error)


def check(proposed: Plan, declared: Declared, options: Options) -> None:
    """Raise `Refused` when the plan needs a person, or goes beyond what the project allows."""
    problem = check_conflicts(proposed)
    if problem is None and not options.ignore_limits:
        problem = check_limits(proposed, declared.manifests.project.limits)
    if problem is not None:
        raise problem


async def _settle(session: Session, records: dict[str, Record]) -> Sequence[Intent]:
    """Decide by one look what an earlier run left open, and make the decisions durable."""
    if not session.loaded.open_intents:
        return ()
    async with session.store.open_journal() as journal:
        settled = await _settled(session.platform.catalog, session, records)
        await Ledger(journal, records).write(*settled.entries)
    return settled.undecided


def _commit(store: Store, state: State, before: Mapping[str, Record], seen: Refreshed) -> None:
    """Commit the state and, with it, the bookmark: what the run has changed is read again next time."""
    digest = store.commit(state)
    bookmark = _worthwhile(seen, state.records)
    bookmarks.save(store.path, digest, bookmark and bookmark.after(before, state.records))


# -- what both rest on


async def refreshed_plan(
    catalog: Catalog,
    workspace: Workspace,
    options: Options,
    here: Opened,
    records: Mapping[str, Record],
    undecided: Sequence[Intent],
    bookmark: Bookmark | None = None,
) -> Refreshed:
    """The plan for the records as Catalog is now; with a bookmark only what changed since is read.

    Raises `ManifestInvalid` when a dataset does not exist, naming the line that declares it.
    """
    declared = here.declared
    inputs = _inputs(declared, records)
    if not options.refresh:
        offline = _offline(workspace, options, here, records)
        changed = {each.previous_address or each.address for each in offline.changes}
        inputs = _narrowed(inputs, changed | {each.address for each in offline.conflicts})
    request = RefreshRequest(
        inputs,
        workspace.today,
        options.scope,
        settle=options.pace.settle,
        unsettled=len(undecided),
        accept_all_missing=options.ignore_limits,
        listings=options.refresh,
        bookmark=bookmark,
    )
    refreshed = await refresh(catalog, request)
    if refreshed.absent_datasets:
        raise ManifestInvalid(_absent(declared, refreshed.absent_datasets))
    plan = replace(refreshed.plan, recorded=len(records), declared=len(declared.desired))
    return replace(refreshed, plan=plan)


def _bookmark(here: Opened, options: Options) -> Bookmark | None:
    """Up to where Catalog was read for this very state; None when everything is to be read."""
    scope, loaded = options.scope, here.loaded
    reads_all = options.full_refresh or not options.refresh or scope.destroy or scope.refresh_only
    if reads_all or loaded.journal_entries or len(loaded.state.records) < WORTH_IT:
        return None
    return bookmarks.load(here.store.path, loaded.text_digest)


async def _settled(catalog: Catalog, here: Opened, records: Mapping[str, Record]) -> Settled:
    intents, known = here.loaded.open_intents, {record.id for record in records.values()}
    return await settle_at_once(catalog, here.declared.identity, intents, known=known)


def _offline(workspace: Workspace, options: Options, here: Opened, records: Mapping[str, Record]) -> Plan:
    return make_plan(
        _inputs(here.declared, records),
        today=workspace.today,
        scope=options.scope,
        unsettled=len(here.loaded.open_intents),
    )


def _inputs(declared: Declared, records: Mapping[str, Record]) -> PlanInputs:
    return PlanInputs(
        identity=declared.identity,
        desired=declared.desired,
        records=records,
        observation=None,
        moves=declared.manifests.moves,
        imports=declared.manifests.imports,
    )


def _narrowed(inputs: PlanInputs, addresses: Collection[str]) -> PlanInputs:
    """The inputs, reduced to some addresses and where those were moved to."""
    wanted = set(addresses)
    wanted.update(move.target for move in inputs.moves if move.origin in wanted)
    return replace(
        inputs,
        desired={address: each for address, each in inputs.desired.items() if address in wanted},
        records={address: each for address, each in inputs.records.items() if address in wanted},
        others={address: each for address, each in inputs.records.items() if address not in wanted},
        imports=[entry for entry in inputs.imports if entry.target in wanted],
    )


def _absent(declared: Declared, absent: Collection[str]) -> tuple[Diagnostic, ...]:
    """One diagnostic for each dataset that does not exist, at the line that names it."""
    first = {each.dataset: each for each in reversed(declared.desired.values())}  # type: ignore[call-overload]
    findings = [
        Finding(
            "unknown-dataset",
            f"dataset `{dataset}` does not exist in sandbox `{declared.environment.sandbox}`",
            replace(first[dataset].place, route=("id", declared.environment.name)),
            hint="check the id, and that the credential may see the dataset in this sandbox",
        )
        for dataset in absent
    ]
    return in_order(resolve(findings, declared.sources))
