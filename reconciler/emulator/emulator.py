"""The emulator as one object: the API in process, and the hand of the platform for tests.

What its methods do, no client of AEP can: see what Catalog does not show yet, move time, change batches by a
foreign hand. They are as the platform's own doings: they leave the marks of a change, and are no requests.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from reconciler.emulator.app import create_app
from reconciler.emulator.behaviour import Behaviour, Outcome
from reconciler.emulator.creation import Creation
from reconciler.emulator.exchange import Caller
from reconciler.emulator.faults import Faults
from reconciler.emulator.gateway import Gateway
from reconciler.emulator.injection import Injection
from reconciler.emulator.lake import Lake
from reconciler.emulator.objects import DEFAULT_SANDBOX, PLATFORM_USER, dataset_of
from reconciler.emulator.requestlog import RequestLog
from reconciler.emulator.transport import EmulatorTransport
from reconciler.emulator.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from starlette.types import ASGIApp

    from reconciler.emulator.objects import BatchObject, Replay
    from reconciler.emulator.store import Stored

ORG = "000000000000000000000000@AdobeOrg"
"""Whose batches are meant where no organisation is named."""


def wall_clock() -> int:
    """Return the time, epoch milliseconds."""
    return time.time_ns() // 1_000_000


class Emulator:
    """A local AEP. `path=None` keeps everything in memory; close it, or use it in a `with`.

    `app` is the API for a socket or a transport of your own; `transport()` is for `httpx.AsyncClient`. Raises
    ValueError if the file at `path` was written by another version.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        world: World | None = None,
        behaviour: Behaviour | None = None,
        faults: Faults | None = None,
        clock: Callable[[], int] = wall_clock,
        log_size: int = 1000,
    ) -> None:
        self._lake = Lake(path, world=world or World(), behaviour=behaviour or Behaviour(), clock=clock)
        self._gateway = Gateway(self._lake)
        api = create_app(self._lake, self._gateway)
        self._injection = Injection(api, now=self._lake.now, expire_tokens=self._gateway.expire_tokens)
        self.requests = RequestLog(self._injection, log_size)
        """The latest `log_size` requests."""
        self.app: ASGIApp = self.requests
        """The API. Raises `ConnectionLost` where a fault cuts the connection."""
        self.inject(faults or Faults())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the data. Harmless twice."""
        self._lake.close()

    def transport(self) -> EmulatorTransport:
        """Return a new transport for one `httpx.AsyncClient`; its base URL may be anything."""
        return EmulatorTransport(self.app)

    # --- how it behaves ---

    @property
    def behaviour(self) -> Behaviour:
        """The switches; assign to change them from now on."""
        return self._lake.behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self._lake.behaviour = behaviour

    def inject(self, faults: Faults) -> None:
        """Start anew with these faults; `Faults()` ends them."""
        self._injection.set_faults(faults)

    def expire_tokens(self) -> None:
        """Make every token invalid that was handed out so far."""
        self._gateway.expire_tokens()

    def add_dataset(self, dataset: str, *, sandbox: str = DEFAULT_SANDBOX) -> None:
        """Make a dataset known; a restart remembers it."""
        self._lake.store.add_dataset(sandbox, dataset)

    # --- time ---

    def now(self) -> int:
        """Return the emulator's time, epoch milliseconds."""
        return self._lake.now()

    def advance(self, milliseconds: int) -> None:
        """Let time pass, and let happen what happens in it."""
        self._lake.advance(milliseconds)

    # --- batches ---

    def batches(self) -> dict[str, BatchObject]:
        """Return every batch of every sandbox by id, oldest first, even if Catalog does not show it yet."""
        self._lake.settle()
        return {stored.id: stored.object for stored in self._lake.store.read("ORDER BY n")}

    def batch(self, batch: str) -> BatchObject:
        """Return one batch. Raises LookupError."""
        return self._find(batch).object

    def files(self, batch: str) -> dict[str, bytes]:
        """Return the complete files of a batch by path, whole. Raises LookupError."""
        stored = self._find(batch)
        files = self._lake.files
        return {path: files.content(stored.n, path) for path in files.sizes(stored.n)}

    def set_status(self, batch: str, status: str) -> None:
        """Give the batch a status at once, legal or not. Raises LookupError."""
        with self._lake.store.transaction():
            self._lake.become(self._find(batch), status, at=self.now())

    def set_outcome(self, batch: str, outcome: Outcome) -> None:
        """Decide how the batch's promotion will end; before COMPLETE. Raises LookupError, ValueError."""
        with self._lake.store.transaction():
            stored = self._find(batch)
            self._lake.store.save(stored, replace(stored, outcome=Outcome(outcome)))

    def remove(self, batch: str) -> None:
        """Delete the batch outright, as a sandbox reset does. Raises LookupError."""
        self._lake.remove(self._find(batch))

    def touch(self, batch: str) -> None:
        """Change nothing that matters: what the platform does between two runs (E41). Raises LookupError."""
        odd: Mapping[str, Sequence[str]] = {
            "aep/siphon/partitions/paths": [],
            "siphon/valve/status": ['{"stage": "done", "of": ["a:b", "c,d"]}'],
            "acp_finalized": ["true"],
        }
        self.set_tags(batch, odd)

    def set_tags(self, batch: str, tags: Mapping[str, Sequence[str] | None], *, user: str = PLATFORM_USER) -> None:
        """Set tags by a foreign hand; None removes one. Raises LookupError."""
        with self._lake.store.transaction():
            stored = self._find(batch)
            merged = stored.object["tags"] | {name: list(values or ()) for name, values in tags.items()}
            kept = {name: values for name, values in merged.items() if tags.get(name, ()) is not None}
            self._lake.change(stored, {"tags": kept}, user=user)

    def add_batch(
        self,
        dataset: str,
        *,
        org: str = ORG,
        sandbox: str = DEFAULT_SANDBOX,
        client: str = "acp_foundation_push",
        status: str = "success",
        external_id: str | None = None,
        tags: Mapping[str, Sequence[str]] | None = None,
    ) -> str:
        """Add a batch that somebody else has made (E43), and return its id. No rule is checked."""
        creation = Creation(
            dataset=dataset,
            input_format={"format": "parquet"},
            external_id=external_id,
            tags={name: list(values) for name, values in (tags or {}).items()},
            replay=None,
        )
        return self._add(Caller(org=org, sandbox=sandbox, client=client), creation, status).id

    def consolidate(self, batch: str, *, carry: bool = False) -> str:
        """Let the platform replace the batch by one of its own (E41b); return the new id. Raises LookupError.

        The new one replays the old for the reason `consolidation`; the old one gets the tag `acp_successor`
        and turns inactive. With `carry` the new one has the old one's external id and tags too.
        """
        old = self._find(batch)
        org, sandbox = self._lake.store.owner(old.scope)
        replay: Replay = {
            "predecessors": [old.id],
            "predecessorListingType": "IMMEDIATE",
            "reason": "consolidation",
        }
        creation = Creation(
            dataset=dataset_of(old.object),
            input_format=old.object["inputFormat"],
            external_id=old.object["externalId"] if carry else None,
            tags=old.object["tags"] if carry else {},
            replay=replay,
        )
        new = self._add(Caller(org=org, sandbox=sandbox, client="acp_consolidation"), creation, "success")
        self.set_tags(old.id, {"acp_successor": [new.id]})
        if self.batch(old.id)["status"] != "inactive":
            self.set_status(old.id, "inactive")
        return new.id

    def _add(self, caller: Caller, creation: Creation, status: str) -> Stored:
        with self._lake.store.transaction():
            stored = self._lake.add(caller, creation)
            return stored if status == "loading" else self._lake.become(stored, status, at=self.now())

    def _find(self, batch: str) -> Stored:
        self._lake.settle()
        stored = self._lake.store.get(batch)
        if stored is None:
            raise LookupError(f"no batch `{batch}`: `batches` names those that there are")
        return stored
