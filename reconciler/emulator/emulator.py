"""The emulator as one object: the API in process, and methods for tests that no client of AEP has.

They see what Catalog does not show yet, move time, and change batches as the platform or somebody else would. Such
a change raises version and time of the batch like any other, and is not in the request log.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from reconciler.emulator.app import create_app, dated
from reconciler.emulator.behaviour import Behaviour, Outcome
from reconciler.emulator.creation import Creation
from reconciler.emulator.exchange import Caller
from reconciler.emulator.faults import Faults
from reconciler.emulator.gateway import Gateway
from reconciler.emulator.injection import FaultMiddleware
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
"""The organisation of a batch that a test adds without naming one."""


def wall_clock() -> int:
    """Return the time of this machine, epoch milliseconds."""
    return time.time_ns() // 1_000_000


class Emulator:
    """A local AEP. `path=None` keeps everything in memory; close it, or use it in a `with`.

    `transport()` is for `httpx.AsyncClient`; `app` is for a socket or any other user of ASGI. `clock` returns epoch
    milliseconds. Raises ValueError if the file at `path` was written by another version.
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
        self._faults = FaultMiddleware(api, now=self._lake.now, expire_tokens=self._gateway.expire_tokens)
        answering = dated(self._faults, lambda: self._lake.now() + self.behaviour.date_skew_ms)
        self.requests = RequestLog(answering, log_size)
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
        """Close the data. A second call does nothing."""
        self._lake.close()

    def transport(self) -> EmulatorTransport:
        """Return a new transport for one `httpx.AsyncClient`; its base URL may be anything."""
        return EmulatorTransport(self.app)

    # --- settings ---

    @property
    def behaviour(self) -> Behaviour:
        """The switches; assign new ones to change them from now on."""
        return self._lake.behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self._lake.behaviour = behaviour

    def behave(self, behaviour: Behaviour) -> None:
        """Assign new switches, as an operation."""
        self.behaviour = behaviour

    def inject(self, faults: Faults) -> None:
        """Replace all faults by these and count requests from 0 again; `Faults()` ends them."""
        self._faults.set_faults(faults)

    def expire_tokens(self) -> None:
        """Make every token invalid that was given out so far."""
        self._gateway.expire_tokens()

    def add_dataset(self, dataset: str, *, sandbox: str = DEFAULT_SANDBOX) -> None:
        """Make a dataset known, also after a restart."""
        self._lake.store.add_dataset(sandbox, dataset)

    # --- time ---

    def now(self) -> int:
        """Return the emulator's time, epoch milliseconds."""
        return self._lake.now()

    def advance(self, milliseconds: int) -> None:
        """Let time pass, with all that is due in it."""
        self._lake.advance(milliseconds)

    # --- batches ---

    def batches(self) -> dict[str, BatchObject]:
        """Return every batch of every sandbox by id, oldest first, also those that Catalog does not show yet."""
        self._lake.catch_up()
        return {stored.id: stored.object for stored in self._lake.store.read("ORDER BY n")}

    def batch(self, batch: str) -> BatchObject:
        """Return one batch. Raises LookupError."""
        return self._find(batch).object

    def files(self, batch: str) -> dict[str, bytes]:
        """Return the bytes of each complete file of a batch by path. Raises LookupError."""
        stored = self._find(batch)
        files = self._lake.files
        return {path: files.content(stored.n, path) for path in files.sizes(stored.n)}

    def set_status(self, batch: str, status: str) -> None:
        """Give the batch a status at once, also one that no action leads to. Raises LookupError."""
        with self._lake.store.transaction():
            self._lake.set_status(self._find(batch), status, at=self.now())

    def set_outcome(self, batch: str, outcome: Outcome) -> None:
        """Choose how the batch will end; works until it is completed. Raises LookupError, ValueError."""
        with self._lake.store.transaction():
            stored = self._find(batch)
            self._lake.store.save(stored, replace(stored, outcome=Outcome(outcome)))

    def remove(self, batch: str) -> None:
        """Remove the batch without a trace, as a sandbox reset does. Raises LookupError."""
        self._lake.remove(self._find(batch))

    def touch(self, batch: str) -> None:
        """Add odd system tags, as the platform does between two runs (E41): no drift. Raises LookupError."""
        odd: Mapping[str, Sequence[str]] = {
            "aep/siphon/partitions/paths": [],
            "siphon/valve/status": ['{"stage": "done", "of": ["a:b", "c,d"]}'],
            "acp_finalized": ["true"],
        }
        self.set_tags(batch, odd)

    def set_tags(self, batch: str, tags: Mapping[str, Sequence[str] | None], *, user: str = PLATFORM_USER) -> None:
        """Set tags as somebody else would; None removes one. Raises LookupError."""
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
        """Add a batch as somebody else would (E43), and return its id. Nothing is checked."""
        creation = Creation(
            dataset=dataset,
            input_format={"format": "parquet"},
            external_id=external_id,
            tags={name: list(values) for name, values in (tags or {}).items()},
            replay=None,
        )
        return self._add(Caller(org=org, sandbox=sandbox, client=client), creation, status).id

    def consolidate(self, batch: str, *, carry: bool = False) -> str:
        """Replace the batch by a new one, as the platform's consolidation does (E41b); return the new id.

        The new one replays the old for the reason `consolidation`; the old one gets the tag `acp_successor` and turns
        inactive. With `carry` the new one also has the old one's external id and tags. Raises LookupError.
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
            return stored if status == "loading" else self._lake.set_status(stored, status, at=self.now())

    def _find(self, batch: str) -> Stored:
        self._lake.catch_up()
        stored = self._lake.store.get(batch)
        if stored is None:
            raise LookupError(f"no batch `{batch}`: `batches` names those that there are")
        return stored
