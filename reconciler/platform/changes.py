"""Attempts to change a batch. Before a change is repeated the batch is read, since a lost answer may hide a success."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from reconciler.core.batch import StatusClass, same_tags
from reconciler.core.errors import ConflictingWrite, NotFound, OutcomeUnknown, Rejected, Unauthorized
from reconciler.platform import wire
from reconciler.platform.answer import Unreadable
from reconciler.platform.exchange import JSON_HEADERS
from reconciler.platform.outcome import Outcome
from reconciler.platform.problems import Failure, excerpt
from reconciler.ports import TagsKept, Verb

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from reconciler.core.batch import Json, Observed
    from reconciler.platform.answer import Answer
    from reconciler.platform.exchange import Call, Exchange

WRONG_STATE = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT})
"""The statuses that may say that a batch or file is not in the state that a call needs. Which of the two AEP sends is
unverified (aep-api.md §5.3)."""

MOST_CONFLICTS = 5
"""How often tags are read and written again in one attempt because somebody else changed the batch in between."""

LOOKS = (0.0, 0.5, 2.0, 5.0)
"""Seconds before each look at tags that were written, while Catalog lags behind."""

_GONE = frozenset({StatusClass.UNFINISHED, StatusClass.WITHDRAWN})

REACHED = {
    Verb.COMPLETE: frozenset({StatusClass.IN_FLIGHT, StatusClass.STUCK, StatusClass.DONE, StatusClass.FAILED}),
    Verb.ABORT: _GONE | {StatusClass.FAILED},
    Verb.REVERT: _GONE,
}
"""The states in which the action was done, or is not needed any more (aep-api.md §5.2). A batch that Catalog does not
show is in none of them: only when the Import API does not know it either, two witnesses agree that it is gone."""


@dataclass(slots=True)
class ActionAttempt:
    """Attempts at one action. The first one acts; later ones read the batch first if one before may have worked."""

    exchange: Exchange
    batch: str
    verb: Verb
    act: Call
    read: Call
    in_doubt: bool
    """Whether the action may have been done already."""

    async def __call__(self) -> Failure | None:
        """Make one attempt; None: the action is done.

        That Catalog does not show the batch is no verdict, since it lags: then the action is asked for once more.
        """
        found = await self._look() if self.in_doubt else None
        if isinstance(found, Failure):
            return found
        if found in REACHED[self.verb]:
            return None
        result = await self.exchange.send(self.act)
        if not isinstance(result, Failure):
            return None
        if result.outcome is Outcome.REJECTED and result.error.status in WRONG_STATE:
            return await self._despite(result)  # AEP may refuse what is done already
        if isinstance(result.error, NotFound) and self.in_doubt:
            is_gone = found is StatusClass.MISSING and self.verb is not Verb.COMPLETE
            return None if is_gone else self._in_doubt(result)
        self.in_doubt = self.in_doubt or result.outcome is Outcome.UNKNOWN
        return result

    async def _despite(self, refusal: Failure) -> Failure | None:
        found = await self._look()
        if found in REACHED[self.verb]:
            return None
        return self._in_doubt(refusal) if self.in_doubt and found is StatusClass.MISSING else refusal

    def _in_doubt(self, refusal: Failure) -> Failure:
        """A refusal that says nothing of the attempt before, whose answer was lost: worth another look."""
        problem = refusal.error
        error = OutcomeUnknown(
            problem.summary,
            detail="an earlier answer was lost, and Catalog does not show the batch yet",
            hint="run again: the next run looks what became of it",
            status=problem.status,
            request_id=problem.request_id,
        )
        return Failure(Outcome.UNKNOWN, error)

    async def _look(self) -> StatusClass | Failure:
        found = await self.exchange.attempt(self.read, self._status)
        is_absent = isinstance(found, Failure) and isinstance(found.error, NotFound)
        return StatusClass.MISSING if is_absent else found

    def _status(self, answer: Answer) -> StatusClass:
        found: dict[str, Observed] = {each.id: each for each in wire.read_page(answer.json()).batches}
        return found[self.batch].status_class if self.batch in found else StatusClass.MISSING


@dataclass(frozen=True, slots=True)
class VersionedTags:
    """The tags of a batch, and of which version of the batch they are."""

    tags: Mapping[str, Json]
    version: str | None
    """The value for `If-Match` (aep-api.md §8.6)."""


@dataclass(slots=True)
class TagsAttempt:
    """Attempts at changing tags. Each reads the tags first, and so finds out if an earlier one has worked."""

    exchange: Exchange
    batch: str
    assign: Mapping[str, Sequence[str]]
    remove: Collection[str]
    read: Call
    write: Call
    kept: TagsKept | None = None
    """What AEP made of the change, where it is not as asked for."""

    async def __call__(self) -> Failure | None:
        """Read, merge, write and read back; again if somebody else changed the batch in between. None: it is done."""
        result, self.kept = None, None
        for _ in range(MOST_CONFLICTS):
            found = await self.exchange.attempt(self.read, self._tags)
            if isinstance(found, Failure):
                return found
            merged = wire.merge_tags(found.tags, self.assign, self.remove)
            if merged == dict(found.tags):
                return None
            result = await self._write(merged, found.version)
            if result is None:
                return await self._read_back(found)
            if result.error.status != HTTPStatus.PRECONDITION_FAILED:
                return result
        return result

    async def _read_back(self, before: VersionedTags) -> Failure | None:
        """Look at the tags until a later version is shown: its tags are what AEP made of them.

        Whether a PATCH merges or replaces the map, and what becomes of the values, is unstated (aep-api.md §16.1).
        """
        result: Failure | None = None
        for pause in LOOKS:
            await self.exchange.retries.timing.sleep(pause)
            found = await self.exchange.attempt(self.read, self._tags)
            result = found if isinstance(found, Failure) else None
            if isinstance(found, VersionedTags):
                self.kept = self._compared(before.tags, found.tags)
                if self.kept is None or found.version != before.version:
                    return None
            elif not isinstance(found.error, NotFound):
                return result
        return result

    def _compared(self, before: Mapping[str, Json], shown: Mapping[str, Json]) -> TagsKept | None:
        own = {name: wire.texts(shown[name]) for name in self.assign if name in shown}
        others = before.keys() - self.assign.keys() - set(self.remove)
        wrong = [
            *(
                f"`{name}` is {json.dumps(own.get(name, []))} where {json.dumps([*values])} was written"
                for name, values in self.assign.items()
                if name not in own or not same_tags({name: own[name]}, {name: values})
            ),
            *(f"`{name}` is still there" for name in sorted(shown.keys() & set(self.remove))),
            *(f"`{name}`, which was not touched, is gone" for name in sorted(others - shown.keys())),
        ]
        if not wrong:
            return None
        return TagsKept(own, excerpt(f"AEP keeps tags of batch `{self.batch}` otherwise: {'; '.join(wrong)}", str))

    def _tags(self, answer: Answer) -> VersionedTags | Failure:
        fields = wire.read_objects(answer.json()).get(self.batch)
        if fields is None:
            absent = NotFound(f"batch `{self.batch}` is not there", hint="run `reconciler plan` to see what changed")
            return Failure(Outcome.REJECTED, absent)
        tags = fields.get("tags", {})
        if not isinstance(tags, dict):
            raise Unreadable("the tags are no map")
        return VersionedTags(tags, _version(answer, fields))

    async def _write(self, merged: dict[str, Json], version: str | None) -> Failure | None:
        if version is None:
            return _unversioned(self.batch)
        headers = {**JSON_HEADERS, "if-match": version}
        body = json.dumps({"tags": merged}).encode()
        result = await self.exchange.send(replace(self.write, body=body, headers=headers))
        return _explained(result) if isinstance(result, Failure) else None


def _version(answer: Answer, fields: Mapping[str, Json]) -> str | None:
    """The ETag, which is the batch's version. A weak ETag never matches: then the body's field (aep-api.md §8.6)."""
    etag = answer.header("etag")
    version = fields.get("version") if not etag or etag.startswith("W/") else etag
    return version if isinstance(version, str) and version.isascii() and version.isprintable() else None


def _unversioned(batch: str) -> Failure:
    error = Rejected(
        f"AEP tells no version of batch `{batch}`, so its tags cannot be changed without undoing others' changes",
        hint="set `lifecycle: {ignore: [tags]}`, or change the tags by hand",
    )
    return Failure(Outcome.REJECTED, error)


def _explained(failure: Failure) -> Failure:
    """Say in the hint what to do: whether credentials can change batches in Catalog is unverified (aep-api.md §8.7)."""
    problem = failure.error
    match problem:
        case Unauthorized(status=HTTPStatus.FORBIDDEN):
            hint = (
                "this credential may not change batches: set `lifecycle: {ignore: [tags]}`, or ask for the permission"
            )
        case ConflictingWrite():
            hint = "another hand keeps changing the batch: run again"
        case _:
            return failure
    error = type(problem)(
        problem.summary, detail=problem.detail, hint=hint, status=problem.status, request_id=problem.request_id
    )
    return replace(failure, error=error)
