"""What the shell needs from the outside world, as small Protocols. The adapters are `platform` and `store`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence

    from reconciler.core.batch import Observed, Spec
    from reconciler.core.journal import Entry


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """All that `POST /batches` is told (aep-api.md §3.1)."""

    dataset: str
    external_id: str
    spec: Spec
    """`tags` here are the manifest's own; the markers come in `marker`."""
    marker: Mapping[str, Sequence[str]]
    predecessors: tuple[str, ...] = ()
    """Batch ids that this one replays, without the `$` of the wire."""


class Action(StrEnum):
    """What can be asked of an existing batch (aep-api.md §5.3)."""

    COMPLETE = "COMPLETE"
    ABORT = "ABORT"
    REVERT = "REVERT"


class Platform(Protocol):
    """AEP, reduced to what reconciliation asks of it. Every method raises `PlatformError`.

    Reads and idempotent writes are repeated inside until they succeed, are rejected, or run out of time. A create is
    never repeated after its outcome became unknown: `OutcomeUnknown` leaves that decision to the engine.
    """

    async def dataset_exists(self, dataset: str) -> bool:
        """Whether the dataset is there (in this sandbox)."""
        ...

    def list_batches(self, dataset: str, tags: Mapping[str, str]) -> AsyncIterator[Observed]:
        """The dataset's batches that carry all the tags, in pages, each batch once."""
        ...

    def list_replays(self, dataset: str) -> AsyncIterator[Observed]:
        """The dataset's batches that replay others, whoever made them."""
        ...

    async def batches_by_id(self, ids: Collection[str]) -> dict[str, Observed]:
        """Those of the ids that exist, by id."""
        ...

    async def batches_by_external_id(self, external_ids: Collection[str]) -> list[Observed]:
        """Every batch that carries exactly one of the external ids."""
        ...

    async def create(self, request: CreateRequest, *, about_to_send: Callable[[], Awaitable[None]]) -> str:
        """Create the batch and return its id.

        `about_to_send` is awaited when it is this request's turn (rate, width), right before each time it may leave.
        Raises `Rejected` (a definite no), `NeverSent` or `Throttled` (had no effect, time is up) or `OutcomeUnknown`.
        """
        ...

    async def act(self, batch: str, action: Action) -> None:
        """COMPLETE, ABORT or REVERT a batch; returns when AEP has accepted it."""
        ...

    async def change_tags(self, batch: str, assign: Mapping[str, Sequence[str]], remove: Collection[str]) -> None:
        """Read, merge and write the batch's tags under `If-Match`; system tags and foreign tags survive."""
        ...


class Journal(Protocol):
    """The append-only log of a run."""

    async def append(self, *entries: Entry) -> None:
        """Return when the entries are durable; entries that are ready together share one fsync."""
        ...
