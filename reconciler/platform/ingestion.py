"""Changes batches through AEP's Batch Ingestion: implements `ports.Ingestion`. Each method has one deadline.

Only tags are changed in Catalog itself (aep-api.md §8.7).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from reconciler.platform import wire
from reconciler.platform.changes import ActionAttempt, TagsAttempt
from reconciler.platform.exchange import JSON_HEADERS, LARGEST_OBJECT, Call
from reconciler.platform.outcome import WITHOUT_EFFECT, WITHOUT_VERDICT
from reconciler.platform.problems import Failure, Operation
from reconciler.platform.uploads import Upload
from reconciler.platform.urls import IMPORT, catalog_url, checked_id, file_url, url

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from reconciler.platform.answer import Answer
    from reconciler.platform.exchange import Exchange
    from reconciler.ports import Content, CreateRequest, FilePlace, TagsKept, Verb


class AepIngestion:
    """Batch Ingestion over HTTP. What each method promises and raises: `ports.Ingestion`."""

    def __init__(self, exchange: Exchange, api_url: str, org: str, part_bytes: int) -> None:
        self._exchange = exchange
        self._api_url = api_url
        self._org = org
        self._part_bytes = part_bytes

    async def create(self, request: CreateRequest, *, about_to_send: Callable[[], Awaitable[None]]) -> str:
        """Create the batch and return its id. `about_to_send` is awaited before each attempt."""
        body = json.dumps(wire.create_body(request)).encode()
        operation = Operation(f"create a batch in dataset `{request.dataset}`", is_read=False)
        call = Call(operation, "POST", f"{self._api_url}{IMPORT}/batches", LARGEST_OBJECT, body, JSON_HEADERS)

        def read(answer: Answer) -> str:
            return wire.read_created(answer.json(unique=True), request, self._org)

        async def attempt() -> str | Failure:
            answer = await self._exchange.send_creation(call, about_to_send)
            return answer if isinstance(answer, Failure) else self._exchange.parsed(call, answer, read)

        return await self._exchange.retries.run(attempt, WITHOUT_EFFECT)

    async def upload(
        self,
        place: FilePlace,
        content: Content,
        *,
        resume: bool = False,
        about_to_send: Callable[[], Awaitable[None]],
    ) -> None:
        """Put a file into an open batch. `resume`: an earlier run may have sent some of these very bytes."""
        batch, dataset = checked_id(place.batch, "batch"), checked_id(place.dataset, "dataset")
        location = file_url(self._api_url, batch, dataset, place.name)
        upload = Upload(self._exchange, place, location, content, self._part_bytes, about_to_send)
        await upload.run(resume=resume)

    async def act(self, batch: str, verb: Verb, *, in_doubt: bool = False) -> None:
        """COMPLETE, ABORT or REVERT a batch; returns when AEP has accepted it, or it was done already."""
        path = f"/batches/{checked_id(batch, 'batch')}"
        operation = Operation(f"{verb.value.lower()} batch `{batch}`", is_read=False)
        location = url(self._api_url, f"{IMPORT}{path}", {"action": verb.value})
        act = Call(operation, "POST", location, headers=JSON_HEADERS)
        read = self._read(f"read batch `{batch}`", path)
        attempt = ActionAttempt(self._exchange, batch, verb, act, read, in_doubt)
        await self._exchange.retries.run(attempt, WITHOUT_VERDICT)

    async def change_tags(
        self, batch: str, assign: Mapping[str, Sequence[str]], remove: Collection[str]
    ) -> TagsKept | None:
        """Read, merge and write the batch's tags under `If-Match`, and read them back; all other tags stay.

        Writes nothing if the tags are as wanted. Raises `Conflict` if somebody else keeps changing the batch.
        """
        path = f"/batches/{checked_id(batch, 'batch')}"
        read = self._read(f"read the tags of batch `{batch}`", path)
        operation = Operation(f"change the tags of batch `{batch}`", is_read=False)
        write = Call(operation, "PATCH", catalog_url(self._api_url, path))
        attempt = TagsAttempt(self._exchange, batch, assign, remove, read, write)
        await self._exchange.retries.run(attempt, WITHOUT_VERDICT)
        return attempt.kept

    def _read(self, what: str, path: str) -> Call:
        return Call(Operation(what, is_read=True), "GET", catalog_url(self._api_url, path), LARGEST_OBJECT)
