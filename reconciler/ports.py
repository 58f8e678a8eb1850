"""What the shell needs from outside, as small Protocols. The adapters are `platform`, `storage` and `files`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence

    from reconciler.core.batch import File, Observed, Spec
    from reconciler.core.states.journal import Entry

PAGE = 100
"""Batches in one page of a listing: the most that Catalog gives (aep-api.md §8.2)."""


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """All that `POST /batches` is given (aep-api.md §3.1)."""

    dataset: str
    external_id: str
    spec: Spec
    """`tags` here are the manifest's own; the markers come in `marker`."""
    marker: Mapping[str, Sequence[str]]
    predecessors: tuple[str, ...] = ()
    """Batch ids that this one replays, without the `$` of the wire."""


class Verb(StrEnum):
    """What can be asked of an existing batch (aep-api.md §5.3)."""

    COMPLETE = "COMPLETE"
    ABORT = "ABORT"
    REVERT = "REVERT"


@dataclass(frozen=True, slots=True)
class FilePlace:
    """Where a file goes (aep-api.md §6)."""

    batch: str
    dataset: str
    name: str
    """The path within the batch; its `/` make folders."""


@dataclass(frozen=True, slots=True)
class TagsKept:
    """What AEP made of a change of tags, where it is another thing than was asked for."""

    tags: Mapping[str, list[str]]
    """The assigned tags as they are shown now; one that is not there is left out."""
    complaint: str
    """What is otherwise, in one line."""


class Content(Protocol):
    """The bytes of a local file as they were fingerprinted; each attempt reads them again."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def chunks(self, first: int, stop: int) -> AsyncIterator[bytes]:
        """Read the bytes from `first` up to, not including, `stop`, at most a mebibyte at a time.

        Raises `ContentChanged` before the last chunk when the file is no longer what it was.
        """
        ...


class Contents(Protocol):
    """The local files behind the fingerprints of a plan."""

    def open(self, address: str, file: File) -> Content:
        """The content of a declared file. Raises `ContentChanged` when there is none with this fingerprint."""
        ...


class Catalog(Protocol):
    """What AEP's Catalog tells: nothing here changes anything. Every method raises `PlatformError`.

    Reads are repeated inside until they succeed, are rejected, or run out of time.
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

    def list_changes(self, tags: Mapping[str, str], since: int) -> AsyncIterator[Observed]:
        """The batches of any dataset that carry all the tags and were changed at `since` (epoch ms) or later."""
        ...

    async def has_exactly(self, tags: Mapping[str, str], count: int) -> bool:
        """Whether so many batches of any dataset carry all the tags; `count` is at least 1."""
        ...

    async def any_change(self, tags: Mapping[str, str], since: int) -> Observed | None:
        """The newest of the batches that `list_changes` lists; None if there is none. It takes one small request.

        A Catalog that does not heed the question may name another one.
        """
        ...

    @property
    def service_time(self) -> int | None:
        """Epoch milliseconds that AEP's clock shows now, at least; None where AEP does not say."""
        ...

    async def batches_by_id(self, ids: Collection[str]) -> dict[str, Observed]:
        """Those of the ids that exist, by id."""
        ...

    async def batches_by_external_id(self, external_ids: Collection[str]) -> list[Observed]:
        """Every batch that carries exactly one of the external ids."""
        ...


class Ingestion(Protocol):
    """What can be done to batches. Every method raises `PlatformError`.

    Idempotent writes are repeated inside. A create is never repeated after its outcome became unknown:
    `OutcomeUnknown` leaves that decision to the caller.
    """

    async def create(self, request: CreateRequest, *, about_to_send: Callable[[], Awaitable[None]]) -> str:
        """Create the batch and return its id.

        `about_to_send` is awaited when it is this request's turn, right before each time it is sent. Raises `Rejected`
        (a definite no), `NeverSent` or `Throttled` (no effect, and the deadline has passed) or `OutcomeUnknown`.
        """
        ...

    async def upload(
        self,
        place: FilePlace,
        content: Content,
        *,
        resume: bool = False,
        about_to_send: Callable[[], Awaitable[None]],
    ) -> None:
        """Put a file into an open batch, in parts if it is large; one of the same name is overwritten.

        `resume` says that all parts that AEP may have are of the same bytes: those are not sent again. `about_to_send`
        is awaited, perhaps twice, before the first byte leaves, once no part of other bytes is left to be joined with
        it. Raises `ContentChanged` when the file changes meanwhile, and `Rejected` when AEP keeps such parts.
        """
        ...

    async def act(self, batch: str, verb: Verb, *, in_doubt: bool = False) -> None:
        """COMPLETE, ABORT or REVERT a batch; returns when AEP has accepted it.

        `in_doubt` says that it may have been asked for before: then the batch is looked at first.
        """
        ...

    async def change_tags(
        self, batch: str, assign: Mapping[str, Sequence[str]], remove: Collection[str]
    ) -> TagsKept | None:
        """Read, merge and write the batch's tags under `If-Match`, and read them back; None: they are as asked for.

        System tags and foreign tags survive. Another order or spelling of values is no other tag (`batch.same_tags`).
        """
        ...


@dataclass(frozen=True, slots=True)
class Platform:
    """AEP for one environment. What only reads is given the Catalog alone."""

    catalog: Catalog
    ingestion: Ingestion


class Journal(Protocol):
    """The append-only log of a run."""

    async def append(self, *entries: Entry) -> None:
        """Return when the entries are durable; entries that are ready together share one fsync."""
        ...
