"""One opening of a project for one command: what is declared, the locked state, AEP."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.core.plans.policy import unmatched
from reconciler.storage.lock import hold
from reconciler.storage.store import Store
from reconciler.workspace import ALL, load_declared, state_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from reconciler.core.address import Globs
    from reconciler.core.identity import Identity
    from reconciler.core.plans.planner import Scope
    from reconciler.ports import Platform
    from reconciler.storage.store import Loaded
    from reconciler.workspace import Declared, Workspace

    Connect = Callable[[Declared, Path], AbstractAsyncContextManager[Platform]]
    """Opens AEP (or the emulator that is embedded beside the state file) for what was declared."""


@dataclass(frozen=True, slots=True)
class Lock:
    """How a command holds the state."""

    command: str
    """What the other one is told."""
    timeout: float = 0.0
    """Seconds to wait for another run to end."""
    required: bool = True
    """Whether the command writes: one that only reads goes on where no lock can be made."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A project with its state, as long as the lock is held."""

    declared: Declared
    store: Store
    loaded: Loaded


@dataclass(frozen=True, slots=True)
class Session(Opened):
    """The same, and AEP."""

    platform: Platform


def open_store(workspace: Workspace, identity: Identity) -> Store:
    """The state directory of an environment."""
    return Store(state_path(workspace, identity.environment), identity, workspace.disk)


@contextmanager
def opened(
    workspace: Workspace,
    lock: Lock | None,
    *,
    scope: Scope | None = None,
    load: Callable[[Store], Loaded] | None = None,
    data: Globs | None = ALL,
) -> Iterator[Opened]:
    """Read the manifests, take the lock, read the state; the lock is held for the block.

    Without a `lock` other runs are neither kept out nor waited for. A `scope` that names nothing is refused. `load`
    takes the place of `Store.load`. `data` are the addresses whose files are looked at; None: no files are. Raises
    `ManifestInvalid`, `LockHeld`, `StateError` or `SettingsInvalid`.
    """
    declared = load_declared(workspace, data)
    store = open_store(workspace, declared.identity)
    held = hold(store.lock_path, lock.command, lock.timeout, required=lock.required) if lock else nullcontext()
    with held:
        loaded = load(store) if load else store.load()
        mistake = unmatched(scope, declared.desired.keys() | loaded.state.records.keys()) if scope else None
        if mistake is not None:
            raise mistake
        yield Opened(declared, store, loaded)


@asynccontextmanager
async def connected(
    workspace: Workspace,
    connect: Connect,
    lock: Lock | None,
    *,
    scope: Scope | None = None,
    load: Callable[[Store], Loaded] | None = None,
    data: Globs | None = ALL,
) -> AsyncIterator[Session]:
    """As `opened`, and AEP for the block."""
    with opened(workspace, lock, scope=scope, load=load, data=data) as here:
        async with connect(here.declared, here.store.path) as platform:
            yield Session(here.declared, here.store, here.loaded, platform)
