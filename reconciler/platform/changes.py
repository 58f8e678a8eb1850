"""Attempts to change an existing batch: each looks before it repeats, since a lost answer may hide a success."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from reconciler.core.batch import StatusClass
from reconciler.core.errors import Conflict, NotFound, Rejected, Unauthorized
from reconciler.platform import wire
from reconciler.platform.answer import Unreadable
from reconciler.platform.outcome import Outcome
from reconciler.platform.problems import Failure
from reconciler.ports import Verb

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from reconciler.core.batch import Json, Observed
    from reconciler.platform.answer import Answer
    from reconciler.platform.exchange import Call, Exchange

CLASHES = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT})
"""How a call in the wrong state is refused: unverified, so both are looked into (aep-api.md §5.3)."""

MOST_CONFLICTS = 5
"""How often tags are read again because another hand was faster."""

_GONE = frozenset({StatusClass.UNFINISHED, StatusClass.WITHDRAWN, StatusClass.MISSING})

REACHED = {
    Verb.COMPLETE: frozenset({StatusClass.IN_FLIGHT, StatusClass.STUCK, StatusClass.DONE, StatusClass.FAILED}),
    Verb.ABORT: _GONE | {StatusClass.FAILED},
    Verb.REVERT: _GONE,
}
"""Where a batch is when the action was done, or needs doing no more (aep-api.md §5.2)."""


@dataclass(slots=True)
class ActionAttempt:
    """Attempts at one action: the first just acts, later ones look first if the one before may have worked."""

    exchange: Exchange
    batch: str
    verb: Verb
    act: Call
    look: Call
    in_doubt: bool = False

    async def __call__(self) -> Failure | None:
        """Act once, or find that it is done."""
        if self.in_doubt:
            found = await self._is_reached()
            if isinstance(found, Failure):
                return found
            if found:
                return None
        result = await self.exchange.send(self.act)
        if not isinstance(result, Failure):
            return None
        self.in_doubt = self.in_doubt or result.outcome is Outcome.UNKNOWN
        if result.outcome is Outcome.REJECTED and result.error.status in CLASHES:
            return await self._despite(result)
        return result

    async def _despite(self, refusal: Failure) -> Failure | None:
        """A refusal is no trouble if the batch is where it should be."""
        found = await self._is_reached()
        return None if found is True else refusal

    async def _is_reached(self) -> bool | Failure:
        found = await self.exchange.attempt(self.look, self._status)
        if isinstance(found, Failure):
            return _status_if_absent(found) in REACHED[self.verb] or found
        return found in REACHED[self.verb]

    def _status(self, answer: Answer) -> StatusClass:
        found: dict[str, Observed] = {each.id: each for each in wire.read_page(answer.json()).batches}
        return found[self.batch].status_class if self.batch in found else StatusClass.MISSING


def _status_if_absent(failure: Failure) -> StatusClass | None:
    return StatusClass.MISSING if isinstance(failure.error, NotFound) else None


@dataclass(frozen=True, slots=True)
class Tagged:
    """The tags of a batch at one version of it."""

    tags: Mapping[str, Json] = field(default_factory=dict)
    version: str | None = None
    """What `If-Match` is told (aep-api.md §8.6)."""


@dataclass(frozen=True, slots=True)
class TagsAttempt:
    """Attempts at changing tags: each reads first, so that one whose answer was lost is found to be done."""

    exchange: Exchange
    batch: str
    assign: Mapping[str, Sequence[str]]
    remove: Collection[str]
    look: Call
    write: Call

    async def __call__(self) -> Failure | None:
        """Read, merge and write once; again at once when another hand was faster."""
        result: Failure | None = None
        for _ in range(MOST_CONFLICTS):
            found = await self.exchange.attempt(self.look, self._read)
            if isinstance(found, Failure):
                return found
            result = await self._write(found)
            if result is None or result.error.status != HTTPStatus.PRECONDITION_FAILED:
                return result
        return result

    def _read(self, answer: Answer) -> Tagged | Failure:
        fields = wire.read_objects(answer.json()).get(self.batch)
        if fields is None:
            absent = NotFound(f"batch `{self.batch}` is not there", hint="run `reconciler plan` to see what changed")
            return Failure(Outcome.REJECTED, absent)
        tags = fields.get("tags", {})
        if not isinstance(tags, dict):
            raise Unreadable("the tags are no map")
        return Tagged(tags, _version(answer, fields))

    async def _write(self, found: Tagged) -> Failure | None:
        merged = wire.merge_tags(found.tags, self.assign, self.remove)
        if merged == dict(found.tags):
            return None
        if found.version is None:
            return _unversioned(self.batch)
        headers = {"content-type": "application/json", "if-match": found.version}
        body = json.dumps({"tags": merged}).encode()
        result = await self.exchange.send(replace(self.write, body=body, headers=headers))
        return _explained(result) if isinstance(result, Failure) else None


def _version(answer: Answer, fields: Mapping[str, Json]) -> str | None:
    """The ETag, which holds the version; a weak one never matches, so then the version itself (aep-api.md §8.6)."""
    etag = answer.header("etag")
    version = fields.get("version")
    if etag and not etag.startswith("W/"):
        return etag
    return version if isinstance(version, str) and version.isascii() and version.isprintable() else None


def _unversioned(batch: str) -> Failure:
    error = Rejected(
        f"AEP tells no version of batch `{batch}`, so its tags cannot be changed without undoing others' changes",
        hint="set `lifecycle: {ignore: [tags]}`, or change the tags by hand",
    )
    return Failure(Outcome.REJECTED, error)


def _explained(failure: Failure) -> Failure:
    """Whether a credential may change batches in Catalog at all is unverified: say so (aep-api.md §8.7)."""
    problem = failure.error
    match problem:
        case Unauthorized(status=HTTPStatus.FORBIDDEN):
            hint = (
                "this credential may not change batches: set `lifecycle: {ignore: [tags]}`, or ask for the permission"
            )
        case Conflict():
            hint = "another hand keeps changing the batch: run again"
        case _:
            return failure
    error = type(problem)(
        problem.summary, detail=problem.detail, hint=hint, status=problem.status, request_id=problem.request_id
    )
    return replace(failure, error=error)
