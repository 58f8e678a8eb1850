"""AEP as a dictionary, behind the port: what a create answers is scripted, and Catalog may lag behind."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from reconciler.core.batch import Observed
from reconciler.core.errors import ConflictingWrite, NeverSent, OutcomeUnknown, Rejected, Throttled
from reconciler.ports import TagsKept, Verb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence

    from reconciler.ports import Content, CreateRequest, FilePlace

Answer = Literal[
    "made", "lost after", "lost before", "timeout after", "refused", "throttled", "never sent", "taken", "another"
]


@dataclass
class FakePlatform:
    """Catalog and Ingestion in one, whose batches can be looked at and changed by a test."""

    batches: dict[str, Observed] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    """What the next creates answer; `made` when it runs out."""
    lag: int = 0
    """How many look-ups by external id a new batch stays hidden from."""
    blind: bool = False
    """Whether listings show nothing: Catalog's index lags, look-ups work."""
    completes_to: str = "success"
    uploads: list[Answer] = field(default_factory=list)
    """What the next uploads answer; `made` when it runs out."""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """By batch and name."""
    keeps_parts: bool = False
    """Whether it holds parts of other bytes and keeps them: an upload is refused before its first byte."""
    lost_attempts: int = 0
    """How often the body of each upload is read in vain first."""
    datasets: set[str] | None = None
    """Those that exist; None for all."""
    calls: list[str] = field(default_factory=list)
    hidden: dict[str, int] = field(default_factory=dict)
    clock: int | None = 0
    """Epoch milliseconds; None: AEP does not tell the time."""
    colon: str = ":"
    """What becomes of a colon in a tag that is written."""
    created: list[CreateRequest] = field(default_factory=list)
    told: int = 0
    """Batches that listings showed."""
    widest: int = 0
    flying: int = 0

    async def dataset_exists(self, dataset: str) -> bool:
        self.calls.append(f"dataset {dataset}")
        return self.datasets is None or dataset in self.datasets

    async def list_batches(self, dataset: str, tags: Mapping[str, str]) -> AsyncIterator[Observed]:
        self.calls.append(f"list {dataset}")
        for batch in self._marked(tags):
            if dataset in batch.datasets:
                self.told += 1
                yield batch

    async def list_replays(self, dataset: str) -> AsyncIterator[Observed]:
        self.calls.append(f"replays {dataset}")
        for batch in list(self.batches.values()):
            if dataset in batch.datasets and batch.predecessors:
                yield batch

    async def list_changes(self, tags: Mapping[str, str], since: int) -> AsyncIterator[Observed]:
        self.calls.append(f"changes since {since}")
        for batch in self._marked(tags):
            if batch.updated is not None and batch.updated >= since:
                yield batch

    async def has_exactly(self, tags: Mapping[str, str], count: int) -> bool:
        self.calls.append(f"count {count}")
        return len(self._marked(tags)) == count

    def _marked(self, tags: Mapping[str, str]) -> list[Observed]:
        marked = (b for b in self.batches.values() if all(b.tags.get(name) == (tags[name],) for name in tags))
        return [batch for batch in marked if not self.blind and not self.hidden.get(batch.id)]

    async def any_change(self, tags: Mapping[str, str], since: int) -> Observed | None:
        self.calls.append(f"any change since {since}")
        changed = [b for b in self._marked(tags) if b.updated is not None and b.updated >= since]
        return max(changed, key=lambda batch: batch.updated or 0, default=None)

    @property
    def service_time(self) -> int | None:
        return self.clock

    async def batches_by_id(self, ids: Collection[str]) -> dict[str, Observed]:
        self.calls.append(f"ids {len(ids)}")
        return {each: self.batches[each] for each in ids if each in self.batches and not self.hidden.get(each)}

    async def batches_by_external_id(self, external_ids: Collection[str]) -> list[Observed]:
        self.calls.append(f"external {len(external_ids)}")
        found = []
        for batch in self.batches.values():
            if batch.external_id in external_ids:
                if self.hidden.get(batch.id, 0) > 0:
                    self.hidden[batch.id] -= 1
                else:
                    found.append(batch)
        return found

    async def create(self, request: CreateRequest, *, about_to_send: Callable[[], Awaitable[None]]) -> str:
        await about_to_send()
        self.calls.append(f"create {request.external_id}")
        self.flying += 1
        self.widest = max(self.widest, self.flying)
        await asyncio.sleep(0)
        self.flying -= 1
        answer = self.answers.pop(0) if self.answers else "made"
        match answer:
            case "refused":
                raise Rejected("no", status=422)
            case "taken":
                raise ConflictingWrite("the external id is taken", status=409)
            case "throttled":
                raise Throttled("too many", status=429)
            case "never sent":
                raise NeverSent("no connection")
            case "lost before":
                raise OutcomeUnknown("cut", status=None)
            case "another":
                self._make(request)
                return "S"
            case "made" | "lost after" | "timeout after":
                batch = self._make(request)
                if answer != "made":
                    raise OutcomeUnknown("no answer", status=504 if answer == "timeout after" else None)
                return batch

    def _make(self, request: CreateRequest) -> str:
        batch = f"B{len(self.created) + 1}"
        self.created.append(request)
        tags = {**request.marker, **request.spec.get("tags", {})}
        self.batches[batch] = Observed(
            id=batch,
            status="loading",
            datasets=frozenset({request.dataset}),
            external_id=request.external_id,
            tags={name: tuple(values) for name, values in tags.items()},
            predecessors=request.predecessors,
        )
        self.hidden[batch] = self.lag
        return batch

    async def upload(
        self,
        place: FilePlace,
        content: Content,
        *,
        resume: bool = False,
        about_to_send: Callable[[], Awaitable[None]],
    ) -> None:
        if self.keeps_parts:
            raise Rejected("it holds other bytes", status=409)
        await about_to_send()
        for _ in range(self.lost_attempts):
            _ = [chunk async for chunk in content.chunks(0, content.size)]
        self.calls.append(f"{'resume' if resume else 'upload'} {place.batch} {place.name}")
        data = b"".join([chunk async for chunk in content.chunks(0, content.size)])
        if self.batches[place.batch].status != "loading":
            raise Rejected("the batch takes no files", status=400)
        answer = self.uploads.pop(0) if self.uploads else "made"
        if answer == "refused":
            raise Rejected("no", status=422)
        if answer != "lost before":
            self.files.setdefault(place.batch, {})[place.name] = data
        if answer != "made":
            raise OutcomeUnknown("cut", status=None)

    async def act(self, batch: str, verb: Verb, *, in_doubt: bool = False) -> None:
        self.calls.append(f"{verb.value} {batch}{' in doubt' * in_doubt}")
        status = {Verb.ABORT: "aborted", Verb.REVERT: "inactive", Verb.COMPLETE: self.completes_to}[verb]
        self.set_status(batch, status)

    async def change_tags(
        self, batch: str, assign: Mapping[str, Sequence[str]], remove: Collection[str]
    ) -> TagsKept | None:
        self.calls.append(f"tags {batch} +{','.join(sorted(assign))} -{','.join(sorted(remove))}")
        if batch not in self.batches:
            return None
        kept = {name: values for name, values in self.batches[batch].tags.items() if name not in remove}
        written = {name: tuple(value.replace(":", self.colon) for value in assign[name]) for name in assign}
        self.batches[batch] = replace(self.batches[batch], tags={**kept, **written})
        if self.colon == ":":
            return None
        return TagsKept({name: [*values] for name, values in written.items()}, f"AEP keeps tags of `{batch}` otherwise")

    def set_status(self, batch: str, status: str) -> None:
        """What a foreign hand, or time, does to a batch."""
        self.batches[batch] = replace(self.batches[batch], status=status)
