"""What the emulated API does where Adobe's pages are silent or contradict each other: one switch per open question.

The defaults are those of aep-api.md §11; a client must work with every value. On a socket the switches are set by
`PUT /_emulator/behaviour` (`admin`). What happens to single requests only is a fault (`faults`): a 404 on one look at
a batch, for example, or a COMPLETE that is answered 200 without effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, TypeAlias

DAY_MS = 86_400_000


class Outcome(StrEnum):
    """How a completed batch ends (E31, E34, E35)."""

    SUCCESS = "success"
    FAILED = "failed"
    PARTIAL = "partial"
    """Success without some of the rows: `errors`, and `metrics.failedRecordCount` (aep-api.md §16.1)."""
    EMPTY = "empty"
    """Failed with error 106: no file, or only empty ones."""
    GUARDRAIL = "guardrail"
    """Failed because a limit of aep-api.md §9 was passed."""
    RECOVERS = "recovers"
    """`retrying` once, then success."""
    STALLS = "stalls"
    """`retrying`, then `stalled` for ever."""


Duplicates: TypeAlias = Literal["accept", "reject409", "reject400"]
"""The answer to a second batch with an external id that the organisation already has (aep-api.md §4, E12)."""
ActionBody: TypeAlias = Literal["empty", "one", "object"]
"""The body of a successful action or PUT (aep-api.md §5.3, E33)."""
Retirement: TypeAlias = Literal["create", "complete", "success"]
"""When the predecessors of a replay turn `inactive` (E17): once the replay itself is so far."""
ReplayEcho: TypeAlias = Literal["plain", "dollar", "none", "foreign"]
"""How Catalog shows the predecessors of a replay, and so which ones retire (aep-api.md §16.1: none published).
`dollar`: as they were sent, and nothing retires; `foreign`: ids of nobody."""
TagForm: TypeAlias = Literal["as-sent", "sorted", "unique", "trimmed", "lower", "rewritten"]
"""What becomes of the values of a tag that a caller writes (aep-api.md §16.1); `rewritten`: `_` for each `:`."""
TagPatch: TypeAlias = Literal["replace", "merge", "ignore"]
"""What a `PATCH` does with the tags that it does not name (aep-api.md §16.1); `ignore`: 200, and no tag changes."""
Misnamed: TypeAlias = Literal["nothing", "dataset", "external-id", "id"]
"""What the 201 of a create tells wrongly; `id`: that of the oldest batch of the sandbox."""
Look: TypeAlias = Literal["list", "by-id", "by-external-id"]
"""Ways to look at batches through Catalog."""
LOOKS: Final[frozenset[Look]] = frozenset(("list", "by-id", "by-external-id"))
PERCENT_FIELDS: Final = ("partialIngestionPercent", "partialIngestionPercentage")
"""Both spellings of Adobe's pages (aep-api.md §13)."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One reading of the API. Times are milliseconds unless a name says otherwise."""

    # creation
    duplicate_external_id: Duplicates = "accept"
    unknown_dataset_status: Literal[400, 404] = 404
    unknown_sandbox_status: Literal[400, 401, 403, 404] = 403
    reject_reserved_tags: bool = False
    """Answer 400 to reserved tag names (E13); otherwise they are dropped."""
    create_tells_external_id: bool = True
    """Adobe's response schema lacks `externalId`; its examples have it (aep-api.md §3.2)."""
    creations_per_minute: int | None = None
    """Per client; beyond it 429 (E42). None: unlimited, since AEP's own 2,000 (§9) would slow every test."""
    created_misnames: Misnamed = "nothing"
    heeded_percent_fields: frozenset[str] = frozenset(PERCENT_FIELDS)
    """Spellings of the share of bad rows that are taken; by another one it is 0 (aep-api.md §13)."""
    heeds_error_diagnostics: bool = True
    visibility_lag_ms: int = 0
    """How long Catalog does not show a new batch (E18)."""
    lagging_looks: frozenset[Look] = LOOKS
    """The ways to look for which that is so, whether it comes from here or from the fault `Lag`."""
    date_skew_ms: int = 0
    """How far the `Date` of answers is ahead of the times in them."""

    # Catalog
    repeat_id: bool = True
    """Whether a batch repeats its id inside (aep-api.md §8.4)."""
    filter_by_unknown_parameter: bool = False
    """Read an undeclared query parameter as a property filter; otherwise ignore it (§8.3)."""
    patch_allowed: bool = True
    """Whether a customer may change a batch through Catalog at all (aep-api.md §8.7); otherwise 403."""
    tag_form: TagForm = "as-sent"
    patch_tags: TagPatch = "replace"
    reject_read_only: bool = False
    """Answer 400 to a change of `externalId` and the like (E24); otherwise ignore it."""
    quoted_etag: bool = False
    delete_unknown_status: Literal[200, 404] = 404
    """`DELETE` of an unknown batch: 404, or 200 with an empty list (aep-api.md §7)."""

    # lifecycle
    success_word: Literal["success", "active"] = "success"
    failure_word: Literal["failed", "failure"] = "failed"
    action_body: ActionBody = "empty"
    complete_has_effect: bool = True
    """Whether COMPLETE does something, or only answers 200."""
    wrong_state_status: Literal[400, 409] = 400
    abort_in_flight: bool = False
    """Whether ABORT still works between COMPLETE and the end (two pages of Adobe disagree, §5.3)."""
    step_ms: int = 100
    """From one state of the promotion to the next."""
    outcome: Outcome = Outcome.SUCCESS
    """Of batches that were given no outcome of their own."""
    failure_in: Literal["errors", "metrics", "both"] = "both"
    """Where a failed batch tells why: `errors`, or `metrics.failureReason` (aep-api.md §8.4)."""
    empty_batch_fails: bool = True
    """Whether a batch completed without data ends as `Outcome.EMPTY` (E34)."""
    any_empty_file_fails: bool = False
    """Whether one empty file is enough for that, beside others with data (aep-api.md §16.1 does not say)."""
    most_files: int = 25_000
    most_bytes: int = 2**40
    """A batch that is completed with more ends as `Outcome.GUARDRAIL` (aep-api.md §9, §16.1)."""
    retire_predecessors: Retirement = "success"
    replay_echo: ReplayEcho = "plain"
    abandon_after_ms: int | None = None
    """How long a batch may stay `loading` (E36); Adobe publishes no figure. None: for ever."""
    collect_after_ms: int | None = DAY_MS
    """From `inactive` to `deleted` (E37). None: never."""

    # files
    file_post_needs_content_type: bool = True
    """Whether INITIALIZE and COMPLETE of a file are refused without `Content-Type: application/json` (§16.1)."""
    small_file_bytes: int = 256 * 1024 * 1024
    """The largest body of one PUT; beyond it 413."""
    part_bytes: int = 512_000_000
    """The largest part of a large file; beyond it 400."""
    initialize_again: Literal["anew", "refused", "kept"] = "anew"
    """A second INITIALIZE of a file: it begins anew, is refused, or is accepted and leaves the parts that are there
    (undocumented, §7)."""

    # tokens
    token_ttl_s: int = 86_399
    bad_client_status: Literal[400, 401] = 401
    """The status of `invalid_client` (E2)."""
