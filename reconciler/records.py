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
from reconciler.storage.lock import hold
from reconciler.workspace import identify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.core.batch import Record
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
    """Join two state files as a Git merge driver does; the result is written to `ours`.

    Raises `StateMismatch` with every contradiction; then `ours` is as it was.
    """
    before, mine, other = (_parsed(path) for path in (base, ours, theirs))
    kept = mine or other
    if kept is None:
        raise StateMismatch("both sides of the merge are empty", hint="check the paths: `state merge %O %A %B`")
    merged = merge_states(before, mine or State(kept.identity, {}), other or State(kept.identity, {}))
    ours.write_bytes(dump(merged))
    return merged


def _parsed(path: Path) -> State | None:
    """The state in a file; None when Git passes an empty one (the file is new on a side)."""
    data = path.read_bytes() if path.exists() else b""
    return parse(data, None, path.name) if data else None
