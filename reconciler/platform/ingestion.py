"""AEP's Batch Ingestion as `ports.Ingestion` asks for it: whatever changes a batch. Each operation is one deadline."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from reconciler.platform import wire
from reconciler.platform.changes import ActionAttempt, TagsAttempt
from reconciler.platform.exchange import LARGEST_OBJECT, Call
from reconciler.platform.outcome import WITHOUT_EFFECT, WITHOUT_VERDICT
from reconciler.platform.problems import Asked, Failure
from reconciler.platform.uploads import Upload
from reconciler.platform.urls import IMPORT, catalog_url, checked_id, file_url, url

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from reconciler.platform.answer import Answer
    from reconciler.platform.exchange import Exchange
    from reconciler.ports import Content, CreateRequest, FilePlace, Verb

JSON_HEADERS = {"content-type": "application/json"}


class AepIngestion:
    """Batch Ingestion over HTTP: implements `ports.Ingestion`."""

    def __init__(self, exchange: Exchange, api_url: str, part_bytes: int) -> None:
        self._exchange = exchange
        self._api_url = api_url
        self._part_bytes = part_bytes

    async def create(self, request: CreateRequest, *, about_to_send: Callable[[], Awaitable[None]]) -> str:
        """Create the batch and return its id; see `ports.Ingestion.create`."""
        body = json.dumps(wire.create_body(request)).encode()
        asked = Asked(f"create a batch in dataset `{request.dataset}`", is_read=False)
        call = Call(asked, "POST", f"{self._api_url}{IMPORT}/batches", LARGEST_OBJECT, body, JSON_HEADERS)

        async def attempt() -> str | Failure:
            answer = await self._exchange.send_creation(call, about_to_send)
            return answer if isinstance(answer, Failure) else self._exchange.parsed(call, answer, _read_created)

        return await self._exchange.retries.run(attempt, WITHOUT_EFFECT)

    async def upload(self, place: FilePlace, content: Content, *, resume: bool = False) -> None:
        """Put a file into an open batch; see `ports.Ingestion.upload`."""
        batch, dataset = checked_id(place.batch, "batch"), checked_id(place.dataset, "dataset")
        where = file_url(self._api_url, batch, dataset, place.name)
        await Upload(self._exchange, place, where, content, self._part_bytes).run(resume=resume)

    async def act(self, batch: str, verb: Verb, *, in_doubt: bool = False) -> None:
        """COMPLETE, ABORT or REVERT a batch; returns when AEP has accepted it, or it was done already."""
        path = f"/batches/{checked_id(batch, 'batch')}"
        asked = Asked(f"{verb.value.lower()} batch `{batch}`", is_read=False)
        act = Call(asked, "POST", url(self._api_url, f"{IMPORT}{path}", {"action": verb.value}))
        look = Call(Asked(f"read batch `{batch}`", is_read=True), "GET", self._catalog(path), LARGEST_OBJECT)
        attempt = ActionAttempt(self._exchange, batch, verb, act, look, in_doubt)
        await self._exchange.retries.run(attempt, WITHOUT_VERDICT)

    async def change_tags(self, batch: str, assign: Mapping[str, Sequence[str]], remove: Collection[str]) -> None:
        """Read, merge and write the batch's tags under `If-Match`; system tags and foreign tags survive.

        Writes nothing when they are so already. Raises `Conflict` when another hand keeps changing the batch.
        """
        path = f"/batches/{checked_id(batch, 'batch')}"
        look = Call(
            Asked(f"read the tags of batch `{batch}`", is_read=True),
            "GET",
            self._catalog(path),
            LARGEST_OBJECT,
        )
        write = Call(Asked(f"change the tags of batch `{batch}`", is_read=False), "PATCH", self._catalog(path))
        attempt = TagsAttempt(self._exchange, batch, assign, remove, look, write)
        await self._exchange.retries.run(attempt, WITHOUT_VERDICT)

    def _catalog(self, path: str) -> str:
        return catalog_url(self._api_url, path)


def _read_created(answer: Answer) -> str:
    return wire.read_created(answer.json())
