"""One straight recipe per verb, as the README tells it. Reads and writes through the adapters; prints nothing."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from reconciler.apply.engine import carry_out, settle_at_once
from reconciler.apply.run import Pace, Run, Stop
from reconciler.core.diagnostics import Diagnostic, Severity, in_order
from reconciler.core.errors import ManifestInvalid, ReconcilerError
from reconciler.core.manifests.expand import locate_place
from reconciler.core.plans.bookmark import WORTH_IT
from reconciler.core.plans.planner import Scope, Sides, make_plan
from reconciler.core.plans.policy import check_conflicts, check_limits, unmatched
from reconciler.core.states.state import State
from reconciler.refresh import Look, Patience, refresh
from reconciler.storage import bookmarks
from reconciler.storage.lock import hold
from reconciler.storage.store import Store
from reconciler.workspace import declare, state_path

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from reconciler.apply.run import Listener
    from reconciler.core.batch import Record
    from reconciler.core.diagnostics import Place
    from reconciler.core.plans.bookmark import Bookmark
    from reconciler.core.plans.events import Account
    from reconciler.core.plans.plan import Plan
    from reconciler.core.states.journal import Entry, Intent
    from reconciler.ports import Journal, Platform
    from reconciler.refresh import Refreshed
    from reconciler.storage.store import Loaded
    from reconciler.workspace import Declared, Workspace

    Connect = Callable[[Declared, Path], AbstractAsyncContextManager[Platform]]
    """Opens AEP (or the emulator that is embedded beside the state file) for what was declared."""


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
    parallelism: int = 8
    settle: float = 30.0
    """Seconds that Catalog is given to show what exists."""
    is_recalled: bool = False
    """Whether the scope comes from an approved plan: what it names may be done and gone by now."""
    wait: bool = False
    """Whether an apply waits for what AEP makes of completed batches."""


def open_store(workspace: Workspace, declared: Declared) -> Store:
    """The state directory of the declared environment."""
    return Store(state_path(workspace, declared.environment.name), declared.identity, workspace.disk)


async def plan(workspace: Workspace, options: Options, connect: Connect) -> tuple[Declared, Plan]:
    """What an apply would do now. Changes nothing, not even the journal."""
    declared = declare(workspace)
    store = open_store(workspace, declared)
    with hold(store.lock_path, "plan", options.lock_timeout, required=False):
        loaded = store.load()
        _check_scope(options, declared, loaded.state.records)
        if not options.refresh:
            return declared, _offline(workspace, options, declared, loaded.state.records, loaded)
        async with connect(declared, store.path) as platform:
            records = dict(loaded.state.records)
            run = _run(declared, options, platform, _NoJournal(), _ignore, loaded.open_intents)
            unsettled = await settle_at_once(run, records)
            mark = _bookmark(store, options, loaded)
            seen = await look(workspace, options, declared, platform, records, loaded, unsettled, mark)
            if not loaded.journal_entries:
                bookmarks.save(store.path, loaded.text_digest, seen.bookmark if len(records) >= WORTH_IT else None)
            return declared, seen.plan


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
    declared = declare(workspace)
    store = open_store(workspace, declared)
    with hold(store.lock_path, "apply", options.lock_timeout):
        loaded = store.load()
        _check_scope(options, declared, loaded.state.records)
        async with AsyncExitStack() as stack:
            platform = await stack.enter_async_context(connect(declared, store.path))
            records = dict(loaded.state.records)
            unsettled = await _settle(store, declared, options, platform, loaded, records)
            mark = _bookmark(store, options, loaded)
            seen = await look(workspace, options, declared, platform, records, loaded, unsettled, mark)
            allowed = approve(declared, seen.plan)
            if allowed is None:
                return Applied(declared, seen.plan, None)
            check(allowed, declared, options)
            before = dict(records)
            if not allowed.changes and not unsettled:
                _commit(store, State(declared.identity, records), before, seen)
                return Applied(declared, allowed, None)
            journal = await stack.enter_async_context(store.open_journal())
            run = _run(declared, options, platform, journal, listener, unsettled, stop)
            account = await carry_out(allowed, run, records)
        try:
            _commit(store, State(declared.identity, records), before, seen)
        except ReconcilerError as error:  # the disk refuses: the journal still has it all, and the account says so
            if account.cause is None:
                account.cause = error
        return Applied(declared, allowed, account)


def _check_scope(options: Options, declared: Declared, records: Mapping[str, Record]) -> None:
    mistake = None if options.is_recalled else unmatched(options.scope, declared.desired.keys() | records.keys())
    if mistake is not None:
        raise mistake


def check(proposed: Plan, declared: Declared, options: Options) -> None:
    """Raise `Refused` when the plan needs a person, or goes beyond what the project allows."""
    problem = check_conflicts(proposed)
    if problem is None and not options.ignore_limits:
        problem = check_limits(proposed, declared.manifests.project.limits)
    if problem is not None:
        raise problem


def _bookmark(store: Store, options: Options, loaded: Loaded) -> Bookmark | None:
    """Up to where Catalog was read for this very state; None when everything is to be read."""
    scope = options.scope
    reads_all = options.full_refresh or not options.refresh or scope.destroy or scope.refresh_only
    if reads_all or loaded.journal_entries or len(loaded.state.records) < WORTH_IT:
        return None
    return bookmarks.load(store.path, loaded.text_digest)


def _commit(store: Store, state: State, before: Mapping[str, Record], seen: Refreshed) -> None:
    """Commit the state; the bookmark goes with it, and sets apart what the run has changed since it looked."""
    digest = store.commit(state)
    bookmark = seen.bookmark if len(state.records) >= WORTH_IT else None
    bookmarks.save(store.path, digest, bookmark and bookmark.after(before, state.records))


async def _settle(
    store: Store,
    declared: Declared,
    options: Options,
    platform: Platform,
    loaded: Loaded,
    records: dict[str, Record],
) -> list[Intent]:
    """Decide by one look what an earlier run left open, and make the decisions durable."""
    if not loaded.open_intents:
        return []
    async with store.open_journal() as journal:
        run = _run(declared, options, platform, journal, _ignore, loaded.open_intents)
        return await settle_at_once(run, records)


async def look(
    workspace: Workspace,
    options: Options,
    declared: Declared,
    platform: Platform,
    records: Mapping[str, Record],
    loaded: Loaded,
    unsettled: Sequence[Intent],
    bookmark: Bookmark | None = None,
) -> Refreshed:
    """The plan for the records as Catalog is now; with a bookmark only what changed since is read.

    Raises `ManifestInvalid` when a dataset does not exist, naming the line that declares it.
    """
    sides = _sides(declared, records)
    if not options.refresh:
        offline = _offline(workspace, options, declared, records, loaded)
        sides = _narrowed(sides, {c.previous_address or c.address for c in offline.changes})
    age = None if loaded.age_ms is None else loaded.age_ms / 1000
    refreshed = await refresh(
        platform,
        Look(
            sides=sides,
            scope=options.scope,
            today=workspace.today,
            patience=Patience(options.settle, age),
            unsettled=len(unsettled),
            accept_all_missing=options.ignore_limits or options.scope.destroy,
            listings=options.refresh,
            bookmark=bookmark,
        ),
    )
    if refreshed.absent_datasets:
        raise ManifestInvalid(_absent(declared, refreshed.absent_datasets))
    plan = replace(refreshed.plan, recorded=len(records), declared=len(declared.desired))
    return replace(refreshed, plan=plan)


def _offline(
    workspace: Workspace, options: Options, declared: Declared, records: Mapping[str, Record], loaded: Loaded
) -> Plan:
    sides = _sides(declared, records)
    return make_plan(sides, today=workspace.today, scope=options.scope, unsettled=len(loaded.open_intents))


def _sides(declared: Declared, records: Mapping[str, Record]) -> Sides:
    return Sides(
        identity=declared.identity,
        desired=declared.desired,
        records=records,
        observation=None,
        moves=declared.manifests.moves,
        imports=declared.manifests.imports,
    )


def _narrowed(sides: Sides, addresses: Collection[str]) -> Sides:
    """The sides, reduced to some addresses and where those were moved to."""
    wanted = set(addresses)
    wanted.update(move.target for move in sides.moves if move.origin in wanted)
    return replace(
        sides,
        desired={address: each for address, each in sides.desired.items() if address in wanted},
        records={address: each for address, each in sides.records.items() if address in wanted},
        imports=[entry for entry in sides.imports if entry.target in wanted],
    )


def _absent(declared: Declared, absent: Collection[str]) -> tuple[Diagnostic, ...]:
    """One diagnostic for each dataset that does not exist, at the line that names it."""
    first = {each.dataset: each for each in reversed(declared.desired.values())}  # type: ignore[call-overload]
    return in_order(
        [
            Diagnostic(
                "unknown-dataset",
                f"dataset `{dataset}` does not exist in sandbox `{declared.environment.sandbox}`",
                locate_place(declared.sources, _id_place(first[dataset].place, declared.environment.name)),
                hint="check the id, and that the credential may see the dataset in this sandbox",
                severity=Severity.ERROR,
            )
            for dataset in absent
        ]
    )


def _id_place(place: Place, environment: str) -> Place:
    return replace(place, route=("id", environment))


def _run(
    declared: Declared,
    options: Options,
    platform: Platform,
    journal: Journal,
    listener: Listener,
    intents: Sequence[Intent],
    stop: Stop | None = None,
) -> Run:
    return Run(
        identity=declared.identity,
        platform=platform,
        journal=journal,
        listener=listener,
        stop=stop or Stop(),
        pace=Pace(parallelism=options.parallelism, settle=options.settle),
        intents={intent.address: intent for intent in intents},
        contents=declared.contents,
        wait=options.wait,
    )


class _NoJournal:
    """The journal of a run that writes nothing."""

    async def append(self, *entries: Entry) -> None:
        """Nothing is durable, since nothing is done."""


def _ignore(event: object) -> None:
    """Hear nothing."""
