"""A batch as the three sides know it: desired (manifests), recorded (state file), observed (Catalog). Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, TypedDict, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.core.diagnostics import Place

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

DEFAULT_FORMAT = "parquet"
"""What AEP assumes when a request names no format (aep-api.md §3.1)."""


class Csv(TypedDict, total=False):
    """How a CSV file is read (aep-api.md §3.1)."""

    delimiter: str
    quote: str
    escape: str
    null_marker: str
    header: bool
    charset: str


class Spec(TypedDict, total=False):
    """What a batch is created with: only the fields that its manifest sets. Plain JSON, shared, never mutated.

    Everything but `tags` can be given at creation only (aep-api.md §8.7): a change of it is a replacement.
    """

    format: str
    """`json`, `parquet` or `csv`, lower case."""
    multiline: bool
    csv: Csv
    tags: dict[str, list[str]]
    error_diagnostics: bool
    partial_ingestion_percent: int
    replaces: list[str]
    """Addresses or ids of the batches that this one replays."""


def spec_json(spec: Spec) -> dict[str, Json]:
    """The spec as the JSON object that it is: a copy of its top level."""
    plain: object = dict(spec)
    assert _is_object(plain)
    return plain


def _is_object(value: object) -> TypeGuard[dict[str, Json]]:
    return isinstance(value, dict)


@dataclass(frozen=True, slots=True, order=True)
class File:
    """One file of a batch, by what is in it: the same fingerprint is the same content."""

    name: str
    """Its path within the batch, with `/`."""
    size: int
    """Bytes."""
    sha256: str
    """Of its bytes, in hex."""


class Stage(StrEnum):
    """How far the completion of a recorded batch is. From `completing` on it takes no more files."""

    OPEN = "open"
    COMPLETING = "completing"
    """COMPLETE was about to be asked for, and no verdict came."""
    COMPLETED = "completed"
    """AEP has accepted COMPLETE: what becomes of it is for Catalog to tell."""


class OnRemove(StrEnum):
    """What becomes of a batch when its manifest goes."""

    FORGET = "forget"
    DELETE = "delete"


class StatusClass(StrEnum):
    """The status words of AEP, by what they mean for a plan (design.md §7, aep-api.md §5.1)."""

    OPEN = "open"
    IN_FLIGHT = "in flight"
    STUCK = "stuck"
    DONE = "done"
    FAILED = "failed"
    UNFINISHED = "unfinished"
    WITHDRAWN = "withdrawn"
    MISSING = "missing"


STATUS_CLASSES: Mapping[str, StatusClass] = {
    "loading": StatusClass.OPEN,
    "loaded": StatusClass.IN_FLIGHT,
    "queued": StatusClass.IN_FLIGHT,
    "processing": StatusClass.IN_FLIGHT,
    "staging": StatusClass.IN_FLIGHT,
    "staged": StatusClass.IN_FLIGHT,
    "retrying": StatusClass.IN_FLIGHT,
    "stalled": StatusClass.STUCK,
    "active": StatusClass.DONE,
    "success": StatusClass.DONE,
    "failed": StatusClass.FAILED,
    "failure": StatusClass.FAILED,
    "aborted": StatusClass.UNFINISHED,
    "abandoned": StatusClass.UNFINISHED,
    "inactive": StatusClass.WITHDRAWN,
    "deleted": StatusClass.WITHDRAWN,
    "archived": StatusClass.WITHDRAWN,
    "retained": StatusClass.WITHDRAWN,
}

RecreateWhen = Literal["missing", "aborted", "abandoned", "failed", "withdrawn"]

DEFAULT_RECREATE: tuple[RecreateWhen, ...] = ("missing", "aborted", "abandoned")


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """The rules a manifest sets for a batch's later life."""

    on_remove: OnRemove = OnRemove.FORGET
    recreate_when: tuple[RecreateWhen, ...] = DEFAULT_RECREATE
    prevent_replace: bool = False
    ignore_tags: bool = False
    """`ignore: [tags]`: tags are set at creation and never compared again."""


@dataclass(frozen=True, slots=True)
class Desired:
    """One batch that the manifests declare, after expansion."""

    address: str
    dataset: str
    """The dataset's AEP id in the chosen environment."""
    spec: Spec
    lifecycle: Lifecycle
    place: Place
    """Where it is declared: resolved to line and column only when a diagnostic needs it."""
    external_id: str | None = None
    """The manifest's own external id, else None: then it is derived (`identity.external_id`)."""
    globs: tuple[str, ...] = ()
    """Which files it is to hold: `files` of the manifest, with placeholders filled in."""
    complete: bool = False
    content: tuple[File, ...] | None = None
    """The files that the globs name, sorted by name; None where the manifest names none: then nobody compares them."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the state file: a batch that stands at an address."""

    address: str
    id: str
    """AEP's batch id, opaque."""
    dataset: str
    external_id: str
    generation: int
    """1, 2, …: how many batches have stood at the address."""
    on_remove: OnRemove
    spec: Spec
    """What is known of it: as created, or as observed when it was adopted or imported."""
    deposed: tuple[str, ...] = ()
    """Ids of earlier generations that a replacement has still to abort."""
    rivals: tuple[str, ...] = ()
    """Ids that carry the same external id and that a person decided against (`import`)."""
    files: tuple[File, ...] = ()
    """What AEP has confirmed to hold, sorted by name."""
    begun: tuple[File, ...] = ()
    """What was about to be uploaded, and no verdict came: AEP may hold it, a part of it, or what was there before."""
    stage: Stage = Stage.OPEN

    @property
    def names(self) -> frozenset[str]:
        """The names of all files that AEP may hold."""
        return frozenset(file.name for file in (*self.files, *self.begun))


@dataclass(frozen=True, slots=True)
class Observed:
    """A batch as Catalog shows it now, reduced to what a plan looks at (aep-api.md §8.4)."""

    id: str
    status: str
    """AEP's own word, lower case."""
    datasets: frozenset[str]
    external_id: str | None = None
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    format: str | None = None
    multiline: bool | None = None
    created: int | None = None
    """Epoch milliseconds."""
    updated: int | None = field(default=None, compare=False)
    """Epoch milliseconds by Catalog's clock; says when, never what."""
    predecessors: tuple[str, ...] = ()
    replay_reason: str | None = None
    errors: tuple[str, ...] = ()
    """One line per error, `code: description`, as AEP words it: untrusted text."""
    records: int | None = None
    """Records that were ingested, where Catalog tells (aep-api.md §8.4)."""
    failed_records: int | None = None
    """Records that were left out, where Catalog tells."""

    @property
    def status_class(self) -> StatusClass:
        """What the status means; an unknown word counts as in flight (aep-api.md §10)."""
        return STATUS_CLASSES.get(self.status, StatusClass.IN_FLIGHT)

    @property
    def successor(self) -> str | None:
        """The batch that the platform's own consolidation put in its place (aep-api.md §5.2)."""
        successors = self.tags.get("acp_successor", ())
        return successors[0] if successors else None
