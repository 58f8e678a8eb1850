"""A batch as the three sides know it: desired (manifests), recorded (state file), observed (Catalog).

What a state file and a plan file hold is declared here by type: a field's annotation says what may stand in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict  # pydantic cannot read `typing.TypedDict` before Python 3.12

from reconciler.core.address import ADDRESS, MAX_LENGTH

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from reconciler.core.diagnostics import Place

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

DEFAULT_FORMAT = "parquet"
"""What AEP assumes when a request names no format (aep-api.md §3.1)."""


SUCCESSOR_TAG = "acp_successor"
"""Of a batch that the platform itself replaced: the id of the new one (aep-api.md §5.2)."""

Text = Annotated[str, Field(min_length=1, description="a text that is not empty")]

Address = Annotated[
    str,
    Field(pattern=f"^{ADDRESS}$", max_length=MAX_LENGTH, description="an address such as `dataset/batch`"),
]

Generation = Annotated[int, Field(ge=1, description="a whole number of at least 1")]
"""1, 2, …: how many batches have stood at an address."""

Ids = Annotated[tuple[str, ...], Field(description="a list of texts")]


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


def same_tags(one: Mapping[str, Collection[str]], other: Mapping[str, Collection[str]]) -> bool:
    """Whether tags are the same to AEP, which may sort, trim and lower-case their values, and keep each of them once.

    Nobody has published what it does (aep-api.md §16.1): so what was written is compared with what is shown like this.
    """
    return one == other or _plain_tags(one) == _plain_tags(other)


def _plain_tags(tags: Mapping[str, Collection[str]]) -> dict[str, set[str]]:
    return {name: {value.strip().casefold() for value in values} for name, values in tags.items()}


Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""In hex."""


class File(NamedTuple):
    """One file of a batch, by what is in it: the same fingerprint is the same content."""

    name: Annotated[str, Field(min_length=1)]
    """Its path within the batch, with `/`."""
    size: Annotated[int, Field(ge=0)]
    """Bytes."""
    sha256: Sha256
    """Of its bytes."""


def _in_order(files: tuple[File, ...]) -> tuple[File, ...]:
    """Raise `ValueError` unless the files are sorted by name, each name once."""
    if any(one.name >= other.name for one, other in pairwise(files)):
        raise ValueError("not sorted")
    return files


OneFile = Annotated[File, Field(description="a file: its name, its bytes and its SHA-256")]

Files = Annotated[
    tuple[File, ...],
    AfterValidator(_in_order),
    Field(description="a list of files (name, bytes, SHA-256), sorted by name, each name once"),
]


class Stage(StrEnum):
    """How far the completion of a recorded batch is. From `completing` on it takes no more files."""

    OPEN = "open"
    COMPLETING = "completing"
    """COMPLETE was about to be sent, and no answer is known."""
    COMPLETED = "completed"
    """AEP has accepted COMPLETE: Catalog tells what became of the batch."""


class OnRemove(StrEnum):
    """What is done with a batch that is no longer declared."""

    FORGET = "forget"
    DELETE = "delete"


Removal = Annotated[OnRemove, Field(description="`forget` or `delete`")]

Completion = Annotated[Stage, Field(description="`open`, `completing` or `completed`")]


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
class Unready:
    """Why the files of a batch are not what can be sent: nothing that rests on them is decided."""

    message: str
    hint: str
    place: Place


@dataclass(frozen=True, slots=True)
class Desired:
    """One batch that the manifests declare, after expansion."""

    address: str
    dataset: str
    """The dataset's AEP id in the chosen environment."""
    spec: Spec
    lifecycle: Lifecycle
    place: Place
    """Where it is declared; line and column are looked up only for a diagnostic."""
    external_id: str | None = None
    """The manifest's own external id, else None: then it is derived (`identity.external_id`)."""
    globs: tuple[str, ...] = ()
    """Which files it is to hold: `files` of the manifest, with placeholders filled in."""
    complete: bool = False
    content: tuple[File, ...] | None = None
    """The files that the globs name, sorted by name; None where it declares none, or a command does not look at them:
    files are not compared."""
    unready: Unready | None = None
    """The first thing that is wrong with its files; then their content is not known."""


@dataclass(frozen=True, slots=True)
class Record:
    """A batch that stands at an address: one line of the state file."""

    address: Address
    id: Text
    """AEP's batch id, opaque."""
    dataset: Text
    external_id: Text
    generation: Generation
    on_remove: Removal
    spec: Annotated[Spec, Field(description="an object")]
    """What is known of it: as created, or as observed when it was adopted or imported."""
    deposed: Ids = ()
    """Ids of earlier generations that are replaced and still have to be aborted."""
    rivals: Ids = ()
    """Ids that carry the same external id and that a person decided against (`import`)."""
    files: Files = ()
    """What AEP has confirmed to hold, sorted by name."""
    begun: Files = ()
    """What was being uploaded when the last answer was missing: AEP may hold it, a part of it, or an older file."""
    stage: Completion = Stage.OPEN
    kept_tags: Annotated[dict[str, list[str]] | None, Field(description="an object of lists of texts")] = None
    """What AEP made of the spec's tags when they were written; None: they are as written."""

    def explains(self, tags: Mapping[str, Collection[str]]) -> bool:
        """Whether tags that Catalog shows are the batch's own: as they were written, or as AEP kept them."""
        return same_tags(tags, self.spec.get("tags", {})) or (
            self.kept_tags is not None and same_tags(tags, self.kept_tags)
        )

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
    """Epoch milliseconds by Catalog's clock."""
    predecessors: tuple[str, ...] = ()
    odd_predecessors: tuple[str, ...] = ()
    """Those of them that Catalog shows with the `$` of a request still on them, as it shows them (aep-api.md §16.1)."""
    replay_reason: str | None = None
    errors: tuple[str, ...] = ()
    """One line per error, `code: description`, as AEP words it: untrusted text."""
    records: int | None = None
    """Records that were loaded; None where Catalog does not say (aep-api.md §8.4)."""
    failed_records: int | None = None
    """Records that were refused; None where Catalog does not say."""

    def tags_of(self, spec: Spec) -> dict[str, list[str]]:
        """The batch's tags under the names that the spec gives: the spec's own where nobody changed them."""
        return {name: list(self.tags[name]) for name in spec.get("tags", {}) if name in self.tags}

    @property
    def status_class(self) -> StatusClass:
        """What the status means; an unknown word counts as in flight (aep-api.md §10)."""
        return STATUS_CLASSES.get(self.status, StatusClass.IN_FLIGHT)

    @property
    def is_consolidation(self) -> bool:
        """Whether the platform made it of others by itself (aep-api.md §5.2)."""
        return self.replay_reason == "consolidation"

    @property
    def is_partial(self) -> bool:
        """Whether it was loaded and lacks records: `success` may carry errors (aep-api.md §8.4, §16.1)."""
        return self.status_class is StatusClass.DONE and bool(self.failed_records or self.errors)

    @property
    def successor(self) -> str | None:
        """The batch that the platform's own consolidation put in its place (aep-api.md §5.2)."""
        successors = self.tags.get(SUCCESSOR_TAG, ())
        return successors[0] if successors else None
