"""The batch as Catalog stores it (aep-api.md §8.4), and what every change of it changes. Pure."""

from __future__ import annotations

import json
from typing import Final, Literal, NotRequired, TypeAlias, TypedDict

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
"""Any JSON value."""

JsonObject: TypeAlias = dict[str, Json]
"""A JSON object."""

PLATFORM_USER: Final = "acp_foundation_dataTracker@AdobeID"
"""The user of changes that the platform makes by itself."""

DEFAULT_SANDBOX: Final = "prod"
"""The sandbox of a request that names none (E5)."""

ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


class RelatedObject(TypedDict):
    """What a batch belongs to."""

    type: str
    id: str


class Replay(TypedDict, total=False):
    """Which batches this one replaces."""

    predecessors: list[str]
    predecessorsByExternalId: list[str]
    predecessorListingType: Literal["IMMEDIATE", "ALL"]
    reason: str


class BatchError(TypedDict):
    """One reason for a failure."""

    code: str
    description: str
    rows: list[str]
    recordCount: NotRequired[int]


class BatchObject(TypedDict, total=False):
    """A batch without its id, which is the key in Catalog's maps. Times are epoch milliseconds."""

    imsOrg: str
    sandboxId: str
    created: int
    updated: int
    started: int
    completed: int
    createdClient: str
    createdUser: str
    updatedUser: str
    externalId: str
    status: str
    version: str
    errors: list[BatchError]
    relatedObjects: list[RelatedObject]
    replay: Replay
    metrics: dict[str, int | str]
    tags: dict[str, list[str]]
    inputFormat: dict[str, str | bool]


def dump(value: object) -> str:
    """Write compact JSON, the same bytes for the same value."""
    return ENCODER.encode(value)


def dataset_of(batch: BatchObject) -> str:
    """Return the dataset that the batch writes to."""
    return next(related["id"] for related in batch["relatedObjects"] if related["type"] == "dataSet")


def next_version(version: str) -> str:
    """Return the version after one more change: `1.0.4` → `1.0.5` (§8.4)."""
    head, _, patch = version.rpartition(".")
    return f"{head}.{int(patch) + 1}"


def changed(batch: BatchObject, changes: BatchObject, *, now: int, user: str) -> BatchObject:
    """Return the batch with the changes, the next version, and the time and user of the change."""
    always: BatchObject = {"updated": now, "updatedUser": user, "version": next_version(batch["version"])}
    return {**batch, **changes, **always}
