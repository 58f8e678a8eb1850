"""What can be done with the records alone, without AEP: read, rename, forget, commit, merge."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from reconciler.core.address import is_address
from reconciler.core.errors import SettingsInvalid, StateMismatch
from reconciler.core.states.merge import merge as merge_states
from reconciler.core.states.state import State, dump, parse
from reconciler.session import open_store
from reconciler.storage.disk import RealDisk
from reconciler.storage.lock import hold
from reconciler.storage.store import translated, write_whole
from reconciler.workspace import identify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.core.batch import Record
    from reconciler.storage.disk import Disk
    from reconciler.storage.store import Loaded, Store
    from reconciler.workspace import Workspace


def read(workspace: Workspace) -> Loaded:
    """The records, with what an unfinished run left in its journal."""
    return open_store(workspace, identify(workspace)).load()


def one(workspace: Workspace, address: str) -> Record:
    """The record at an address. Raises `SettingsInvalid` when there is none."""
    return _held(read(workspace).state, address)


def _held(state: State, address: str) -> Record:
    record = state.records.get(address)
    if record is None:
        near = get_close_matches(address, state.records, n=1)
        hint = f"did you mean `{near[0]}`?" if near else "`reconciler state list` shows what is recorded"
        raise SettingsInvalid(f"nothing is recorded at `{address}`", hint=hint)
    return record


@contextmanager
def _locked(workspace: Workspace, command: str) -> Iterator[tuple[Store, State]]:
    """The state directory and what it holds, for the block; no manifest of a dataset is read."""
    store = open_store(workspace, identify(workspace))
    with hold(store.lock_path, command, 0.0):
        yield store, store.load().state


def move(workspace: Workspace, origin: str, target: str) -> None:
    """Rename the record at `origin`; the batch stays. Raises `StateMismatch` when the target is taken."""
    if not is_address(target):
        raise SettingsInvalid(
            f"`{target}` is not an address", hint="an address is `dataset/batch` or `dataset/batch/key`"
        )
    with _locked(workspace, "state mv") as (store, state):
        record = _held(state, origin)
        if target in state.records:
            raise StateMismatch(
                f"`{target}` already holds batch `{state.records[target].id}`",
                hint="`state rm` it first, if it is wrong",
            )
        records = {address: each for address, each in state.records.items() if address != origin}
        store.commit(State(state.identity, {**records, target: replace(record, address=target)}))


def remove(workspace: Workspace, address: str) -> Record:
    """Forget the record at an address; the batch stays."""
    with _locked(workspace, "state rm") as (store, state):
        record = _held(state, address)
        store.commit(State(state.identity, {a: each for a, each in state.records.items() if a != address}))
    return record


def commit(workspace: Workspace) -> State:
    """Write what a killed run left in its journal into the state file; creates that are undecided stay open."""
    with _locked(workspace, "state commit") as (store, state):
        store.commit(state)
    return state


def merge(base: Path, ours: Path, theirs: Path) -> State:
    """Join two state files as a Git merge driver does; the result is written to `ours`, whole or not at all.

    Only the base may be missing or empty: Git passes an empty one when both sides added the file, and then whatever
    stands on one side is kept. Raises `StateMismatch` with every contradiction, `StateCorrupt`, also for a side that is
    empty, or `StoreFailed`; then `ours` is as it was.
    """
    disk = RealDisk()
    before, mine, other = (_bytes(disk, path) for path in (base, ours, theirs))
    ancestor = parse(before, None, base.name) if before else None
    merged = merge_states(ancestor, parse(mine or b"", None, ours.name), parse(other or b"", None, theirs.name))
    with translated(f"writing `{ours}`"):
        status = disk.status(ours)
        write_whole(disk, ours, dump(merged), status.mode if status else None)
    return merged


def _bytes(disk: Disk, path: Path) -> bytes | None:
    with translated(f"reading `{path}`"):
        return disk.read(path)
